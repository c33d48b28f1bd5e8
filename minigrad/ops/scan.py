"""Products, and running sums and products.

A derivative of a product that divides by a factor is wrong where one is 0.  Products are therefore
differentiated through their references, which only multiply: right at every order, whatever is 0.
"""

from __future__ import annotations

import numpy as np

from ..op import cast, fused, op
from ..samples import along, any_of, anything, reduction
from .index import getitem
from .join import cat
from .reduce import sum
from .shape import at, axes_of, axis_of, permute, reshape
from .sums import count, kept_shape


def _wide(dtype):
    """The dtype in which values are added up or multiplied: float64, or NumPy's for integers."""
    return np.dtype(np.float64) if dtype.kind == "f" else np.prod(np.empty(0, dtype)).dtype


def _rounded(y, dtype):
    return cast(y, dtype=dtype) if dtype.kind == "f" and y.dtype != dtype else y


# ---- sums ----------------------------------------------------------------------------------------


def _reversed(g, in_shapes, axis):
    """The adjoint of a running sum: the same from the other end."""
    back = at(axis_of(axis, len(in_shapes[0])), slice(None, None, -1))
    return getitem(cumsum(getitem(g, key=back), axis), key=back)


@op(_reversed, samples=along(side=(0, 4)))
def cumsum(xp, x, *, axis):
    """Σ x up to and including each place along axis.        d cumsum x = cumsum dx

    Floating sums are added up in float64, and each is rounded once.

    >>> mg.tensor([1.0, 2.0, 3.0]).cumsum(0)
    tensor([1., 3., 6.])
    """
    return _rounded(xp.cumsum(x, axis=axis_of(axis, x.ndim), dtype=_wide(x.dtype)), x.dtype)


# ---- products ------------------------------------------------------------------------------------


def prod_reference(x, *, axis=None, keepdims=False):
    """Composed: a tree of pairwise products, in float64."""
    axes = axes_of(axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    n, kept = count(x.shape, axes), tuple(x.shape[i] for i in rest)
    shape = kept_shape(x.shape, axes) if keepdims else kept
    if n == 0:
        return sum(x, axes, keepdims) + 1
    y, left = reshape(permute(cast(x, dtype=_wide(x.dtype)), rest + axes), (*kept, n)), None
    while n > 1:
        half = n // 2
        if n % 2:
            last = getitem(y, key=(..., slice(-1, None)))
            left = last if left is None else left * last
        y = getitem(y, key=(..., slice(half))) * getitem(y, key=(..., slice(half, 2 * half)))
        n = half
    return _rounded(reshape(y if left is None else y * left, shape), x.dtype)


@fused(
    reference=prod_reference,
    method=True,
)
def prod(xp, x, *, axis=None, keepdims=False):
    """Π x over axis (None: all); 1 over nothing.        d Π x = Σᵢ (Π of the others) dxᵢ

    Differs from PyTorch: a slope is the product of the other factors, never divided, so it is right
    beside ∞ and NaN, and where the product overflows.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(axis=1)
    tensor([ 2., 12.])
    """
    axes = axes_of(axis, x.ndim)
    return _rounded(xp.prod(x, axis=axes, dtype=_wide(x.dtype), keepdims=keepdims), x.dtype)


def cumprod_reference(x, *, axis):
    """Composed: Hillis and Steele's scan, log₂ n multiplications of the array by itself, moved."""
    axis = axis_of(axis, x.ndim)
    n, y = x.shape[axis], cast(x, dtype=_wide(x.dtype))
    for step in (2**i for i in range(max(n - 1, 0).bit_length())):
        moved = getitem(y, key=at(axis, slice(step, None))) * getitem(y, key=at(axis, slice(-step)))
        y = cat([getitem(y, key=at(axis, slice(step))), moved], axis)
    return _rounded(y, x.dtype)


@fused(reference=cumprod_reference, method=True)
def cumprod(xp, x, *, axis):
    """Π x up to and including each place along axis.

    d cumprod x = Σᵢ (Π of the others up to there) dxᵢ

    Differs from PyTorch: a slope is the product of the other factors, never divided, so it is right
    beside ∞ and NaN, and where the product overflows.

    >>> mg.tensor([1.0, 2.0, 3.0]).cumprod(0)
    tensor([1., 2., 6.])
    """
    return _rounded(xp.cumprod(x, axis=axis_of(axis, x.ndim), dtype=_wide(x.dtype)), x.dtype)


# ---- samples -------------------------------------------------------------------------------------


def _product_values(draw, shape):
    """Values of either sign, some of which are 0."""
    values = anything(draw, shape)
    return np.where(draw.rng().random(shape) < 0.3, 0.0, values)


def _long_samples(draw):
    """So many values that pairs are left over more than once."""
    return (_product_values(draw, (draw.integer(5, 7),)),), {"axis": 0, "keepdims": draw.flag()}


prod.samples(any_of(reduction(_product_values), _long_samples))
cumprod.samples(along(_product_values, side=(0, 5)))
