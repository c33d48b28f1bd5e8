"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Pool2d(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        self.kernel_size, self.stride, self.padding = (
            kernel_size,
            kernel_size if stride is None else stride,
            padding,
        )

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool2d):
    """The largest value of each window; see `F.max_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, oh, ow)."""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """The mean of each window, padding counted as zeros; see `F.avg_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, oh, ow)."""
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)
