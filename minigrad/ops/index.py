"""Indexing and its adjoints: what is read once is added once, what is read twice, twice."""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..errors import ShapeError
from ..op import op
from ..tensor import Tensor
from .elementwise import where
from .shape import axes_of, read_only, reshape


def bare_key(key):
    """An index as NumPy takes it, without Tensors.

    Arrays in it are copied, so that later writes change nothing.
    """
    if isinstance(key, tuple):
        return tuple([bare_key(k) for k in key])
    if isinstance(key, Tensor):
        return key.array.copy()
    if isinstance(key, list):
        array = np.asarray(key)
        return array.astype(np.intp) if array.size == 0 else array
    return key.copy() if backend.find(key) is not None else key


def is_basic(key):
    """Whether an index has no arrays: then it reads nothing twice, and gives a view."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        k is None
        or k is Ellipsis
        or (isinstance(k, slice | int | np.integer) and not isinstance(k, bool))
        for k in parts
    )


@op(lambda g, in_shapes, key: unindex(g, shape=in_shapes[0], key=key), method=False)
def getitem(xp, x, *, key):
    """x[key], with all of NumPy's indexing; a view where the index is basic.

    d x[key] = dx[key]
    """
    y = x[key]
    return read_only(y) if is_basic(key) else y


@op(lambda g, key: getitem(g, key=key), method=False)
def unindex(xp, x, *, shape, key):
    """Zeros of `shape` with x added at key: the adjoint of reading x[key].

    d unindex x = unindex dx
    """
    y = xp.zeros(shape, x.dtype)
    if is_basic(key):
        y[key] = x
    else:
        backend.of(y).add_at(y, key, x)
    return y


def _last_written(g, in_shapes, key):
    """Of values written to one place the last stays, so only it has a gradient."""
    shape, v_shape = in_shapes
    written = getitem(g, key=key)
    if not is_basic(key):
        order = np.full(shape, -1)
        turn = np.arange(math.prod(written.shape)).reshape(written.shape)
        order[key] = turn
        written = where(order[key] == turn, written, 0)
    # v may have more leading axes of length 1 than the place that it was written to
    missing = max(len(v_shape) - len(written.shape), 0)
    return reshape(written, (1,) * missing + tuple(written.shape))


@op(lambda g, key: setitem(g, 0.0, key=key), _last_written, method=False)
def setitem(xp, x, v, *, key):
    """A copy of x with v at key.        d setitem = dx outside key, dv inside"""
    y = x.copy()
    try:
        y[key] = v
    except ValueError as error:
        raise ShapeError(
            f"values of shape {v.shape} do not fit into t[...] of shape {y[key].shape}"
        ) from error
    return y


def _grid(xp, axis, index):
    """Full index arrays for `index` along one axis, everything else in its place."""
    ((axis,), grid) = axes_of(axis, index.ndim), list(xp.ogrid[tuple(map(slice, index.shape))])
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
    """
    return x[_grid(xp, axis, index)]


@op(lambda g, index, axis: gather(g, axis, index), None, method=False)
def ungather(xp, x, index, *, shape, axis):
    """Zeros of `shape` with x added where `gather` read.        d ungather x = ungather dx"""
    y = xp.zeros(shape, x.dtype)
    backend.of(y).add_at(y, _grid(xp, axis, index), x)
    return y
