"""Matrix products on our own threads: each computes blocks of the result, as OpenBLAS products.

OpenBLAS's own threads would look for work for milliseconds after each product, on the cores that
the next kernel needs: here they stay asleep, and the user's own products still have them.
"""

from __future__ import annotations

import functools
import math
import os

import numba
import numpy as np

from ...memory import empty
from ...ops.linear import dot, linear, linear_grad, linear_weight_grad, matmul, rank
from .blas import alone, available, inside, one_thread_each, product, restored
from .compiling import parallel, serial, writeable
from .sums import add_rows

FLOATS = np.dtype(np.float32), np.dtype(np.float64)
NONE = {dtype: np.empty(0, dtype) for dtype in FLOATS}  # no bias
# a block has at least so many multiplications, some 20 µs of work: what it costs to wake a worker
LEAST = 1 << 21
# the machine's, and not Numba's number of threads, on which results must not depend
CORES = os.cpu_count() or 1
ALONE = 1 << 13  # numbers in a matrix whose product with a vector OpenBLAS leaves to one thread


@functools.lru_cache(maxsize=1024)
def block_size(m, n, k, parts):
    """Height and width of the blocks of an (m, n) product over k: halves, of the longer side."""
    height, width, count = m, n, 1
    while count < parts and height * width * k >= 2 * LEAST:
        if height >= width:
            height = (height + 1) // 2
        else:
            width = (width + 1) // 2
        count *= 2
    return height, width


# ---- compiled ------------------------------------------------------------------------------------


@serial
def _blocks(m, n, height, width):
    return (m + height - 1) // height * ((n + width - 1) // width)


@serial
def _block(i, a, a_t, a_start, b, b_t, b_start, bias, c, c_start, shape, height, width):
    """The i-th block of c = op(a) op(b) + bias; each starts so many numbers into its array."""
    m, n, k = shape
    across = (n + width - 1) // width
    top, left = i // across * height, i % across * width
    rows, columns = min(height, m - top), min(width, n - left)
    c_start += top * n + left
    if bias.size:
        flat, shift = c.reshape(c.size), bias[left : left + columns]
        for r in range(rows):
            row = flat[c_start + r * n : c_start + r * n + columns]
            for j in range(row.size):
                row[j] = shift[j]
    number, size = c.dtype.type, c.itemsize
    a_start += top if a_t else top * k
    b_start += left * k if b_t else left
    a_width, b_width = m if a_t else k, k if b_t else n
    beta = number(1 if bias.size else 0)
    product(
        *(a_t, b_t, rows, columns, k, number(1)),
        *(a.ctypes.data + size * a_start, a_width, b.ctypes.data + size * b_start, b_width),
        *(beta, c.ctypes.data + size * c_start, n),
    )


@parallel
def _multiply(a, a_t, b, b_t, bias, c, shape, count, a_step, b_step, height, width, inside):
    """`count` products c = op(a) op(b) + bias below each other; a_step 0 is one a for all."""
    m, n, _ = shape
    each = _blocks(m, n, height, width)
    alone(inside)
    if count * each == 1:
        _block(0, a, a_t, 0, b, b_t, 0, bias, c, 0, shape, height, width)
    else:
        for i in numba.prange(count * each):
            p = i // each
            starts = p * a_step, p * b_step, p * m * n
            _block(
                *(i % each, a, a_t, starts[0], b, b_t, starts[1], bias, c, starts[2]),
                *(shape, height, width),
            )
    restored(inside)


@serial
def _gradient(i, of_dx, x, w, dy, none, dx, dw, db, sizes):
    """The i-th block of a layer's gradients: those of dx come first, then those of dw and db."""
    rows, (outs, ins) = dy.shape[0], dw.shape
    of_x = i < of_dx
    if of_x:
        b, c, shape, height, width = w, dx, (rows, ins, outs), sizes[0], sizes[1]
    else:
        b, c, shape, height, width = x, dw, (outs, ins, rows), sizes[2], sizes[3]
        i -= of_dx
    _block(i, dy, not of_x, 0, b, False, 0, none, c, 0, shape, height, width)
    across = (ins + width - 1) // width
    if not of_x and i % across == 0:
        left = i // across * height
        part = db[left : left + height]
        sums = np.zeros(part.size)
        add_rows(dy, 0, rows, left, sums)
        for j in range(part.size):
            part[j] = sums[j]


@parallel
def _gradients(x, w, dy, none, dx, dw, db, sizes, split, inside):
    """dx = dy w (none if it is empty), dw = dyᵀ x and db = Σ dy."""
    of_dx = _blocks(dx.shape[0], dx.shape[1], sizes[0], sizes[1])
    blocks = of_dx + _blocks(dw.shape[0], dw.shape[1], sizes[2], sizes[3])
    alone(inside)
    if split:
        for i in numba.prange(blocks):
            _gradient(i, of_dx, x, w, dy, none, dx, dw, db, sizes)
    else:
        for i in range(blocks):
            _gradient(i, of_dx, x, w, dy, none, dx, dw, db, sizes)
    restored(inside)


