"""Activations as modules, for x of any shape.

`inplace`, where PyTorch has it, is taken and saves nothing: the result is always a new tensor.
"""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .checks import check_choice, number
from .functional.activation import APPROXIMATIONS, check_dim
from .module import Module


class ReLU(Module):
    """max(x, 0); its slope at 0 is 0."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = number("negative_slope", negative_slope)
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where x > 0, else alpha (eˣ - 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = number("alpha", alpha)
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """What it tends to, negative."""
        return f"alpha={self.alpha}"


class Softplus(Module):
    """log(1 + e^(beta·x)) / beta, and x itself where beta·x > threshold; see `F.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = number("beta", beta), number("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Steepness, and where it becomes the identity."""
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Module):
    """x σ(x), also called swish."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.silu(x)


class GELU(Module):
    """x Φ(x) for the normal distribution function Φ; see `F.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        check_choice("approximate", approximate, APPROXIMATIONS)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """How Φ is computed."""
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.tanh(x)


class Softmax(Module):
    """eˣ / Σ eˣ along the axis `dim`, which must be given; see `F.softmax`.

    Raises:
        TypeError: no dim.
    """

    def __init__(self, dim: int | None = None) -> None:
        check_dim("Softmax", dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that has the axis."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - log Σ eˣ along the axis `dim`, which must be given.

    Raises:
        TypeError: no dim.
    """

    def __init__(self, dim: int | None = None) -> None:
        check_dim("LogSoftmax", dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that has the axis."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
