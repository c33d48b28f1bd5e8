"""Convolutions of small images that keep their width: patches along rows alone, image by image.

With stride 1, and as many columns in y as in x, an image is one run of pixels, and each tap reads
it some pixels further on.  So an image is copied once for each column of the kernel, with zeros
where a tap is beside the image.  For the rows of the kernel there is nothing to copy: they read the
same lines, whole rows further on.  So y is a sum of kh products, (O, C·kw) times (C·kw, oh·ow), of
a size for which OpenBLAS need not rearrange its matrices first.

There are no gaps whose zeros could meet an infinity.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads, prange

from ...memory import empty
from ...ops.rows import LEAST_PIXELS, OUTPUT_BYTES, keeps_width
from . import blas
from .blas import gemm
from .compiling import parallel, serial
from .patches import zero

LINE_BYTES = 512 << 10  # an image's lines: half of a core's second cache
PARTS = 8  # sums of the weights' gradient, each in its own order
MOST_SUMMED = 16 << 20  # numbers in all of them together
SERIAL_WORK = 1 << 20  # multiplications that are not worth a second thread


class Plan(NamedTuple):
    """Where images are in their lines, and what the taps of a row and of a column read."""

    width: int
    left: int  # padding, in columns
    apart: int  # columns from a tap to the next
    taps: int  # of a row of the kernel
    start: int  # numbers of padding above an image
    step: int  # numbers from a row of taps to the next
    length: int  # of a line


@functools.lru_cache(maxsize=256)
def plan_for(
    channels: int, outputs: int, size: Any, kernel: Any, geometry: Any, itemsize: int
) -> Plan | None:
    """How to convolve images, with so many channels of a group; None where it is not for them."""
    (height, width), (kh, kw), (dh, dw) = size, kernel, geometry.dilation
    (top, bottom), (left, _) = geometry.padding
    if not keeps_width(kernel, geometry):
        return None
    length = (height + top + bottom) * width
    pixels = length - dh * (kh - 1) * width
    if pixels < LEAST_PIXELS or outputs * pixels * itemsize > OUTPUT_BYTES:
        return None
    if channels * kw * length * itemsize > LINE_BYTES:
        return None
    return Plan(width, left, dw, kw, top * width, dh * width, length)


@serial
def _fill(image, plan, lines):
    """Copy an image (C, H·W) into lines (C·kw, length), for each column of the kernel once."""
    width, left, apart, taps, start, _, _ = plan
    pixels = image.shape[1]
    for c in range(len(image)):
        for j in range(taps):
            shift = j * apart - left
            low = min(pixels, max(0, -shift))
            high = max(low, min(pixels, pixels - shift))
            line = lines[c * taps + j][start : start + pixels]
            out, run = line[low:high], image[c][low + shift : high + shift]
            for q in range(out.size):
                out[q] = run[q]
            # a run goes on in the row before or behind, where a tap is beside the image
            first, last = (0, -shift) if shift < 0 else (width - shift, width)
            for column in range(max(0, first), min(width, last)):
                for q in range(column, pixels, width):
                    line[q] = 0


@serial
def _forward_some(x, w, bias, y, plan, first, last, room):
    """y (N, groups, O, P) of x (N, groups, C, H·W), w (groups, kh, O, C·kw) for some images."""
    _, groups, outputs, pixels = y.shape
    lines = room.reshape(w.shape[3], plan[6])
    zero(room)  # above and below the images they stay
    for n in range(first, last):
        for g in range(groups):
            _fill(x[n, g], plan, lines)
            for o in range(outputs):
                out, offset = y[n, g, o], bias[g * outputs + o]
                for q in range(out.size):
                    out[q] = offset
            for i in range(w.shape[1]):
                start = i * plan[5]
                gemm(w[g, i], False, lines[:, start : start + pixels], False, 1.0, y[n, g])


@parallel
def _forward_all(x, w, bias, y, plan, rooms):
    workers = len(rooms)
    for t in prange(workers):
        first, last = len(x) * t // workers, len(x) * (t + 1) // workers
        _forward_some(x, w, bias, y, plan, first, last, rooms[t])


@serial
def _weight_some(x, dy, dw, plan, first, last, room):
    """dw (groups, kh, C·kw, O) of x and dy, added up over some images."""
    _, groups, outputs, pixels = dy.shape
    size = dw.shape[2] * plan[6]
    lines = room[:size].reshape(dw.shape[2], plan[6])
    turned = room[size:].reshape(pixels, outputs)  # else the product takes twice as long
    zero(lines.ravel())
    zero(dw.ravel())
    for n in range(first, last):
        for g in range(groups):
            _fill(x[n, g], plan, lines)
            given = dy[n, g]
            for p in range(pixels):
                line = turned[p]
                for o in range(line.size):
                    line[o] = given[o, p]
            for i in range(dw.shape[1]):
                start = i * plan[5]
                gemm(lines[:, start : start + pixels], False, turned, False, 1.0, dw[g, i])


@parallel
def _weight_all(x, dy, sums, plan, rooms):
    parts, workers = len(sums), len(rooms)
    for t in prange(workers):
        for part in range(parts * t // workers, parts * (t + 1) // workers):
            first, last = len(x) * part // parts, len(x) * (part + 1) // parts
            _weight_some(x, dy, sums[part], plan, first, last, rooms[t])


def _by_group(x: Any, groups: int) -> Any:
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h * w)


def _rooms(parts: int, size: int, work: int, dtype: Any) -> Any:
    """Scratch for each thread; for one alone where there is little work."""
    workers = 1 if work < SERIAL_WORK else min(parts, get_num_threads())
    return empty((workers, size), dtype)


def convolved(x: Any, w: Any, bias: Any, geometry: Any, plan: Plan) -> Any:
    """conv2d(x, w) + bias."""
    n, (o, each, kh, kw), groups = len(x), w.shape, geometry.groups
    weights = w.reshape(groups, o // groups, each, kh, kw).transpose(0, 3, 1, 2, 4)
    weights = weights.reshape(groups, kh, o // groups, each * kw)
    y = empty((n, o, *geometry.output_size(x.shape[2:], (kh, kw))), x.dtype)
    rooms = _rooms(n, each * kw * plan.length, y.size * each * kh * kw, x.dtype)
    given = _by_group(x, groups), np.ascontiguousarray(weights), bias, _by_group(y, groups)
    with blas.one_thread_each():
        if len(rooms) == 1:
            _forward_some(*given, tuple(plan), 0, n, rooms[0])
        else:
            _forward_all(*given, tuple(plan), rooms)
    return y


def weighed(x: Any, dy: Any, kernel: Any, geometry: Any, plan: Plan) -> Any:
    """conv2d_weight(x, dy) (O, C/groups, *kernel)."""
    (n, c), o, (kh, kw), groups = x.shape[:2], dy.shape[1], kernel, geometry.groups
    each, outputs = c // groups, o // groups
    shape = groups, kh, each * kw, outputs
    work = dy.size * each * kh * kw
    parts = max(1, min(n, PARTS, MOST_SUMMED // (o * each * kh * kw), 1 + work // SERIAL_WORK))
    sums = empty((parts, *shape), x.dtype)
    pixels = dy.shape[2] * dy.shape[3]
    rooms = _rooms(parts, each * kw * plan.length + pixels * outputs, work, x.dtype)
    given = _by_group(x, groups), _by_group(dy, groups)
    with blas.one_thread_each():
        if parts == 1:
            _weight_some(*given, sums[0], tuple(plan), 0, n, rooms[0])
        else:
            _weight_all(*given, sums, tuple(plan), rooms)
    dw = np.add.reduce(sums, axis=0).reshape(groups, kh, each, kw, outputs)
    return np.ascontiguousarray(dw.transpose(0, 4, 2, 1, 3)).reshape(o, each, kh, kw)
