"""What functions check of their arguments before they compute anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import backend
from ..dtypes import WHOLE, is_number, is_whole
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")  # what becomes of the losses of a batch


def check_floating(name: str, x: Any) -> None:
    """x must be a floating Tensor.

    Raises:
        DTypeError: it is not.
    """
    if isinstance(x, Tensor) and x.dtype.kind == "f":
        return
    if not isinstance(x, Tensor):
        hint = (
            "mg.tensor(x)"
            if backend.find(x) is not None or isinstance(x, list)
            else "a minigrad tensor"
        )
        raise DTypeError(f"{name} got a {type(x).__name__}: give {hint}")
    raise DTypeError(
        f"{name} got {x.dtype} of shape {x.shape}: give floating numbers, such as x.float()"
    )


def check_count(what: str, value: Any) -> None:
    """A number of features or channels must be a positive integer.

    Raises:
        ShapeError: it is not.
    """
    if not is_whole(value) or value < 1:
        raise ShapeError(f"{what} was given as {value!r}: give an integer of at least 1")


def per_axis(value: Any, name: str, axes: int, least: int = 1) -> tuple[int, ...]:
    """An option for each axis: one number for all, or a number each.

    Raises:
        ShapeError: anything else, or a number below `least`.
    """
    each = (value,) * axes if isinstance(value, WHOLE) else value
    if (
        not isinstance(each, tuple | list)
        or len(each) != axes
        or not all(is_whole(n) and n >= least for n in each)
    ):
        pairs = ", or a pair of them (height, width)" if axes == 2 else ""
        raise ShapeError(
            f"{name} was given as {value!r}: give an integer of at least {least}{pairs}"
        )
    return tuple(int(n) for n in each)


def number(name: str, value: Any) -> float:
    """An option as Python's number: NumPy's would widen float32.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN.
    """
    if not is_number(value):
        raise TypeError(f"{name} was given as {value!r}: give a number")
    if math.isnan(value):
        raise ValueError(f"{name} was given as NaN: give a number")
    return float(value)


def check_flag(name: str, value: Any) -> None:
    """An option must be True or False.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} was given as {value!r}: give True or False")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """An option must be one of a few words.

    Raises:
        ValueError: it is another.
    """
    if value not in choices:
        *most, last = (f'"{word}"' for word in choices)
        raise ValueError(f"{name} was given as {value!r}: give {', '.join(most)} or {last}")


def check_affine(name: str, weight: Tensor, ndim: int, bias: Tensor | None) -> None:
    """A weight of the right rank, and a bias with one value for each row of it.

    Raises:
        ShapeError: they are not.
    """
    check_floating(name, weight)
    shape = weight.shape
    if len(shape) != ndim:
        raise ShapeError(f"{name} got a weight of shape {weight.shape}: it must have {ndim} axes")
    if bias is not None:
        check_bias(name, bias, shape[0], f"a weight of shape {shape}")


def check_bias(name: str, bias: Tensor | None, outputs: int, beside: str) -> None:
    """A bias, if there is one, has one value for each output; `beside` says what sets their number.

    Raises:
        ShapeError: it has not.
    """
    if bias is None:
        return
    check_floating(name, bias)
    if bias.shape != (outputs,):
        raise ShapeError(
            f"{name} got a bias of shape {bias.shape} for {beside}: it must be {(outputs,)}"
        )
