"""Activations with a slope on both sides of 0; `relu`, `tanh` and `sigmoid` are with the functions.

float16 is computed in float32.  At 0, at infinities and at NaN, values and slopes are PyTorch's.
"""

from __future__ import annotations

import math

from ..op import fused, op
from ..samples import anything, apart, elementwise
from .elementwise import erf, exp, sigmoid, tanh
from .piecewise import where
from .reduce import like, wide
from .select import select

# ---- kinks ---------------------------------------------------------------------------------------


@op(
    lambda g, x, negative_slope: where(x > 0, g, g * negative_slope),
    method=False,
    samples=elementwise(
        apart, options=lambda draw: {"negative_slope": draw.one_of(0.01, 0.3, -1.0)}
    ),
)
def leaky_relu(xp, x, *, negative_slope):
    """x where x > 0, else slope · x.        d leaky_relu x = (1 where x > 0, else slope) dx

    >>> from minigrad.nn.functional import leaky_relu
    >>> leaky_relu(mg.tensor([-1.0, 2.0]), 0.25)
    tensor([-0.25,  2.  ])
    >>> x = mg.tensor(0.0, requires_grad=True)
    >>> mg.grad(leaky_relu(x, 0.25), x)[0]
    tensor(0.25)
    """
    if 0 < negative_slope <= 1:
        return xp.maximum(x, x * negative_slope)
    return select(xp, x > 0, x, x * negative_slope)


def _elu_slope(g, x, alpha):
    down = x <= 0  # at 0 the slope is alpha, and its own slope 0; NaN lets through
    return where(down, g * (alpha * exp(where(x < 0, x, 0))), g)


@op(
    _elu_slope,
    method=False,
    samples=elementwise(apart, options=lambda draw: {"alpha": draw.one_of(1.0, 0.4, -1.5)}),
)
def elu(xp, x, *, alpha):
    """x where x > 0, else alpha (eˣ - 1).        d elu x = (1 where x > 0, else alpha eˣ) dx

    Clevert et al., 2016.

    >>> from minigrad.nn.functional import elu
    >>> elu(mg.tensor([-1.0, 2.0])).round(decimals=4)
    tensor([-0.6321,  2.    ])
    >>> x = mg.tensor(0.0, requires_grad=True)
    >>> (slope,) = mg.grad(elu(x, 0.25), x, create_graph=True)
    >>> slope.item(), mg.grad(slope, x)[0].item()
    (0.25, 0.0)
    """
    return select(xp, x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


def _softplus_slope(g, x, beta, threshold):
    z = wide(x) * beta
    return where(z > threshold, g, g * sigmoid(z))


def _softplus_options(draw):
    return {"beta": draw.one_of(1.0, 0.5, -2.0), "threshold": draw.one_of(20.0, 1.0, math.inf)}


@op(_softplus_slope, method=False, samples=elementwise(apart, options=_softplus_options))
def softplus(xp, x, *, beta, threshold):
    """log(1 + e^(βx)) / β, and x itself where βx > threshold.        d softplus x = σ(βx) dx

    Beyond the threshold the slope is 1.  Nothing overflows, whatever the threshold.

    >>> from minigrad.nn.functional import softplus
    >>> softplus(mg.tensor([0.0, 30.0])).round(decimals=4)
    tensor([ 0.6931, 30.    ])
    >>> x = mg.tensor(0.0, requires_grad=True)
    >>> mg.grad(softplus(x, threshold=0.0), x)[0]
    tensor(0.5)
    """
    z = wide(x) * beta
    y = (xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / beta
    return xp.where(z > threshold, x, like(y, x))


# ---- smooth --------------------------------------------------------------------------------------


def silu_grad_reference(x, dy):
    """Composed: σ(x) (1 + x (1 - σ(x))) dy."""
    z = wide(x)
    s = sigmoid(z)
    return like(dy * (s * (1 + z * (1 - s))), x)


def _with_cotangent(options=lambda draw: {}):
    """An array and what came back for it, of one shape."""

    def sample(draw):
        shape = draw.shape()
        return (anything(draw, shape), anything(draw, shape)), options(draw)

    return sample


@fused(reference=silu_grad_reference, samples=_with_cotangent())
def silu_grad(xp, x, dy):
    """The gradient of silu: dx = σ(x) (1 + x (1 - σ(x))) dy.

    >>> from minigrad.ops.activation import silu_grad
    >>> silu_grad(mg.tensor([0.0, 2.0]), mg.ones(2)).round(decimals=4)
    tensor([0.5   , 1.0908])
    """
    return silu_grad_reference(x, dy)


@op(lambda g, x: silu_grad(x, g), method=False, samples=elementwise(anything))
def silu(xp, x):
    """x σ(x), also called swish.        d silu x = σ(x) (1 + x (1 - σ(x))) dx

    Hendrycks and Gimpel, 2016; Ramachandran et al., 2017.

    >>> from minigrad.nn.functional import silu
    >>> silu(mg.tensor([0.0, 2.0])).round(decimals=4)
    tensor([0.    , 1.7616])
    """
    z = wide(x)
    return like(z * sigmoid(z), x)


CUBIC = 0.044715  # Hendrycks and Gimpel's fit


def _normal_cdf(x, approximate):
    """The share of a standard normal variable below x: what gelu weighs x by."""
    if approximate == "none":
        return (1 + erf(x * math.sqrt(0.5))) * 0.5
    return (1 + tanh((x + x * x * x * CUBIC) * math.sqrt(2 / math.pi))) * 0.5


def gelu_grad_reference(x, dy, *, approximate):
    """Composed: (Φ(x) + x Φ'(x)) dy."""
    z = wide(x)
    cdf = _normal_cdf(z, approximate)
    if approximate == "none":
        density = exp(z * z * -0.5) * math.sqrt(0.5 / math.pi)
    else:  # of (1 + tanh u) / 2: (1 - tanh² u) u' / 2
        density = cdf * (1 - cdf) * ((1 + z * z * (3 * CUBIC)) * math.sqrt(8 / math.pi))
    return like(dy * (cdf + z * density), x)


def _approximations(draw):
    return {"approximate": draw.one_of("none", "tanh")}


@fused(reference=gelu_grad_reference, samples=_with_cotangent(_approximations))
def gelu_grad(xp, x, dy, *, approximate):
    """The gradient of gelu: dx = (Φ(x) + x Φ'(x)) dy.

    >>> from minigrad.ops.activation import gelu_grad
    >>> gelu_grad(mg.tensor([0.0, 2.0]), mg.ones(2), approximate="none").round(decimals=4)
    tensor([0.5   , 1.0852])
    """
    return gelu_grad_reference(x, dy, approximate=approximate)


@op(
    lambda g, x, approximate: gelu_grad(x, g, approximate),
    method=False,
    samples=elementwise(anything, options=_approximations),
)
def gelu(xp, x, *, approximate):
    """x Φ(x) for the normal distribution Φ(x) = (1 + erf(x/√2)) / 2.

    d gelu x = (Φ(x) + x φ(x)) dx, with φ = Φ'

    approximate="tanh" takes Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, and the slope of that.

    Hendrycks and Gimpel, 2016.

    >>> from minigrad.nn.functional import gelu
    >>> gelu(mg.tensor([-1.0, 2.0])).round(decimals=4)
    tensor([-0.1587,  1.9545])
    """
    z = wide(x)
    return like(z * _normal_cdf(z, approximate), x)
