"""Kernels of the normalisations: which compiled loops serve which arrays, and their memory.

Batch norm of a matrix runs on norms_rows.py, of images on norms_channels.py, group norm of images
there too, and layer norm on norms_layers.py.  They serve contiguous float32 and float64; all else
runs on the ops' own forwards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...memory import empty
from ...op import Hint
from ...ops.batch_norm import batch_norm, batch_norm_eval, batch_norm_grad, batch_norm_sums
from ...ops.batch_norm_relu import batch_norm_relu, batch_norm_relu_eval, batch_norm_relu_grad
from ...ops.layer_norm import layer_norm, layer_norm_grad
from ...ops.sums import kept_shape
from . import norms_channels, norms_layers, norms_rows
from .compiling import writeable

DOUBLE, SERVED = np.dtype(np.float64), (np.dtype(np.float32), np.dtype(np.float64))
SMALL = 1 << 16  # numbers that one thread is as fast with as several
LEAST = -math.inf, 0.0  # what the output is at least, without relu and with it
LIMIT = math.nan, 0.0  # up to which output relu lets nothing through

# ---- what is served ------------------------------------------------------------------------------


class NotServedError(Exception):
    """These arrays are for the op's own forward."""


def checked(x: Any) -> Any:
    """x as the loops take it."""
    if type(x) is not np.ndarray or x.dtype not in SERVED or not x.size:
        raise NotServedError
    if x.flags.carray:
        return x
    if not x.flags.c_contiguous:
        raise NotServedError
    return as_taken(x)


def as_taken(array: Any) -> Any:
    """An array that is contiguous and not read-only."""
    return array if array.flags.carray else writeable(np.ascontiguousarray(array))


def beside(array: Any, x: Any) -> Any:
    """An array of x's shape and dtype, as the loops take it."""
    if type(array) is not np.ndarray or array.dtype != x.dtype or array.shape != x.shape:
        raise NotServedError
    return array if array.flags.carray else as_taken(array)


def weights(value: Any, n: int, dtype: Any) -> Any:
    """n weights, as the loops take them; a number is repeated."""
    if type(value) is np.ndarray:
        if value.dtype != dtype or value.shape != (n,):
            raise NotServedError
        return value if value.flags.carray else as_taken(value)
    if isinstance(value, int | float):
        return np.full(n, value, dtype)
    raise NotServedError


def sets_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int, int]:
    """How statistics over these axes lie in memory: `inner`, `count` and the rows' length.

    Sets of `count` rows, `inner` apart, are what is normalised together (see norms_channels.py).
    """
    if axes == (0,) and len(shape) == 2:  # the most usual, and small
        return shape[1], shape[0], 1
    sizes, at = [1, 1, 1], len(shape)
    for i, reduced in enumerate((True, False, True)):  # from the last axis on
        while at and (at - 1 in axes) is reduced:
            at -= 1
            sizes[i] *= shape[at]
    length, inner, count = sizes
    if any(i < at for i in axes) or (length == 1 and at):
        raise NotServedError
    return inner, count, length


def opened(hint: Any, sets: int) -> list[Any]:
    """The arrays of a hint about so many sets, as the loops take them."""
    if hint is None or [each.size for each in hint] != [sets] * 3:
        raise NotServedError
    return [each if each.flags.carray else as_taken(each) for each in hint]


def matrix(array: Any, n: int) -> Any:
    """An array of rows of n numbers."""
    return array if array.ndim == 2 else array.reshape(-1, n)


# ---- batch norm ----------------------------------------------------------------------------------


@batch_norm.kernel("cpu", needs="numba")
def _(xp, x, gamma, beta, *, axes, eps):
    return normalised(x, gamma, beta, axes, eps, relu=False)


@batch_norm_relu.kernel("cpu", needs="numba")
def _(xp, x, gamma, beta, *, axes, eps):
    return normalised(x, gamma, beta, axes, eps, relu=True)


