"""Losses as functions.

PyTorch's `size_average` and `reduce`, which `reduction` replaced long ago, are left out of every
signature.  Elsewhere the order is PyTorch's, but give options by name.

A mean over nothing, of an empty batch or with every label ignored, is NaN, without a warning.

Targets that are arrays or lists take x's dtype, unless they are labels, and x's device.
"""

from __future__ import annotations

import math
from typing import Any

from ...errors import DTypeError, ShapeError
from ...ops import activation, reduce
from ...ops import loss as ops
from ...tensor import Tensor
from ..checks import check_floating, check_reduction, number

# ---- a number for each number --------------------------------------------------------------------


def mse_loss(
    x: Tensor, target: Any, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - target)².

    Differs from PyTorch: unlike shapes are an error (PyTorch warns and broadcasts, so that (N, 1)
    with (N,) compares every x with every target).

    Args:
        x: any shape.
        target: x's shape.
        reduction: "mean", "sum" or "none".
        weight: of each element, in x's shape; the mean is by these weights.

    Raises:
        ShapeError: unlike shapes.
        DTypeError: x holds integers.
        ValueError: an unknown reduction.
    """
    d = _difference("mse_loss", x, target, reduction)
    return _reduced("mse_loss", d * d, reduction, weight)


def l1_loss(
    x: Tensor, target: Any, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - target|, with the slope 0 where they are equal; the rest as for `mse_loss`."""
    d = _difference("l1_loss", x, target, reduction)
    return _reduced("l1_loss", d.abs(), reduction, weight)


