"""What normalisation layers share: weight and bias, and running statistics.

Conventions are PyTorch's, so that state dicts load both ways: momentum is the weight of the *new*
batch, the biased variance normalises, the unbiased one is stored.  (Frameworks that say decay = 0.9
mean momentum = 0.1.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np

from ..create import full_like, ones, zeros
from ..modes import recomputing
from ..tensor import Tensor
from . import init
from .checks import check_count, check_flag
from .functional import norm_steps as steps
from .module import Module
from .parameter import Buffer, Parameter

# Where a module's batch statistics go instead of into its running ones: (mean, biased variance,
# values per channel).
Receiver = Callable[[Tensor, Tensor, int], None]
_receivers: ContextVar[Mapping[int, Receiver]] = ContextVar(
    "receivers", default=MappingProxyType({})
)


def held(mean: Tensor, var: Tensor, n: int) -> None:
    """The receiver by which running statistics stay as they are."""


class AffineNorm(Module):
    """weight and bias after a normalisation; subclasses normalise."""

    weight: Parameter | None
    bias: Parameter | None

    def _learn(
        self, shape: tuple[int, ...], affine: bool, bias: bool, device: str | None, dtype: Any
    ) -> None:
        """Parameters of this shape: weight 1 and bias 0, as far as they are wanted."""
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
    """Weight, bias and running statistics for each channel; subclasses define `forward`."""

    momenta = "from 0 to 1"  # what `momentum` may be

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        fused: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_count("num_features", num_features)
        if momentum is not None:
            steps.check_momentum(type(self).__name__, momentum, self.momenta)
        steps.check_eps(type(self).__name__, eps)
        for name, flag in (
            ("affine", affine),
            ("track_running_stats", track_running_stats),
            ("fused", fused),
            ("bias", bias),
        ):
            check_flag(name, flag)
        self.num_features, self.eps, self.momentum, self.fused = num_features, eps, momentum, fused
        self.affine = affine
        self._learn((num_features,), affine, bias, device, dtype)
        place = {"dtype": dtype, "device": device}
        self.running_mean = Buffer(zeros(num_features, **place)) if track_running_stats else None
        self.running_var = Buffer(ones(num_features, **place)) if track_running_stats else None
        self.num_batches_tracked = Buffer(0, np.int64, device) if track_running_stats else None

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
        """Mean 0, variance 1, no batches seen."""
        if self.running_mean is not None:
            for buffer, start in zip(self._running(), (0, 1, 0), strict=True):
                buffer.rebind(full_like(buffer, start).array)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and statistics as at the start."""
        self.reset_running_stats()
        super().reset_parameters()

    def _by_running(self, x: Tensor, relu: bool = False) -> Tensor | None:
        """x normalised by the running statistics, where these are to be used."""
        if self.training or self.running_mean is None or self.running_var is None:
            return None
        given = self.running_mean, self.running_var, self.weight, self.bias
        return steps.normalise_with(x, *given, self.eps, self.fused, relu)

    def _seen(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Hand on the mean and biased variance of a batch with n values for each."""
        if self.training and self.running_mean is not None and not recomputing.get():
            (self._receiver() or self._move)(mean, var, n)

    def _receiver(self) -> Receiver | None:
        """Who takes the statistics of a batch instead of the running ones, if anybody."""
        return _receivers.get().get(id(self))

    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        """The running statistics take in one batch."""
        running_mean, running_var, count = self._running()
        momentum: Any = self.momentum
        if momentum is None:
            momentum = 1 / (count.array + 1)
        else:
            steps.check_momentum(
                type(self).__name__, momentum, self.momenta
            )  # it may have been set since
        steps.move_both(running_mean, running_var, mean, var, n, momentum)

    def _running(self) -> tuple[Buffer, Buffer, Buffer]:
        """Running mean, running variance and the counter, of a module that tracks them."""
        return self.running_mean, self.running_var, self.num_batches_tracked  # type: ignore

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}, fused={self.fused}"
            + ", bias=False"
            * (self.affine and self.bias is None)
        )


@contextmanager
def received(receivers: Mapping[int, Receiver]) -> Iterator[None]:
    """Inside, batch statistics go to the receivers of the modules, given by id."""
    outer = _receivers.get()
    _receivers.set({**outer, **receivers})
    try:
        yield
    finally:
        _receivers.set(outer)
