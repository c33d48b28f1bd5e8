"""What normalisation layers share: weight and bias, and running statistics.

Conventions are PyTorch's, so that state dicts load both ways: momentum is the weight of the *new*
batch, the biased variance normalises, the unbiased one is stored.  (Frameworks that say decay = 0.9
mean momentum = 0.1.)

In training a module hands on the statistics of each batch.  They move its running statistics,
unless a receiver takes them instead: `frozen_stats` ignores them, `recompute_stats` pools them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from ..backend.several import placed
from ..create import full_like, ones, zeros
from ..dtypes import checked, is_floating
from ..errors import DTypeError, ShapeError
from ..modes import recomputing
from ..tensor import Tensor
from . import init
from .checks import check_count, check_flag, check_floating
from .functional import norm_steps as steps
from .module import Module
from .parameter import Buffer, Parameter

Kind = TypeVar("Kind", bound=type[Module])

# takes the mean and the biased variance (C,) of a batch, and its number of values per channel
Receiver = Callable[[Tensor, Tensor, int], None]
# receivers by the id of their module (which may define == and have no hash); the last ones count
_receivers: ContextVar[tuple[Mapping[int, Receiver], ...]] = ContextVar("receivers", default=())


@contextmanager
def receiving(receivers: Mapping[int, Receiver]) -> Iterator[None]:
    """Inside, these receivers take the batch statistics of the modules with these ids."""
    entry = MappingProxyType(receivers)
    _receivers.set((*_receivers.get(), entry))
    try:
        yield
    finally:  # of suspended generators the first may end first: each takes its own away
        _receivers.set(tuple(each for each in _receivers.get() if each is not entry))


def ignore(mean: Tensor, var: Tensor, n: int) -> None:
    """The receiver by which running statistics stay as they are."""


class AffineNorm(Module):
    """weight and bias after a normalisation; subclasses normalise."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_parameters(
        self, shape: tuple[int, ...], affine: bool, bias: bool, device: str | None, dtype: Any
    ) -> None:
        place = {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(*shape, **place)) if affine else None
        self.bias = Parameter(zeros(*shape, **place)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class RunningNorm(AffineNorm):
    """Weight, bias and running statistics of each channel; subclasses define `forward`."""

    momenta = "from 0 to 1"  # what `momentum` may be
    layout: str  # what x may be

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        fused: bool,
        device: str | None,
        dtype: Any,
        bias: bool,
    ) -> None:
        check_count("num_features", num_features)
        steps.check_eps(type(self).__name__, eps)
        flags = {"affine": affine, "track_running_stats": track_running_stats}
        for name, flag in {**flags, "fused": fused, "bias": bias}.items():
            check_flag(name, flag)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.fused = affine, fused
        self._check_momentum()
        self._make_parameters((num_features,), affine, bias, device, dtype)
        self._make_statistics(track_running_stats, device, dtype)

    def _make_statistics(self, tracked: bool, device: str | None, dtype: Any) -> None:
        if dtype is not None and not is_floating(checked(dtype)):
            raise DTypeError(
                f"{type(self).__name__} got dtype {dtype}: give mg.float16, float32 or float64"
            )
        n, place = self.num_features, {"dtype": dtype, "device": device}
        self.running_mean = Buffer(zeros(n, **place)) if tracked else None
        self.running_var = Buffer(ones(n, **place)) if tracked else None
        self.num_batches_tracked = Buffer(0, np.int64, device) if tracked else None

    @property
    def track_running_stats(self) -> bool:
        """Whether there are running statistics; settled when the module is made."""
        return self.running_mean is not None

    @track_running_stats.setter
    def track_running_stats(self, value: bool) -> None:
        name, n = type(self).__name__, self.num_features
        raise AttributeError(
            f"track_running_stats is settled when the module is made: make a new one, as in "
            f"nn.{name}({n}, track_running_stats={value!r})"
        )

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches counted."""
        if self.running_mean is not None:
            for buffer, start in zip(running_stats(self), (0, 1, 0), strict=True):
                buffer.rebind(full_like(buffer, start).array)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and statistics as at the start."""
        self.reset_running_stats()
        super().reset_parameters()

    # ---- what subclasses build `forward` of

    def _check(self, x: Tensor) -> None:
        """x, and the attributes that may have been set since the module was made."""
        name = type(self).__name__
        check_floating(name, x)
        if not self._fits(x):
            raise ShapeError(
                f"{name}({self.num_features}) got x of shape {x.shape}: it must be {self.layout} "
                f"with C = {self.num_features}{self._alternative(x)}"
            )
        running = self.running_mean, self.running_var
        owned = steps.named(running, (self.weight, self.bias))
        steps.check_shapes(name, x, owned, (self.num_features,))
        if (self.running_mean is None) != (self.running_var is None):
            raise ValueError(f"{name} has one of running_mean and running_var: give both, or None")
        steps.check_eps(name, self.eps)

    def _fits(self, x: Tensor) -> bool:
        """Whether x has the layout of the class, and the channels of the module."""
        raise NotImplementedError

    def _alternative(self, x: Tensor) -> str:
        """What else to type, where x does not fit."""
        return ""

    def _check_momentum(self) -> None:
        if self.momentum is not None:
            steps.check_momentum(type(self).__name__, self.momentum, self.momenta)

    def _by_running(self, x: Tensor, relu: bool = False) -> Tensor:
        """x normalised by the running statistics."""
        mean, var, _ = running_stats(self)
        affine = self.weight, self.bias
        return steps.normalise_with(x, mean, var, affine, self.eps, self.fused, relu)

    def _hand_on(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Give the statistics of a batch to their receiver, or move the running ones."""
        if self.training and self.running_mean is not None and not recomputing.get():
            take = self._receiver() or self._move
            take(mean, var, n)

    def _receiver(self) -> Receiver | None:
        """Who takes the statistics of a batch instead of the running ones, if anybody."""
        receivers = _receivers.get()
        if not receivers:  # as nearly always
            return None
        return next((each[id(self)] for each in receivers[::-1] if id(self) in each), None)

    @placed
    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        """The running statistics take in the statistics of a batch."""
        self._check_momentum()
        running_mean, running_var, count = running_stats(self)
        steps.check_movable(type(self).__name__, (running_mean, running_var))
        if not isinstance(count, Buffer):
            raise TypeError(
                f"{type(self).__name__}.num_batches_tracked is {count!r}: reset_running_stats() "
                "starts anew, or give nn.Buffer(0)"
            )
        momentum: Any = self.momentum
        if momentum is None:
            momentum = 1 / (count.array + 1)
        steps.move_both((running_mean, running_var), mean, var, n, momentum)

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        options = (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}, fused={self.fused}"
        )
        return options + ", bias=False" * (self.affine and self.bias is None)


def check_model(name: str, model: Any) -> None:
    """A model is a Module.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(model, Module):
        what = model.__name__ if isinstance(model, type) else f"a {type(model).__name__}"
        raise TypeError(f"{name} got {what} as model: give an nn.Module")


def running_stats(norm: RunningNorm) -> tuple[Buffer, Buffer, Buffer]:
    """Running mean, running variance and counter of a module that tracks them."""
    return norm.running_mean, norm.running_var, norm.num_batches_tracked  # type: ignore


def documented_with_base(kind: Kind) -> Kind:
    """The class, whose docstring goes on with that of its base, which has the arguments."""
    kind.__doc__ = f"{kind.__doc__}\n\n    {kind.__base__.__doc__}"
    return kind
