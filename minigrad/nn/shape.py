"""Modules that leave the values as they are: x itself, or in another shape."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .module import Module
from .options import unusual


class Flatten(Module):
    """Axes start_dim to end_dim (included) as one: (N, C, H, W) -> (N, C·H·W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The same values in fewer axes."""
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes, where they are not the default."""
        return ", ".join(unusual(self, {"start_dim": 1, "end_dim": -1}))


class Identity(Module):
    """x itself: a place that another module may take.

    Any arguments are taken and ignored, so that it can stand for any layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """x."""
        return x
