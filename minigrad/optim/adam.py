"""Adam (Kingma and Ba, 2015, arXiv 1412.6980) and AdamW (Loshchilov and Hutter, 1711.05101)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from .. import backend
from ..backend import Array
from .optimizer import Optimizer, Prepared, buffer
from .rules import average, average_square, objective_gradient, root, sign_of


class Adam(Optimizer):
    """p ← p - lr · m̂ / (√v̂ + eps).

    m and v are decaying averages of g and g², and m̂ and v̂ are they freed of their bias towards
    zero.  eps in float16 should be 1e-7 or more: what is smaller is 0 there.

    Args:
        params: parameters, or groups of them.
        lr, eps: numbers, 0 or more.
        betas: how much of m and of v a step keeps; each in [0, 1).
        weight_decay: adds weight_decay·p to g (L2), as in PyTorch's Adam.
        amsgrad: divide by the largest v so far (Reddi et al., 2018).
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: an option out of range.
    """

    flags = ("amsgrad", "maximize")
    pairs = ("betas",)
    slots = MappingProxyType(
        {"step": "", "exp_avg": "", "exp_avg_sq": "", "max_exp_avg_sq": "amsgrad"}
    )
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def check(self, options: dict[str, Any]) -> None:
        """Betas must lie in [0, 1)."""
        super().check(options)
        if not all(beta < 1 for beta in options["betas"]):
            raise ValueError(f"{self.name} got betas={options['betas']}: each must lie in [0, 1)")

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        lr, decay, (beta1, beta2) = options["lr"], options["weight_decay"], options["betas"]
        m, v, move, divisor = self._begun(p, state, options)
        g = objective_gradient(p, g, options["maximize"], 0.0 if self.decoupled else decay)
        if decay and self.decoupled:
            p *= 1 - lr * decay
        average(m, g, 1 - beta1)
        average_square(v, g, beta2)
        if options["amsgrad"]:
            largest = buffer(state, "max_exp_avg_sq", p)
            v = backend.of(p).xp.maximum(largest, v, out=largest)
        scale = root(v, options["eps"], divisor)
        p += backend.of(p).xp.divide(move * m, scale, out=scale)

    def step_name(self, options: dict[str, Any]) -> str:
        """With the largest v or without."""
        return "amsgrad" if options["amsgrad"] else "adam"

    def prepared(self, p: Array, state: dict[str, Any], options: dict[str, Any]) -> Prepared:
        """See `Optimizer`."""
        lr, decay, (beta1, beta2) = options["lr"], options["weight_decay"], options["betas"]
        m, v, move, divisor = self._begun(p, state, options)
        kept = (m, v, buffer(state, "max_exp_avg_sq", p)) if options["amsgrad"] else (m, v)
        coupled, shrink = (0.0, 1 - lr * decay) if self.decoupled else (decay, 1.0)
        numbers = coupled, shrink, beta1, beta2, move, divisor, options["eps"]
        return kept, (sign_of(options["maximize"]), *map(float, numbers))

    def _begun(
        self, p: Array, state: dict[str, Any], options: dict[str, Any]
    ) -> tuple[Array, Array, float, float]:
        """m, v, what m is multiplied with, and what √v is divided by: both free them of bias."""
        beta1, beta2 = options["betas"]
        step = state.setdefault("step", 0) + 1  # which counts once there is memory for the rest
        m, v = buffer(state, "exp_avg", p), buffer(state, "exp_avg_sq", p)
        state["step"] = step
        return m, v, -options["lr"] / (1 - beta1**step), math.sqrt(1 - beta2**step)


class AdamW(Adam):
    """p ← (1 - lr·weight_decay)·p - lr · m̂ / (√v̂ + eps): Adam with the decay apart from g.

    Args:
        weight_decay: the part of p that a step of size 1 would take away.
        params, lr, betas, eps, amsgrad, maximize: as for Adam.

    Raises:
        ValueError: an option out of range.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
