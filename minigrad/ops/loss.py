"""Cross-entropy from logits, fused with the softmax that it contains."""

from __future__ import annotations

import numpy as np

from ..op import Hint, cast, fused
from .elementwise import ne, where
from .index import gather
from .reduce import log_softmax, shift, softmax, sum
from .shape import reshape
from .sums import total

# ---- what it means, in primitives ----------------------------------------------------------------


def cross_entropy_reference(x, labels, *, ignore_index, reduction):
    """Composed: minus the log-probability of each row's label, reduced."""
    losses = -reshape(gather(log_softmax(x, 1), 1, _label_column(labels, ignore_index)), (-1,))
    counted = ne(labels, ignore_index)
    losses = where(counted, losses, 0)
    if reduction == "none":
        return losses
    return sum(losses) / sum(cast(counted, dtype=x.dtype)) if reduction == "mean" else sum(losses)


def cross_entropy_grad_reference(x, dy, labels, *, ignore_index, reduction):
    """Composed: (softmax(x) - onehot(labels)) · weight · dy."""
    onehot = cast(_label_column(labels, ignore_index) == np.arange(x.shape[1]), dtype=x.dtype)
    weights = _row_weights(labels, ignore_index, reduction, x.dtype)
    return (softmax(x, 1) - onehot) * reshape(dy * weights, (-1, 1))


def _row_weights(labels, ignore_index, reduction, dtype):
    """What each row counts: 0 if ignored, else 1, or its share of the mean."""
    counted = cast(ne(labels, ignore_index), dtype=dtype)
    return counted / sum(counted) if reduction == "mean" else counted


def _label_column(labels, ignore_index):
    return reshape(where(ne(labels, ignore_index), labels, 0), (-1, 1))


# ---- the same by hand ----------------------------------------------------------------------------


def _through_grad(g, x, labels, ignore_index, reduction, hint):
    options = {"ignore_index": ignore_index, "reduction": reduction}
    return cross_entropy_grad(x, g, labels, **options, hint=hint)


@fused(_through_grad, None, reference=cross_entropy_reference)
def cross_entropy(xp, x, labels, *, ignore_index, reduction):
    """-log softmax(x)[label] for logits x (N, C) and integer labels (N,).

        d loss = (softmax(x) - onehot) dx

    reduction is "mean" (over the rows that are not ignored), "sum" or "none".
    """
    z = x - shift(xp, x, (1,))
    rows, column = xp.arange(len(x)), _label_column(labels, ignore_index).reshape(-1)
    picked = z[rows, column]
    xp.exp(z, out=z)
    sums = total(xp, z, (1,)).astype(x.dtype)
    z /= sums
    losses = xp.log(sums.reshape(-1)) - picked
    counted = labels != ignore_index
    losses = xp.where(counted, losses, 0)
    if reduction != "none":
        rows_counted = xp.sum(counted) if reduction == "mean" else 1
        losses = (total(xp, losses, (0,)) / rows_counted).astype(x.dtype).reshape(())
    return losses, Hint(z, rows, column, _row_weights(labels, ignore_index, reduction, x.dtype))


@fused(reference=cross_entropy_grad_reference, untracked=("labels",))
def cross_entropy_grad(xp, x, dy, labels, *, ignore_index, reduction, hint=None):
    """dx = (softmax(x) - onehot(labels)) · weight · dy."""
    options = {"ignore_index": ignore_index, "reduction": reduction}
    hint = hint or cross_entropy.forward(xp, x, labels, **options)[1]
    probabilities, rows, column, weights = hint
    scale = (dy * weights).reshape(-1, 1)
    dx = probabilities * scale
    dx[rows, column] -= scale.reshape(-1)
    return dx
