"""The norm of vectors, for any power."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import NUMBER
from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import apart, nonzero, reduction
from .elementwise import pow
from .order import shared
from .piecewise import abs, sign, where
from .shape import axes_of, broadcast_to, reshape
from .sums import count, kept_shape, total


def _power(p):
    """p as a number."""
    if p == "fro":
        return 2
    if isinstance(p, bool | str) or not isinstance(p, NUMBER):
        raise DTypeError(f'p was given as {p!r}: give a number, inf, -inf or "fro"')
    if math.isnan(p):
        raise DTypeError("p was given as nan: give a number, inf, -inf or 'fro'")
    return int(p) if p in (0, 1, 2) else float(p)


def _slope(g, x, y, p, axis):
    axes, p = axes_of(axis, x.ndim), _power(p)
    g, y = (reshape(each, kept_shape(x.shape, axes)) for each in (g, y))
    if p == 0:
        return where(False, broadcast_to(g, x.shape), 0)
    if math.isinf(p):
        return shared(g, abs(x), y, axes) * sign(x)
    flat = y == 0
    g, y = where(flat, 0, g), where(flat, 1, y)
    if p % 2 == 0 and p > 0:  # xᵖ⁻¹ is smooth at 0
        return g * pow(x / y, p - 1)
    zero = x == 0
    return where(zero, 0, g * sign(x) * pow(abs(where(zero, 1, x)) / y, p - 1))


@op(_slope, floating=True)
def norm(xp, x, *, p=2, axis=None, keepdims=False):
    """(Σ |x|ᵖ)^(1/p) over axis (None: all), without overflow on the way.

    d norm = Σ sign(x) (|x| / norm)ᵖ⁻¹ dx, and 0 where x is 0 and where the norm is 0

    Args:
        p: a number, or "fro" for 2; inf: the largest |x|, -inf: the smallest, 0: how many are not
            zero.  Ties of the largest share its gradient evenly.

    Differs from PyTorch: there is no nuclear norm; several axes are taken as one vector; nothing
    overflows or underflows on the way; at NaN the slopes for p = 1 and ±∞ are NaN, not 0; for p = ½
    beside ∞ the slope at 0 is 0.

    >>> mg.tensor([3.0, 4.0]).norm(), mg.tensor([3.0, -4.0]).norm(1)
    (tensor(5.), tensor(7.))
    >>> x = mg.tensor([[0.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]], requires_grad=True)
    >>> for p in (-2, 0.5, 1, 2, 3, float("inf")):
    ...     print(p, mg.grad(x.norm(p, axis=1), x, mg.tensor([1.0, 2.0, 4.0]))[0].tolist())
    -2 [[0.0, 0.0], [0.0, 0.0], [nan, nan]]
    0.5 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
    1 [[0.0, 0.0], [0.0, 2.0], [nan, 4.0]]
    2 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
    3 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
    inf [[0.0, 0.0], [0.0, 2.0], [nan, 0.0]]
    >>> x = mg.tensor([[0.0, 1.0], [0.0, float("inf")]], requires_grad=True)
    >>> with np.errstate(all="ignore"):
    ...     (slope,) = mg.grad(x.norm(0.5, axis=1).sum(), x, create_graph=True)
    ...     (curvature,) = mg.grad(slope[0].sum(), x)
    >>> slope.tolist(), curvature[0]
    ([[0.0, 1.0], [0.0, nan]], tensor([0., 0.]))
    """
    axes, p = axes_of(axis, x.ndim), _power(p)
    if (p < 0 or p == math.inf) and count(x.shape, axes) == 0:
        raise ShapeError(f"the norm of nothing has no value for p={p}: shape {x.shape}")
    y = _norm(xp, xp.abs(x.astype(np.float32) if x.dtype == np.float16 else x), p, axes)
    shape = tuple(n for i, n in enumerate(x.shape) if keepdims or i not in axes)
    return y.reshape(kept_shape(x.shape, axes) if keepdims else shape).astype(x.dtype)


def _norm(xp, size, p, axes):
    """The norm of sizes |x|, with axes kept."""
    if p == 0:
        return total(xp, size != 0, axes)
    if p == 1 or count(size.shape, axes) == 0:
        return total(xp, size, axes)
    peak = (xp.max if p > 0 else xp.min)(size, axis=axes, keepdims=True)
    if math.isinf(p):
        return peak
    scale = xp.where(xp.isfinite(peak) & (peak > 0), peak, 1).astype(size.dtype)
    z = size / scale
    if p == 2:
        return xp.sqrt(total(xp, z * z, axes)) * scale
    if p > 0:
        return total(xp, z**p, axes) ** (1 / p) * scale
    sums = total(xp, xp.where(z == 0, 1, z) ** p, axes)
    return xp.where(peak == 0, 0, sums ** (1 / p) * scale)


# ---- samples -------------------------------------------------------------------------------------


@norm.samples
def _norm_samples(draw):
    p = draw.one_of(2, "fro", 4.0, 4.0, 7, 1, 1, 0, 3, 1.5, 0.5, -1, -2.5, math.inf, -math.inf)
    if p in (2, "fro", 4.0, 7) and draw.flag():  # smooth where some of a vector are 0, but not all
        (x,), statics = reduction(nonzero, side=(2, 3))(draw)
        return (np.where(sum(np.indices(x.shape)) % 2, 0, x),), {"p": p} | statics
    large = p in (2, "fro", 1, 0, 4.0)  # may be asked of nothing
    domain = apart if p in (math.inf, -math.inf) else nonzero
    (x,), statics = reduction(domain, side=(0 if large else 1, 3))(draw)
    return (x,), {"p": p} | statics
