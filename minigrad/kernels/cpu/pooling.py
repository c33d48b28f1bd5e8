"""Kernels of max pooling, on images (N·C, H, W): each window is looked at once.

Images are read as flat memory at unsigned positions: the compiler need not ask whether a position
counts from the end.  Windows of 2×2 side by side, the usual ones, have loops that become SIMD.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ...memory import empty
from ...ops.pool import max_pool2d, unpick
from .compiling import parallel, serial

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
SMALL = 1 << 17  # up to so many pixels one thread is as fast as several
PARTS = 64  # at most so many, of whole images, for the threads
MOST = 256  # offsets in a window that a byte tells apart
HALVES = (2, 2, 2, 2, 0, 0, 1, 1)  # a window of 2×2 for every four pixels


@serial
def inside(start, step, count, length):
    """The offsets of a window, from `start` in steps, that lie in an image: first, and beyond."""
    first = 0 if start >= 0 else (step - 1 - start) // step
    last = (length - 1 - start) // step + 1 if start < length else 0
    return first, min(last, count)


@serial
def _after(v, best):
    """Whether v wins over the best so far: a larger number, or the first NaN; without a branch."""
    return (not (v <= best)) & (best == best)


# ---- the largest ---------------------------------------------------------------------------------


@serial
def _largest_of_four(x, y, winner):
    height, width = x.shape[1:]
    rows, columns = y.shape[1:]
    pixels, values, winners = x.reshape(-1), y.reshape(-1), winner.reshape(-1)
    for r in range(x.shape[0] * rows):
        start, place = (r // rows * height + r % rows * 2) * width, r * columns
        upper, lower = pixels[start : start + width], pixels[start + width : start + 2 * width]
        out, found = values[place : place + columns], winners[place : place + columns]
        for c in range(out.size):
            best, k = upper[2 * c], np.uint8(0)
            v = upper[2 * c + 1]
            best, k = (v, np.uint8(1)) if _after(v, best) else (best, k)
            v = lower[2 * c]
            best, k = (v, np.uint8(2)) if _after(v, best) else (best, k)
            v = lower[2 * c + 1]
            best, k = (v, np.uint8(3)) if _after(v, best) else (best, k)
            out[c], found[c] = best, k


@serial
def _largest(x, y, winner, window):
    """The largest value of each window of some images, and its offset in the window."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    height, width = x.shape[1:]
    pixels, values, winners, place = x.reshape(-1), y.reshape(-1), winner.reshape(-1), 0
    for p in range(x.shape[0]):
        for row in range(y.shape[1]):
            top = row * sh - ph
            i0, i1 = inside(top, dh, kh, height)
            for column in range(y.shape[2]):
                left = column * sw - pw
                j0, j1 = inside(left, dw, kw, width)
                line = (p * height + top + i0 * dh) * width + left
                best, k = pixels[np.uintp(line + j0 * dw)], i0 * kw + j0
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        v = pixels[np.uintp(line + j * dw)]
                        better = _after(v, best)
                        best, k = v if better else best, i * kw + j if better else k
                    line += dh * width
                values[np.uintp(place)], winners[np.uintp(place)] = best, k
                place += 1


@parallel
def _largest_on_many(x, y, winner, window, four):
    n = -(-x.shape[0] // PARTS)
    for b in prange(-(-x.shape[0] // n)):
        part = slice(b * n, (b + 1) * n)
        if four:
            _largest_of_four(x[part], y[part], winner[part])
        else:
            _largest(x[part], y[part], winner[part], window)


@max_pool2d.kernel("cpu", needs="numba")
def _(xp, x, *, window):
    if not served(x) or window.kernel[0] * window.kernel[1] > MOST:
        return NotImplemented
    images, out, numbers = images_of(x), window.output_size(x.shape[-2:]), _numbers(window)
    y = empty((len(images), *out), x.dtype)
    winner = empty(y.shape, np.dtype(np.uint8))
    if x.size > SMALL:
        _largest_on_many(images, y, winner, numbers, numbers == HALVES and not window.ceil)
    elif numbers == HALVES and not window.ceil:
        _largest_of_four(images, y, winner)
    else:
        _largest(images, y, winner, numbers)
    shape = (*x.shape[:-2], *out)
    return y.reshape(shape), winner.reshape(shape)


# ---- back to where it came from ------------------------------------------------------------------


@serial
def _back_to_four(x, winner, y):
    """As `_back`, for windows of 2×2."""
    height, width = y.shape[1:]
    rows, columns = x.shape[1:]
    values, winners, pixels, place = x.reshape(-1), winner.reshape(-1), y.reshape(-1), 0
    for p in range(x.shape[0]):
        start = p * height * width
        pixels[start : start + height * width] = 0  # in the cache for what is written next
        for row in range(rows):
            for column in range(columns):
                k = np.int64(winners[np.uintp(place)] & 3)
                at = start + (2 * row + (k >> 1)) * width + 2 * column + (k & 1)
                pixels[np.uintp(at)] = values[np.uintp(place)]
                place += 1


@serial
def _back(x, winner, y, window):
    """Add the values of some images of windows to where their winners were."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    height, width = y.shape[1:]
    values, winners, pixels, place = x.reshape(-1), winner.reshape(-1), y.reshape(-1), 0
    for p in range(x.shape[0]):
        pixels[p * height * width : (p + 1) * height * width] = 0
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                k = np.int64(winners[np.uintp(place)])
                i, j = row * sh - ph + k // kw * dh, column * sw - pw + k % kw * dw
                if k < kh * kw and 0 <= i < height and 0 <= j < width:
                    pixels[np.uintp((p * height + i) * width + j)] += values[np.uintp(place)]
                place += 1


@parallel
def _back_on_many(x, winner, y, window, four):
    n = -(-x.shape[0] // PARTS)
    for b in prange(-(-x.shape[0] // n)):
        part = slice(b * n, (b + 1) * n)
        if four:
            _back_to_four(x[part], winner[part], y[part])
        else:
            _back(x[part], winner[part], y[part], window)


@unpick.kernel("cpu", needs="numba")
def _(xp, x, winner, *, size, window):
    if not served(x) or winner.dtype != np.uint8 or not winner.flags.c_contiguous:
        return NotImplemented
    if winner.shape != x.shape or x.shape[-2:] != window.output_size(size):
        return NotImplemented
    values, winners, numbers = images_of(x), images_of(winner), _numbers(window)
    y = empty((len(values), *size), x.dtype)
    four = numbers == HALVES and not window.ceil
    if y.size > SMALL:
        _back_on_many(values, winners, y, numbers, four)
    elif four:
        _back_to_four(values, winners, y)
    else:
        _back(values, winners, y, numbers)
    return y.reshape(*x.shape[:-2], *size)


# ---- what a kernel takes -------------------------------------------------------------------------


def served(x):
    """Whether the loops take these images."""
    return x.dtype in FLOATS and x.ndim in (3, 4) and x.size > 0 and x.flags.c_contiguous


def images_of(x):
    """(…, H, W) as (N·C, H, W)."""
    return x.reshape(-1, *x.shape[-2:])


def _numbers(window):
    """The window for compiled code, as whole numbers only."""
    return (*window.kernel, *window.stride, *window.padding, *window.dilation)
