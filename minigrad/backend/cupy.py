"""The GPU: CuPy's arrays under the name "cuda".

Importing this module imports CuPy and runs a first kernel, so `backend.named` does it when a device
"cuda" is asked for, or when a CuPy array is met.

CuPy works on one current device: "cuda" means that one, and another number is refused, because the
results of its arrays would land on the current device unasked.
"""

from __future__ import annotations

import math
import os
from types import ModuleType
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import DeviceError
from . import register
from .numpy import backend as host

INSTALL = 'pip install "minigrad[cuda13]" (or "minigrad[cuda12]" for a driver before CUDA 13)'
ON_GPU = 2  # DLPack's number for memory of a CUDA device


class CuPyBackend:
    """CuPy arrays under the name "cuda"."""

    name = "cuda"

    def __init__(self, cupy: ModuleType) -> None:
        self.xp = cupy
        self.array_type: type = cupy.ndarray
        self.process = os.getpid()

    def asarray(
        self, data: Any, dtype: Any = None, device: str | None = None, copy: bool = False
    ) -> Any:
        """An array on the current device; what is on the host is made NumPy's first.

        Raises:
            DeviceError: `device` is another GPU than the current one, or is not there; or this
                process was forked from the one that uses the GPU.
        """
        if os.getpid() != self.process:
            raise DeviceError(
                "this process was forked from one that uses the GPU, which CUDA does not survive: "
                "start it by multiprocessing.get_context('spawn')"
            )
        if device is not None:
            self._check_current(device)
        if not isinstance(data, self.array_type):
            if _dlpack_device(data) == ON_GPU:
                data = self.xp.from_dlpack(data)
            else:
                data = host.asarray(data)
                dtypes.checked(data.dtype)
                copy = False  # the way to the device is one
        return self.xp.array(data, dtype) if copy else self.xp.asarray(data, dtype)

    def to_numpy(self, array: Any) -> Any:
        """A copy: this waits until the device has computed `array`."""
        return array.get()

    def device_of(self, array: Any) -> str:
        """Such as "cuda:0"."""
        return f"cuda:{array.device.id}"

    def freeze(self, view: Any) -> Any:
        """The view itself: CuPy cannot refuse writes."""
        return view

    def writeable(self, array: Any) -> bool:
        """Always: CuPy has no flag for it."""
        return True

    def add_at(self, array: Any, key: Any, values: Any) -> None:
        """`cupy.add.at`, whose order of additions, and so their rounding, varies between runs."""
        values = values.astype(array.dtype)
        if array.dtype == np.int64:  # the same bits as unsigned, which CUDA adds atomically
            self.xp.add.at(array.view(np.uint64), key, values.view(np.uint64))
        elif array.dtype in (np.float32, np.float64, np.int32, np.uint32, np.uint64):
            self.xp.add.at(array, key, values)
        else:  # the smaller ones it does not, or not on every GPU
            wide = np.float32 if array.dtype.kind == "f" else np.int32
            sums = array.astype(wide)
            self.xp.add.at(sums, key, values.astype(wide))
            array[...] = sums.astype(array.dtype)

    def put(self, array: Any, key: Any, values: Any) -> None:
        """array[key] = values in place; of values for one place the last stays.

        CuPy leaves open which one does, so each place is told first which value is its last.
        """
        if not _may_repeat(key) or getattr(values, "ndim", 0) == 0:
            array[key] = values
            return
        xp = self.xp
        shape = array[key].shape
        turns = xp.arange(math.prod(shape), dtype=np.int32).reshape(shape)
        last = xp.full(array.shape, -1, np.int32)
        xp.maximum.at(last, key, turns)
        lead = max(values.ndim - len(shape), 0)  # leading axes of length 1, as NumPy allows
        flat = xp.broadcast_to(values.reshape(values.shape[lead:]), shape).reshape(-1)
        if flat.size:
            flat = flat.astype(array.dtype)
            array[...] = xp.where(last < 0, array, flat[xp.maximum(last, 0)])

    def windows(self, x: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
        """CuPy's strided view; no memory moves."""
        return self.xp.lib.stride_tricks.sliding_window_view(x, shape, axis)

    def synchronize(self) -> None:
        """Wait for the current device."""
        self.xp.cuda.Device().synchronize()

    def _check_current(self, device: str) -> None:
        number, current = device.partition(":")[2], self.xp.cuda.Device().id
        if number in ("", str(current)):
            return
        there = self.xp.cuda.runtime.getDeviceCount()
        if not number.isdecimal() or int(number) >= there:
            names = ", ".join(f"'cuda:{i}'" for i in range(there))
            raise DeviceError(f"there is no device {device!r}; known are {names}")
        raise DeviceError(
            f"{device!r} is not the current device, which is 'cuda:{current}': one program uses "
            f"one GPU; say cupy.cuda.Device({number}).use() before making tensors"
        )


def _may_repeat(key: Any) -> bool:
    """Whether an index holds arrays of integers, which may name a place twice."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [np.asarray(k) if isinstance(k, list) else k for k in parts]
    return any(hasattr(a, "dtype") and a.ndim > 0 and a.dtype.kind in "iu" for a in arrays)


def _dlpack_device(data: Any) -> int | None:
    """The kind of device that an array of another library lives on."""
    return int(data.__dlpack_device__()[0]) if hasattr(data, "__dlpack_device__") else None


def _load() -> ModuleType:
    """CuPy, once it has shown that it can compute.

    Raises:
        DeviceError: says what is missing, and what to type.
    """
    try:
        import cupy  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise DeviceError(f"device 'cuda' needs CuPy, which is not here: {INSTALL}") from None
        raise DeviceError(
            f"CuPy is installed, but does not import: {error}; reinstall it, one of "
            f"cupy-cuda12x and cupy-cuda13x and never both: {INSTALL}"
        ) from error
    _check_device(cupy)
    _check_kernel(cupy)
    return cupy


def _check_device(cupy: ModuleType) -> None:
    """There must be a driver, and a GPU."""
    if cupy.cuda.is_available():
        return
    try:
        why = f"{cupy.cuda.runtime.getDeviceCount()} devices"
    except Exception as error:
        why = str(error)
    raise DeviceError(
        f"CuPy finds no NVIDIA GPU or no driver for it ({why}): see what `nvidia-smi` says, and "
        "update the driver if it shows the GPU; device='cpu' works anywhere"
    )


def _check_kernel(cupy: ModuleType) -> None:
    """CuPy compiles its kernels when they are first used, which needs NVRTC: a driver is not all.

    Any failure of this first one is told as what it most often is.
    """
    try:
        works = float((cupy.arange(1) + 1).sum()) == 1.0
    except Exception as error:
        raise DeviceError(
            f"there is a GPU, but CuPy cannot compile or run a kernel on it: {error}; NVIDIA's "
            f"compiler library NVRTC is probably missing, which comes with {INSTALL}"
        ) from error
    if not works:
        raise DeviceError("there is a GPU, but CuPy computes 0 + 1 wrongly on it: see nvidia-smi")


backend = CuPyBackend(_load())
register(backend)