# ---- the ops -------------------------------------------------------------------------------------


def _served(x, *others):
    """Whether there are products for such arrays."""
    fit = available and x.dtype in FLOATS and x.size
    for other in others:
        fit = fit and other.dtype == x.dtype and other.size
    return fit


def _rows(a):
    """(…, n) as a matrix by rows."""
    if a.ndim != 2:
        a = a.reshape(-1, a.shape[-1])
    return a if a.flags.carray else writeable(np.ascontiguousarray(a))


def _by_rows(a):
    """A matrix, or several, whose rows are contiguous, and whether it stands for its transpose."""
    if a.flags.c_contiguous:
        return writeable(a), False
    turned = a.swapaxes(-1, -2)
    if turned.flags.c_contiguous:
        return writeable(turned), True
    return np.ascontiguousarray(a), False


@linear.kernel("cpu", needs="numba")
def _(xp, x, w, b):
    if not _served(x, w, b) or w.ndim != 2 or x.shape[-1] != w.shape[1] or b.shape != w.shape[:1]:
        return NotImplemented
    rows, (w, turned) = _rows(x), (w, False) if w.flags.carray else _by_rows(w)
    n, k = rows.shape
    m = b.shape[0]
    y = empty((*x.shape[:-1], m), x.dtype)
    flat = y if y.ndim == 2 else y.reshape(n, m)
    bias = b if b.flags.carray else b.copy()
    sizes = block_size(n, m, k, CORES)
    _multiply(rows, False, w, not turned, bias, flat, (n, m, k), 1, 0, 0, *sizes, inside)
    return y


@linear_grad.kernel("cpu", needs="numba")
def _(xp, x, w, dy):
    if not _served(x, w, dy) or w.ndim != 2 or dy.shape != (*x.shape[:-1], w.shape[0]):
        return NotImplemented
    dx, rows = empty(x.shape, x.dtype), _rows(x)
    return dx, *_layer_gradients(rows, w, dy, dx if dx.ndim == 2 else dx.reshape(rows.shape))


@linear_weight_grad.kernel("cpu", needs="numba")
def _(xp, x, dy):
    if not _served(x, dy) or dy.shape[:-1] != x.shape[:-1]:
        return NotImplemented
    return _layer_gradients(_rows(x), None, dy, None)


def _layer_gradients(x, w, dy, dx):
    (n, ins), outs = x.shape, dy.shape[-1]
    dw, db = empty((outs, ins), x.dtype), empty((outs,), x.dtype)
    if dx is None:
        w = dx = NONE[x.dtype].reshape(0, 1)
        sizes = (1, 1, *block_size(outs, ins, n, CORES))
    else:
        each = (CORES + 1) // 2
        sizes = (*block_size(n, ins, outs, each), *block_size(outs, ins, n, each))
    split = n * ins * outs >= LEAST
    _gradients(x, _rows(w), _rows(dy), NONE[x.dtype], dx, dw, db, sizes, split, inside)
    return dw, db


@matmul.kernel("cpu", needs="numba")
def _(xp, a, b):
    if not (rank(a) and rank(b) and _served(a, b)):
        return NotImplemented
    if a.ndim == 1 or b.ndim == 1:
        return _by_itself(xp, a, b)
    if a.shape[-1] != b.shape[-2]:
        return NotImplemented
    if b.ndim == 2 and a.ndim > 2:
        return _products(_rows(a), b, (*a.shape[:-1], b.shape[-1]))
    if a.ndim == 2 or a.shape[:-2] == b.shape[:-2]:
        return _products(a, b, (*b.shape[:-2], a.shape[-2], b.shape[-1]))
    return _by_itself(xp, a, b)


def _by_itself(xp, a, b):
    """What has no kernel: OpenBLAS by itself, but on one thread."""
    if a.size < ALONE and b.size < ALONE:
        return NotImplemented
    with one_thread_each():
        return xp.matmul(a, b)


def _products(a, b, shape):
    """Of two matrices, of one and several, or of as many and as many, in `shape`."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    count = math.prod(b.shape[:-2])
    y = empty(shape, a.dtype)
    (left, a_t), (right, b_t) = _by_rows(a), _by_rows(b)
    steps = m * k if a.ndim > 2 else 0, k * n
    _multiply(
        *(left.reshape(-1, left.shape[-1]), a_t, right.reshape(-1, right.shape[-1]), b_t),
        *(NONE[a.dtype], y.reshape(count * m, n), (m, n, k), count, *steps),
        *(*block_size(m, n, k, -(-CORES // count)), inside),
    )
    return y


@dot.kernel("cpu", needs="numba")
def _(xp, a, b):
    if rank(a) != 1 or rank(b) != 1 or not _served(a, b) or a.shape != b.shape or a.size < ALONE:
        return NotImplemented
    with one_thread_each():
        return xp.matmul(a, b)
