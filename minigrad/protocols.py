"""Python's and NumPy's protocols: what `len`, `float`, `for`, `np.asarray`, `array * t` do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .errors import GraphError
from .synonyms import advice


class Protocols:
    """The part of Tensor that answers to Python and NumPy."""

    __slots__ = ()

    def __getattr__(self: Any, name: str) -> Any:
        """Asked for what is not there: says what it is called here."""
        raise AttributeError(f"a Tensor has no {name!r}{advice(name)}", name=name, obj=self)

    def __len__(self: Any) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor: it has no axes; .size is 1")
        return int(self.shape[0])

    def __iter__(self: Any) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor cannot be iterated over: use .item()")
        return (self[i] for i in range(len(self)))

    def __contains__(self: Any, value: Any) -> bool:
        return bool((self.array == getattr(value, "array", value)).any())

    def __bool__(self: Any) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous: say .any() or .all()"
            )
        return bool(self.array.item())

    def __float__(self: Any) -> float:
        return float(self.item())

    def __int__(self: Any) -> int:
        return int(self.item())

    def __index__(self: Any) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor can be an index, not {self.dtype}")
        return int(self.item())

    def __round__(self: Any, ndigits: int | None = None) -> Any:
        return round(self.item(), ndigits)

    def __format__(self: Any, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: a table."""
        from .html import tensor_html

        return tensor_html(self)

    # ---- NumPy's

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if not isinstance(self.array, np.ndarray):
            raise TypeError(
                f"this tensor is on {self.device}; NumPy needs a copy on the host: say .cpu() or "
                ".numpy() first"
            )
        view: np.ndarray[Any, Any] = self.numpy()
        if dtype is not None and np.dtype(dtype) != view.dtype:
            if copy is False:
                raise ValueError(f"{view.dtype} as {np.dtype(dtype)} needs a copy: leave copy out")
            return view.astype(dtype)
        return view.copy() if copy else view

    def __dlpack__(self: Any, **options: Any) -> Any:
        """The same memory for another library: `torch.from_dlpack(t)`, without a copy."""
        if self.requires_grad:
            raise GraphError(
                "another library's array would drop this tensor's gradient: say .detach() first"
            )
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        """Where the memory is, in DLPack's numbers."""
        kind, number = self.array.__dlpack_device__()
        return int(kind), int(number)

    def __array_function__(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(_refusal(self, function.__name__))

    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`array * tensor` is recorded; other NumPy functions would drop the gradient."""
        reflected = _REFLECTED.get(ufunc.__name__)
        if (
            method != "__call__"
            or kwargs
            or reflected is None
            or len(inputs) != 2
            or inputs[1] is not self
        ):
            raise TypeError(_refusal(self, ufunc.__name__))
        return getattr(self, reflected)(inputs[0])


_REFLECTED = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "divide": "__rtruediv__",
    "power": "__rpow__",
    "matmul": "__rmatmul__",
    "equal": "__eq__",
    "not_equal": "__ne__",
    "less": "__gt__",
    "less_equal": "__ge__",
    "greater": "__lt__",
    "greater_equal": "__le__",
}


def _refusal(t: Any, name: str) -> str:
    """What to write instead of NumPy's function of this name."""
    here = f": use x.{name}(...)" if hasattr(type(t), name) else advice(name)
    bare = f"np.{name} of x.numpy() gives the bare values"
    return f"np.{name} got a minigrad tensor and would drop its gradient{here}; {bare}"
