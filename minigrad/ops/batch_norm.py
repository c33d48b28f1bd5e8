"""Batch normalisation: what it means, and the same by hand.

Ioffe and Szegedy, "Batch Normalization", 2015 (arXiv 1502.03167).  `axes` are the axes that the
statistics are taken over; gamma and beta have one value for each of the channels that remain, or
are Python numbers.

The one law: saved arrays may speed a derivative up, but may never carry its meaning.  The rule
below therefore hands the *tracked* x to the backward; mean and deviation travel in a hint, which
only forwards open.

The statistics are robust: m = mean(x) is rounded, so c = x - m has a mean d, tiny beside its spread
but not beside the precision wanted; c - d takes it out.  A constant channel gives exactly beta, at
any magnitude whose sum does not overflow.
"""

from __future__ import annotations

import math

import numpy as np

from ..op import Hint, fused
from ..samples import anything, positive, spread
from .elementwise import rsqrt
from .reduce import like, mean, sum, wide
from .select import select
from .shape import reshape
from .slabs import slabs, total_product
from .sums import count, kept_shape, total

# ---- what it means, in primitives ----------------------------------------------------------------


def batch_norm_reference(x, gamma, beta, *, axes, eps):
    """Composed: gamma · (x - mean) / √(var + eps) + beta, and each channel's mean and variance."""
    c, mean, var = moments(wide(x), axes)
    y = _channels(gamma, x, axes) * (c * rsqrt(var + eps)) + _channels(beta, x, axes)
    return like(y, x), reshape(mean, (-1,)), reshape(var, (-1,))


def batch_norm_grad_reference(x, gamma, dy, *, axes, eps):
    """Composed: dx, dgamma and dbeta by the closed form (see `batch_norm_grad`)."""
    c, _, var = moments(wide(x), axes)
    r = rsqrt(var + eps)
    xhat, dy = c * r, wide(dy)
    n = count(x.shape, axes) or 1
    dgamma, dbeta = sum(dy * xhat, axes, keepdims=True), sum(dy, axes, keepdims=True)
    dx = _channels(gamma, x, axes) * r * (dy - dbeta / n - xhat * (dgamma / n))
    return like(dx, x), reshape(dgamma, (-1,)), reshape(dbeta, (-1,))


def batch_norm_sums_reference(x, dy, *, axes, eps):
    """Composed: dgamma and dbeta (see `batch_norm_grad`)."""
    c, _, var = moments(wide(x), axes)
    dy = wide(dy)
    dgamma, dbeta = sum(dy * (c * rsqrt(var + eps)), axes), sum(dy, axes)
    return reshape(dgamma, (-1,)), reshape(dbeta, (-1,))


def batch_norm_eval_reference(x, mean, var, gamma, beta, *, axes, eps):
    """Composed: the affine map gamma · (x - mean) / √(var + eps) + beta with given statistics."""
    mean, var, gamma, beta = (_channels(each, x, axes) for each in (mean, var, gamma, beta))
    return like(gamma * ((wide(x) - mean) * rsqrt(var + eps)) + beta, x)


def moments(x, axes):
    """x less its mean, the mean, and the biased variance; 0 for an empty batch."""
    m = _mean(x, axes)
    c = x - m
    d = _mean(c, axes)  # the rounding of m
    c = c - d
    return c, m + d, _mean(c * c, axes)


def _mean(x, axes):
    return (mean if count(x.shape, axes) else sum)(x, axes, keepdims=True)


def _channels(value, x, axes):
    """One value for each channel, in a shape that meets x."""
    return value if isinstance(value, int | float) else reshape(value, kept_shape(x.shape, axes))


# ---- the same by hand ----------------------------------------------------------------------------


