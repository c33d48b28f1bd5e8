"""Softmax along the last axis and cross-entropy: losses.cu."""

from __future__ import annotations

import numpy as np

from ...op import Hint
from ...ops.loss import cross_entropy, cross_entropy_grad
from ...ops.reduce import log_softmax, softmax
from .floats import FLOATS
from .launching import kernel, launch

LABELS = {np.dtype(f"int{bits}"): f"int{bits}" for bits in (32, 64)}
LABEL = np.dtype(np.int64)
SHORT = 1024  # rows of up to so many numbers are a warp's, longer ones a block's
LONG = 8192  # from here on a block has as many threads as it may
MOST = 1 << 62  # an index beyond it is no long long


def _teams(rows, length):
    """Blocks and threads, for a team of threads for each row."""
    if length <= SHORT:
        return (-(-rows // 4),), (32, 4)
    return (rows,), (256 if length < LONG else 1024,)


# ---- softmax along the last axis -----------------------------------------------------------------


def _along_rows(xp, x, axis, logarithm):
    name = FLOATS.get(x.dtype)
    if name is None or x.size == 0 or x.ndim == 0 or axis not in (-1, x.ndim - 1):
        return NotImplemented
    x, y, length = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype), x.shape[-1]
    rows = x.size // length
    run = kernel(xp, "losses", f"softmax_{name}")
    launch(run, *_teams(rows, length), x, y, rows, length, logarithm)
    return y


@softmax.kernel("cuda")
def _(xp, x, *, axis=-1):
    return _along_rows(xp, x, axis, False)


@log_softmax.kernel("cuda")
def _(xp, x, *, axis=-1):
    return _along_rows(xp, x, axis, True)


# ---- cross-entropy -------------------------------------------------------------------------------


@cross_entropy.kernel("cuda")
def _cross_entropy(xp, x, labels, *, ignore_index, reduction):
    """A row whose label is out of range has NaN for its loss and slopes, as in the forward."""
    name = FLOATS.get(x.dtype)
    if name is None or x.ndim != 2 or x.size == 0 or labels.shape != x.shape[:1]:
        return NotImplemented
    if type(labels) is not type(x) or abs(ignore_index) > MOST:
        return NotImplemented  # labels on the host: the forward says that they are elsewhere
    labels = _labels(xp, labels)
    if labels is None:
        return NotImplemented
    x, (rows, classes) = xp.ascontiguousarray(x), x.shape
    kinds = f"{name}_{LABELS[labels.dtype]}"
    slopes, losses = xp.empty(x.shape, x.dtype), xp.empty((rows,), x.dtype)
    run = kernel(xp, "losses", f"cross_entropy_{kinds}")
    ignored = int(ignore_index)
    launch(run, *_teams(rows, classes), x, labels, slopes, losses, rows, classes, ignored)
    if reduction == "none":
        return losses, Hint(slopes, x.dtype.type(1))
    total, weight = xp.empty((), x.dtype), xp.empty((), x.dtype)
    run = kernel(xp, "losses", f"cross_entropy_total_{kinds}")
    mean = reduction == "mean"
    launch(run, (1,), (1024,), losses, labels, total, weight, rows, ignored, mean)
    return total, Hint(slopes, weight)


def _labels(xp, labels):
    """Labels as the kernels read them; None for what is not served."""
    if labels.dtype not in LABELS:
        if labels.dtype.kind not in "iu" or labels.dtype == np.uint64:
            return None  # the largest of uint64 would become negative
        labels = labels.astype(LABEL)
    return xp.ascontiguousarray(labels)


@cross_entropy_grad.kernel("cuda")
def _(xp, x, dy, labels, *, ignore_index, reduction, hint=None):
    name = FLOATS.get(x.dtype)
    if name is None or x.size == 0 or not type(x) is type(dy) is type(labels):
        return NotImplemented
    if dy.dtype != x.dtype:
        return NotImplemented
    if not hint:
        found = _cross_entropy(xp, x, labels, ignore_index=ignore_index, reduction=reduction)
        if found is NotImplemented:
            return NotImplemented
        hint = found[1]
    slopes, weights = hint
    # a number is 1: what is ignored is so in the slopes
    weights = None if isinstance(weights, np.generic) else weights
    steps = dy.ndim, 0 if weights is None else weights.ndim
    slopes, dy = xp.ascontiguousarray(slopes), xp.ascontiguousarray(dy)
    dx, (rows, classes) = xp.empty(x.shape, x.dtype), x.shape
    run = kernel(xp, "losses", f"cross_entropy_grad_{name}")
    launch(run, *_teams(rows, classes), slopes, dy, weights, dx, rows, classes, *steps)
    return dx
