"""Activations and their gradients, of arrays that end within a block's and a load's reach."""

import numpy as np

from minigrad.ops.activation import gelu, gelu_grad, silu, silu_grad
from minigrad.ops.elementwise import erf, sigmoid
from minigrad.ops.piecewise import relu_grad

from .call import Call

ONE = {
    "sigmoid": sigmoid,
    "erf": erf,
    "silu": silu,
    "gelu": lambda x: gelu(x, approximate="none"),
    "gelu by tanh": lambda x: gelu(x, approximate="tanh"),
}
TWO = {
    "relu_grad": relu_grad,
    "silu_grad": silu_grad,
    "gelu_grad": lambda x, dy: gelu_grad(x, dy, approximate="none"),
    "gelu_grad by tanh": lambda x, dy: gelu_grad(x, dy, approximate="tanh"),
}


def call(function, count, dtype="float32", size=1037):
    """Of so many arrays."""
    rng = np.random.default_rng(size)
    arrays = [(rng.normal(size=size) * 3).astype(dtype) for _ in range(count)]
    return Call(lambda xp, *a: function(*a), *arrays)


CALLS = {
    f"{name}, {dtype}": call(function, count, dtype)
    for count, functions in enumerate((ONE, TWO), 1)
    for name, function in functions.items()
    for dtype in ("float16", "float32", "float64")
} | {
    "an array that starts off sixteen bytes": Call(
        lambda xp, x: silu_grad(x[1:], x[:-1]), np.linspace(-3, 3, 99, dtype=np.float32)
    ),
}