@fused(reference=batch_norm_reference, constant=(1, 2))
def batch_norm(xp, x, gamma, beta, *, axes, eps):
    """y, mean, var: x normalised by its own statistics, which carry no gradient.

    y = gamma · (x - mean) / √(var + eps) + beta

    >>> from minigrad.ops.batch_norm import batch_norm
    >>> y, mean, var = batch_norm(mg.tensor([[1.0], [3.0]]), 1.0, 0.0, axes=(0,), eps=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    return normalised(xp, x, gamma, beta, axes, eps)


@batch_norm.vjp
def _(g, x, gamma, needs, axes, eps, hint):
    if needs[0]:
        return wanted(needs, *batch_norm_grad(x, gamma, g, axes=axes, eps=eps, hint=hint))
    return wanted(needs, None, *batch_norm_sums(x, g, axes=axes, eps=eps, hint=hint))


def wanted(needs, *gradients):
    """The gradients that somebody needs."""
    return [g if need else None for g, need in zip(gradients, needs, strict=True)]


@fused(reference=batch_norm_grad_reference)
def batch_norm_grad(xp, x, gamma, dy, *, axes, eps, hint=None):
    """dx, dgamma, dbeta: the closed form of batch_norm's derivative, in two passes over x and dy.

    dx = gamma/√(var + eps) · (dy - mean(dy) - x̂ mean(dy x̂)),  dgamma = Σ dy x̂,  dbeta = Σ dy

    >>> from minigrad.ops.batch_norm import batch_norm_grad
    >>> x, dy = mg.tensor([[1.0], [3.0]]), mg.tensor([[0.0], [2.0]])
    >>> dx, dgamma, dbeta = batch_norm_grad(x, mg.ones(1), dy, axes=(0,), eps=0.0)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0], [0.0]], [2.0], [2.0])
    """
    return gradients(xp, x, gamma, dy, axes, eps, hint)


@fused(reference=batch_norm_sums_reference)
def batch_norm_sums(xp, x, dy, *, axes, eps, hint=None):
    """dgamma, dbeta: all that a first layer is asked for, whose x wants no gradient.

    dgamma = Σ dy x̂,  dbeta = Σ dy

    >>> from minigrad.ops.batch_norm import batch_norm_sums
    >>> x, dy = mg.tensor([[1.0], [3.0]]), mg.tensor([[0.0], [2.0]])
    >>> dgamma, dbeta = batch_norm_sums(x, dy, axes=(0,), eps=0.0)
    >>> dgamma.tolist(), dbeta.tolist()
    ([2.0], [2.0])
    """
    hint = hint or normaliser(xp, wide(x), axes, eps)[2]
    dgamma, dbeta = _sums(xp, x, dy, axes, hint)
    m, _, _ = hint
    return rounded(dgamma.reshape(-1), m), rounded(dbeta.reshape(-1), m)


@fused(reference=batch_norm_eval_reference)
def batch_norm_eval(xp, x, mean, var, gamma, beta, *, axes, eps):
    """x normalised by given statistics (C,): an affine map, differentiable in all five inputs.

    y = gamma · (x - mean) / √(var + eps) + beta

    >>> from minigrad.ops.batch_norm import batch_norm_eval
    >>> given = mg.tensor([2.0]), mg.tensor([4.0]), mg.ones(1), mg.zeros(1)
    >>> batch_norm_eval(mg.tensor([[1.0], [4.0]]), *given, axes=(0,), eps=0.0).tolist()
    [[-0.5], [1.0]]
    """
    return evaluated(xp, x, mean, var, gamma, beta, axes, eps)


# ---- the passes over memory, with relu or without ------------------------------------------------


def normalised(xp, x, gamma, beta, axes, eps, relu=False):
    """What `batch_norm` gives, and its hint."""
    c, var, hint = normaliser(xp, wide(x), axes, eps)
    m, d, r = hint
    _affine(xp, c, r, gamma, beta, relu)
    return (like(c, x), (m + d).reshape(-1), rounded(var.reshape(-1), c)), hint


def evaluated(xp, x, mean, var, gamma, beta, axes, eps, relu=False):
    """What `batch_norm_eval` gives."""
    kept = kept_shape(x.shape, axes)
    mean, x_ = mean.reshape(kept), wide(x)
    m = rounded(mean, x_)
    c = x_ - m
    if mean.dtype != m.dtype:
        c -= rounded(mean - m, c)
    r = 1 / xp.sqrt(var.reshape(kept).astype(np.float64) + eps)
    _affine(xp, c, r, gamma, beta, relu)
    return like(c, x)


def _affine(xp, c, r, gamma, beta, relu):
    """gamma · (c · r) + beta in the place of c, and what is negative 0 for relu."""
    scale, shift = rounded(r * _kept(gamma, r), c), rounded(_kept(beta, r), c)
    zeros = xp.zeros_like(c[:1]) if relu else None  # NumPy's maximum is slow against a number
    for part, by, off in slabs(xp, c, scale, shift):
        part *= by
        part += off
        if relu:
            xp.maximum(part, zeros, out=part)


def gradients(xp, x, gamma, dy, axes, eps, hint, out=None):
    """What `batch_norm_grad` gives; of what relu let through, if its output is given."""
    m, d, r = hint = hint or normaliser(xp, wide(x), axes, eps)[2]
    dx = xp.empty_like(x, dtype=m.dtype)
    dgamma, dbeta = _sums(xp, x, dy, axes, hint, out, dx)
    n = count(x.shape, axes) or 1
    slope = dgamma * r / n
    shift, scale = d * slope - dbeta / n, r * _kept(gamma, r)
    by_channel = [rounded(each, dx) for each in (-slope, shift, scale)]
    let_through = dy if out is None else dx
    for x_, h, dx_, m_, a, b, s in slabs(xp, x, let_through, dx, m, *by_channel):
        c = wide(x_) - m_
        c *= a
        c += h
        c += b
        xp.multiply(c, s, out=dx_)
    return like(dx, x), rounded(dgamma.reshape(-1), dx), rounded(dbeta.reshape(-1), dx)


def _sums(xp, x, dy, axes, hint, out=None, let_through=None):
    """dgamma and dbeta, with the reduced axes kept.

    Relu's output makes it the sums of what relu let through, which is left in the array for it.
    """
    m, d, r = hint
    dgamma, dbeta = xp.zeros((2, *r.shape))
    for x_, dy_, out_, h, m_, dgamma_, dbeta_ in slabs(
        xp, x, dy, out, let_through, m, dgamma, dbeta
    ):
        if out is None:
            h = wide(dy_)
        else:
            h[...] = select(xp, out_ <= 0, 0, dy_)
        c = wide(x_) - m_  # = (x - mean) + d
        dgamma_ += total_product(xp, c, h, axes)
        dbeta_ += total(xp, h, axes)
    return (dgamma - d * dbeta) * r, dbeta


def normaliser(xp, x, axes, eps):
    """c = x - mean (fresh memory), the variance, and the hint: mean = m + d, r = 1/√(var + eps)."""
    n = count(x.shape, axes) or 1
    m = rounded(total(xp, x, axes) / n, x)
    c = x - m
    d = rounded(total(xp, c, axes) / n, x)
    c -= d
    m, d = m + d, d - ((m + d) - m)  # m is now the nearest to the mean, so a constant's x - m is 0
    var = total_product(xp, c, c, axes) / n
    return c, var, Hint(m, d, 1 / xp.sqrt(var + eps))


def _kept(value, like):
    """A channel's values in the shape of statistics that kept the reduced axes."""
    return value if isinstance(value, int | float) else value.reshape(like.shape)


