"""What comes first: extremes, their positions, sorting.

NaN is above every number, as in NumPy and PyTorch: an extreme of values with a NaN among them is
NaN, and sorting puts NaN last.
"""

from __future__ import annotations

import numpy as np

from ..backend import Array
from ..errors import DTypeError, OutOfRangeError, ShapeError
from ..op import cast, op
from ..samples import along, apart, reduction
from .compare import logical_or
from .gather import ungather
from .piecewise import where
from .reduce import sum
from .shape import at, axes_of, axis_of, broadcast_to, reshape, unsqueeze
from .sums import count, kept_shape

# ---- extreme values ------------------------------------------------------------------------------


def shared(g, x, y, axes):
    """g, shared evenly by the places where x reaches y, its extreme, or is NaN, as y is then."""
    hit, shape = logical_or(x == y, x != x), kept_shape(x.shape, axes)
    ties = sum(where(hit, 1.0, 0.0), axes, keepdims=True)
    each = cast(reshape(g, shape) / ties, dtype=g.dtype)
    return where(hit, broadcast_to(each, hit.shape), 0)


def _shared(g, x, y, axis):
    """The gradient of an extreme value, shared evenly by all that reach it."""
    axes = axes_of(axis, x.ndim)
    return shared(g, x, reshape(y, kept_shape(x.shape, axes)), axes)


def _not_empty(x, axes, name):
    if count(x.shape, axes) == 0:
        raise ShapeError(f"{name} of nothing: shape {x.shape} has no values along axis {axes}")


_extreme_samples = reduction(apart, side=(1, 3))


@op(_shared, samples=_extreme_samples)
def amax(xp, x, *, axis=None, keepdims=False):
    """The largest value over axis (None: all).

    d amax x = dx where it is reached, shared evenly by ties

    Differs from PyTorch: where the result is NaN, the NaN in x have its gradient, and no other.

    >>> x = mg.tensor([[1.0, 3.0], [2.0, 2.0]], requires_grad=True)
    >>> x.amax(axis=1).tolist()
    [3.0, 2.0]
    >>> mg.grad(x.amax(axis=1), x, mg.tensor([1.0, 4.0]))[0]
    tensor([[0., 1.],
            [2., 2.]])
    """
    axes = axes_of(axis, x.ndim)
    _not_empty(x, axes, "amax")
    return xp.max(x, axis=axes, keepdims=keepdims)


@op(_shared, samples=_extreme_samples)
def amin(xp, x, *, axis=None, keepdims=False):
    """The smallest value over axis (None: all).

    d amin x = dx where it is reached, shared evenly by ties

    Differs from PyTorch: where the result is NaN, the NaN in x have its gradient, and no other.

    >>> x = mg.tensor([[1.0, 3.0], [2.0, float("nan")]], requires_grad=True)
    >>> x.amin(axis=1).tolist()
    [1.0, nan]
    >>> mg.grad(x.amin(axis=1), x, mg.tensor([1.0, 4.0]))[0]
    tensor([[1., 0.],
            [0., 4.]])
    """
    axes = axes_of(axis, x.ndim)
    _not_empty(x, axes, "amin")
    return xp.min(x, axis=axes, keepdims=keepdims)


# ---- their positions -----------------------------------------------------------------------------


def _position(xp, x, axis, keepdims, name):
    """argmax or argmin over one axis, or in the flattened x."""
    place = None if axis is None else axis_of(axis, x.ndim)
    _not_empty(x, axes_of(place, x.ndim), name)
    return getattr(xp, name)(x, axis=place, keepdims=keepdims)


@op(None)
def argmax(xp, x, *, axis=None, keepdims=False):
    """The first position i of the largest value, xᵢ = max x; in the flattened x if axis is None.

    >>> mg.tensor([[1.0, 3.0], [2.0, 0.0]]).argmax(axis=1)
    tensor([1, 0])
    """
    return _position(xp, x, axis, keepdims, "argmax")


@op(None)
def argmin(xp, x, *, axis=None, keepdims=False):
    """The first position i of the smallest value, xᵢ = min x; in the flattened x if axis is None.

    >>> mg.tensor([[1.0, 3.0], [2.0, 0.0]]).argmin(axis=1)
    tensor([0, 1])
    """
    return _position(xp, x, axis, keepdims, "argmin")


# ---- both, along one axis ------------------------------------------------------------------------


def _followed(g, x, y, axis, keepdims):
    """The gradient goes to the position that was returned; of one value of all, to its ties."""
    if axis is None:
        return _shared(g, x, y, axis)
    index = y[1]
    if not keepdims:
        g, index = unsqueeze(g, axis), unsqueeze(index, axis)
    return ungather(g, index, shape=x.shape, axis=axis)


