"""Initial values, drawn on the host: one seed gives the same weights on every device."""

from __future__ import annotations

import math

from ..modes import no_grad
from ..tensor import Tensor


def fans(t: Tensor) -> tuple[int, int]:
    """How many inputs an output sees, and outputs an input reaches: (out, in, *kernel)."""
    field = math.prod(t.shape[2:])
    return t.shape[1] * field, t.shape[0] * field


def kaiming_uniform_(t: Tensor, a: float = 0.0) -> Tensor:
    """Uniform in ±√(6 / ((1 + a²)·fan_in)), a the slope of the leaky ReLU that follows.

    He et al., 2015, arXiv 1502.01852.
    """
    bound = math.sqrt(6 / ((1 + a * a) * max(fans(t)[0], 1)))
    return uniform_(t, -bound, bound)


def uniform_(t: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high)."""
    with no_grad():
        return t.uniform_(low, high)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's initial values of Linear and convolutions: uniform in ±1/√fan_in, both."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(max(fans(weight)[0], 1))
        uniform_(bias, -bound, bound)
