"""Convolutions as functions."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...ops import conv as ops
from ...tensor import Tensor
from ..checks import check_affine, check_floating, pair


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
    geometry = ops.Geometry(strides, pads, dilations, groups)
    if min(geometry.output_size(x.shape[2:], kernel)) < 1:
        raise ShapeError(
            f"conv2d: the kernel {tuple(kernel)}, dilation {dilations}, is larger than the image "
            f"{x.shape[2:]} with padding {pads}: pad more, or use a smaller kernel"
        )
    y: Tensor = ops.conv2d(x, weight, geometry)
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
