"""Compiled loops of batch norm over a matrix (N, C): statistics of each column.

Rows are read in fixed blocks.  Within a block sums are in x's dtype, across blocks in float64: so
they are exact enough, and the same whatever the number of threads.

What is summed is x less a shift: the mean of the first few rows.  Unless the data is in an odd
order, that is so near the mean that one pass gives the variance as well, Σ c² / n - d² with c =
x - shift and d its mean, without cancellation; else a second pass takes a better shift.  The shift
and d are the mean in two parts, as hints hold it.

Each channel's numbers are read beside every row, so they lie where a SIMD register's worth never
crosses cache lines: that makes the loops up to 1.4 times as fast.

One text serves with relu and without: what is less than `least` becomes it, 0 for relu and else
-∞; where `out` is not above `limit`, 0 or NaN, dy counts as 0, and what is left of it is h.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import exact, parallel, serial

BLOCK = 32  # rows that x's dtype adds up
FIRST = 32  # rows whose mean is the shift
LINE = 64  # bytes of a cache line, and of the widest SIMD register


@serial
def aligned(rows, n, x):
    """Scratch for rows of n numbers like x's, each at the beginning of a cache line."""
    own = LINE // x.itemsize
    wide = (n + own - 1) // own * own
    flat = np.empty(rows * wide + own, x.dtype)
    first = -flat.ctypes.data % LINE // flat.itemsize
    return flat[first : first + rows * wide].reshape(rows, wide)


# ---- the work on a block


@exact
def first_shift(x, shift):
    """The mean of the first rows; of equal values exactly theirs."""
    first, n = x[0], min(FIRST, len(x))
    for i in range(first.size):
        shift[i] = 0
    for k in range(1, n):
        row = x[k]
        for i in range(row.size):
            shift[i] += row[i] - first[i]
    for i in range(first.size):
        shift[i] = first[i] + shift[i] / n


