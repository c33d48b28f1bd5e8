"""Several steps in one pass over the memory: arrays in parts that stay in the cache, and products
that are summed and not kept.
"""

from __future__ import annotations

import math

import numpy as np

from .sums import kept_shape, total

FEW = 1 << 14  # numbers whose products are as fast in memory
LONG = 1 << 13  # numbers in a row whose products float32 adds up, in many sums side by side

SLAB = 1 << 19  # bytes: with a temporary or two it fits the caches next to a core


def slabs(xp, x, *others):
    """x and what meets it, part by part along the first axis, as views; numbers as they are.

    What has length 1 there goes with every part.  Another library than NumPy, and x in another
    order in memory, gets one part: the whole.
    """
    if xp is not np or x.nbytes <= 2 * SLAB or not x.flags.c_contiguous:
        yield (x, *others)
        return
    length = len(x)
    rows = max(1, SLAB * length // x.nbytes)
    for start in range(0, length, rows):
        part = slice(start, start + rows)
        yield tuple(
            a[part] if isinstance(a, np.ndarray) and len(a) == length else a for a in (x, *others)
        )


def total_product(xp, a, b, axes):
    """Σ a · b over axes with keepdims, in float64, for two arrays of one shape."""
    large = xp is np and a.size > FEW and a.dtype == b.dtype == np.float32
    if large and a.flags.c_contiguous and b.flags.c_contiguous:
        first = a.ndim  # of the last axes that are summed over, whose products are one row's
        while first - 1 in axes:
            first -= 1
        lead, row = a.shape[:first], math.prod(a.shape[first:])
        if first < a.ndim and row <= LONG:
            sums = np.vecdot(a.reshape(*lead, row), b.reshape(*lead, row))
            sums = np.add.reduce(sums, tuple([i for i in axes if i < first]), np.float64)
            return sums.reshape(kept_shape(a.shape, axes))
    return total(xp, a * b, axes)
