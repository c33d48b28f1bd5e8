"""Pooling, as passes over the offsets in a window: no window is ever copied out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything, apart
from .select import select


class Window(NamedTuple):
    """A pooling window: numbers for (height, width); padding is the same on both sides.

    With `ceil` the last window may reach beyond the padding, if it starts in the image or before.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    ceil: bool = False

    @property
    def pads(self):
        """Whether a window may reach beyond the image."""
        return self.ceil or any(self.padding)

    @property
    def overlap(self):
        """Whether two windows may see one value."""
        axes = zip(self.kernel, self.stride, self.dilation, strict=True)
        return any(d * (k - 1) >= s for k, s, d in axes)

    def output_size(self, size):
        """How many windows there are along each axis of images of this size."""
        counts = [self._count(*axis) for axis in zip(size, *self[:4], strict=True)]
        if min(counts) < 1:
            dilated = f", dilation {self.dilation}," * (self.dilation != (1, 1))
            raise ShapeError(
                f"a window of {self.kernel}{dilated} does not fit into images of {tuple(size)} "
                f"padded by {self.padding}: pad more, or pool less"
            )
        return tuple(counts)

    def _count(self, n, k, s, p, d):
        room = n + 2 * p - d * (k - 1) - 1
        count = -(-room // s) + 1 if self.ceil else room // s + 1
        if self.ceil and (count - 1) * s >= n + p:
            count -= 1
        if d > 1 and any((i * s - p) % d >= n for i in range(count) if i * s < p):
            raise ShapeError(
                f"kernel {k} with dilation {d} and padding {p} steps over the whole image of "
                f"length {n}: give a dilation of at most {n}"
            )
        return count

    def offsets(self, size):
        """For each offset in the window, in reading order, what all windows see there.

        The slices index an image that is padded already, of `size` without the padding.
        """
        (oh, ow), (sh, sw), (dh, dw) = self.output_size(size), self.stride, self.dilation
        return [
            (..., slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw))
            for i in range(0, self.kernel[0] * dh, dh)
            for j in range(0, self.kernel[1] * dw, dw)
        ]

    def padded(self, xp, x, fill):
        """x (…, H, W) with `fill` around each image, as far as the windows reach."""
        if not self.pads:
            return x
        size = x.shape[-2:]
        reached = [
            (count - 1) * s + d * (k - 1) + 1 - p
            for count, k, s, p, d in zip(self.output_size(size), *self[:4], strict=True)
        ]
        widths = [
            (p, max(p, end - n)) for n, end, p in zip(size, reached, self.padding, strict=True)
        ]
        return xp.pad(x, [(0, 0)] * (x.ndim - 2) + widths, constant_values=fill)

    def cropped(self, x, size):
        """x without what `padded` put around images of this size."""
        (top, left), (h, w) = self.padding, size
        return x[..., top : top + h, left : left + w] if self.pads else x

    def areas(self, xp, size, dtype, include_pad):
        """What a mean divides by: how many values each window sees, a number if it is one for all.

        Padding counts with `include_pad`; what lies beyond the padding never does.
        """
        if not self.ceil and (include_pad or self.padding == (0, 0)):
            return self.kernel[0] * self.kernel[1]
        return xp.asarray(np.outer(*self.sides(size, include_pad)), dtype)

    def sides(self, size, include_pad):
        """How many rows each window of a column of windows sees, and columns each of a row."""
        axes = zip(self.output_size(size), size, *self[:3], strict=True)
        return [_overlaps(count, n, k, s, p, p if include_pad else 0) for count, n, k, s, p in axes]


def _overlaps(count, n, k, s, p, border):
    """How much of an axis of length n, with a border around it, each window covers."""
    starts = np.arange(count) * s - p
    return np.minimum(starts + k, n + border) - np.maximum(starts, -border)


def _unpicked(g, y, in_shapes, window):
    return unpick(g, y[1], in_shapes[0][-2:], window)


@op(_unpicked, method=False, outputs="values winner", constant=(1,))
def max_pool2d(xp, x, *, window):
    """The largest value of each window of x (…, H, W), and which offset in the window has it.

    y = max x over a window        d max_pool2d x = dx at the winner

    The first of equals wins, a NaN before any number, and padding never.

    >>> from minigrad.ops.pool import Window, max_pool2d
    >>> x = mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2)
    >>> values, winner = max_pool2d(x, window=Window((2, 2), (2, 2)))
    >>> values.tolist(), winner.tolist()
    ([[[[4.0]]]], [[[[1]]]])
    """
    if x.dtype.kind != "f":
        raise DTypeError("integers have no -∞ to pad with: give floating numbers")
    size, offsets = x.shape[-2:], window.offsets(x.shape[-2:])
    real = window.padded(xp, xp.ones(size, bool), False) if window.pads else None
    x = window.padded(xp, x, -np.inf)
    y = x[offsets[0]].copy()
    for offset in offsets[1:]:
        xp.maximum(y, x[offset], out=y)
    some_nan = xp is not np or np.isnan(y).any()  # to ask a GPU would be to wait for it
    n = len(offsets)
    first = xp.zeros(y.shape, np.uint8 if n < 256 else np.int64)  # n for offset 0, down to 1
    for k, offset in enumerate(offsets):
        hit = x[offset] == y
        if some_nan:
            hit |= xp.isnan(x[offset])
        if real is not None:
            hit &= real[offset]
        xp.maximum(first, hit.astype(first.dtype) * (n - k), out=first)
    return y, n - first


