"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from .. import backend
from ..backend import Array
from ..tensor import handle
from .optimizer import Optimizer, Prepared, buffer
from .rules import objective_gradient, sign_of


class SGD(Optimizer):
    """p ← p - lr·b, with b ← momentum·b + (1 - dampening)·(g + weight_decay·p).

    Nesterov's form steps along g + momentum·b (Sutskever et al., 2013).  The first b is the first
    gradient itself, as in PyTorch.

    Args:
        params: parameters, or groups of them.
        lr, momentum, dampening, weight_decay: numbers; all but dampening 0 or more.
        nesterov: needs a momentum above 0, and no dampening.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: an option out of range, or Nesterov without momentum or with dampening.
    """

    flags = ("nesterov", "maximize")
    signed = ("dampening",)
    slots = MappingProxyType({"momentum_buffer": "momentum"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, options: dict[str, Any]) -> None:
        """Momentum and Nesterov must fit."""
        super().check(options)
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("SGD with nesterov=True needs a momentum above 0 and dampening=0")

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        g = objective_gradient(p, g, options["maximize"], options["weight_decay"])
        if momentum := options["momentum"]:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = handle(backend.of(p).xp.array(g))
                b = state["momentum_buffer"].array
            else:
                b = state["momentum_buffer"].array
                b *= momentum
                b += g if options["dampening"] == 0 else (1 - options["dampening"]) * g
            g = g + momentum * b if options["nesterov"] else b
        p -= options["lr"] * g

    def step_name(self, options: dict[str, Any]) -> str:
        """With momentum or without."""
        return "sgd_momentum" if options["momentum"] else "sgd"

    def prepared(self, p: Array, state: dict[str, Any], options: dict[str, Any]) -> Prepared:
        """See `Optimizer`."""
        momentum, lr = float(options["momentum"]), float(options["lr"])
        shared = sign_of(options["maximize"]), float(options["weight_decay"]), lr
        if not momentum:
            return (), shared
        first = "momentum_buffer" not in state
        b, share = buffer(state, "momentum_buffer", p), float(1 - options["dampening"])
        return (b,), (*shared, momentum, share, first, options["nesterov"])
