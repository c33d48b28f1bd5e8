"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend import Array
from .optimizer import Optimizer


class SGD(Optimizer):
    """p ← p - lr·b, with b ← momentum·b + (1 - dampening)·(g + weight_decay·p).

    Nesterov's form steps along g + momentum·b.

    The first b is the first gradient itself, as in PyTorch.

    Raises:
        ValueError: Nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def check(self, options: dict[str, Any]) -> None:
        """Momentum and Nesterov must fit."""
        super().check(options)
        if not options["momentum"] >= 0:
            raise ValueError(f"SGD got momentum={options['momentum']}: it must be 0 or more")
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("SGD with nesterov=True needs a momentum above 0 and dampening=0")

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        if options["weight_decay"]:
            g = g + options["weight_decay"] * p
        if momentum := options["momentum"]:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = g.copy()
            else:
                state["momentum_buffer"] *= momentum
                state["momentum_buffer"] += (1 - options["dampening"]) * g
            g = (
                g + momentum * state["momentum_buffer"]
                if options["nesterov"]
                else state["momentum_buffer"]
            )
        p -= options["lr"] * g
