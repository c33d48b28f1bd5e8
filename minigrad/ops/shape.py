"""Changes of shape.  All of these share memory with their input, read-only on NumPy."""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..errors import DTypeError, ShapeError
from ..op import op


def read_only(array):
    """An array that shares memory: it must not be written through."""
    place = backend.find(array)
    return array if place is None else place.freeze(array)


def axes_of(axis, ndim):
    """An axis argument (None, int, or several) as a sorted tuple of axes from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = [axis] if isinstance(axis, int | np.integer) else list(axis)
    if not all(isinstance(a, int | np.integer) for a in axes):
        raise DTypeError(f"axis was given as {axis!r}: give an integer, several, or None")
    for a in axes:
        if not -ndim <= a < ndim:
            raise ShapeError(
                f"axis {a} is out of range for {ndim} axes: give one from {-ndim} to {ndim - 1}"
            )
    found = tuple(sorted(a % ndim for a in axes))
    if len(set(found)) < len(found):
        raise ShapeError(f"axis {axis} names an axis twice")
    return found


@op(lambda g, in_shapes: reshape(g, in_shapes[0]), star="shape")
def reshape(xp, x, *, shape):
    """x in another shape; one length may be -1.        d reshape x = reshape dx"""
    if min(shape, default=0) < -1:
        raise ShapeError(f"reshape to {shape}: lengths are 0 or more, and one may be -1")
    return read_only(x.reshape(shape))


@op(lambda g, axis0, axis1: transpose(g, axis0, axis1))
def transpose(xp, x, *, axis0, axis1):
    """x with two axes swapped (`permute` orders them all).        d transpose x = transpose dx"""
    return read_only(xp.swapaxes(x, axis0, axis1))


def _inverse(axes):
    places = [a % len(axes) for a in axes]
    return tuple(sorted(range(len(axes)), key=places.__getitem__))


@op(lambda g, axes: permute(g, _inverse(axes)), star="axes")
def permute(xp, x, *, axes):
    """x with its axes in the order given.        d permute x = permute dx"""
    if len(axes) != x.ndim:
        raise ShapeError(
            f"permute got {len(axes)} axes {axes} for {x.ndim}: name each once, as in "
            f"permute{tuple(range(x.ndim))[::-1]}"
        )
    return read_only(xp.transpose(x, axes))


@op(lambda g: g, star="shape")
def broadcast_to(xp, x, *, shape):
    """x repeated to a shape, without copying.        d broadcast x = broadcast dx"""
    return read_only(xp.broadcast_to(x, shape))


@op(lambda g: g, star="shape")
def expand(xp, x, *, shape):
    """x repeated to a shape in which -1 keeps an axis' length.        d expand x = expand dx"""
    lead = len(shape) - x.ndim
    return read_only(
        xp.broadcast_to(
            x, tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape))
        )
    )


@op(lambda g, in_shapes: reshape(g, in_shapes[0]))
def flatten(xp, x, *, start_dim=0, end_dim=-1):
    """Axes start_dim to end_dim (included) as one.        d flatten x = flatten dx"""
    if x.ndim == 0:
        return read_only(x.reshape(1))
    (first,), (last,) = axes_of(start_dim, x.ndim), axes_of(end_dim, x.ndim)
    if first > last:
        raise ShapeError(
            f"flatten from axis {start_dim} to {end_dim} of shape {x.shape}: the first must not "
            "come after the last"
        )
    return read_only(
        x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    )


@op(lambda g, in_shapes: reshape(g, in_shapes[0]))
def squeeze(xp, x, *, axis=None):
    """x without axes of length 1: all of them, or those named if they have it.

    d squeeze x = squeeze dx
    """
    named = axes_of(axis, x.ndim)
    return read_only(x.reshape(tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in named)))


@op(lambda g, in_shapes: reshape(g, in_shapes[0]))
def unsqueeze(xp, x, *, axis):
    """x with a new axis of length 1.        d unsqueeze x = unsqueeze dx"""
    return read_only(xp.expand_dims(x, axis))
