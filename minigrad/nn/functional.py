"""Layers as functions: arguments checked and brought into one form, then one op.

Names and defaults are PyTorch's.
"""

from __future__ import annotations

from typing import Any

from .. import random
from ..errors import DTypeError, ShapeError
from ..ops import conv as _conv
from ..ops import elementwise, piecewise, reduce
from ..ops import linear as _linear
from ..ops import loss as _loss
from ..ops import pool as _pool
from ..tensor import Tensor
from .batch_norm import batch_norm as batch_norm
from .checks import check_affine, check_floating, pair

relu, tanh, sigmoid = piecewise.relu, elementwise.tanh, elementwise.sigmoid
softmax, log_softmax = reduce.softmax, reduce.log_softmax


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x wᵀ + b.

    Args:
        x: (…, in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Returns:
        (…, out_features).

    Raises:
        ShapeError: x's last axis is not in_features.
        DTypeError: x holds integers.
    """
    check_floating("linear", x)
    check_affine("linear", weight, 2, bias)
    if x.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear got x of shape {x.shape} for {weight.shape[-1]} input features: the last "
            f"axis must have length {weight.shape[-1]} (nn.Flatten() joins axes)"
        )
    if bias is None:
        return _linear.matmul(x, _linear.mT(weight))
    return _linear.linear(x, weight, bias)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with kernels.

    Args:
        x: (N, in_channels, H, W).
        weight: (out_channels, in_channels / groups, kh, kw).
        bias: (out_channels,), or None.
        stride, dilation: a number or a pair, in pixels.
        padding: zeros on each side: a number, a pair, "valid" (none), or "same" (the output has
            the input's size; stride 1 only).
        groups: channels are split into so many groups that do not see each other.

    Returns:
        (N, out_channels, oh, ow) with oh = ⌊(H + 2·padding - dilation·(kh - 1) - 1) / stride⌋ + 1.

    Raises:
        ShapeError: ranks, channels or groups that do not fit, or a kernel larger than the
            padded image.
        DTypeError: x holds integers.
    """
    check_floating("conv2d", x)
    check_affine("conv2d", weight, 4, bias)
    if x.ndim != 4:
        raise ShapeError(
            f"conv2d got x of shape {x.shape} and weight {weight.shape}: x must be (N, C, H, W), "
            "weight (O, C/groups, kh, kw)"
        )
    if groups < 1:
        raise ShapeError(f"conv2d got groups={groups}: give at least 1")
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ShapeError(
            f"conv2d got {x.shape[1]} channels for weight {weight.shape} and groups={groups}: "
            "channels must be "
            f"{weight.shape[1]}·{groups} = {weight.shape[1] * groups}, and {weight.shape[0]} "
            "outputs a multiple of groups"
        )
    kernel = weight.shape[2:]
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    pads = _padding(padding, kernel, strides, dilations)
    geometry = _conv.Geometry(strides, pads, dilations, groups)
    if min(geometry.output_size(x.shape[2:], kernel)) < 1:
        raise ShapeError(
            f"conv2d: the kernel {tuple(kernel)}, dilation {dilations}, is larger than the image "
            f"{x.shape[2:]} with padding {pads}: pad more, or use a smaller kernel"
        )
    y: Tensor = _conv.conv2d(x, weight, geometry)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _padding(
    padding: Any, kernel: Any, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if padding == "same":
        if stride != (1, 1):
            raise ShapeError(
                f'padding="same" needs stride 1, not {stride}: give the padding as a number'
            )
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        top, left = (span // 2 for span in spans)  # an odd rest goes below and right, as in PyTorch
        return (top, spans[0] - top), (left, spans[1] - left)
    if padding == "valid":
        padding = 0
    h, w = pair(padding, "padding", least=0)
    return (h, h), (w, w)


def max_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest value of each window; the first of equals gets the gradient.

    Args:
        x: (N, C, H, W).
        kernel_size, stride, padding: numbers or pairs, in pixels; stride is kernel_size by
            default; padding, of -∞, at most half of it.

    Returns:
        (N, C, oh, ow) with oh = ⌊(H + 2·padding - kernel_size) / stride⌋ + 1.

    Raises:
        ShapeError: x is not (N, C, H, W), a window does not fit, or padding is too wide.
        DTypeError: x holds integers.
    """
    window = _window("max_pool2d", x, kernel_size, stride, padding)
    return _pool.pick(x, _pool.max_pool2d_winner(x, window), window)


def avg_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window, padding counted as zeros; the rest as for `max_pool2d`."""
    return _pool.avg_pool2d(x, _window("avg_pool2d", x, kernel_size, stride, padding))


def _window(name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any) -> _pool.Window:
    check_floating(name, x)
    if x.ndim != 4:
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C, H, W)")
    kernel, pads = pair(kernel_size, "kernel_size"), pair(padding, "padding", least=0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"{name} got padding {pads} for kernel_size {kernel}: it may be at most half, or a "
            "window would see no image"
        )
    return _pool.Window(kernel, kernel if stride is None else pair(stride, "stride"), pads)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training, zeroes each element with probability p, and scales the rest by 1/(1 - p).

    The mask is drawn on the host.

    Raises:
        ValueError: p is not a probability.
        DTypeError: x holds integers.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability was given as {p}: it must lie between 0 and 1")
    check_floating("dropout", x)
    if not training or p == 0:
        return x
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = (random.draw("uniform", x.shape, 0.0, 1.0) >= p) * scale
    return x * Tensor(mask, x.dtype, x.device)


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
    losses: Tensor = _loss.cross_entropy(
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
