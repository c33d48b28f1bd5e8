"""What a Recorder keeps: numbers that describe arrays, on the host and in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend
from .errors import ShapeError
from .tensor import Tensor

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Outputs:
    """What a layer gave, over all values of its output: `mean`, `std` and `percentiles`.

    The first two have a number for each recorded step, (steps,); the last (steps, percentiles).
    With channels each has an axis of them at the end.  A step in which the layer was not called has
    NaN.
    """

    def __init__(self) -> None:
        self.rows: list[Numbers | None] = []

    @property
    def mean(self) -> Numbers:
        """(steps,), or (steps, C)."""
        return self._stacked()[:, 0]

    @property
    def std(self) -> Numbers:
        """(steps,), or (steps, C): the root of the mean squared deviation."""
        return self._stacked()[:, 1]

    @property
    def percentiles(self) -> Numbers:
        """(steps, percentiles), or (steps, percentiles, C)."""
        return self._stacked()[:, 2:]

    def _stacked(self) -> Numbers:
        like = next((row for row in self.rows if row is not None), np.empty(3))
        nothing = np.full_like(like, np.nan)
        return np.array([nothing if row is None else row for row in self.rows])


class Running:
    """Running statistics of a norm after each recorded step: `mean` and `var`, (steps, C)."""

    def __init__(self) -> None:
        self.rows: list[tuple[Numbers, Numbers]] = []

    @property
    def mean(self) -> Numbers:
        """(steps, C)."""
        return np.array([mean for mean, _ in self.rows])

    @property
    def var(self) -> Numbers:
        """(steps, C)."""
        return np.array([var for _, var in self.rows])


def described(array: Any, percentiles: tuple[float, ...], axes: tuple[int, ...] | None) -> Numbers:
    """Mean, deviation and percentiles over axes, or all, in float64: (2 + percentiles[, C])."""
    xp = backend.of(array).xp
    with np.errstate(all="ignore"):  # where training diverged, infinities are what is to be seen
        wide = array.astype(xp.float64)
        parts = xp.percentile(wide, xp.asarray(percentiles), axis=axes)
        found = xp.stack([wide.mean(axes), wide.std(axes), *parts])
    return host(found)


def other_axes(name: str, output: Tensor) -> tuple[int, ...]:
    """All but axis 1."""
    if output.ndim < 2:
        raise ShapeError(
            f"record(channels=True): layer {name!r} gave shape {output.shape}, which has no axis "
            "1; leave channels out, or name the layers that have one"
        )
    return (0, *range(2, output.ndim))


def length(array: Any) -> float:
    """The L2 norm, in float64."""
    xp = backend.of(array).xp
    with np.errstate(all="ignore"):
        return float(xp.sqrt((array.astype(xp.float64) ** 2).sum()))


def host(array: Any) -> Numbers:
    """A float64 copy on the host."""
    return backend.of(array).to_numpy(array).astype(np.float64)
