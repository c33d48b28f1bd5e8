"""Convolutions as functions."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...ops import conv as ops
from ...ops.pad import pad
from ...tensor import Tensor
from ..checks import check_affine, check_bias, check_count, check_floating, per_axis

Sizes = tuple[int, ...]
LAYOUTS = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)"}


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of sequences with kernels: `conv2d` along one axis.

    Args:
        x: (N, in_channels, L), or (in_channels, L).
        weight: (out_channels, in_channels / groups, k).
        bias: (out_channels,), or None.
        stride, padding, dilation, groups: those of `conv2d`, for one axis.

    Returns:
        (N, out_channels, ol) with ol = ⌊(L + 2·padding - dilation·(k - 1) - 1) / stride⌋ + 1;
        without N if x is.

    Raises:
        ShapeError, DTypeError: as `conv2d`.
    """
    return convolve(1, x, weight, bias, stride, padding, dilation, groups)


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
        x: (N, in_channels, H, W), or (in_channels, H, W).
        weight: (out_channels, in_channels / groups, kh, kw).
        bias: (out_channels,), or None.
        stride, dilation: a number or a pair, in pixels.
        padding: zeros on each side: a number, a pair, "valid" (none), or "same" (the output has
            the input's size; stride 1 only).
        groups: channels are split into so many groups that do not see each other.

    Returns:
        (N, out_channels, oh, ow) with oh = ⌊(H + 2·padding - dilation·(kh - 1) - 1) / stride⌋ + 1;
        without N if x is.

    Raises:
        ShapeError: ranks, channels or groups that do not fit, or a kernel larger than the
            padded image.
        DTypeError: x holds integers.
    """
    return convolve(2, x, weight, bias, stride, padding, dilation, groups)


def convolve(
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: str = "zeros",
) -> Tensor:
    """`conv1d` or `conv2d`, by the number of axes; the padding is made as the op `pad` does."""
    name = f"conv{axes}d"
    check_floating(name, weight)
    kernel = weight.shape[2:]
    check_images(name, x, weight, axes)
    check_affine(name, weight, axes + 2, bias)
    geometry = geometry_of(kernel, stride, padding, dilation, groups)
    _check_channels(name, x.shape[-axes - 1], weight, groups)
    if padding_mode != "zeros":
        x = pad(x, [(0, 0)] * (x.ndim - axes) + list(geometry.padding), padding_mode)
        geometry = geometry._replace(padding=((0, 0),) * axes)
    if min(geometry.output_size(x.shape[-axes:], kernel)) < 1:
        raise ShapeError(
            f"{name}: the kernel {kernel}, dilation {geometry.dilation}, is larger than the image "
            f"{x.shape[-axes:]} with padding {geometry.padding}: pad more, or use a smaller kernel"
        )
    images, kernels, geometry = _planes(x, axes), _planes(weight, axes), _in_planes(geometry)
    if bias is None:
        return _like(x, ops.conv2d(images, kernels, geometry), axes)
    return _like(x, ops.conv2d_bias(images, kernels, bias, geometry), axes)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The adjoint of `conv2d` in its input: kernels scaled by each pixel, and added up.

    Args:
        x: (N, in_channels, H, W), or (in_channels, H, W).
        weight: (in_channels, out_channels / groups, kh, kw).
        bias: (out_channels,), or None.
        stride, padding, dilation, groups: those of the `conv2d` whose adjoint it is, so padding is
            cut off; a number or a pair, in pixels.
        output_padding: rows below and columns to the right that are cut off less, or zeros if
            nothing is cut off there; less than the stride or the dilation.

    Returns:
        (N, out_channels, oh, ow) with oh = (H - 1)·stride - 2·padding + dilation·(kh - 1)
        + output_padding + 1; without N if x is.

    Raises:
        ShapeError: ranks, channels or groups that do not fit, or nothing is left.
        DTypeError: x holds integers.
    """
    name = "conv_transpose2d"
    check_floating(name, weight)
    kernel = weight.shape[2:]
    check_images(name, x, weight, 2)
    check_affine(name, weight, 4, None)
    geometry, added = transposed_geometry_of(
        kernel, stride, padding, output_padding, groups, dilation
    )
    channels, outputs = weight.shape[0], weight.shape[1] * groups
    if x.shape[-3] != channels or channels % groups:
        raise ShapeError(
            f"{name} got {x.shape[-3]} channels for weight {weight.shape} and groups={groups}: "
            f"channels must be {channels}, and that a multiple of groups"
        )
    check_bias(name, bias, outputs, f"a weight of shape {weight.shape} and groups={groups}")
    size = geometry.input_size(x.shape[-2:], kernel)
    if min(*x.shape[-2:], *size) < 1:
        raise ShapeError(
            f"{name}: of an image {x.shape[-2:]} and a kernel {kernel} nothing is left without "
            f"padding {geometry.padding}: give less padding"
        )
    y: Tensor = ops.conv2d_input(_planes(x, 2), weight, size, geometry)
    if any(added):
        y = pad(y, [(0, 0), (0, 0), *((0, n) for n in added)])
    return _like(x, y if bias is None else y + bias.reshape(-1, 1, 1), 2)


# ---- what is checked -----------------------------------------------------------------------------


def geometry_of(
    kernel: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> ops.Geometry:
    """The options of a convolution, checked, with numbers for each axis of the kernel.

    Raises:
        ShapeError: an option out of range.
    """
    axes = len(kernel)
    per_axis(kernel, "kernel_size", axes)
    check_count("groups", groups)
    strides, dilations = per_axis(stride, "stride", axes), per_axis(dilation, "dilation", axes)
    if padding == "same":
        if max(strides) > 1:
            raise ShapeError(
                f'padding="same" needs stride 1, not {stride}: give the padding as a number'
            )
        spans = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        # an odd rest goes below and right, as in PyTorch
        pads = tuple((span // 2, span - span // 2) for span in spans)
    else:
        each = per_axis(0 if padding == "valid" else padding, "padding", axes, least=0)
        pads = tuple((n, n) for n in each)
    return ops.Geometry(strides, pads, dilations, groups)


def transposed_geometry_of(
    kernel: Sizes, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> tuple[ops.Geometry, Sizes]:
    """The options of a transposed convolution, checked, and the zeros added below and right.

    What output_padding asks for is cut off less, so far as there is padding to cut off.
    """
    axes = len(kernel)
    pads = per_axis(padding, "padding", axes, least=0)
    geometry = geometry_of(kernel, stride, pads, dilation, groups)
    extra = per_axis(output_padding, "output_padding", axes, least=0)
    bounds = [max(pair) for pair in zip(geometry.stride, geometry.dilation, strict=True)]
    if any(n >= bound for n, bound in zip(extra, bounds, strict=True)):
        raise ShapeError(
            f"output_padding was given as {output_padding}: it must be less than the stride "
            f"{geometry.stride} or the dilation {geometry.dilation}"
        )
    both = list(zip(pads, extra, strict=True))
    uneven = tuple((p, max(p - n, 0)) for p, n in both)
    return geometry._replace(padding=uneven), tuple(max(n - p, 0) for p, n in both)


def check_images(name: str, x: Tensor, weight: Tensor, axes: int) -> None:
    """x must be floating images or sequences, batched or not.

    Raises:
        ShapeError, DTypeError: it is not.
    """
    check_floating(name, x)
    if x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(
            f"{name} got x of shape {x.shape} and weight {weight.shape}: x must be {LAYOUTS[axes]}"
        )


def _check_channels(name: str, channels: int, weight: Tensor, groups: int) -> None:
    """A convolution's channels, in and out, fall into its groups."""
    outputs, each = weight.shape[:2]
    if channels != each * groups or outputs % groups:
        raise ShapeError(
            f"{name} got {channels} channels for weight {weight.shape} and groups={groups}: "
            f"channels must be {each}·{groups} = {each * groups}, and {outputs} outputs a multiple "
            "of groups"
        )


# ---- layouts -------------------------------------------------------------------------------------


def _planes(t: Tensor, axes: int) -> Tensor:
    """Images (N, C, H, W) from any layout: N = 1 if there is none, H = 1 of sequences."""
    if t.ndim == 4:
        return t
    *batch, channels = t.shape[:-axes]
    return t.reshape(*(batch or [1]), channels, *[1] * (2 - axes), *t.shape[-axes:])


def _in_planes(g: ops.Geometry) -> ops.Geometry:
    """The geometry of a convolution whose sequences are images of height 1."""
    if len(g.stride) == 2:
        return g
    return ops.Geometry((1, *g.stride), ((0, 0), *g.padding), (1, *g.dilation), g.groups)


def _like(x: Tensor, y: Tensor, axes: int) -> Tensor:
    """Outputs (N, O, oh, ow) in the layout of the input."""
    if x.ndim == 4:
        return y
    return y.reshape(*x.shape[: -axes - 1], y.shape[1], *y.shape[-axes:])
