"""Python's operators on Tensors, and the methods that are ops under another name."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend, dtypes
from ..errors import DeviceError, DTypeError
from ..op import cast, op
from ..samples import anything
from ..tensor import Tensor, handle
from . import compare as c
from . import elementwise as e
from . import piecewise
from .index import bare_key, getitem
from .linear import matmul
from .repeat import flip
from .shape import permute, transpose


def _comparison(compared: Any) -> Any:
    def compare(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented  # then `t == None` is False, as for any object
        return compared(self, other)

    return compare


def _bool_only(sign: str, *operands: Any) -> None:
    for t in operands:
        if isinstance(t, Tensor) and t.dtype != dtypes.bool_:
            raise DTypeError(f"{sign} is for bool tensors, not {t.dtype}: say mg.logical_and, ...")


def _and(self: Tensor, other: Any) -> Tensor:
    _bool_only("&", self, other)
    return c.logical_and(self, other)


def _or(self: Tensor, other: Any) -> Tensor:
    _bool_only("|", self, other)
    return c.logical_or(self, other)


def _not(self: Tensor) -> Tensor:
    _bool_only("~", self)
    return c.logical_not(self)


_OPERATORS: dict[str, Any] = {
    "__add__": e.add,
    "__radd__": e.add,
    "__sub__": e.sub,
    "__rsub__": lambda self, other: e.sub(other, self),
    "__mul__": e.mul,
    "__rmul__": e.mul,
    "__truediv__": e.div,
    "__rtruediv__": lambda self, other: e.div(other, self),
    "__pow__": e.pow,
    "__rpow__": lambda self, other: e.pow(other, self),
    "__matmul__": matmul,
    "__rmatmul__": lambda self, other: matmul(other, self),
    "__neg__": e.neg,
    "__pos__": lambda self: self,
    "__abs__": piecewise.abs,
    "__invert__": _not,
    "__and__": _and,
    "__rand__": _and,
    "__or__": _or,
    "__ror__": _or,
    "__eq__": _comparison(c.eq),
    "__ne__": _comparison(c.ne),
    "__lt__": _comparison(c.lt),
    "__le__": _comparison(c.le),
    "__gt__": _comparison(c.gt),
    "__ge__": _comparison(c.ge),
    "__getitem__": lambda self, key: getitem(self, key=bare_key(key)),
}


def destination(where: tuple[Any, ...], dtype: Any, device: str | None) -> tuple[Any, str | None]:
    """The dtype and the device that `.to(...)` names, each None where it stays.

    Raises:
        DeviceError: a string that is neither a dtype nor a device here.
        DTypeError: a dtype that no tensor can have.
    """
    for each in where:
        if isinstance(each, str) and each not in np.sctypeDict:
            device, before = each, device
        else:
            dtype, before = each, dtype
        if before is not None:
            raise DTypeError(f"to() got {before!r} and {each!r}: give one dtype and one device")
    if device is not None:
        try:
            backend.named(device)
        except DeviceError as error:
            if backend.is_known(device):
                raise
            raise DeviceError(f"{error} (nor is {device!r} a dtype, such as mg.float64)") from None
    return (None if dtype is None else dtypes.checked(dtype)), device


def _to(self: Tensor, *where: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """The tensor in a dtype, on a device, or both: `t.to(mg.float64)`, `t.to("cuda")`.

    Itself where nothing changes.  Changing a floating dtype, or the device, is differentiable.
    """
    dtype, device = destination(where, dtype, device)
    result = self
    if dtype is not None and dtype != self.dtype:
        both = dtypes.is_floating(dtype) and dtypes.is_floating(self.dtype)
        result = cast(self, dtype=dtype) if both else handle(cast(self.array, dtype=dtype))
    if device is not None and not _is_at(result, device):
        result = move(result, device=device, home=self.device)
    return result


@op(
    lambda g, device, home: move(g, device=home, home=device),
    method=False,
)
def move(xp, x, *, device, home):
    """A copy of x, which is at home, on another device.        d move x = dx

    >>> mg.tensor([1.0]).to("cpu").device
    'cpu'
    """
    return Tensor(x, device=device).array


def _is_at(t: Tensor, device: str) -> bool:
    return t.device == device or (":" not in device and t.device.partition(":")[0] == device)


def _flip(self: Tensor, *axis: Any, **named: Any) -> Tensor:
    """x in reverse order along axis (none given: all): `x.flip(0, 1)` as in PyTorch."""
    several = axis[0] if len(axis) == 1 else axis or None
    result: Tensor = flip(self, several, **named)
    return result


_METHODS: dict[str, Any] = {
    "T": property(
        lambda self: permute(self, tuple(range(self.ndim))[::-1]),
        doc="The tensor with its axes in reverse order.",
    ),
    "mT": property(
        lambda self: transpose(self, -1, -2), doc="The tensor with its last two axes swapped."
    ),
    "to": _to,
    "flip": _flip,
    "where": lambda self, condition, other: piecewise.where(condition, self, other),
    "float": lambda self: _to(self, dtypes.float32),
    "double": lambda self: _to(self, dtypes.float64),
    "half": lambda self: _to(self, dtypes.float16),
    "cpu": lambda self: _to(self, "cpu"),
    "cuda": lambda self: _to(self, "cuda"),
}

for _name, _function in {**_OPERATORS, **_METHODS}.items():
    setattr(Tensor, _name, _function)


# ---- samples -------------------------------------------------------------------------------------


@move.samples
def _move_samples(draw):
    return (anything(draw, draw.shape()),), {"device": "cpu", "home": "cpu"}
