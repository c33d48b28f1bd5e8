"""Losses of the right class among several, from labels or from probabilities of the classes.

Reductions, empty means and targets that are no tensors are as in loss.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtypes import is_whole
from ...errors import DTypeError, ShapeError
from ...ops import loss as ops
from ...ops import reduce
from ...ops.piecewise import where
from ...tensor import Tensor
from ..checks import REDUCTIONS, check_choice, check_floating, number
from .loss import reduced

UNSIGNED = {n: np.dtype(f"u{n}") for n in (1, 2, 4, 8)}  # by their bytes


def nll_loss(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] · x[target], from log-probabilities x; arguments as for `cross_entropy`.

    `F.cross_entropy(x, target)` is `F.nll_loss(F.log_softmax(x, dim=1), target)`.
    """
    labels = _checked_labels("nll_loss", x, target, weight, ignore_index, reduction)
    losses = _label_loss(_rows(x), labels.reshape(-1), weight, ignore_index, reduction)
    return losses.reshape(labels.shape) if reduction == "none" else losses


def cross_entropy(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-probability of the right class, from logits.

    Args:
        x: logits (N, C), or (N, C, d1, …), or (C,).
        target: integer labels in [0, C) of shape (N,), (N, d1, …) or (), or floating
            probabilities of the classes in x's shape, to which gradients flow too.  Labels on the
            host are looked at; on a GPU that would wait for the device, so a label out of range
            makes the loss and its gradient NaN there.
        weight: of each class, (C,); the mean over labels is by the labels' weights.
        ignore_index: a label whose rows count for nothing.
        reduction: "mean" over the rows that count, "sum", or "none".
        label_smoothing: how much of each target is shared out among all classes, 0 to 1.

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: x or weight holds integers, or labels are not integers.
        IndexError: a label outside [0, C), on the host.
        ValueError: an unknown reduction, label_smoothing outside [0, 1], or a label to ignore
            among probabilities.
    """
    smoothing = number("label_smoothing", label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label_smoothing was given as {label_smoothing}: give 0 to 1")
    check_floating("cross_entropy", x)
    probabilities = _probabilities(x, target)
    if probabilities is not None:
        _check_options("cross_entropy", x, weight, ignore_index, reduction)
        if ignore_index >= 0:
            raise ValueError(
                f"cross_entropy got ignore_index={ignore_index} for probabilities, which name no "
                "label: leave it out, or give integer labels"
            )
        return _expected_loss(x, probabilities, weight, reduction, smoothing)
    labels = _checked_labels("cross_entropy", x, target, weight, ignore_index, reduction)
    rows, column = _rows(x), labels if labels.ndim == 1 else labels.reshape(-1)
    options = {"ignore_index": ignore_index, "reduction": reduction}
    if weight is None and not smoothing:
        losses: Tensor = ops.cross_entropy(rows, column, **options)
    else:
        logp = reduce.log_softmax(rows, 1)
        losses = _label_loss(logp, column, weight, ignore_index, reduction, smoothing)
    return losses.reshape(labels.shape) if reduction == "none" else losses


def _label_loss(
    logp: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-probability (N, C) of each row's label, times the label's weight, reduced.

    Smoothed, every class has a share of each label: for C classes it is smoothing / C of what the
    row would lose with that class for a label.  The mean is by the labels' weights.
    """
    losses, shares = ops.label_losses(logp, labels, ignore_index)
    if weight is not None:
        shares = shares * weight.gather(0, ops.label_column(labels, ignore_index).reshape(-1))
        losses = losses * shares
    if smoothing:
        spread = -(logp if weight is None else logp * weight).sum(1)
        smooth = where(labels != ignore_index, spread, 0) * (smoothing / logp.shape[1])
        losses = losses * (1 - smoothing) + smooth
    reduced_losses: Tensor = ops.reduced_by(shares, losses, reduction)
    return reduced_losses


def _probabilities(x: Tensor, target: Any) -> Tensor | None:
    """The target as probabilities, or None if it is (or should be) labels."""
    t = target if isinstance(target, Tensor) else Tensor(target)
    if t.dtype.kind != "f" or t.shape != x.shape or x.ndim == 0:
        return None
    return t if t is target else Tensor(target, x.dtype, x.device)


def _expected_loss(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """-Σ weight · target · log softmax(x) over the classes."""
    t = _rows(target)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / t.shape[1]
    if weight is not None:
        t = t * weight
    losses = -(t * reduce.log_softmax(_rows(x), 1)).sum(1)
    return reduced(losses.reshape(_labels_shape(x)), reduction)


# ---- layouts -------------------------------------------------------------------------------------


def _rows(x: Tensor) -> Tensor:
    """(C,), (N, C) or (N, C, d1, …) as rows of C."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.unsqueeze(0)
    return x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _labels_shape(x: Tensor) -> tuple[int, ...]:
    """The shape of the labels for such logits: theirs without the classes."""
    return x.shape[:1] * (x.ndim > 1) + x.shape[2:]


def _classes(x: Tensor) -> int:
    """How many classes such logits choose from."""
    return x.shape[min(x.ndim - 1, 1)]


# ---- what is checked -----------------------------------------------------------------------------


def _check_options(
    name: str, x: Tensor, weight: Tensor | None, ignore_index: Any, reduction: str
) -> None:
    check_choice("reduction", reduction, REDUCTIONS)
    if not is_whole(ignore_index):
        raise TypeError(f"ignore_index was given as {ignore_index!r}: give a label (an integer)")
    if weight is not None:
        check_floating(name, weight)
        if weight.shape != (_classes(x),):
            raise ShapeError(
                f"{name} got x of shape {x.shape} and weight of shape {weight.shape}: it must be "
                f"{(_classes(x),)}, one for each class"
            )


def _checked_labels(
    name: str, x: Tensor, target: Any, weight: Tensor | None, ignore_index: Any, reduction: str
) -> Tensor:
    """The labels as a tensor on x's device, after all checks."""
    check_floating(name, x)
    labels = target if isinstance(target, Tensor) else Tensor(target)
    if x.ndim == 0 or labels.shape != _labels_shape(x):
        raise ShapeError(
            f"{name} got logits {x.shape} and labels {labels.shape}: they must be (N, C) and "
            "(N,), or (N, C, d1, …) and (N, d1, …), or (C,) and ()"
            + (" (probabilities are floating)" if labels.shape == x.shape else "")
        )
    _check_options(name, x, weight, ignore_index, reduction)
    _check_label_values(labels, _classes(x), ignore_index)
    if labels is not target and labels.device == "cpu":
        labels = labels.to(x.device)
    return labels


def _check_label_values(labels: Tensor, classes: int, ignore_index: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"labels are {labels.dtype}: give integers, such as labels.to(mg.int64), or floating "
            "probabilities in the logits' shape"
        )
    if labels.device != "cpu":
        return
    values = labels.array
    # read as unsigned, negative labels are large: the largest tells whether to look closer
    if values.size and np.maximum.reduce(values.view(UNSIGNED[values.itemsize]), None) < classes:
        return
    wrong = (values != ignore_index) & ((values < 0) | (values >= classes))
    if wrong.any():
        raise IndexError(
            f"label {values[wrong].reshape(-1)[0]} is out of range for {classes} classes: labels "
            f"are 0 to {classes - 1}, or ignore_index={ignore_index}"
        )
