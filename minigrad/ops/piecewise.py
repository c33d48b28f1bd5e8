"""Elementwise ops with kinks, jumps and choices; what the slope is there, each one says."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..calling import unify
from ..dtypes import WHOLE
from ..errors import DTypeError
from ..op import op
from ..samples import anything, apart, bits, elementwise
from .select import select

FEW = 1 << 14  # numbers: beyond, a second array to read costs what SIMD gains


@op(
    None,
    lambda g, condition: where(condition, g, 0),
    lambda g, condition: where(condition, 0, g),
    samples=elementwise(bits, anything, anything),
)
def where(xp, condition, a, b):
    """a where the condition holds, else b.        d where(c, a, b) = [c] da + [not c] db

    As a method it is PyTorch's: `x.where(condition, other)` is x where the condition holds.

    NumPy's trap: both branches are computed, so `where(x > 0, log(x), 0)` has the gradient 0·∞ =
    NaN at x = 0.
    Choose the argument as well: `where(x > 0, log(where(x > 0, x, 1)), 0)`.

    >>> mg.where(mg.tensor([True, False]), mg.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    return select(xp, condition if hasattr(condition, "shape") else xp.asarray(condition), a, b)


def _zero(g):
    """No slope, but a gradient: whoever asks for it gets zeros, as in PyTorch."""
    return where(False, g, 0)


# ---- kinks ---------------------------------------------------------------------------------------


@op(lambda g, x: g * sign(x), samples=elementwise(apart))
def abs(xp, x):
    """|x|.        d|x| = sign(x) dx, and 0 at 0

    Differs from PyTorch: the slope at NaN is NaN, not 0.

    >>> mg.abs(mg.tensor([-1.5, 2.0]))
    tensor([1.5, 2. ])
    >>> x = mg.tensor([-1.0, 0.0], requires_grad=True)
    >>> mg.grad(mg.abs(x).sum(), x)[0]
    tensor([-1.,  0.])
    """
    return xp.abs(x)


@op(None, lambda g, out: relu_grad(out, g), method=False)
def relu_grad(xp, out, dy):
    """dy where relu, which gave out, let it through; else 0, even where dy is no number.

    d relu_grad = [not out ≤ 0] ddy, so a NaN lets through

    >>> from minigrad.ops.piecewise import relu_grad
    >>> relu_grad(mg.tensor([0.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor([0., 4.])
    """
    return select(xp, out <= 0, 0, dy)


@op(lambda g, y: relu_grad(y, g), samples=elementwise(apart))
def relu(xp, x):
    """max(x, 0).        d relu x = [x > 0] dx, and 0 at 0

    >>> mg.relu(mg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if xp is np and x.dtype.kind == "f" and x.size <= FEW:
        return np.maximum(x, _zeros(x.dtype)[: x.size].reshape(x.shape))
    return xp.maximum(x, 0)


@functools.cache
def _zeros(dtype):
    """Kept for relu: NumPy compares two arrays with SIMD, an array and a number without."""
    return np.zeros(FEW, dtype)


def _winner(g, mine, other):
    # a tie is shared evenly, and NaN lets through
    return where(mine < other, 0, where(mine == other, g * 0.5, g))


@op(
    lambda g, a, b: _winner(g, a, b),
    lambda g, a, b: _winner(g, b, a),
    samples=elementwise(apart, apart),
)
def maximum(xp, a, b):
    """The larger of a and b.        d max(a, b) = [a > b] da + [b > a] db, half each at a tie

    >>> mg.maximum(mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0]))
    tensor([3., 4.])
    >>> a = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> mg.grad(mg.maximum(a, 2.0) @ mg.tensor([1.0, 3.0, 5.0]), a)[0]
    tensor([0. , 1.5, 5. ])
    """
    return xp.maximum(a, b)


@op(
    lambda g, a, b: _winner(g, -a, -b),
    lambda g, a, b: _winner(g, -b, -a),
    samples=elementwise(apart, apart),
)
def minimum(xp, a, b):
    """The smaller of a and b.        d min(a, b) = [a < b] da + [b < a] db, half each at a tie

    >>> mg.minimum(mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return xp.minimum(a, b)


def _bound(name, bound):
    """A bound of `clip` as a Python number: NumPy's scalars must not widen x."""
    if getattr(bound, "requires_grad", False) or getattr(bound, "ndim", 0) > 0:
        raise DTypeError(f"{name} is a number, not {bound!r}: use maximum and minimum for tensors")
    bound = bound.item() if hasattr(bound, "item") else bound
    if bound is not None and (not isinstance(bound, int | float) or math.isnan(bound)):
        raise DTypeError(f"{name} was given as {bound!r}: give a number, or None for no bound")
    return bound


def _inside(g, x, min, max):
    if min is not None:
        g = where(x >= min, g, 0)
    return g if max is None else where(x <= max, g, 0)


@op(_inside)
def clip(xp, x, *, min=None, max=None):
    """x held between two numbers.        d clip x = [min ≤ x ≤ max] dx, so 1 at the bounds

    Differs from PyTorch: the bounds are numbers (`maximum` and `minimum` take tensors), and may
    both be left out.

    >>> mg.clip(mg.tensor([-2.0, 0.5, 3.0]), min=0, max=1)
    tensor([0. , 0.5, 1. ])
    >>> x = mg.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    >>> mg.grad(mg.clip(x, min=0, max=1).sum(), x)[0]
    tensor([0., 1., 1., 0.])
    """
    low, high = _bound("min", min), _bound("max", max)
    if low is high is None:
        return x.copy()
    return xp.clip(unify(x, *[b for b in (low, high) if b is not None])[0], low, high)


# ---- jumps: the slope is 0 -----------------------------------------------------------------------


@op(_zero, samples=elementwise(apart))
def sign(xp, x):
    """-1, 0 or 1.        d sign x = 0

    Differs from PyTorch: NaN stays NaN, as in NumPy, where PyTorch has 0.

    >>> mg.sign(mg.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    return xp.sign(x) if x.dtype.kind != "b" else x.copy()


@op(_zero, samples=elementwise(apart))
def floor(xp, x):
    """⌊x⌋, the largest whole number up to x.        d floor x = 0

    >>> mg.floor(mg.tensor([-1.5, 1.5]))
    tensor([-2.,  1.])
    """
    return xp.floor(x) if x.dtype.kind == "f" else x.copy()


@op(_zero, samples=elementwise(apart))
def ceil(xp, x):
    """⌈x⌉, the smallest whole number from x on.        d ceil x = 0

    >>> mg.ceil(mg.tensor([-1.5, 1.5]))
    tensor([-1.,  2.])
    """
    return xp.ceil(x) if x.dtype.kind == "f" else x.copy()


@op(_zero, samples=elementwise(apart))
def round(xp, x, *, decimals=0):
    """x to so many decimals; halves go to the even neighbour.        d round x = 0

    >>> mg.round(mg.tensor([0.5, 1.5, 2.4]))
    tensor([0., 2., 2.])
    """
    if not isinstance(decimals, WHOLE):
        raise DTypeError(f"decimals was given as {decimals!r}: give a whole number")
    return xp.round(x, decimals) if x.dtype.kind == "f" or decimals < 0 else x.copy()


# ---- samples -------------------------------------------------------------------------------------


def _clip_bounds(draw):
    return {"min": draw.one_of(-1.0, None, 0), "max": draw.one_of(1.0, None, math.inf)}


@relu_grad.samples
def _relu_grad_samples(draw):
    shape = draw.shape()
    return (apart(draw, shape), anything(draw, shape)), {}


clip.samples(elementwise(apart, options=_clip_bounds))
