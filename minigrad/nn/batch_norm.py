"""Batch normalisation as a module, and what is done to its statistics from outside.

Conventions are PyTorch's, so that state dicts load both ways: momentum is the weight of the *new*
batch, the biased variance normalises, the unbiased one is stored.  (Frameworks that say decay = 0.9
mean momentum = 0.1.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np

from ..create import full_like, ones, zeros
from ..errors import ShapeError
from ..modes import no_grad, recomputing
from ..tensor import Tensor
from . import init
from .checks import check_count
from .functional import norm_steps as steps
from .module import Module
from .parameter import Buffer, Parameter

# Where a module's batch statistics go instead of into its running ones: (mean, biased variance,
# values per channel).
Receiver = Callable[[Tensor, Tensor, int], None]
_receivers: ContextVar[Mapping[int, Receiver]] = ContextVar(
    "receivers", default=MappingProxyType({})
)


class _RunningNorm(Module):
    """What BatchNorm and InstanceNorm share: an affine map, and running statistics."""

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
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"momentum was given as {momentum}: give 0 to 1, or None to average")
        steps.check_eps(type(self).__name__, eps)
        self.num_features, self.eps, self.momentum, self.fused = num_features, eps, momentum, fused
        self.affine = affine
        place = {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(num_features, **place)) if affine else None
        self.bias = Parameter(zeros(num_features, **place)) if affine and bias else None
        self.running_mean = Buffer(zeros(num_features, **place)) if track_running_stats else None
        self.running_var = Buffer(ones(num_features, **place)) if track_running_stats else None
        self.num_batches_tracked = Buffer(0, np.int64, device) if track_running_stats else None

    @property
    def track_running_stats(self) -> bool:
        """Whether there are running statistics; settled when the module is made."""
        return self.running_mean is not None

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.running_mean is not None:
            for buffer, start in zip(self._running(), (0, 1, 0), strict=True):
                buffer.rebind(full_like(buffer, start).array)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and statistics as at the start."""
        self.reset_running_stats()
        init.identity_(self.weight, self.bias)

    def _by_running(self, x: Tensor) -> Tensor | None:
        """x normalised by the running statistics, where these are to be used."""
        if self.training or self.running_mean is None or self.running_var is None:
            return None
        return steps.normalise_with(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.eps, self.fused
        )

    def _seen(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Hand on the mean and biased variance of a batch with n values for each."""
        if self.training and self.running_mean is not None and not recomputing.get():
            _receivers.get().get(id(self), self._move)(mean, var, n)

    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        """The running statistics take in one batch."""
        running_mean, running_var, count = self._running()
        momentum = 1 / (count.array + 1) if self.momentum is None else self.momentum
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


class _BatchNorm(_RunningNorm):
    """weight · (x - mean) / √(var + eps) + bias for each channel.

    In training, mean and biased variance of the batch normalise, and the running statistics move
    (also under `no_grad`; `nn.frozen_stats(model)` stops them).  In evaluation the running
    statistics normalise.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance inside the root, in training and evaluation alike; 0 or more.
        momentum: weight of the new batch in the running statistics; None for the exact average
            of all batches.
        affine: whether to learn weight (initially 1) and bias (initially 0).
        track_running_stats: False keeps no statistics and normalises by the batch in evaluation
            too.
        fused: one hand-written node (True), or composed of primitives; the same results and
            derivatives of every order.
        bias: False leaves the bias out.

    Raises:
        ShapeError: a wrong rank or number of channels, or one value per channel in training.
    """

    ranks: tuple[int, ...]
    layout: str

    def forward(self, x: Tensor) -> Tensor:
        """x and the result have the layout of the class."""
        if isinstance(x, Tensor) and (x.ndim not in self.ranks or x.shape[1] != self.num_features):
            raise ShapeError(
                f"{type(self).__name__}({self.num_features}) got x of shape {x.shape}: it must "
                f"be {self.layout} with C = {self.num_features}"
            )
        steps.check_input("batch_norm", x, [self.weight, self.bias], self.eps)
        y = self._by_running(x)
        if y is not None:
            return y
        if self.training:
            steps.check_enough_values(x)
        y, mean, var = steps.normalise_by_batch(x, self.weight, self.bias, self.eps, self.fused)
        if x.size:
            self._seen(mean, var, x.size // self.num_features)
        return y

    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        super()._move(mean, var, n)
        _, _, count = self._running()
        count.rebind(count.array + 1)


class BatchNorm1d(_BatchNorm):
    """BatchNorm over (N, C) or (N, C, L)."""

    ranks, layout = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """BatchNorm over images (N, C, H, W)."""

    ranks, layout = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """BatchNorm over volumes (N, C, D, H, W)."""

    ranks, layout = (5,), "(N, C, D, H, W)"


for _kind in (BatchNorm1d, BatchNorm2d, BatchNorm3d):
    _kind.__doc__ = f"{_kind.__doc__}\n\n    {_BatchNorm.__doc__}"


@contextmanager
def _received(receivers: Mapping[int, Receiver]) -> Iterator[None]:
    outer = _receivers.get()
    _receivers.set({**outer, **receivers})
    try:
        yield
    finally:
        _receivers.set(outer)


def _batch_norms(model: Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def frozen_stats(model: Module) -> Iterator[None]:
    """Inside, no BatchNorm or InstanceNorm of the model moves its running statistics.

    In training mode it still normalises by its input.
    """
    with _received({id(module): lambda mean, var, n: None for module in model.modules()}):
        yield


class _Pool:
    """Mean and variance of all values seen, merged batch by batch in float64.

    Chan, Golub and LeVeque, 1979.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: Any = 0.0  # an array from the first batch on
        self.squares: Any = 0.0

    def add(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Take in a batch of n values per channel."""
        batch_mean, batch_var = (t.array.astype(np.float64) for t in (mean, var))
        total = self.n + n
        apart = batch_mean - self.mean
        self.squares = self.squares + batch_var * n + apart * apart * (self.n * n / total)
        self.mean = self.mean + apart * (n / total)
        self.n = total


def recompute_stats(model: Module, batches: Iterable[Any]) -> None:
    """Set running statistics to those of the population: E[var] + Var[mean], exactly pooled.

    Running averages lag behind weights that still move; this evaluates the final weights.  Modes,
    weights and gradients stay as they are, and the order of the batches does not matter.  Modules
    that `freeze()` holds keep their statistics.

    Args:
        model: every BatchNorm in it that tracks statistics is set.
        batches: inputs of the model; of a tuple or list, the first element.

    Raises:
        ValueError: no batches.
    """
    norms = [
        module for module in _batch_norms(model) if module.track_running_stats and not module.frozen
    ]
    pools = {id(module): _Pool() for module in norms}
    modes = [(module, module.training) for module in model.modules()]
    seen = False
    try:
        model.eval()  # dropout and the like as in evaluation
        for norm in norms:
            norm.training = True
        with no_grad(), _received({key: pool.add for key, pool in pools.items()}):
            for batch in batches:
                seen = True
                x = batch[0] if isinstance(batch, tuple | list) else batch
                model(x if isinstance(x, Tensor) else Tensor(x))
    finally:
        for module, training in modes:
            module.training = training
    if not seen:
        raise ValueError(
            "recompute_stats got no batches: give at least one (a generator that was used up "
            "gives none)"
        )
    for norm in norms:
        _set_stats(norm, pools[id(norm)])


def _set_stats(module: _BatchNorm, pool: _Pool) -> None:
    running_mean, running_var, _ = module._running()
    if pool.n:
        unbiased = pool.squares / max(pool.n - 1, 1)
        for buffer, values in ((running_mean, pool.mean), (running_var, unbiased)):
            buffer.rebind(values.astype(buffer.dtype))
