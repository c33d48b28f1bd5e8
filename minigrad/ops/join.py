"""Arrays put together, taken apart, padded and repeated."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..backend import Array
from ..dtypes import NUMBER, WHOLE
from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything
from .index import getitem, unindex
from .reduce import sum
from .shape import axes_of, axis_of, read_only, reshape

# ---- together ------------------------------------------------------------------------------------


def _piece(axis, start, stop):
    """The key that reads start:stop along one axis."""
    return (*[slice(None)] * axis, slice(start, stop))


def _pieces(lengths, axis):
    edges = [0, *itertools.accumulate(lengths)]
    return [_piece(axis, start, stop) for start, stop in itertools.pairwise(edges)]


def _cat_samples(draw):
    shape = draw.shape(least=1)
    axis = draw.axis(len(shape))
    lengths = [draw.integer(0, 3) for _ in range(draw.integer(1, 3))]
    place = axis % len(shape)
    shapes = [(*shape[:place], n, *shape[place + 1 :]) for n in lengths]
    return tuple([anything(draw, each) for each in shapes]), {"axis": axis}


@op(samples=_cat_samples)
def cat(xp, *tensors, axis=0):
    """Tensors one after the other along an axis that they have.        d cat(a, b) = cat(da, db)

    >>> mg.cat([mg.tensor([1.0, 2.0]), mg.tensor([3.0])])
    tensor([1., 2., 3.])
    """
    if not tensors:
        raise ShapeError("nothing to put together: give at least one tensor")
    if any(t.ndim == 0 for t in tensors):
        raise ShapeError("a 0-d tensor has no axis to go along: use stack, or .reshape(1)")
    return xp.concatenate(tensors, axis_of(axis, tensors[0].ndim))


@cat.vjp
def _(g, needs, in_shapes, axis):
    axis = axis_of(axis, len(in_shapes[0]))
    keys = _pieces([shape[axis] for shape in in_shapes], axis)
    return [getitem(g, key=key) if need else None for key, need in zip(keys, needs, strict=True)]


def _stack_samples(draw):
    shape = draw.shape(most=2)
    count = draw.integer(1, 3)
    arrays = tuple([anything(draw, shape) for _ in range(count)])
    return arrays, {"axis": draw.axis(len(shape) + 1)}


@op(samples=_stack_samples)
def stack(xp, *tensors, axis=0):
    """Tensors of one shape along a new axis.        d stack(a, b) = stack(da, db)

    >>> mg.stack([mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])], axis=1)
    tensor([[1., 3.],
            [2., 4.]])
    """
    if not tensors:
        raise ShapeError("nothing to put together: give at least one tensor")
    return xp.stack(tensors, axis_of(axis, tensors[0].ndim + 1))


@stack.vjp
def _(g, needs, in_shapes, axis):
    axis = axis_of(axis, len(in_shapes[0]) + 1)
    keys = [(*[slice(None)] * axis, i) for i in range(len(needs))]
    return [getitem(g, key=key) if need else None for key, need in zip(keys, needs, strict=True)]


# ---- apart ---------------------------------------------------------------------------------------


def _together(g, axis):
    """The adjoint of taking apart; one piece alone has a cotangent and no tuple of them."""
    return cat(g if isinstance(g, tuple) else (g,), axis)


def _split_samples(draw):
    x = anything(draw, draw.shape(least=1, side=(1, 4)))
    axis = draw.axis(x.ndim)
    first = draw.integer(0, x.shape[axis])
    by_sizes = [first, x.shape[axis] - first]
    return (x,), {"split_size": draw.one_of(1, 2, by_sizes), "axis": axis}


@op(_together, view=True, samples=_split_samples)
def split(xp, x, *, split_size, axis=0) -> tuple[Array, ...]:
    """x in pieces of split_size (the last may be smaller), or of the sizes in a list.

    d split x = split dx

    >>> [piece.tolist() for piece in mg.arange(5).split(2)]
    [[0, 1], [2, 3], [4]]
    """
    axis = axis_of(axis, x.ndim)
    n = x.shape[axis]
    if isinstance(split_size, WHOLE) and split_size > 0:
        sizes = [min(split_size, n - i) for i in range(0, n, split_size)] or [0]
    elif isinstance(split_size, list | tuple) and all(isinstance(k, WHOLE) for k in split_size):
        sizes = list(split_size)
    else:
        raise DTypeError(
            f"split_size was given as {split_size!r}: give a length, or a list of them"
        )
    if math.fsum(sizes) != n or min(sizes, default=-1) < 0:
        raise ShapeError(f"split_size {split_size}: the sizes must add up to the axis' length {n}")
    return tuple([read_only(x[key]) for key in _pieces(sizes, axis)])


def _chunk_samples(draw):
    x = anything(draw, draw.shape(least=1, side=(1, 4)))
    return (x,), {"chunks": draw.integer(1, 3), "axis": draw.axis(x.ndim)}


@op(_together, view=True, samples=_chunk_samples)
def chunk(xp, x, *, chunks, axis=0) -> tuple[Array, ...]:
    """x in at most so many pieces of equal length; the last may be smaller.

    d chunk x = chunk dx

    >>> [piece.tolist() for piece in mg.arange(5).chunk(2)]
    [[0, 1, 2], [3, 4]]
    """
    if not isinstance(chunks, WHOLE) or chunks < 1:
        raise DTypeError(f"chunks was given as {chunks!r}: give the number of pieces, 1 or more")
    n = x.shape[axis_of(axis, x.ndim)]
    sizes = -(-n // chunks) if n else [0] * chunks
    return split.forward(xp, x, split_size=sizes, axis=axis)


# ---- more at the edges ---------------------------------------------------------------------------


def widths_of(pad, ndim):
    """`pad` as (before, after) for every axis: PyTorch's flat list from the last axis on, or pairs.

    Raises:
        ShapeError, DTypeError: what fits neither form.
    """
    if isinstance(pad, list | tuple) and pad and isinstance(pad[0], list | tuple):
        pairs = [tuple(pair) for pair in pad]
        fits = len(pairs) == ndim and all(len(pair) == 2 for pair in pairs)
    else:
        flat = list(pad) if isinstance(pad, list | tuple) else [pad]
        pairs = [(0, 0)] * (ndim - len(flat) // 2) + list(zip(flat[::2], flat[1::2], strict=False))[
            ::-1
        ]
        fits = len(flat) % 2 == 0 and len(pairs) == ndim
    if not all(isinstance(n, WHOLE) for pair in pairs for n in pair):
        raise DTypeError(f"pad was given as {pad!r}: give whole numbers")
    if not fits:
        raise ShapeError(
            f"pad {pad} for {ndim} axes: give (before, after) of the last axis, then of the one "
            "before it, ...; or a pair for every axis"
        )
    return pairs


def _pad_samples(draw):
    x = anything(draw, draw.shape(least=1, most=2, side=(2, 3)))
    mode = draw.one_of("constant", "reflect", "replicate", "circular")
    least = -1 if mode == "constant" else 0
    flat = [draw.integer(least, 1) for _ in range(2 * draw.integer(1, x.ndim))]
    statics = {"mode": mode, "value": draw.one_of(0.0, 2.5) if mode == "constant" else 0.0}
    return (x,), {"pad": draw.one_of(flat, widths_of(flat, x.ndim))} | statics


def _pad_less(g, widths):
    """The adjoint of adding zeros is cutting off, and the other way round."""
    return pad(g, [(-before, -after) for before, after in widths])


def _pad_rule(g, in_shapes, pad, mode):
    shape = in_shapes[0]
    widths = widths_of(pad, len(shape))
    if mode == "constant":
        return _pad_less(g, widths)
    steps, before = [], shape
    for key, after in _border_steps(before, widths, mode):
        steps.append((before, key))
        before = after
    for before, key in reversed(steps):
        g = unindex(g, shape=before, key=key)
    return g


def _border_steps(shape, widths, mode):
    """Axis by axis: the key that reads a border from inside, and the shape that results."""
    for axis, (before, after) in enumerate(widths):
        if before == after == 0:
            continue
        n = shape[axis]
        limit = {"reflect": n - 1, "circular": n, "replicate": math.inf if n else 0}[mode]
        if not (0 <= before <= limit and 0 <= after <= limit):
            raise ShapeError(
                f"{mode} padding {(before, after)} of an axis of length {n}: give 0 to {limit}"
            )
        places = np.arange(-before, n + after)
        if mode == "reflect":
            places = (n - 1) - np.abs((n - 1) - np.abs(places))
        places = places % n if mode == "circular" else np.clip(places, 0, n - 1)
        shape = (*shape[:axis], len(places), *shape[axis + 1 :])
        yield (*[slice(None)] * axis, places), shape


@op(_pad_rule, samples=_pad_samples)
def pad(xp, x, *, pad, mode="constant", value=0.0):
    """x with values added at its edges; negative widths cut off.        d pad x = pad dx

    Args:
        pad: (before, after) of the last axis, then of the one before it, and so on, as in PyTorch;
            or a pair for every axis from the first, as in NumPy.
        mode: "constant", "reflect" (the border is not repeated), "replicate" or "circular".
        value: what is added in the mode "constant".

    Differs from PyTorch: any axes can be padded in any mode.

    >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2))
    tensor([0., 1., 2., 3., 0., 0.])
    >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2), mode="circular")
    tensor([3., 1., 2., 3., 1., 2.])
    """
    widths = widths_of(pad, x.ndim)
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ShapeError(
            f'mode was given as {mode!r}: give "constant", "reflect", "replicate" or "circular"'
        )
    if mode != "constant":
        for key, _ in _border_steps(x.shape, widths, mode):
            x = x[(*key[:-1], xp.asarray(key[-1]))]
        return x.copy() if all(pair == (0, 0) for pair in widths) else x
    if not isinstance(value, NUMBER):
        raise DTypeError(f"value was given as {value!r}: give a number")
    for n, (before, after) in zip(x.shape, widths, strict=True):
        if n + before + after < 0:
            raise ShapeError(f"pad {(before, after)} cuts more off than the axis' length {n}")
    kept = [
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(x.shape, widths, strict=True)
    ]
    added = [(max(before, 0), max(after, 0)) for before, after in widths]
    return xp.pad(x[tuple(kept)], added, mode="constant", constant_values=value)


# ---- the same values in other places, or several times -------------------------------------------


def _flip_samples(draw):
    x = anything(draw, draw.shape())
    return (x,), {"axis": draw.axes(x.ndim)}


@op(lambda g, axis: flip(g, axis), aliases={"axis": ("dim", "dims")}, samples=_flip_samples)
def flip(xp, x, *, axis=None):
    """x in reverse order along axis (None: all).        d flip x = flip dx

    >>> mg.tensor([1.0, 2.0, 3.0]).flip(0)
    tensor([3., 2., 1.])
    """
    return xp.flip(x, axes_of(axis, x.ndim)).copy()


def _roll_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.one_of(None, draw.axis(x.ndim), tuple(range(x.ndim)))
    count = len(axis) if isinstance(axis, tuple) else 1
    shifts = tuple([draw.integer(-4, 4) for _ in range(count)])
    return (x,), {"shifts": shifts if isinstance(axis, tuple) else shifts[0], "axis": axis}


def _back(g, shifts, axis):
    return roll(
        g, tuple([-n for n in shifts]) if isinstance(shifts, tuple | list) else -shifts, axis
    )


@op(_back, aliases={"axis": ("dim", "dims")}, samples=_roll_samples)
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


def _tile_samples(draw):
    x = anything(draw, draw.shape(most=2))
    return (x,), {"reps": tuple([draw.integer(0, 2) for _ in range(draw.integer(0, 3))])}


def _untile(g, in_shapes, reps):
    shape = (1,) * (len(reps) - len(in_shapes[0])) + in_shapes[0]
    reps = (1,) * (len(shape) - len(reps)) + tuple(reps)
    apart = reshape(g, tuple(itertools.chain(*zip(reps, shape, strict=True))))
    return reshape(sum(apart, tuple(range(0, 2 * len(shape), 2))), in_shapes[0])


@op(_untile, star="reps", samples=_tile_samples)
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


def _repeat_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.one_of(None, draw.axis(x.ndim))
    n = x.size if axis is None else x.shape[axis]
    each = [draw.integer(0, 2) for _ in range(n)]
    return (x,), {"repeats": draw.one_of(2, each) if n else 2, "axis": axis}


def _unrepeat(g, in_shapes, repeats, axis):
    shape = in_shapes[0]
    flat = (math.prod(shape),) if axis is None else shape
    axis = 0 if axis is None else axis_of(axis, len(shape))
    key = (*[slice(None)] * axis, _repeats(repeats, flat[axis]))
    return reshape(unindex(g, shape=flat, key=key), shape)


@op(_unrepeat, samples=_repeat_samples)
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
    return x[(*[slice(None)] * axis, places)]
