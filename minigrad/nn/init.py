"""Initial values, written in place, drawn on the host: one seed gives the same on every device.

Names and defaults are PyTorch's; each function returns the tensor.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from .. import random
from ..dtypes import is_number
from ..errors import ShapeError
from ..modes import no_grad
from ..tensor import Tensor
from .checks import check_choice, check_floating

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

LINEAR = ("linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))
GAINS = {**dict.fromkeys((*LINEAR, "sigmoid"), 1.0), "tanh": 5 / 3, "relu": math.sqrt(2)}
GAINS["selu"] = 3 / 4
SMALLEST = 5e-324  # of the positive numbers

# ---- numbers -------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    check_floating("uniform_", tensor)
    with no_grad():
        return tensor.uniform_(a, b)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal."""
    check_floating("normal_", tensor)
    with no_grad():
        return tensor.normal_(mean, std)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal, given that it lies in [a, b].

    By the inverse of the distribution function (Wichura, 1988), so one uniform number is drawn for
    each value, however little of the distribution lies in [a, b].

    Raises:
        ValueError: std is not positive, or a is not below b.
    """
    check_floating("trunc_normal_", tensor)
    if not std > 0 or not a < b:
        raise ValueError(
            f"trunc_normal_ got std={std}, a={a}, b={b}: give a positive std, and a below b"
        )
    low, high = (a - mean) / std, (b - mean) / std
    side = -1.0 if low > 0 else 1.0  # the upper tail mirrored: near 0 probabilities are exact
    below = sorted(0.5 * math.erfc(-side * z / math.sqrt(2)) for z in (low, high))
    drawn = random.draw("uniform", tensor.shape, *below).reshape(-1)
    inverse = NormalDist().inv_cdf
    z = np.array([inverse(max(p, SMALLEST)) for p in drawn.tolist()]).reshape(tensor.shape)
    return _write(tensor, np.clip(mean + side * std * z, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """0."""
    return constant_(tensor, 0)


# ---- by the size of a layer ----------------------------------------------------------------------


def fans(t: Tensor) -> tuple[int, int]:
    """How many inputs an output sees, and outputs an input reaches: (out, in, *kernel).

    Raises:
        ShapeError: fewer than 2 axes.
    """
    if t.ndim < 2:
        raise ShapeError(
            f"a tensor of shape {t.shape} has no fan in and fan out: give a weight (out, in, "
            "*kernel), or use uniform_ or normal_"
        )
    field = math.prod(t.shape[2:])
    return t.shape[1] * field, t.shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much a layer's weights should be scaled up for the nonlinearity that follows.

    Args:
        nonlinearity: "linear", "conv1d" and the like, "sigmoid" (1), "tanh" (5/3), "relu" (√2),
            "leaky_relu" (√(2 / (1 + param²))) or "selu" (3/4).
        param: the slope of the leaky ReLU; 0.01 if not given.

    Raises:
        ValueError: another nonlinearity.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if not is_number(slope):
            raise ValueError(f"param was given as {param!r}: give the slope, a number")
        return math.sqrt(2 / (1 + slope * slope))
    check_choice("nonlinearity", nonlinearity, (*GAINS, "leaky_relu"))
    return GAINS[nonlinearity]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in ±gain·√(6 / (fan_in + fan_out)).  Glorot and Bengio, 2010."""
    bound = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with deviation gain·√(2 / (fan_in + fan_out)).  Glorot and Bengio, 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(sum(fans(tensor)), 1)))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform in ±gain·√(3 / fan), which for the default is ±√(6 / ((1 + a²)·fan_in)).

    He et al., 2015, arXiv 1502.01852.

    Args:
        tensor: (out, in, *kernel).
        a: the slope of the leaky ReLU that follows.
        mode: "fan_in" keeps the spread of values, "fan_out" that of gradients.
        nonlinearity: what follows; see `calculate_gain`.

    Raises:
        ShapeError: fewer than 2 axes.
        ValueError: another mode or nonlinearity.
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with deviation gain / √fan.

    He et al., 2015, arXiv 1502.01852.  Arguments are those of `kaiming_uniform_`.
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def _kaiming_std(t: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    check_choice("mode", mode, ("fan_in", "fan_out"))
    fan = fans(t)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's initial values of Linear and convolutions: uniform in ±1/√fan_in, both."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(max(fans(weight)[0], 1))
        uniform_(bias, -bound, bound)


# ---- matrices and kernels ------------------------------------------------------------------------


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, cut or filled with zeros.

    Raises:
        ShapeError: not a matrix.
    """
    _check_rank("eye_", tensor, (2,))
    rows, columns = tensor.shape
    return _write(tensor, np.eye(rows, columns))


def orthogonal_(tensor: Tensor, gain: float = 1) -> Tensor:
    """gain times orthonormal rows, or columns if there are fewer of them.

    The tensor is seen as a matrix (out, in·kernel).  Saxe, McClelland and Ganguli, 2013, arXiv
    1312.6120; uniform over all such matrices (Mezzadri, 2007).

    Raises:
        ShapeError: fewer than 2 axes.
    """
    check_floating("orthogonal_", tensor)
    if tensor.ndim < 2:
        raise ShapeError(
            f"orthogonal_ got a tensor of shape {tensor.shape}: give at least 2 axes, (out, in)"
        )
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    shape = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(random.draw("normal", shape, 0.0, 1.0))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # else it would not be uniform
    return _write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Kernels (out, in, *kernel) of 1 to 3 axes that give as many channels as they can unchanged.

    Raises:
        ShapeError: not 3 to 5 axes, or out is not a multiple of groups.
    """
    _check_rank("dirac_", tensor, (3, 4, 5))
    out, channels, *kernel = tensor.shape
    if groups < 1 or out % groups:
        raise ShapeError(f"dirac_ got {out} output channels for groups={groups}: give a divisor")
    values = np.zeros(tensor.shape)
    each, middle = out // groups, tuple([n // 2 for n in kernel])
    for row in range(out):
        if row % each < channels:
            values[(row, row % each, *middle)] = 1
    return _write(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Normal, with a share `sparsity` of each column set to zero, rounded up.

    Martens, 2010.

    Raises:
        ShapeError: not a matrix.
        ValueError: sparsity is no share.
    """
    check_floating("sparse_", tensor)
    _check_rank("sparse_", tensor, (2,))
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity was given as {sparsity}: give a share from 0 to 1")
    rows, columns = tensor.shape
    values = random.draw("normal", (rows, columns), 0.0, std)
    order = np.argsort(random.draw("uniform", (rows, columns), 0.0, 1.0), axis=0)
    np.put_along_axis(values, order[: math.ceil(sparsity * rows)], 0.0, axis=0)
    return _write(tensor, values)


def _check_rank(name: str, t: Tensor, ranks: tuple[int, ...]) -> None:
    if t.ndim not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise ShapeError(f"{name} got a tensor of shape {t.shape}: give one with {wanted} axes")


def _write(t: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    """Copy host values into t, rounded to its dtype."""
    with no_grad():
        return t.copy_(Tensor(values, t.dtype, t.device))
