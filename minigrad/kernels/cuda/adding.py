"""Values added up at indices, in an order of their own: the same call gives the same bits.

CuPy's `add.at` adds atomically, in whatever order threads come by, so that its rounding varies.
Here equal indices are brought together by a stable sort of the kernels' own (CuPy's waits for the
device), and one block adds up what meets in one place.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .floats import FLOATS, THREADS, blocks_for
from .launching import kernel, launch

TILE = 8 * THREADS  # keys that a block of the sort takes, as in indexing.cu
BITS = 8  # of a key that a pass of the sort looks at
MOST = 1 << 31  # keys, and places for them, are counted in 32 bits
FEW = 1024  # up to so many indices no sort is worth its launches, …
FEW_LOOKS = 1 << 26  # … if not too many numbers look through them
LANE = 4  # places that a thread adds before another one helps
MOST_LANES = 64  # threads that a block can have in its third direction
WIDE = 64  # columns of a block: a run of memory that is read as one
ENOUGH = 1 << 10  # blocks that fill a GPU


class Places(NamedTuple):
    """Rows of y (slabs, rows, columns) that values (slabs, keys, columns) belong to."""

    keys: Any  # (n,) of uint32
    slabs: int
    rows: int
    columns: int
    shape: tuple[int, ...]  # of the values


def places_of(xp: ModuleType, shape: tuple[int, ...], key: Any) -> Places | None:
    """Where array[key] is, for an array of a shape; None for a key without indices or places.

    Indices out of range wrap, as everywhere in CuPy.
    """
    if min(shape, default=0) < 1 or math.prod(shape) >= MOST:
        return None
    axis, index = _one_index(key, len(shape))
    if index is None:
        flat = xp.arange(math.prod(shape), dtype=np.uint32).reshape(shape)[key]
        return Places(flat.reshape(-1), 1, math.prod(shape), 1, flat.shape) if flat.size else None
    if not 0 < index.size < MOST:
        return None
    keys = (index.reshape(-1).astype(np.int64, copy=False) % shape[axis]).astype(np.uint32)
    before, behind = shape[:axis], shape[axis + 1 :]
    sizes = math.prod(before), shape[axis], math.prod(behind)
    return Places(keys, *sizes, (*before, *index.shape, *behind))


def add_in_order(xp: ModuleType, array: Any, key: Any, values: Any) -> bool:
    """array[key] += values in place, if there is something to add that the kernels know."""
    places = places_of(xp, array.shape, key) if array.dtype in FLOATS else None
    if places is None:
        return False
    values = xp.ascontiguousarray(xp.broadcast_to(values, places.shape))
    if array.flags.c_contiguous:
        add(xp, values, places, array, more=True)
    else:
        y = xp.ascontiguousarray(array)
        add(xp, values, places, y, more=True)
        array[...] = y
    return True


def _one_index(key, rank):
    """The axis of the only index in a key and that array, if the key is whole otherwise."""
    parts = key if isinstance(key, tuple) else (key,)
    axis = next((i for i, k in enumerate(parts) if not _is_whole(k)), rank)
    if axis >= rank or len(parts) > rank or not all(map(_is_whole, parts[axis + 1 :])):
        return None, None
    dtype = getattr(parts[axis], "dtype", None)
    return (axis, parts[axis]) if dtype is not None and dtype.kind in "iu" else (None, None)


def _is_whole(part):
    return isinstance(part, slice) and part == slice(None)


def add(xp: ModuleType, values: Any, places: Places, y: Any, more: bool) -> None:
    """Add values (slabs, n, columns), contiguous, to y, contiguous, of their dtype.

    Args:
        more: on top of what y has; otherwise what it has is lost.
    """
    keys, slabs, rows, columns, _ = places
    sizes, name = (slabs, keys.size, rows, columns, int(more)), FLOATS[y.dtype]
    if keys.size <= FEW and keys.size * y.size <= FEW_LOOKS:
        run = kernel(xp, "indexing", f"add_few_{name}")
        launch(run, (blocks_for(y.size),), (THREADS,), values, keys, y, *sizes)
        return
    begins, order = _by_key(xp, keys, rows)
    blocks, threads = _layout(*sizes[:4])
    run = kernel(xp, "indexing", f"add_sorted_{name}")
    launch(run, blocks, threads, values, begins, order, y, *sizes)


def _by_key(xp, keys, rows):
    """Where each row's places begin in the list of places by row, and that list, in order."""
    n, places = keys.size, None
    grid = -(-n // TILE)
    count, move = (kernel(xp, "indexing", f"{what}_digits") for what in ("count", "move"))
    for shift in range(0, max(1, (rows - 1).bit_length()), BITS):
        counts = xp.empty((1 << BITS, grid), np.uint32)
        launch(count, (grid,), (THREADS,), keys, n, shift, counts)
        ends = xp.cumsum(counts, dtype=np.uint32)
        moved, order = xp.empty(n, np.uint32), xp.empty(n, np.uint32)
        launch(move, (grid,), (THREADS,), keys, places, n, shift, ends, moved, order)
        keys, places = moved, order
    begins = xp.empty(rows + 1, np.uint32)
    run = kernel(xp, "indexing", "find_begins")
    launch(run, (blocks_for(rows + 1),), (THREADS,), keys, n, rows, begins)
    return begins, places


def _layout(slabs, n, rows, columns):
    """Blocks and their threads, (columns, rows, lanes): as many lanes as rows have places."""
    wide = min(WIDE, _power(columns))
    lanes = min(MOST_LANES, THREADS // wide, _power(n // (rows * LANE)))
    high = THREADS // (wide * lanes)
    down, right = blocks_for(-(-rows // high) * THREADS), -(-columns // wide)
    right = min(right, max(1, ENOUGH // down))
    return (down, right, min(slabs, max(1, ENOUGH // (down * right)))), (wide, high, lanes)


def _power(number):
    """The least power of two that is not below it."""
    return 1 << max(0, number - 1).bit_length()
