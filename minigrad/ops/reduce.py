"""Sums and what is made of them, softmax."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import NUMBER
from ..errors import DTypeError
from ..op import cast, fused, op
from ..samples import along, any_of, anything, apart, bits, reduction
from .elementwise import exp, sqrt
from .piecewise import where
from .shape import axes_of, broadcast_to, reshape
from .sums import count, kept_shape, reduced, repeated, total


def _rounded(x, sums, shape):
    return sums.reshape(shape).astype(x.dtype if x.dtype.kind == "f" else sums.dtype)


def spread(g, in_shapes, axis):
    """The adjoint of a sum: g repeated along the reduced axes, whether they were kept or not."""
    shape = in_shapes[0]
    return broadcast_to(reshape(g, kept_shape(shape, axes_of(axis, len(shape)))), shape)


@op(spread, samples=reduction())
def sum(xp, x, *, axis=None, keepdims=False):
    """Σ x over axis (None: all).        d Σx = Σ dx

    Floating sums are added up in blocks and in float64, and rounded once.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0)
    tensor([4., 6.])
    """
    axes = axes_of(axis, x.ndim)
    return _rounded(x, total(xp, x, axes), reduced(x.shape, axes, keepdims))


def _spread_mean(g, in_shapes, axis):
    shape = in_shapes[0]
    return spread(g / (count(shape, axes_of(axis, len(shape))) or 1), in_shapes, axis)


@op(_spread_mean, floating=True, samples=reduction(side=(1, 3)))
def mean(xp, x, *, axis=None, keepdims=False):
    """Σ x / n over axis (None: all); NaN over nothing.        d mean x = mean dx

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(axis=1, keepdims=True)
    tensor([[1.5],
            [3.5]])
    """
    axes = axes_of(axis, x.ndim)
    n = count(x.shape, axes)
    sums = total(xp, x, axes)
    return _rounded(x, sums / n if n else sums * math.nan, reduced(x.shape, axes, keepdims))


@op(lambda g, in_shapes: broadcast_to(g, in_shapes[0]), method=False)
def sum_to(xp, x, *, shape):
    """Σ x over what a broadcast from `shape` repeated: its adjoint, which the sweep applies.

    d sum_to x = sum_to dx

    Differs from PyTorch: sums of integers and booleans keep their dtype.

    >>> from minigrad.ops.reduce import sum_to
    >>> sum_to(mg.ones(2, 3), shape=(3,))
    tensor([2., 2., 2.])
    """
    axes = repeated(x.shape, tuple(shape))
    sums = total(xp, x, axes) if axes else x
    return sums.astype(x.dtype).reshape(shape)


def _check_correction(correction):
    if not isinstance(correction, NUMBER) or not math.isfinite(correction):
        raise DTypeError(f"correction was given as {correction!r}: give a finite number (0 or 1)")


def wide(x):
    """float16 is computed in float32."""
    return cast(x, dtype=np.dtype(np.float32)) if x.dtype == np.float16 else x


def like(y, x):
    """In the dtype of x, whatever it was computed in."""
    return y if y.dtype == x.dtype else cast(y, dtype=x.dtype)


def var_reference(x, *, axis=None, correction=1, keepdims=False):
    """Composed: squared deviations over n - correction; NaN unless that is positive."""
    axes = axes_of(axis, x.ndim)
    n = count(x.shape, axes) - correction
    c = wide(x)
    c = c - mean(c, axes, keepdims=True)
    c = c - mean(c, axes, keepdims=True)  # the rounding of the first mean
    return like(sum(c * c, axes, keepdims) * (1 / n if n > 0 else math.nan), x)


def _variance(xp, x, axes, correction):
    """In float64, with the reduced axes kept."""
    _check_correction(correction)
    n, c = count(x.shape, axes), wide(x)
    for _ in range(2):  # the second time it takes out the rounding of the first mean
        c = c - (total(xp, c, axes) / (n or 1)).astype(c.dtype)
    return total(xp, c * c, axes) * (1 / (n - correction) if n > correction else math.nan)


@fused(reference=var_reference, method=True, floating=True)
def var(xp, x, *, axis=None, correction=1, keepdims=False):
    """Σ (x - mean)² / (n - correction); correction=0 divides by n.

    d var = 2 Σ (x - mean) dx / (n - correction)

    It is NaN unless n > correction.

    Differs from PyTorch: NaN, not ∞ or a slope of 0, unless n > correction, and no warning; beside
    an infinity every slope is NaN.

    >>> mg.tensor([1.0, 2.0, 3.0]).var(), mg.tensor([1.0, 2.0, 3.0]).var(correction=-1)
    (tensor(1.), tensor(0.5))
    >>> x = mg.tensor([1.0], requires_grad=True)
    >>> mg.var(x).item(), mg.grad(mg.var(x), x)[0]
    (nan, tensor([nan]))
    """
    axes = axes_of(axis, x.ndim)
    return _rounded(x, _variance(xp, x, axes, correction), reduced(x.shape, axes, keepdims))


def std_reference(x, *, axis=None, correction=1, keepdims=False):
    """Composed: the root of the variance, whose slope at 0 is taken to be 0."""
    v = var(wide(x), axis, correction, keepdims)
    flat = v == 0
    return like(where(flat, 0, sqrt(where(flat, 1, v))), x)


@fused(reference=std_reference, method=True, floating=True)
def std(xp, x, *, axis=None, correction=1, keepdims=False):
    """√var(x).        d std = d var / (2 std), and 0 where std is 0

    Differs from PyTorch: NaN, not ∞, unless n > correction, and no warning.

    >>> mg.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    >>> x = mg.ones(3, requires_grad=True)
    >>> mg.grad(mg.std(x), x)[0]
    tensor([0., 0., 0.])
    """
    axes = axes_of(axis, x.ndim)
    y = xp.sqrt(_variance(xp, x, axes, correction))
    return _rounded(x, y, reduced(x.shape, axes, keepdims))


# ---- truth


@op(None, samples=reduction(bits))
def all(xp, x, *, axis=None, keepdims=False):
    """∧ x over axis (None: all): whether all values are nonzero.

    >>> mg.tensor([[True, False], [True, True]]).all(axis=1)
    tensor([False,  True])
    """
    return xp.all(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


@op(None, samples=reduction(bits))
def any(xp, x, *, axis=None, keepdims=False):
    """∨ x over axis (None: all): whether one value is nonzero.

    >>> mg.tensor([[True, False], [False, False]]).any(axis=1)
    tensor([ True, False])
    """
    return xp.any(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


# ---- softmax and its relatives


@op(
    lambda g, x, in_shapes, axis: spread(g, in_shapes, axis) * softmax(x, axis),
    floating=True,
    samples=reduction(side=(1, 3)),
)
def logsumexp(xp, x, *, axis=None, keepdims=False):
    """log Σ eˣ over axis, without overflow; -∞ over nothing.

    d logsumexp x = Σ softmax(x) dx

    Differs from PyTorch: the slopes keep their digits where x is large: at (10³⁰⁰, 10³⁰⁰) they are
    ½ and ½, not 1 and 1; beside ∞ all are NaN, not 0.

    >>> mg.tensor([1000.0, 1000.0]).logsumexp(0).round(decimals=2)
    tensor(1000.69)
    """
    axes = axes_of(axis, x.ndim)
    if count(x.shape, axes) == 0:
        return xp.full(reduced(x.shape, axes, keepdims), -math.inf, x.dtype)
    peak = xp.max(x, axis=axes, keepdims=True)
    peak = xp.where(xp.isfinite(peak), peak, xp.zeros_like(peak))  # ∞ - ∞ would be NaN
    sums = total(xp, xp.exp(x - peak), axes).astype(x.dtype)
    return (xp.log(sums) + peak).reshape(reduced(x.shape, axes, keepdims))


@op(
    lambda g, y, axis: y * (g - sum(g * y, axis, keepdims=True)),
    floating=True,
    samples=along(side=(0, 3)),
)
def softmax(xp, x, *, axis=-1):
    """eˣ / Σ eˣ along axis.        d softmax = s (dx - Σ s dx)

    >>> mg.tensor([0.0, np.log(3.0)]).softmax(-1).round(decimals=4)
    tensor([0.25, 0.75])
    """
    axes = axes_of(axis, x.ndim)
    if x.size == 0:
        return x.copy()
    e = xp.exp(x - xp.max(x, axis=axes, keepdims=True))
    e /= total(xp, e, axes).astype(x.dtype)
    return e


@op(
    lambda g, y, axis: g - exp(y) * sum(g, axis, keepdims=True),
    floating=True,
    samples=along(side=(0, 3)),
)
def log_softmax(xp, x, *, axis=-1):
    """x - log Σ eˣ along axis.        d log_softmax = dx - Σ softmax(x) dx

    >>> mg.tensor([0.0, 0.0]).log_softmax(-1).round(decimals=4)
    tensor([-0.6931, -0.6931])
    """
    axes = axes_of(axis, x.ndim)
    if x.size == 0:
        return x.copy()
    z = x - xp.max(x, axis=axes, keepdims=True)
    z -= xp.log(total(xp, xp.exp(z), axes)).astype(x.dtype)
    return z


# ---- samples -------------------------------------------------------------------------------------


@sum_to.samples
def _sum_to_samples(draw):
    shape, full = draw.shapes(2)
    return (anything(draw, np.broadcast_shapes(shape, full)),), {"shape": shape}


def _outlier_samples(draw):
    """Whose square float16 does not hold; the variance it does."""
    x = apart(draw, (draw.integer(3, 4), 2))
    x[0] = 410.0
    return (x,), {"axis": 0, "correction": 1, "keepdims": draw.flag()}


def _spread_samples(*scales):
    """Three values or more: of two, the deviation is linear, and its curvature mere rounding."""

    def sample(draw):
        x = apart(draw, draw.shape(least=1, side=(3, 4))) * draw.one_of(*scales)
        options = {"correction": draw.one_of(0, 1, 2, 0.5), "keepdims": draw.flag()}
        return (x,), {"axis": draw.axes(x.ndim)} | options

    return sample


var.samples(any_of(_spread_samples(1), _outlier_samples))
# far apart: away from the kink at 0, and so far that the variance is beyond float16
std.samples(_spread_samples(4, 200))
