"""Layers as functions: arguments checked, options brought into one form, then one op.  PyTorch's names and defaults."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend, dtypes, random
from ..errors import DTypeError, ShapeError
from ..modes import composed
from ..ops import batch_norm as _bn
from ..ops import conv as _conv
from ..ops import elementwise, reduce
from ..ops import linear as _linear
from ..ops import loss as _loss
from ..ops import pool as _pool
from ..tensor import Tensor

relu, tanh, sigmoid = elementwise.relu, elementwise.tanh, elementwise.sigmoid
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
    _check_floating("linear", x)
    if x.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(f"linear got x of shape {x.shape} for {weight.shape[-1]} input features: the last axis must have length {weight.shape[-1]} (nn.Flatten() joins axes)")
    if bias is None:
        return _linear.matmul(x, _linear.mT(weight))  # type: ignore[no-any-return]
    return _linear.linear(x, weight, bias)  # type: ignore[no-any-return]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of images with kernels.

    Args:
        x: (N, in_channels, H, W).
        weight: (out_channels, in_channels / groups, kh, kw).
        bias: (out_channels,), or None.
        stride, dilation: a number or a pair, in pixels.
        padding: zeros on each side: a number, a pair, "valid" (none), or "same" (the output has the input's size; stride 1 only).
        groups: channels are split into so many groups that do not see each other.

    Returns:
        (N, out_channels, oh, ow) with oh = ⌊(H + 2·padding - dilation·(kh - 1) - 1) / stride⌋ + 1.

    Raises:
        ShapeError: ranks, channels or groups that do not fit, or a kernel larger than the padded image.
        DTypeError: x holds integers.
    """
    _check_floating("conv2d", x)
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"conv2d got x of shape {x.shape} and weight {weight.shape}: x must be (N, C, H, W), weight (O, C/groups, kh, kw)")
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ShapeError(
            f"conv2d got {x.shape[1]} channels for weight {weight.shape} and groups={groups}: channels must be "
            f"{weight.shape[1]}·{groups} = {weight.shape[1] * groups}, and {weight.shape[0]} outputs a multiple of groups"
        )
    kernel = weight.shape[2:]
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    pads = _padding(padding, kernel, strides, dilations)
    for size, k, p, d in zip(x.shape[2:], kernel, pads, dilations, strict=True):
        if d * (k - 1) + 1 > size + sum(p):
            raise ShapeError(f"conv2d: the kernel spans {d * (k - 1) + 1} pixels but the padded image only {size + sum(p)} (x {x.shape}, weight {weight.shape}): pad more")
    y: Tensor = _conv.conv2d(x, weight, stride=strides, padding=pads, dilation=dilations, groups=groups)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _padding(padding: Any, kernel: Any, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    if padding == "same":
        if stride != (1, 1):
            raise ShapeError(f'padding="same" needs stride 1, not {stride}: give the padding as a number')
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        top, left = (span // 2 for span in spans)  # an odd rest goes below and right, as in PyTorch
        return (top, spans[0] - top), (left, spans[1] - left)
    if padding == "valid":
        padding = 0
    h, w = pair(padding, "padding", least=0)
    return (h, h), (w, w)


def pair(value: Any, name: str, least: int = 1) -> tuple[int, int]:
    """An option for two axes: a number for both, or one for each."""
    both = (value, value) if isinstance(value, int | np.integer) else tuple(value) if isinstance(value, tuple | list) else ()
    if len(both) != 2 or not all(isinstance(v, int | np.integer) and v >= least for v in both):
        raise ShapeError(f"{name} was given as {value!r}: give an integer of at least {least}, or a pair of them (height, width)")
    return int(both[0]), int(both[1])


def max_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest value of each window; the first of equals gets the gradient.

    Args:
        x: (N, C, H, W).
        kernel_size, stride, padding: numbers or pairs, in pixels; stride is kernel_size by default; padding, of -∞, at most half of it.
    """
    options = _pool_options("max_pool2d", x, kernel_size, stride, padding)
    winner = _pool.max_pool2d_winner(x.detach(), **options)
    return _pool.pick(x, winner, **options)  # type: ignore[no-any-return]


def avg_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window, padding counted as zeros; arguments as for `max_pool2d`."""
    return _pool.avg_pool2d(x, **_pool_options("avg_pool2d", x, kernel_size, stride, padding))  # type: ignore[no-any-return]


def _pool_options(name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any) -> dict[str, tuple[int, int]]:
    _check_floating(name, x)
    if x.ndim != 4:
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C, H, W)")
    kernel, pads = pair(kernel_size, "kernel_size"), pair(padding, "padding", least=0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(f"{name} got padding {pads} for kernel_size {kernel}: it may be at most half, or a window would see no image")
    return {"kernel": kernel, "stride": kernel if stride is None else pair(stride, "stride"), "padding": pads}


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training, each element is 0 with probability p, and 1/(1 - p) times itself otherwise; the mask is drawn on the host."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability was given as {p}: it must lie between 0 and 1")
    if not training or p == 0:
        return x
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = (random.draw("uniform", x.shape, 0.0, 1.0) >= p) * scale
    return x * Tensor(mask, x.dtype, x.device)


def cross_entropy(x: Tensor, target: Any, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """Minus the log-probability of the right class, from logits.

    Args:
        x: logits (N, C), or (N, C, d1, …).
        target: integer labels in [0, C) of shape (N,), or (N, d1, …).
        ignore_index: a label whose rows count for nothing.
        reduction: "mean" over the rows that count, "sum", or "none".

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: labels that are not integers.
        IndexError: a label outside [0, C).
        ValueError: an unknown reduction.
    """
    _check_floating("cross_entropy", x)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction was given as {reduction!r}: it must be "mean", "sum" or "none"')
    labels = target if isinstance(target, Tensor) else Tensor(target, device=x.device)
    if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
        raise ShapeError(f"cross_entropy got logits {x.shape} and labels {labels.shape}: they must be (N, C) and (N,), or (N, C, d1, …) and (N, d1, …)")
    _check_labels(labels, x.shape[1], ignore_index)
    if x.ndim > 2:
        x = x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])
    losses: Tensor = _loss.cross_entropy(x, labels.reshape(-1), ignore_index=ignore_index, reduction=reduction)
    return losses.reshape(labels.shape) if reduction == "none" else losses