def normalised(x: Any, gamma: Any, beta: Any, axes: Any, eps: float, relu: bool) -> Any:
    """What `ops.batch_norm.normalised` gives."""
    try:
        x, dtype = checked(x), x.dtype
        inner, count, length = sets_of(x.shape, axes)
        n = x.size // (count * length)
        gamma, beta = weights(gamma, n, dtype), weights(beta, n, dtype)
    except NotServedError:
        return NotImplemented
    y, kept = empty(x.shape, dtype), kept_shape(x.shape, axes)
    found, hint = statistics(n, dtype, kept)
    if length == 1:
        run = norms_rows.large_forward if x.size > SMALL else norms_rows.small_forward
        by_row = [matrix(each, n) for each in hint]
        options = float(eps), LEAST[relu]
        run(matrix(x, n), gamma, beta, *options, matrix(y, n), *found, *by_row)
    else:
        run = norms_channels.large_forward if x.size > SMALL else norms_channels.small_forward
        affine, rows = (gamma.reshape(-1, 1), beta.reshape(-1, 1)), (-1, length)
        by_set = [each.reshape(-1) for each in hint]
        options = float(eps), LEAST[relu]
        run(x.reshape(rows), inner, count, *affine, *options, y.reshape(rows), *found, *by_set)
    return (y, *found), hint


def statistics(n: int, dtype: Any, kept: tuple[int, ...]) -> tuple[Any, Hint]:
    """Memory for mean and variance (n,), and for the hint, of the shape that axes left."""
    found = np.empty(n, dtype), np.empty(n, dtype)
    return found, Hint(np.empty(kept, dtype), np.empty(kept, dtype), np.empty(kept))


@batch_norm_grad.kernel("cpu", needs="numba")
def _(xp, x, gamma, dy, *, axes, eps, hint=None):
    return gradients(x, gamma, x, dy, axes, hint)


@batch_norm_relu_grad.kernel("cpu", needs="numba")
def _(xp, x, gamma, out, dy, *, axes, eps, hint=None):
    return gradients(x, gamma, out, dy, axes, hint, relu=True)


@batch_norm_sums.kernel("cpu", needs="numba")
def _(xp, x, dy, *, axes, eps, hint=None):
    found = gradients(x, 1, x, dy, axes, hint, wants_dx=False)
    return found if found is NotImplemented else found[1:]


def gradients(
    x: Any,
    gamma: Any,
    out: Any,
    dy: Any,
    axes: Any,
    hint: Any,
    relu: bool = False,
    wants_dx: bool = True,
) -> Any:
    """What `ops.batch_norm.gradients` gives."""
    try:
        x, dtype = checked(x), x.dtype
        inner, count, length = sets_of(x.shape, axes)
        n = x.size // (count * length)
        gamma, out, dy = weights(gamma, n, dtype), beside(out, x), beside(dy, x)
        given = opened(hint, n)
    except NotServedError:
        return NotImplemented
    dx = empty(x.shape, dtype) if wants_dx else x
    options = LIMIT[relu], wants_dx
    if length == 1:
        run = norms_rows.large_backward if x.size > SMALL else norms_rows.small_backward
        x, out, dy, m, d, r, to = (matrix(each, n) for each in (x, out, dy, *given, dx))
        dgamma, dbeta = np.empty(n, dtype), np.empty(n, dtype)
        run(x, out, dy, gamma, *options, m, d, r, to, dgamma, dbeta)
        return dx, dgamma, dbeta
    run = norms_channels.large_backward if x.size > SMALL else norms_channels.small_backward
    x, out, dy, to = (each.reshape(-1, length) for each in (x, out, dy, dx))
    by_set = [each.reshape(-1) for each in given]
    dgamma, dbeta = np.empty((n, 1)), np.empty((n, 1))
    through = out if relu else None
    gamma = gamma.reshape(-1, 1)
    run(x, inner, count, through, dy, gamma, wants_dx, *by_set, to, dgamma, dbeta)
    return dx, dgamma.reshape(-1).astype(dtype), dbeta.reshape(-1).astype(dtype)


@batch_norm_eval.kernel("cpu", needs="numba")
def _(xp, x, mean, var, gamma, beta, *, axes, eps):
    return evaluated(x, mean, var, gamma, beta, axes, eps, relu=False)


@batch_norm_relu_eval.kernel("cpu", needs="numba")
def _(xp, x, mean, var, gamma, beta, *, axes, eps):
    return evaluated(x, mean, var, gamma, beta, axes, eps, relu=True)


