"""Determinants, whose derivatives are right at singular matrices too.

Away from those d det a = det a · tr(a⁻¹ da) would do.  But a determinant is a polynomial, with
derivatives everywhere: the forward is LAPACK's, and the reference finds a factor that has an
inverse and one that is expanded as the polynomial that it is.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..op import cast, fused, op
from ..samples import anything
from ..tensor import Tensor
from .index import getitem, unindex
from .linalg import inv, invertible, solve, square, triu, wide
from .linear import mT
from .reduce import sum
from .shape import reshape, unsqueeze

SMALL = 3  # matrices up to this size are differentiated as the polynomials that determinants are


def det_reference(a):
    """Composed: det(P) · det(T - R P⁻¹ Q), where uᵀ a v = [[P, Q], [R, T]] and T is small.

    P has an inverse, and the second factor is a polynomial, so every derivative is right at
    singular matrices too.
    """
    square(a)
    if a.dtype == np.float16:
        return cast(det_reference(cast(a, dtype=np.dtype(np.float32))), dtype=a.dtype)
    lead, n = tuple(a.shape[:-2]), a.shape[-1]
    matrices = math.prod(lead)
    if n <= SMALL or not matrices:
        return _division_free_det(a)
    a = reshape(a, (matrices, n, n))
    if _far_from_singular(a):
        return reshape(regular_det(a), lead)
    u, v, few = _bases(a)
    a, y = mT(u) @ a @ v, None
    for r in sorted(set(few.tolist())):
        rows = _constant(np.flatnonzero(few == r), a, np.intp)
        every = len(rows) == len(few)
        part = _split_det(a if every else getitem(a, key=rows), r)
        part = part if every else unindex(part, shape=few.shape, key=rows)
        y = part if y is None else y + part
    return reshape(y, lead)


def _split_det(a, r):
    """The determinant, where the last r rows and columns are small."""
    k = a.shape[-1] - r
    if not r:
        return regular_det(a)
    first, last = slice(None, k), slice(k, None)
    p, q, lower, t = (getitem(a, key=(..., i, j)) for i in (first, last) for j in (first, last))
    rest = _division_free_det(t - lower @ solve(p, q))
    return (_division_free_det(p) if k <= SMALL else regular_det(p)) * rest


def _parts(a):
    """The array of a, its backend, and what is small beside 1.

    What is small goes to a polynomial, so the rest has condition eps^(-1/4) at most, and its
    inverse has three quarters of the digits or more.
    """
    a = a.array if isinstance(a, Tensor) else a
    return a, backend.of(a), float(np.finfo(a.dtype).eps) ** 0.25


def _far_from_singular(a):
    """Whether no matrix is near a singular one: an inverse is much cheaper than singular values."""
    a, home, small = _parts(a)
    try:
        squares = [(x * x).sum((-2, -1)) for x in (a, home.xp.linalg.inv(a))]
    except np.linalg.LinAlgError:
        return False
    return bool((home.to_numpy(squares[0] * squares[1]) < small**-2).all())


def _bases(a):
    """Orthogonal u and v with uᵀ a v diagonal and det u · det v = 1, and how many values are small.

    u and v are constants: det(uᵀ a v) = det a holds for whatever orthogonal matrices they are.
    What is not finite counts as 0 here: beside ∞ LAPACK may never end.
    """
    a, home, small = _parts(a)
    xp = home.xp
    u, s, vt = xp.linalg.svd(xp.where(xp.isfinite(a), a, xp.zeros_like(a)))
    u[..., 0] *= xp.sign(xp.linalg.det(u) * xp.linalg.det(vt))[..., None]
    few = xp.add.reduce(s <= small * s[..., :1], axis=-1)
    return u, xp.swapaxes(vt, -1, -2), home.to_numpy(few)  # the host must know: shapes depend on it


def _division_free_det(a):
    """The determinant as a polynomial, in n - 1 products of matrices.

    R. S. Bird, "A simple division-free algorithm for computing determinants", 2011: F ← μ(F) a,
    from F = a, where μ keeps what is above the diagonal, and puts on the diagonal minus the sum of
    what is further down on it.
    """
    n = a.shape[-1]
    if not n:
        return sum(a, (-2, -1)) + 1.0
    eye, below = _constant(np.eye(n), a), _constant(np.tri(n, k=-1), a)
    f = a
    for _ in range(n - 1):
        further = sum(f * eye, -2) @ below
        f = (triu(f, 1) - eye * unsqueeze(further, -1)) @ a
    y = getitem(f, key=(..., 0, 0))
    return y if n % 2 else -y


def _constant(values, like, dtype=None):
    """A host array where `like` is, by default of its dtype."""
    array = like.array if isinstance(like, Tensor) else like
    return backend.of(array).xp.asarray(values, dtype or array.dtype)


@op(lambda g, a, y: reshape(g * y, (*y.shape, 1, 1)) * mT(inv(a)), method=False, floating=True)
def regular_det(xp, a):
    """The determinant of matrices that have an inverse.        d det a = det a · tr(a⁻¹ da)

    >>> mg.det(mg.eye(3))
    tensor(1.)
    """
    square(a)
    with np.errstate(invalid="ignore"):  # NaN for NaN is no news
        return xp.linalg.det(wide(a)).astype(a.dtype, copy=False)


@fused(reference=det_reference, method=True, floating=True)
def det(xp, a):
    """The determinant of matrices (…, n, n); 1 for n = 0.        d det a = tr(adj(a) da)

    Every derivative is right at singular matrices too: adj(a) is det a · a⁻¹ where there is an
    inverse, and the transposed cofactors everywhere.  On a GPU a derivative waits for the ranks of
    the matrices, which decide how it is computed.

    Differs from PyTorch: derivatives of order 2 and more are finite at singular matrices; takes
    integers and float16 (computed in float32) too.

    >>> a = mg.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> mg.grad(mg.det(a), a)[0]
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """
    return regular_det.forward(xp, a)


# ---- samples -------------------------------------------------------------------------------------


@det.samples
def _det_samples(draw):
    """Matrices of which some of a batch are near rank n - 1 or n - 2 or have it, or are 0."""
    n, off = draw.one_of(0, 1, 2, 3, 4, 5), draw.one_of(0.0, 3e-5)
    x = invertible(draw, draw.shape(most=2, side=(0, 4)), n).copy()
    for place in np.ndindex(x.shape[:-2]):
        lost = draw.integer(0, 2) if n > 2 else 0
        x[place][n - lost :] = x[place][:lost] * -0.7 + off * anything(draw, (lost, n))
        x[place] *= draw.integer(0, 9) > 0
    return (x,), {}


@regular_det.samples
def _regular_det_samples(draw):
    n = draw.one_of(0, 2, 3, 4)  # of a number the second derivative is 0: nothing to compare
    return (invertible(draw, draw.shape(most=1, side=(0, 2)), n),), {}
