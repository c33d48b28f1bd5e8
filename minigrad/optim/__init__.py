"""Optimisers, schedules of their learning rates, clipping, and averages of weights.

PyTorch's names, defaults and arithmetic; what only chooses how PyTorch computes (`foreach`,
`fused`, `capturable`, `differentiable`) is not there.
"""

from ..synonyms import absent as _absent
from . import lr_scheduler
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .clip import clip_grad_norm_, clip_grad_value_
from .ema import EMA
from .groups import no_decay_groups
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "EMA",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
    "no_decay_groups",
]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)


def __dir__() -> list[str]:
    return __all__
