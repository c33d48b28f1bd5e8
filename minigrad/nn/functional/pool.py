"""Pooling as functions."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...ops import pool as ops
from ...tensor import Tensor
from ..checks import check_floating, pair


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
    return ops.pick(x, ops.max_pool2d_winner(x, window), window)


def avg_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window, padding counted as zeros; the rest as for `max_pool2d`."""
    return ops.avg_pool2d(x, _window("avg_pool2d", x, kernel_size, stride, padding))


def _window(name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any) -> ops.Window:
    check_floating(name, x)
    if x.ndim != 4:
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C, H, W)")
    kernel, pads = pair(kernel_size, "kernel_size"), pair(padding, "padding", least=0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"{name} got padding {pads} for kernel_size {kernel}: it may be at most half, or a "
            "window would see no image"
        )
    return ops.Window(kernel, kernel if stride is None else pair(stride, "stride"), pads)
