"""Dropout (Srivastava et al., 2014)."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .functional.dropout import check_probability
from .module import Module


class Dropout(Module):
    """In training, zeroes each element with probability p; in evaluation, does nothing.

    What stays is scaled by 1/(1 - p).  `inplace` is taken as PyTorch takes it, and saves nothing
    here: the result is a new tensor.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        check_probability(p)
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
