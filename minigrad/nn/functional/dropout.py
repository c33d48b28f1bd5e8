"""Dropout as a function (Srivastava et al., 2014)."""

from __future__ import annotations

from ... import random
from ...tensor import Tensor
from ..checks import check_floating


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training, zeroes each element with probability p, and scales the rest by 1/(1 - p).

    The mask is drawn on the host.

    Raises:
        ValueError: p is not a probability.
        DTypeError: x holds integers.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability was given as {p}: it must lie between 0 and 1")
    check_floating("dropout", x)
    if not training or p == 0:
        return x
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = (random.draw("uniform", x.shape, 0.0, 1.0) >= p) * scale
    return x * Tensor(mask, x.dtype, x.device)
