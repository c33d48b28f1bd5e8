"""Values of one array or of another, without a branch for each."""

from __future__ import annotations

import math

import numpy as np

BITS = {2: np.int16, 4: np.int32, 8: np.int64}  # an integer as wide as a float of so many bytes
SMALL = 1 << 9  # up to so many values NumPy's own is as fast


def select(xp, condition, a, b):
    """a where the condition holds, else b: `xp.where`, but NumPy's floats are masked by bits.

    NumPy branches at every value, and the processor cannot foresee a mask like relu's: of four
    million float32 and 0, that takes 19 ms instead of 2.5.
    """
    if xp is np and condition.size > SMALL and condition.dtype == bool:
        if _is_floats(b, condition):
            if _is_zero(a):
                return _masked(np.subtract(condition.view(np.int8), 1), b)
            if _is_floats(a, condition) and a.dtype == b.dtype:
                return _masked(np.negative(condition.view(np.int8)), a, b)
        elif _is_floats(a, condition) and _is_zero(b):
            return _masked(np.negative(condition.view(np.int8)), a)
    return xp.where(condition, a, b)


def _masked(mask, a, b=None):
    """a where the mask is -1, and where it is 0, b or 0."""
    integer = BITS[a.itemsize]
    bits = mask.astype(integer)
    if b is None:
        bits &= a.view(integer)
    else:
        bits &= a.view(integer) ^ b.view(integer)
        bits ^= b.view(integer)
    return bits.view(a.dtype)


def _is_floats(value, condition):
    """Whether a mask meets floats of its own shape."""
    dtype = getattr(value, "dtype", None)
    return (
        dtype is not None
        and dtype.kind == "f"
        and dtype.itemsize in BITS
        and value.shape == condition.shape
    )


def _is_zero(value):
    return type(value) in (int, float) and value == 0 and math.copysign(1, value) > 0
