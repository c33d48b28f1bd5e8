"""How the kernels are compiled: Numba's options, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from . import threads

# Sums may be reordered (else no SIMD), and a*b + c fused.  Never `nnan` or `ninf`: a NaN must pass.
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}


def serial(function: Callable[..., Any]) -> Any:
    """Compile for one thread, when it is first called with such types; kept on disk."""
    return numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy")(function)


def parallel(function: Callable[..., Any]) -> Any:
    """Compile with `prange` over Numba's threads; worth it from some 50,000 numbers on."""
    compiled = numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy", parallel=True)
    return threads.shared(compiled(function))


def writeable(array: Any) -> Any:
    """The array as one that may be written to, though nobody will.

    A read-only array is another type to Numba, for which it would compile everything once more.
    """
    if array.flags.writeable:
        return array
    try:
        alias = array.view()
        alias.flags.writeable = True  # refused where the memory itself is read-only
    except ValueError:
        return array.copy()
    return alias


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into its callers: for short loops, beside which a call with many arrays is slow."""
    return numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy", forceinline=True)(
        function
    )


def exact(function: Callable[..., Any]) -> Any:
    """Compile for one thread as it is written: a sum of differences must not become one of sums."""
    return numba.njit(cache=True, error_model="numpy")(function)
