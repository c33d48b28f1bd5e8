"""Schedules of learning rates, under PyTorch's names.

Each gives the learning rate as a function of the epoch (or of the step: whatever its `step()` is
called after) and of what the group started from, where PyTorch mostly multiplies the last one: the
same numbers, and a run that is resumed has them exactly.

Two things follow.  A learning rate that is changed by hand, `group["lr"] = 0.1`, holds until the
schedule's next step, which goes on from the first one.  And two schedules that take turns on one
optimiser, which PyTorch would multiply, are an error; `SequentialLR` has one after the other.
"""

from ...synonyms import absent as _absent
from .base import LRScheduler
from .curves import CosineAnnealingLR, ExponentialLR, LambdaLR, LinearLR, MultiStepLR, StepLR
from .one_cycle import OneCycleLR
from .sequence import SequentialLR

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "SequentialLR",
    "StepLR",
]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)


def __dir__() -> list[str]:
    return __all__
