"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .functional.pool import divisor_of, grid_of, window_of
from .module import Module
from .options import unusual

USUAL = {
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "return_indices": False,
    "count_include_pad": True,
    "divisor_override": None,
}


class _Pool2d(Module):
    """What pools of a fixed window share: its options, as they were given."""

    kernel_size: Any
    stride: Any

    def extra_repr(self) -> str:
        """The window, and the options that are not the default."""
        window = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return ", ".join([window, *unusual(self, USUAL)])


class MaxPool2d(_Pool2d):
    """The largest value of each window.

    Options are those of `F.max_pool2d`.

    Raises:
        ShapeError: an option out of range.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        window_of("MaxPool2d", kernel_size, stride, padding, dilation, ceil_mode)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, oh, ow), with return_indices a pair; without N too."""
        return F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool2d(_Pool2d):
    """The mean of each window.

    Options are those of `F.avg_pool2d`.

    Raises:
        ShapeError: an option out of range.
        ValueError: a divisor_override of 0, or one that is no whole number.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        window_of("AvgPool2d", kernel_size, stride, padding, 1, ceil_mode)
        divisor_of(divisor_override)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, oh, ow); without N too."""
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AdaptiveAvgPool2d(Module):
    """The mean of each cell of a grid over the image; `output_size` is that of the grid.

    Its forms, and where the cells lie, are said at `F.adaptive_avg_pool2d`.

    Raises:
        ShapeError: output_size is neither a number, None, nor a pair of these.
    """

    def __init__(self, output_size: Any) -> None:
        grid_of(output_size, (1, 1))
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, *output_size); without N too."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """The size of the grid."""
        return f"output_size={self.output_size}"
