"""Layers, losses and containers, under PyTorch's names."""

from . import functional, init
from .activation import ReLU
from .batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, frozen_stats, recompute_stats
from .container import Flatten, Sequential
from .conv import Conv2d
from .dropout import Dropout
from .linear import Linear
from .loss import CrossEntropyLoss
from .module import Module
from .parameter import Buffer, Parameter
from .pool import AvgPool2d, MaxPool2d
from .summary import summary

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "frozen_stats",
    "functional",
    "init",
    "recompute_stats",
    "summary",
]
