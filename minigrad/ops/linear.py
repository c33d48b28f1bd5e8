"""Matrix products."""

from __future__ import annotations

import math

from ..errors import ShapeError
from ..op import fused, op
from .shape import reshape, squeeze, transpose, unsqueeze


def mT(x):
    """x with its last two axes swapped."""
    return transpose(x, -1, -2)


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
    """a @ b with NumPy's rules: vectors, matrices, broadcast batches.

    d(a b) = da b + a db
    """
    if a.ndim and b.ndim and a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
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
    lambda g, w: g @ w, lambda g, x: _rows(g).T @ _rows(x), lambda g: g, reference=linear_reference
)
def linear(xp, x, w, b):
    """x wᵀ + b for x (…, in), w (out, in), b (out,).        dy = dx wᵀ + x dwᵀ + db"""
    y = xp.matmul(x, w.T)
    if b.dtype != y.dtype:
        return y + b
    y += b
    return y
