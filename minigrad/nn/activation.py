"""Activations as modules."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """max(x, 0); its gradient at 0 is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.relu(x)
