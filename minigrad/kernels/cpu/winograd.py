"""3×3 convolutions with 16 products for 4 outputs instead of 36: Winograd's F(2×2, 3×3).

    y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A        for each tile d of 4×4 pixels and y of 2×2 outputs

(Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks.)  The sum over channels
makes of each of the 16 numbers of a tile one matrix product, (O, C) times (C, tiles).

In a frame of stride 2 (minigrad/ops/frames.py) the 16 pixels of all tiles are runs of memory, so
that the transforms are sums of runs.  They have small whole and half coefficients, so the error is
about that of the products of patches.  But they mix neighbours: next to an infinity there is a NaN
where patches give a number, so a result that is not finite is refused.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import get_num_threads, prange

from ...memory import empty
from ...ops.frames import frame_of
from . import blas
from .blas import gemm
from .blocks import length_of, part_of, positions_of, room_for
from .compiling import parallel, serial
from .patches import fill_frame, zero

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
GG = np.kron(G, G)  # (16, 9), for kernels as columns
DIFFERENCES = ((0, 2, -1), (1, 2, 1), (2, 1, -1), (1, 3, -1))  # the rows of Bᵀ: d₀ - d₂, …
COPIES = ((1, 0), (1, 1), (1, -1), (0, -1))  # the rows of A
LEAST_CHANNELS = 32  # below, the transforms take as long as the products
TILES = 320  # of a block, about: what they become fits the caches, and products are large enough
PARTS = 8  # sums of the weights' gradient, each in its own order
MOST_SUMMED = 16 << 20  # numbers in all of them together


def serves(x: Any, channels: int, outputs: int, kernel: Any, geometry: Any) -> bool:
    """Whether it is the faster way, at the accuracy of the other."""
    stride, _, dilation, groups = geometry
    square = tuple(kernel) == (3, 3) and stride == dilation == (1, 1) and groups == 1
    return square and x.dtype == np.float32 and min(channels, outputs) >= LEAST_CHANNELS


@functools.lru_cache(maxsize=256)
def _plan(images: int, size: Any, geometry: Any) -> Any:
    """Frame, images and rows of tiles of a block, and how many blocks."""
    out = geometry.output_size(size, (3, 3))
    (top, bottom), (left, right) = geometry.padding
    padding = (top, bottom + out[0] % 2), (left, right + out[1] % 2)
    twice = geometry._replace(stride=(2, 2), padding=padding)
    frame = frame_of(size, (4, 4), twice)
    together, tile = max(1, min(TILES // frame.each, images // 8)), frame.oh
    if frame.each > 1.5 * TILES:
        tile = -(-frame.oh // (-(-frame.each // TILES)))
        frame = frame_of(size, (4, 4), twice, tile)
    return tuple(frame), together, tile, -(-images // together) * -(-frame.oh // tile)


def _rooms(plan: Any, parts: int, channels: int, outputs: int) -> Any:
    """Scratch for each thread: planes of both sides, their transforms, and one channel's."""
    frame, images, *_ = plan
    positions = images * frame[12] * frame[13] + frame[13] + 1
    size = positions * (20 * (channels + outputs) + 52)
    return empty((min(parts, get_num_threads()), size), np.float32)


# ---- transforms: sums of runs --------------------------------------------------------------------


