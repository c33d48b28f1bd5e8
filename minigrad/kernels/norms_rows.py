"""Compiled loops of batch norm over a matrix (N, C): statistics of each column.

Rows are read in fixed blocks.  Within a block sums are in x's dtype, across blocks in float64: so
they are exact enough, and the same whatever the number of threads.

What is summed is x less a shift: the mean of the first few rows.  Unless the data is in an odd
order, that is so near the mean that one pass gives the variance as well, Σ c² / n - d² with c =
x - shift and d its mean, without cancellation; else a second pass takes a better shift.  The shift
and d are the mean in two parts, as hints hold it.

One text serves with relu and without: what is less than `least` becomes it, 0 for relu and else
-∞; where `out` is not above `limit`, 0 or NaN, dy counts as 0, and what is left of it is h.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import exact, parallel, serial

BLOCK = 32  # rows that x's dtype adds up
FIRST = 32  # rows whose mean is the shift


# ---- the work on a block


@exact
def first_shift(x, shift):
    """The mean of the first rows; of equal values exactly theirs."""
    first, n = x[0], min(FIRST, len(x))
    shift[:] = 0
    for k in range(1, n):
        row = x[k]
        for i in range(row.size):
            shift[i] += row[i] - first[i]
    for i in range(shift.size):
        shift[i] = first[i] + shift[i] / n


@serial
def block_sums(x, m, sums):
    """Σ (x - m) and Σ (x - m)² for each column; four rows at a time, to spare the caches."""
    sums[:] = 0
    s, q, fours = sums[0], sums[1], len(x) // 4 * 4
    for k in range(0, fours, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for i in range(m.size):
            c0, c1, c2, c3 = x0[i] - m[i], x1[i] - m[i], x2[i] - m[i], x3[i] - m[i]
            s[i] += (c0 + c1) + (c2 + c3)
            q[i] += (c0 * c0 + c1 * c1) + (c2 * c2 + c3 * c3)
    for k in range(fours, len(x)):
        row = x[k]
        for i in range(m.size):
            c = row[i] - m[i]
            s[i] += c
            q[i] += c * c


@serial
def block_line(x, m, scale, shift, least, y):
    """(x - m) · scale + shift, or `least`."""
    for k in range(len(x)):
        row, to = x[k], y[k]
        for i in range(m.size):
            z = (row[i] - m[i]) * scale[i] + shift[i]
            to[i] = least if z < least else z


@serial
def block_grad_sums(x, out, dy, m, limit, sums):
    """Σ h and Σ h (x - m) for each column."""
    sums[:] = 0
    s, t, zero = sums[0], sums[1], x.dtype.type(0)
    for k in range(len(x)):
        row, g, o = x[k], dy[k], out[k]
        for i in range(m.size):
            h = zero if o[i] <= limit else g[i]
            s[i] += h
            t[i] += h * (row[i] - m[i])


@serial
def block_dx(x, out, dy, m, lines, limit, dx):
    """((x - m) · slope + h + shift) · scale."""
    slope, shift, scale, zero = lines[0], lines[1], lines[2], x.dtype.type(0)
    for k in range(len(x)):
        row, g, o, to = x[k], dy[k], out[k], dx[k]
        for i in range(m.size):
            h = zero if o[i] <= limit else g[i]
            to[i] = ((row[i] - m[i]) * slope[i] + h + shift[i]) * scale[i]


# ---- the work on a channel


@serial
def added_up(sums):
    """The blocks' sums in float64."""
    total = np.zeros(sums.shape[1:])
    for k in range(len(sums)):
        for j in range(2):
            to, row = total[j], sums[k, j]
            for i in range(row.size):
                to[i] += row[i]
    return total


@serial
def settle(sums, n, eps, m, d, r, mean, var):
    """Statistics from sums about m; whether m was near the mean."""
    total, far = added_up(sums), 0
    s, q = total[0], total[1]
    for i in range(m.size):
        off = s[i] / n
        v = q[i] / n - off * off
        far += off * off > v
        d[i], mean[i], var[i], r[i] = off, m[i] + off, v, 1 / np.sqrt(v + eps)
    return far == 0


@serial
def settle_gradients(sums, n, gamma, d, r, dgamma, dbeta, lines):
    """dgamma and dbeta, and from them the lines that `block_dx` needs."""
    total = added_up(sums)
    s, t = total[0], total[1]
    for i in range(d.size):
        a = (t[i] - d[i] * s[i]) * r[i]
        slope = a * r[i] / n
        dgamma[i], dbeta[i] = a, s[i]
        lines[0, i], lines[1, i], lines[2, i] = -slope, d[i] * slope - s[i] / n, r[i] * gamma[i]


# ---- the whole, for one thread and for several


def _line(loop):
    def line(x, gamma, beta, least, y, m, d, r):
        scale, shift = np.empty_like(m), np.empty_like(m)
        for i in range(m.size):
            a = r[i] * gamma[i]
            scale[i], shift[i] = a, beta[i] - d[i] * a
        for k in loop(-(-len(x) // BLOCK)):
            at, to = k * BLOCK, (k + 1) * BLOCK
            block_line(x[at:to], m, scale, shift, x.dtype.type(least), y[at:to])

    return line


def _statistics(loop):
    def statistics(x, eps, mean, var, m, d, r):
        sums = np.empty((-(-len(x) // BLOCK), 2, m.size), x.dtype)
        first_shift(x, m)
        for attempt in range(2):
            for k in loop(len(sums)):
                block_sums(x[k * BLOCK : (k + 1) * BLOCK], m, sums[k])
            if settle(sums, len(x), eps, m, d, r, mean, var) or attempt:
                break
            for i in range(m.size):
                m[i] = mean[i]

    return statistics


def _backward(loop):
    def backward(x, out, dy, gamma, limit, wants_dx, m, d, r, dx, dgamma, dbeta):
        most, sums = x.dtype.type(limit), np.empty((-(-len(x) // BLOCK), 2, m.size), x.dtype)
        for k in loop(len(sums)):
            at, to = k * BLOCK, (k + 1) * BLOCK
            block_grad_sums(x[at:to], out[at:to], dy[at:to], m, most, sums[k])
        lines = np.empty((3, m.size), x.dtype)
        settle_gradients(sums, len(x), gamma, d, r, dgamma, dbeta, lines)
        if wants_dx:
            for k in loop(len(sums)):
                at, to = k * BLOCK, (k + 1) * BLOCK
                block_dx(x[at:to], out[at:to], dy[at:to], m, lines, most, dx[at:to])

    return backward


small_statistics, large_statistics = serial(_statistics(range)), parallel(_statistics(prange))
small_line, large_line = serial(_line(range)), parallel(_line(prange))
small_backward, large_backward = serial(_backward(range)), parallel(_backward(prange))
