"""Changes of shape.  All of these share memory with their input, read-only on NumPy."""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..errors import DTypeError, OutOfRangeError, ShapeError
from ..op import op
from ..samples import anything, one_array


def read_only(array):
    """An array that shares memory: it must not be written through."""
    place = backend.find(array)
    return array if place is None else place.freeze(array)


def axes_of(axis, ndim):
    """An axis argument (None, int, or several) as a sorted tuple of axes from 0."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:  # by far the most frequent
        return (axis % ndim,)
    axes = axis if isinstance(axis, tuple | list) else [axis]
    if not all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in axes):
        raise DTypeError(f"axis was given as {axis!r}: give an integer, several, or None")
    for a in axes:
        if not -ndim <= a < ndim:
            raise OutOfRangeError(
                f"axis {a} is out of range for {ndim} axes"
                + (f": give one from {-ndim} to {ndim - 1}" if ndim else "")
            )
    found = tuple(sorted(a % ndim for a in axes))
    if len(set(found)) < len(found):
        raise ShapeError(f"axis {axis} names an axis twice")
    return found


def axis_of(axis, ndim, name="axis"):
    """One axis, counted from 0."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
        raise DTypeError(f"{name} was given as {axis!r}: give one axis, an integer")
    return axes_of(axis, ndim)[0]


def at(axis, part):
    """The key that reads `part`, a slice or indices, along one axis."""
    return (*[slice(None)] * axis, part)


# ---- the same values in another shape ------------------------------------------------------------


@op(lambda g, in_shapes: reshape(g, in_shapes[0]), star="shape", view=True)
def reshape(xp, x, *, shape):
    """x in another shape; one length may be -1.        d reshape x = reshape dx

    >>> mg.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    if min(shape, default=0) < -1:
        raise ShapeError(f"reshape to {shape}: lengths are 0 or more, and one may be -1")
    return read_only(x.reshape(shape))


@op(lambda g, in_shapes: reshape(g, in_shapes[0]), view=True)
def flatten(xp, x, *, start_dim=0, end_dim=-1):
    """Axes start_dim to end_dim (included) as one.        d flatten x = flatten dx

    >>> mg.zeros(2, 3, 4).flatten(1).shape
    (2, 12)
    """
    rank = max(x.ndim, 1)  # a number becomes an array of one
    first, last = axis_of(start_dim, rank, "start_dim"), axis_of(end_dim, rank, "end_dim")
    if first > last:
        raise ShapeError(
            f"flatten from axis {start_dim} to {end_dim} of shape {x.shape}: the first must not "
            "come after the last"
        )
    return read_only(
        x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    )


@op(
    lambda g, in_shapes: reshape(g, in_shapes[0]),
    view=True,
    samples=one_array(lambda draw, shape: {"axis": draw.axes(len(shape))}),
)
def squeeze(xp, x, *, axis=None):
    """x without axes of length 1: all of them, or those named if they have it.

    d squeeze x = squeeze dx

    >>> mg.zeros(1, 3, 1).squeeze().shape
    (3,)
    """
    named = axes_of(axis, x.ndim)
    return read_only(x.reshape(tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in named)))


@op(
    lambda g, in_shapes: reshape(g, in_shapes[0]),
    view=True,
    samples=one_array(lambda draw, shape: {"axis": draw.axis(len(shape) + 1)}),
)
def unsqueeze(xp, x, *, axis):
    """x with a new axis of length 1 at `axis` of the result.        d unsqueeze x = unsqueeze dx

    >>> mg.zeros(2, 3).unsqueeze(-1).shape
    (2, 3, 1)
    """
    place = axis_of(axis, x.ndim + 1, "axis")
    return read_only(x.reshape(*x.shape[:place], 1, *x.shape[place:]))


# ---- the same axes in another order --------------------------------------------------------------


@op(lambda g, axis0, axis1: transpose(g, axis0, axis1), view=True)
def transpose(xp, x, *, axis0, axis1):
    """x with two axes swapped (`permute` orders them all).        d transpose x = transpose dx

    >>> mg.zeros(2, 3, 4).transpose(0, -1).shape
    (4, 3, 2)
    """
    first, second = axis_of(axis0, x.ndim, "axis0"), axis_of(axis1, x.ndim, "axis1")
    return read_only(x.swapaxes(first, second))


@op(lambda g, axis0, axis1: transpose(g, axis0, axis1), view=True)
def swapaxes(xp, x, *, axis0, axis1):
    """x with two axes swapped: `transpose` under NumPy's name.        d swapaxes x = swapaxes dx

    >>> mg.zeros(2, 3, 4).swapaxes(0, 1).shape
    (3, 2, 4)
    """
    return transpose.forward(xp, x, axis0=axis0, axis1=axis1)


def _inverse(axes):
    places = [a % len(axes) for a in axes]
    return tuple(sorted(range(len(axes)), key=places.__getitem__))


@op(lambda g, axes: permute(g, _inverse(axes)), star="axes", view=True)
def permute(xp, x, *, axes):
    """x with its axes in the order given.        d permute x = permute dx

    >>> mg.zeros(2, 3, 4).permute(2, 0, 1).shape
    (4, 2, 3)
    """
    if len(axes) != x.ndim:
        raise ShapeError(
            f"permute got {len(axes)} axes {axes} for {x.ndim}: name each once, as in "
            f"permute{tuple(range(x.ndim))[::-1]}"
        )
    axes_of(axes, x.ndim)  # in range, and none twice
    return read_only(xp.transpose(x, axes))


def _listed(axes):
    return [axes] if isinstance(axes, int | np.integer) else list(axes)


@op(lambda g, source, destination: moveaxis(g, destination, source), view=True)
def moveaxis(xp, x, *, source, destination):
    """x with some axes moved to new places; the others keep their order.

    d moveaxis x = moveaxis dx

    >>> mg.zeros(2, 3, 4).moveaxis(0, -1).shape
    (3, 4, 2)
    """
    for axes in (source, destination):
        axes_of(axes, x.ndim)
    if len(_listed(source)) != len(_listed(destination)):
        raise ShapeError(
            f"moveaxis from {source} to {destination}: give as many destinations as sources"
        )
    return read_only(xp.moveaxis(x, source, destination))


# ---- repeated without copying --------------------------------------------------------------------


@op(lambda g: g, star="shape", view=True)
def broadcast_to(xp, x, *, shape):
    """x repeated to a shape, without copying.        d broadcast x = broadcast dx

    >>> mg.tensor([[1.0], [2.0]]).broadcast_to(2, 3)
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    return read_only(xp.broadcast_to(x, shape))


