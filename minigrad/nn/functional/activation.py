"""Activations as functions.

PyTorch's `inplace` is taken where PyTorch has it, and saves nothing here: the result is always a
new tensor, and x stays as it is.
"""

from __future__ import annotations

from typing import Any

from ...dtypes import is_whole
from ...ops import activation as ops
from ...ops import elementwise, piecewise, reduce
from ...tensor import Tensor
from ..checks import check_choice, check_floating, number

APPROXIMATIONS = ("none", "tanh")  # of the normal distribution function in gelu

tanh, sigmoid = elementwise.tanh, elementwise.sigmoid


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); its slope at 0 is 0."""
    y: Tensor = piecewise.relu(x)
    return y


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x; the slope at 0 is negative_slope.

    Raises:
        DTypeError: x holds integers.
        TypeError: negative_slope is not a number.
    """
    check_floating("leaky_relu", x)
    y: Tensor = ops.leaky_relu(x, negative_slope=number("negative_slope", negative_slope))
    return y


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (eˣ - 1); the slope at 0 is alpha.

    Raises:
        DTypeError: x holds integers.
        TypeError: alpha is not a number.
    """
    check_floating("elu", x)
    y: Tensor = ops.elu(x, alpha=number("alpha", alpha))
    return y


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta·x)) / beta, and x itself where beta·x > threshold, as in PyTorch.

    The jump there is e^(-threshold) / beta: 2e-9 for the default.  `threshold=math.inf` leaves it
    out, and nothing overflows (PyTorch's exponential would).

    Raises:
        DTypeError: x holds integers.
        TypeError: beta or threshold is not a number.
        ValueError: beta is 0.
    """
    check_floating("softplus", x)
    beta, threshold = number("beta", beta), number("threshold", threshold)
    if beta == 0:
        raise ValueError("softplus got beta=0, by which it divides: give another, 1 is usual")
    y: Tensor = ops.softplus(x, beta=beta, threshold=threshold)
    return y


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """x σ(x), also called swish.

    Raises:
        DTypeError: x holds integers.
    """
    check_floating("silu", x)
    y: Tensor = ops.silu(x)
    return y


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x) for the normal distribution function Φ.

    Args:
        x: any shape.
        approximate: "none" for Φ by the error function, "tanh" for its approximation by tanh.

    Raises:
        DTypeError: x holds integers.
        ValueError: another approximation.
    """
    check_floating("gelu", x)
    check_choice("approximate", approximate, APPROXIMATIONS)
    y: Tensor = ops.gelu(x, approximate=approximate)
    return y


def softmax(x: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along one axis.

    Differs from PyTorch: without `dim` it is an error (PyTorch warns, and takes axis 0 for one or
    three axes, else 1); the private `_stacklevel` is left out.

    Args:
        x: any shape.
        dim: the axis along which the results sum to 1.
        dtype: what x is converted to before; None leaves it.

    Raises:
        TypeError: no dim.
    """
    check_dim("softmax", dim)
    y: Tensor = reduce.softmax(_as_dtype(x, dtype), dim)
    return y


def log_softmax(x: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """x - log Σ eˣ along one axis: the logarithm of `softmax`, and as there."""
    check_dim("log_softmax", dim)
    y: Tensor = reduce.log_softmax(_as_dtype(x, dtype), dim)
    return y


def _as_dtype(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else x.to(dtype=dtype)


def check_dim(name: str, dim: Any) -> None:
    """The axis of a softmax must be told.

    Raises:
        TypeError: it is not.
    """
    if not is_whole(dim):
        raise TypeError(
            f"{name} got dim={dim!r}: say along which axis the results sum to 1, dim=1 for the "
            "classes of (N, C) or (N, C, d1, …), dim=-1 for the last axis"
        )
