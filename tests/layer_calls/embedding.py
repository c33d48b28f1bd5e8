"""Calls of the layer in nn/embedding.py."""

from layer_calls.call import Call
from minigrad.samples import below


def embedding(draw):
    rows, length = draw.integer(1, 5), draw.integer(1, 4)
    options = {
        "padding_idx": draw.one_of(None, draw.integer(-rows, rows - 1)),
        "max_norm": draw.one_of(None, 0.5, 1.5),
        "norm_type": draw.one_of(1.0, 2.0, 3.0, float("inf")),
        "scale_grad_by_freq": draw.flag(),
    }
    x = below(rows)(draw, draw.shape(most=3, side=(1, 4))) % rows
    return Call((rows, length), options, (x,), training=draw.flag())


CALLS = {"Embedding": embedding}