def smooth_l1_loss(x: Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d² / 2beta where |d| < beta, else |d| - beta/2, for d = x - target (Girshick, 2015).

    beta=0 is `l1_loss`.  The rest as for `mse_loss`.

    Raises:
        ValueError: beta is negative.
    """
    d = _difference("smooth_l1_loss", x, target, reduction)
    beta = number("beta", beta)
    if beta < 0:
        raise ValueError(f"beta was given as {beta}: it must be 0 or more (1 is usual)")
    return _reduced("smooth_l1_loss", ops.smooth_abs(d, beta=beta) if beta else d.abs(), reduction)


def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(pos_weight · t log σ(x) + (1 - t) log σ(-x)) for logits x and targets t.

    No logit is too large for it, and small losses keep their digits.  Gradients flow to the
    targets too.

    Args:
        x: any shape.
        target: x's shape; 0 to 1 as a rule, but anything is taken.
        weight: of each element; broadcasts to x's shape.  The mean is not by these weights, as
            in PyTorch.
        reduction: "mean", "sum" or "none".
        pos_weight: of the positive examples, such as (C,) for classes on the last axis;
            broadcasts to x's shape.

    Raises:
        ShapeError: unlike shapes, or weights that do not broadcast to x's shape.
        DTypeError: x or a weight holds integers.
        ValueError: an unknown reduction.
    """
    name = "binary_cross_entropy_with_logits"
    t = _like_shaped(name, x, target, reduction)
    positive, negative = (activation.softplus(z, beta=1.0, threshold=math.inf) for z in (-x, x))
    if pos_weight is not None:
        positive = positive * _broadcast(name, "pos_weight", pos_weight, x)
    losses = t * positive + (1 - t) * negative
    if weight is not None:
        losses = losses * _broadcast(name, "weight", weight, x)
    return _reduced(name, losses, reduction)


def _difference(name: str, x: Tensor, target: Any, reduction: str) -> Tensor:
    target = _like_shaped(name, x, target, reduction)
    return x - target


def _like_shaped(name: str, x: Tensor, target: Any, reduction: str) -> Tensor:
    """The target as a tensor, after all checks that these losses share."""
    check_floating(name, x)
    check_reduction(reduction)
    t = target if isinstance(target, Tensor) else Tensor(target, x.dtype, x.device)
    if t.shape != x.shape:
        mend = (
            f"target.reshape{x.shape}"
            if t.size == x.size
            else "x and target one value for each other"
        )
        raise ShapeError(
            f"{name} got x of shape {x.shape} and a target of shape {t.shape}, which are not "
            f"broadcast here: give {mend}"
        )
    return t


def _broadcast(name: str, what: str, weight: Tensor, x: Tensor) -> Tensor:
    """A weight that broadcasts to x's shape, and no further."""
    check_floating(name, weight)
    lengths = zip(reversed(weight.shape), reversed(x.shape), strict=False)
    if weight.ndim > x.ndim or any(m not in (1, n) for m, n in lengths):
        raise ShapeError(
            f"{name} got x of shape {x.shape} and {what} of shape {weight.shape}: it must "
            "broadcast to x's shape (from the right, each length equal, or 1)"
        )
    return weight


def _reduced(name: str, losses: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    if weight is not None:
        check_floating(name, weight)
        if weight.shape != losses.shape:
            raise ShapeError(
                f"{name} got x of shape {losses.shape} and weight of shape {weight.shape}: give "
                "one weight for each element"
            )
        losses = losses * weight
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if weight is None:
        return losses.mean()
    total = weight.sum()
    return losses.sum() / total.masked_fill(total == 0, math.nan)


# ---- one of several classes ----------------------------------------------------------------------


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
    losses: Tensor = ops.label_losses(
        _rows(x), labels.reshape(-1), weight, ignore_index=ignore_index, reduction=reduction
    )
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
    rows, column = _rows(x), labels.reshape(-1)
    options = {"ignore_index": ignore_index, "reduction": reduction}
    if weight is None and not smoothing:
        losses: Tensor = ops.cross_entropy(rows, column, **options)
    else:
        logp = reduce.log_softmax(rows, 1)
        losses = ops.label_losses(logp, column, weight, label_smoothing=smoothing, **options)
    return losses.reshape(labels.shape) if reduction == "none" else losses


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
    if reduction == "none":
        return losses.reshape(x.shape[:1] * (x.ndim > 1) + x.shape[2:])
    return losses.mean() if reduction == "mean" else losses.sum()


def _rows(x: Tensor) -> Tensor:
    """(C,), (N, C) or (N, C, d1, …) as rows of C."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.unsqueeze(0)
    return x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


# ---- what is checked -----------------------------------------------------------------------------


def _check_options(
    name: str, x: Tensor, weight: Tensor | None, ignore_index: Any, reduction: str
) -> None:
    check_reduction(reduction)
    if not isinstance(ignore_index, int):
        raise TypeError(f"ignore_index was given as {ignore_index!r}: give a label (an integer)")
    if weight is not None:
        check_floating(name, weight)
        classes = x.shape[min(x.ndim - 1, 1)]
        if weight.shape != (classes,):
            raise ShapeError(
                f"{name} got x of shape {x.shape} and weight of shape {weight.shape}: it must be "
                f"({classes},), one for each class"
            )


def _checked_labels(
    name: str, x: Tensor, target: Any, weight: Tensor | None, ignore_index: Any, reduction: str
) -> Tensor:
    """The labels as a tensor on x's device, after all checks."""
    check_floating(name, x)
    labels = target if isinstance(target, Tensor) else Tensor(target)
    if x.ndim == 0 or labels.shape != (x.shape[:1] * (x.ndim > 1) + x.shape[2:]):
        raise ShapeError(
            f"{name} got logits {x.shape} and labels {labels.shape}: they must be (N, C) and "
            "(N,), or (N, C, d1, …) and (N, d1, …), or (C,) and ()"
            + (" (probabilities are floating)" if labels.shape == x.shape else "")
        )
    _check_options(name, x, weight, ignore_index, reduction)
    _check_label_values(labels, x.shape[min(x.ndim - 1, 1)], ignore_index)
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
    wrong = (values != ignore_index) & ((values < 0) | (values >= classes))
    if wrong.any():
        raise IndexError(
            f"label {values[wrong].reshape(-1)[0]} is out of range for {classes} classes: labels "
            f"are 0 to {classes - 1}, or ignore_index={ignore_index}"
        )
