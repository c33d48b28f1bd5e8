"""Randomness: one seeded generator on the host.

Whatever the device, one seed gives the same weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import sizes
from .dtypes import checked, default_dtype, is_floating
from .errors import DTypeError, ShapeError
from .tensor import Tensor

_generator: np.random.Generator | None = None  # made when it is first used


def generator() -> np.random.Generator:
    """The generator that all random tensors come from."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(0)
    return _generator


def manual_seed(seed: int) -> None:
    """Start the generator of initial weights, dropout masks and random tensors anew."""
    global _generator
    _generator = np.random.default_rng(seed)


def get_rng_state() -> dict[str, Any]:
    """The generator's state, for `set_rng_state`."""
    return dict(generator().bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` gave."""
    generator().bit_generator.state = state


def draw(
    distribution: str, shape: tuple[int, ...], *parameters: float, dtype: Any = np.float64
) -> np.ndarray[Any, Any]:
    """A host array of draws: "normal" (mean, std) or "uniform" (low, high), high excluded.

    They are drawn in float64 and rounded, so that every dtype sees the same ones.
    """
    values = np.asarray(getattr(generator(), distribution)(*parameters, size=shape), dtype)
    if distribution == "uniform":
        low, high = (values.dtype.type(each) for each in parameters)
        values = np.minimum(values, np.nextafter(high, low))  # rounding may have reached high
    return np.asarray(values)


def _floating(dtype: Any) -> np.dtype[Any]:
    kind = default_dtype() if dtype is None else checked(dtype)
    if not is_floating(kind):
        raise DTypeError(f"dtype was given as {kind}: draw floating numbers, or use randint")
    return kind


def rand(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Uniform draws from [0, 1).

    Raises:
        DTypeError: dtype is not floating.
    """
    kind = _floating(dtype)
    return Tensor(draw("uniform", sizes(size), 0, 1, dtype=kind), kind, device, requires_grad)


def randn(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Draws from the standard normal distribution.

    Raises:
        DTypeError: dtype is not floating.
    """
    kind = _floating(dtype)
    return Tensor(draw("normal", sizes(size), 0, 1, dtype=kind), kind, device, requires_grad)


def randint(
    low: int,
    high: int | tuple[int, ...] | None = None,
    size: Any = (),
    dtype: Any = np.int64,
    device: str | None = None,
) -> Tensor:
    """Integers from [low, high), or from [0, low) if high is not given: `randint(10, (2, 3))`.

    Raises:
        ShapeError: there is no integer from low to high.
    """
    if isinstance(high, tuple | list):
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    if not low < high:
        raise ShapeError(f"randint from {low} to {high}, which is excluded: give a larger high")
    return Tensor(generator().integers(low, high, size), dtype, device)


def randperm(n: int, device: str | None = None) -> Tensor:
    """The numbers 0 to n - 1 in random order."""
    return Tensor(generator().permutation(n), np.int64, device)
