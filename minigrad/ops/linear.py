"""Products of vectors and matrices."""

from __future__ import annotations

import math

from ..errors import ShapeError
from ..op import fused, op
from ..samples import anything
from .shape import reshape, squeeze, transpose, unsqueeze


def mT(x):
    """x with its last two axes swapped."""
    return transpose(x, -1, -2)


def rank(x):
    """How many axes an operand has: none, if it is a number."""
    return getattr(x, "ndim", 0)


# ---- vectors -------------------------------------------------------------------------------------


def _vectors(a, b, instead):
    if rank(a) != 1 or rank(b) != 1:
        raise ShapeError(f"both must have one axis, not {rank(a)} and {rank(b)}: use {instead}")


@op(lambda g, b: g * b, lambda g, a: g * a)
def dot(xp, a, b):
    """Σ a b of two vectors of one length.        d(a·b) = da·b + a·db

    >>> mg.dot(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor(11.)
    """
    _vectors(a, b, "matmul (a @ b) for matrices and batches")
    if a.shape != b.shape:
        raise ShapeError(f"the lengths {a.shape[0]} and {b.shape[0]} must be equal")
    return xp.matmul(a, b)


@op(lambda g, b: g @ b, lambda g, a: a @ g)
def outer(xp, a, b):
    """The matrix of all products aᵢ bⱼ of two vectors.        d(a bᵀ) = da bᵀ + a dbᵀ

    >>> mg.outer(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _vectors(a, b, "a.unsqueeze(-1) * b.unsqueeze(-2) for batches")
    return xp.multiply(a[:, None], b)


# ---- matrices ------------------------------------------------------------------------------------


def _matmul_a(g, b, in_shapes):
    a_shape, b_shape = in_shapes
    if len(b_shape) == 1:
        return unsqueeze(g, -1) * b
    if len(a_shape) == 1:
        return squeeze(b @ unsqueeze(g, -1), -1)
    return g @ mT(b)


def _matmul_b(g, a, in_shapes):
    a_shape, b_shape = in_shapes
    if len(a_shape) == 1:
        return unsqueeze(a, -1) * unsqueeze(g, -2) if len(b_shape) > 1 else a * g
    if len(b_shape) == 1:
        return squeeze(mT(a) @ unsqueeze(g, -1), -1)
    return mT(a) @ g


@op(_matmul_a, _matmul_b)
def matmul(xp, a, b):
    """a @ b for a (…, n, k) and b (…, k, m), whose leading axes broadcast; vectors may be (k,).

    d(a b) = da b + a db

    >>> mg.matmul(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([1.0, -1.0]))
    tensor([-1., -1.])
    """
    if not rank(a) or not rank(b):
        raise ShapeError("matmul takes vectors, matrices and batches of these: use * for a number")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            f"the last axis of the first has length {a.shape[-1]}, the "
            f"{'second last' if b.ndim > 1 else 'only'} axis of the second "
            f"{b.shape[-2 if b.ndim > 1 else 0]}: they must be equal (.T or .mT swaps the axes "
            "of a matrix)"
        )
    return xp.matmul(a, b)


def linear_reference(x, w, b):
    """Composed: x wᵀ + b."""
    return x @ mT(w) + b


def _rows(x):
    """(…, features) as a matrix."""
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@fused(
    lambda g, w: g @ w,
    lambda g, x: _rows(g).T @ _rows(x),
    lambda g: g,
    reference=linear_reference,
)
def linear(xp, x, w, b):
    """x wᵀ + b for x (…, in), w (out, in), b (out,).        dy = dx wᵀ + x dwᵀ + db

    >>> x, w = mg.tensor([[1.0, 2.0]]), mg.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    >>> mg.nn.functional.linear(x, w, mg.tensor([0.0, 10.0, 0.0]))
    tensor([[ 1., 13.,  6.]])
    """
    y = xp.matmul(x, w.T)
    if b.dtype != y.dtype:
        return y + b
    y += b
    return y


# ---- samples -------------------------------------------------------------------------------------


def batches(draw, count):
    """Leading axes for `count` samples, which broadcast together."""
    full = draw.shape(most=2, side=(0, 2))
    kept = [full[draw.integer(0, len(full)) :] for _ in range(count)]
    return [tuple([1 if draw.flag() else n for n in lead]) for lead in kept]


@dot.samples
def _dot_samples(draw):
    n = draw.integer(0, 4)
    return (anything(draw, (n,)), anything(draw, (n,))), {}


@outer.samples
def _outer_samples(draw):
    return tuple([anything(draw, (draw.integer(0, 4),)) for _ in range(2)]), {}


@matmul.samples
def _matmul_samples(draw):
    n, k, m = (draw.integer(0, 3) for _ in range(3))
    left, right = batches(draw, 2)
    a = anything(draw, (k,) if draw.flag() else (*left, n, k))
    return (a, anything(draw, (k,) if draw.flag() else (*right, k, m))), {}


@linear.samples
def _linear_samples(draw):
    n, m = draw.integer(0, 3), draw.integer(0, 3)
    x = anything(draw, (*draw.shape(most=2), n))
    return (x, anything(draw, (m, n)), anything(draw, (m,))), {}
