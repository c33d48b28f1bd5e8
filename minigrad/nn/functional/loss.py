"""Losses that compare number with number; those of classes are in class_loss.py.

PyTorch's `size_average` and `reduce`, which `reduction` replaced long ago, are left out of every
signature.  Elsewhere the order is PyTorch's, but give options by name.

A mean over nothing, of an empty batch or with every label ignored, is NaN, without a warning.

Targets that are arrays or lists take x's dtype, unless they are labels, and x's device.
"""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError
from ...ops import activation
from ...ops import loss as ops
from ...tensor import Tensor
from ..checks import REDUCTIONS, check_choice, check_floating, number


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
    return _weighted("mse_loss", d * d, reduction, weight)


def l1_loss(
    x: Tensor, target: Any, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - target|, with the slope 0 where they are equal; the rest as for `mse_loss`."""
    d = _difference("l1_loss", x, target, reduction)
    return _weighted("l1_loss", d.abs(), reduction, weight)


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
    return reduced(ops.smooth_abs(d, beta=beta) if beta else d.abs(), reduction)


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
    return reduced(losses, reduction)


def _difference(name: str, x: Tensor, target: Any, reduction: str) -> Tensor:
    target = _like_shaped(name, x, target, reduction)
    return x - target


def _like_shaped(name: str, x: Tensor, target: Any, reduction: str) -> Tensor:
    """The target as a tensor, after all checks that these losses share."""
    check_floating(name, x)
    check_choice("reduction", reduction, REDUCTIONS)
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


def _weighted(name: str, losses: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """The losses reduced, the mean by these weights."""
    if weight is None:
        return reduced(losses, reduction)
    check_floating(name, weight)
    if weight.shape != losses.shape:
        raise ShapeError(
            f"{name} got x of shape {losses.shape} and weight of shape {weight.shape}: give "
            "one weight for each element"
        )
    losses = losses * weight
    if reduction != "mean":
        return reduced(losses, reduction)
    total = weight.sum()
    return losses.sum() / total.masked_fill(total == 0, math.nan)


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of losses, or they themselves."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
