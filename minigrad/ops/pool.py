"""Pooling over windows of an image, as passes over the window's offsets: no window is ever copied out."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..op import op
from .conv import output_size


def _offsets(shape, kernel, stride, padding):
    """For every offset in the window, in reading order, the slices of the padded image that all windows see there."""
    (oh, ow) = (output_size(n, k, s, (p, p), 1) for n, k, s, p in zip(shape[2:], kernel, stride, padding, strict=True))
    if oh < 1 or ow < 1:
        raise ShapeError(f"a window of {kernel} does not fit into images of {tuple(shape[2:])} padded by {padding}: pad more, or pool less")
    return [
        (..., slice(i, i + stride[0] * (oh - 1) + 1, stride[0]), slice(j, j + stride[1] * (ow - 1) + 1, stride[1]))
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _padded(xp, x, padding, fill):
    return xp.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=fill) if any(padding) else x


def _cropped(x, shape, padding):
    return x[:, :, padding[0] : padding[0] + shape[2], padding[1] : padding[1] + shape[3]]


@op(None, method=False)
def max_pool2d_winner(xp, x, *, kernel, stride, padding):
    """Which offset of each window holds the largest value: the first of equals, a NaN before any number.  (No gradient.)"""
    x = _padded(xp, x, padding, -np.inf)
    first, *rest = _offsets(x.shape, kernel, stride, (0, 0))
    best = x[first].copy()
    winner = xp.zeros(best.shape, np.uint8 if len(rest) < 256 else np.int64)
    for k, offset in enumerate(rest, 1):
        values = x[offset]
        better = (values > best) | (xp.isnan(values) & ~xp.isnan(best))
        best = xp.where(better, values, best)
        winner[better] = k
    return winner


@op(
    lambda g, winner, in_shapes, kernel, stride, padding: unpick(
        g, winner, size=in_shapes[0][2:], kernel=kernel, stride=stride, padding=padding),
    None,
    method=False,
)  # fmt: skip
def pick(xp, x, winner, *, kernel, stride, padding):
    """From each window of x (N, C, H, W) the value at the offset that `winner` names -> (N, C, oh, ow).        d pick x = pick dx"""
    x = _padded(xp, x, padding, -np.inf)
    y = xp.zeros(winner.shape, x.dtype)
    for k, offset in enumerate(_offsets(x.shape, kernel, stride, (0, 0))):
        y = xp.where(winner == k, x[offset], y)
    return y


@op(lambda g, winner, kernel, stride, padding: pick(g, winner, kernel=kernel, stride=stride, padding=padding), None, method=False)
def unpick(xp, x, winner, *, size, kernel, stride, padding):
    """The adjoint of `pick`: x (N, C, oh, ow) added back to where it came from.        d unpick x = unpick dx"""
    shape = (*x.shape[:2], *size)
    y = _padded(xp, xp.zeros(shape, x.dtype), padding, 0)
    for k, offset in enumerate(_offsets(y.shape, kernel, stride, (0, 0))):
        y[offset] += xp.where(winner == k, x, 0)
    return _cropped(y, shape, padding)


@op(
    lambda g, in_shapes, kernel, stride, padding: avg_unpool2d(g, size=in_shapes[0][2:], kernel=kernel, stride=stride, padding=padding),
    method=False,
)
def avg_pool2d(xp, x, *, kernel, stride, padding):
    """The mean of each window of x (N, C, H, W), padding counted as zeros -> (N, C, oh, ow).        d avg_pool2d x = avg_pool2d dx"""
    x = _padded(xp, x, padding, 0)
    first, *rest = _offsets(x.shape, kernel, stride, (0, 0))
    y = x[first].copy()
    for offset in rest:
        y += x[offset]
    y /= kernel[0] * kernel[1]
    return y


@op(lambda g, kernel, stride, padding: avg_pool2d(g, kernel=kernel, stride=stride, padding=padding), method=False)
def avg_unpool2d(xp, x, *, size, kernel, stride, padding):
    """The adjoint of avg_pool2d: each value spread evenly over its window.        d avg_unpool2d x = avg_unpool2d dx"""
    shape = (*x.shape[:2], *size)
    y = _padded(xp, xp.zeros(shape, x.dtype), padding, 0)
    share = x / (kernel[0] * kernel[1])
    for offset in _offsets(y.shape, kernel, stride, (0, 0)):
        y[offset] += share
    return _cropped(y, shape, padding)
