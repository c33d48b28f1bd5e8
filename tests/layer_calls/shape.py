"""Calls of the layers in nn/shape.py."""

from layer_calls.call import Call
from minigrad.samples import anything


def flatten(draw):
    x = anything(draw, draw.shape(least=2, most=4, side=(1, 3)))
    start = draw.integer(0, x.ndim - 1)
    return Call((start, draw.integer(start, x.ndim - 1)), {}, (x,))


def identity(draw):
    x = anything(draw, draw.shape(most=3, side=(1, 3)))
    return Call(draw.one_of((), (3, "any")), draw.one_of({}, {"word": 1}), (x,))


CALLS = {"Flatten": flatten, "Identity": identity}
