"""Two-dimensional convolution by patch matrices: three ops that are each other's derivatives.

With y = conv2d(x, w), each is linear in both of its inputs, so every order exists:

    conv2d(x, w) -> y        conv2d_input(g, w) -> like x        conv2d_weight(x, g) -> like w

Images are taken block by block, as many as keep the patch matrix near `BLOCK_BYTES`, with one
matrix product a block: memory stays bounded, and on the CPU the matrix stays in cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import backend
from ..op import op
from ..samples import anything

BLOCK_BYTES = 2 << 20  # the patch matrix of a block fills about a core's share of cache
DEVICE_BLOCK_BYTES = 256 << 20  # elsewhere, work enough that launching it costs little beside it


class Geometry(NamedTuple):
    """How kernels move: numbers for each axis, with padding before and after it.

    The ops want two axes, (height, width).
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def output_size(self, size, kernel):
        """How many positions a kernel takes along each axis of a padded image."""
        return tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                size, kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    def input_size(self, size, kernel):
        """The least size of images on which a kernel takes so many positions."""
        return tuple(
            (n - 1) * s + d * (k - 1) + 1 - sum(p)
            for n, k, s, p, d in zip(
                size, kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )


def _blocks(xp, images, bytes_each):
    """Slices of images whose patch matrices fit the block size; at least one image each."""
    step = max(1, (BLOCK_BYTES if xp is np else DEVICE_BLOCK_BYTES) // max(1, bytes_each))
    return [slice(i, i + step) for i in range(0, images, step)]


def _patches(xp, x, kernel, geometry):
    """Patches of x (B, C, H, W) as columns: (groups, C/groups·kh·kw, B·oh·ow)."""
    (sh, sw), padding, (dh, dw), groups = geometry
    x = xp.pad(x, ((0, 0), (0, 0), *padding)) if any(map(any, padding)) else x
    span = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    windows = backend.of(x).windows(x, span, (2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
    b, c, oh, ow, kh, kw = windows.shape
    columns = windows.transpose(1, 4, 5, 0, 2, 3)
    return columns.reshape(groups, c // groups * kh * kw, b * oh * ow)


def _add_patches(xp, columns, shape, kernel, geometry):
    """The adjoint of `_patches`: each column is added back to where it was read."""
    b, c, h, w = shape
    (sh, sw), ((top, bottom), (left, right)), (dh, dw), _ = geometry
    oh, ow = geometry.output_size((h, w), kernel)
    columns = columns.reshape(c, *kernel, b, oh, ow)
    x = xp.zeros((c, b, h + top + bottom, w + left + right), columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dh, i * dh + sh * (oh - 1) + 1, sh)
            cols = slice(j * dw, j * dw + sw * (ow - 1) + 1, sw)
            x[:, :, rows, cols] += columns[:, i, j]
    return x[:, :, top : top + h, left : left + w].swapaxes(0, 1)


def _by_group(x, groups):
    """(B, O, oh, ow) -> (groups, O/groups, B·oh·ow)."""
    b, o, oh, ow = x.shape
    return x.swapaxes(0, 1).reshape(groups, o // groups, b * oh * ow)


@op(
    lambda g, w, in_shapes, geometry: conv2d_input(g, w, in_shapes[0][2:], geometry),
    lambda g, x, in_shapes, geometry: conv2d_weight(x, g, in_shapes[1][2:], geometry),
    method=False,
)
def conv2d(xp, x, w, *, geometry):
    """Cross-correlation of x (N, C, H, W) with w (O, C/groups, kh, kw) -> (N, O, oh, ow).

    d conv2d(x, w) = conv2d(dx, w) + conv2d(x, dw)

    >>> from minigrad.nn.functional import conv2d
    >>> conv2d(mg.ones(1, 1, 3, 3), mg.ones(1, 1, 2, 2), stride=1).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    n, o, kernel, groups = x.shape[0], w.shape[0], w.shape[2:], geometry.groups
    oh, ow = geometry.output_size(x.shape[2:], kernel)
    weights = w.reshape(groups, o // groups, -1)
    y = xp.empty((n, o, oh, ow), np.result_type(x.dtype, w.dtype))
    for block in _blocks(xp, n, w[:1].size * groups * oh * ow * x.itemsize):
        patches = _patches(xp, x[block], kernel, geometry)
        y[block] = xp.matmul(weights, patches).reshape(o, -1, oh, ow).swapaxes(0, 1)
    return y


@op(
    lambda g, w, geometry: conv2d(g, w, geometry),
    lambda g, x, in_shapes, geometry: conv2d_weight(g, x, in_shapes[1][2:], geometry),
    method=False,
)
def conv2d_input(xp, x, w, *, size, geometry):
    """The adjoint of conv2d in its input: x (N, O, oh, ow) back to (N, C, *size).

    d conv2d_input(x, w) = conv2d_input(dx, w) + conv2d_input(x, dw)

    >>> from minigrad.ops.conv import Geometry, conv2d_input
    >>> plain = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    >>> y = mg.ones(1, 1, 1, 2)
    >>> conv2d_input(y, mg.ones(1, 1, 1, 2), size=(1, 3), geometry=plain).tolist()
    [[[[1.0, 2.0, 1.0]]]]
    """
    (n, o, oh, ow), kernel, groups = x.shape, w.shape[2:], geometry.groups
    weights = w.reshape(groups, o // groups, -1).swapaxes(1, 2)
    y = xp.empty((n, w.shape[1] * groups, *size), np.result_type(x.dtype, w.dtype))
    for block in _blocks(xp, n, w[:1].size * groups * oh * ow * x.itemsize):
        columns = xp.matmul(weights, _by_group(x[block], groups))
        y[block] = _add_patches(xp, columns, y[block].shape, kernel, geometry)
    return y


@op(
    lambda g, dy, in_shapes, geometry: conv2d_input(dy, g, in_shapes[0][2:], geometry),
    lambda g, x, geometry: conv2d(x, g, geometry),
    method=False,
)
def conv2d_weight(xp, x, dy, *, kernel, geometry):
    """The adjoint of conv2d in its weights: (O, C/groups, *kernel) from x and dy.

    d conv2d_weight(x, dy) = conv2d_weight(dx, dy) + conv2d_weight(x, d dy)

    >>> from minigrad.ops.conv import Geometry, conv2d_weight
    >>> plain = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    >>> x = mg.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    >>> conv2d_weight(x, mg.ones(1, 1, 1, 2), kernel=(1, 2), geometry=plain).tolist()
    [[[[3.0, 5.0]]]]
    """
    (n, c), (o, oh, ow), groups = x.shape[:2], dy.shape[1:], geometry.groups
    k = c // groups * kernel[0] * kernel[1]
    dw = xp.zeros((groups, o // groups, k), np.result_type(x.dtype, dy.dtype))
    for block in _blocks(xp, n, k * groups * oh * ow * x.itemsize):
        patches = _patches(xp, x[block], kernel, geometry)
        dw += xp.matmul(_by_group(dy[block], groups), patches.swapaxes(1, 2))
    return dw.reshape(o, c // groups, *kernel)


# ---- samples -------------------------------------------------------------------------------------


def _geometry(draw):
    """A geometry, images (N, C, H, W), weights, and outputs of the fitting shapes."""
    two = draw.integer
    padding = (two(0, 1), two(0, 1)), (two(0, 1), two(0, 1))
    geometry = Geometry((two(1, 2), two(1, 2)), padding, (two(1, 2), two(1, 2)), draw.one_of(1, 2))
    kernel = (two(1, 2), two(1, 2))
    size = tuple(
        d * (k - 1) + 1 + two(0, 2) for d, k in zip(geometry.dilation, kernel, strict=True)
    )
    n, each_in, each_out = two(0, 2), two(1, 2), two(1, 2)
    x = anything(draw, (n, each_in * geometry.groups, *size))
    w = anything(draw, (each_out * geometry.groups, each_in, *kernel))
    y = anything(draw, (n, len(w), *geometry.output_size(size, kernel)))
    return geometry, x, w, y


@conv2d.samples
def _conv_samples(draw):
    geometry, x, w, _ = _geometry(draw)
    return (x, w), {"geometry": geometry}


@conv2d_input.samples
def _conv_input_samples(draw):
    geometry, x, w, y = _geometry(draw)
    return (y, w), {"size": x.shape[2:], "geometry": geometry}


@conv2d_weight.samples
def _conv_weight_samples(draw):
    geometry, x, w, y = _geometry(draw)
    return (x, y), {"kernel": w.shape[2:], "geometry": geometry}
