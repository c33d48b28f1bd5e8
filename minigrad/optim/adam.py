"""Adam (Kingma and Ba, 2015, arXiv 1412.6980)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import backend
from ..backend import Array
from .optimizer import Optimizer


class Adam(Optimizer):
    """p ← p - lr · m̂ / (√v̂ + eps).

    m and v are decaying averages of g and g², freed of their bias towards zero.

    weight_decay adds weight_decay·p to g (L2), as in PyTorch's Adam.

    Raises:
        ValueError: a beta outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def check(self, options: dict[str, Any]) -> None:
        """Betas must lie in [0, 1)."""
        super().check(options)
        if not all(0 <= beta < 1 for beta in options["betas"]):
            raise ValueError(f"Adam got betas={options['betas']}: each must lie in [0, 1)")

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """See the class."""
        xp = backend.of(p).xp
        beta1, beta2 = options["betas"]
        if not state:
            state.update(step=0, exp_avg=xp.zeros_like(p), exp_avg_sq=xp.zeros_like(p))
        if options["weight_decay"]:
            g = g + options["weight_decay"] * p
        state["step"] += 1
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        root = xp.sqrt(v)
        root /= math.sqrt(1 - beta2 ** state["step"])
        root += options["eps"]
        p -= options["lr"] / (1 - beta1 ** state["step"]) * (m / root)
