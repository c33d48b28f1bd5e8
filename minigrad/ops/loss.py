"""Losses: cross-entropy from logits, fused with the softmax that it contains, and its parts."""

from __future__ import annotations

import functools
import math

import numpy as np

from .. import backend
from ..op import Hint, cast, fused, op
from ..samples import anything, apart, elementwise
from .compare import ne
from .gather import gather
from .piecewise import clip, maximum, where
from .reduce import like, log_softmax, softmax, sum, wide
from .shape import reshape
from .sums import BLOCK, total

# ---- what it means, in primitives ----------------------------------------------------------------


def label_losses(logp, labels, ignore_index):
    """Minus the log-probability (N, C) of each row's label; and 1, or 0 where it is ignored."""
    counted = ne(labels, ignore_index)
    losses = -reshape(gather(logp, 1, label_column(labels, ignore_index)), (-1,))
    losses = where(counted, _checked(losses, logp, labels, ignore_index), 0)
    return losses, cast(counted, dtype=logp.dtype)


def reduced_by(shares, losses, reduction):
    """All losses, their sum, or their sum over that of the shares: NaN where that is 0."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    counts = sum(wide(shares))
    return like(sum(wide(losses)) / where(counts == 0, math.nan, counts), losses)


def cross_entropy_reference(x, labels, *, ignore_index, reduction):
    """Composed: minus the log-probability of each row's label, reduced."""
    losses, counted = label_losses(log_softmax(x, 1), labels, ignore_index)
    return reduced_by(counted, losses, reduction)


def cross_entropy_grad_reference(x, dy, labels, *, ignore_index, reduction):
    """Composed: (softmax(x) - onehot(labels)) · weight · dy."""
    classes = backend.of(getattr(labels, "array", labels)).xp.arange(x.shape[1])
    onehot = cast(label_column(labels, ignore_index) == classes, dtype=x.dtype)
    weights = _row_weights(x, labels, ignore_index, reduction)
    return (softmax(x, 1) - onehot) * reshape(dy * weights, (-1, 1))


def _row_weights(x, labels, ignore_index, reduction):
    """What each row counts: 0 if ignored, else 1, or its share of the mean."""
    counted = cast(ne(labels, ignore_index), dtype=np.dtype(np.float64))  # float16 ends at 65504
    weights = counted / maximum(sum(counted), 1.0) if reduction == "mean" else counted
    return _checked(cast(weights, dtype=x.dtype), x, labels, ignore_index)


def label_column(labels, ignore_index):
    """The labels as an index along the classes, (N, 1); 0 for those ignored."""
    return reshape(where(ne(labels, ignore_index), labels, 0), (-1, 1))


def _checked(rows, x, labels, ignore_index):
    """The rows' values, NaN where a label is out of range, which CuPy reads without a word.

    On the host `F.cross_entropy` has looked at the labels; elsewhere that would wait for the
    device.
    """
    if isinstance(getattr(labels, "array", labels), np.ndarray):
        return rows
    column = reshape(label_column(labels, ignore_index), (-1,))
    inside = (column >= 0) & (column < x.shape[1])
    return rows * cast(where(inside, 1.0, math.nan), dtype=x.dtype)


# ---- the same by hand ----------------------------------------------------------------------------


def _through_grad(g, x, labels, ignore_index, reduction, hint):
    options = {"ignore_index": ignore_index, "reduction": reduction}
    return cross_entropy_grad(x, g, labels, **options, hint=hint)


