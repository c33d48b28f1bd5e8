"""Matrix products inside kernels: NumPy's own OpenBLAS, called from compiled code, on one thread.

A kernel that runs on several threads gives each a product of its own.  Where NumPy has no OpenBLAS
(Accelerate, MKL, distributions' builds) `available` is False, and ops that would need it run on
their forwards.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload

from .compiling import serial

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # of cblas.h
NAMES = {np.dtype(np.float32): "sgemm", np.dtype(np.float64): "dgemm"}


def _library() -> ctypes.CDLL | None:
    """NumPy's OpenBLAS, as its wheels bring it."""
    home = Path(np.__file__).parent
    for folder in (home.parent / "numpy.libs", home / ".dylibs"):
        for file in sorted(folder.glob("libscipy_openblas64_*")):
            return ctypes.CDLL(str(file))
    return None


def _found() -> tuple[bool, Any]:
    """Make the products known to the compiler by name, and find OpenBLAS's number of threads."""
    library: Any = _library()
    try:
        for name in NAMES.values():
            product = getattr(library, f"scipy_cblas_{name}64_")
            address = ctypes.cast(product, ctypes.c_void_p).value
            # by name and not by address, so that compiled kernels can be kept on disk
            llvmlite.binding.add_symbol(f"minigrad_{name}", address)
        return True, ctypes.c_int.in_dll(library, "blas_cpu_number")
    except (AttributeError, TypeError, ValueError):  # no library, or one without such a name
        return False, None


available, _threads = _found()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Inside, a product runs on the thread that calls it; the user's own take all of theirs."""
    before, _threads.value = _threads.value, 1
    try:
        yield
    finally:
        _threads.value = before


def _external(number: Any, name: str) -> Any:
    sizes, matrix = [types.int64] * 3, [types.uintp, types.int64]
    arguments = [*[types.int32] * 3, *sizes, number, *matrix, *matrix, number, *matrix]
    return types.ExternalFunction(f"minigrad_{name}", types.void(*arguments))


_sgemm = _external(types.float32, "sgemm")
_dgemm = _external(types.float64, "dgemm")


def _product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    raise NotImplementedError("only in compiled code")


@overload(_product)
def _(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    external = _sgemm if alpha == types.float32 else _dgemm

    def call(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        external(
            np.int32(ROW_MAJOR),
            np.int32(TRANSPOSED if ta else AS_IT_IS),
            np.int32(TRANSPOSED if tb else AS_IT_IS),
            *(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc),
        )

    return call


@serial
def gemm(a, a_t, b, b_t, beta, c):
    """c = op(a) op(b) + beta c for matrices whose rows are contiguous; op transposes where asked.

    The rows themselves may be any distance apart, as in a slice of columns.
    """
    m, n = c.shape
    k = a.shape[0] if a_t else a.shape[1]
    number, size = c.dtype.type, c.itemsize
    _product(
        *(a_t, b_t, m, n, k, number(1)),
        *(a.ctypes.data, max(1, a.strides[0] // size)),
        *(b.ctypes.data, max(1, b.strides[0] // size)),
        *(number(beta), c.ctypes.data, max(1, c.strides[0] // size)),
    )
