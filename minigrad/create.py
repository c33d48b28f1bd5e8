"""Making tensors, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend
from .arrays import lengths, sizes
from .dtypes import checked, default_dtype
from .errors import ShapeError
from .tensor import Tensor, handle


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of the data: numbers, nested lists, an array, or another tensor.

    Python floats become the default dtype (float32), integers int64; an array keeps its dtype.

    Raises:
        DTypeError: complex or other data, or an integer tensor that is to require grad.
        ShapeError: a ragged list.
    """
    return Tensor(data, dtype, device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of one value, a number; its dtype follows the value, unless it is given.

    Raises:
        ShapeError: a negative length, or more than one value.
    """
    if dtype is None:
        dtype = Tensor(fill_value).dtype
    shape = lengths((size,))
    fill_value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    t = _made("full", (shape, fill_value), shape, checked(dtype), device)
    return t.requires_grad_(requires_grad)


def _made(
    function: str, given: tuple[Any, ...], shape: tuple[int, ...], dtype: Any, device: str | None
) -> Tensor:
    """A Tensor on what a function of the device's array library gives."""
    device = device or "cpu"
    place = backend.named(device)
    try:
        with place.on(device):
            return handle(getattr(place.xp, function)(*given, dtype))
    except MemoryError as error:
        backend.explain(error, f"a tensor of {dtype} {shape} on {device}")
        raise


def zeros(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros: `zeros(2, 3)` or `zeros((2, 3))`."""
    return full(sizes(size), 0, dtype or default_dtype(), device, requires_grad)


def ones(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones: `ones(2, 3)` or `ones((2, 3))`."""
    return full(sizes(size), 1, dtype or default_dtype(), device, requires_grad)


def empty(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Memory that nobody has filled yet."""
    kind = checked(dtype or default_dtype())
    shape = lengths(size)
    return _made("empty", (shape,), shape, kind, device).requires_grad_(requires_grad)


def full_like(t: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value in the shape of t, with its dtype and on its device."""
    t = t if isinstance(t, Tensor) else Tensor(t)
    return full(t.shape, fill_value, dtype or t.dtype, t.device)


def zeros_like(t: Any, dtype: Any = None) -> Tensor:
    """Zeros in the shape of t, with its dtype and on its device."""
    return full_like(t, 0, dtype)


def ones_like(t: Any, dtype: Any = None) -> Tensor:
    """Ones in the shape of t, with its dtype and on its device."""
    return full_like(t, 1, dtype)


def eye(
    n: int,
    m: int | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal of an n × m matrix (m = n if it is not given), zeros elsewhere."""
    return Tensor(np.eye(n, m), dtype or default_dtype(), device, requires_grad)


def arange(
    *bounds: float, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`arange(stop)`, `arange(start, stop)` or `arange(start, stop, step)`.

    int64 from integers, else the default dtype.

    Raises:
        ShapeError: a step of 0.
    """
    if len(bounds) == 3 and bounds[2] == 0:
        raise ShapeError(f"arange{bounds}: the step is 0, which leads nowhere: give another")
    values = np.arange(*bounds)
    if dtype is None:
        dtype = default_dtype() if values.dtype.kind == "f" else np.int64
    return Tensor(values, dtype, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from start to end, both included."""
    return Tensor(np.linspace(start, end, steps), dtype or default_dtype(), device, requires_grad)
