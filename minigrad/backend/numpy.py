"""The reference backend: NumPy, on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import DeviceError


class NumPyBackend:
    """NumPy arrays under the name "cpu"."""

    name = "cpu"
    xp: ModuleType = np
    array_type: type = np.ndarray
    devices = 1
    _everywhere = nullcontext()

    def asarray(
        self, data: Any, dtype: Any = None, device: str | None = None, copy: bool = False
    ) -> Any:
        """An `ndarray` (never a subclass) in native byte order."""
        if type(data).__module__.partition(".")[0] == "cupy":
            raise DeviceError(
                "a CuPy array was given for device 'cpu': say .cpu(), so that the copy to the "
                "host is seen"
            )
        array = np.array(data, dtype, copy=True) if copy else np.asarray(data, dtype)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def to_numpy(self, array: Any) -> Any:
        """The array itself as a read-only view."""
        return self.freeze(array.view())

    def device_of(self, array: Any) -> str:
        """Always "cpu"."""
        return "cpu"

    def on(self, where: Any) -> AbstractContextManager[object]:
        """There is only one."""
        return self._everywhere

    def freeze(self, view: Any) -> Any:
        """NumPy's own flag."""
        view.flags.writeable = False
        return view

    def writeable(self, array: Any) -> bool:
        """NumPy's own flag."""
        return bool(array.flags.writeable)

    def add_at(self, array: Any, key: Any, values: Any) -> None:
        """`np.add.at`, which counts duplicates (`array[key] += values` does not)."""
        np.add.at(array, key, values)

    def put(self, array: Any, key: Any, values: Any) -> None:
        """NumPy's own assignment: it writes in the order of the values' memory, so that is C's."""
        array[key] = np.asarray(values, order="C") if getattr(values, "ndim", 0) > 1 else values

    def windows(self, x: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
        """NumPy's strided view; no memory moves."""
        return np.lib.stride_tricks.sliding_window_view(x, shape, axis)

    def synchronize(self) -> None:
        """NumPy has finished when it returns."""

    def shortage(self, error: MemoryError) -> str | None:
        """NumPy's own error says it well."""
        return None


backend = NumPyBackend()
