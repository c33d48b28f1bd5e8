"""Compiled loops of the norms whose channels are rows of pixels: batch, group and instance norm.

The array is seen as a matrix of rows, each of one image and channel.  A set of `count` rows,
`inner` apart, is normalised together, by one thread, which reads it a second time from its cache:
batch norm's sets are a channel's rows in all images, group norm's are neighbours.  A set has a row
of the matrix of weights: with one for all of it, or one for each of its rows; sets whose numbers
differ by a multiple of `len(gamma)` share it.

Spans of a row are summed in x's dtype, all else in float64.  The shift is that of norms_rows.py,
which tells of `least` too.  `out`, relu's output, is None where there was no relu: Numba compiles
one text for each, and h is what relu let through of dy.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import exact, inlined, parallel, serial

SPAN = 1024  # values that x's dtype adds up, in many sums side by side
FIRST = 64  # values whose mean is the shift
PAGE = 1024  # values that are read well in one go


# ---- the work on a row


@inlined
def span_sums(x, m):
    """Σ (x - m) and Σ (x - m)²."""
    s = q = x.dtype.type(0)
    for i in range(x.size):
        c = x[i] - m
        s += c
        q += c * c
    return s, q


@inlined
def span_grad_sums(x, dy, m):
    """Σ dy and Σ dy (x - m)."""
    s = t = x.dtype.type(0)
    for i in range(x.size):
        s += dy[i]
        t += dy[i] * (x[i] - m)
    return s, t


@inlined
def span_relu_grad_sums(x, out, dy, m):
    """The same of what relu let through."""
    s = t = zero = x.dtype.type(0)
    for i in range(x.size):
        h = zero if out[i] <= zero else dy[i]
        s += h
        t += h * (x[i] - m)
    return s, t


@inlined
def row_sums(x, k, m):
    """Σ (x - m) and Σ (x - m)² of row k."""
    s = q = 0.0
    for at in range(0, x.shape[1], SPAN):
        a, b = span_sums(x[k, at : at + SPAN], m)
        s, q = s + a, q + b
    return s, q


@inlined
def row_grad_sums(x, out, dy, k, m):
    """Σ h and Σ h (x - m) of row k."""
    s = t = 0.0
    for at in range(0, x.shape[1], SPAN):
        to = at + SPAN
        if out is None:
            a, b = span_grad_sums(x[k, at:to], dy[k, at:to], m)
        else:
            a, b = span_relu_grad_sums(x[k, at:to], out[k, at:to], dy[k, at:to], m)
        s, t = s + a, t + b
    return s, t


@inlined
def row_line(x, k, m, scale, shift, least, y):
    """(x - m) · scale + shift in row k, or `least`."""
    for i in range(x.shape[1]):
        z = (x[k, i] - m) * scale + shift
        y[k, i] = least if z < least else z


@inlined
def row_dx(x, out, dy, k, m, slope, scale, shift, dx):
    """(x - m) · slope + h · scale + shift in row k."""
    if out is None:
        for i in range(x.shape[1]):
            dx[k, i] = (x[k, i] - m) * slope + dy[k, i] * scale + shift
    else:
        zero = x.dtype.type(0)
        for i in range(x.shape[1]):
            h = zero if out[k, i] <= zero else dy[k, i]
            dx[k, i] = (x[k, i] - m) * slope + h * scale + shift


# ---- the work on neighbouring sets, from `lo` to `hi`


@serial
def groups_of(x, inner, sets):
    """How many sets are worked on together, and how many groups of them there are.

    Rows that are short and far apart are slow to read: enough neighbours fill a page of memory.
    """
    width = min(inner, max(1, PAGE // x.shape[1]))
    return width, sets // inner * ((inner + width - 1) // width)


@serial
def group(at, width, inner, count):
    """The sets of a group, and how far their first rows are from those of the array's first."""
    many = (inner + width - 1) // width
    first = at // many * inner
    lo = first + at % many * width
    return lo, min(lo + width, first + inner), first * (count - 1)


@exact
def first_shift(x, k, inner, count):
    """The mean of the first values; of equal ones exactly theirs."""
    first, n = x[k, 0], 0
    s = x.dtype.type(0)
    for j in range(count):
        for i in range(min(x.shape[1], FIRST)):
            s += x[k + j * inner, i] - first
            n += 1
        if n >= FIRST:
            break
    return first + x.dtype.type(s / n)


