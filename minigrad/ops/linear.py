"""Products of vectors and matrices."""

from __future__ import annotations

import math

from ..errors import ShapeError
from ..op import fused, op
from ..samples import anything
from .reduce import sum
from .shape import reshape, squeeze, transpose, unsqueeze
from .sums import total


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


# rules call `matmul` for `@`: NumPy's own would pass the op's kernels by


def _matmul_a(g, b, in_shapes):
    a_shape, b_shape = in_shapes
    if len(b_shape) == 1:
        return unsqueeze(g, -1) * b
    if len(a_shape) == 1:
        return squeeze(matmul(b, unsqueeze(g, -1)), -1)
    return matmul(g, mT(b))


def _matmul_b(g, a, in_shapes):
    a_shape, b_shape = in_shapes
    if len(a_shape) == 1:
        return unsqueeze(a, -1) * unsqueeze(g, -2) if len(b_shape) > 1 else a * g
    if len(b_shape) == 1:
        return squeeze(matmul(mT(a), unsqueeze(g, -1)), -1)
    return matmul(mT(a), g)


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


def linear_grad_reference(x, w, dy):
    """Composed: dx, dw and db (see `linear_grad`)."""
    return matmul(dy, w), *linear_weight_grad_reference(x, dy)


def linear_weight_grad_reference(x, dy):
    """Composed: dw and db (see `linear_grad`)."""
    rows = _rows(dy)
    return matmul(mT(rows), _rows(x)), sum(rows, 0)


def _rows(x):
    """(…, features) as a matrix."""
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])) if x.ndim != 2 else x


@fused(reference=linear_reference)
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


@linear.vjp
def _(g, x, w, needs):
    of_x, of_w, of_b = needs
    if of_x and of_w:
        dx, dw, db = linear_grad(x, w, g)
        return dx, dw, db if of_b else None
    if of_w:
        dw, db = linear_weight_grad(x, g)
        return None, dw, db if of_b else None
    return matmul(g, w) if of_x else None, None, g if of_b else None  # added up as for a sum


@fused(reference=linear_grad_reference)
def linear_grad(xp, x, w, dy):
    """dx, dw, db: the three gradients of `linear` at once, dy being that of its output.

    dx = dy w,  dw = dyᵀ x,  db = Σ dy

    >>> from minigrad.ops.linear import linear_grad
    >>> x, w, dy = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0, 4.0]]), mg.tensor([[10.0]])
    >>> dx, dw, db = linear_grad(x, w, dy)
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[30.0, 40.0]], [[10.0, 20.0]], [10.0])
    """
    return xp.matmul(dy, w), *_weight_grad(xp, x, dy)


@linear_grad.vjp
def _(g, x, w, dy, needs):
    u, v, s = g  # cotangents of dx, dw and db
    return (
        matmul(dy, v) if needs[0] else None,
        matmul(mT(_rows(dy)), _rows(u)) if needs[1] else None,
        linear(u, w, s) + matmul(x, mT(v)) if needs[2] else None,
    )


@fused(reference=linear_weight_grad_reference)
def linear_weight_grad(xp, x, dy):
    """dw, db: all that a first layer is asked for, whose x wants no gradient.

    dw = dyᵀ x,  db = Σ dy

    >>> from minigrad.ops.linear import linear_weight_grad
    >>> dw, db = linear_weight_grad(mg.tensor([[1.0, 2.0]]), mg.tensor([[10.0]]))
    >>> dw.tolist(), db.tolist()
    ([[10.0, 20.0]], [10.0])
    """
    return _weight_grad(xp, x, dy)


@linear_weight_grad.vjp
def _(g, x, dy, needs):
    v, s = g  # cotangents of dw and db
    return matmul(dy, v) if needs[0] else None, linear(x, v, s) if needs[1] else None


def _weight_grad(xp, x, dy):
    if x.ndim != 2:
        n = math.prod(x.shape[:-1])
        x, dy = x.reshape(n, x.shape[-1]), dy.reshape(n, dy.shape[-1])
    return xp.matmul(dy.T, x), total(xp, dy, (0,)).astype(dy.dtype).reshape(-1)


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


def _layer(draw):
    """x, w, b and dy of a linear layer."""
    lead, n, m = draw.shape(most=2), draw.integer(0, 3), draw.integer(0, 3)
    return [anything(draw, shape) for shape in ((*lead, n), (m, n), (m,), (*lead, m))]


@linear.samples
def _linear_samples(draw):
    x, w, b, _ = _layer(draw)
    return (x, w, b), {}


@linear_grad.samples
def _linear_grad_samples(draw):
    x, w, _, dy = _layer(draw)
    return (x, w, dy), {}


@linear_weight_grad.samples
def _linear_weight_grad_samples(draw):
    x, _, _, dy = _layer(draw)
    return (x, dy), {}
