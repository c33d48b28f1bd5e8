"""Python's operators on Tensors, and the methods that are ops under another name."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend, dtypes
from ..op import cast
from ..tensor import Tensor, handle
from . import elementwise as e
from .index import getitem, plain_key
from .linear import matmul
from .shape import permute, transpose


def _comparison(op: Any) -> Any:
    def compare(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented  # then `t == None` is False, as for any object
        return op(self, other)

    return compare


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
    "__abs__": e.abs,
    "__invert__": e.logical_not,
    "__and__": e.logical_and,
    "__rand__": e.logical_and,
    "__or__": e.logical_or,
    "__ror__": e.logical_or,
    "__eq__": _comparison(e.eq),
    "__ne__": _comparison(e.ne),
    "__lt__": _comparison(e.lt),
    "__le__": _comparison(e.le),
    "__gt__": _comparison(e.gt),
    "__ge__": _comparison(e.ge),
    "__getitem__": lambda self, key: getitem(self, key=plain_key(key)),
}


def _to(self: Tensor, *where: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """The tensor on a device ("cpu", "cuda") or in a dtype, or both: `t.to("cuda")`,
    `t.to(mg.float64)`.

    Itself where nothing changes.  Changing a floating dtype is differentiable.
    """
    for each in where:
        if isinstance(each, str) and each.partition(":")[0] in ("cpu", "cuda"):
            device = each
        else:
            dtype = each
    result = self
    if dtype is not None and dtypes.checked(dtype) != self.dtype:
        floating = dtypes.is_floating(np.dtype(dtype)) and dtypes.is_floating(self.dtype)
        result = cast(self, dtype=np.dtype(dtype)) if floating else handle(self.array.astype(dtype))
    if device is not None and backend.named(device) is not backend.of(self.array):
        result = _moved(result, device)
    return result


def _moved(t: Tensor, device: str) -> Tensor:
    return Tensor(t.detach(), device=device)


_METHODS: dict[str, Any] = {
    "T": property(
        lambda self: permute(self, tuple(range(self.ndim))[::-1]),
        doc="The tensor with its axes in reverse order.",
    ),
    "mT": property(
        lambda self: transpose(self, -1, -2), doc="The tensor with its last two axes swapped."
    ),
    "to": _to,
    "float": lambda self: _to(self, dtypes.float32),
    "double": lambda self: _to(self, dtypes.float64),
    "half": lambda self: _to(self, dtypes.float16),
    "cpu": lambda self: _to(self, "cpu"),
    "cuda": lambda self: _to(self, "cuda"),
}

for _name, _function in {**_OPERATORS, **_METHODS}.items():
    setattr(Tensor, _name, _function)
