"""Whether gradients and states fit the parameters that they are to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from .. import backend
from ..backend import Array
from ..errors import DeviceError, DTypeError, ShapeError
from ..tensor import Tensor


def check_fit(name: str, p: Tensor, grad: Tensor, state: Mapping[str, Any] | None) -> None:
    """A gradient, and what the state keeps, must be of their parameter's kind.

    Args:
        name: of the optimiser.
        p, grad: the parameter and its gradient.
        state: the parameter's own, by name.

    Raises:
        ShapeError: one is of another shape.
        DTypeError: of another dtype.
        DeviceError: on another kind of device.
    """
    array: Array = p.array
    if not _alike(array, grad):
        _refuse(name, array, grad, "a gradient")
    for kept in state.values() if state else ():
        if isinstance(kept, Tensor) and not _alike(array, kept):
            _refuse(name, array, kept, "a state")


def check_device(name: str, p: Tensor, state: Mapping[str, Any]) -> None:
    """Where there are several GPUs, all that is a parameter's must be on its own.

    Raises:
        DeviceError: its gradient or state is on another.
    """
    kept = [("a state", each) for each in state.values()]
    for what, each in [("a gradient", p.grad), *kept]:
        if isinstance(each, Tensor) and each.device != p.device:
            _refuse(name, p.array, each, what)


def _alike(array: Array, t: Tensor) -> bool:
    """Whether a tensor is of an array's shape, dtype and kind."""
    other = t.array
    if type(other) is not type(array) or other.shape != array.shape:
        return False
    return other.dtype is array.dtype or bool(other.dtype == array.dtype)


def _refuse(name: str, array: Array, given: Any, what: str) -> NoReturn:
    mend = "set it to one that fits, or call zero_grad() and backward() anew"
    if what == "a state":
        mend = f"{name}.load_state_dict({name}.state_dict()) moves it there"
    other, here = given.array, backend.of(array).device_of(array)
    if other.shape != array.shape:
        raise ShapeError(
            f"{name}.step: {what} of shape {other.shape} for a parameter of shape {array.shape}: "
            f"{mend}"
        )
    if given.device != here:
        raise DeviceError(
            f"{name}.step: {what} on {given.device} for a parameter on {here}: {mend}"
        )
    raise DTypeError(
        f"{name}.step: {what} of {other.dtype} for a parameter of {array.dtype}: {mend}"
    )
