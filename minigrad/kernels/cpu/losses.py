"""Kernels of softmax and cross-entropy: a block of rows is read, and read again in the cache."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from ...memory import empty
from ...op import Hint
from ...ops.loss import cross_entropy
from ...ops.reduce import log_softmax, softmax
from .compiling import parallel, serial
from .exponential import exp

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
SMALL = 1 << 15  # up to so many numbers one thread is as fast as several
MOST = 1 << 62  # an index beyond it is no int64
BLOCK = 1 << 13  # numbers: what of a block is read three times stays in the cache
LANES = 32  # largest values that are looked for side by side, as SIMD does


@serial
def _largest(row, lanes):
    """The largest of a long row, a NaN aside; `lanes` is scratch."""
    width = lanes.size
    for j in range(width):
        lanes[j] = row[j]
    for start in range(width, row.size - width + 1, width):
        part = row[start : start + width]
        for j in range(width):
            lanes[j] = max(lanes[j], part[j])
    peak = row[-1]
    for value in row[row.size - row.size % width :]:
        peak = max(peak, value)
    for value in lanes:
        peak = max(peak, value)
    return peak


@serial
def _shift(x, y):
    """Each row less its largest value; a NaN among the others stays."""
    n, length = x.shape
    for i in range(n):  # x[i, j]: of a short row, to make x[i] would take as long as to read it
        if length < 2 * LANES:
            peak = x[i, 0]
            for j in range(length):
                peak = max(peak, x[i, j])
        else:
            peak = _largest(x[i], y[i, :LANES])
        for j in range(length):
            y[i, j] = x[i, j] - peak


@serial
def _fill(x, labels, ignore_index, slopes, losses):
    """softmax - onehot and minus the log-probabilities of rows -> whether labels are in range."""
    n, classes = x.shape
    _shift(x, slopes)
    for i in range(n):
        if labels[i] == ignore_index:
            losses[i] = 0
        elif labels[i] < 0 or labels[i] >= classes:
            return False
        else:
            losses[i] = slopes[i, labels[i]]
    flat = slopes.reshape(-1)
    for k in range(flat.size):
        flat[k] = exp(flat[k])
    for i in range(n):
        if labels[i] == ignore_index:
            slopes[i, :] = 0
            continue
        total = 0.0
        for j in range(classes):
            total += slopes[i, j]
        losses[i] = math.log(total) - losses[i]
        share, label = x.dtype.type(1 / total), labels[i]
        others = total - slopes[i, label]  # in float64: 1 - p would lose what is left of it
        for j in range(classes):
            slopes[i, j] *= share
        slopes[i, label] = -others / total
    return True


@serial
def _summed(labels, ignore_index, losses):
    """How many rows count, and the sum of their losses."""
    count, total = 0, 0.0
    for i in range(losses.size):
        count += labels[i] != ignore_index
        total += losses[i]
    return count, total


@serial
def _on_one(x, labels, ignore_index, slopes, losses):
    if not _fill(x, labels, ignore_index, slopes, losses):
        return -1, 0.0
    return _summed(labels, ignore_index, losses)


@parallel
def _on_many(x, labels, ignore_index, slopes, losses):
    rows = max(1, BLOCK // x.shape[1])
    blocks = -(-x.shape[0] // rows)
    right = np.empty(blocks, np.bool_)
    for b in prange(blocks):
        part = slice(b * rows, (b + 1) * rows)
        right[b] = _fill(x[part], labels[part], ignore_index, slopes[part], losses[part])
    return _summed(labels, ignore_index, losses) if right.all() else (-1, 0.0)


@cross_entropy.kernel("cpu", needs="numba")
def _(xp, x, labels, *, ignore_index, reduction):
    number = x.dtype
    if number not in FLOATS or x.ndim != 2 or labels.shape != x.shape[:1] or x.size == 0:
        return NotImplemented
    if not x.flags.c_contiguous or abs(ignore_index) > MOST:
        return NotImplemented
    if labels.dtype.kind not in "iu":
        return NotImplemented
    if labels.dtype != np.int64 or not labels.flags.c_contiguous:
        if labels.dtype.kind == "u" and labels.itemsize == 8:
            return NotImplemented  # its largest numbers would become negative
        labels = np.ascontiguousarray(labels, np.int64)
    slopes, losses = empty(x.shape, number), np.empty(len(x), number)
    run = _on_one if x.size <= SMALL else _on_many
    count, total = run(x, labels, int(ignore_index), slopes, losses)
    if count < 0:
        return NotImplemented  # a label out of range: the forward says so
    if reduction == "mean":
        return number.type(total / (count or math.nan)), Hint(slopes, number.type(1 / (count or 1)))
    return losses if reduction == "none" else number.type(total), Hint(slopes, number.type(1))


# ---- softmax along the last axis -----------------------------------------------------------------


@serial
def _softmax(x, y):
    n, length = x.shape
    _shift(x, y)
    flat = y.reshape(-1)
    for k in range(flat.size):
        flat[k] = exp(flat[k])
    for i in range(n):
        total = 0.0
        for j in range(length):
            total += y[i, j]
        share = x.dtype.type(1 / total)
        for j in range(length):
            y[i, j] *= share


@serial
def _log_softmax(x, y):
    n, length = x.shape
    _shift(x, y)
    for i in range(n):
        total = 0.0
        for j in range(length):
            total += exp(y[i, j])
        log = x.dtype.type(math.log(total))
        for j in range(length):
            y[i, j] -= log


@parallel
def _on_threads(x, y, logarithm):
    rows = max(1, BLOCK // x.shape[1])
    for b in prange(-(-x.shape[0] // rows)):
        part = slice(b * rows, (b + 1) * rows)
        if logarithm:
            _log_softmax(x[part], y[part])
        else:
            _softmax(x[part], y[part])


def _along_rows(x, axis, logarithm):
    if x.dtype not in FLOATS or x.size == 0 or not x.flags.c_contiguous:
        return NotImplemented
    if x.ndim == 0 or axis not in (-1, x.ndim - 1):
        return NotImplemented
    y = empty(x.shape, x.dtype)
    rows, out = (x, y) if x.ndim == 2 else (x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
    if x.size > SMALL:
        _on_threads(rows, out, logarithm)
    elif logarithm:
        _log_softmax(rows, out)
    else:
        _softmax(rows, out)
    return y


@softmax.kernel("cpu", needs="numba")
def _(xp, x, *, axis=-1):
    return _along_rows(x, axis, False)


@log_softmax.kernel("cpu", needs="numba")
def _(xp, x, *, axis=-1):
    return _along_rows(x, axis, True)
