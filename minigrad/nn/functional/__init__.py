"""Layers as functions: arguments checked and brought into one form, then a few ops.

Names and defaults are PyTorch's.
"""

from .activation import log_softmax, relu, sigmoid, softmax, tanh
from .conv import conv2d
from .dropout import dropout
from .linear import linear
from .loss import cross_entropy
from .norm import batch_norm
from .pool import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "max_pool2d",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
