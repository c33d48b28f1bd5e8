"""The GPU: whether there is one, when it is done, and how exactly it multiplies matrices.

Importing this imports no CuPy; its functions do, and raise DeviceError where there is no GPU.
"""

from __future__ import annotations

from types import ModuleType

from . import backend
from .errors import DeviceError

TF32_MATH = 3  # CUBLAS_TF32_TENSOR_OP_MATH of NVIDIA's cublas_api.h, for which CuPy has no name


def is_available() -> bool:
    """Whether tensors can be made on a GPU here; `mg.zeros(1, device="cuda")` says why not."""
    try:
        backend.named("cuda")
    except DeviceError:
        return False
    return True


def device_count() -> int:
    """How many GPUs there are, "cuda:0" the first of them; 0 without CuPy or a driver."""
    return backend.named("cuda").devices if is_available() else 0


def synchronize() -> None:
    """Wait until every GPU has done what it was given, as before looking at a clock.

    Raises:
        DeviceError: there is no GPU, or no CuPy.
    """
    backend.named("cuda").synchronize()


class tf32:
    """Whether products of float32 matrices, and convolutions, may round their factors to TF32.

    TF32 keeps 10 of the 23 bits of a fraction, so that a factor may be off by 2⁻¹¹ of itself; sums
    stay float32.  GPUs from compute capability 8.0 on multiply it several times as fast.  The
    default is exact.  It holds at once, or as a context manager only inside:

        mg.cuda.tf32(True)

        with mg.cuda.tf32(True):
            loss = model(x)

    Say it in the thread that computes, while its device is the current one: CuPy keeps a part of
    this by thread and device.  The environment variable `CUPY_TF32=1` sets CuPy's own default.

    Args:
        on: whether they may.

    Raises:
        DeviceError: there is no GPU, or no CuPy.
    """

    def __init__(self, on: bool) -> None:
        self._before = _state()
        linalg = _cupy()._core._routines_linalg
        wanted = linalg.COMPUTE_TYPE_TF32 if on else linalg.COMPUTE_TYPE_DEFAULT
        _set(wanted, TF32_MATH if on else _cupy().cuda.cublas.CUBLAS_DEFAULT_MATH)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _set(*self._before)


def _cupy() -> ModuleType:
    return backend.named("cuda").xp


def _state() -> tuple[int, int]:
    """What CuPy tells cuBLAS about plain products, and cuBLAS's own mode, which it goes by else."""
    cupy = _cupy()
    mode: int = cupy.cuda.cublas.getMathMode(cupy.cuda.get_cublas_handle())
    return cupy._core.get_compute_type("float32"), mode


def _set(compute_type: int, mode: int) -> None:
    cupy = _cupy()
    cupy._core.set_compute_type("float32", compute_type)
    cupy.cuda.cublas.setMathMode(cupy.cuda.get_cublas_handle(), mode)
