"""Arrays put together, and taken apart."""

from __future__ import annotations

import itertools

from ..backend import Array
from ..dtypes import WHOLE
from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything
from .index import getitem
from .shape import at, axis_of, read_only

# ---- together ------------------------------------------------------------------------------------


def _pieces(lengths, axis):
    edges = [0, *itertools.accumulate(lengths)]
    return [at(axis, slice(*ends)) for ends in itertools.pairwise(edges)]


@op()
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


@op()
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
    keys = [at(axis, i) for i in range(len(needs))]
    return [getitem(g, key=key) if need else None for key, need in zip(keys, needs, strict=True)]


# ---- apart ---------------------------------------------------------------------------------------


def _together(g, axis):
    """The adjoint of taking apart; one piece alone has a cotangent and no tuple of them."""
    return cat(g if isinstance(g, tuple) else (g,), axis)


@op(_together, view=True)
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
    if sum(sizes) != n or min(sizes, default=-1) < 0:
        raise ShapeError(f"split_size {split_size}: the sizes must add up to the axis' length {n}")
    return tuple([read_only(x[key]) for key in _pieces(sizes, axis)])


@op(_together, view=True)
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


# ---- samples -------------------------------------------------------------------------------------


@cat.samples
def _cat_samples(draw):
    shape = draw.shape(least=1)
    axis = draw.axis(len(shape))
    lengths = [draw.integer(0, 3) for _ in range(draw.integer(1, 3))]
    place = axis % len(shape)
    shapes = [(*shape[:place], n, *shape[place + 1 :]) for n in lengths]
    return tuple([anything(draw, each) for each in shapes]), {"axis": axis}


@stack.samples
def _stack_samples(draw):
    shape = draw.shape(most=2)
    count = draw.integer(1, 3)
    arrays = tuple([anything(draw, shape) for _ in range(count)])
    return arrays, {"axis": draw.axis(len(shape) + 1)}


@split.samples
def _split_samples(draw):
    x = anything(draw, draw.shape(least=1, side=(1, 4)))
    axis = draw.axis(x.ndim)
    first = draw.integer(0, x.shape[axis])
    by_sizes = [first, x.shape[axis] - first]
    return (x,), {"split_size": draw.one_of(1, 2, by_sizes), "axis": axis}


@chunk.samples
def _chunk_samples(draw):
    x = anything(draw, draw.shape(least=1, side=(1, 4)))
    return (x,), {"chunks": draw.integer(1, 3), "axis": draw.axis(x.ndim)}
