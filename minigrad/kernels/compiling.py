"""How the kernels are compiled: Numba's options, in one place."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import Any

# Sums may be reordered (else no SIMD), and a*b + c fused.  Never `nnan` or `ninf`: a NaN must pass.
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}
# How long OpenMP's worker looks for work before it sleeps: about as long as Python takes between
# two kernels.  By default it spins for milliseconds, on the core that the next OpenBLAS product
# needs (and that product's worker then does the same to the kernel after it).
SPINS = "3000"


@contextmanager
def _short_spins() -> Any:
    """GNU's OpenMP reads its environment when it is loaded: ours is gone again after that."""
    known = "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    if not known:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        yield
    finally:
        if not known:
            del os.environ["GOMP_SPINCOUNT"]


with _short_spins():
    import numba

    with suppress(ImportError):  # then another threading layer takes its place
        importlib.import_module("numba.np.ufunc.omppool")  # this loads GNU's OpenMP


def serial(function: Callable[..., Any]) -> Any:
    """Compile for one thread, when it is first called with such types; kept on disk."""
    return numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy")(function)


def parallel(function: Callable[..., Any]) -> Any:
    """Compile with `prange` over Numba's threads; worth it from some 50,000 numbers on."""
    return numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy", parallel=True)(function)
