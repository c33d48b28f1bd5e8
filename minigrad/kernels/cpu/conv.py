"""Convolutions by products of patches that stay in cache, several blocks of them at a time.

A block is some images, or some rows of one image: its frame, its patches and its part of the output
are used while they are in a core's cache, and the product runs on the core that made them.  Blocks
are a matter of the shapes alone, so that a result does not depend on the number of threads.

3×3 kernels with many channels go another way, which has less to multiply (winograd.py), and small
images one with less to copy (rows.py).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads

from ...memory import empty
from ...ops import conv as ops
from ...ops.frames import frame_of
from ...ops.rows import turned
from . import blas, rows, winograd
from .blocks import (
    forward_all,
    forward_blocks,
    input_all,
    input_blocks,
    pixels_forward,
    pixels_weight,
    weight_all,
)

PATCH_BYTES = 640 << 10  # a block's patches: over half of a core's second cache
LEAST_POSITIONS = 256  # of a product, else packing the weights for it takes longer
LEAST_BLOCKS = 8  # where there are so many images
PARTS = 8  # sums of the weights' gradient, each in its own order
MOST_SUMMED = 16 << 20  # numbers in all of them together
LEAST_PIXELS = 256  # of an image that is worth a product of its own
SERIAL_WORK = 1 << 20  # multiplications that are not worth a second thread


class Plan(NamedTuple):
    """How a convolution is cut into blocks."""

    frame: tuple[int, ...]
    images: int  # of a block
    tile: int  # output rows of a block
    blocks: int
    planes: int  # numbers of a block's frame, for one group of channels
    positions: int  # of a block's product


@functools.lru_cache(maxsize=256)
def _plan(
    images: int, channels: int, size: Any, kernel: Any, geometry: Any, itemsize: int, whole: bool
) -> Plan:
    """Blocks for so many images and channels of a group; `whole`: no image is cut into tiles."""
    taps = channels * math.prod(kernel)
    fits = max(LEAST_POSITIONS, PATCH_BYTES // (taps * itemsize))
    frame = frame_of(size, kernel, geometry)
    oh, tile, each = frame.oh, frame.oh, frame.each
    together = max(1, min(fits // each, images // LEAST_BLOCKS))
    if each > fits and not whole:
        tiles = -(-oh * frame.pitch // fits)
        tile = -(-oh // tiles)
        frame = frame_of(size, kernel, geometry, tile)
        each = frame.each
    blocks = -(-images // together) * -(-oh // tile)
    phases = math.prod(geometry.stride)
    planes = channels * phases * (together * each + frame.reach)
    return Plan(tuple(frame), together, tile, blocks, planes, together * each)


def _served(x: Any, w: Any, y: Any, geometry: Any) -> bool:
    """Whether the kernels know such arrays, one of which is a shape where it is yet to be made.

    The compiled code checks no bounds: what does not fit is left to the forwards, which say so.
    """
    arrays = [a for a in (x, w, y) if isinstance(a, np.ndarray)]
    kind = arrays[0].dtype
    if not blas.available or any(a.dtype != kind or not a.size for a in arrays):
        return False
    images, weights, outputs = (getattr(a, "shape", a) for a in (x, w, y))
    if (kind != np.float32 and kind != np.float64) or len(images) != 4 or len(weights) != 4:
        return False
    (n, c, *size), (o, each, *kernel), groups = images, weights, geometry.groups
    if c != each * groups or o % groups or min(images) < 1 or min(weights) < 1:
        return False
    out = geometry.output_size(size, kernel)
    return min(out) > 0 and outputs in (None, (n, o, *out))


def _rooms(plan: Plan, parts: int, lines: int, dtype: Any) -> Any:
    """A line of scratch for each thread, at most `parts`: for planes, and so many product lines."""
    return empty((min(parts, get_num_threads()), plan.planes + plan.positions * lines), dtype)


# ---- the ops -------------------------------------------------------------------------------------


def _bare(size: Any, kernel: Any, geometry: Any) -> bool:
    """Whether images need no frame: pixels do not meet, and there are enough for a product."""
    still = geometry.stride == (1, 1) and not any(map(any, geometry.padding))
    return still and tuple(kernel) == (1, 1) and size[0] * size[1] >= LEAST_PIXELS


def _by_group(x: Any, groups: int) -> Any:
    """(N, C, H, W) as matrices (N, groups, C/groups, H·W), contiguous."""
    n, c, h, w = x.shape
    return np.ascontiguousarray(x).reshape(n, groups, c // groups, h * w)


def _convolved(x: Any, w: Any, bias: Any, geometry: Any) -> Any:
    """conv2d(x, w) + bias, by whichever way suits the shapes."""
    n, o, groups = len(x), len(w), geometry.groups
    if _bare(x.shape[2:], w.shape[2:], geometry):
        weights = np.ascontiguousarray(w.reshape(groups, o // groups, -1))
        y = empty((n, o, *x.shape[2:]), x.dtype)
        with blas.one_thread_each():
            pixels_forward(_by_group(x, groups), weights, bias, _by_group(y, groups))
        return y
    x = np.ascontiguousarray(x)
    if winograd.serves(x, w.shape[1], o, w.shape[2:], geometry):
        y = winograd.convolved(x, w, bias, geometry)
        if y is not None:
            return y
    each, *kernel = w.shape[1:]
    along = rows.plan_for(each, o // groups, x.shape[2:], tuple(kernel), geometry, x.itemsize)
    if along is not None:
        return rows.convolved(x, w, bias, geometry, along)
    weights = np.ascontiguousarray(w.reshape(groups, o // groups, -1))
    plan = _plan(n, w.shape[1], x.shape[2:], w.shape[2:], geometry, x.itemsize, False)
    y = empty((n, o, *plan.frame[10:12]), x.dtype)
    rooms = _rooms(plan, plan.blocks, sum(weights.shape[1:]), x.dtype)
    with blas.one_thread_each():
        if weights.size * y.size // o < SERIAL_WORK:
            forward_blocks(x, weights, bias, y, *plan[:3], 0, plan.blocks, rooms[0])
        else:
            forward_all(x, weights, bias, y, *plan[:4], rooms)
    return y


@ops.conv2d.kernel("cpu", needs="numba")
def _(xp, x, w, *, geometry):
    if not _served(x, w, None, geometry):
        return NotImplemented
    return _convolved(x, w, np.zeros(len(w), x.dtype), geometry)


@ops.conv2d_bias.kernel("cpu", needs="numba")
def _(xp, x, w, b, *, geometry):
    if not _served(x, w, None, geometry) or b.dtype != x.dtype or b.shape != w.shape[:1]:
        return NotImplemented
    return _convolved(x, w, np.ascontiguousarray(b), geometry)


@ops.conv2d_input.kernel("cpu", needs="numba")
def _(xp, x, w, *, size, geometry):
    # zeros of gaps and borders times infinity would not be zero
    wanted = *x.shape[:1], math.prod(w.shape[1:2]) * geometry.groups, *size
    if not _served(wanted, w, x, geometry) or not np.isfinite(w).all():
        return NotImplemented
    if found := turned(x, w, size, geometry):
        weights, other = found
        return _convolved(x, weights, np.zeros(len(weights), x.dtype), other)
    (n, o), groups = x.shape[:2], geometry.groups
    x, weights = np.ascontiguousarray(x), w.reshape(groups, o // groups, -1)
    weights = np.ascontiguousarray(weights)
    plan = _plan(n, w.shape[1], tuple(size), w.shape[2:], geometry, x.itemsize, True)
    y = empty((n, w.shape[1] * groups, *size), x.dtype)
    (_, each, taps), positions = weights.shape, plan.positions
    chunk = min(positions, max(LEAST_POSITIONS, PATCH_BYTES // (taps * x.itemsize)))
    rooms = _rooms(plan, plan.blocks, each + -(-taps * chunk // positions), x.dtype)
    with blas.one_thread_each():
        if weights.size * x.size // o < SERIAL_WORK:
            input_blocks(x, weights, y, *plan[:2], chunk, 0, plan.blocks, rooms[0])
        else:
            input_all(x, weights, y, *plan[:2], chunk, plan.blocks, rooms)
    return y


@ops.conv2d_weight.kernel("cpu", needs="numba")
def _(xp, x, dy, *, kernel, geometry):
    wanted = *dy.shape[1:2], math.prod(x.shape[1:2]) // geometry.groups, *kernel
    if not _served(x, wanted, dy, geometry):
        return NotImplemented
    (n, c), o, groups = x.shape[:2], dy.shape[1], geometry.groups
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    if winograd.serves(x, c, o, kernel, geometry):
        dw = winograd.weighed(x, dy, geometry)
        if dw is not None:
            return dw
    each, outputs = c // groups, o // groups
    along = rows.plan_for(each, outputs, x.shape[2:], tuple(kernel), geometry, x.itemsize)
    if along is not None and 2 * each * along.taps >= outputs:  # else turning dy is most of it
        return rows.weighed(x, dy, kernel, geometry, along)
    shape = groups, outputs, each * math.prod(kernel)
    plan = _plan(n, each, x.shape[2:], tuple(kernel), geometry, x.itemsize, False)
    bare = _bare(x.shape[2:], kernel, geometry)
    parts = max(1, min(n if bare else plan.blocks, PARTS, MOST_SUMMED // math.prod(shape)))
    sums = empty((parts, *shape), x.dtype)
    with blas.one_thread_each():
        if bare:
            pixels_weight(_by_group(x, groups), _by_group(dy, groups), sums)
        else:
            rooms = _rooms(plan, parts, sum(shape[1:]), x.dtype)
            weight_all(x, dy, sums, *plan[:4], rooms)
    dw = np.add.reduce(sums, axis=0)
    if not bare and not np.isfinite(dw).all():  # the gaps' zeros may have met an infinity
        return NotImplemented
    return dw.reshape(o, each, *kernel)
