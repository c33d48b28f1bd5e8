"""Losses as functions."""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError, ShapeError
from ...ops import loss as ops
from ...tensor import Tensor
from ..checks import check_floating


def cross_entropy(
    x: Tensor, target: Any, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Minus the log-probability of the right class, from logits.

    Args:
        x: logits (N, C), or (N, C, d1, …).
        target: integer labels in [0, C) of shape (N,), or (N, d1, …).  Those on the host are
            looked at; on a GPU that would wait for the device, so a label out of range makes the
            loss and its gradient NaN there.
        ignore_index: a label whose rows count for nothing.
        reduction: "mean" over the rows that count, "sum", or "none".

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: labels that are not integers.
        IndexError: a label outside [0, C), on the host.
        ValueError: an unknown reduction.
    """
    check_floating("cross_entropy", x)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f'reduction was given as {reduction!r}: it must be "mean", "sum" or "none"'
        )
    if not isinstance(ignore_index, int):
        raise TypeError(f"ignore_index was given as {ignore_index!r}: give a label (an integer)")
    labels = target if isinstance(target, Tensor) else Tensor(target)
    if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
        raise ShapeError(
            f"cross_entropy got logits {x.shape} and labels {labels.shape}: they must be (N, C) "
            "and (N,), or (N, C, d1, …) and (N, d1, …)"
        )
    _check_labels(labels, x.shape[1], ignore_index)
    if labels is not target and labels.device == "cpu":
        labels = labels.to(x.device)
    if x.ndim > 2:
        x = x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])
    losses: Tensor = ops.cross_entropy(
        x, labels.reshape(-1), ignore_index=ignore_index, reduction=reduction
    )
    return losses.reshape(labels.shape) if reduction == "none" else losses


def _check_labels(labels: Tensor, classes: int, ignore_index: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"labels are {labels.dtype}: give integers, such as labels.to(mg.int64)")
    if labels.device != "cpu":
        return
    values = labels.array
    wrong = (values != ignore_index) & ((values < 0) | (values >= classes))
    if wrong.any():
        raise IndexError(
            f"label {values[wrong].reshape(-1)[0]} is out of range for {classes} classes: labels "
            f"go from 0 to {classes - 1}, or are ignore_index={ignore_index}"
        )
