"""Batch normalisation as a module, and its statistics recomputed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..modes import no_grad
from ..tensor import Tensor
from .functional import norm_steps as steps
from .module import Module
from .norm_base import RunningNorm, received


class _BatchNorm(RunningNorm):
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


class _Population:
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
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and not module.frozen
    ]
    populations = {id(module): _Population() for module in norms}
    modes = [(module, module.training) for module in model.modules()]
    seen = False
    try:
        model.eval()  # dropout and the like as in evaluation
        for norm in norms:
            norm.training = True
        with no_grad(), received({key: each.add for key, each in populations.items()}):
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
        _set_stats(norm, populations[id(norm)])


def _set_stats(module: _BatchNorm, population: _Population) -> None:
    running_mean, running_var, _ = module._running()
    if population.n:
        unbiased = population.squares / max(population.n - 1, 1)
        for buffer, values in ((running_mean, population.mean), (running_var, unbiased)):
            buffer.rebind(values.astype(buffer.dtype))
