"""Sample calls: what an op is meant for, said once at the op, so that every law can be tried on it.

    @op(lambda g, x: g / x, samples=elementwise(positive))
    def log(xp, x): ...

A sampler takes a `Draw`, which makes the choices, and returns the op's array inputs and its static
arguments.  Arrays are float64 and lie where the op is smooth: no ties, no kinks and no poles within
reach of a finite difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Values = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Domain = Callable[["Draw", Shape], Values]
Sampler = Callable[["Draw"], tuple[tuple[Values, ...], dict[str, Any]]]
T = TypeVar("T")


class Draw:
    """Makes choices, all of them by one function: `integer(low, high)`, both included.

    Hypothesis supplies it in the tests, so that a failing call is made small; `Draw.seeded` is a
    generator of NumPy's.
    """

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer
        self.arrays = 0  # how many were drawn: no two are alike, even of one seed

    @classmethod
    def seeded(cls, seed: int) -> Draw:
        """Choices that depend on a seed only."""
        rng = np.random.default_rng(seed)
        return cls(lambda low, high: int(rng.integers(low, high + 1)))

    def one_of(self, *options: T) -> T:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """True or False."""
        return bool(self.integer(0, 1))

    def shape(self, least: int = 0, most: int = 3, side: tuple[int, int] = (0, 3)) -> Shape:
        """`least` to `most` axes, with lengths in `side`."""
        return tuple([self.integer(*side) for _ in range(self.integer(least, most))])

    def shapes(self, count: int) -> list[Shape]:
        """Shapes that broadcast together."""
        full = self.shape()
        return [self._broadcastable(full) for _ in range(count)]

    def _broadcastable(self, full: Shape) -> Shape:
        """A shape that broadcasts to `full`: leading axes left out, lengths made 1."""
        if self.flag():
            return full
        kept = full[self.integer(0, len(full)) :]
        return tuple([1 if self.flag() else n for n in kept])

    def axis(self, ndim: int) -> int:
        """One axis of several, counted from either end."""
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int) -> int | Shape | None:
        """What a reduction takes: None, an axis, or several."""
        form = self.one_of("all", "one", "several") if ndim else "all"
        if form == "all":
            return None
        if form == "one":
            return self.axis(ndim)
        return tuple([a - ndim * self.flag() for a in self.order(ndim)[: self.integer(1, ndim)]])

    def order(self, n: int) -> Shape:
        """The numbers below n in some order."""
        return tuple(int(i) for i in self.rng().permutation(n))

    def rng(self) -> np.random.Generator:
        """A generator for the values of one array: its seed is a choice like the others."""
        self.arrays += 1
        return np.random.default_rng([self.integer(0, 2**16), self.arrays])


# ---- domains: values of an array, where an op is smooth -----------------------------------------


def anything(draw: Draw, shape: Shape) -> Values:
    """Values of either sign."""
    return np.asarray(draw.rng().normal(size=shape))


def positive(draw: Draw, shape: Shape) -> Values:
    """Values from ½ to 2."""
    return np.asarray(draw.rng().uniform(0.5, 2.0, shape))


def nonzero(draw: Draw, shape: Shape) -> Values:
    """Values of either sign, ½ to 2 in magnitude."""
    rng = draw.rng()
    return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def spread(draw: Draw, shape: Shape, axis: int) -> Values:
    """As `nonzero`, the first values along an axis positive and the second negative."""
    values = nonzero(draw, shape)
    high, low = (values[(slice(None),) * axis + (slice(k, k + 1),)] for k in (0, 1))
    high[...], low[...] = positive(draw, high.shape), -positive(draw, low.shape)
    return values


def within_one(draw: Draw, shape: Shape) -> Values:
    """Values between -0.7 and 0.7."""
    return np.asarray(draw.rng().uniform(-0.7, 0.7, shape))


def apart(draw: Draw, shape: Shape) -> Values:
    """Values a quarter apart from each other, and 0.06 or more from those of the array before.

    None is within 0.05 of a multiple of a quarter: no ties, and no kink at a whole number.
    """
    rng, n = draw.rng(), math.prod(shape)
    steps = rng.permutation(n) - n // 2
    return np.asarray(steps.reshape(shape) * 0.25 + (0.06 if draw.arrays % 2 else 0.185))


def bits(draw: Draw, shape: Shape) -> Values:
    """True and False."""
    return np.asarray(draw.rng().random(shape) < 0.5)


def below(n: int) -> Domain:
    """The domain of indices into n places, of which some are counted from the end."""
    return lambda draw, shape: np.asarray(draw.rng().integers(-n, n, shape))


# ---- samplers: the families that most ops belong to ----------------------------------------------

Options = Callable[[Draw], dict[str, Any]]


def _none(draw: Draw) -> dict[str, Any]:
    return {}


def elementwise(*domains: Domain, options: Options = _none) -> Sampler:
    """Ops on arrays that broadcast together.

    Args:
        domains: for each input, where its values lie: a function of the draw and of a shape.
        options: static arguments, a function of the draw.
    """

    def sample(draw: Draw) -> tuple[tuple[Values, ...], dict[str, Any]]:
        shapes = draw.shapes(len(domains))
        arrays = [domain(draw, shape) for domain, shape in zip(domains, shapes, strict=True)]
        return tuple(arrays), options(draw)

    return sample


def reduction(
    domain: Domain = anything, side: tuple[int, int] = (0, 3), options: Options = _none
) -> Sampler:
    """Ops with `axis` (None, one or several) and `keepdims`.

    Args:
        domain: where the values lie.
        side: the least and the largest length of an axis.
        options: further static arguments, a function of the draw.
    """

    def sample(draw: Draw) -> tuple[tuple[Values, ...], dict[str, Any]]:
        x = domain(draw, draw.shape(side=side))
        return (x,), {"axis": draw.axes(x.ndim), "keepdims": draw.flag()} | options(draw)

    return sample


def along(
    domain: Domain = anything, side: tuple[int, int] = (1, 3), options: Options = _none
) -> Sampler:
    """Ops along one axis, `axis`; the arguments are those of `reduction`."""

    def sample(draw: Draw) -> tuple[tuple[Values, ...], dict[str, Any]]:
        x = domain(draw, draw.shape(least=1, side=side))
        return (x,), {"axis": draw.axis(x.ndim)} | options(draw)

    return sample


def one_array(statics: Callable[[Draw, Shape], dict[str, Any]], least: int = 0) -> Sampler:
    """Ops on one array of any values.

    Args:
        statics: the static arguments, a function of the draw and of the array's shape.
        least: how many axes it has at least.
    """

    def sample(draw: Draw) -> tuple[tuple[Values, ...], dict[str, Any]]:
        x = anything(draw, draw.shape(least=least))
        return (x,), statics(draw, x.shape)

    return sample


def any_of(*samplers: Sampler) -> Sampler:
    """A call from one of several samplers."""
    return lambda draw: draw.one_of(*samplers)(draw)
