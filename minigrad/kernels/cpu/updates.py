"""Kernels of what moves from step to step: each number of a parameter is read and written once.

They are no ops.  `minigrad.optim`, and running statistics, run them on arrays that are `served`;
hyperparameters are Python's floats, rounded to the parameter's dtype once, as NumPy does.  All are
elementwise: how the arrays are shared out among threads changes nothing.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import parallel, serial

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
SMALL = 1 << 16  # up to so many numbers one thread is as fast as several
BLOCK = 1 << 14  # numbers that a thread takes at a time


def served(*arrays):
    """Whether the kernels take these arrays, of one shape: one dtype, C's order, writeable."""
    number = arrays[0].dtype
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype != number or not a.flags.carray:
            return False
    return number in FLOATS


class Steps:
    """The compiled steps of one optimiser, one parameter after the other."""

    @staticmethod
    def serves(name, *arrays):
        """Whether there is such a step, and it takes these arrays."""
        return name in STEPS and served(*arrays)

    @staticmethod
    def take(name, p, g, kept, numbers):
        """Take a step on arrays that are served."""
        STEPS[name](p, g, *kept, *numbers)

    @staticmethod
    def finish():
        """All have been taken."""


# ---- SGD -----------------------------------------------------------------------------------------


@serial
def _plain(p, g, sign, decay, lr):
    number = p.dtype.type
    sign, decay, lr = number(sign), number(decay), number(lr)
    for i in range(p.size):
        d = sign * g[i]
        if decay != 0:  # an infinite p times 0 would be NaN
            d += decay * p[i]
        p[i] -= lr * d


