"""Two-dimensional convolution by patch matrices: three ops that are each other's derivatives, so every order exists.

Images are taken block by block, as many as keep the patch matrix near `BLOCK_BYTES`, with one matrix product a block:
memory stays bounded, and the matrix stays in cache.  With y = conv2d(x, w), each op is linear in both of its inputs:

    conv2d(x, w) -> y        conv2d_input(g, w) -> like x        conv2d_weight(x, g) -> like w
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..op import op

BLOCK_BYTES = 2 << 20  # the patch matrix of a block fills about a core's share of cache


def output_size(size, kernel, stride, padding, dilation):
    """How many positions a window of `kernel` (dilated) takes along a padded axis."""
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


def _output_hw(x_shape, kernel, stride, padding, dilation):
    return tuple(output_size(n, k, s, p, d) for n, k, s, p, d in zip(x_shape[2:], kernel, stride, padding, dilation, strict=True))


def _blocks(images, bytes_each):
    """Slices of images whose patch matrices fit the block size; at least one image each."""
    step = max(1, BLOCK_BYTES // max(1, bytes_each))
    return [slice(i, i + step) for i in range(0, images, step)]


def _patches(xp, x, kernel, stride, padding, dilation, groups):
    """(B, C, H, W) -> (groups, C/groups·kh·kw, B·oh·ow): each column is what one output position sees."""
    x = xp.pad(x, ((0, 0), (0, 0), *padding)) if any(map(any, padding)) else x
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = backend.of(x).windows(x, span, (2, 3))[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    b, c, oh, ow, kh, kw = windows.shape
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(groups, c // groups * kh * kw, b * oh * ow)


def _add_patches(xp, columns, shape, kernel, stride, padding, dilation):
    """The adjoint of `_patches`: every column is added back to where it was read.  Columns (C·kh·kw, B·oh·ow) -> `shape`."""
    b, c, h, w = shape
    (top, bottom), (left, right) = padding
    oh, ow = _output_hw(shape, kernel, stride, padding, dilation)
    columns = columns.reshape(c, *kernel, b, oh, ow)
    x = xp.zeros((c, b, h + top + bottom, w + left + right), columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + stride[0] * (oh - 1) + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + stride[1] * (ow - 1) + 1, stride[1])
            x[:, :, rows, cols] += columns[:, i, j]
    return x[:, :, top : top + h, left : left + w].swapaxes(0, 1)


def _by_group(x, groups):
    """(B, O, oh, ow) -> (groups, O/groups, B·oh·ow)."""
    b, o, oh, ow = x.shape
    return x.swapaxes(0, 1).reshape(groups, o // groups, b * oh * ow)


@op(
    lambda g, w, in_shapes, stride, padding, dilation, groups: conv2d_input(
        g, w, size=in_shapes[0][2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g, x, in_shapes, stride, padding, dilation, groups: conv2d_weight(
        x, g, kernel=in_shapes[1][2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    method=False,
)  # fmt: skip
def conv2d(xp, x, w, *, stride, padding, dilation, groups):
    """Cross-correlation of x (N, C, H, W) with w (O, C/groups, kh, kw) -> (N, O, oh, ow).

        d conv2d(x, w) = conv2d(dx, w) + conv2d(x, dw)

    stride and dilation are pairs, padding is ((top, bottom), (left, right)).
    """
    n, o, kernel = x.shape[0], w.shape[0], w.shape[2:]
    oh, ow = _output_hw(x.shape, kernel, stride, padding, dilation)
    weights = w.reshape(groups, o // groups, -1)
    y = xp.empty((n, o, oh, ow), np.result_type(x.dtype, w.dtype))
    for block in _blocks(n, w[:1].size * groups * oh * ow * x.itemsize):
        patches = _patches(xp, x[block], kernel, stride, padding, dilation, groups)
        y[block] = xp.matmul(weights, patches).reshape(o, -1, oh, ow).swapaxes(0, 1)
    return y


@op(
    lambda g, w, in_shapes, stride, padding, dilation, groups: conv2d(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g, x, in_shapes, stride, padding, dilation, groups: conv2d_weight(
        g, x, kernel=in_shapes[1][2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    method=False,
)  # fmt: skip
def conv2d_input(xp, x, w, *, size, stride, padding, dilation, groups):
    """The adjoint of conv2d in its input: x (N, O, oh, ow) back to (N, C, *size).        d = conv2d_input(dx, w) + conv2d_input(x, dw)"""
    n, o, oh, ow = x.shape
    kernel, c = w.shape[2:], w.shape[1] * groups
    weights = w.reshape(groups, o // groups, -1).swapaxes(1, 2)
    y = xp.empty((n, c, *size), np.result_type(x.dtype, w.dtype))
    for block in _blocks(n, w[:1].size * groups * oh * ow * x.itemsize):
        columns = xp.matmul(weights, _by_group(x[block], groups))
        y[block] = _add_patches(xp, columns, y[block].shape, kernel, stride, padding, dilation)
    return y


@op(
    lambda g, dy, in_shapes, stride, padding, dilation, groups: conv2d_input(
        dy, g, size=in_shapes[0][2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    lambda g, x, stride, padding, dilation, groups: conv2d(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups),
    method=False,
)  # fmt: skip
def conv2d_weight(xp, x, dy, *, kernel, stride, padding, dilation, groups):
    """The adjoint of conv2d in its weights: (O, C/groups, *kernel) from x and dy.        d = conv2d_weight(dx, dy) + conv2d_weight(x, d dy)"""
    (n, c), (o, oh, ow) = x.shape[:2], dy.shape[1:]
    k = c // groups * kernel[0] * kernel[1]
    dw = xp.zeros((groups, o // groups, k), np.result_type(x.dtype, dy.dtype))
    for block in _blocks(n, k * groups * oh * ow * x.itemsize):
        patches = _patches(xp, x[block], kernel, stride, padding, dilation, groups)
        dw += xp.matmul(_by_group(dy[block], groups), patches.swapaxes(1, 2))
    return dw.reshape(o, c // groups, *kernel)