@op(lambda g: g, star="shape", view=True)
def expand(xp, x, *, shape):
    """x repeated to a shape in which -1 keeps an axis' length.        d expand x = expand dx

    >>> mg.tensor([[1.0], [2.0]]).expand(-1, 3).shape
    (2, 3)
    """
    lead = len(shape) - x.ndim
    kept = [x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape)]
    return read_only(xp.broadcast_to(x, tuple(kept)))


# ---- samples -------------------------------------------------------------------------------------


@reshape.samples
def _reshape_samples(draw):
    x = anything(draw, draw.shape())
    lengths = draw.one_of((x.size,), (1, x.size, 1), x.shape[::-1])
    if x.size and lengths and draw.flag():  # one length may be left to the op
        i = draw.integer(0, len(lengths) - 1)
        lengths = (*lengths[:i], -1, *lengths[i + 1 :])
    return (x,), {"shape": lengths}


@flatten.samples
def _flatten_samples(draw):
    x = anything(draw, draw.shape())
    first = draw.integer(0, max(x.ndim - 1, 0))
    last = draw.integer(first, max(x.ndim - 1, 0))
    return (x,), {"start_dim": first, "end_dim": last - x.ndim if draw.flag() and x.ndim else last}


def _two_axes(first, second):
    def statics(draw, shape):
        return {first: draw.axis(len(shape)), second: draw.axis(len(shape))}

    return one_array(statics, least=1)


def _permute_axes(draw, shape):
    return {"axes": tuple([a - len(shape) * draw.flag() for a in draw.order(len(shape))])}


@moveaxis.samples
def _moveaxis_samples(draw):
    x = anything(draw, draw.shape(least=1))
    count = draw.integer(1, x.ndim)
    places = [draw.order(x.ndim)[:count] for _ in range(2)]
    source, destination = (tuple(a - x.ndim * draw.flag() for a in axes) for axes in places)
    if count == 1 and draw.flag():
        (source,), (destination,) = source, destination
    return (x,), {"source": source, "destination": destination}


@broadcast_to.samples
def _broadcast_samples(draw):
    shape, full = draw.shapes(2)
    full = np.broadcast_shapes(shape, full)
    return (anything(draw, shape),), {"shape": (2, *full) if draw.flag() else full}


@expand.samples
def _expand_samples(draw):
    (x,), statics = _broadcast_samples(draw)
    lead, full = len(statics["shape"]) - x.ndim, statics["shape"]
    shape = [-1 if i >= lead and draw.flag() else n for i, n in enumerate(full)]
    return (x,), {"shape": tuple(shape)}


transpose.samples(_two_axes("axis0", "axis1"))
swapaxes.samples(_two_axes("axis0", "axis1"))
permute.samples(one_array(_permute_axes))
