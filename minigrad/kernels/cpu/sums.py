"""Sums on all threads: as exact as those of `ops/sums.py`, and the same for any number of threads.

float32 adds up short blocks, float64 adds up the blocks; an array is cut where its shape says, not
where the number of threads does.
"""

from __future__ import annotations

import functools

import numba
import numpy as np

from ...memory import empty
from ...ops.reduce import mean, sum, sum_to
from ...ops.shape import axes_of
from ...ops.sums import count, joined, reduced, repeated
from .compiling import parallel, serial, writeable

FLOATS = np.dtype(np.float32), np.dtype(np.float64)
ROWS = 128  # that float32 adds up
COLUMNS = 1024  # of a task: their sums stay in the first cache
LENGTH = 4096  # along a row that float32 adds up, in dozens of SIMD sums at once
TASK = 1 << 16  # numbers that are worth a task
FEW = 1 << 13  # numbers that NumPy sums up in as much time, and on one thread
SHORT = 16  # shorter rows are left to NumPy
SMALL = 50_000  # numbers that one thread adds up in less time than a region takes


# ---- compiled ------------------------------------------------------------------------------------


@serial
def add_rows(x, top, bottom, left, sums):
    """sums += Σ of the rows from top to bottom, for as many columns from `left` on."""
    n = sums.size
    block = np.empty(n, x.dtype)
    for start in range(top, bottom, ROWS):
        end = min(start + ROWS, bottom)
        fours = start + (end - start) // 4 * 4
        for j in range(block.size):
            block[j] = 0
        for i in range(start, fours, 4):
            p, q = x[i, left : left + n], x[i + 1, left : left + n]
            r, s = x[i + 2, left : left + n], x[i + 3, left : left + n]
            for j in range(block.size):
                block[j] += (p[j] + q[j]) + (r[j] + s[j])
        for i in range(fours, end):
            p = x[i, left : left + n]
            for j in range(block.size):
                block[j] += p[j]
        for j in range(block.size):
            sums[j] += block[j]


@serial
def _column_task(i, x, rows, y, out, divisor):
    """Sums of some columns: into `out`, or of a piece of the rows into y (groups, pieces, columns).

    x is (groups · rows of one, columns).
    """
    groups, pieces, _ = y.shape
    n = x.shape[0] // out.shape[0]
    across = (out.shape[1] + COLUMNS - 1) // COLUMNS
    piece, left = i // across, i % across * COLUMNS
    right = min(left + COLUMNS, out.shape[1])
    if groups == 0:  # there is one piece only
        sums = np.zeros(right - left)
        add_rows(x, piece * n, piece * n + n, left, sums)
        row = out[piece, left:right]
        for j in range(row.size):
            row[j] = sums[j] / divisor
        return
    group, top = piece // pieces, piece % pieces * rows
    sums = y[group, piece % pieces, left:right]
    for j in range(sums.size):
        sums[j] = 0
    add_rows(x, group * n + top, group * n + min(top + rows, n), left, sums)


@parallel
def _sum_columns(x, rows, y, out, divisor, split):
    """out (groups, columns) = Σ x / divisor over each group's rows, `rows` of them to a task."""
    groups, pieces, _ = y.shape
    across = (out.shape[1] + COLUMNS - 1) // COLUMNS
    tasks = out.shape[0] * max(pieces, 1) * across
    if split:
        for i in numba.prange(tasks):
            _column_task(i, x, rows, y, out, divisor)
    else:
        for i in range(tasks):
            _column_task(i, x, rows, y, out, divisor)
    for group in range(groups):
        sums, row = y[group, 0], out[group]
        for piece in range(1, pieces):
            more = y[group, piece]
            for j in range(sums.size):
                sums[j] += more[j]
        for j in range(row.size):
            row[j] = sums[j] / divisor


@serial
def _row_task(i, x, y):
    """The sum of a piece of a row, into y (rows, pieces)."""
    row, piece = i // y.shape[1], i % y.shape[1]
    end = min((piece + 1) * TASK, x.shape[1])
    sums = 0.0
    for start in range(piece * TASK, end, LENGTH):
        block = x[row, start : min(start + LENGTH, end)]
        part = block.dtype.type(0)
        for j in range(block.size):
            part += block[j]
        sums += part
    y[row, piece] = sums


@parallel
def _sum_rows(x, y, out, divisor, split):
    """out[j] = Σ x / divisor over the rows j, j + out.size, ... of x."""
    if split:
        for i in numba.prange(y.size):
            _row_task(i, x, y)
    else:
        for i in range(y.size):
            _row_task(i, x, y)
    sums = np.zeros(out.size)
    for first in range(0, y.shape[0], out.size):
        for j in range(out.size):
            for piece in range(y.shape[1]):
                sums[j] += y[first + j, piece]
    for j in range(out.size):
        out[j] = sums[j] / divisor


# ---- the ops -------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _plan(shape, axes):
    """What to sum: "rows" or "columns", of x in which shape, in how many groups; None: neither."""
    lengths, leading = joined(shape, axes)
    if leading and len(lengths) == 1:
        return "rows", (1, *lengths), 1
    if leading and len(lengths) == 3 and lengths[2] >= SHORT:
        return "rows", (-1, lengths[2]), lengths[1]
    if not leading and len(lengths) == 2 and lengths[1] >= SHORT:
        return "rows", lengths, lengths[0]
    groups = (1, *lengths) if leading else lengths
    if len(groups) == 3 and groups[2] >= SHORT and groups[1] * groups[2] >= FEW:
        return "columns", (-1, groups[2]), groups[0]
    return None


def _sum(x, axes, divisor, shape):
    """Σ x / divisor over axes, in `shape`, or NotImplemented."""
    if x.dtype not in FLOATS or x.size < FEW or not x.flags.c_contiguous:
        return NotImplemented
    plan = _plan(x.shape, axes)
    if plan is None:
        return NotImplemented
    kind, flat, kept = plan
    out, x = empty(shape, x.dtype), writeable(x).reshape(flat)
    split = x.size > SMALL
    if kind == "rows":
        y = empty((x.shape[0], -(-x.shape[1] // TASK)), np.float64)
        _sum_rows(x, y, out.reshape(kept), float(divisor), split)
        return out
    n, columns = x.shape[0] // kept, x.shape[1]
    rows = -(-TASK // (min(columns, COLUMNS) * ROWS)) * ROWS
    y = empty((kept, -(-n // rows), columns) if n > rows else (0, 0, 0), np.float64)
    _sum_columns(x, rows, y, out.reshape(kept, columns), float(divisor), split)
    return out


@sum.kernel("cpu", needs="numba")
def _(xp, x, *, axis, keepdims):
    axes = axes_of(axis, x.ndim)
    return _sum(x, axes, 1, reduced(x.shape, axes, keepdims))


@mean.kernel("cpu", needs="numba")
def _(xp, x, *, axis, keepdims):
    axes = axes_of(axis, x.ndim)
    return _sum(x, axes, count(x.shape, axes), reduced(x.shape, axes, keepdims))


@sum_to.kernel("cpu", needs="numba")
def _(xp, x, *, shape):
    axes = repeated(x.shape, tuple(shape))
    return _sum(x, axes, 1, shape) if axes else NotImplemented
