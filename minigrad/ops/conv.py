"""Two-dimensional convolution by patch matrices: three ops that are each other's derivatives.

With y = conv2d(x, w), each is linear in both of its inputs, so every order exists:

    conv2d(x, w) -> y        conv2d_input(g, w) -> like x        conv2d_weight(x, g) -> like w

`conv2d_bias` adds a bias to each block of y while it is in cache.

Images are taken block by block, and of large ones some positions at a time, so that the patch
matrix stays near `BLOCK_BYTES`, with one matrix product each (frames.py tells how patches are
made): memory is bounded, and on the CPU the matrix stays in cache.  1×1 kernels need no patches,
and small images that keep their width only those along rows (rows.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..memory import empty
from ..op import fused, op
from ..samples import anything
from .frames import Room, frame_of
from .reduce import sum as total
from .rows import convolve, suits, turned, weigh
from .shape import reshape

BLOCK_BYTES = 2 << 20  # the patch matrix of a block fills about a core's share of cache
DEVICE_BLOCK_BYTES = 256 << 20  # elsewhere, work enough that launching it costs little beside it
LARGE_IMAGE = 256  # pixels from which on a product for each image is as good as one for several


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


def _room(xp, x, size, w_shape, geometry):
    """Scratch for images of a size, how many of them make a block, and positions of a product."""
    _, each, *kernel = w_shape
    frame = frame_of(size, kernel, geometry)
    room = Room(xp, x.dtype, frame, each * geometry.groups)
    taps = max(1, room.channels * kernel[0] * kernel[1])
    step = max(1, (BLOCK_BYTES if xp is np else DEVICE_BLOCK_BYTES) // (taps * x.itemsize))
    return room, max(1, step // frame.each), max(step, frame.pitch)


def _new(xp, shape, a, b):
    """Memory for a result of two arrays."""
    return (empty if xp is np else xp.empty)(shape, np.result_type(a.dtype, b.dtype))


def _by_group(matrix, groups):
    """The rows of a matrix, or of several, by group."""
    *batch, rows, columns = matrix.shape
    return matrix.reshape(*batch, groups, rows // groups, columns)


def _by_pixel(x, groups):
    """(N, C, H, W) as matrices (N, groups, C/groups, H·W)."""
    return _by_group(x.reshape(*x.shape[:2], x.shape[2] * x.shape[3]), groups)


def _pointwise(size, kernel, geometry):
    """Whether pixels do not meet, in images so large that each is worth a product of its own."""
    plain = geometry.stride == (1, 1) and not any(map(any, geometry.padding))
    return plain and tuple(kernel) == (1, 1) and size[0] * size[1] >= LARGE_IMAGE


def _convolved(xp, x, w, geometry, b=None):
    """conv2d(x, w), and a bias."""
    n, o, kernel, groups = x.shape[0], w.shape[0], w.shape[2:], geometry.groups
    y = _new(xp, (n, o, *geometry.output_size(x.shape[2:], kernel)), x, w)
    weights = w.reshape(groups, o // groups, w[0].size)
    offsets = 0 if b is None else b[:, None, None]
    if _pointwise(x.shape[2:], kernel, geometry):
        for image, out in zip(_by_pixel(x, groups), y, strict=True):
            xp.matmul(weights, image, out=_by_pixel(out[None], groups)[0])
            if b is not None:
                out += offsets
        return y
    if xp is np and suits(x, w, y, kernel, geometry):
        convolve(x, w, offsets, geometry, y)
        return y
    room, images, step = _room(xp, x, x.shape[2:], w.shape, geometry)
    for block in range(0, n, images):
        out = y[block : block + images]
        planes = room.framed(x[block : block + images])
        lines, inside = room.lines(o, len(out))
        for start in range(0, lines.shape[1], step):
            part = lines[:, start : start + step]
            patches = room.patches(planes, start, start + part.shape[1])
            xp.matmul(weights, _by_group(patches, groups), out=_by_group(part, groups))
        xp.add(inside, offsets, out=out)
    return y


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
    return _convolved(xp, x, w, geometry)


def conv2d_bias_reference(x, w, b, *, geometry):
    """Composed: conv2d(x, w) + b."""
    return conv2d(x, w, geometry) + reshape(b, (-1, 1, 1))


@fused(
    lambda g, w, in_shapes, geometry: conv2d_input(g, w, in_shapes[0][2:], geometry),
    lambda g, x, in_shapes, geometry: conv2d_weight(x, g, in_shapes[1][2:], geometry),
    lambda g: total(g, (0, 2, 3)),
    reference=conv2d_bias_reference,
)
def conv2d_bias(xp, x, w, b, *, geometry):
    """conv2d(x, w) + b, with a number for each output channel: b (O,).

    d conv2d_bias(x, w, b) = conv2d(dx, w) + conv2d(x, dw) + db

    >>> from minigrad.nn.functional import conv2d
    >>> conv2d(mg.ones(1, 1, 3, 3), mg.ones(1, 1, 3, 3), mg.tensor([0.5])).tolist()
    [[[[9.5]]]]
    """
    return _convolved(xp, x, w, geometry, b)


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
    n, o, kernel, groups = x.shape[0], x.shape[1], w.shape[2:], geometry.groups
    weights = w.reshape(groups, o // groups, w[:1].size).swapaxes(1, 2)
    y = _new(xp, (n, w.shape[1] * groups, *size), x, w)
    if _pointwise(size, kernel, geometry):
        xp.matmul(weights, _by_pixel(x, groups), out=_by_pixel(y, groups))
        return y
    # zeros in the gaps stay zeros if the weights are finite; NumPy alone can tell at no cost
    exact = xp is np and bool(np.isfinite(w).all())
    found = turned(x, w, size, geometry) if exact else None
    if found and suits(x, found[0], y, kernel, found[1]):
        convolve(x, found[0], 0, found[1], y)
        return y
    room, images, step = _room(xp, x, size, w.shape, geometry)
    for block in range(0, n, images):
        out = y[block : block + images]
        planes, grid = room.planes(len(out))
        lines = room.spread(x[block : block + images])
        for start in range(0, lines.shape[1], step):
            part = _by_group(lines[:, start : start + step], groups)
            columns = room.matrix("patches", weights.shape[1] * groups, part.shape[2])
            xp.matmul(weights, part, out=_by_group(columns, groups))
            if not exact:
                columns = room.without_gaps(columns, start)
            room.add_patches(columns, start, planes)
        room.unframed(grid, out)
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
    groups, shape = geometry.groups, (dy.shape[1], x.shape[1] // geometry.groups, *kernel)
    if _pointwise(x.shape[2:], kernel, geometry):
        pairs = zip(_by_pixel(dy, groups), _by_pixel(x, groups), strict=True)
        dw = _added(xp, ((g, image) for g, image in pairs), shape, groups, x, dy)
        return dw.reshape(shape)
    if xp is np and suits(x, dy, dy, kernel, geometry):
        return weigh(x, dy, kernel, geometry)
    dw = _added(xp, _pairs(xp, x, dy, shape, geometry, xp is not np), shape, groups, x, dy)
    if xp is np and not np.isfinite(dw).all():  # a gap's zeros may have met an infinity
        dw = _added(xp, _pairs(xp, x, dy, shape, geometry, True), shape, groups, x, dy)
    return dw.reshape(shape)


def _pairs(xp, x, dy, w_shape, geometry, clean):
    """Outputs and patches at the same positions, by group; `clean`: with zeros in all gaps."""
    room, images, step = _room(xp, x, x.shape[2:], w_shape, geometry)
    for block in range(0, x.shape[0], images):
        planes = room.framed(x[block : block + images])
        lines = room.spread(dy[block : block + images])
        for start in range(0, lines.shape[1], step):
            part = lines[:, start : start + step]
            patches = room.patches(planes, start, start + part.shape[1])
            if clean:
                patches = room.without_gaps(patches, start)
            yield _by_group(part, geometry.groups), _by_group(patches, geometry.groups)


def _added(xp, pairs, w_shape, groups, x, dy):
    """Σ a bᵀ over pairs of matrices, by group."""
    o, *taps = w_shape
    dtype = np.result_type(x.dtype, dy.dtype)
    dw = xp.zeros((groups, o // groups, taps[0] * taps[1] * taps[2]), dtype)
    one = xp.empty_like(dw)
    for a, b in pairs:
        dw += xp.matmul(a, b.swapaxes(1, 2), out=one)
    return dw


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


@conv2d_bias.samples
def _conv_bias_samples(draw):
    geometry, x, w, _ = _geometry(draw)
    return (x, w, anything(draw, (len(w),))), {"geometry": geometry}


@conv2d_input.samples
def _conv_input_samples(draw):
    geometry, x, w, y = _geometry(draw)
    return (y, w), {"size": x.shape[2:], "geometry": geometry}


@conv2d_weight.samples
def _conv_weight_samples(draw):
    geometry, x, w, y = _geometry(draw)
    return (x, y), {"kernel": w.shape[2:], "geometry": geometry}
