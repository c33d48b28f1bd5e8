"""Layer and group normalisation: weights that differ within what is normalised together.

Ba, Kiros and Hinton, "Layer Normalization", 2016 (arXiv 1607.06450); Wu and He, "Group
Normalization", 2018 (arXiv 1803.08494).  `axes` are the axes that the statistics are taken over,
`along` those that gamma and beta run along; these may be Python numbers.  Statistics are as robust
as batch norm's, and its one law holds here too.
"""

from __future__ import annotations

from ..op import fused
from ..samples import anything, spread
from .batch_norm import moments, normaliser, rounded
from .elementwise import rsqrt
from .reduce import like, sum, wide
from .shape import reshape
from .sums import count, total


def layer_norm_reference(x, gamma, beta, *, axes, along, eps):
    """Composed: gamma · (x - mean) / √(var + eps) + beta, and each group's mean and variance."""
    c, mean, var = moments(wide(x), axes)
    y = _beside(gamma, x, along) * (c * rsqrt(var + eps)) + _beside(beta, x, along)
    return like(y, x), reshape(mean, (-1,)), reshape(var, (-1,))


def layer_norm_grad_reference(x, gamma, dy, *, axes, along, eps):
    """Composed: dx, dgamma and dbeta by the closed form (see `layer_norm_grad`)."""
    c, _, var = moments(wide(x), axes)
    r = rsqrt(var + eps)
    xhat, dy = c * r, wide(dy)
    h, n, others = _beside(gamma, x, along) * dy, count(x.shape, axes) or 1, _others(x, along)
    dx = r * (h - sum(h, axes, keepdims=True) / n - xhat * (sum(h * xhat, axes, keepdims=True) / n))
    return like(dx, x), reshape(sum(dy * xhat, others), (-1,)), reshape(sum(dy, others), (-1,))


@fused(reference=layer_norm_reference, constant=(1, 2))
def layer_norm(xp, x, gamma, beta, *, axes, along, eps):
    """y, mean, var: x normalised by statistics over `axes`, which carry no gradient.

    y = gamma · (x - mean) / √(var + eps) + beta, with gamma and beta as long as x along `along`

    >>> from minigrad.ops.layer_norm import layer_norm
    >>> x, weight = mg.tensor([[1.0, 3.0]]), mg.tensor([1.0, 2.0])
    >>> y, mean, var = layer_norm(x, weight, mg.zeros(2), axes=(1,), along=(1,), eps=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0, 2.0]], [2.0], [1.0])
    """
    c, var, hint = normaliser(xp, wide(x), axes, eps)
    m, d, r = hint
    c *= rounded(r, c)
    c *= rounded(_beside(gamma, x, along), c)
    c += rounded(_beside(beta, x, along), c)
    return (like(c, x), (m + d).reshape(-1), rounded(var.reshape(-1), c)), hint


@layer_norm.vjp
def _(g, x, gamma, axes, along, eps, hint):
    return layer_norm_grad(x, gamma, g, axes=axes, along=along, eps=eps, hint=hint)


@fused(reference=layer_norm_grad_reference)
def layer_norm_grad(xp, x, gamma, dy, *, axes, along, eps, hint=None):
    """dx, dgamma, dbeta: the closed form of layer_norm's derivative.

    With h = gamma · dy:

    dx = (h - mean(h) - x̂ mean(h x̂)) / √(var + eps),  dgamma = Σ dy x̂,  dbeta = Σ dy

    >>> from minigrad.ops.layer_norm import layer_norm_grad
    >>> x, dy = mg.tensor([[1.0, 3.0]]), mg.tensor([[0.0, 2.0]])
    >>> options = {"axes": (1,), "along": (1,), "eps": 0.0}
    >>> dx, dgamma, dbeta = layer_norm_grad(x, mg.ones(2), dy, **options)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0, 0.0]], [0.0, 2.0], [0.0, 2.0])
    """
    x_, dy = wide(x), wide(dy)
    m, d, r = hint or normaliser(xp, x_, axes, eps)[2]
    n, others = count(x.shape, axes) or 1, _others(x, along)
    xhat = x_ - m
    xhat -= d
    xhat *= rounded(r, xhat)
    dgamma, dbeta = total(xp, dy * xhat, others), total(xp, dy, others)
    h = dy * rounded(_beside(gamma, x, along), xhat)
    slope, shift = total(xp, h * xhat, axes) / n, total(xp, h, axes) / n
    xhat *= rounded(slope, xhat)
    h -= xhat
    h -= rounded(shift, h)
    h *= rounded(r, h)
    return like(h, x), rounded(dgamma.reshape(-1), h), rounded(dbeta.reshape(-1), h)


def _beside(value, x, along):
    """A value for each place along these axes, in a shape that broadcasts against x."""
    if isinstance(value, int | float):
        return value
    return value.reshape(tuple(n if i in along else 1 for i, n in enumerate(x.shape)))


def _others(x, along):
    """The axes that gamma and beta are repeated along."""
    return tuple(i for i in range(x.ndim) if i not in along)


# ---- samples -------------------------------------------------------------------------------------


def _layers(draw):
    """x, spread over more than 1 in a group, the static arguments, and the shape of gamma.

    As LayerNorm has it, (…, *lengths) over the last axes; or as GroupNorm, (N, groups, C/groups, L)
    over the last axes too, but with weights along the middle ones.
    """
    lead, lengths = draw.shape(most=2, side=(0, 2)), draw.shape(most=1, side=(1, 2))
    shape, first = (*lead, draw.integer(2, 3), *lengths), len(lead)
    axes = tuple(range(first, len(shape)))
    along = (first - 1, first) if first == 2 and draw.flag() else axes
    x = spread(draw, shape, first)
    statics = {"axes": axes, "along": along, "eps": draw.one_of(1e-5, 1e-3, 0.1)}
    return x, statics, (count(shape, along),)


@layer_norm.samples
def _forward_samples(draw):
    x, statics, own = _layers(draw)
    return (x, anything(draw, own), anything(draw, own)), statics


@layer_norm_grad.samples
def _grad_samples(draw):
    x, statics, own = _layers(draw)
    return (x, anything(draw, own), anything(draw, x.shape)), statics
