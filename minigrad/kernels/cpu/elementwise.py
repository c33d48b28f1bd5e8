"""Kernels of activations: one pass over the memory, on all threads.

What takes an exponential is for float32 only: NumPy's float64 is as fast as the C library's.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ...memory import empty
from ...ops.activation import gelu, gelu_grad, silu, silu_grad
from ...ops.elementwise import sigmoid
from ...ops.piecewise import relu, relu_grad
from .compiling import parallel, serial
from .exponential import coarse_exp, normal

SINGLE = np.dtype(np.float32)
FLOATS = {SINGLE, np.dtype(np.float64)}
# up to so many numbers one thread is as fast as several, which take 50 µs to wake if they slept
SMALL = 1 << 17
SMALL_RELU = 1 << 18
FEW = 1 << 14  # numbers against 0 that NumPy compares in as much time
BLOCK = 1 << 13  # numbers that a thread takes at a time


def _mapped(on_one, on_many, *arrays, small=SMALL):
    """What a kernel makes of arrays of one shape and dtype, in C's order; else NotImplemented."""
    x = arrays[0]
    for a in arrays:
        if a.dtype != x.dtype or a.shape != x.shape or not a.flags.c_contiguous:
            return NotImplemented
    y = empty(x.shape, x.dtype)
    (on_one if x.size <= small else on_many)(*[a.ravel() for a in arrays], y.ravel())
    return y


def _single(x):
    return getattr(x, "dtype", None) is SINGLE


# ---- relu ----------------------------------------------------------------------------------------


@serial
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # NaN stays


@parallel
def _relu_on_many(x, y):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _relu(x[part], y[part])


@relu.kernel("cpu", needs="numba")
def _(xp, x):
    if x.size <= FEW or x.dtype not in FLOATS:
        return NotImplemented
    return _mapped(_relu, _relu_on_many, x, small=SMALL_RELU)


@serial
def _relu_grad(out, dy, dx):
    zero = out.dtype.type(0)
    for i in range(out.size):
        g = dy[i]
        dx[i] = zero if out[i] <= zero else g


@parallel
def _relu_grad_on_many(out, dy, dx):
    for k in prange(-(-out.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _relu_grad(out[part], dy[part], dx[part])


@relu_grad.kernel("cpu", needs="numba")
def _(xp, out, dy):
    if getattr(out, "dtype", None) not in FLOATS or not hasattr(dy, "dtype"):
        return NotImplemented
    return _mapped(_relu_grad, _relu_grad_on_many, out, dy, small=SMALL_RELU)


# ---- sigmoid and silu ----------------------------------------------------------------------------


@serial
def _logistic(x):
    """1 / (1 + e⁻ˣ) in float64, for a float32."""
    return 1 / (1 + coarse_exp(-np.float64(x)))


@serial
def _sigmoid(x, y):
    for i in range(x.size):
        y[i] = _logistic(x[i])


@parallel
def _sigmoid_on_many(x, y):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _sigmoid(x[part], y[part])


@sigmoid.kernel("cpu", needs="numba")
def _(xp, x):
    return _mapped(_sigmoid, _sigmoid_on_many, x) if _single(x) else NotImplemented


@serial
def _silu(x, y):
    for i in range(x.size):
        y[i] = x[i] * np.float32(_logistic(x[i]))


@parallel
def _silu_on_many(x, y):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _silu(x[part], y[part])


@silu.kernel("cpu", needs="numba")
def _(xp, x):
    return _mapped(_silu, _silu_on_many, x) if _single(x) else NotImplemented


@serial
def _silu_grad(x, dy, dx):
    for i in range(x.size):
        v = x[i]
        s = np.float32(_logistic(v))
        dx[i] = dy[i] * (s * (1 + v * (1 - s)))


@parallel
def _silu_grad_on_many(x, dy, dx):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _silu_grad(x[part], dy[part], dx[part])


@silu_grad.kernel("cpu", needs="numba")
def _(xp, x, dy):
    if not _single(x) or not hasattr(dy, "dtype"):
        return NotImplemented
    return _mapped(_silu_grad, _silu_grad_on_many, x, dy)


# ---- gelu ----------------------------------------------------------------------------------------


@serial
def _gelu(x, y):
    for i in range(x.size):
        y[i] = x[i] * normal(x[i])[0]


@parallel
def _gelu_on_many(x, y):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _gelu(x[part], y[part])


@gelu.kernel("cpu", needs="numba")
def _(xp, x, *, approximate):
    if approximate != "none" or not _single(x):
        return NotImplemented
    return _mapped(_gelu, _gelu_on_many, x)


@serial
def _gelu_grad(x, dy, dx):
    for i in range(x.size):
        cdf, density = normal(x[i])
        dx[i] = dy[i] * (cdf + x[i] * density)


@parallel
def _gelu_grad_on_many(x, dy, dx):
    for k in prange(-(-x.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _gelu_grad(x[part], dy[part], dx[part])


@gelu_grad.kernel("cpu", needs="numba")
def _(xp, x, dy, *, approximate):
    if approximate != "none" or not _single(x) or not hasattr(dy, "dtype"):
        return NotImplemented
    return _mapped(_gelu_grad, _gelu_grad_on_many, x, dy)