def evaluated(
    x: Any, mean: Any, var: Any, gamma: Any, beta: Any, axes: Any, eps: float, relu: bool
) -> Any:
    """What `ops.batch_norm.evaluated` gives."""
    try:
        x, dtype = checked(x), x.dtype
        inner, count, length = sets_of(x.shape, axes)
        n = x.size // (count * length)
        m, var, gamma, beta = (weights(each, n, dtype) for each in (mean, var, gamma, beta))
    except NotServedError:
        return NotImplemented
    y, d = empty(x.shape, dtype), np.zeros_like(m)
    given = m, d, 1 / np.sqrt(var.astype(DOUBLE) + eps)
    if length == 1:
        run = norms_rows.large_line if x.size > SMALL else norms_rows.small_line
        by_row = [matrix(each, n) for each in given]
        run(matrix(x, n), gamma, beta, LEAST[relu], matrix(y, n), *by_row)
    else:
        run = norms_channels.large_line if x.size > SMALL else norms_channels.small_line
        affine, rows = (gamma.reshape(-1, 1), beta.reshape(-1, 1)), (-1, length)
        run(x.reshape(rows), inner, count, *affine, LEAST[relu], y.reshape(rows), *given)
    return y


# ---- layer and group norm ------------------------------------------------------------------------


def layers_of(x: Any, axes: Any, along: Any) -> tuple[int, int, int]:
    """Rows that share weights, rows of one weight each in a set, and a row's length.

    Layer norm's weights run along the set, all of one row; group norm's are one for each channel.
    """
    shape, first = x.shape, len(x.shape) - len(axes)
    if axes != tuple(range(first, len(shape))):
        raise NotServedError
    if math.prod(shape[first:]) == 1:  # alone, x̂ is 0: 1/√eps would make rounding large
        raise NotServedError
    if along == axes:
        return 1, 1, math.prod(shape[first:])
    if len(shape) != 4 or axes != (2, 3) or along != (1, 2):
        raise NotServedError
    return shape[1], shape[2], shape[3]


@layer_norm.kernel("cpu", needs="numba")
def _(xp, x, gamma, beta, *, axes, along, eps):
    try:
        x, dtype = checked(x), x.dtype
        places, own, length = layers_of(x, axes, along)
        by_row = along != axes and length > 1
        many = places * own * (1 if by_row or along != axes else length)
        affine = [weights(each, many, dtype).reshape(places, -1) for each in (gamma, beta)]
    except NotServedError:
        return NotImplemented
    kept = kept_shape(x.shape, axes)
    y, (found, hint) = empty(x.shape, dtype), statistics(math.prod(kept), dtype, kept)
    by_set = [each.reshape(-1) for each in hint]
    if by_row:
        run = norms_channels.large_forward if x.size > SMALL else norms_channels.small_forward
        rows = -1, length
        options = float(eps), LEAST[False]
        run(x.reshape(rows), 1, own, *affine, *options, y.reshape(rows), *found, *by_set)
    else:
        run = norms_layers.large_forward if x.size > SMALL else norms_layers.small_forward
        rows = len(found[0]), -1
        run(x.reshape(rows), *affine, float(eps), y.reshape(rows), *found, *by_set)
    return (y, *found), hint


@layer_norm_grad.kernel("cpu", needs="numba")
def _(xp, x, gamma, dy, *, axes, along, eps, hint=None):
    try:
        x, dtype = checked(x), x.dtype
        places, own, length = layers_of(x, axes, along)
        by_row = along != axes and length > 1
        many = places * own * (1 if by_row or along != axes else length)
        gamma, dy = weights(gamma, many, dtype).reshape(places, -1), beside(dy, x)
        sets = math.prod(kept_shape(x.shape, axes))
        given = [each.reshape(-1) for each in opened(hint, sets)]
    except NotServedError:
        return NotImplemented
    dx = empty(x.shape, dtype)
    if by_row:
        run = norms_channels.large_backward if x.size > SMALL else norms_channels.small_backward
        shares = dgamma, dbeta = np.empty((2, sets, own))
        x, dy, to = (each.reshape(-1, length) for each in (x, dy, dx))
        run(x, 1, own, None, dy, gamma, True, *given, to, *shares)
        dgamma, dbeta = (np.add.reduce(each.reshape(-1, many)) for each in (dgamma, dbeta))
    else:
        run = norms_layers.large_backward if x.size > SMALL else norms_layers.small_backward
        dgamma, dbeta = np.empty((2, *gamma.shape))
        x, dy, to = (each.reshape(len(given[0]), -1) for each in (x, dy, dx))
        run(x, dy, gamma, *given, to, dgamma, dbeta)
    return dx, dgamma.reshape(-1).astype(dtype), dbeta.reshape(-1).astype(dtype)