@fused(_through_grad, None, reference=cross_entropy_reference)
def cross_entropy(xp, x, labels, *, ignore_index, reduction):
    """-log softmax(x)[label] for logits x (N, C) and integer labels (N,).

        d loss = (softmax(x) - onehot) dx

    reduction is "mean" (over the rows that are not ignored, NaN if there are none), "sum" or
    "none".

    >>> from minigrad.nn.functional import cross_entropy
    >>> cross_entropy(mg.zeros(1, 2), mg.tensor([1])).round(decimals=4)
    tensor(0.6931)
    """
    ignored, n = labels == ignore_index, len(x)
    some = xp is not np or np.count_nonzero(ignored) > 0  # to ask a GPU would be to wait for it
    rows, column = xp.arange(n), xp.where(ignored, 0, labels) if some else labels
    slopes, losses = _label_slopes(xp, x, rows, column)
    if some:
        n = n - xp.count_nonzero(ignored)
        losses = xp.where(ignored, 0, _checked(losses, x, labels, ignore_index))
        weights = _row_weights(x, labels, ignore_index, reduction)
    else:
        weights = x.dtype.type(1 / n if n and reduction == "mean" else 1)
    if reduction != "none":
        sums = xp.add.reduce(losses, dtype=np.float64)
        if reduction == "mean":
            sums = sums / (n or math.nan if xp is np else xp.where(n == 0, math.nan, n))
        losses = sums.astype(x.dtype)
    return losses, Hint(slopes, weights)


@functools.cache
def _ones(count, dtype):
    return np.ones((count, 1), dtype)


def _label_slopes(xp, x, rows, column):
    """softmax(x) - onehot(column), and minus the log of each row's probability in its column."""
    z = x - x.max(axis=1, keepdims=True)
    picked = z[rows, column]
    xp.exp(z, out=z)
    few = xp is np and z.dtype.itemsize > 2 and 0 < x.shape[1] <= BLOCK
    # a product adds up few numbers as well
    sums = np.dot(z, _ones(x.shape[1], x.dtype)) if few else total(xp, z, (1,)).astype(x.dtype)
    z /= sums
    z[rows, column] -= 1
    return z, xp.log(sums).reshape(-1) - picked


@fused(reference=cross_entropy_grad_reference, untracked=("labels",))
def cross_entropy_grad(xp, x, dy, labels, *, ignore_index, reduction, hint=None):
    """The gradient of cross_entropy: dx = (softmax(x) - onehot(labels)) · weight · dy.

    >>> from minigrad.ops.loss import cross_entropy_grad
    >>> options = {"ignore_index": -100, "reduction": "sum"}
    >>> cross_entropy_grad(mg.zeros(1, 2), mg.tensor(1.0), mg.tensor([1]), **options).tolist()
    [[0.5, -0.5]]
    """
    if not hint:
        options = {"ignore_index": ignore_index, "reduction": reduction}
        hint = cross_entropy.forward(xp, x, labels, **options)[1]
    slopes, weights = hint
    scale = dy * weights
    return slopes * (scale.reshape(-1, 1) if scale.ndim else scale)


# ---- a parabola between two lines ----------------------------------------------------------------


@op(
    lambda g, x, beta: g * (clip(wide(x), min=-beta, max=beta) / beta),
    method=False,
    samples=elementwise(apart, options=lambda draw: {"beta": draw.one_of(1.0, 0.5, 2.0)}),
)
def smooth_abs(xp, x, *, beta):
    """x² / 2β where |x| < β, else |x| - β/2.        d smooth_abs x = x/β, held in ±1, dx

    Huber, 1964, divided by β; Girshick, 2015.

    >>> from minigrad.ops.loss import smooth_abs
    >>> smooth_abs(mg.tensor([0.5, -3.0]), beta=1.0)
    tensor([0.125, 2.5  ])
    """
    a = xp.abs(wide(x))
    c = xp.minimum(a, beta)
    return like(c * (a - c * 0.5) / beta, x)


# ---- samples -------------------------------------------------------------------------------------


def _logits(draw):
    """Logits (N, C), labels of which some are ignored but never all, and options."""
    x = anything(draw, (draw.integer(1, 4), draw.integer(1, 3)))
    labels = np.array([draw.one_of(-100, *range(x.shape[1])) for _ in x])
    labels[0] = x.shape[1] - 1
    return x, labels, {"ignore_index": -100, "reduction": draw.one_of("mean", "sum", "none")}


@cross_entropy.samples
def _loss_samples(draw):
    x, labels, options = _logits(draw)
    return (x, labels), options


@cross_entropy_grad.samples
def _loss_grad_samples(draw):
    x, labels, options = _logits(draw)
    dy = anything(draw, x.shape[:1] if options["reduction"] == "none" else ())
    return (x, dy, labels), options
