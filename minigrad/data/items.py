"""Rows of anything that has a length and an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..arrays import new_array
from ..errors import DTypeError, ShapeError
from ..ops.join import stack
from ..tensor import Tensor, handle

Rows = np.ndarray[Any, Any]


def common_length(name: str, arrays: Sequence[Any]) -> int:
    """The number of rows that all arrays have.

    Raises:
        TypeError: no arrays, or something without a length or an index.
        ShapeError: they differ.
    """
    if not arrays:
        raise TypeError(f"{name} got no arrays: give at least one")
    lengths = [_length(name, i, array) for i, array in enumerate(arrays)]
    if len(set(lengths)) > 1:
        raise ShapeError(f"{name} got arrays of lengths {lengths}: each must have as many rows")
    return lengths[0]


def _length(name: str, i: int, array: Any) -> int:
    kind = type(array).__name__
    if isinstance(array, str | bytes | Mapping) or not hasattr(array, "__getitem__"):
        hint = {"generator": "make a list of it", "dict": "give its values one by one"}.get(kind)
        raise TypeError(
            f"{name} got a {kind} as array {i}: {hint or 'give something with rows to index'}"
        )
    try:
        return len(array)
    except TypeError as error:
        raise TypeError(f"{name} got array {i} without rows, a {kind}: {error}") from None


def taker(array: Any) -> Callable[[Rows], Any]:
    """A function that takes rows by their numbers: an array of the same library, or a list."""
    if isinstance(array, Tensor | np.ndarray):
        return lambda rows: array[rows]
    if backend.find(array) is not None:
        return lambda rows: handle(array)[rows].array
    if hasattr(array, "iloc"):  # pandas, where array[rows] looks for columns or labels
        return lambda rows: array.iloc[rows]
    if hasattr(array, "dtype") and hasattr(array, "shape"):
        return lambda rows: _in_order(array, rows)
    return lambda rows: [array[int(row)] for row in rows]


def _in_order(array: Any, rows: Rows) -> Any:
    """The rows of an array in a file: HDF5 takes increasing numbers only."""
    order = np.argsort(rows)
    return array[rows[order]][np.argsort(order)]


def with_one_dtype(array: Any) -> Any:
    """A list of numbers as an array, so that all its batches have one dtype; others as they are."""
    numbers = isinstance(array, list | tuple) and all(isinstance(n, int | float) for n in array)
    return new_array(array, None, None) if numbers else array


def as_batch(rows: Any) -> Any:
    """Rows as a Tensor; as they are, an array or a list, where no Tensor can hold them.

    Rows that are tuples, as a data set of pairs gives them, become a tuple of batches.
    """
    if isinstance(rows, Tensor):
        return rows
    if isinstance(rows, list) and rows and all(isinstance(row, tuple) for row in rows):
        return tuple([as_batch(list(column)) for column in zip(*rows, strict=True)])
    if not isinstance(rows, list) and backend.find(rows) is None:
        rows = np.asarray(rows)
    try:
        if isinstance(rows, list) and all(isinstance(row, Tensor) for row in rows):
            return stack(rows)
        return handle(new_array(rows, None, None, copy=False))
    except (DTypeError, ShapeError):  # text, say, or rows of different shapes
        return rows
