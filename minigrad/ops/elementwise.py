"""Elementwise ops: arithmetic, powers, exponentials, trigonometry.

g is the cotangent of the output, y the output; the sweep undoes broadcasting.
"""

from __future__ import annotations

import math

import numpy as np

from ..op import op
from ..samples import anything, elementwise, nonzero, positive, within_one
from .compare import isfinite, logical_and, logical_not, logical_or
from .erf import erf_of
from .piecewise import where

# ---- arithmetic ----------------------------------------------------------------------------------


@op(lambda g: g, lambda g: g, samples=elementwise(anything, anything))
def add(xp, a, b):
    """a + b.        d(a + b) = da + db

    >>> mg.add(mg.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])
    """
    return xp.add(a, b)


@op(lambda g: g, lambda g: -g, samples=elementwise(anything, anything))
def sub(xp, a, b):
    """a - b.        d(a - b) = da - db

    >>> mg.sub(mg.tensor([1.0, 2.0]), 3)
    tensor([-2., -1.])
    """
    return xp.subtract(a, b)


@op(lambda g, b: g * b, lambda g, a: g * a, samples=elementwise(anything, anything))
def mul(xp, a, b):
    """a·b elementwise.        d(ab) = b da + a db

    >>> mg.mul(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return xp.multiply(a, b)


@op(
    lambda g, b: g / b,
    lambda g, b, y: -g * y / b,
    floating=True,
    samples=elementwise(anything, nonzero),
)
def div(xp, a, b):
    """a / b, by IEEE's rules where b is 0.        d(a/b) = da/b - (a/b) db/b

    >>> mg.div(mg.tensor([1, 2]), 4)
    tensor([0.25, 0.5 ])
    """
    return xp.divide(a, b)


@op(lambda g: -g, samples=elementwise(anything))
def neg(xp, x):
    """-x.        d(-x) = -dx

    >>> mg.neg(mg.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return xp.negative(x)


# ---- powers --------------------------------------------------------------------------------------


def _pow_base(g, a, b):
    if isinstance(b, int | float):
        return g * (b * a ** (b - 1)) if b else where(False, g, 0)
    flat = logical_and(b == 0, logical_or(a == 0, a != a))  # a⁰ is 1 at 0 and NaN too
    return g * (b * where(flat, 1, a) ** (b - 1))


def _pow_exponent(g, a, b, y):
    # 0 at base 0, the limit for exponents of 0 and more
    return g * y * log(where(logical_and(a == 0, b >= 0), 1, a))


@op(_pow_base, _pow_exponent)
def pow(xp, a, b):
    """a to the power b.        d aᵇ = b aᵇ⁻¹ da + aᵇ log a db

    At base 0 no slope is NaN where a limit exists: 0⁰ has the slopes 0 and 0.

    Differs from PyTorch: at -0 and -∞ the power -½ is ∞ and 0, and so is the slope of the power ½,
    whether the exponent is a number or a tensor (PyTorch has -∞ and NaN for numbers); at exponent 0
    the derivative in both is 1/a, not 0.  Integers to negative integer powers are refused.

    >>> mg.pow(mg.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> x = mg.tensor([0.0, 2.0], requires_grad=True)
    >>> mg.grad(x**3 @ mg.tensor([1.0, 10.0]), x)[0], mg.grad((x**0).sum(), x)[0]
    (tensor([  0., 120.]), tensor([0., 0.]))
    >>> a = mg.tensor([0.0, 0.0, 2.0, np.nan, 0.0], requires_grad=True)
    >>> b = mg.tensor([0.0, 2.0, 0.0, 0.0, -1.0], requires_grad=True)
    >>> with np.errstate(divide="ignore"):
    ...     da, db = mg.grad(mg.pow(a, b).sum(), (a, b))
    >>> da, db.round(decimals=4)
    (tensor([  0.,   0.,   0.,   0., -inf]), tensor([0.    , 0.    , 0.6931,    nan,   -inf]))
    """
    if isinstance(b, int) and a.dtype == np.bool_:
        a = a.astype(np.int64)  # NumPy gives int8
    return a**b


def _through_pole(g, slope):
    """g · slope, and 0 where nothing comes (g = 0) through an infinite slope (instead of 0·∞)."""
    return g * where(logical_and(g == 0, logical_not(isfinite(slope))), 0, slope)


@op(lambda g, y: _through_pole(g, 0.5 / y), floating=True, samples=elementwise(positive))
def sqrt(xp, x):
    """√x; its slope at 0 is infinite, and nothing comes through from a cotangent 0.

    d√x = dx / (2√x)

    Differs from PyTorch: a cotangent 0 gives the gradient 0 at x ≤ 0 and at NaN, not NaN.

    >>> mg.sqrt(mg.tensor([4.0, 9.0]))
    tensor([2., 3.])
    >>> x, w = (mg.tensor(v, requires_grad=True) for v in ([0.0, 4.0], [0.0, 3.0]))
    >>> with np.errstate(divide="ignore"):
    ...     (g,) = mg.grad(mg.sqrt(x) @ w, x, create_graph=True)
    >>> g.detach(), mg.grad(g.sum(), w)[0]
    (tensor([0.  , 0.75]), tensor([0.  , 0.25]))
    """
    return xp.sqrt(x)


@op(lambda g, y: g * (y * y * y) * -0.5, floating=True, samples=elementwise(positive))
def rsqrt(xp, x):
    """1/√x.        d x⁻¹ᐟ² = -½ x⁻³ᐟ² dx

    >>> mg.rsqrt(mg.tensor([4.0, 16.0]))
    tensor([0.5 , 0.25])
    """
    return 1 / xp.sqrt(x)


# ---- exponentials and logarithms -----------------------------------------------------------------


@op(lambda g, y: g * y, floating=True, samples=elementwise(anything))
def exp(xp, x):
    """eˣ.        d eˣ = eˣ dx

    >>> mg.exp(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([1.    , 2.7183])
    """
    return xp.exp(x)


@op(lambda g, y: g * (y + 1), floating=True, samples=elementwise(anything))
def expm1(xp, x):
    """eˣ - 1, exact for small x.        d expm1 x = eˣ dx

    >>> mg.expm1(mg.tensor([0.0, 1e-8]))
    tensor([0.e+00, 1.e-08])
    """
    return xp.expm1(x)


@op(lambda g, x: g / x, floating=True, samples=elementwise(positive))
def log(xp, x):
    """Natural logarithm.        d log x = dx / x

    >>> mg.log(mg.tensor([1.0, 2.0])).round(decimals=4)
    tensor([0.    , 0.6931])
    """
    return xp.log(x)


@op(lambda g, x: g / (1 + x), floating=True, samples=elementwise(positive))
def log1p(xp, x):
    """log(1 + x), exact for small x.        d log1p x = dx / (1 + x)

    >>> mg.log1p(mg.tensor([0.0, 1e-8]))
    tensor([0.e+00, 1.e-08])
    """
    return xp.log1p(x)


@op(lambda g, y: g * (y * (1 - y)), floating=True, samples=elementwise(anything))
def sigmoid(xp, x):
    """1 / (1 + e⁻ˣ).        dσ = σ (1 - σ) dx

    >>> mg.sigmoid(mg.tensor([0.0, 2.0])).round(decimals=4)
    tensor([0.5   , 0.8808])
    """
    e = xp.exp(-xp.abs(x))  # never overflows, and keeps small values exact
    return xp.exp(xp.minimum(x, 0)) / (1 + e)  # again: a `where` would branch at every value


@op(lambda g, x: g * (exp(-x * x) * (2 / math.sqrt(math.pi))), floating=True,
    samples=elementwise(anything))  # fmt: skip
def erf(xp, x):
    """The error function, 2/√π ∫₀ˣ e^(-t²) dt.        d erf x = 2/√π e^(-x²) dx

    >>> mg.erf(mg.tensor([0.0, 0.5, 10.0])).round(decimals=4)
    tensor([0.    , 0.5205, 1.    ])
    """
    return erf_of(xp, x)


# ---- trigonometry --------------------------------------------------------------------------------


@op(lambda g, x: g * cos(x), floating=True, samples=elementwise(anything))
def sin(xp, x):
    """sin x.        d sin x = cos x dx

    >>> mg.sin(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 0.8415])
    """
    return xp.sin(x)


@op(lambda g, x: -g * sin(x), floating=True, samples=elementwise(anything))
def cos(xp, x):
    """cos x.        d cos x = -sin x dx

    >>> mg.cos(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([1.    , 0.5403])
    """
    return xp.cos(x)


@op(lambda g, y: g * (1 + y * y), floating=True, samples=elementwise(within_one))
def tan(xp, x):
    """tan x.        d tan x = (1 + tan² x) dx

    >>> mg.tan(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 1.5574])
    """
    return xp.tan(x)


def _rest(x):
    """1 - x², without losing digits near ±1."""
    return (1 - x) * (1 + x)


@op(lambda g, x: g * rsqrt(_rest(x)), floating=True, samples=elementwise(within_one))
def arcsin(xp, x):
    """The angle from -π/2 to π/2 whose sine is x.        d arcsin x = dx / √(1 - x²)

    >>> mg.arcsin(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 1.5708])
    """
    return xp.arcsin(x)


@op(lambda g, x: -g * rsqrt(_rest(x)), floating=True, samples=elementwise(within_one))
def arccos(xp, x):
    """The angle from 0 to π whose cosine is x.        d arccos x = -dx / √(1 - x²)

    >>> mg.arccos(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([1.5708, 0.    ])
    """
    return xp.arccos(x)


@op(lambda g, x: g / (1 + x * x), floating=True, samples=elementwise(anything))
def arctan(xp, x):
    """The angle from -π/2 to π/2 whose tangent is x.        d arctan x = dx / (1 + x²)

    >>> mg.arctan(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 0.7854])
    """
    return xp.arctan(x)


@op(lambda g, x: g * cosh(x), floating=True, samples=elementwise(anything))
def sinh(xp, x):
    """(eˣ - e⁻ˣ) / 2.        d sinh x = cosh x dx

    >>> mg.sinh(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 1.1752])
    """
    return xp.sinh(x)


@op(lambda g, x: g * sinh(x), floating=True, samples=elementwise(anything))
def cosh(xp, x):
    """(eˣ + e⁻ˣ) / 2.        d cosh x = sinh x dx

    >>> mg.cosh(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([1.    , 1.5431])
    """
    return xp.cosh(x)


@op(lambda g, y: g * (1 - y * y), floating=True, samples=elementwise(anything))
def tanh(xp, x):
    """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx

    >>> mg.tanh(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 0.7616])
    """
    return xp.tanh(x)


# ---- samples -------------------------------------------------------------------------------------


def _exponents(draw, shape):
    """Any, some of which are 0."""
    return np.where(draw.rng().random(shape) < 0.2, 0.0, anything(draw, shape))


pow.samples(elementwise(positive, _exponents))
