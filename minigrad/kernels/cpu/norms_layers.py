"""Compiled loops of layer norm over a matrix (rows, lengths): statistics of each row.

gamma and beta are matrices too, for rows whose numbers differ by a multiple of their length: group
norm of vectors has a row of them for each of its groups.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import parallel, serial
from .norms_channels import statistics

BLOCK, WIDE, FEW = 64, 4096, 16  # rows that are worked on together; FEW of WIDE ones


@serial
def height(x):
    """Rows of a block."""
    return BLOCK if x.shape[1] <= WIDE else FEW


@serial
def block_forward(x, lo, hi, gamma, beta, eps, y, mean, var, m, d, r):
    """Rows from `lo` to `hi`, one by one."""
    number = x.dtype.type
    for k in range(lo, hi):
        statistics(x, 1, 1, k, k + 1, 0, eps, mean, var, m, d, r)
        at, scale, shift, w = m[k], number(r[k]), number(-d[k] * r[k]), k % len(gamma)
        for i in range(x.shape[1]):
            y[k, i] = ((x[k, i] - at) * scale + shift) * gamma[w, i] + beta[w, i]


@serial
def row_sums(x, dy, k, m, scale, shift, gamma, w):
    """Σ gamma dy and Σ gamma dy x̂ of row k."""
    s = t = x.dtype.type(0)
    for i in range(x.shape[1]):
        h = dy[k, i] * gamma[w, i]
        s += h
        t += h * ((x[k, i] - m) * scale + shift)
    return s, t


@serial
def block_backward(x, lo, hi, dy, gamma, m, d, r, dx, sums):
    """dx of rows from `lo` to `hi`, and their shares of dgamma and dbeta."""
    number, n, places = x.dtype.type, x.shape[1], len(gamma)
    sums[:] = 0
    for k in range(lo, hi):
        w, at, scale, shift = k % places, m[k], number(r[k]), number(-d[k] * r[k])
        s, t = row_sums(x, dy, k, at, scale, shift, gamma, w)
        s, t = number(s / n), number(t / n)
        dgamma, dbeta = sums[0, w], sums[1, w]
        for i in range(n):
            xhat = (x[k, i] - at) * scale + shift
            dgamma[i] += dy[k, i] * xhat
            dbeta[i] += dy[k, i]
        for i in range(n):
            xhat = (x[k, i] - at) * scale + shift
            dx[k, i] = (dy[k, i] * gamma[w, i] - s - xhat * t) * scale


@serial
def add_up(sums, dgamma, dbeta):
    """The blocks' shares, in float64."""
    dgamma[:] = 0
    dbeta[:] = 0
    for b in range(len(sums)):
        for w in range(len(dgamma)):
            for i in range(dgamma.shape[1]):
                dgamma[w, i] += sums[b, 0, w, i]
                dbeta[w, i] += sums[b, 1, w, i]


# ---- the whole, for one thread and for several


def _forward(loop):
    def forward(x, gamma, beta, eps, y, mean, var, m, d, r):
        tall = height(x)
        for b in loop(-(-len(x) // tall)):
            lo, hi = b * tall, min((b + 1) * tall, len(x))
            block_forward(x, lo, hi, gamma, beta, eps, y, mean, var, m, d, r)

    return forward


def _backward(loop):
    def backward(x, dy, gamma, m, d, r, dx, dgamma, dbeta):
        tall = height(x)
        places, n = gamma.shape
        sums = np.empty((-(-len(x) // tall), 2, places, n), x.dtype)
        for b in loop(len(sums)):
            lo, hi = b * tall, min((b + 1) * tall, len(x))
            block_backward(x, lo, hi, dy, gamma, m, d, r, dx, sums[b])
        add_up(sums, dgamma, dbeta)

    return backward


small_forward, large_forward = serial(_forward(range)), parallel(_forward(prange))
small_backward, large_backward = serial(_backward(range)), parallel(_backward(prange))
