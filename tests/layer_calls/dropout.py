"""Calls of the layer in nn/dropout.py.

In training only the two ends compare with PyTorch, whose random numbers are others.
"""

from layer_calls.call import Call
from minigrad.samples import anything


def dropout(draw):
    training = draw.flag()
    p = draw.one_of(0.0, 1.0) if training else draw.one_of(0.0, 0.3, 0.5, 1.0)
    x = anything(draw, draw.shape(most=3, side=(1, 3)))
    return Call((p,), {}, (x,), training=training)


CALLS = {"Dropout": dropout}
