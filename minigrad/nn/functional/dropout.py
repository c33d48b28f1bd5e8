"""Dropout as a function (Srivastava et al., 2014)."""

from __future__ import annotations

import numpy as np

from ... import random
from ...dtypes import is_number
from ...tensor import Tensor
from ..checks import check_floating


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zeroes each element with probability p, and scales the rest by 1/(1 - p).

    The mask is drawn on the host.  `inplace` is taken as PyTorch takes it, and saves nothing here:
    the result is a new tensor.

    Raises:
        ValueError: p is not a probability.
        DTypeError: x holds integers.
    """
    check_probability(p)
    check_floating("dropout", x)
    if not training or p == 0:
        return x
    kept = random.draw("uniform", x.shape, 0.0, 1.0) >= p
    scale = x.dtype.type(0.0 if p == 1 else 1 / (1 - p))
    return x * Tensor(np.multiply(kept, scale, dtype=x.dtype), x.dtype, x.device)


def check_probability(p: float) -> None:
    """How likely an element is dropped.

    Raises:
        ValueError: p is not a probability.
        TypeError: it is no number.
    """
    if not is_number(p):
        raise TypeError(f"dropout probability was given as {p!r}: give a number from 0 to 1")
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability was given as {p}: it must lie between 0 and 1")
