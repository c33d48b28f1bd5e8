"""An array from whatever a user may have: numbers, nested lists, arrays of any backend."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backend, dtypes
from .backend import Array
from .backend.several import placed
from .errors import DTypeError, ShapeError


def new_array(data: Any, dtype: Any, device: str | None, copy: bool = True) -> Array:
    """An array from whatever a user may have, on the device asked for or where the data is."""
    home = backend.find(data)
    place = backend.named(device or backend.home_of(data))
    if dtype is not None:
        dtype = dtypes.checked(dtype)
    if home is not None and home is not place:
        # the user named another device: this is the copy that was asked for
        data = home.to_numpy(data)
    try:
        array = place.asarray(data, dtype, device, copy)
    except ValueError as error:
        ragged = "; every row must have the same length" if "inhomogeneous" in str(error) else ""
        raise ShapeError(
            f"no tensor can be made of this {type(data).__name__}: {error}{ragged}"
        ) from error
    if dtype is None:
        if home is None and array.dtype == np.float64 and not hasattr(_first(data), "dtype"):
            array = _in_default(array)
        dtypes.checked(array.dtype)
    return array


@placed
def _in_default(array: Array) -> Array:
    return array.astype(dtypes.default_dtype())


def _first(data: Any) -> Any:
    """The first number in nested sequences: whose dtype rules, NumPy's or the default."""
    while isinstance(data, Sequence) and not isinstance(data, str | bytes) and len(data):
        data = data[0]
    return data


def sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    """`*size` as given: `f(2, 3)`, `f((2, 3))` and `f([2, 3])` mean the same.

    Raises:
        DTypeError: what is no whole number.
    """
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    try:
        return tuple(map(operator.index, size))
    except TypeError as error:
        raise DTypeError(f"the lengths were given as {size!r}: give whole numbers") from error


def lengths(size: tuple[Any, ...]) -> tuple[int, ...]:
    """`sizes` of a tensor to be made, none of which may be negative.

    Raises:
        ShapeError: one is.
    """
    shape = sizes(size)
    if min(shape, default=0) < 0:
        raise ShapeError(f"shape {shape} has a negative length: give lengths of 0 or more")
    return shape
