"""What the rules of the optimisers share, rounded in PyTorch's order."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..backend import Array
from ..kernels import optimizer_steps


def compiled(known: dict[type, Any], kind: type) -> Any:
    """The compiled steps for a type of arrays, None if there are none (see kernels/cpu/updates.py).

    Args:
        known: those of one optimiser, by type of arrays: they may remember its own.
        kind: the type.
    """
    if kind not in known:
        module = optimizer_steps(backend.PLACES[kind])
        known[kind] = None if module is None else module.Steps()
    return known[kind]


def sign_of(maximize: bool) -> float:
    """What a compiled step multiplies g by."""
    return -1.0 if maximize else 1.0


def objective_gradient(p: Array, g: Array, maximize: bool, weight_decay: float) -> Array:
    """±g + weight_decay·p: the gradient of what is made smaller, with an L2 penalty."""
    if maximize:
        g = -g
    return g + weight_decay * p if weight_decay else g


def average(m: Array, g: Array, weight: float) -> None:
    """m ← m + weight·(g - m), from the nearer end of the two."""
    xp = backend.of(m).xp
    gap = xp.subtract(g, m, out=xp.empty_like(m))
    if weight < 0.5:
        gap *= weight
        m += gap
    else:
        gap *= 1 - weight
        xp.subtract(g, gap, out=m)


def average_square(v: Array, g: Array, beta: float) -> None:
    """v ← beta·v + (1 - beta)·g²."""
    square = (1 - beta) * g
    square *= g
    v *= beta
    v += square


def root(v: Array, eps: float, divisor: float = 1.0) -> Array:
    """√v / divisor + eps, as a new array."""
    xp = backend.of(v).xp
    y = xp.sqrt(v, out=xp.empty_like(v))
    if divisor != 1:
        y /= divisor
    y += eps
    return y
