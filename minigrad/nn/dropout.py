"""Dropout (Srivastava et al., 2014)."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class Dropout(Module):
    """In training, zeroes each element with probability p; in evaluation, does nothing.

    What stays is scaled by 1/(1 - p).
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability was given as {p}: it must lie between 0 and 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
