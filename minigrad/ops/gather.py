"""Reading and adding along one axis, at indices that are an input of the op.

An index out of range raises on the CPU; on a GPU it wraps silently, as CuPy has it.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..dtypes import NUMBER
from ..errors import DTypeError, OutOfRangeError, ShapeError
from ..op import op
from ..samples import anything, below
from .index import added, unindex, wider
from .shape import at, axis_of, reshape


def _checked(index, x):
    """An index of integers on x's device; of nothing, whatever its dtype."""
    if backend.find(index) is not None and backend.find(x) is not None:
        backend.check_same(x, index)
    index = np.asarray(index) if isinstance(index, list | tuple) else index
    kind = np.dtype(getattr(index, "dtype", type(index))).kind
    if getattr(index, "size", 1) and kind not in "iu":
        raise DTypeError("the index must be integers: use x[mask] or where for a mask")
    return index if kind == "i" else index.astype(np.intp)


def _not_empty(index, length):
    """An axis without places has none to read, which CuPy would not say."""
    if length == 0 and getattr(index, "size", 1):
        raise OutOfRangeError("no index is in range of an axis of length 0")


# ---- an index of x's own rank --------------------------------------------------------------------


def _grid(xp, x_shape, axis, index):
    """Full index arrays for `index` along one axis, everything else in its place."""
    axis = axis_of(axis, len(x_shape))
    fits = index.ndim == len(x_shape) and all(
        m <= n or i == axis for i, (m, n) in enumerate(zip(index.shape, x_shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"an index of shape {index.shape} for x of shape {x_shape}: give it as many axes, "
            f"none longer than x's but axis {axis}"
        )
    _not_empty(index, x_shape[axis])
    grid = list(xp.ogrid[tuple(map(slice, index.shape))])
    grid[axis] = index
    return tuple(grid)


@op(
    lambda g, index, in_shapes, axis: ungather(g, index, shape=in_shapes[0], axis=axis),
    None,
    order="x axis index",
)
def gather(xp, x, index, *, axis):
    """y[i, j] = x[index[i, j], j] for axis 0, and so on; index has x's rank and may be shorter.

    d gather x = gather dx

    On a GPU, an index out of range wraps silently.

    Differs from PyTorch: an index may be negative.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).gather(1, mg.tensor([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]])
    """
    return x[_grid(xp, x.shape, axis, _checked(index, x))]


@op(lambda g, index, axis: gather(g, axis, index), None, method=False)
def ungather(xp, x, index, *, shape, axis):
    """Zeros of `shape` with x added where `gather` read.        d ungather x = ungather dx

    >>> from minigrad.ops.gather import ungather
    >>> ungather(mg.tensor([1.0, 2.0, 4.0]), mg.tensor([0, 0, 1]), shape=(3,), axis=0)
    tensor([3., 4., 0.])
    """
    index = _checked(index, x)
    key = _grid(xp, shape, axis, index)
    if x.shape != index.shape:
        raise ShapeError(f"x of shape {x.shape} and an index of shape {index.shape} must be alike")
    return added(xp.zeros(shape, wider(x.dtype)), key, x, x.dtype)


def _corner(shape):
    """The key of the part of a larger array that has this shape."""
    return tuple(map(slice, shape))


def _scattered(g, index, in_shapes, axis):
    """What was read of src gets the gradient of where it went, the rest nothing."""
    read = gather(g, axis, index)
    return read if read.shape == in_shapes[2] else unindex(
        read, shape=in_shapes[2], key=_corner(read.shape))  # fmt: skip


@op(lambda g: g, None, _scattered, order="x axis index src")
def scatter_add(xp, x, index, src, *, axis):
    """x with src added: for axis 0, y[index[i, j], j] += src[i, j]; as often as an index occurs.

    d scatter_add = dx + scatter_add(0, dsrc)

    index and src have x's rank; src may be longer than index, which says how much of it is read.

    Differs from PyTorch: src has a gradient even where it is longer, and an index may be negative.

    >>> mg.zeros(3).scatter_add(0, mg.tensor([0, 0, 1]), mg.tensor([1.0, 2.0, 4.0]))
    tensor([3., 4., 0.])
    """
    index = _checked(index, x)
    key, shape = _grid(xp, x.shape, axis, index), getattr(src, "shape", ())
    if len(shape) != index.ndim or any(m > n for m, n in zip(index.shape, shape, strict=True)):
        raise ShapeError(
            f"src of shape {shape} for an index of shape {index.shape}: give it as many axes, each "
            "at least as long"
        )
    dtype = np.result_type(x.dtype, src.dtype)
    return added(x.astype(wider(dtype)), key, src[_corner(index.shape)], dtype)


# ---- an index into one axis ----------------------------------------------------------------------


def _bare(index, x):
    """The index of a rule, without the Tensor that it may be."""
    return _checked(getattr(index, "array", index), getattr(x, "array", x))


def _untaken(g, index, in_shapes, axis):
    shape = in_shapes[0]
    flat = (math.prod(shape),) if axis is None else shape
    place = 0 if axis is None else axis_of(axis, len(shape))
    return reshape(unindex(g, shape=flat, key=at(place, _bare(index, g))), shape)


@op(_untaken, None)
def take(xp, x, index, *, axis=None):
    """x at integers along an axis (None: of the flattened x), in the index's shape there.

    d take x = take dx

    On a GPU, an index out of range wraps silently.

    Differs from PyTorch: it has NumPy's axis as well.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).take([[0, 3]])
    tensor([[1., 4.]])
    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).take([1, 1, 0], axis=1)
    tensor([[2., 2., 1.],
            [4., 4., 3.]])
    """
    index, place = _checked(index, x), None if axis is None else axis_of(axis, x.ndim)
    _not_empty(index, x.size if place is None else x.shape[place])
    return xp.take(x, index, axis=place)


@op(
    lambda g: g,
    None,
    lambda g, index, axis, alpha: take(g, index, axis) * alpha,
    order="x axis index source alpha",
)
def index_add(xp, x, index, source, *, axis, alpha=1):
    """x with alpha · source[i] added at index[i] along axis, as often as an index occurs.

    d index_add = dx + index_add(0, alpha · dsource)

    index has one axis, and source x's shape but for one piece for each of the index.

    Differs from PyTorch: an index may be negative.

    >>> x = mg.zeros(3, 2)
    >>> x.index_add(0, mg.tensor([0, 2, 0]), mg.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]))
    tensor([[5., 5.],
            [0., 0.],
            [2., 2.]])
    """
    index, place = _checked(index, x), axis_of(axis, x.ndim)
    if isinstance(alpha, bool) or not isinstance(alpha, NUMBER) or not math.isfinite(alpha):
        raise DTypeError(f"alpha was given as {alpha!r}: give a finite number")
    alpha = alpha.item() if isinstance(alpha, np.generic) else alpha  # NumPy's would widen x
    wanted = (*x.shape[:place], *getattr(index, "shape", ()), *x.shape[place + 1 :])
    if getattr(index, "ndim", 0) != 1 or getattr(source, "shape", ()) != wanted:
        raise ShapeError(
            f"an index of shape {getattr(index, 'shape', ())} and a source of shape "
            f"{getattr(source, 'shape', ())}: give (n,) and x's shape with n on axis {axis}"
        )
    _not_empty(index, x.shape[place])
    dtype = np.result_type(x.dtype, source.dtype)
    if isinstance(alpha, float) and dtype.kind != "f":
        raise DTypeError(f"alpha {alpha} would be cut to {dtype}: give an integer")
    values = source.astype(wider(dtype)) * alpha
    return added(x.astype(wider(dtype)), at(place, index), values, dtype)


# ---- samples -------------------------------------------------------------------------------------


@gather.samples
def _gather_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.axis(x.ndim)
    shape = [draw.integer(0, n) for n in x.shape]
    shape[axis] = draw.integer(0, 4) if x.shape[axis] else 0
    return (x, below(max(x.shape[axis], 1))(draw, tuple(shape))), {"axis": axis}


@ungather.samples
def _ungather_samples(draw):
    (x, index), statics = _gather_samples(draw)
    return (anything(draw, index.shape), index), {"shape": x.shape} | statics


@scatter_add.samples
def _scatter_samples(draw):
    (x, index), statics = _gather_samples(draw)
    longer = tuple([n + draw.integer(0, 1) for n in index.shape])
    return (x, index, anything(draw, longer)), statics


@take.samples
def _take_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.one_of(None, draw.axis(x.ndim))
    n = x.size if axis is None else x.shape[axis]
    shape = draw.shape(most=2) if n else (0,)
    return (x, below(max(n, 1))(draw, shape)), {"axis": axis}


@index_add.samples
def _index_add_samples(draw):
    x = anything(draw, draw.shape(least=1))
    axis = draw.integer(0, x.ndim - 1)
    count = draw.integer(0, 4) if x.shape[axis] else 0
    source = anything(draw, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    statics = {"axis": axis - x.ndim * draw.flag(), "alpha": draw.one_of(1, -0.5)}
    return (x, below(max(x.shape[axis], 1))(draw, (count,)), source), statics
