"""Blocks of a convolution: some images, or some rows of one, which stay in cache together."""

from __future__ import annotations

from numba import prange

from .blas import gemm
from .compiling import parallel, serial
from .patches import collect, fill_frame, gather, read_frame, scatter, spread, zero


@serial
def part_of(block, images, tile, count, height):
    """Which of so many images, and which of the rows of a height, a block is."""
    tiles = -(-height // tile)
    first, row = block // tiles * images, block % tiles * tile
    return (first, min(first + images, count)), (row, min(row + tile, height))


@serial
def positions_of(some, rows_of, frame):
    """How many positions a block's product has, gaps between them included."""
    return ((some[1] - some[0] - 1) * frame[12] + rows_of[1] - rows_of[0]) * frame[13]


@serial
def length_of(some, frame):
    """How long a plane of a frame is, with what a last tap reads behind it."""
    _, _, kh, kw, sh, sw, dh, dw, _, _, _, _, rows, pitch = frame
    reach = dh * (kh - 1) // sh * pitch + dw * (kw - 1) // sw
    return (some[1] - some[0]) * rows * pitch + reach


@serial
def room_for(room, start, rows, columns):
    """A matrix in a thread's scratch, from a number on, and where the next may begin."""
    end = start + rows * columns
    return room[start:end].reshape(rows, columns), end


# ---- patches and their products ------------------------------------------------------------------


@serial
def _framed(x, some, rows_of, channels, group, frame, room):
    """A block's patches of a group, and where the scratch behind them begins."""
    positions = positions_of(some, rows_of, frame)
    planes, end = room_for(room, 0, channels * frame[4] * frame[5], length_of(some, frame))
    patches, end = room_for(room, end, channels * frame[2] * frame[3], positions)
    fill_frame(x, some, group * channels, rows_of[0], frame, planes)
    gather(planes, frame, patches)
    return patches, end


@serial
def forward_blocks(x, w, bias, y, frame, images, tile, first, last, room):
    """y (N, O, oh, ow) of x (N, C, H, W), w (groups, O/groups, K), bias (O,) in some blocks."""
    groups, each, _ = w.shape
    for block in range(first, last):
        some, rows_of = part_of(block, images, tile, len(x), y.shape[2])
        for g in range(groups):
            patches, end = _framed(x, some, rows_of, x.shape[1] // groups, g, frame, room)
            lines, _ = room_for(room, end, each, patches.shape[1])
            gemm(w[g], False, patches, False, 0.0, lines)
            collect(lines, bias, some, rows_of, g * each, frame, y)


@parallel
def forward_all(x, w, bias, y, frame, images, tile, blocks, rooms):
    """`forward_blocks` for all blocks, a share of them for each line of scratch."""
    for t in prange(len(rooms)):
        first, last = blocks * t // len(rooms), blocks * (t + 1) // len(rooms)
        forward_blocks(x, w, bias, y, frame, images, tile, first, last, rooms[t])


@serial
def input_blocks(dy, w, dx, frame, images, chunk, first, last, room):
    """dx (N, C, H, W) of dy (N, O, oh, ow) and w in some blocks of whole images."""
    groups, each, taps = w.shape
    channels = dx.shape[1] // groups
    for block in range(first, last):
        some, rows_of = part_of(block, images, dy.shape[2], len(dy), dy.shape[2])
        positions = positions_of(some, rows_of, frame)
        planes, end = room_for(room, 0, channels * frame[4] * frame[5], length_of(some, frame))
        lines, end = room_for(room, end, each, positions)
        for g in range(groups):
            zero(planes.ravel())
            spread(dy, some, rows_of, g * each, frame, lines)
            for start in range(0, positions, chunk):
                stop = min(start + chunk, positions)
                columns, _ = room_for(room, end, taps, stop - start)
                gemm(w[g], True, lines[:, start:stop], False, 0.0, columns)
                scatter(columns, start, frame, planes)
            read_frame(planes, some, g * channels, frame, dx)


@parallel
def input_all(dy, w, dx, frame, images, chunk, blocks, rooms):
    """`input_blocks` for all blocks, a share of them for each line of scratch."""
    for t in prange(len(rooms)):
        first, last = blocks * t // len(rooms), blocks * (t + 1) // len(rooms)
        input_blocks(dy, w, dx, frame, images, chunk, first, last, rooms[t])


@serial
def weight_blocks(x, dy, dw, frame, images, tile, first, last, room):
    """dw (groups, O/groups, K) of x and dy, added up over some blocks."""
    groups, each, _ = dw.shape
    zero(dw.ravel())
    for block in range(first, last):
        some, rows_of = part_of(block, images, tile, len(x), dy.shape[2])
        for g in range(groups):
            patches, end = _framed(x, some, rows_of, x.shape[1] // groups, g, frame, room)
            lines, _ = room_for(room, end, each, patches.shape[1])
            spread(dy, some, rows_of, g * each, frame, lines)
            gemm(lines, False, patches, True, 1.0, dw[g])


@parallel
def weight_all(x, dy, sums, frame, images, tile, blocks, rooms):
    """`weight_blocks` for all blocks, a share of them for each line of scratch."""
    parts, workers = len(sums), len(rooms)
    for t in prange(workers):
        for part in range(parts * t // workers, parts * (t + 1) // workers):
            first, last = blocks * part // parts, blocks * (part + 1) // parts
            weight_blocks(x, dy, sums[part], frame, images, tile, first, last, rooms[t])


# ---- 1×1 kernels: pixels are their own patches ---------------------------------------------------


@parallel
def pixels_forward(x, w, bias, y):
    """y (N, groups, O/groups, P) = w x + bias, for each image of x (N, groups, C/groups, P)."""
    groups, each, _ = w.shape
    for n in prange(len(x)):
        for g in range(groups):
            for o in range(each):
                line, offset = y[n, g, o], bias[g * each + o]
                for q in range(line.size):
                    line[q] = offset
            gemm(w[g], False, x[n, g], False, 1.0, y[n, g])


@parallel
def pixels_weight(x, dy, sums):
    """Σ dy xᵀ over the images of each part."""
    parts = len(sums)
    for part in prange(parts):
        zero(sums[part].ravel())
        for n in range(len(x) * part // parts, len(x) * (part + 1) // parts):
            for g in range(x.shape[1]):
                gemm(dy[n, g], False, x[n, g], True, 1.0, sums[part, g])
