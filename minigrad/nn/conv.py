"""Convolution layers."""

from __future__ import annotations

from typing import Any

from ..create import empty
from ..errors import ShapeError
from ..tensor import Tensor
from . import init
from .checks import check_choice, check_count, per_axis
from .functional import conv as steps
from .module import Module
from .options import unusual
from .parameter import Parameter

MODES = ("zeros", "reflect", "replicate", "circular")
USUAL = {"padding": 0, "dilation": 1, "output_padding": 0}  # along each axis


class _Conv(Module):
    """What convolutions share: options, checked; a weight, and a bias."""

    axes: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_count("in_channels", in_channels)
        check_count("out_channels", out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_axis(kernel_size, "kernel_size", self.axes)
        geometry = steps.geometry_of(self.kernel_size, stride, padding, dilation, groups)
        if in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"{type(self).__name__} got {in_channels} input and {out_channels} output channels "
                f"for groups={groups}: both must be multiples of it"
            )
        check_choice("padding_mode", padding_mode, MODES)
        self.stride, self.dilation, self.groups = geometry.stride, geometry.dilation, groups
        self.padding = (
            padding if isinstance(padding, str) else tuple(p for p, _ in geometry.padding)
        )
        self.padding_mode = padding_mode
        outer, inner = in_channels, out_channels
        if not self.transposed:
            outer, inner = inner, outer
        place = {"dtype": dtype, "device": device}
        self.weight = Parameter(empty(outer, inner // groups, *self.kernel_size, **place))
        self.bias = Parameter(empty(out_channels, **place)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.default_(self.weight, self.bias)

    def _convolved(self, x: Tensor) -> Tensor:
        return steps.convolve(
            self.axes,
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.padding_mode,
        )

    def extra_repr(self) -> str:
        """Channels, kernel and stride, and the options that are not the default."""
        shown = [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += unusual(self, {name: (value,) * self.axes for name, value in USUAL.items()})
        shown += unusual(self, {"groups": 1})
        shown += ["bias=False"] * (self.bias is None)
        shown += unusual(self, {"padding_mode": "zeros"})
        return ", ".join(shown)


class Conv1d(_Conv):
    """Cross-correlation of sequences (N, in_channels, L) with kernels.

    weight is (out_channels, in_channels / groups, k), bias (out_channels,), both initially uniform
    in ±1/√fan_in.  Options are those of `F.conv1d`, and padding_mode, what is padded with: "zeros",
    "reflect" (the border is not repeated), "replicate" or "circular".

    Raises:
        ShapeError: an option out of range, or channels that are not multiples of groups.
        ValueError: another padding_mode.
    """

    axes = 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, L) -> (N, out_channels, ol); without N too."""
        return self._convolved(x)


class Conv2d(_Conv):
    """Cross-correlation of images (N, in_channels, H, W) with kernels.

    weight is (out_channels, in_channels / groups, kh, kw), bias (out_channels,), both initially
    uniform in ±1/√fan_in.  Options are those of `F.conv2d`, and padding_mode, what is padded with:
    "zeros", "reflect" (the border is not repeated), "replicate" or "circular".

    Raises:
        ShapeError: an option out of range, or channels that are not multiples of groups.
        ValueError: another padding_mode.
    """

    axes = 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, oh, ow); without N too."""
        return self._convolved(x)


class ConvTranspose2d(_Conv):
    """Kernels scaled by each pixel of images (N, in_channels, H, W), and added up.

    It is the adjoint of a Conv2d from out_channels to in_channels with the same options.  weight is
    (in_channels, out_channels / groups, kh, kw), bias (out_channels,), both initially uniform in
    ±1/√(kh·kw·out_channels / groups), as in PyTorch.  Options are those of `F.conv_transpose2d`.

    Raises:
        ShapeError: an option out of range, or channels that are not multiples of groups.
        ValueError: a padding_mode that is not "zeros".
    """

    axes = 2
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        kernel = per_axis(kernel_size, "kernel_size", 2)
        steps.transposed_geometry_of(kernel, stride, padding, output_padding, groups, dilation)
        if padding_mode != "zeros":
            raise ValueError(
                f"padding_mode was given as {padding_mode!r}: ConvTranspose2d has only 'zeros'"
            )
        self.output_padding = per_axis(output_padding, "output_padding", 2, least=0)
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, oh, ow); without N too.

        Args:
            x: images.
            output_size: (oh, ow), or the shape of the result, instead of output_padding.

        Raises:
            ShapeError: x does not fit, or no output_padding gives that size.
        """
        extra: Any = self.output_padding
        if output_size is not None:
            extra = self._output_padding_for(x, output_size)
        return steps.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _output_padding_for(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """What makes the output as large as asked."""
        steps.check_images("conv_transpose2d", x, self.weight, 2)
        spatial = output_size
        if isinstance(output_size, tuple | list) and len(output_size) == x.ndim:
            spatial = output_size[-2:]
        wanted = per_axis(spatial, "output_size", 2)
        geometry = steps.geometry_of(
            self.kernel_size, self.stride, self.padding, self.dilation, self.groups
        )
        least = geometry.input_size(x.shape[-2:], self.kernel_size)
        extra = tuple(n - m for n, m in zip(wanted, least, strict=True))
        if not all(0 <= n < s for n, s in zip(extra, geometry.stride, strict=True)):
            most = tuple(m + s - 1 for m, s in zip(least, geometry.stride, strict=True))
            raise ShapeError(
                f"output_size was given as {output_size} for images {x.shape[-2:]}: give from "
                f"{least} to {most}"
            )
        return extra