@op(
    lambda g, winner, in_shapes, window: unpick(g, winner, in_shapes[0][-2:], window),
    None,
    method=False,
)
def pick(xp, x, winner, *, window):
    """From each window of x (…, H, W) the value at the winning offset -> (…, oh, ow).

    d pick x = pick dx

    >>> from minigrad.ops.pool import Window, pick
    >>> x = mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2)
    >>> winner = mg.full((1, 1, 1, 1), 1, dtype=mg.int64)
    >>> pick(x, winner, window=Window((2, 2), (2, 2))).tolist()
    [[[[4.0]]]]
    """
    offsets = window.offsets(x.shape[-2:])
    x = window.padded(xp, x, 0)  # which never wins
    y = xp.zeros(winner.shape, x.dtype)
    for k, offset in enumerate(offsets):
        y = select(xp, winner == k, x[offset], y)
    return y


@op(lambda g, winner, window: pick(g, winner, window), None, method=False)
def unpick(xp, x, winner, *, size, window):
    """The adjoint of `pick`: x (…, oh, ow) added back to where it came from.

    d unpick x = unpick dx

    >>> from minigrad.ops.pool import Window, unpick
    >>> winner = mg.full((1, 1, 1, 1), 1, dtype=mg.int64)
    >>> unpick(mg.ones(1, 1, 1, 1), winner, (2, 2), Window((2, 2), (2, 2))).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    y = window.padded(xp, xp.zeros((*x.shape[:-2], *size), x.dtype), 0)
    for k, offset in enumerate(window.offsets(size)):
        mine = select(xp, winner == k, x, 0)
        if window.overlap:
            y[offset] += mine
        else:
            y[offset] = mine
    return window.cropped(y, size)


@op(
    lambda g, in_shapes, window, include_pad, divisor: avg_unpool2d(
        g, in_shapes[0][-2:], window, include_pad, divisor
    ),
    method=False,
)
def avg_pool2d(xp, x, *, window, include_pad=True, divisor=None):
    """The mean of each window of x (…, H, W) -> (…, oh, ow).

    d avg_pool2d x = avg_pool2d dx

    Args:
        include_pad: whether padding counts, as zeros.
        divisor: what sums are divided by, instead of the number of values.

    >>> from minigrad.nn.functional import avg_pool2d
    >>> avg_pool2d(mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2), 2).tolist()
    [[[[2.5]]]]
    """
    size = x.shape[-2:]
    first, *rest = window.offsets(size)
    x = window.padded(xp, x, 0)
    y = x[first].copy()
    for offset in rest:
        y += x[offset]
    y /= divisor or window.areas(xp, size, x.dtype, include_pad)
    return y


@op(
    lambda g, window, include_pad, divisor: avg_pool2d(g, window, include_pad, divisor),
    method=False,
)
def avg_unpool2d(xp, x, *, size, window, include_pad=True, divisor=None):
    """The adjoint of avg_pool2d: each value spread evenly over its window.

    d avg_unpool2d x = avg_unpool2d dx

    >>> from minigrad.ops.pool import Window, avg_unpool2d
    >>> avg_unpool2d(mg.ones(1, 1, 1, 1), (1, 2), Window((1, 2), (1, 2))).tolist()
    [[[[0.5, 0.5]]]]
    """
    y = window.padded(xp, xp.zeros((*x.shape[:-2], *size), x.dtype), 0)
    share = x / (divisor or window.areas(xp, size, x.dtype, include_pad))
    for offset in window.offsets(size):
        y[offset] += share
    return window.cropped(y, size)


# ---- samples -------------------------------------------------------------------------------------


def _image(draw, values, dilations=(1,)):
    """Images (N, C, H, W) or (C, H, W) and a window that fits into them."""
    kernel = (draw.integer(1, 3), draw.integer(1, 3))
    stride = (draw.integer(1, 2), draw.integer(1, 2))
    padding = tuple(draw.integer(0, k // 2) for k in kernel)
    dilation = (draw.one_of(*dilations), draw.one_of(*dilations))
    size = tuple(
        max(d * (k - 1) + 1 - 2 * p, d) + draw.integer(0, 2)
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    x = values(draw, (*(draw.integer(1, 2), draw.integer(0, 2))[draw.integer(0, 1) :], *size))
    return x, Window(kernel, stride, padding, dilation, draw.flag())


def _picked(draw):
    """Images, a window, and the winners of each window in other images of that shape."""
    x, window = _image(draw, anything, (1, 2))
    winner = max_pool2d(apart(draw, x.shape), window=window)[1]
    return x, winner, window


def _averaged(draw):
    """Images, and the options of their mean."""
    x, window = _image(draw, anything)
    return x, {"window": window, "include_pad": draw.flag(), "divisor": draw.one_of(None, 3)}


@max_pool2d.samples
def _max_pool_samples(draw):
    x, window = _image(draw, apart, (1, 2))
    return (x,), {"window": window}


@pick.samples
def _pick_samples(draw):
    x, winner, window = _picked(draw)
    return (x, winner), {"window": window}


@unpick.samples
def _unpick_samples(draw):
    x, winner, window = _picked(draw)
    return (anything(draw, winner.shape), winner), {"size": x.shape[-2:], "window": window}


@avg_pool2d.samples
def _avg_pool_samples(draw):
    x, options = _averaged(draw)
    return (x,), options


@avg_unpool2d.samples
def _avg_unpool_samples(draw):
    x, options = _averaged(draw)
    size = x.shape[-2:]
    y = anything(draw, (*x.shape[:2], *options["window"].output_size(size)))
    return (y,), {"size": size} | options
