"""One of two arrays at every place, without a branch."""

from __future__ import annotations

import math

import numpy as np

BITS = {2: np.int16, 4: np.int32, 8: np.int64}  # an integer as wide as a float of so many bytes
SMALL = 1 << 14  # values up to which NumPy's own is as fast


def select(xp, condition, a, b):
    """a where the condition holds, else b: `xp.where`, but NumPy's floats go by their bits.

    NumPy branches at every value, and the processor cannot foresee a mask like relu's: of four
    million float32 and 0, that takes 19 ms instead of 2.5.
    """
    if xp is not np or condition.size <= SMALL or not _alike(condition, a, b):
        return xp.where(condition, a, b)
    array = a if hasattr(a, "dtype") else b
    bits = BITS[array.dtype.itemsize]
    chosen = np.negative(condition.view(np.int8)).astype(bits)  # all bits, or none
    if array is a and hasattr(b, "dtype"):
        chosen &= a.view(bits) ^ b.view(bits)
        chosen ^= b.view(bits)
    elif array is a:
        chosen &= a.view(bits)
    else:
        np.invert(chosen, out=chosen)
        chosen &= b.view(bits)
    return chosen.view(array.dtype)


def _alike(condition, a, b):
    """Whether a mask meets floats of its own shape and of one dtype, or such floats and 0."""
    arrays = [value for value in (a, b) if hasattr(value, "dtype")]
    numbers = [value for value in (a, b) if not hasattr(value, "dtype")]
    return (
        condition.dtype == bool
        and all(value == 0 and math.copysign(1, value) > 0 for value in numbers[:1])
        and len({(v.dtype, v.shape) for v in arrays}) == 1
        and arrays[0].shape == condition.shape
        and arrays[0].dtype.kind == "f"
        and arrays[0].dtype.itemsize in BITS
    )
