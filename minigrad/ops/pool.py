"""Pooling, as passes over the offsets in a window: no window is ever copied out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import ShapeError
from ..op import op
from ..samples import anything, apart


class Window(NamedTuple):
    """A pooling window: numbers for (height, width); padding is the same on both sides."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def offsets(self, size):
        """For each offset in the window, in reading order, what all windows see there.

        The slices index an image that is padded already, of `size` without the padding.
        """
        counts = [
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(size, self.kernel, self.stride, self.padding, strict=True)
        ]
        if min(counts) < 1:
            raise ShapeError(
                f"a window of {self.kernel} does not fit into images of {tuple(size)} padded by "
                f"{self.padding}: pad more, or pool less"
            )
        (oh, ow), (sh, sw) = counts, self.stride
        return [
            (..., slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw))
            for i in range(self.kernel[0])
            for j in range(self.kernel[1])
        ]

    def padded(self, xp, x, fill):
        """x (N, C, H, W) with `fill` around each image."""
        (h, w) = self.padding
        return xp.pad(x, ((0, 0), (0, 0), (h, h), (w, w)), constant_values=fill) if h or w else x

    def cropped(self, x):
        """x without its padding."""
        (h, w), (height, width) = self.padding, x.shape[2:]
        return x[:, :, h : height - h, w : width - w]


@op(None, method=False)
def max_pool2d_winner(xp, x, *, window):
    """Which offset of each window of x (N, C, H, W) holds the largest value: argmax.

    The first of equals wins, a NaN before any number, and padding never.  It carries no gradient.

    >>> from minigrad.ops.pool import Window, max_pool2d_winner
    >>> x = mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2)
    >>> max_pool2d_winner(x, window=Window((2, 2), (2, 2), (0, 0))).tolist()
    [[[[1]]]]
    """
    offsets = window.offsets(x.shape[2:])
    real = window.padded(xp, xp.ones((1, 1, *x.shape[2:]), bool), False)
    x = window.padded(xp, x, -np.inf)
    best = xp.full_like(x[offsets[0]], -np.inf)
    empty = xp.ones(best.shape, bool)  # windows that have seen no real pixel yet
    winner = xp.zeros(best.shape, np.uint8 if len(offsets) < 256 else np.int64)
    for k, offset in enumerate(offsets):
        values, is_real = x[offset], real[offset]
        better = (values > best) | (empty & is_real) | (xp.isnan(values) & ~xp.isnan(best))
        best = xp.where(better, values, best)
        winner[better] = k
        empty &= ~is_real
    return winner


@op(
    lambda g, winner, in_shapes, window: unpick(g, winner, in_shapes[0][2:], window),
    None,
    method=False,
)
def pick(xp, x, winner, *, window):
    """From each window of x (N, C, H, W) the value at the winning offset -> (N, C, oh, ow).

    d pick x = pick dx

    >>> from minigrad.ops.pool import Window, pick
    >>> x = mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2)
    >>> winner = mg.full((1, 1, 1, 1), 1, dtype=mg.int64)
    >>> pick(x, winner, window=Window((2, 2), (2, 2), (0, 0))).tolist()
    [[[[4.0]]]]
    """
    offsets = window.offsets(x.shape[2:])
    x = window.padded(xp, x, -np.inf)
    y = xp.zeros(winner.shape, x.dtype)
    for k, offset in enumerate(offsets):
        y = xp.where(winner == k, x[offset], y)
    return y


@op(lambda g, winner, window: pick(g, winner, window), None, method=False)
def unpick(xp, x, winner, *, size, window):
    """The adjoint of `pick`: x (N, C, oh, ow) added back to where it came from.

    d unpick x = unpick dx

    >>> from minigrad.ops.pool import Window, unpick
    >>> winner = mg.full((1, 1, 1, 1), 1, dtype=mg.int64)
    >>> unpick(mg.ones(1, 1, 1, 1), winner, (2, 2), Window((2, 2), (2, 2), (0, 0))).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    y = window.padded(xp, xp.zeros((*x.shape[:2], *size), x.dtype), 0)
    for k, offset in enumerate(window.offsets(size)):
        y[offset] += xp.where(winner == k, x, 0)
    return window.cropped(y)


@op(
    lambda g, in_shapes, window: avg_unpool2d(g, in_shapes[0][2:], window),
    method=False,
)
def avg_pool2d(xp, x, *, window):
    """The mean of each window of x (N, C, H, W), padding counted as zeros -> (N, C, oh, ow).

    d avg_pool2d x = avg_pool2d dx

    >>> from minigrad.nn.functional import avg_pool2d
    >>> avg_pool2d(mg.tensor([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 1, 2, 2), 2).tolist()
    [[[[2.5]]]]
    """
    first, *rest = window.offsets(x.shape[2:])
    x = window.padded(xp, x, 0)
    y = x[first].copy()
    for offset in rest:
        y += x[offset]
    y /= window.kernel[0] * window.kernel[1]
    return y


@op(lambda g, window: avg_pool2d(g, window), method=False)
def avg_unpool2d(xp, x, *, size, window):
    """The adjoint of avg_pool2d: each value spread evenly over its window.

    d avg_unpool2d x = avg_unpool2d dx

    >>> from minigrad.ops.pool import Window, avg_unpool2d
    >>> avg_unpool2d(mg.ones(1, 1, 1, 1), (1, 2), Window((1, 2), (1, 2), (0, 0))).tolist()
    [[[[0.5, 0.5]]]]
    """
    y = window.padded(xp, xp.zeros((*x.shape[:2], *size), x.dtype), 0)
    share = x / (window.kernel[0] * window.kernel[1])
    for offset in window.offsets(size):
        y[offset] += share
    return window.cropped(y)


# ---- samples -------------------------------------------------------------------------------------


def _image(draw, values):
    """Images (N, C, H, W) and a window that fits into them."""
    kernel = (draw.integer(1, 3), draw.integer(1, 3))
    stride = (draw.integer(1, 2), draw.integer(1, 2))
    padding = tuple(draw.integer(0, k // 2) for k in kernel)
    size = tuple(
        max(k - 2 * p, 1) + draw.integer(0, 2) for k, p in zip(kernel, padding, strict=True)
    )
    x = values(draw, (draw.integer(1, 2), draw.integer(0, 2), *size))
    return x, Window(kernel, stride, padding)


def _image_samples(values):
    def sample(draw):
        x, window = _image(draw, values)
        return (x,), {"window": window}

    return sample


def _picked(draw):
    """Images, a window, and the winners of each window in other images of that shape."""
    x, window = _image(draw, anything)
    winner = max_pool2d_winner(apart(draw, x.shape), window=window)
    return x, winner, window


@pick.samples
def _pick_samples(draw):
    x, winner, window = _picked(draw)
    return (x, winner), {"window": window}


@unpick.samples
def _unpick_samples(draw):
    x, winner, window = _picked(draw)
    return (anything(draw, winner.shape), winner), {"size": x.shape[2:], "window": window}


@avg_unpool2d.samples
def _unpool_samples(draw):
    x, winner, window = _picked(draw)
    return (anything(draw, winner.shape),), {"size": x.shape[2:], "window": window}


max_pool2d_winner.samples(_image_samples(apart))
avg_pool2d.samples(_image_samples(anything))
