"""Adagrad (Duchi, Hazan and Singer, 2011, JMLR 12)."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from ..backend import Array
from .optimizer import Optimizer, Prepared, buffer
from .rules import objective_gradient, root, sign_of


class Adagrad(Optimizer):
    """p ← p - lr / (1 + t·lr_decay) · g / (√Σg² + eps), after t earlier steps.

    Args:
        params: parameters, or groups of them.
        lr, lr_decay, eps: numbers, 0 or more.
        weight_decay: adds weight_decay·p to g (L2).
        initial_accumulator_value: where Σg² starts; read at a parameter's first step.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: an option out of range.
    """

    flags = ("maximize",)
    slots = MappingProxyType({"step": "", "sum": ""})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        sums, lr = self._begun(p, state, options)
        g = objective_gradient(p, g, options["maximize"], options["weight_decay"])
        sums += g * g
        p -= lr * g / root(sums, options["eps"])

    def step_name(self, options: dict[str, Any]) -> str:
        """One for all options."""
        return "adagrad"

    def prepared(self, p: Array, state: dict[str, Any], options: dict[str, Any]) -> Prepared:
        """See `Optimizer`."""
        sums, lr = self._begun(p, state, options)
        numbers = [float(n) for n in (options["weight_decay"], lr, options["eps"])]
        return (sums,), (sign_of(options["maximize"]), *numbers)

    def _begun(
        self, p: Array, state: dict[str, Any], options: dict[str, Any]
    ) -> tuple[Array, float]:
        """Σg², and this step's rate."""
        sums = buffer(state, "sum", p, options["initial_accumulator_value"])
        lr = options["lr"] / (1 + state.get("step", 0) * options["lr_decay"])
        state["step"] = state.get("step", 0) + 1
        return sums, lr