@serial
def statistics(x, inner, count, lo, hi, off, eps, mean, var, m, d, r):
    """Those of each set."""
    n = count * x.shape[1]
    sums = np.empty((hi - lo, 2))
    for p in range(lo, hi):
        m[p] = first_shift(x, off + p, inner, count)
    for attempt in range(2):
        sums[:] = 0
        for j in range(count):
            for p in range(lo, hi):
                s, q = row_sums(x, off + j * inner + p, m[p])
                sums[p - lo, 0] += s
                sums[p - lo, 1] += q
        far = False
        for p in range(lo, hi):
            s, q = sums[p - lo, 0] / n, sums[p - lo, 1] / n
            v = q - s * s
            far = far or s * s > v
            d[p], mean[p], var[p], r[p] = s, m[p] + s, v, 1 / np.sqrt(v + eps)
        if attempt or not far:
            break
        for p in range(lo, hi):
            m[p] = mean[p]


@serial
def lines(x, inner, count, lo, hi, off, gamma, beta, least, y, m, d, r):
    """gamma · (x - m - d) · r + beta."""
    number, (places, own) = x.dtype.type, gamma.shape
    for j in range(count):
        for p in range(lo, hi):
            w, v = p % places, min(j, own - 1)
            a = r[p] * gamma[w, v]
            b = number(beta[w, v] - d[p] * a)
            row_line(x, off + j * inner + p, m[p], number(a), b, number(least), y)


@serial
def gradients(x, inner, count, lo, hi, off, out, dy, gamma, m, d, r, dgamma, dbeta):
    """Each set's shares of dgamma and dbeta."""
    dgamma[lo:hi] = 0
    dbeta[lo:hi] = 0
    for j in range(count):
        for p in range(lo, hi):
            v, k = min(j, gamma.shape[1] - 1), off + j * inner + p
            s, t = row_grad_sums(x, out, dy, k, m[p])
            dgamma[p, v] += (t - d[p] * s) * r[p]
            dbeta[p, v] += s


@serial
def slopes(x, inner, count, lo, hi, off, out, dy, gamma, m, d, r, dgamma, dbeta, dx):
    """dx = (gamma h - mean(gamma h) - x̂ mean(gamma h x̂)) · r."""
    number, n, (places, own) = x.dtype.type, count * x.shape[1], gamma.shape
    means = np.zeros((hi - lo, 2))
    for p in range(lo, hi):
        for v in range(own):
            means[p - lo, 0] += gamma[p % places, v] * dbeta[p, v] / n
            means[p - lo, 1] += gamma[p % places, v] * dgamma[p, v] / n
    for j in range(count):
        for p in range(lo, hi):
            k, slope = off + j * inner + p, -means[p - lo, 1] * r[p] * r[p]
            shift = number(-d[p] * slope - means[p - lo, 0] * r[p])
            scale = number(r[p] * gamma[p % places, min(j, own - 1)])
            row_dx(x, out, dy, k, m[p], number(slope), scale, shift, dx)


# ---- the whole, for one thread and for several


def _forward(loop):
    def forward(x, inner, count, gamma, beta, eps, least, y, mean, var, m, d, r):
        width, many = groups_of(x, inner, m.size)
        for at in loop(many):
            lo, hi, off = group(at, width, inner, count)
            statistics(x, inner, count, lo, hi, off, eps, mean, var, m, d, r)
            lines(x, inner, count, lo, hi, off, gamma, beta, least, y, m, d, r)

    return forward


def _line(loop):
    def line(x, inner, count, gamma, beta, least, y, m, d, r):
        width, many = groups_of(x, inner, m.size)
        for at in loop(many):
            lo, hi, off = group(at, width, inner, count)
            lines(x, inner, count, lo, hi, off, gamma, beta, least, y, m, d, r)

    return line


def _backward(loop):
    def backward(x, inner, count, out, dy, gamma, wants_dx, m, d, r, dx, dgamma, dbeta):
        width, many = groups_of(x, inner, m.size)
        for at in loop(many):
            lo, hi, off = group(at, width, inner, count)
            gradients(
                *(x, inner, count, lo, hi, off, out, dy, gamma),
                *(m, d, r, dgamma, dbeta),
            )
            if wants_dx:
                slopes(
                    *(x, inner, count, lo, hi, off, out, dy, gamma),
                    *(m, d, r, dgamma, dbeta, dx),
                )

    return backward


small_forward, large_forward = serial(_forward(range)), parallel(_forward(prange))
small_line, large_line = serial(_line(range)), parallel(_line(prange))
small_backward, large_backward = serial(_backward(range)), parallel(_backward(prange))
