"""Elementwise ops.

g is the cotangent of the output, y the output; the sweep undoes broadcasting.
"""

from __future__ import annotations

from ..errors import DTypeError
from ..op import op

# ---- arithmetic


@op(lambda g: g, lambda g: g)
def add(xp, a, b):
    """a + b.        d(a + b) = da + db"""
    return xp.add(a, b)


@op(lambda g: g, lambda g: -g)
def sub(xp, a, b):
    """a - b.        d(a - b) = da - db"""
    return xp.subtract(a, b)


@op(lambda g, b: g * b, lambda g, a: g * a)
def mul(xp, a, b):
    """a·b elementwise.        d(ab) = b da + a db"""
    return xp.multiply(a, b)


@op(lambda g, b: g / b, lambda g, b, y: -g * y / b, floating=True)
def div(xp, a, b):
    """a / b.        d(a/b) = da/b - (a/b) db/b"""
    return xp.divide(a, b)


def _pow_base(g, a, b):
    # at exponent 0 the slope is 0 for every base, 0 included
    if isinstance(b, int | float):
        return g * (b * a ** (b - 1 if b else 1))
    return g * (b * a ** where(b == 0, 1, b - 1))


def _pow_exponent(g, a, y):
    return g * y * log(where(a == 0, 1, a))  # 0 at base 0, the limit for positive exponents


@op(_pow_base, _pow_exponent)
def pow(xp, a, b):
    """a to the power b.        d aᵇ = b aᵇ⁻¹ da + aᵇ log a db"""
    return a**b


@op(lambda g: -g)
def neg(xp, x):
    """-x.        d(-x) = -dx"""
    return xp.negative(x)


@op(lambda g, x: g * sign(x))
def abs(xp, x):
    """|x|.        d|x| = sign(x) dx, and 0 at 0"""
    return xp.abs(x)


@op(lambda g: where(False, g, 0))
def sign(xp, x):
    """-1, 0 or 1.        d sign x = 0"""
    return xp.sign(x)


# ---- powers, exponentials, and their relatives


@op(lambda g, y: g * 0.5 / y, floating=True)
def sqrt(xp, x):
    """√x.        d√x = dx / (2√x)"""
    return xp.sqrt(x)


@op(lambda g, y: g * (y * y * y) * -0.5, floating=True)
def rsqrt(xp, x):
    """1/√x.        d x⁻¹ᐟ² = -½ x⁻³ᐟ² dx"""
    return 1 / xp.sqrt(x)


@op(lambda g, y: g * y, floating=True)
def exp(xp, x):
    """eˣ.        d eˣ = eˣ dx"""
    return xp.exp(x)


@op(lambda g, x: g / x, floating=True)
def log(xp, x):
    """Natural logarithm.        d log x = dx / x"""
    return xp.log(x)


@op(lambda g, x: g * cos(x), floating=True)
def sin(xp, x):
    """sin x.        d sin x = cos x dx"""
    return xp.sin(x)


@op(lambda g, x: -g * sin(x), floating=True)
def cos(xp, x):
    """cos x.        d cos x = -sin x dx"""
    return xp.cos(x)


@op(lambda g, y: g * (1 - y * y), floating=True)
def tanh(xp, x):
    """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx"""
    return xp.tanh(x)


@op(lambda g, y: g * (y * (1 - y)), floating=True)
def sigmoid(xp, x):
    """1 / (1 + e⁻ˣ).        dσ = σ (1 - σ) dx"""
    e = xp.exp(-xp.abs(x))  # never overflows, and keeps small values exact
    return xp.where(x >= 0, 1, e) / (1 + e)


# ---- choosing


@op(lambda g, y: where(y > 0, g, 0))
def relu(xp, x):
    """max(x, 0).        d relu x = [x > 0] dx, and 0 at 0"""
    return xp.maximum(x, 0)


def _winner(g, mine, other):
    return where(mine > other, g, where(mine == other, g * 0.5, 0))  # a tie is shared evenly


@op(lambda g, a, b: _winner(g, a, b), lambda g, a, b: _winner(g, b, a))
def maximum(xp, a, b):
    """The larger of a and b.        d max(a, b) = [a > b] da + [b > a] db, half each at a tie"""
    return xp.maximum(a, b)


@op(lambda g, a, b: _winner(g, -a, -b), lambda g, a, b: _winner(g, -b, -a))
def minimum(xp, a, b):
    """The smaller of a and b.        d min(a, b) = [a < b] da + [b < a] db, half each at a tie"""
    return xp.minimum(a, b)


def _number(bound):
    if getattr(bound, "requires_grad", False) or getattr(bound, "ndim", 0) > 0:
        raise DTypeError(f"clip's bounds are numbers, not {bound!r}: use maximum and minimum")
    return bound.item() if hasattr(bound, "item") else bound  # NumPy's scalars must not widen x


def _inside(g, x, min, max):
    if min is not None:
        g = where(x >= min, g, 0)
    return g if max is None else where(x <= max, g, 0)


@op(_inside)
def clip(xp, x, *, min=None, max=None):
    """x held between two numbers.        d clip x = [min ≤ x ≤ max] dx"""
    return xp.clip(x, _number(min), _number(max))


@op(None, lambda g, condition: where(condition, g, 0), lambda g, condition: where(condition, 0, g))
def where(xp, condition, a, b):
    """a where the condition holds, else b.        d where(c, a, b) = [c] da + [not c] db

    NumPy's trap: both branches are computed, so `where(x > 0, sqrt(x), 0)` has the gradient 0·∞ =
    NaN at x = 0.
    Choose the argument as well: `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.
    """
    return xp.where(condition, a, b)


# ---- comparing: Boolean results, which carry no gradient


@op(None, None)
def eq(xp, a, b):
    """a == b elementwise."""
    return xp.equal(a, b)


@op(None, None)
def ne(xp, a, b):
    """a != b elementwise."""
    return xp.not_equal(a, b)


@op(None, None)
def lt(xp, a, b):
    """a < b elementwise."""
    return xp.less(a, b)


@op(None, None)
def le(xp, a, b):
    """a <= b elementwise."""
    return xp.less_equal(a, b)


@op(None, None)
def gt(xp, a, b):
    """a > b elementwise."""
    return xp.greater(a, b)


@op(None, None)
def ge(xp, a, b):
    """a >= b elementwise."""
    return xp.greater_equal(a, b)


@op(None)
def logical_not(xp, x):
    """Whether x is zero."""
    return xp.logical_not(x)


@op(None, None)
def logical_and(xp, a, b):
    """Whether both are nonzero."""
    return xp.logical_and(a, b)


@op(None, None)
def logical_or(xp, a, b):
    """Whether one of them is nonzero."""
    return xp.logical_or(a, b)


@op(None)
def isnan(xp, x):
    """Whether x is not a number."""
    return xp.isnan(x)


@op(None)
def isinf(xp, x):
    """Whether x is infinite."""
    return xp.isinf(x)


@op(None)
def isfinite(xp, x):
    """Whether x is a finite number."""
    return xp.isfinite(x)
