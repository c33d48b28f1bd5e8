"""Backends: whose array is this, and the few things that each array library does in its own way.

The arrays choose the backend.  `XP` maps an array's type to its namespace (`numpy`, `cupy`), which
is what every forward gets as `xp`; what the namespaces do not share stands in the protocol below.
Nothing is copied between devices unless the user says `.to(device)`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from ..errors import DeviceError, OutOfMemoryError

Array = Any  # numpy.ndarray, cupy.ndarray, or the array of a backend registered by a user


class Backend(Protocol):
    """What a backend supplies: one file of about ten methods, such as `numpy.py`."""

    name: str  # the device kind that users type: "cpu", "cuda"
    xp: ModuleType  # the array namespace
    array_type: type
    devices: int  # how many there are of its kind

    def asarray(
        self, data: Any, dtype: Any = None, device: str | None = None, copy: bool = False
    ) -> Array:
        """An array from nested lists, NumPy arrays, arrays of its own, or anything with DLPack."""

    def to_numpy(self, array: Array) -> Any:
        """A host array that cannot write into `array`: a read-only view, or a copy."""

    def device_of(self, array: Array) -> str:
        """The device as users type it: "cpu", "cuda:0"."""

    def on(self, where: str | Array) -> AbstractContextManager[object]:
        """Inside, new arrays land on a device, or on that of an array.

        Raises:
            DeviceError: there is no such device here.
        """

    def freeze(self, view: Array) -> Array:
        """Make a view refuse writes, where the library can do that, and return it."""

    def writeable(self, array: Array) -> bool:
        """Whether `array` accepts writes."""

    def add_at(self, array: Array, key: Any, values: Array) -> None:
        """array[key] += values in place, counting an index as often as it occurs."""

    def put(self, array: Array, key: Any, values: Any) -> None:
        """array[key] = values in place; of several values for one place the last stays."""

    def windows(self, x: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
        """A read-only view of all windows of `shape` along `axis`; window axes come last."""

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""

    def shortage(self, error: MemoryError) -> str | None:
        """What to read where the device has no memory left; None if the error is not its own."""


# A type's namespace.  Python's own scalars meet any array, so they have an entry but no namespace
# of their own.
SCALARS = (np.generic, float, int)
XP: dict[type, ModuleType | None] = {float: None, int: None, bool: None}
PLACES: dict[type, str] = {}  # a type's backend by name
_by_type: dict[type, Backend] = {}
_by_name: dict[str, Backend] = {}
# imported when first asked for: `import minigrad` never touches a GPU
_LAZY = {"cuda": "minigrad.backend.cupy"}
_ROOTS = {"cupy": "cuda"}  # the package that an array's type comes from -> its backend
DLPACK_CUDA = 2


def register(backend: Backend) -> None:
    """Make a backend known: from now on its arrays are arrays, and its name is a device."""
    _by_name[backend.name] = backend
    _by_type[backend.array_type] = backend
    PLACES[backend.array_type] = backend.name
    XP[backend.array_type] = backend.xp
    if backend.devices > 1:
        several.note(backend)


def named(device: str) -> Backend:
    """The backend of a device such as "cpu", "cuda" or "cuda:1".

    Raises:
        DeviceError: there is no such device here.
    """
    kind = str(device).partition(":")[0]
    if kind not in _by_name and kind in _LAZY:
        importlib.import_module(_LAZY[kind])
    if kind not in _by_name:
        raise DeviceError(
            f"there is no device {device!r}; known are "
            + ", ".join(map(repr, sorted({*_by_name, *_LAZY})))
        )
    return _by_name[kind]


def is_known(device: str) -> bool:
    """Whether there is a backend for such a device, whether or not it works here."""
    return str(device).partition(":")[0] in {*_by_name, *_LAZY}


def find(array: Any) -> Backend | None:
    """The backend whose array this is, or None when it is no array."""
    found = _by_type.get(type(array))
    if found is None:
        kind = _ROOTS.get(type(array).__module__.partition(".")[0])
        if kind is not None and hasattr(array, "__dlpack__"):
            found = named(kind)
    return found


def of(array: Array) -> Backend:
    """The backend whose array this is.

    Raises:
        DeviceError: no backend knows it.
    """
    found = find(array)
    if found is None:
        raise DeviceError(
            f"{type(array).__name__} is not an array of any backend; make a tensor of it: "
            "mg.tensor(data)"
        )
    return found


def home_of(data: Any) -> str:
    """The backend's name where data is: an array's own, another library's by DLPack, "cpu"."""
    found = find(data)
    if found is not None:
        return found.name
    return "cuda" if dlpack_kind(data) == DLPACK_CUDA else "cpu"


def dlpack_kind(data: Any) -> int | None:
    """The number that DLPack has for the kind of device that another library's array lives on."""
    return int(data.__dlpack_device__()[0]) if hasattr(data, "__dlpack_device__") else None


def as_array(value: Any) -> Array:
    """`value` as it is, or a 0-d array of a number, which arithmetic on 0-d arrays gives."""
    return np.asarray(value) if isinstance(value, SCALARS) else value


@functools.cache
def installed(package: str) -> bool:
    """Whether a package that a kernel needs can be imported."""
    return importlib.util.find_spec(package) is not None


def explain(error: BaseException, what: str) -> None:
    """Raise an OutOfMemoryError for a backend's own error of that kind; return for any other.

    Args:
        error: what was raised.
        what: what was to be done.
    """
    if isinstance(error, MemoryError) and not isinstance(error, OutOfMemoryError):
        for place in _by_name.values():
            if (told := place.shortage(error)) is not None:
                raise OutOfMemoryError(f"{what}: {told}") from error


def check_same(*arrays: Any) -> None:
    """Arrays that meet must live on one device; the error names both and the call that mends it."""
    placed = [(of(a).device_of(a), a.shape) for a in arrays if hasattr(a, "shape")]
    for device, shape in placed[1:]:
        if device != placed[0][0]:
            raise DeviceError(
                f"{placed[0][1]} on {placed[0][0]} cannot meet {shape} on {device}: nothing is "
                "copied between devices "
                f"unasked; move one with .to({placed[0][0]!r})"
            )


from . import numpy as _numpy  # noqa: E402  the reference backend is always there
from . import several  # noqa: E402

register(_numpy.backend)
