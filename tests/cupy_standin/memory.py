"""What crosses from device to host unseen, and what nobody has written yet."""

from collections import Counter

import numpy as np

# The copies to the host that the program made, by what made them ("float", "bool", "get", ...).
# On a GPU each one waits until all kernels have finished.  Tests read it and `clear()` it.
hidden_copies = Counter()


def poison(dtype):
    """A value that no right program reads: NaN, or a number that stands out."""
    return np.nan if dtype.kind in "fc" else True if dtype.kind == "b" else 113


def check_dtype(dtype):
    """CuPy has booleans, integers, and real and complex numbers of up to 64 bits a part."""
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise ValueError(f"Unsupported dtype {dtype}")
