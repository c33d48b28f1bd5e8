"""Pooling to a given size: the windows, here called bands, share each axis out as evenly as can be.

Band i of n along an axis of length H goes from ⌊i·H / n⌋ to ⌈(i + 1)·H / n⌉, so that neighbours may
share one place.  A mean of means of bands is the mean of a cell: each axis is averaged by itself.
"""

from __future__ import annotations

from ..errors import ShapeError
from ..op import op
from ..samples import anything
from .shape import at


def _bands(n, count):
    """Slices of an axis of length n that cover it in order."""
    if n < 1:
        raise ShapeError("an axis of length 0 has no mean: give images of at least one pixel")
    return [slice(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _means(xp, x, count, axis):
    """The mean of each band of an axis."""
    y = xp.empty((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype)
    for i, band in enumerate(_bands(x.shape[axis], count)):
        y[at(axis, i)] = x[at(axis, band)].mean(axis)
    return y


def _spread(xp, x, n, axis):
    """The adjoint of `_means`: each value shared out evenly over its band."""
    y = xp.zeros((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype)
    for i, band in enumerate(_bands(n, x.shape[axis])):
        y[at(axis, band)] += x[at(axis, slice(i, i + 1))] / (band.stop - band.start)
    return y


@op(lambda g, in_shapes: adaptive_avg_unpool2d(g, in_shapes[0][-2:]), method=False)
def adaptive_avg_pool2d(xp, x, *, size):
    """The mean of each cell of a grid of this size over x (…, H, W) -> (…, *size).

    d adaptive_avg_pool2d x = adaptive_avg_pool2d dx

    >>> from minigrad.ops.adaptive_pool import adaptive_avg_pool2d
    >>> adaptive_avg_pool2d(mg.tensor([[[[1.0, 4.0, 2.0]]]]), (1, 2)).tolist()
    [[[[2.5, 3.0]]]]
    """
    height, width = size
    return _means(xp, _means(xp, x, width, x.ndim - 1), height, x.ndim - 2)


@op(lambda g, in_shapes: adaptive_avg_pool2d(g, in_shapes[0][-2:]), method=False)
def adaptive_avg_unpool2d(xp, x, *, size):
    """The adjoint of adaptive_avg_pool2d: each value spread evenly over its cell of `size`.

    d adaptive_avg_unpool2d x = adaptive_avg_unpool2d dx

    >>> from minigrad.ops.adaptive_pool import adaptive_avg_unpool2d
    >>> adaptive_avg_unpool2d(mg.tensor([[[[2.0, 4.0]]]]), (1, 3)).tolist()
    [[[[1.0, 3.0, 2.0]]]]
    """
    height, width = size
    return _spread(xp, _spread(xp, x, height, x.ndim - 2), width, x.ndim - 1)


# ---- samples -------------------------------------------------------------------------------------


def _gridded(draw):
    """Images, and the size of a grid over them."""
    full = [draw.integer(*sides) for sides in ((0, 2), (1, 2), (1, 5), (1, 5))]
    x = anything(draw, tuple(full[draw.integer(0, 1) :]))
    return x, (draw.integer(1, 6), draw.integer(1, 3))


@adaptive_avg_pool2d.samples
def _adaptive_samples(draw):
    x, size = _gridded(draw)
    return (x,), {"size": size}


@adaptive_avg_unpool2d.samples
def _adaptive_unpool_samples(draw):
    x, size = _gridded(draw)
    return (anything(draw, (*x.shape[:-2], *size)),), {"size": x.shape[-2:]}
