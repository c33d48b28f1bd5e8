"""Matrices: triangles and diagonals, inverses, systems of equations, Cholesky.

All but `diag` take batches of matrices, (…, n, n).  float16 is computed in float32.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything, one_array
from .index import unindex
from .linear import batches, mT, rank
from .shape import reshape, unsqueeze

# ---- triangles and diagonals ---------------------------------------------------------------------


def _matrices(x):
    if rank(x) < 2:
        raise ShapeError(f"it needs a matrix or a batch of them, (…, n, m), not {rank(x)} axes")


def _whole(diagonal):
    if not isinstance(diagonal, int | np.integer):
        raise DTypeError(f"diagonal={diagonal!r}: give a whole number, 0 for the main diagonal")
    return int(diagonal)


@op(lambda g, diagonal: tril(g, diagonal))
def tril(xp, x, *, diagonal=0):
    """The lower triangle of matrices: x where column ≤ row + diagonal, 0 above.

    d tril x = tril dx

    >>> mg.tril(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 0.],
            [3., 4.]])
    """
    _matrices(x)
    return xp.tril(x, _whole(diagonal))


@op(lambda g, diagonal: triu(g, diagonal))
def triu(xp, x, *, diagonal=0):
    """The upper triangle of matrices: x where column ≥ row + diagonal, 0 below.

    d triu x = triu dx

    >>> mg.triu(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor([[0., 2.],
            [0., 0.]])
    """
    _matrices(x)
    return xp.triu(x, _whole(diagonal))


def _diagonal_slice(shape, diagonal):
    """Where a diagonal lies in the flattened matrix."""
    n, m = shape
    count = max(min(n + min(diagonal, 0), m - max(diagonal, 0)), 0)
    start = diagonal if diagonal >= 0 else -diagonal * m
    return slice(start, start + count * (m + 1), m + 1)


def _diag_adjoint(g, in_shapes, diagonal):
    (shape,) = in_shapes
    if len(shape) == 1:
        return diag(g, diagonal)
    flat = unindex(g, shape=(math.prod(shape),), key=_diagonal_slice(shape, diagonal))
    return reshape(flat, shape)


@op(_diag_adjoint)
def diag(xp, x, *, diagonal=0):
    """A diagonal of a matrix, as a vector; of a vector, the matrix with it there and 0 elsewhere.

    d diag x = diag dx

    `diagonal` counts upwards from the main one.

    >>> mg.diag(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    >>> mg.diag(mg.tensor([5.0]), 1)
    tensor([[0., 5.],
            [0., 0.]])
    """
    diagonal = _whole(diagonal)
    if rank(x) == 2:
        return x.reshape(-1)[_diagonal_slice(x.shape, diagonal)].copy()
    if rank(x) != 1:
        raise ShapeError(
            f"it takes a vector or one matrix, not {rank(x)} axes: einsum('...ii->...i', x) reads "
            "the diagonals of a batch"
        )
    n = x.shape[0] + abs(diagonal)
    y = xp.zeros(n * n, x.dtype)
    y[_diagonal_slice((n, n), diagonal)] = x
    return y.reshape(n, n)


# ---- inverses and systems of equations -----------------------------------------------------------


def square(x):
    """Refuse what is no square matrix, and no batch of them."""
    if rank(x) < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"it needs square matrices, (…, n, n), not {tuple(getattr(x, 'shape', ()))}"
        )


def wide(x):
    """LAPACK has no float16."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _located(run, x, what):
    """run(x); where that fails for one of a batch of matrices, the error says which."""
    try:
        return run(x)
    except np.linalg.LinAlgError as error:
        for place in np.ndindex(x.shape[:-2]):
            try:
                run(x[place])
            except np.linalg.LinAlgError:
                at = f" at {list(place)} of the batch" if place else ""
                raise np.linalg.LinAlgError(f"the matrix{at} {what}") from error
        raise


SINGULAR = "is singular: it has no inverse (adding a small multiple of mg.eye(n) gives it one)"


@op(lambda g, y: -mT(y) @ g @ mT(y), floating=True)
def inv(xp, a):
    """The inverse of matrices (…, n, n).        d a⁻¹ = -a⁻¹ da a⁻¹

    A singular matrix raises numpy.linalg.LinAlgError.  `solve` is faster and more exact than a
    product with an inverse.

    Differs from PyTorch: takes integers and float16 (computed in float32) too.

    >>> mg.inv(mg.tensor([[0.5, 0.0], [0.0, 0.25]]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    square(a)
    return _located(xp.linalg.inv, wide(a), SINGULAR).astype(a.dtype, copy=False)


def _takes_vectors(in_shapes):
    """Whether b is a vector, or one for each matrix."""
    a_shape, b_shape = in_shapes
    return len(b_shape) == 1 or b_shape == a_shape[:-1]


def _solve_a(g, a, y, in_shapes):
    back = solve(mT(a), g)
    if _takes_vectors(in_shapes):
        return unsqueeze(-back, -1) * unsqueeze(y, -2)
    return -back @ mT(y)


@op(_solve_a, lambda g, a: solve(mT(a), g), floating=True)
def solve(xp, a, b):
    """The x with a x = b, for a (…, n, n).        dx = a⁻¹ (db - da x)

    b is a vector (n,), or one for each matrix if its shape is that of a without the last axis;
    otherwise matrices (…, n, k).  Leading axes broadcast.  A singular matrix raises
    numpy.linalg.LinAlgError.

    Differs from PyTorch: takes integers and float16 (computed in float32) too.

    >>> mg.solve(mg.tensor([[2.0, 0.0], [1.0, 4.0]]), mg.tensor([2.0, 9.0]))
    tensor([1., 2.])
    """
    square(a)
    vectors = rank(b) and _takes_vectors((a.shape, b.shape))
    if not rank(b) or b.shape[-1 if vectors else -2] != a.shape[-1]:
        raise ShapeError(
            f"b must be ({a.shape[-1]},), {a.shape[:-1]} or (…, {a.shape[-1]}, k) for a of shape "
            f"{a.shape}, not {getattr(b, 'shape', ())}"
        )
    left, right = wide(a), wide(b[..., None] if vectors else b)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    spread = [xp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (left, right)]
    try:
        y = xp.linalg.solve(*spread)
    except np.linalg.LinAlgError:
        _located(xp.linalg.inv, left, SINGULAR)
        raise
    y = y.astype(np.result_type(a.dtype, b.dtype), copy=False)
    return y[..., 0] if vectors else y


# ---- Cholesky ------------------------------------------------------------------------------------


def _symmetric(x):
    return 0.5 * x + 0.5 * mT(x)


def _cholesky_rule(g, y):
    """L⁻ᵀ Φ(Lᵀ g) L⁻¹, symmetric; Φ takes the lower triangle and half of the diagonal."""
    p = mT(y) @ g
    p = 0.5 * (tril(p) + tril(p, -1))
    return _symmetric(solve(mT(y), mT(solve(mT(y), mT(p)))))


@op(_cholesky_rule, floating=True)
def cholesky(xp, a):
    """The lower triangular L with L Lᵀ = a, for symmetric positive definite a (…, n, n).

    dL = L Φ(L⁻¹ da L⁻ᵀ), where Φ is the lower triangle with half of the diagonal

    a counts by its symmetric part, (a + aᵀ)/2, so its gradient is symmetric.  If that is not
    positive definite, numpy.linalg.LinAlgError is raised.

    Differs from PyTorch: of a matrix that is not symmetric, PyTorch reads the lower triangle (the
    gradients at symmetric ones are the same); takes integers and float16 (computed in float32) too.

    >>> mg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    square(a)
    even = wide(a) * 0.5
    even += xp.swapaxes(even, -1, -2).copy()
    y = _located(xp.linalg.cholesky, even, "is not positive definite: it has no Cholesky factor")
    return y.astype(a.dtype, copy=False)


# ---- samples -------------------------------------------------------------------------------------


def _offset(draw, shape):
    return {"diagonal": draw.integer(-4, 4)}


@diag.samples
def _diag_samples(draw):
    shape = tuple([draw.integer(0, 4) for _ in range(draw.integer(1, 2))])
    return (anything(draw, shape),), _offset(draw, shape)


def invertible(draw, lead, n):
    """Diagonally dominant matrices with their rows in any order: well-conditioned."""
    x = anything(draw, (*lead, n, n))
    size = np.maximum(np.abs(x).sum(-1, keepdims=True), 1e-9)
    x = 0.5 * x / size + np.eye(n) * draw.rng().choice([-1.0, 1.0], (*lead, n, 1))
    return x[..., list(draw.order(n)), :]


@inv.samples
def _inv_samples(draw):
    return (invertible(draw, draw.shape(most=2, side=(0, 2)), draw.integer(0, 3)),), {}


@solve.samples
def _solve_samples(draw):
    n, (left, right) = draw.integer(0, 3), batches(draw, 2)
    a = invertible(draw, left, n)
    shape = draw.one_of((n,), (*left, n), (*right, n, draw.integer(0, 2)))
    return (a, anything(draw, shape)), {}


@cholesky.samples
def _cholesky_samples(draw):
    lead, n = draw.shape(most=2, side=(0, 2)), draw.integer(0, 3)
    x = invertible(draw, lead, n)
    return (x @ np.swapaxes(x, -1, -2) + np.eye(n),), {}


tril.samples(one_array(_offset, least=2))
triu.samples(one_array(_offset, least=2))
