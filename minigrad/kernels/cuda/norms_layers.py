"""Kernels of layer and group norm, both ways: at most two launches each.

What is normalised together lies together: the last axes of a contiguous array.  Layer norm's
weights run along all of it, group norm's along its first axis.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from ...ops.layer_norm import layer_norm, layer_norm_grad
from ...ops.sums import kept_shape
from .floats import FLOATS
from .launching import kernel, launch
from .norms import DOUBLE, WORK, NotServedError, opened, or_forward, statistics, weights
from .norms_layout import BLOCK, WARP, Split, rows_split

SHARED = 48 << 10  # bytes of shared memory that any GPU gives a block
SLICES = 1024  # blocks that a layer's rows are split among
MOST_ROWS = 512  # of one block, whose sums are not in double
ADDING = (WARP, 16)  # threads of a block that adds up


class Layers(NamedTuple):
    """Sets of `size` numbers; see norms_layers.cu for the weights."""

    sets: int
    size: int
    places: int
    own: int
    each: int
    split: Split  # of sets
    channels: Split  # of single channels, whose sums a backward of images needs


@functools.lru_cache(maxsize=4096)
def layers_of(
    shape: tuple[int, ...], axes: tuple[int, ...], along: tuple[int, ...]
) -> Layers | None:
    """How arrays of this shape are normalised; None for other axes than layer and group norm's."""
    first = len(shape) - len(axes)
    if axes != tuple(range(first, len(shape))):
        return None
    sets, size = math.prod(shape[:first]), math.prod(shape[first:])
    if along == axes:
        places, own = 1, size
    elif len(axes) > 1 and along == (first - 1, first):
        places, own = shape[first - 1], shape[first]
    else:
        return None
    each = size // own
    split, channels = rows_split(sets, 1, 1, size), rows_split(sets * own, 1, 1, each)
    return Layers(sets, size, places, own, each, split, channels)


def served(xp: Any, x: Any, axes: Any, along: Any) -> Any:
    """x, contiguous, how it is normalised and what it is computed in."""
    work = WORK.get(x.dtype)
    layers = layers_of(x.shape, axes, along) if x.size and work is not None else None
    if layers is None:
        raise NotServedError
    return x if x.flags.c_contiguous else xp.ascontiguousarray(x), layers, work


@layer_norm.kernel("cuda")
@or_forward
def _(xp, x, gamma, beta, *, axes, along, eps):
    x, layers, work = served(xp, x, axes, along)
    n = layers.places * layers.own
    affine = *weights(xp, gamma, n, x, work), *weights(xp, beta, n, x, work)
    dtype, (_, blocks, threads, geometry, many) = FLOATS[x.dtype], layers.split
    found, hint = statistics(xp, layers.sets, work, kept_shape(x.shape, axes))
    partials = None
    if many:
        partials = xp.empty(2 * many, DOUBLE)
        run = kernel(xp, "norms", f"norm_statistics_{dtype}")
        launch(run, blocks, threads, x, partials, *geometry)
    y = xp.empty(x.shape, x.dtype)
    run = kernel(xp, "norms_layers", f"layer_forward_{dtype}")
    options = layers.places, layers.own, layers.each, float(eps)
    launch(run, blocks, threads, x, partials, *affine, *options, y, *found, *hint, *geometry)
    return (y, *found), hint


@layer_norm_grad.kernel("cuda")
@or_forward
def _(xp, x, gamma, dy, *, axes, along, eps, hint=None):
    x, layers, work = served(xp, x, axes, along)
    if type(dy) is not type(x) or dy.dtype != x.dtype or dy.shape != x.shape:
        raise NotServedError
    hint, n = opened(xp, hint, layers.sets, work), layers.places * layers.own
    dy = dy if dy.flags.c_contiguous else xp.ascontiguousarray(dy)
    scale, dx = weights(xp, gamma, n, x, work), xp.empty(x.shape, x.dtype)
    derivatives = dx, xp.empty(n, work), xp.empty(n, work)
    backward = rows_backward if layers.each == 1 else images_backward
    backward(xp, x, dy, scale, hint, *derivatives, layers)
    return derivatives


def rows_backward(
    xp: Any, x: Any, dy: Any, scale: Any, hint: Any, dx: Any, dgamma: Any, dbeta: Any, layers: Any
) -> None:
    """Where each number has a weight of its own: dx and blocks' sums, and these added up."""
    dtype, work = FLOATS[x.dtype], dgamma.dtype
    places, own = layers.places, layers.own
    blocks, threads, slices, span = rows_launch(layers.sets, places, own, x.dtype.itemsize)
    shared = 2 * own * work.itemsize
    partials = xp.empty(2 * own * places * slices, work)
    holds = shared <= SHARED
    run = kernel(xp, "norms_layers", f"layer_backward_{dtype}")
    geometry = layers.sets, own, places, slices, span
    arguments = x, dy, *scale, *hint, dx, partials, int(holds), *geometry
    launch(run, blocks, threads, *arguments, shared=shared if holds else 0)
    run = kernel(xp, "norms_layers", f"layer_add_up_{dtype}")
    blocks = (-(-places * own // WARP),)
    launch(run, blocks, ADDING, partials, dgamma, dbeta, own, places, slices)


@functools.lru_cache(maxsize=4096)
def rows_launch(sets: int, places: int, own: int, itemsize: int) -> Any:
    """Grid, block, how many slices a place's rows are split into, and how many each has."""
    rows = sets // places
    span = min(MOST_ROWS, -(-rows * places // SLICES))
    slices = -(-rows // span)
    units = -(-own * itemsize // 16)
    return (places * slices,), (min(BLOCK, -(-units // WARP) * WARP),), slices, span


def images_backward(
    xp: Any, x: Any, dy: Any, scale: Any, hint: Any, dx: Any, dgamma: Any, dbeta: Any, layers: Any
) -> None:
    """Where a channel's pixels share a weight: the channels' sums, then dx and the weights'."""
    dtype, (_, blocks, threads, geometry, _) = FLOATS[x.dtype], layers.channels
    teams = layers.sets * layers.own * int(geometry[-2])
    partials = xp.empty(2 * teams, DOUBLE)
    run = kernel(xp, "norms", f"norm_sums_{dtype}")
    launch(run, blocks, threads, x, None, dy, hint[0], layers.own, partials, *geometry)
    run = kernel(xp, "norms_layers", f"group_backward_{dtype}")
    arguments = x, dy, partials, *scale, *hint, dx, dgamma, dbeta
    launch(run, blocks, threads, *arguments, layers.places * layers.own, layers.own, *geometry)
