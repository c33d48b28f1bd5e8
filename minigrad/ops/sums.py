"""Sums of arrays that hold at any length, which the ops are built on.

NumPy adds the rows of a float32 array one after the other when it sums over the leading axes, so
that `ones((2**25, 2), float32).sum(0)` is half the truth.  Here float32 adds up blocks, and float64
adds up the blocks.  Another library's kernels convert each value as they read it, so there float64
adds up all.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..errors import ShapeError

BLOCK = 128  # numbers that float32 adds up: so few roundings stay near its own precision
SINGLE = np.dtype(np.float32)
BLOCKWISE = SINGLE, np.dtype(np.float64)
FIRST = (0,)  # axes
# numbers in each of several matrices, from which on a product each is faster than NumPy's sum
WORTH_A_PRODUCT = 512


# What depends on shapes and axes only is kept: a small sum takes less time than they do.
remembered = functools.lru_cache(maxsize=4096)


@remembered
def kept_shape(shape, axes):
    """`shape` with length 1 on the reduced axes."""
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


@remembered
def reduced(shape, axes, keepdims):
    """`shape` after a reduction."""
    if keepdims:
        return kept_shape(shape, axes)
    return tuple([n for i, n in enumerate(shape) if i not in axes])


@remembered
def count(shape, axes):
    """How many values are reduced to one."""
    return math.prod([shape[a] for a in axes])


@remembered
def repeated(full, shape):
    """The axes of `full` along which a broadcast from `shape` repeats."""
    lead = len(full) - len(shape)
    kept = (1,) * lead + shape
    if lead >= 0:
        pairs = enumerate(zip(full, kept, strict=True))
        axes = tuple([i for i, (n, m) in pairs if i < lead or (m == 1 and n != 1)])
        if kept_shape(full, axes) == kept:
            return axes
    raise ShapeError(f"shape {full} is not a broadcast of {shape}")


@remembered
def joined(shape, axes):
    """Lengths of alternately reduced and kept axes, and whether the first is reduced.

    Neighbours of one kind are one axis, and axes of length 1 are left out.
    """
    kinds: list[bool] = []
    lengths: list[int] = []
    for i, n in enumerate(shape):
        if n == 1:
            continue
        if kinds and kinds[-1] is (i in axes):
            lengths[-1] *= n
        else:
            kinds.append(i in axes)
            lengths.append(n)
    return tuple(lengths), bool(kinds) and kinds[0]


def total(xp, x, axes):
    """Σ x over axes with keepdims: float64 for floating x (the caller rounds once).

    Integers and booleans give NumPy's own dtypes.
    """
    if axes == FIRST and xp is np and x.ndim == 2 and x.dtype == SINGLE and 0 < len(x) <= BLOCK:
        return _ones(len(x), SINGLE).dot(x).astype(np.float64)  # by far the most frequent
    if x.dtype.kind != "f":
        return xp.add.reduce(x, axis=axes, keepdims=True)
    if xp is np and x.dtype in BLOCKWISE and x.size and x.flags.c_contiguous:
        sums = _in_blocks(x, *joined(x.shape, axes))
        if sums is not None:
            return sums.reshape(kept_shape(x.shape, axes))
    return xp.add.reduce(x, axis=axes, keepdims=True, dtype=np.float64)


def _in_blocks(x, lengths, leading):
    """Sums over every second one of the axes; None where there is nothing faster than NumPy's."""
    if len(lengths) % 2 == leading and lengths:  # the last axis is reduced
        sums = _row_totals(x.reshape(-1, lengths[-1])).reshape(lengths[:-1])
        return np.add.reduce(sums, axis=tuple(range(1 - leading, sums.ndim, 2)))
    if leading and len(lengths) == 2:
        return _column_totals(x.reshape(1, *lengths))
    if len(lengths) == 3 and lengths[1] * lengths[2] > WORTH_A_PRODUCT:
        return _column_totals(x.reshape(lengths))
    return None


def _row_totals(rows):
    """Row sums of a matrix; a block's are a product with ones, which is fast."""
    n, length = rows.shape
    if length <= BLOCK:
        return np.matmul(rows, _ones(length, rows.dtype)[0]).astype(np.float64)
    whole = length // BLOCK * BLOCK
    parts = rows[:, :whole].reshape(n, -1, BLOCK)
    if whole == length:
        parts = parts.reshape(-1, BLOCK)  # one product
    blocks = np.matmul(parts, _ones(BLOCK, rows.dtype)[0]).reshape(n, -1)
    sums = np.add.reduce(blocks, axis=1, dtype=np.float64)
    return sums if whole == length else sums + _row_totals(rows[:, whole:])


def _column_totals(rows):
    """Column sums of several matrices; a block's are a product with ones, which is fast."""
    several, n, columns = rows.shape
    if n <= BLOCK:
        return np.matmul(_ones(n, rows.dtype), rows).astype(np.float64)
    whole = n // BLOCK * BLOCK
    parts = rows[:, :whole].reshape(several, -1, BLOCK, columns)
    sums = np.add.reduce(np.matmul(_ones(BLOCK, rows.dtype), parts), axis=1, dtype=np.float64)
    return sums if whole == n else sums + _column_totals(rows[:, whole:])


@functools.cache
def _ones(n, dtype):
    return np.ones((1, n), dtype)
