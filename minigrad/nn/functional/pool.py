"""Pooling as functions."""

from __future__ import annotations

from typing import Any

from ...create import arange
from ...dtypes import is_whole
from ...errors import ShapeError
from ...ops import adaptive_pool
from ...ops import pool as ops
from ...tensor import Tensor
from ..checks import check_floating, per_axis


def max_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window; the first of equals gets the gradient.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding: numbers or pairs, in pixels; stride is kernel_size by
            default; padding, of -∞, at most half of it.
        dilation: how far the pixels of a window lie apart, a number or a pair.
        ceil_mode: whether a last window may reach beyond the padding, if it starts in the image or
            before it.
        return_indices: whether to tell where the values were found too.

    Returns:
        (N, C, oh, ow) with oh = ⌊(H + 2·padding - dilation·(kernel_size - 1) - 1) / stride⌋ + 1,
        or ⌈⌉ in ceil_mode; without N if x is.  With return_indices a pair of it and row·W + column,
        int64, for each value.

    Raises:
        ShapeError: x is of another rank, a window does not fit, or padding is too wide.
        DTypeError: x holds integers.
    """
    _check_images("max_pool2d", x)
    window = window_of("max_pool2d", kernel_size, stride, padding, dilation, ceil_mode)
    y, winner = ops.max_pool2d(x, window)
    if not return_indices:
        return y
    height, width = x.shape[-2:]
    places = arange(height * width, device=x.device).reshape(height, width)
    return y, ops.pick(places, winner, window)


def avg_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        x, kernel_size, stride, padding, ceil_mode: as for `max_pool2d`, but padding is of zeros.
        count_include_pad: whether the mean is over padding as well; what lies beyond it in
            ceil_mode is never counted.
        divisor_override: what sums are divided by instead.

    Returns:
        As `max_pool2d`.

    Raises:
        ValueError: a divisor_override of 0, or one that is no whole number.
        ShapeError, DTypeError: as `max_pool2d`.
    """
    _check_images("avg_pool2d", x)
    divisor = divisor_of(divisor_override)
    window = window_of("avg_pool2d", kernel_size, stride, padding, 1, ceil_mode)
    y: Tensor = ops.avg_pool2d(x, window, bool(count_include_pad), divisor)
    return y


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of each cell of a grid over the image.

    Args:
        x: (N, C, H, W) or (C, H, W).
        output_size: rows and columns of the grid, a number or a pair; None for as many as x has.
            Cell i of n goes from ⌊i·H / n⌋ to ⌈(i + 1)·H / n⌉, so cells may differ in size by one
            and share a row or a column.

    Returns:
        (N, C, *output_size); without N if x is.

    Raises:
        ShapeError: x is of another rank, or output_size is not as described.
        DTypeError: x holds integers.

    Differs from PyTorch: None may stand alone too; a grid of 0 cells is refused.
    """
    _check_images("adaptive_avg_pool2d", x)
    y: Tensor = adaptive_pool.adaptive_avg_pool2d(x, grid_of(output_size, x.shape[-2:]))
    return y


# ---- options, checked ----------------------------------------------------------------------------


def window_of(
    name: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> ops.Window:
    """The options of a pooling, checked.

    Raises:
        ShapeError: an option out of range.
    """
    kernel = per_axis(kernel_size, "kernel_size", 2)
    pads = per_axis(padding, "padding", 2, least=0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"{name} got padding {pads} for kernel_size {kernel}: it may be at most half, or a "
            "window would see no image"
        )
    strides = kernel if stride is None else per_axis(stride, "stride", 2)
    return ops.Window(kernel, strides, pads, per_axis(dilation, "dilation", 2), bool(ceil_mode))


def divisor_of(divisor: Any) -> int | None:
    """A divisor, checked: a whole number that is not 0, or None.

    Raises:
        ValueError: it is something else.
    """
    if divisor is None:
        return None
    if not is_whole(divisor) or divisor == 0:
        raise ValueError(
            f"divisor_override was given as {divisor!r}: give a whole number that is not 0, or None"
        )
    return int(divisor)


def grid_of(output_size: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """Rows and columns of a grid over images of this size.

    Raises:
        ShapeError: output_size is neither a number, None, nor a pair of these.
    """
    both = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(both) == 2:
        both = tuple(n if given is None else given for given, n in zip(both, size, strict=True))
    return per_axis(both, "output_size", 2)


def _check_images(name: str, x: Tensor) -> None:
    check_floating(name, x)
    if x.ndim not in (3, 4):
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C, H, W) or (C, H, W)")
