"""Losses as modules."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """Minus the log-probability of the right class; see `F.cross_entropy`."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or (N,) with reduction="none"."""
        return F.cross_entropy(x, target, self.ignore_index, self.reduction)
