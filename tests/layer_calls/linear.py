"""Calls of the layer in nn/linear.py."""

from layer_calls.call import Call
from minigrad.samples import anything


def linear(draw):
    features = draw.integer(1, 4)
    x = anything(draw, (*draw.shape(most=2, side=(1, 3)), features))
    return Call((features, draw.integer(1, 4)), {"bias": draw.flag()}, (x,))


CALLS = {"Linear": linear}