@serial
def block_sums(x, m, s, q):
    """Σ (x - m) and Σ (x - m)² for each column; four rows at a time, to spare the caches."""
    fours, n = len(x) // 4 * 4, x.shape[1]
    for i in range(n):
        s[i] = 0
        q[i] = 0
    for k in range(0, fours, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for i in range(n):
            c0, c1, c2, c3 = x0[i] - m[i], x1[i] - m[i], x2[i] - m[i], x3[i] - m[i]
            s[i] += (c0 + c1) + (c2 + c3)
            q[i] += (c0 * c0 + c1 * c1) + (c2 * c2 + c3 * c3)
    for k in range(fours, len(x)):
        row = x[k]
        for i in range(n):
            c = row[i] - m[i]
            s[i] += c
            q[i] += c * c


@serial
def block_line(x, lines, least, y):
    """(x - m) · scale + shift, or `least`."""
    m, scale, shift = lines[0], lines[1], lines[2]
    for k in range(len(x)):
        row, to = x[k], y[k]
        for i in range(row.size):
            z = (row[i] - m[i]) * scale[i] + shift[i]
            to[i] = least if z < least else z


@serial
def block_grad_sums(x, out, dy, m, limit, s, t):
    """Σ h and Σ h (x - m) for each column."""
    zero, fours, n = x.dtype.type(0), len(x) // 4 * 4, x.shape[1]
    for i in range(n):
        s[i] = 0
        t[i] = 0
    for k in range(0, fours, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        g0, g1, g2, g3 = dy[k], dy[k + 1], dy[k + 2], dy[k + 3]
        o0, o1, o2, o3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for i in range(n):
            h0, h1 = zero if o0[i] <= limit else g0[i], zero if o1[i] <= limit else g1[i]
            h2, h3 = zero if o2[i] <= limit else g2[i], zero if o3[i] <= limit else g3[i]
            c0, c1, c2, c3 = x0[i] - m[i], x1[i] - m[i], x2[i] - m[i], x3[i] - m[i]
            s[i] += (h0 + h1) + (h2 + h3)
            t[i] += (h0 * c0 + h1 * c1) + (h2 * c2 + h3 * c3)
    for k in range(fours, len(x)):
        row, g, o = x[k], dy[k], out[k]
        for i in range(n):
            h = zero if o[i] <= limit else g[i]
            s[i] += h
            t[i] += h * (row[i] - m[i])


@serial
def block_dx(x, out, dy, lines, limit, dx):
    """((x - m) · slope + h + shift) · scale; without a limit `out` need not be read."""
    m, slope, shift, scale, zero = lines[0], lines[1], lines[2], lines[3], x.dtype.type(0)
    for k in range(len(x)):
        row, g, o, to = x[k], dy[k], out[k], dx[k]
        if limit != limit:
            for i in range(row.size):
                to[i] = ((row[i] - m[i]) * slope[i] + g[i] + shift[i]) * scale[i]
        else:
            for i in range(row.size):
                h = zero if o[i] <= limit else g[i]
                to[i] = ((row[i] - m[i]) * slope[i] + h + shift[i]) * scale[i]


# ---- the work on a channel


@serial
def added_up(sums, n):
    """The blocks' pairs of sums in float64."""
    total = np.zeros((2, n))
    for k in range(len(sums)):
        to, row = total[k % 2], sums[k]
        for i in range(n):
            to[i] += row[i]
    return total


@serial
def settle(sums, n, eps, m, mean, var, d, r):
    """Statistics from sums about m; whether m was near the mean."""
    total, far = added_up(sums, mean.size), 0
    s, q = total[0], total[1]
    for i in range(mean.size):
        off = s[i] / n
        v = q[i] / n - off * off
        far += off * off > v
        d[0, i], mean[i], var[i], r[0, i] = off, m[0, i] + off, v, 1 / np.sqrt(v + eps)
    return far == 0


@serial
def settle_line(gamma, beta, m, d, r, lines):
    """The lines that `block_line` needs."""
    at, scale, shift = lines[0], lines[1], lines[2]
    for i in range(gamma.size):
        a = r[0, i] * gamma[i]
        at[i], scale[i], shift[i] = m[0, i], a, beta[i] - d[0, i] * a


@serial
def settle_gradients(sums, n, gamma, d, r, dgamma, dbeta, lines):
    """dgamma and dbeta, and from them the lines that `block_dx` needs, beside m."""
    total = added_up(sums, gamma.size)
    s, t, slope, shift, scale = total[0], total[1], lines[1], lines[2], lines[3]
    for i in range(gamma.size):
        a = (t[i] - d[0, i] * s[i]) * r[0, i]
        b = a * r[0, i] / n
        dgamma[i], dbeta[i] = a, s[i]
        slope[i], shift[i], scale[i] = -b, d[0, i] * b - s[i] / n, r[0, i] * gamma[i]


# ---- the whole, for one thread and for several


def _forward(loop):
    def forward(x, gamma, beta, eps, least, y, mean, var, m, d, r):
        blocks, n, number = -(-len(x) // BLOCK), m.size, x.dtype.type
        sums, lines = aligned(2 * blocks, n, x), aligned(3, n, x)
        at = lines[0]
        first_shift(x, at)
        for attempt in range(2):
            for k in loop(blocks):
                block_sums(x[k * BLOCK : (k + 1) * BLOCK], at, sums[2 * k], sums[2 * k + 1])
            for i in range(n):
                m[0, i] = at[i]
            if settle(sums, len(x), eps, m, mean, var, d, r) or attempt:
                break
            for i in range(n):
                at[i] = mean[i]
        settle_line(gamma, beta, m, d, r, lines)
        for k in loop(blocks):
            lo, hi = k * BLOCK, (k + 1) * BLOCK
            block_line(x[lo:hi], lines, number(least), y[lo:hi])

    return forward


def _line(loop):
    def line(x, gamma, beta, least, y, m, d, r):
        lines = aligned(3, m.size, x)
        settle_line(gamma, beta, m, d, r, lines)
        for k in loop(-(-len(x) // BLOCK)):
            lo, hi = k * BLOCK, (k + 1) * BLOCK
            block_line(x[lo:hi], lines, x.dtype.type(least), y[lo:hi])

    return line


def _backward(loop):
    def backward(x, out, dy, gamma, limit, wants_dx, m, d, r, dx, dgamma, dbeta):
        blocks, n, most = -(-len(x) // BLOCK), m.size, x.dtype.type(limit)
        sums, lines = aligned(2 * blocks, n, x), aligned(4, n, x)
        at = lines[0]
        for i in range(n):
            at[i] = m[0, i]
        for k in loop(blocks):
            lo, hi, j = k * BLOCK, (k + 1) * BLOCK, 2 * k
            block_grad_sums(x[lo:hi], out[lo:hi], dy[lo:hi], at, most, sums[j], sums[j + 1])
        settle_gradients(sums, len(x), gamma, d, r, dgamma, dbeta, lines)
        if wants_dx:
            for k in loop(blocks):
                lo, hi = k * BLOCK, (k + 1) * BLOCK
                block_dx(x[lo:hi], out[lo:hi], dy[lo:hi], lines, most, dx[lo:hi])

    return backward


small_forward, large_forward = serial(_forward(range)), parallel(_forward(prange))
small_line, large_line = serial(_line(range)), parallel(_line(prange))
small_backward, large_backward = serial(_backward(range)), parallel(_backward(prange))
