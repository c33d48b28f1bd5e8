"""Matrix products inside kernels: NumPy's own OpenBLAS, called from compiled code, on one thread.

A kernel that runs on several threads gives each a product of its own.  OpenBLAS's own threads stay
asleep: awake, they look for work for milliseconds, on the cores that the next kernel needs.

Where NumPy has no OpenBLAS (Accelerate, MKL, distributions' builds) `available` is False, and ops
that would need it run on their forwards.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload

from .compiling import serial

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # of cblas.h
FUNCTIONS = {
    "sgemm": "cblas_sgemm",
    "dgemm": "cblas_dgemm",
    "threads": "openblas_get_num_threads",
    "set_threads": "openblas_set_num_threads",
}


def _library() -> ctypes.CDLL | None:
    """NumPy's OpenBLAS, as its wheels bring it."""
    home = Path(np.__file__).parent
    for folder in (home.parent / "numpy.libs", home / ".dylibs"):
        for file in sorted(folder.glob("libscipy_openblas64_*")):
            with suppress(OSError):  # then there is none
                return ctypes.CDLL(str(file))
    return None


def _found() -> dict[str, Any]:
    """OpenBLAS's functions, known to the compiler too."""
    library: Any = _library()
    try:
        found = {name: getattr(library, f"scipy_{full}64_") for name, full in FUNCTIONS.items()}
    except AttributeError:  # no library, or one without such a name
        return {}
    for name, function in found.items():
        # by name and not by address, so that compiled kernels can be kept on disk
        address = ctypes.cast(function, ctypes.c_void_p).value
        llvmlite.binding.add_symbol(f"minigrad_{name}", address)
    return found


functions = _found()
available = bool(functions)


def _external(number: Any, name: str) -> Any:
    sizes, matrix = [types.int64] * 3, [types.uintp, types.int64]
    arguments = [*[types.int32] * 3, *sizes, number, *matrix, *matrix, number, *matrix]
    return types.ExternalFunction(f"minigrad_{name}", types.void(*arguments))


_sgemm = _external(types.float32, "sgemm")
_dgemm = _external(types.float64, "dgemm")
_threads: Any = types.ExternalFunction("minigrad_threads", types.int32())
_set_threads: Any = types.ExternalFunction("minigrad_set_threads", types.void(types.int32))

# How many kernels are between `alone` and `restored`, and the user's number of threads.  Several
# may be, of several Python threads: Numba lets go of Python's lock while it runs in parallel.
# These two hold the lock, so they do not meet.
inside = np.zeros(2, np.int64)


@serial
def alone(inside):
    """From here to `restored`, OpenBLAS leaves a product to the thread that calls it."""
    if inside[0] == 0:
        inside[1] = _threads()
        _set_threads(1)
    inside[0] += 1


@serial
def restored(inside):
    """The last to leave restores what the first has found."""
    inside[0] -= 1
    if inside[0] == 0:
        _set_threads(inside[1])


class _OneThreadEach:
    def __enter__(self) -> None:
        alone(inside)

    def __exit__(self, *exception: object) -> None:
        restored(inside)


_one_thread_each = _OneThreadEach()


def one_thread_each() -> _OneThreadEach:
    """Inside, a product runs on the thread that calls it; the user's own take all of theirs."""
    return _one_thread_each


def product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """c = alpha op(a) op(b) + beta c for matrices at addresses, by rows, `ld` numbers apart."""
    raise NotImplementedError("only in compiled code")


@overload(product)
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
    product(
        *(a_t, b_t, m, n, k, number(1)),
        *(a.ctypes.data, max(1, a.strides[0] // size)),
        *(b.ctypes.data, max(1, b.strides[0] // size)),
        *(number(beta), c.ctypes.data, max(1, c.strides[0] // size)),
    )
