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

BLOCK = 128  # rows that float32 adds up: so few roundings stay near its own precision


def kept_shape(shape, axes):
    """`shape` with length 1 on the reduced axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def count(shape, axes):
    """How many values are reduced to one."""
    return math.prod(shape[a] for a in axes)


def total(xp, x, axes):
    """Σ x over axes with keepdims: float64 for floating x (the caller rounds once).

    Integers and booleans give NumPy's own dtypes.
    """
    if x.dtype.kind != "f":
        return xp.add.reduce(x, axis=axes, keepdims=True)
    if xp is np and x.dtype == np.float32 and axes and x.size and x.flags.c_contiguous:
        if len(axes) < x.ndim and axes == tuple(range(len(axes))):
            sums = _column_totals(xp, x.reshape(count(x.shape, axes), -1))
            return sums.reshape(kept_shape(x.shape, axes))
        if axes[-1] == x.ndim - 1:
            trailing = tuple(a for a in axes if all(b in axes for b in range(a, x.ndim)))
            x = xp.add.reduce(x, axis=trailing, keepdims=True)  # contiguous, so added pairwise
    return xp.add.reduce(x, axis=axes, keepdims=True, dtype=np.float64)


def _column_totals(xp, rows):
    """Column sums of a matrix; a block's are a product with ones, which is fast."""
    n, columns = rows.shape
    if n <= BLOCK:
        return xp.matmul(_ones(xp, n), rows).astype(np.float64)
    whole = n // BLOCK * BLOCK
    blocks = xp.matmul(_ones(xp, BLOCK), rows[:whole].reshape(-1, BLOCK, columns))
    sums = xp.add.reduce(blocks, axis=0, dtype=np.float64)
    return sums if whole == n else sums + _column_totals(xp, rows[whole:])


@functools.cache
def _ones(xp, n):
    return xp.ones((1, n), np.float32)
