"""The error function, which NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

STEP = 1 / 8  # between the points of expansion: |t| ≤ 1/16
TERMS = 12  # then the first term left out is below 3e-18 (|Hₙ(x)| e^(-x²/2) < 1.09·√(2ⁿ n!))
FLAT = 6.0  # from here on erf is 1 in float64
BLOCK = 8192  # values at a time on the CPU: all that the series needs of them stays in cache
POINTS = np.array([math.erf(i * STEP) for i in range(int(FLAT / STEP) + 1)])


def erf_of(xp, x):
    """erf x in x's dtype, computed in float64."""
    if xp is not np or x.size <= BLOCK:
        return _series(xp, x)
    flat = x.reshape(-1)
    y = np.empty_like(flat)
    for i in range(0, flat.size, BLOCK):
        y[i : i + BLOCK] = _series(np, flat[i : i + BLOCK])
    return y.reshape(x.shape)


def _series(xp, x):
    """erf x by Taylor's series about the nearest multiple of 1/8.

    erf(c + t) = erf c + 2/√π e^(-c²) Σ (-1)ⁿ Hₙ(c) tⁿ⁺¹ / (n + 1)!   (Abramowitz, Stegun 7.1.19)

    with Hermite's polynomials, Hₙ₊₁(c) = 2c Hₙ(c) - 2n Hₙ₋₁(c).
    """
    a = xp.minimum(xp.abs(x.astype(np.float64)), FLAT)
    a = xp.where(xp.isnan(a), 0, a)
    point = xp.rint(a / STEP)
    c = point * STEP
    t = a - c
    before, term, total = 0, t, t  # (-1)ⁿ Hₙ tⁿ⁺¹ / (n + 1)! for n - 1 and n, and their sum
    for n in range(TERMS - 1):
        before, term = term, -2 * t * (c * term + t * before * (n / (n + 1))) / (n + 2)
        total = total + term
    y = xp.asarray(POINTS)[point.astype(np.intp)] + total * xp.exp(-c * c) * (
        2 / math.sqrt(math.pi)
    )
    return xp.where(xp.isnan(x), x, xp.copysign(y, x)).astype(x.dtype)