def rounded(value, like):
    """A channel's numbers in the dtype of the array that they meet: rounded once, here."""
    return value.astype(like.dtype) if hasattr(value, "dtype") else value


# ---- samples -------------------------------------------------------------------------------------


def batch(draw):
    """x, empty or spread over more than 1 in a channel, its axes and eps, and the shape of gamma.

    x is (N, C, …), or (G, N, C, …) with statistics for each of G groups too.
    """
    groups = draw.one_of((), (1,), (2,))
    lead, n = len(groups), draw.one_of(0, 2, 3, 4)
    shape = (*groups, n, draw.integer(1, 2), *draw.shape(most=2 - lead, side=(1, 2)))
    x = spread(draw, shape, lead)
    axes = (lead, *range(lead + 2, x.ndim))
    statics = {"axes": axes, "eps": draw.one_of(1e-5, 1e-3, 0.1)}
    return x, statics, (math.prod(kept_shape(shape, axes)),)


@batch_norm.samples
def _train_samples(draw):
    x, statics, channels = batch(draw)
    return (x, anything(draw, channels), anything(draw, channels)), statics


@batch_norm_grad.samples
def _grad_samples(draw):
    x, statics, channels = batch(draw)
    return (x, anything(draw, channels), anything(draw, x.shape)), statics


@batch_norm_sums.samples
def _sums_samples(draw):
    x, statics, _ = batch(draw)
    return (x, anything(draw, x.shape)), statics


@batch_norm_eval.samples
def _eval_samples(draw):
    x, statics, channels = batch(draw)
    given = [domain(draw, channels) for domain in (anything, positive, anything, anything)]
    return (x, *given), statics
