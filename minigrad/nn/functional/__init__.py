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
