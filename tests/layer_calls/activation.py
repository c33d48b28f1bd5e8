"""Calls of the activations in nn/activation.py."""

from layer_calls.call import Call
from minigrad.samples import anything


def activation(options=lambda draw: {}):
    """A sampler for inputs of any shape, with values near 0 or far from it."""

    def sample(draw):
        x = anything(draw, draw.shape(side=(1, 3))) * draw.one_of(1.0, 30.0)
        return Call((), options(draw), (x,))

    return sample


def along(draw):
    x = anything(draw, draw.shape(least=1, side=(1, 3))) * draw.one_of(1.0, 30.0)
    return Call((draw.axis(x.ndim),), {}, (x,))


CALLS = {
    "ReLU": activation(lambda draw: {"inplace": False}),
    "LeakyReLU": activation(lambda draw: {"negative_slope": draw.one_of(0.01, 0.5, 0.0, -1.0)}),
    "GELU": activation(lambda draw: {"approximate": draw.one_of("none", "tanh")}),
    "SiLU": activation(lambda draw: {"inplace": False}),
    "ELU": activation(lambda draw: {"alpha": draw.one_of(1.0, 0.3, 0.0, -1.5)}),
    "Softplus": activation(
        lambda draw: {
            "beta": draw.one_of(1.0, 0.4, -2.0),
            "threshold": draw.one_of(20.0, 1.0, -3.0),
        }
    ),
    "Sigmoid": activation(),
    "Tanh": activation(),
    "Softmax": along,
    "LogSoftmax": along,
}