def _extreme(xp, x, axis, keepdims, name):
    """The extreme of all values, or the extremes along an axis and their first positions."""
    if axis is None:
        _not_empty(x, axes_of(None, x.ndim), name)
        return getattr(xp, name)(x, axis=None, keepdims=keepdims)
    if getattr(axis, "ndim", 0) > 0:
        raise DTypeError(f"the axis is an integer: use {name}imum for the {name} of two tensors")
    place = axis_of(axis, x.ndim)
    _not_empty(x, (place,), name)
    index = getattr(xp, f"arg{name}")(x, axis=place, keepdims=True)
    values = xp.take_along_axis(x, index, place)
    return (values, index) if keepdims else (values.squeeze(place), index.squeeze(place))


@op(_followed, outputs="values indices", constant=(1,))
def max(xp, x, *, axis=None, keepdims=False):
    """The largest of all values; with an axis, (values, indices) along it.

    d max x = dx at the index returned; without an axis, shared evenly by ties

    Differs from PyTorch: of equal values the first is returned, on every device, and
    `maximum(a, b)` is the larger of two tensors.

    >>> x = mg.tensor([[1.0, 3.0], [2.0, 0.0]])
    >>> x.max()
    tensor(3.)
    >>> x.max(axis=1)
    max(values=tensor([3., 2.]), indices=tensor([1, 0]))
    """
    return _extreme(xp, x, axis, keepdims, "max")


@op(_followed, outputs="values indices", constant=(1,))
def min(xp, x, *, axis=None, keepdims=False):
    """The smallest of all values; with an axis, (values, indices) along it.

    d min x = dx at the index returned; without an axis, shared evenly by ties

    Differs from PyTorch: of equal values the first is returned, on every device, and
    `minimum(a, b)` is the smaller of two tensors.

    >>> x = mg.tensor([[1.0, 3.0], [2.0, 0.0]])
    >>> x.min()
    tensor(0.)
    >>> x.min(axis=1)
    min(values=tensor([1., 0.]), indices=tensor([0, 1]))
    """
    return _extreme(xp, x, axis, keepdims, "min")


# ---- sorting -------------------------------------------------------------------------------------


def _order(xp, x, axis, descending):
    """The positions of sorted values; equal ones keep their order, from above as from below."""
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    behind = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(behind, axis)


def _unsorted(g, y, in_shapes, axis):
    return ungather(g, y[1], shape=in_shapes[0], axis=axis)


_sort_samples = along(
    apart,
    side=(0, 4),
    options=lambda draw: {"descending": draw.flag(), "stable": draw.flag()},
)


@op(_unsorted, outputs="values indices", constant=(1,), samples=_sort_samples)
def sort(xp, x, *, axis=-1, descending=False, stable=True) -> tuple[Array, Array]:
    """The values along axis in order, and the indices that they had.

    d sort x = dx at indices

    Differs from PyTorch: equal values always keep their order, whatever `stable` says.

    >>> mg.tensor([3.0, 1.0, 2.0]).sort()
    sort(values=tensor([1., 2., 3.]), indices=tensor([1, 2, 0]))
    """
    axis = axis_of(axis, x.ndim)
    index = _order(xp, x, axis, descending)
    return xp.take_along_axis(x, index, axis), index


@op(None, samples=_sort_samples)
def argsort(xp, x, *, axis=-1, descending=False, stable=True):
    """The indices i that sort x along axis: xᵢ = sort x.

    Differs from PyTorch: equal values always keep their order, whatever `stable` says.

    >>> mg.tensor([3.0, 1.0, 2.0]).argsort(descending=True)
    tensor([0, 2, 1])
    """
    return _order(xp, x, axis_of(axis, x.ndim), descending)


@op(_unsorted, outputs="values indices", constant=(1,))
def topk(xp, x, *, k, axis=-1, largest=True, sorted=True) -> tuple[Array, Array]:
    """The k largest (or smallest) values along axis in order, and the indices that they had.

    d topk x = dx at indices

    Differs from PyTorch: of equal values the first come first, and the result is always in order.

    >>> mg.tensor([3.0, 1.0, 2.0]).topk(2)
    topk(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    axis = axis_of(axis, x.ndim)
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise DTypeError(f"k was given as {k!r}: give a whole number")
    if not 0 <= k <= x.shape[axis]:
        raise OutOfRangeError(f"k = {k} of {x.shape[axis]} values: give 0 to {x.shape[axis]}")
    index = _order(xp, x, axis, largest)[at(axis, slice(k))]
    index = xp.ascontiguousarray(index)  # what is left out need not be kept
    return xp.take_along_axis(x, index, axis), index


# ---- samples -------------------------------------------------------------------------------------


@argmax.samples
@argmin.samples
@max.samples
@min.samples
def _one_axis_samples(draw):
    x = apart(draw, draw.shape(side=(1, 3)))
    axis = draw.one_of(None, draw.axis(x.ndim)) if x.ndim else None
    return (x,), {"axis": axis, "keepdims": draw.flag()}


@topk.samples
def _topk_samples(draw):
    (x,), statics = along(apart, side=(0, 4))(draw)
    k = draw.integer(0, x.shape[statics["axis"]])
    return (x,), {"k": k, "largest": draw.flag(), "sorted": draw.flag()} | statics
