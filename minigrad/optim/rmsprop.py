"""RMSprop (Tieleman and Hinton, 2012, lecture 6.5; centred: Graves, 2013, arXiv 1308.0850)."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from .. import backend
from ..backend import Array
from .checks import check_number
from .optimizer import Optimizer, Prepared, buffer
from .rules import average, average_square, objective_gradient, root, sign_of


class RMSprop(Optimizer):
    """p ← p - lr·b, with b ← momentum·b + g / (√v + eps).

    v is a decaying average of g²; centred, the square of such an average of g is taken off it.

    Args:
        params: parameters, or groups of them.
        lr, eps, momentum: numbers, 0 or more.
        alpha: how much of the averages a step keeps, in [0, 1].
        weight_decay: adds weight_decay·p to g (L2).
        centered: divide by the standard deviation of g instead of its root mean square.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: an option out of range.
    """

    flags = ("centered", "maximize")
    slots = MappingProxyType(
        {"step": "", "square_avg": "", "momentum_buffer": "momentum", "grad_avg": "centered"}
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, options: dict[str, Any]) -> None:
        """Alpha must lie in [0, 1]: beyond, v would grow negative."""
        super().check(options)
        check_number(self.name, "alpha", options["alpha"], 1)

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        v, mean, b = self._begun(p, state, options)
        g = objective_gradient(p, g, options["maximize"], options["weight_decay"])
        average_square(v, g, options["alpha"])
        if mean is not None:
            average(mean, g, 1 - options["alpha"])
            v = backend.of(v).xp.subtract(v, mean * mean, out=backend.of(v).xp.empty_like(v))
        scale = root(v, options["eps"])
        if b is not None:
            b *= options["momentum"]
            b += g / scale
            p -= options["lr"] * b
        else:
            p -= options["lr"] * g / scale

    def step_name(self, options: dict[str, Any]) -> str:
        """One for all options."""
        return "rmsprop"

    def prepared(self, p: Array, state: dict[str, Any], options: dict[str, Any]) -> Prepared:
        """See `Optimizer`."""
        names = "weight_decay", "lr", "alpha", "eps", "momentum"
        numbers = [float(options[name]) for name in names]
        return self._begun(p, state, options), (sign_of(options["maximize"]), *numbers)

    def _begun(
        self, p: Array, state: dict[str, Any], options: dict[str, Any]
    ) -> tuple[Array, Array | None, Array | None]:
        """v, the average of g, and the momentum: None where the options ask for none."""
        step = state.setdefault("step", 0) + 1  # which counts once there is memory for the rest
        v = buffer(state, "square_avg", p)
        mean = buffer(state, "grad_avg", p) if options["centered"] else None
        b = buffer(state, "momentum_buffer", p) if options["momentum"] else None
        state["step"] = step
        return v, mean, b
