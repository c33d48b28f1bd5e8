"""Batch normalisation and ReLU as one node: one pass over the memory fewer each way.

Forward, what is negative becomes 0 while the slab that was scaled and shifted is in the cache;
backward, the mask is applied where dy is read for its sums.
The mask of the derivative is read off the output, which whatever follows keeps anyway.  It is
constant almost everywhere, so it carries no derivative.
"""

from __future__ import annotations

import numpy as np

from ..op import fused
from ..samples import anything, nonzero, positive
from .batch_norm import (
    batch,
    batch_norm_eval_reference,
    batch_norm_grad_reference,
    batch_norm_reference,
    batch_norm_sums,
    evaluated,
    gradients,
    normalised,
    wanted,
)
from .piecewise import relu, where


def batch_norm_relu_reference(x, gamma, beta, *, axes, eps):
    """Composed: max(gamma · (x - mean) / √(var + eps) + beta, 0), and the mean and variance."""
    y, mean, var = batch_norm_reference(x, gamma, beta, axes=axes, eps=eps)
    return relu(y), mean, var


def batch_norm_relu_grad_reference(x, gamma, out, dy, *, axes, eps):
    """Composed: batch norm's own, of what relu lets through."""
    h = where(out <= 0, out * 0, dy)  # no 0: if dy is a number, out chooses the dtype
    return batch_norm_grad_reference(x, gamma, h, axes=axes, eps=eps)


@fused(reference=batch_norm_relu_reference, constant=(1, 2))
def batch_norm_relu(xp, x, gamma, beta, *, axes, eps):
    """y, mean, var: as `batch_norm`, with what is negative set to 0.

    y = max(gamma · (x - mean) / √(var + eps) + beta, 0)

    >>> from minigrad.ops.batch_norm_relu import batch_norm_relu
    >>> y, mean, var = batch_norm_relu(mg.tensor([[1.0], [3.0]]), 1.0, 0.0, axes=(0,), eps=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[0.0], [1.0]], [2.0], [1.0])
    """
    return normalised(xp, x, gamma, beta, axes, eps, relu=True)


@batch_norm_relu.vjp
def _(g, x, gamma, y, needs, axes, eps, hint):
    options = {"axes": axes, "eps": eps, "hint": hint}
    if needs[0]:
        return wanted(needs, *batch_norm_relu_grad(x, gamma, y[0], g, **options))
    return wanted(needs, None, *batch_norm_sums(x, where(y[0] <= 0, 0, g), **options))


@fused(reference=batch_norm_relu_grad_reference, untracked=("out",))
def batch_norm_relu_grad(xp, x, gamma, out, dy, *, axes, eps, hint=None):
    """dx, dgamma, dbeta: batch_norm's own, for [out > 0] dy; out is what the forward gave.

    dx = gamma/√(var + eps) · (h - mean(h) - x̂ mean(h x̂)),  h = [out > 0] dy

    >>> from minigrad.ops.batch_norm_relu import batch_norm_relu_grad
    >>> x, out, dy = mg.tensor([[1.0], [3.0]]), mg.tensor([[0.0], [1.0]]), mg.ones(2, 1)
    >>> dx, dgamma, dbeta = batch_norm_relu_grad(x, mg.ones(1), out, dy, axes=(0,), eps=0.0)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0], [0.0]], [1.0], [1.0])
    """
    return gradients(xp, x, gamma, dy, axes, eps, hint, out)


def batch_norm_relu_eval_reference(x, mean, var, gamma, beta, *, axes, eps):
    """Composed: max(gamma · (x - mean) / √(var + eps) + beta, 0) with given statistics."""
    return relu(batch_norm_eval_reference(x, mean, var, gamma, beta, axes=axes, eps=eps))


@fused(reference=batch_norm_relu_eval_reference)
def batch_norm_relu_eval(xp, x, mean, var, gamma, beta, *, axes, eps):
    """x normalised by given statistics (C,), with what is negative set to 0.

    y = max(gamma · (x - mean) / √(var + eps) + beta, 0)

    >>> from minigrad.ops.batch_norm_relu import batch_norm_relu_eval
    >>> given = mg.tensor([2.0]), mg.tensor([4.0]), mg.ones(1), mg.zeros(1)
    >>> batch_norm_relu_eval(mg.tensor([[1.0], [4.0]]), *given, axes=(0,), eps=0.0).tolist()
    [[0.0], [1.0]]
    """
    return evaluated(xp, x, mean, var, gamma, beta, axes, eps, relu=True)


# ---- samples -------------------------------------------------------------------------------------


@batch_norm_relu.samples
def _forward_samples(draw):
    """With a bias that has relu's kink near x = 0, where no x is."""
    x, statics, channels = batch(draw)
    gamma, axes = nonzero(draw, channels), statics["axes"]
    off = anything(draw, channels) / 20
    beta = off if not x.size else off + gamma * (x.mean(axes) / x.std(axes)).reshape(-1)
    return (x, gamma, beta), statics


@batch_norm_relu_grad.samples
def _grad_samples(draw):
    """relu lets the first two samples through: of two values alone, one would make dx vanish."""
    x, statics, channels = batch(draw)
    gamma, out, dy = anything(draw, channels), nonzero(draw, x.shape), anything(draw, x.shape)
    first_two = (slice(None),) * statics["axes"][0] + (slice(2),)
    out[first_two] = abs(out[first_two])
    return (x, gamma, out, dy), statics


@batch_norm_relu_eval.samples
def _eval_samples(draw):
    """As in training: relu's kink is near x = 0."""
    x, statics, channels = batch(draw)
    mean, var, gamma = anything(draw, channels), positive(draw, channels), nonzero(draw, channels)
    beta = gamma * mean / np.sqrt(var + statics["eps"]) + anything(draw, channels) / 20
    return (x, mean, var, gamma, beta), statics
