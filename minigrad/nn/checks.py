"""What functions check of their arguments before they compute anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend, dtypes
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor


def check_floating(name: str, x: Any) -> None:
    """x must be a floating Tensor.

    Raises:
        DTypeError: it is not.
    """
    if not isinstance(x, Tensor):
        hint = (
            "mg.tensor(x)"
            if backend.find(x) is not None or isinstance(x, list)
            else "a minigrad tensor"
        )
        raise DTypeError(f"{name} got a {type(x).__name__}: give {hint}")
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(
            f"{name} got {x.dtype} of shape {x.shape}: give floating numbers, such as x.float()"
        )


def check_count(what: str, value: Any) -> None:
    """A number of features or channels must be a positive integer.

    Raises:
        ShapeError: it is not.
    """
    if not isinstance(value, int | np.integer) or value < 1:
        raise ShapeError(f"{what} was given as {value!r}: give an integer of at least 1")


def pair(value: Any, name: str, least: int = 1) -> tuple[int, int]:
    """An option for two axes: a number for both, or one for each."""
    both = (
        (value, value)
        if isinstance(value, int | np.integer)
        else tuple(value)
        if isinstance(value, tuple | list)
        else ()
    )
    if len(both) != 2 or not all(isinstance(v, int | np.integer) and v >= least for v in both):
        raise ShapeError(
            f"{name} was given as {value!r}: give an integer of at least {least}, or a pair of "
            "them (height, width)"
        )
    return int(both[0]), int(both[1])


def check_affine(name: str, weight: Tensor, ndim: int, bias: Tensor | None) -> None:
    """A weight of the right rank, and a bias with one value for each of its outputs.

    Raises:
        ShapeError: they are not.
    """
    check_floating(name, weight)
    if weight.ndim != ndim:
        raise ShapeError(f"{name} got a weight of shape {weight.shape}: it must have {ndim} axes")
    if bias is not None:
        check_floating(name, bias)
        if bias.shape != weight.shape[:1]:
            raise ShapeError(
                f"{name} got a bias of shape {bias.shape} for a weight of shape {weight.shape}: "
                f"it must be {weight.shape[:1]}"
            )
