"""Several GPUs: what works on arrays runs while the one that holds them is the current one.

CuPy makes results on the current device, wherever its arrays are.  Ops are written so where there
are several (codegen.py); what works on arrays outside of ops is marked `placed`.  Where there are
not, nothing of this is there: generated text has no trace of it, and `placed` functions are
themselves.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from . import Backend, check_same

F = TypeVar("F", bound=Callable[..., Any])
_HERE = nullcontext()
_divided: dict[type, Backend] = {}  # a type of arrays that may be on several devices -> its backend
_waiting: list[Callable[[], None]] = []


def are_there() -> bool:
    """Whether arrays of one backend may be on several devices."""
    return bool(_divided)


def note(backend: Backend) -> None:
    """Tell everybody of a backend with several devices."""
    _divided[backend.array_type] = backend
    _tell()


def forget(array_type: type) -> None:
    """Everything as if there had never been such arrays."""
    if _divided.pop(array_type, None) is not None:
        _tell()


def _tell() -> None:
    for change in _waiting:
        change()


def when_changed(change: Callable[[], None]) -> None:
    """Call a function whenever `are_there()` changes."""
    _waiting.append(change)


def at(*values: Any) -> AbstractContextManager[object]:
    """Inside, results land on the device of the arrays among these values, in sequences too.

    Raises:
        DeviceError: they are on several.
    """
    arrays = list(_arrays(values))
    if not arrays:
        return _HERE
    place = _divided[type(arrays[0])]
    home = place.device_of(arrays[0])
    for other in arrays[1:]:
        if type(other) is not type(arrays[0]) or place.device_of(other) != home:
            check_same(*arrays)
    return place.on(arrays[0])


def _arrays(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        array = getattr(value, "array", value)  # of a Tensor
        if type(array) in _divided:
            yield array
        elif isinstance(value, tuple | list):
            yield from _arrays(value)


def placed(function: F) -> F:
    """Mark a function or method that works on arrays outside of ops: it runs where they are.

    It must be called by its name in its module, or as a method: elsewhere the unmarked one stays.
    """
    path, _, name = function.__qualname__.rpartition(".")

    def owner() -> Any:
        found: Any = sys.modules[function.__module__]
        for part in filter(None, path.split(".")):
            found = getattr(found, part)
        return found

    elsewhere = _elsewhere(function)
    when_changed(lambda: setattr(owner(), name, elsewhere if are_there() else function))
    return elsewhere if are_there() else function


def attach(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Make a function an attribute, and `placed`."""
    elsewhere = _elsewhere(function)

    def change() -> None:
        setattr(owner, name, elsewhere if are_there() else function)

    when_changed(change)
    change()


def where_they_are(function: F) -> F:
    """A function for use now, with the same care: itself where there is one device."""
    return _elsewhere(function) if are_there() else function


def _elsewhere(function: F) -> F:
    """A function run on the device of the arrays that it is given."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        with at(*arguments, *options.values()):
            return function(*arguments, **options)

    return run  # type: ignore[return-value]
