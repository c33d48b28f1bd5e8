"""The same values in other places, or several times."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..dtypes import WHOLE
from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything
from .index import unindex
from .reduce import sum
from .shape import at, axes_of, axis_of, reshape


@op(lambda g, axis: flip(g, axis), aliases={"axis": ("dim", "dims")})
def flip(xp, x, *, axis=None):
    """x in reverse order along axis (None: all).        d flip x = flip dx

    >>> mg.tensor([1.0, 2.0, 3.0]).flip(0)
    tensor([3., 2., 1.])
    """
    return xp.flip(x, axes_of(axis, x.ndim)).copy()


def _back(g, shifts, axis):
    return roll(
        g, tuple([-n for n in shifts]) if isinstance(shifts, tuple | list) else -shifts, axis
    )


@op(_back, aliases={"axis": ("dim", "dims")})
def roll(xp, x, *, shifts, axis=None):
    """x moved along axis, what leaves at one end coming in at the other.        d roll x = roll dx

    Without an axis, the flattened x is rolled.

    >>> mg.tensor([1.0, 2.0, 3.0]).roll(1)
    tensor([3., 1., 2.])
    """
    several = list(shifts) if isinstance(shifts, tuple | list) else [shifts]
    if not all(isinstance(n, WHOLE) for n in several):
        raise DTypeError(f"shifts was given as {shifts!r}: give whole numbers")
    if axis is not None:
        axes_of(axis, x.ndim)
        if len(several) != (len(axis) if isinstance(axis, tuple | list) else 1):
            raise ShapeError(f"{len(several)} shifts for axis {axis}: give one for each")
    elif len(several) > 1:
        raise ShapeError(f"{len(several)} shifts without axes: name an axis for each")
    return xp.roll(x, tuple(several) if axis is not None else several[0], axis)


def _untile(g, in_shapes, reps):
    shape = (1,) * (len(reps) - len(in_shapes[0])) + in_shapes[0]
    reps = (1,) * (len(shape) - len(reps)) + tuple(reps)
    apart = reshape(g, tuple(itertools.chain(*zip(reps, shape, strict=True))))
    return sum(apart, tuple(range(0, 2 * len(shape), 2)))  # added axes go as broadcast ones do


@op(_untile, star="reps")
def tile(xp, x, *, reps):
    """x repeated as a whole so many times along each axis.        d tile x = tile dx

    >>> mg.tensor([1.0, 2.0]).tile(2)
    tensor([1., 2., 1., 2.])
    """
    if min(reps, default=0) < 0:
        raise ShapeError(f"tile {reps} times: give 0 or more for each axis")
    y = xp.tile(x, reps)
    return y if y.size > x.size else y.copy()  # where nothing repeats, NumPy may give a view of x


def _repeats(repeats, n):
    """The place in n that each repeated value comes from."""
    given = getattr(repeats, "array", repeats)
    if hasattr(given, "__dlpack__") and not isinstance(given, np.ndarray):
        raise DTypeError("repeats is on another device: give numbers, or repeats.cpu()")
    counts = np.asarray(given)
    if counts.dtype.kind not in "iu" or counts.ndim > 1:
        raise DTypeError(f"repeats was given as {repeats!r}: give a whole number, or one a place")
    if counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(f"repeats {repeats}: give one number of 0 or more, or {n} of them")
    return np.repeat(np.arange(n), counts)


def _unrepeat(g, in_shapes, repeats, axis):
    shape = in_shapes[0]
    flat = (math.prod(shape),) if axis is None else shape
    axis = 0 if axis is None else axis_of(axis, len(shape))
    key = at(axis, _repeats(repeats, flat[axis]))
    return reshape(unindex(g, shape=flat, key=key), shape)


@op(_unrepeat)
def repeat_interleave(xp, x, *, repeats, axis=None):
    """Each value of x several times in a row, along axis (None: of the flattened x).

    d repeat x = repeat dx

    Args:
        repeats: a whole number, or one for each place along the axis.

    >>> mg.tensor([1.0, 2.0]).repeat_interleave(2)
    tensor([1., 1., 2., 2.])
    """
    x = x.reshape(-1) if axis is None else x
    axis = 0 if axis is None else axis_of(axis, x.ndim)
    places = xp.asarray(_repeats(repeats, x.shape[axis]))
    return x[at(axis, places)]


# ---- samples -------------------------------------------------------------------------------------


@flip.samples
def _flip_samples(draw):
    x = anything(draw, draw.shape())
    return (x,), {"axis": draw.axes(x.ndim)}


@roll.samples
def _roll_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.one_of(None, draw.axis(x.ndim), tuple(range(x.ndim)))
    count = len(axis) if isinstance(axis, tuple) else 1
    shifts = tuple([draw.integer(-4, 4) for _ in range(count)])
    return (x,), {"shifts": shifts if isinstance(axis, tuple) else shifts[0], "axis": axis}


@tile.samples
def _tile_samples(draw):
    x = anything(draw, draw.shape(most=2))
    return (x,), {"reps": tuple([draw.integer(0, 2) for _ in range(draw.integer(0, 3))])}


@repeat_interleave.samples
def _repeat_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.one_of(None, draw.axis(x.ndim))
    n = x.size if axis is None else x.shape[axis]
    each = [draw.integer(0, 2) for _ in range(n)]
    return (x,), {"repeats": draw.one_of(2, each) if n else 2, "axis": axis}
