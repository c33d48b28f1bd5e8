"""eˣ and the normal distribution in compiled loops that become SIMD, as the C library's do not.

They compute in float64 what float32 needs: 2e-10 is less than half of a float32's last digit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload
from numpy.polynomial import Chebyshev, Polynomial

from .compiling import serial

LOG2E = 1 / math.log(2)
FURTHEST = 1000.0  # a power of 2 that float64 holds, and float32 does not
C1, C2, C3, C4, C5, C6, C7, C8 = (math.log(2) ** n / math.factorial(n) for n in range(1, 9))


@serial
def coarse_exp(x):
    """eˣ = 2^(n + f), n whole and |f| ≤ ½, by Taylor's series of 2^f; 2^±1000 at the ends."""
    t = min(max(np.float64(x) * LOG2E, -FURTHEST), FURTHEST)  # NaN stays
    n = math.floor(t + 0.5)
    f = t - n
    p = 1.0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * (C6 + f * (C7 + f * C8)))))))
    return p * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


def exp(x):
    """eˣ of a number, in its own precision; for compiled code."""
    raise NotImplementedError("only in compiled code")


@overload(exp)
def _(x):
    if x == types.float32:
        return lambda x: np.float32(coarse_exp(x))
    return lambda x: math.exp(x)


# ---- the normal distribution ---------------------------------------------------------------------

MIDDLE, END = 3.0, 12.0  # beyond the end nothing is left: erfc(12) = 1e-64


def _scaled(t):
    """erfc(z) e^(z²) at z = MIDDLE (1 + t) / (1 - t), which is nearly a line in t."""
    z = [MIDDLE * (1 + each) / (1 - each) for each in t]
    return np.array([math.erfc(each) * math.exp(each * each) for each in z])


# off by 3e-9 or less, relatively
_FIT = Chebyshev.interpolate(_scaled, 10, [-1, (END - MIDDLE) / (END + MIDDLE)])
P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10 = map(
    float, _FIT.convert(kind=Polynomial, domain=[-1, 1]).coef
)


@serial
def normal(x):
    """Φ(x) and Φ'(x) of the normal distribution, for a float32."""
    z = min(abs(np.float64(x)) * math.sqrt(0.5), END)
    t = (z - MIDDLE) / (z + MIDDLE)
    p = P4 + t * (P5 + t * (P6 + t * (P7 + t * (P8 + t * (P9 + t * P10)))))
    p = P0 + t * (P1 + t * (P2 + t * (P3 + t * p)))
    e = coarse_exp(-z * z)
    beyond = 0.5 * e * p
    cdf = beyond if x < 0 else 1 - beyond
    return np.float32(cdf), np.float32(e * math.sqrt(0.5 / math.pi))
