"""Calls of the losses in nn/loss.py."""

import numpy as np

from layer_calls.call import Call
from minigrad.samples import anything, positive


def reduction(draw):
    return {"reduction": draw.one_of("mean", "sum", "none")}


def values(options=lambda draw: {}):
    """A sampler for losses that compare x with a target of its shape."""

    def sample(draw):
        shape = draw.shape(side=(1, 3))
        x, target = (anything(draw, shape) for _ in range(2))
        return Call((), reduction(draw) | options(draw), (x, target))

    return sample


def binary(draw):
    shape = draw.shape(side=(1, 3))
    x = anything(draw, shape)
    target = np.asarray(draw.rng().random(shape))
    target = np.round(target) if draw.flag() else target
    options = reduction(draw)
    for name in ("weight", "pos_weight"):
        if draw.flag():
            options[name] = positive(draw, draw._broadcastable(shape))
    return Call((), options, (x, np.asarray(target)))


def logits(draw):
    """(C,), (N, C) or (N, C, d1, ...); large ones would make steps of a target diverge."""
    n, classes = draw.integer(1, 3), draw.integer(1, 4)
    rest = draw.shape(most=2, side=(1, 2))
    shape = draw.one_of((classes,), (n, classes), (n, classes, *rest))
    return anything(draw, shape), classes


def class_options(draw, classes, ignored):
    options = reduction(draw)
    if draw.flag():
        options["weight"] = positive(draw, (classes,))
    return options | ({"ignore_index": ignored} if ignored != -100 else {})


def labels_for(draw, x, classes, ignored):
    """Labels of which some may be ignored, but never all."""
    shape = x.shape[:1] * (x.ndim > 1) + x.shape[2:]
    labels = np.asarray(draw.rng().integers(0, classes, shape)).reshape(-1)
    if ignored in range(classes):
        labels[labels == ignored] = (ignored + 1) % classes
    labels[1:][draw.rng().random(labels.size - 1) < 0.3] = ignored
    return labels.reshape(shape)


def by_label(more=lambda draw: {}):
    """A sampler for losses of logits, or log-probabilities, and labels."""

    def sample(draw):
        x, classes = logits(draw)
        x = x * draw.one_of(1.0, 30.0)
        ignored = draw.one_of(-100, -1, 7, *range(classes) if classes > 1 else ())
        labels = labels_for(draw, x, classes, ignored)
        return Call((), class_options(draw, classes, ignored) | more(draw), (x, labels))

    return sample


def smoothing(draw):
    return {"label_smoothing": draw.one_of(0.0, 0.1, 1.0)}


def by_probability(draw):
    x, classes = logits(draw)
    target = positive(draw, x.shape)
    target /= target.sum(min(x.ndim - 1, 1), keepdims=True)
    return Call((), class_options(draw, classes, -100) | smoothing(draw), (x, target))


CALLS = {
    "MSELoss": values(),
    "L1Loss": values(),
    "SmoothL1Loss": values(lambda draw: {"beta": draw.one_of(1.0, 0.2, 0.0)}),
    "BCEWithLogitsLoss": binary,
    "NLLLoss": by_label(),
    "CrossEntropyLoss": lambda draw: draw.one_of(by_label(smoothing), by_probability)(draw),
}
