"""Kernels of what reading at indices does backward: rows added up where they were read."""

from __future__ import annotations

import numpy as np
from numba import prange

from ...memory import empty
from ...ops.index import unindex
from .compiling import parallel, serial

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
WHOLE = {np.dtype(np.int64), np.dtype(np.int32)}
SMALL = 1 << 16  # up to so many numbers one thread is as fast as several
PARTS = 64  # of the rows, for the threads


@serial
def _by_row(index, rows):
    """Where each row's places in the index begin in their list, and that list, in order."""
    begins = np.zeros(rows + 1, np.int64)
    for i in index:
        if i < -rows or i >= rows:
            return begins, begins[:0]
        begins[i + 1 if i >= 0 else i + rows + 1] += 1
    for r in range(rows):
        begins[r + 1] += begins[r]
    places, following = np.empty(index.size, np.int64), begins[:-1].copy()
    for place in range(index.size):
        r = index[place] if index[place] >= 0 else index[place] + rows
        places[following[r]] = place
        following[r] += 1
    return begins, places


@serial
def _add_up(x, begins, places, first, y):
    """Fill some rows of y, from `first` on; float64 adds up what meets in one."""
    total = np.zeros(y.shape[1], np.float64)
    for r in range(y.shape[0]):
        row, begin, end = y[r], begins[first + r], begins[first + r + 1]
        for place in places[begin:end]:
            read = x[place]
            for j in range(total.size):
                total[j] += read[j]
        for j in range(total.size):
            row[j] = total[j]
            total[j] = 0


@parallel
def _add_up_on_many(x, begins, places, y):
    n = -(-y.shape[0] // PARTS)
    for b in prange(-(-y.shape[0] // n)):
        _add_up(x, begins, places, b * n, y[b * n : (b + 1) * n])


@unindex.kernel("cpu", needs="numba")
def _(xp, x, *, shape, key):
    index = key[0] if type(key) is tuple and len(key) == 1 else key
    if type(index) is not np.ndarray or index.dtype not in WHOLE or not shape:
        return NotImplemented
    if x.dtype not in FLOATS or not x.size or x.shape != (*index.shape, *shape[1:]):
        return NotImplemented
    if not x.flags.c_contiguous:
        return NotImplemented
    begins, places = _by_row(index.ravel().astype(np.int64, copy=False), shape[0])
    if not places.size:
        return NotImplemented  # an index out of range: the forward says so
    y = empty((shape[0], x.size // index.size), x.dtype)
    x = x.reshape(index.size, -1)
    if x.size + y.size <= SMALL:
        _add_up(x, begins, places, 0, y)
    else:
        _add_up_on_many(x, begins, places, y)
    return y.reshape(shape)
