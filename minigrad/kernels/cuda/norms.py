"""Kernels of batch norm, with ReLU or without, both ways: at most two launches each.

They serve float16, 32 and 64, in any order of the axes in memory that has the statistics in theirs
(so channels-last as well); the results lie as x does.  An array that has gaps, or repeats itself,
is copied first.  Weights and given statistics are numbers, or arrays of x's dtype or of the one
that it is computed in; others are converted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...op import Hint
from ...ops.batch_norm import batch_norm, batch_norm_eval, batch_norm_grad, batch_norm_sums
from ...ops.batch_norm_relu import batch_norm_relu, batch_norm_relu_eval, batch_norm_relu_grad
from ...ops.sums import kept_shape
from .floats import FLOATS
from .launching import kernel, launch
from .norms_layout import Layout, Split, layout_of, split_of

DOUBLE = np.dtype(np.float64)
# what each dtype is computed in
WORK: dict[Any, Any] = {
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(np.float32): np.dtype(np.float32),
    DOUBLE: DOUBLE,
}


class NotServedError(Exception):
    """These arrays are for the op's own forward."""


def or_forward(body: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that leaves what it does not serve to the forward."""

    @functools.wraps(body)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return body(*arguments, **options)
        except NotServedError:
            return NotImplemented

    return run


class Seen(NamedTuple):
    """x as the kernels see it: contiguous, its layout and launches, and what it is computed in."""

    x: Any
    layout: Layout
    split: Split
    work: Any

    def new(self, xp: Any) -> Any:
        """Memory for a result that lies as x does."""
        return xp.empty(self.x.shape, self.x.dtype)

    def given_back(self, array: Any) -> Any:
        """Such a result in the op's order of axes."""
        return array if self.layout.back is None else array.transpose(self.layout.back)

    def beside(self, xp: Any, array: Any, shape: tuple[int, ...]) -> Any:
        """Another array of x's dtype and shape, lying as x does."""
        alike = type(array) is type(self.x) and array.dtype == self.x.dtype
        if not alike or array.shape != shape:
            raise NotServedError
        if self.layout.order is not None:
            array = array.transpose(self.layout.order)
        return array if array.flags.c_contiguous else xp.ascontiguousarray(array)

    def kernel(self, xp: Any, what: str) -> Any:
        """The kernel for x."""
        family = self.split.family
        file = "norms" if family == "norm" else "norms_columns"
        return kernel(xp, file, f"{family}_{what}_{FLOATS[self.x.dtype]}")

    def launch(self, xp: Any, what: str, *arguments: Any) -> None:
        """Launch it; the geometry stands last."""
        _, blocks, threads, geometry, _ = self.split
        launch(self.kernel(xp, what), blocks, threads, *arguments, *geometry)


def seen(xp: Any, x: Any, axes: tuple[int, ...]) -> Seen:
    """x as the kernels see it."""
    work = WORK.get(x.dtype)
    if work is None or not x.size:
        raise NotServedError
    layout = layout_of(x.shape, x.strides, x.dtype.itemsize, axes)
    if layout is None:
        x = xp.ascontiguousarray(x)
        layout = layout_of(x.shape, x.strides, x.dtype.itemsize, axes)
        if layout is None:
            raise NotServedError
    if layout.order is not None:
        x = x.transpose(layout.order)
    return Seen(x, layout, split_of(*layout[2:]), work)


def weights(xp: Any, value: Any, n: int, x: Any, work: Any) -> Any:
    """n weights as the three arguments of kernels: in x's dtype, in `work`, and a number."""
    if isinstance(value, int | float):
        return None, None, float(value)
    if type(value) is not type(x) or value.size != n:
        raise NotServedError
    if not value.flags.c_contiguous:
        value = xp.ascontiguousarray(value)
    if value.dtype == work:
        return None, value, 0.0
    if value.dtype == x.dtype:
        return value, None, 0.0
    return None, value.astype(work), 0.0


def statistics(xp: Any, sets: int, work: Any, kept: tuple[int, ...]) -> tuple[Any, Hint]:
    """Memory for mean and variance, and for the hint, of the shape that axes left."""
    found = xp.empty(sets, work), xp.empty(sets, work)
    return found, Hint(xp.empty(kept, work), xp.empty(kept, work), xp.empty(kept, DOUBLE))


def opened(xp: Any, hint: Any, sets: int, work: Any) -> Any:
    """The arrays of a hint about so many sets, as the kernels take them."""
    if hint is None or [each.size for each in hint] != [sets] * 3:
        raise NotServedError
    if [each.dtype for each in hint] != [work, work, DOUBLE]:
        raise NotServedError
    return [a if a.flags.c_contiguous else xp.ascontiguousarray(a) for a in hint]


# ---- forward -------------------------------------------------------------------------------------


@batch_norm.kernel("cuda")
def _(xp, x, gamma, beta, *, axes, eps):
    return normalised(xp, x, gamma, beta, axes, eps, relu=0)


@batch_norm_relu.kernel("cuda")
def _(xp, x, gamma, beta, *, axes, eps):
    return normalised(xp, x, gamma, beta, axes, eps, relu=1)


@or_forward
def normalised(xp: Any, x: Any, gamma: Any, beta: Any, axes: Any, eps: float, relu: int) -> Any:
    """What `ops.batch_norm.normalised` gives."""
    all_of_x = seen(xp, x, axes)
    data, layout, split, work = all_of_x
    sets = layout.groups * layout.inner
    affine = *weights(xp, gamma, sets, x, work), *weights(xp, beta, sets, x, work)
    found, hint = statistics(xp, sets, work, kept_shape(x.shape, axes))
    partials = None
    if split.partials:
        partials = xp.empty(2 * split.partials, DOUBLE)
        all_of_x.launch(xp, "statistics", data, partials)
    y = all_of_x.new(xp)
    all_of_x.launch(xp, "forward", data, partials, *affine, float(eps), relu, y, *found, *hint)
    return (all_of_x.given_back(y), *found), hint


@batch_norm_eval.kernel("cuda")
def _(xp, x, mean, var, gamma, beta, *, axes, eps):
    return evaluated(xp, x, mean, var, gamma, beta, axes, eps, relu=0)


@batch_norm_relu_eval.kernel("cuda")
def _(xp, x, mean, var, gamma, beta, *, axes, eps):
    return evaluated(xp, x, mean, var, gamma, beta, axes, eps, relu=1)


@or_forward
def evaluated(
    xp: Any, x: Any, mean: Any, var: Any, gamma: Any, beta: Any, axes: Any, eps: float, relu: int
) -> Any:
    """What `ops.batch_norm.evaluated` gives."""
    all_of_x = seen(xp, x, axes)
    data, layout, _, work = all_of_x
    sets = layout.groups * layout.inner
    if DOUBLE in (mean.dtype, var.dtype) and work != DOUBLE:
        raise NotServedError  # the op takes their rounding into account
    y = all_of_x.new(xp)
    values = [weights(xp, value, sets, x, work) for value in (mean, var, gamma, beta)]
    given = [each for value in values for each in value]
    all_of_x.launch(xp, "line", data, *given, float(eps), relu, y)
    return all_of_x.given_back(y)


# ---- backward ------------------------------------------------------------------------------------


@batch_norm_grad.kernel("cuda")
def _(xp, x, gamma, dy, *, axes, eps, hint=None):
    return gradients(xp, x, gamma, None, dy, axes, hint)


@batch_norm_relu_grad.kernel("cuda")
def _(xp, x, gamma, out, dy, *, axes, eps, hint=None):
    return gradients(xp, x, gamma, out, dy, axes, hint)


@batch_norm_sums.kernel("cuda")
def _(xp, x, dy, *, axes, eps, hint=None):
    found = gradients(xp, x, 1.0, None, dy, axes, hint, wants_dx=False)
    return found if found is NotImplemented else found[1:]


@or_forward
def gradients(
    xp: Any, x: Any, gamma: Any, out: Any, dy: Any, axes: Any, hint: Any, wants_dx: bool = True
) -> Any:
    """What `ops.batch_norm.gradients` gives."""
    all_of_x = seen(xp, x, axes)
    data, layout, split, work = all_of_x
    sets = layout.groups * layout.inner
    given, dy = opened(xp, hint, sets, work), all_of_x.beside(xp, dy, x.shape)
    out = None if out is None else all_of_x.beside(xp, out, x.shape)
    scale = weights(xp, gamma, sets, x, work)
    partials, sharing = None, () if split.family == "columns" else (1,)
    if split.partials:
        partials = xp.empty(2 * split.partials, DOUBLE)
        all_of_x.launch(xp, "sums", data, out, dy, given[0], *sharing, partials)
    dx = all_of_x.new(xp) if wants_dx else None
    dgamma, dbeta = xp.empty(sets, work), xp.empty(sets, work)
    arguments = data, out, dy, partials, *scale, *given
    all_of_x.launch(xp, "backward", *arguments, dx, dgamma, dbeta)
    return all_of_x.given_back(dx) if wants_dx else None, dgamma, dbeta
