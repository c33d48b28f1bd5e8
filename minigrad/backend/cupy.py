"""The GPU: CuPy's arrays under the name "cuda", and "cuda:0", "cuda:1", … where there are several.

Importing this module imports CuPy and runs a first kernel, so `backend.named` does it when a device
"cuda" is asked for, or when a CuPy array is met.

CuPy makes results on its current device, wherever its arrays are.  "cuda" without a number means
that one; what is done with an array is done on the array's own (see several.py).
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import DeviceError
from ..kernels.cuda.adding import add_in_order
from ..modes import kernels_on
from . import DLPACK_CUDA, dlpack_kind, explain, register
from .numpy import backend as host

INSTALL = 'pip install "minigrad[cuda13]" (or "minigrad[cuda12]" for a driver before CUDA 13)'
_HERE = nullcontext()


class CuPyBackend:
    """CuPy arrays under the name "cuda"."""

    name = "cuda"

    def __init__(self, cupy: ModuleType) -> None:
        self.xp = cupy
        self.array_type: type = cupy.ndarray
        self.devices: int = cupy.cuda.runtime.getDeviceCount()
        self.process = os.getpid()

    def asarray(
        self, data: Any, dtype: Any = None, device: str | None = None, copy: bool = False
    ) -> Any:
        """An array on a device; what is on the host is made NumPy's first.

        Without a device, or with one without a number, what is on a GPU stays on that one, and the
        rest goes to the current one.

        Raises:
            DeviceError: see `on`.
        """
        if not isinstance(data, self.array_type) and dlpack_kind(data) == DLPACK_CUDA:
            data = self.xp.from_dlpack(data)  # the same memory
        if isinstance(data, self.array_type):
            return self._from_gpu(data, dtype, device, copy)
        data = host.asarray(data)
        dtypes.checked(data.dtype)
        try:
            with self.on(device):
                return self.xp.asarray(data, dtype)
        except MemoryError as error:
            explain(error, f"a tensor of {data.dtype} {data.shape} on {device or 'cuda'}")
            raise

    def _from_gpu(self, array: Any, dtype: Any, device: str | None, copy: bool) -> Any:
        number = self._number(device)
        if number is not None and number != array.device.id:
            with self.xp.cuda.Device(number):
                array = array.copy()  # from one GPU to the other, as CuPy documents it
                return array if dtype is None else array.astype(dtype, copy=False)
        with self.on(array):
            return self.xp.array(array, dtype) if copy else self.xp.asarray(array, dtype)

    def to_numpy(self, array: Any) -> Any:
        """A copy: this waits until the device has computed `array`."""
        return array.get()

    def device_of(self, array: Any) -> str:
        """Such as "cuda:0"."""
        return f"cuda:{array.device.id}"

    def on(self, where: Any) -> AbstractContextManager[object]:
        """See `Backend`; a device without a number is the current one.

        Raises:
            DeviceError: there is no such device; or this process was forked from the one that uses
                the GPU.
        """
        if os.getpid() != self.process:
            raise DeviceError(
                "this process was forked from one that uses the GPU, which CUDA does not survive: "
                "start it by multiprocessing.get_context('spawn')"
            )
        known = isinstance(where, self.array_type)
        number = where.device.id if known else self._number(where)
        if number is None or number == self.xp.cuda.runtime.getDevice():
            return _HERE
        there: AbstractContextManager[object] = self.xp.cuda.Device(number)
        return there

    def _number(self, device: str | None) -> int | None:
        """1 of "cuda:1", None of "cuda"."""
        number = (device or "").partition(":")[2]
        if number == "" and not (device or "").endswith(":"):
            return None
        if not number.isdecimal() or int(number) >= self.devices:
            names = ", ".join(f"'cuda:{i}'" for i in range(self.devices))
            raise DeviceError(f"there is no device {device!r}; known are {names}")
        return int(number)

    def freeze(self, view: Any) -> Any:
        """The view itself: CuPy cannot refuse writes."""
        return view

    def writeable(self, array: Any) -> bool:
        """Always: CuPy has no flag for it."""
        return True

    def add_at(self, array: Any, key: Any, values: Any) -> None:
        """array[key] += values in place, floats in an order of their own: the same bits each time.

        Without kernels, and where there are 2³¹ numbers or more, `cupy.add.at` adds floats in an
        order, and so with a rounding, that vary between runs.
        """
        with self.on(array):
            self._add_at(array, key, values)

    def _add_at(self, array: Any, key: Any, values: Any) -> None:
        values = values.astype(array.dtype)
        if kernels_on.get() and add_in_order(self.xp, array, key, values):
            return
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
            with self.on(array):
                array[key] = values
        else:
            with self.on(array):
                self._put_in_order(array, key, values)

    def _put_in_order(self, array: Any, key: Any, values: Any) -> None:
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
        """Wait for every device."""
        for number in range(self.devices):
            self.xp.cuda.Device(number).synchronize()

    def shortage(self, error: MemoryError) -> str | None:
        """What was asked for, what is free, and how to get more."""
        if not isinstance(error, self.xp.cuda.memory.OutOfMemoryError):
            return None
        free, total = self.xp.cuda.runtime.memGetInfo()
        number = self.xp.cuda.runtime.getDevice()
        return (
            f"no memory left on cuda:{number}: {error} The GPU has {free:,} bytes of {total:,} "
            "free. Smaller batches need less, and so do mg.func.checkpoint and graphs that go: "
            "keep loss.item(), not loss; mg.memory('cuda').empty_cache() gives back what CuPy "
            "keeps for later arrays"
        )


def _may_repeat(key: Any) -> bool:
    """Whether an index holds arrays of integers, which may name a place twice."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [np.asarray(k) if isinstance(k, list) else k for k in parts]
    return any(hasattr(a, "dtype") and a.ndim > 0 and a.dtype.kind in "iu" for a in arrays)


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
