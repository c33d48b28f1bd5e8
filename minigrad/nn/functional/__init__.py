"""Layers as functions: arguments checked and brought into one form, then a few ops.

Names and defaults are PyTorch's.
"""

from ...ops.pad import pad
from ...synonyms import absent as _absent
from .activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from .class_loss import cross_entropy, nll_loss
from .conv import conv1d, conv2d, conv_transpose2d
from .dropout import dropout
from .embedding import embedding
from .linear import linear
from .loss import binary_cross_entropy_with_logits, l1_loss, mse_loss, smooth_l1_loss
from .norm import batch_norm, batch_norm_relu, group_norm, instance_norm, layer_norm
from .pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_relu",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "instance_norm",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "pad",
    "relu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)


def __dir__() -> list[str]:
    return __all__
