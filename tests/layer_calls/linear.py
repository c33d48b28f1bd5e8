"""Calls of the layers in nn/linear.py and nn/container.py."""

from layer_calls.call import Call
from minigrad.samples import anything


def linear(draw):
    features = draw.integer(1, 4)
    x = anything(draw, (*draw.shape(most=2, side=(1, 3)), features))
    return Call((features, draw.integer(1, 4)), {"bias": draw.flag()}, (x,))


def flatten(draw):
    x = anything(draw, draw.shape(least=2, most=4, side=(1, 3)))
    start = draw.integer(0, x.ndim - 1)
    return Call((start, draw.integer(start, x.ndim - 1)), {}, (x,))


CALLS = {"Linear": linear, "Flatten": flatten}