@parallel
def _plain_on_many(p, g, sign, decay, lr):
    for k in prange(-(-p.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _plain(p[part], g[part], sign, decay, lr)


def sgd(p, g, sign, decay, lr):
    """p ← p - lr·d, with d = ±g + decay·p."""
    run = _plain if p.size <= SMALL else _plain_on_many
    run(p.ravel(), g.ravel(), sign, decay, lr)


@serial
def _momentum(p, g, b, sign, decay, lr, momentum, share, first, nesterov):
    number = p.dtype.type
    sign, decay, lr = number(sign), number(decay), number(lr)
    momentum, share = number(momentum), number(share)
    for i in range(p.size):
        d = sign * g[i]
        if decay != 0:
            d += decay * p[i]
        new = d if first else momentum * b[i] + share * d
        b[i] = new
        p[i] -= lr * (d + momentum * new if nesterov else new)


@parallel
def _momentum_on_many(p, g, b, sign, decay, lr, momentum, share, first, nesterov):
    for k in prange(-(-p.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        arrays = p[part], g[part], b[part]
        _momentum(*arrays, sign, decay, lr, momentum, share, first, nesterov)


def sgd_momentum(p, g, b, sign, decay, lr, momentum, share, first, nesterov):
    """p ← p - lr·b, with b ← momentum·b + share·d, at first d, and Nesterov's d + momentum·b."""
    run = _momentum if p.size <= SMALL else _momentum_on_many
    arrays = p.ravel(), g.ravel(), b.ravel()
    run(*arrays, sign, decay, lr, momentum, share, first, nesterov)


# ---- Adam ----------------------------------------------------------------------------------------


@serial
def _adam(p, g, m, v, sign, decay, shrink, beta1, rest1, beta2, rest2, move, divisor, eps):
    number, near = p.dtype.type, rest1 < 0.5
    sign, decay, shrink, move = number(sign), number(decay), number(shrink), number(move)
    beta1, rest1, beta2, rest2 = number(beta1), number(rest1), number(beta2), number(rest2)
    divisor, eps = number(divisor), number(eps)
    for i in range(p.size):
        d = sign * g[i]
        if decay != 0:
            d += decay * p[i]
        gap = d - m[i]
        mean = m[i] + rest1 * gap if near else d - beta1 * gap  # from the nearer end
        square = beta2 * v[i] + rest2 * d * d
        m[i], v[i] = mean, square
        p[i] = shrink * p[i] + move * mean / (np.sqrt(square) / divisor + eps)


@parallel
def _adam_on_many(p, g, m, v, sign, decay, shrink, beta1, rest1, beta2, rest2, move, divisor, eps):
    for k in prange(-(-p.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        arrays, betas = (p[part], g[part], m[part], v[part]), (beta1, rest1, beta2, rest2)
        _adam(*arrays, sign, decay, shrink, *betas, move, divisor, eps)


def adam(p, g, m, v, sign, decay, shrink, beta1, beta2, move, divisor, eps):
    """p ← shrink·p + move·m / (√v / divisor + eps), with d = ±g + decay·p.

    m ← beta1·m + (1 - beta1)·d, v ← beta2·v + (1 - beta2)·d².
    """
    run = _adam if p.size <= SMALL else _adam_on_many
    arrays = p.ravel(), g.ravel(), m.ravel(), v.ravel()
    # 1 - beta as an argument: compiled, (1 - beta)·d + beta·v may become d + beta·(v - d), rounded
    betas = beta1, 1 - beta1, beta2, 1 - beta2
    run(*arrays, sign, decay, shrink, *betas, move, divisor, eps)


# ---- RMSprop and Adagrad -------------------------------------------------------------------------


@serial
def _rmsprop(p, g, v, mean, b, sign, decay, lr, alpha, rest, eps, momentum):
    centered, moving, near, number = mean.size > 0, b.size > 0, rest < 0.5, p.dtype.type
    sign, decay, lr, alpha = number(sign), number(decay), number(lr), number(alpha)
    rest, eps, momentum = number(rest), number(eps), number(momentum)
    for i in range(p.size):
        d = sign * g[i]
        if decay != 0:
            d += decay * p[i]
        square = alpha * v[i] + rest * d * d
        v[i] = square
        if centered:
            gap = d - mean[i]
            mean[i] = mean[i] + rest * gap if near else d - alpha * gap
            square -= mean[i] * mean[i]
        root = np.sqrt(square) + eps
        if moving:
            b[i] = momentum * b[i] + d / root
            p[i] -= lr * b[i]
        else:
            p[i] -= lr * d / root


@parallel
def _rmsprop_on_many(p, g, v, mean, b, sign, decay, lr, alpha, rest, eps, momentum):
    for k in prange(-(-p.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        arrays = p[part], g[part], v[part], mean[part], b[part]
        _rmsprop(*arrays, sign, decay, lr, alpha, rest, eps, momentum)


def rmsprop(p, g, v, mean, b, sign, decay, lr, alpha, eps, momentum):
    """p ← p - lr·b, with b ← momentum·b + d / (√(v - mean²) + eps) and d = ±g + decay·p.

    v and mean are averages of d² and d that keep alpha; mean and b may be None.
    """
    none = np.empty(0, p.dtype)
    mean, b = (none if each is None else each.ravel() for each in (mean, b))
    run = _rmsprop if p.size <= SMALL else _rmsprop_on_many
    arrays = p.ravel(), g.ravel(), v.ravel(), mean, b
    run(*arrays, sign, decay, lr, alpha, 1 - alpha, eps, momentum)  # for 1 - alpha, see adam


@serial
def _adagrad(p, g, sums, sign, decay, lr, eps):
    number = p.dtype.type
    sign, decay, lr, eps = number(sign), number(decay), number(lr), number(eps)
    for i in range(p.size):
        d = sign * g[i]
        if decay != 0:
            d += decay * p[i]
        sums[i] += d * d
        p[i] -= lr * d / (np.sqrt(sums[i]) + eps)


@parallel
def _adagrad_on_many(p, g, sums, sign, decay, lr, eps):
    for k in prange(-(-p.size // BLOCK)):
        part = slice(k * BLOCK, (k + 1) * BLOCK)
        _adagrad(p[part], g[part], sums[part], sign, decay, lr, eps)


def adagrad(p, g, sums, sign, decay, lr, eps):
    """p ← p - lr·d / (√sums + eps), with sums ← sums + d² and d = ±g + decay·p."""
    run = _adagrad if p.size <= SMALL else _adagrad_on_many
    run(p.ravel(), g.ravel(), sums.ravel(), sign, decay, lr, eps)


STEPS = {each.__name__: each for each in (sgd, sgd_momentum, adam, rmsprop, adagrad)}


# ---- running statistics --------------------------------------------------------------------------


@serial
def _average(old, new, keep, share, to):
    number = old.dtype.type
    keep, share = number(keep), number(share)
    for i in range(old.size):
        to[i] = keep * old[i] + share * new[i]


def average(old, new, momentum, by):
    """(1 - momentum)·old + momentum·by·new, as a new array."""
    moved = np.empty_like(old)
    _average(old.ravel(), new.ravel(), 1 - momentum, momentum * by, moved.ravel())
    return moved