def _check_labels(labels: Tensor, classes: int, ignore_index: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"labels are {labels.dtype}: give integers, such as labels.astype('int64')")
    values = labels.array
    wrong = (values != ignore_index) & ((values < 0) | (values >= classes))
    if labels.device == "cpu" and wrong.any():  # on a GPU this look would wait for the device
        raise IndexError(f"label {values[wrong].reshape(-1)[0]} is out of range for {classes} classes: labels go from 0 to {classes - 1}, or are ignore_index={ignore_index}")


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """Batch normalisation over all axes but the second: weight · (x - mean) / √(var + eps) + bias.

    Args:
        x: (N, C) or (N, C, …).
        running_mean, running_var: (C,).  In training they are updated, if given: rebound to (1 - momentum)·old + momentum·batch,
            with the unbiased variance; otherwise they are the statistics used, and gradients flow to them.
        weight, bias: (C,), or None for 1 and 0.
        training: normalise by the batch's own statistics.
        fused: one node; False composes primitives.

    Raises:
        ShapeError: ranks and lengths that do not fit, or one value per channel in training.  Statistics are as before then.
    """
    check_batch_norm_input(x, [running_mean, running_var, weight, bias], eps)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm with training=False needs running_mean and running_var: give both, or training=True")
        return batch_norm_with(x, running_mean, running_var, weight, bias, eps, fused)
    y, mean, var = batch_norm_by_batch(x, weight, bias, eps, fused)
    for running, batch in ((running_mean, mean), (running_var, unbiased(var, x))):
        if running is not None and x.size:
            move_average(running, batch, momentum)
    return y


def check_batch_norm_input(x: Tensor, channel_tensors: list[Tensor | None], eps: float) -> None:
    """Ranks and channels before anything is computed."""
    _check_floating("batch_norm", x)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm got x of shape {x.shape}: it must be (N, C) or (N, C, …)")
    for t in channel_tensors:
        if t is not None and t.shape != (x.shape[1],):
            raise ShapeError(f"batch_norm got x of shape {x.shape} with {x.shape[1]} channels, but statistics or parameters of shape {t.shape}: they must be ({x.shape[1]},)")
    if not eps >= 0:
        raise ValueError(f"batch_norm got eps={eps}: it must be 0 or more (1e-5 is usual)")


def batch_norm_by_batch(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, fused: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y and the batch's mean and biased variance (C,), which carry no gradient."""
    axes = (0, *range(2, x.ndim))
    if x.size and x.size == x.shape[1]:
        raise ShapeError(
            f"batch_norm got one value per channel in training (x of shape {x.shape}), whose variance says nothing: give a larger batch "
            "(drop_last=True leaves a last odd one out), or call .eval() to use the running statistics"
        )
    gamma, beta = 1.0 if weight is None else weight, 0.0 if bias is None else bias
    if fused or composed.get():
        return _bn.batch_norm(x, gamma, beta, axes=axes, eps=eps)  # type: ignore[no-any-return]
    y, mean, var = _bn.batch_norm_reference(x, gamma, beta, axes=axes, eps=eps)
    return y, mean.detach(), var.detach()


def batch_norm_with(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, fused: bool) -> Tensor:
    """The affine map by given statistics."""
    op = _bn.batch_norm_eval if fused else _bn.batch_norm_eval_reference
    gamma, beta = 1.0 if weight is None else weight, 0.0 if bias is None else bias
    return op(x, mean, var, gamma, beta, axes=(0, *range(2, x.ndim)), eps=eps)  # type: ignore[no-any-return]


def unbiased(var: Tensor, x: Tensor) -> Tensor:
    """A channel's variance with n - 1 in place of n, n the values per channel."""
    n = x.size // max(x.shape[1], 1)
    return var * (n / max(n - 1, 1))


def move_average(running: Tensor, batch: Tensor, momentum: float) -> None:
    """running ← (1 - momentum)·running + momentum·batch, by rebinding: whoever saved the old array keeps it."""
    new = (1 - momentum) * running.array + momentum * batch.array
    running.rebind(new.astype(running.dtype))


def _check_floating(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        hint = "mg.tensor(x)" if backend.find(x) is not None or isinstance(x, list) else "a minigrad tensor"
        raise DTypeError(f"{name} got a {type(x).__name__}: give {hint}")
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"{name} got {x.dtype} of shape {x.shape}: give floating numbers, such as x.float()")
