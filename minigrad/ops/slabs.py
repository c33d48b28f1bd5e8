"""Arrays in parts that stay in the cache, so that several steps are one pass over the memory."""

from __future__ import annotations

import numpy as np

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
