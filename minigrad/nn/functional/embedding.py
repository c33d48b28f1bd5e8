"""Looking up rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import backend
from ...create import ones_like, zeros_like
from ...dtypes import is_whole
from ...errors import DTypeError, GraphError, OutOfRangeError, ShapeError
from ...modes import is_grad_enabled, no_grad, recomputing
from ...ops.gather import take
from ...ops.norm import norm
from ...ops.piecewise import where
from ...tensor import Tensor
from ..checks import check_floating

NEAR_ZERO = 1e-7  # added to a norm that divides, as in PyTorch


def embedding(
    x: Any,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table: y[i] = weight[x[i]] for x of any shape.

    Args:
        x: integers from 0 to V - 1, of any shape: a tensor, an array or nested lists.
        weight: (V, D).
        padding_idx: the row that gets no gradient; it may count from the end.
        max_norm: rows that are looked up and longer than this are first scaled down to it, in
            place and outside the graph.
        norm_type: the p of the norm that max_norm limits.
        scale_grad_by_freq: divide a row's gradient by how often the row was looked up; the
            gradient cannot be differentiated then.
        sparse: refused; gradients are dense.

    Returns:
        (…, D) for x (…).

    Raises:
        OutOfRangeError: an index that is not there; on a GPU, whose values are not looked at, it
            wraps silently.
        DTypeError: x holds no integers.
        ShapeError: weight is not a matrix.
        ValueError: sparse=True.
    """
    check_floating("embedding", weight)
    if weight.ndim != 2:
        raise ShapeError(f"embedding got a weight of shape {weight.shape}: it must be (V, D)")
    check_dense(sparse)
    row = padding_row(padding_idx, weight.shape[0])
    index = _index(x, weight)
    if max_norm is not None and not recomputing.get():
        _shorten(weight, index, max_norm, norm_type)
    y: Tensor = take(weight, index, axis=0)
    if scale_grad_by_freq:
        y = _rescaled(y, _shares(weight, index))
    if row is not None:
        y = where((index == row).unsqueeze(-1), y.detach(), y)
    return y


def _rescaled(y: Tensor, shares: Tensor) -> Tensor:
    """y, whose gradient is multiplied by shares on its way back: it is no derivative then."""

    def rescale(g: Tensor) -> Tensor:
        if is_grad_enabled():
            raise GraphError(
                "embedding with scale_grad_by_freq=True has a gradient that is no derivative, so "
                "it has none itself: leave it out with create_graph=True"
            )
        return g * shares

    if y.requires_grad:
        y.register_hook(rescale)
    return y


def check_dense(sparse: bool) -> None:
    """Sparse gradients are refused.

    Raises:
        ValueError: they are asked for.
    """
    if sparse:
        raise ValueError("embedding got sparse=True: gradients are dense here, leave it out")


def padding_row(padding_idx: int | None, rows: int) -> int | None:
    """The row of a table that padding_idx names, counted from 0.

    Raises:
        OutOfRangeError: it is not there.
    """
    if padding_idx is None:
        return None
    if not is_whole(padding_idx) or not -rows <= padding_idx < rows:
        raise OutOfRangeError(
            f"padding_idx was given as {padding_idx!r} for {rows} rows: give an integer from "
            f"{-rows} to {rows - 1}"
        )
    return int(padding_idx) % rows


def _index(x: Any, weight: Tensor) -> Tensor:
    """The indices as a tensor, looked at where that waits for no device."""
    index = x if isinstance(x, Tensor) else Tensor(x, None, weight.device)
    if index.dtype.kind not in "iu":
        if index.size or isinstance(x, Tensor):
            raise DTypeError(
                f"embedding got indices of {index.dtype}: give integers, such as x.to(mg.int64)"
            )
        index = index.to(np.int64)  # of an empty list
    backend.check_same(weight.array, index.array)
    if isinstance(index.array, np.ndarray) and index.size:
        low, high, rows = index.array.min(), index.array.max(), weight.shape[0]
        if low < 0 or high >= rows:
            raise OutOfRangeError(
                f"embedding got index {low if low < 0 else high} for a table of {rows} rows: give "
                f"0 to {rows - 1}"
            )
    return index


def _shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale down, in place, the rows that are looked up and too long."""
    with no_grad():
        rows = weight[index]
        size = norm(rows, norm_type, -1, keepdims=True)
        weight[index] = where(size > max_norm, rows * (max_norm / (size + NEAR_ZERO)), rows)


def _shares(weight: Tensor, index: Tensor) -> Tensor:
    """1 / how often a row is looked up, for every place of the index: (…, 1)."""
    counts = zeros_like(weight[:, 0], np.float64)  # float16 could not count them
    counts = counts.index_add(0, index.reshape(-1), ones_like(index).reshape(-1))
    shares: Tensor = 1 / take(counts, index)
    return shares.to(weight.dtype).unsqueeze(-1)
