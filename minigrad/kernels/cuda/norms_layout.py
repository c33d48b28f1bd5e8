"""How an array lies before the kernels of the normalisations, and how it is split among blocks.

All of it depends on shapes, strides and dtypes alone, and is found once for each.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

WARP, BLOCK = 32, 256  # threads
TILE, ACROSS, DOWN = 32, 8, 64  # columns of a block, and its threads across and down
SMALL = 1024  # numbers of a set that a warp is enough for
ALONE = 8192  # numbers of a set that are split no more: a block's second look finds them in a cache
STEP = 4096  # numbers that a block reads in whole batches, in any dtype and alignment
BLOCKS = 2048  # that are enough for any GPU: a few for each multiprocessor, several times over
PARTS = 512  # of a set at most: each block of the second launch adds up all of its set


class Layout(NamedTuple):
    """An array as (groups, rows, inner, length) numbers in memory: neighbours of a kind are joined.

    Statistics are taken over rows and length; there is one for each of groups · inner.
    """

    order: tuple[int, ...] | None  # of the axes in memory, None for C's
    back: tuple[int, ...] | None  # from that order to the array's own
    groups: int
    rows: int
    inner: int
    length: int


class Split(NamedTuple):
    """How kernels are launched: the grid, the block, the geometry, and how many parts there are.

    Numbers of the geometry are as `launch` would make them on each call.
    """

    family: str  # of kernels: "norm" for rows of neighbours, "columns"
    blocks: tuple[int, ...]
    threads: tuple[int, ...]
    geometry: tuple[Any, ...]
    partials: int  # pairs of sums that two launches hand over; 0 if one does it all


@functools.lru_cache(maxsize=4096)
def layout_of(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, axes: tuple[int, ...]
) -> Layout | None:
    """The layout of an array that fills its memory, in any order of its axes; None of others.

    Args:
        shape: without a 0.
        strides: in bytes, as `itemsize` is.
        itemsize: of its dtype.
        axes: those that the statistics are taken over.
    """
    order = tuple(sorted(range(len(shape)), key=lambda i: (-strides[i], i)))
    step = itemsize
    for i in reversed(order):
        if shape[i] > 1 and strides[i] != step:
            return None
        step *= shape[i]
    kept = [i for i in order if i not in axes and shape[i] > 1]
    if kept != sorted(kept):
        return None  # the statistics would lie in another order than the op's
    return _joined(shape, axes, order)


def _joined(shape: tuple[int, ...], axes: tuple[int, ...], order: tuple[int, ...]) -> Layout | None:
    sizes, at = [1, 1, 1, 1], len(order)
    for place, reduced in enumerate((True, False, True, False)):  # from the last axis on
        while at and (shape[order[at - 1]] == 1 or (order[at - 1] in axes) is reduced):
            at -= 1
            sizes[place] *= shape[order[at]]
    length, inner, count, groups = sizes
    if at:
        return None
    if length == 1 and inner > 1 and count == 1:  # nothing is reduced: each number alone
        count, inner, groups = 1, 1, groups * inner
    plain = order == tuple(range(len(order)))
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    return Layout(None if plain else order, None if plain else back, groups, count, inner, length)


@functools.lru_cache(maxsize=4096)
def split_of(groups: int, count: int, inner: int, length: int) -> Split:
    """The launches for a layout."""
    if length == 1 and count > 1:
        return _columns(groups, count, inner)
    return rows_split(groups * inner, inner, count, length)


def rows_split(sets: int, inner: int, count: int, length: int) -> Split:
    """The launches for sets of rows of neighbours."""
    size = count * length
    if size <= SMALL:
        threads, parts, span = (WARP, BLOCK // WARP), 1, size
    else:
        threads, parts, span = (BLOCK, 1), *_parts(size, sets)
    teams = sets * parts
    geometry = _numbers(sets, inner, count, length, parts, span)
    blocks = (-(-teams // threads[1]),)
    return Split("norm", blocks, threads, geometry, teams if parts > 1 else 0)


def _parts(size: int, sets: int) -> tuple[int, int]:
    """How many parts of how many numbers a set has."""
    if size <= ALONE:
        return 1, size
    steps = -(-size // STEP)
    wanted = max(1, min(PARTS, -(-BLOCKS // sets), steps))
    span = -(-steps // wanted) * STEP
    return -(-size // span), span


def _columns(groups: int, count: int, inner: int) -> Split:
    """The launches for matrices of rows of channels."""
    several = _several(count, inner)
    rows, columns = count // several, inner * several
    tiles = -(-columns // TILE)
    down = min(DOWN, -(-rows // 4) * 4)  # whole warps are four rows of threads
    # Each block of the second launch reads all parts of its columns: so few that this is little
    # beside its share of the rows.
    most = max(1, min(rows // (2 * DOWN * 4), math.isqrt(rows) // 4))
    parts = min(most, -(-BLOCKS // 4 // (tiles * groups)))
    span = -(-rows // parts)
    parts = -(-rows // span)
    one_launch = parts == 1 and (tiles == 1 or several == 1)
    geometry = _numbers(groups, rows, columns, inner, parts, span)
    blocks, partials = groups * parts * tiles, groups * tiles * TILE * parts
    threads = (ACROSS, down)
    return Split("columns", (blocks,), threads, geometry, 0 if one_launch else partials)


def _several(count: int, inner: int) -> int:
    """How many rows of a matrix are seen as one.

    For many rows, so many that loads of 16 bytes and tiles are filled, if they divide the rows.
    """
    if count < 4 * DOWN:
        return 1
    several = 4 // math.gcd(4, inner) if inner >= TILE else TILE // math.gcd(TILE, inner)
    while count % several:
        several //= 2
    return several


def _numbers(*values: int) -> tuple[Any, ...]:
    return tuple([np.int64(value) for value in values])
