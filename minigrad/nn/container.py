"""Modules that hold others, and the one that only joins axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..tensor import Tensor
from .module import Module


class Sequential(Module):
    """Modules applied one after the other; they are named by their positions, as in PyTorch."""

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential got a {type(module).__name__} at position {i}: give modules, "
                    "such as nn.ReLU()"
                )
            vars(self)[str(i)] = module

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int | slice) -> Any:
        modules = list(self)
        return Sequential(*modules[i]) if isinstance(i, slice) else modules[i]


class Flatten(Module):
    """Axes start_dim to end_dim (included) as one: (N, C, H, W) -> (N, C·H·W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The same values in fewer axes."""
        return x.flatten(self.start_dim, self.end_dim)
