"""Convolutions of small images that keep their width, in NumPy: patches along rows alone.

With stride 1, and as many columns in y as in x, an image is one run of pixels, and each tap reads
it some pixels further on.  So an image is copied once for each column of the kernel, with zeros
where a tap is beside the image.  For the rows of the kernel there is nothing to copy: they read the
same lines, whole rows further on, and y is a sum of as many products.

minigrad/kernels/cpu/rows.py is the same, compiled.
"""

from __future__ import annotations

import numpy as np

from ..memory import empty

LEAST_PIXELS = 16  # of an output image, else a product is too small
OUTPUT_BYTES = 128 << 10  # of an output image, which each of the products goes over
BLOCK_BYTES = 512 << 10  # lines of some images, which stay in cache


def keeps_width(kernel, geometry):
    """Whether images are as wide after the convolution, and each column is read in its turn."""
    (left, right), padding = geometry.padding[1], min(map(min, geometry.padding))
    reach = geometry.dilation[1] * (kernel[1] - 1)
    return geometry.stride == (1, 1) and padding >= 0 and left + right == reach


def suits(x, other, y, kernel, geometry):
    """Whether x, y of its convolution, and whichever other array is given, are for this module."""
    (_, o, *out), dtype = y.shape, x.dtype
    pixels = out[0] * out[1]
    if dtype != other.dtype or dtype.char not in "fd" or not x.size or not other.size or not y.size:
        return False
    small = pixels >= LEAST_PIXELS and o // geometry.groups * pixels * x.itemsize <= OUTPUT_BYTES
    return small and keeps_width(kernel, geometry)


def convolve(x, w, offsets, geometry, y):
    """y = conv2d(x, w) + offsets, some images at a time."""
    (o, each, kh, kw), groups, pixels = w.shape, geometry.groups, y[0, 0].size
    weights = w.reshape(groups, o // groups, each, kh, kw).transpose(3, 0, 1, 2, 4)
    weights = weights.reshape(kh, groups, o // groups, each * kw)
    step, terms = geometry.dilation[0] * x.shape[3], None
    for first, lines in _blocks(x, kw, geometry):
        out = y[first : first + len(lines)].reshape(len(lines), groups, o // groups, pixels)
        terms = empty(out.shape, x.dtype) if terms is None else terms[: len(out)]
        np.matmul(weights[0], lines[..., :pixels], out=out)
        for i in range(1, kh):
            out += np.matmul(weights[i], lines[..., i * step : i * step + pixels], out=terms)
    y += offsets


def weigh(x, dy, kernel, geometry):
    """conv2d_weight(x, dy) (O, C/groups, *kernel), some images at a time."""
    (kh, kw), groups, (_, o, oh, ow) = kernel, geometry.groups, dy.shape
    each, pixels, step = x.shape[1] // groups, oh * ow, geometry.dilation[0] * x.shape[3]
    dw = np.zeros((kh, groups, each * kw, o // groups), x.dtype)
    for first, lines in _blocks(x, kw, geometry):
        given = dy[first : first + len(lines)].reshape(len(lines), groups, o // groups, pixels)
        turned = np.ascontiguousarray(given.swapaxes(2, 3))  # else products take twice as long
        for i in range(kh):
            products = np.matmul(lines[..., i * step : i * step + pixels], turned)
            dw[i] += np.add.reduce(products, axis=0)
    dw = dw.reshape(kh, groups, each, kw, o // groups).transpose(1, 4, 2, 0, 3)
    return np.ascontiguousarray(dw).reshape(o, each, kh, kw)


def _blocks(x, taps, geometry):
    """Lines of some images at a time, (B, groups, C/groups·kw, length), and the first of them."""
    (n, c, height, width), (top, bottom) = x.shape, geometry.padding[0]
    rows = height + top + bottom
    images = max(1, BLOCK_BYTES // (c * taps * rows * width * x.itemsize))
    lines = empty((min(n, images), c, taps, rows, width), x.dtype)
    lines[:, :, :, :top] = lines[:, :, :, top + height :] = 0
    for first in range(0, n, images):
        some = lines[: n - first]
        _fill(x[first : first + images], geometry, some)
        yield first, some.reshape(len(some), geometry.groups, -1, rows * width)


def _fill(x, geometry, lines):
    """Copy images (B, C, H, W) into lines (B, C, kw, rows, W), for each column of the kernel."""
    b, c, height, width = x.shape
    (top, _), (left, _) = geometry.padding
    pixels, flat = height * width, lines.reshape(b, c, lines.shape[2], -1)
    images = x.reshape(b, c, pixels)
    for j in range(lines.shape[2]):
        shift = j * geometry.dilation[1] - left
        low = min(pixels, max(0, -shift))
        high = max(low, min(pixels, pixels - shift))
        line = flat[:, :, j, top * width : top * width + pixels]
        line[..., low:high] = images[..., low + shift : high + shift]
        # a run goes on in the row before or behind, where a tap is beside the image
        beside = slice(0, -shift) if shift < 0 else slice(max(0, width - shift), width)
        lines[:, :, j, top : top + height, beside] = 0


def turned(x, w, size, geometry):
    """With stride 1: the kernels turned by 180° and the geometry with which they give dx, or None.

    Where there are many more outputs than inputs, it is less work to add patches of dx up than to
    make patches of dy.
    """
    (o, each), kernel, groups = w.shape[:2], w.shape[2:], geometry.groups
    if geometry.stride != (1, 1) or (o // groups > 2 * each and kernel != (1, 1)):
        return None
    spans = [d * (k - 1) for d, k in zip(geometry.dilation, kernel, strict=True)]
    before = [span - pair[0] for span, pair in zip(spans, geometry.padding, strict=True)]
    after = [n - m + s - b for n, m, s, b in zip(size, x.shape[2:], spans, before, strict=True)]
    if min(*before, *after) < 0:
        return None
    turned = w.reshape(groups, o // groups, each, *kernel)[..., ::-1, ::-1].swapaxes(1, 2)
    padding = tuple(zip(before, after, strict=True))
    return turned.reshape(each * groups, o // groups, *kernel), geometry._replace(padding=padding)
