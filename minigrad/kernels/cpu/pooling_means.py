"""Kernels of mean pooling, on images (N·C, H, W): rows are added up first, then columns.

A window's rows are added to one line, of which each window then takes its columns: kh + kw numbers
are added for a window of kh·kw, in long loops that become SIMD.  Back, the same the other way.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import prange

from ...memory import empty
from ...ops.pool import avg_pool2d, avg_unpool2d
from .compiling import parallel, serial
from .pooling import PARTS, SMALL, images_of, inside, served


@serial
def _means(x, y, kernel, stride, padding, rows, columns):
    """The means of some images' windows; what they divide by is rows · columns."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    line = np.empty(x.shape[2], x.dtype)
    for p in range(x.shape[0]):
        for r in range(y.shape[1]):
            top, out = r * sh - ph, y[p, r]
            first, end = inside(top, 1, kh, x.shape[1])
            line[:] = 0
            for i in range(top + first, top + end):
                pixels = x[p, i]
                for k in range(line.size):
                    line[k] += pixels[k]
            out[:] = 0
            for j in range(kw):
                first, end = inside(j - pw, sw, out.size, line.size)
                seen, means = line[first * sw + j - pw :], out[first:end]
                for c in range(means.size):
                    means[c] += seen[c * sw]
            for c in range(out.size):
                out[c] /= rows[r] * columns[c]


@serial
def _spread(x, y, kernel, stride, padding, rows, columns):
    """Each value of some images of windows spread evenly over its window: the adjoint."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    line, share = np.empty(y.shape[2], y.dtype), np.empty(x.shape[2], y.dtype)
    for p in range(y.shape[0]):
        y[p, :, :] = 0
        for r in range(x.shape[1]):
            top, values = r * sh - ph, x[p, r]
            for c in range(share.size):
                share[c] = values[c] / (rows[r] * columns[c])
            line[:] = 0
            for j in range(kw):
                first, end = inside(j - pw, sw, share.size, line.size)
                seen, shares = line[first * sw + j - pw :], share[first:end]
                for c in range(shares.size):
                    seen[c * sw] += shares[c]
            first, end = inside(top, 1, kh, y.shape[1])
            for i in range(top + first, top + end):
                pixels = y[p, i]
                for k in range(line.size):
                    pixels[k] += line[k]


@parallel
def _on_many(x, y, kernel, stride, padding, rows, columns, back):
    n = -(-x.shape[0] // PARTS)
    for b in prange(-(-x.shape[0] // n)):
        part = slice(b * n, (b + 1) * n)
        if back:
            _spread(x[part], y[part], kernel, stride, padding, rows, columns)
        else:
            _means(x[part], y[part], kernel, stride, padding, rows, columns)


def _run(x, size, out, window, include_pad, divisor, back):
    """Means of windows of images of this size, or back to them: an array (…, *out)."""
    source, y = images_of(x), empty((x.size // (x.shape[-2] * x.shape[-1]), *out), x.dtype)
    sides = _divisors(window, size, include_pad, divisor, x.dtype)
    given = source, y, window.kernel, window.stride, window.padding, *sides
    if max(x.size, y.size) > SMALL:
        _on_many(*given, back)
    elif back:
        _spread(*given)
    else:
        _means(*given)
    return y.reshape(*x.shape[:-2], *out)


@functools.lru_cache(maxsize=256)
def _divisors(window, size, include_pad, divisor, dtype):
    """What a window's sum is divided by, as a factor of its row and one of its column."""
    rows, columns = window.sides(size, include_pad)
    if divisor:
        rows, columns = np.full_like(rows, divisor), np.ones_like(columns)
    return rows.astype(dtype), columns.astype(dtype)


@avg_pool2d.kernel("cpu", needs="numba")
def _(xp, x, *, window, include_pad=True, divisor=None):
    if not served(x) or window.dilation != (1, 1):
        return NotImplemented
    size = x.shape[-2:]
    out = window.output_size(size)
    return _run(x, size, out, window, include_pad, divisor, back=False)


@avg_unpool2d.kernel("cpu", needs="numba")
def _(xp, x, *, size, window, include_pad=True, divisor=None):
    size = tuple(size)
    if not served(x) or window.dilation != (1, 1) or x.shape[-2:] != window.output_size(size):
        return NotImplemented
    return _run(x, size, size, window, include_pad, divisor, back=True)