@serial
def _transform_pixels(planes, pitch, half, v):
    """Bᵀ d B of all tiles: v (16, C + 1, tiles) of planes (4·C, …), by half (8, tiles + 1)."""
    tiles = half.shape[1] - 1
    for c in range(len(planes) // 4):
        for i in range(4):
            first, second, sign = DIFFERENCES[i]
            factor, start, end = np.float32(sign), first // 2 * pitch, second // 2 * pitch
            for b in range(2):
                d = planes[4 * c + 2 * (first % 2) + b][start : start + tiles + 1]
                e = planes[4 * c + 2 * (second % 2) + b][end : end + tiles + 1]
                out = half[2 * i + b]
                for q in range(out.size):
                    out[q] = d[q] + factor * e[q]
        for i in range(4):
            for j in range(4):
                first, second, sign = DIFFERENCES[j]
                factor, start, end = np.float32(sign), first // 2, second // 2
                d = half[2 * i + first % 2][start : start + tiles]
                e = half[2 * i + second % 2][end : end + tiles]
                out = v[4 * i + j, c]
                for q in range(out.size):
                    out[q] = d[q] + factor * e[q]


@serial
def _transform_sums(m, bias, half, some, rows_of, frame, y):
    """Aᵀ m A + bias: y (N, O, oh, ow) of m (16, O + 1, tiles); returns NaN if not all is finite.

    half (12, tiles) is scratch.
    """
    rows, pitch, height, width = frame[12], frame[13], y.shape[2], y.shape[3]
    check = np.float32(0)
    for o in range(len(bias)):
        offset = bias[o]
        for a in range(2):
            f0, f2, f3 = np.float32(1 - a), np.float32(1 - 2 * a), np.float32(-a)
            for j in range(4):
                m0, m1, m2, m3, out = m[j, o], m[4 + j, o], m[8 + j, o], m[12 + j, o], half[j]
                for q in range(out.size):
                    out[q] = f0 * m0[q] + m1[q] + f2 * m2[q] + f3 * m3[q]
            for b in range(2):
                f0, f2, f3 = np.float32(1 - b), np.float32(1 - 2 * b), np.float32(-b)
                m0, m1, m2, m3, out = half[0], half[1], half[2], half[3], half[4 + 2 * a + b]
                for q in range(out.size):
                    out[q] = f0 * m0[q] + m1[q] + f2 * m2[q] + f3 * m3[q] + offset
                for q in range(out.size):
                    check += out[q] * 0
        for n in range(some[0], some[1]):
            image = y[n, o]
            for r in range(2 * rows_of[0], min(2 * rows_of[1], height)):
                at, a = ((n - some[0]) * rows + r // 2 - rows_of[0]) * pitch, 4 + 2 * (r % 2)
                line, even = image[r], half[a][at : at + (width + 1) // 2]
                odd = half[a + 1][at : at + width // 2]
                for q in range(odd.size):
                    line[2 * q] = even[q]
                    line[2 * q + 1] = odd[q]
                if width % 2:
                    line[width - 1] = even[width // 2]
    return check


@serial
def _transform_cotangents(planes, half, v):
    """A dy Aᵀ of all tiles: v (16, O + 1, tiles) of planes (4·O, …); half (8, tiles) is scratch."""
    tiles = half.shape[1]
    for o in range(len(planes) // 4):
        for i in range(4):
            f, g = np.float32(COPIES[i][0]), np.float32(COPIES[i][1])
            for b in range(2):
                d, e = planes[4 * o + b][:tiles], planes[4 * o + 2 + b][:tiles]
                out = half[2 * i + b]
                for q in range(out.size):
                    out[q] = f * d[q] + g * e[q]
        for i in range(4):
            d, e = half[2 * i], half[2 * i + 1]
            for j in range(4):
                f, g = np.float32(COPIES[j][0]), np.float32(COPIES[j][1])
                out = v[4 * i + j, o]
                for q in range(out.size):
                    out[q] = f * d[q] + g * e[q]


# ---- blocks --------------------------------------------------------------------------------------


@serial
def _sixteen(room, start, channels, tiles):
    """Scratch for the 16 numbers of each tile, and where free scratch begins.

    A channel more than there are keeps the 16 off distances of whole pages, which would compete for
    the same lines of the cache.
    """
    lines, end = room_for(room, start, 16 * (channels + 1), tiles)
    return lines.reshape(16, channels + 1, tiles), end


@serial
def _pixels(x, some, rows_of, frame, room):
    """The transformed tiles of a block of x, (16, C + 1, tiles), and where free scratch begins."""
    channels, tiles = x.shape[1], positions_of(some, rows_of, frame)
    planes, end = room_for(room, 0, 4 * channels, length_of(some, frame))
    half, end = room_for(room, end, 8, tiles + 1)
    v, end = _sixteen(room, end, channels, tiles)
    fill_frame(x, some, 0, rows_of[0], frame, planes)
    _transform_pixels(planes, frame[13], half, v)
    return v, end


@serial
def _forward_block(x, u, bias, y, some, rows_of, frame, room):
    """A block of y, of x and u (16, O, C); returns NaN if not all of it is finite."""
    (_, outputs, channels), tiles = u.shape, positions_of(some, rows_of, frame)
    v, end = _pixels(x, some, rows_of, frame, room)
    half, end = room_for(room, end, 12, tiles)
    m, _ = _sixteen(room, end, outputs, tiles)
    for e in range(16):
        gemm(u[e], False, v[e, :channels], False, 0.0, m[e, :outputs])
    return _transform_sums(m, bias, half, some, rows_of, frame, y)


@parallel
def _forward(x, u, bias, y, frame, images, tile, blocks, rooms, checks):
    for t in prange(len(rooms)):
        for block in range(blocks * t // len(rooms), blocks * (t + 1) // len(rooms)):
            some, rows_of = part_of(block, images, tile, len(x), frame[10])
            checks[block] = _forward_block(x, u, bias, y, some, rows_of, frame, rooms[t])


@serial
def _weight_block(x, dy, some, rows_of, frame, room, dw):
    """A block's products of transformed cotangents and pixels are added to dw (16, O, C)."""
    (_, outputs, channels), tiles = dw.shape, positions_of(some, rows_of, frame)
    oh, ow, rows, pitch = frame[10:]
    halves = (dy.shape[2], dy.shape[3], 2, 2, 2, 2, 1, 1, 0, 0, oh, ow, rows, pitch)
    v, end = _pixels(x, some, rows_of, frame, room)
    planes, end = room_for(room, end, 4 * outputs, length_of(some, frame))
    half, end = room_for(room, end, 8, tiles)
    m, _ = _sixteen(room, end, outputs, tiles)
    fill_frame(dy, some, 0, rows_of[0], halves, planes)
    _transform_cotangents(planes, half, m)
    for e in range(16):
        gemm(m[e, :outputs], False, v[e, :channels], True, 1.0, dw[e])


@parallel
def _weight(x, dy, sums, frame, images, tile, blocks, rooms):
    parts, workers = len(sums), len(rooms)
    for t in prange(workers):
        for part in range(parts * t // workers, parts * (t + 1) // workers):
            zero(sums[part].ravel())
            for block in range(blocks * part // parts, blocks * (part + 1) // parts):
                some, rows_of = part_of(block, images, tile, len(x), frame[10])
                _weight_block(x, dy, some, rows_of, frame, rooms[t], sums[part])


def convolved(x: Any, w: Any, bias: Any, geometry: Any) -> Any:
    """conv2d(x, w) + bias, or None if it is not finite."""
    (n, c), o = x.shape[:2], len(w)
    plan = _plan(n, x.shape[2:], geometry)
    y = empty((n, o, *geometry.output_size(x.shape[2:], (3, 3))), x.dtype)
    checks = np.empty(plan[3], x.dtype)
    with blas.one_thread_each():
        u = (GG @ w.reshape(o * c, 9).T).reshape(16, o, c)
        _forward(x, u, bias, y, *plan, _rooms(plan, plan[3], c, o), checks)
    return None if np.isnan(checks).any() else y


def weighed(x: Any, dy: Any, geometry: Any) -> Any:
    """conv2d_weight(x, dy) (O, C, 3, 3), or None if it is not finite."""
    (n, c), o = x.shape[:2], dy.shape[1]
    plan = _plan(n, x.shape[2:], geometry)
    parts = max(1, min(plan[3], PARTS, MOST_SUMMED // (16 * o * c)))
    sums = empty((parts, 16, o, c), x.dtype)
    with blas.one_thread_each():
        _weight(x, dy, sums, *plan, _rooms(plan, parts, c, o))
        dw = GG.T @ np.add.reduce(sums, axis=0).reshape(16, o * c)
    dw = np.ascontiguousarray(dw.T).reshape(o, c, 3, 3)
    return dw if np.isfinite(dw).all() else None
