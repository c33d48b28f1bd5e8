"""Calls of the layers in nn/dropout.py, and of Identity.

In training only the two ends compare with PyTorch, whose random numbers are others.
"""

from layer_calls.call import Call
from minigrad.samples import anything


def dropout(draw):
    training = draw.flag()
    p = draw.one_of(0.0, 1.0) if training else draw.one_of(0.0, 0.3, 0.5, 1.0)
    x = anything(draw, draw.shape(most=3, side=(1, 3)))
    return Call((p,), {}, (x,), training=training)


def identity(draw):
    x = anything(draw, draw.shape(most=3, side=(1, 3)))
    return Call(draw.one_of((), (3, "any")), draw.one_of({}, {"word": 1}), (x,))


CALLS = {"Dropout": dropout, "Identity": identity}
