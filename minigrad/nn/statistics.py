"""Running statistics from outside: held still, and those of a whole population."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..modes import no_grad
from ..tensor import Tensor
from .batch_norm import BatchNorm
from .module import Module
from .norm_base import received


@contextmanager
def frozen_stats(model: Module) -> Iterator[None]:
    """Inside, no BatchNorm or InstanceNorm of the model moves its running statistics.

    In training mode it still normalises by its input.
    """
    with received({id(module): lambda mean, var, n: None for module in model.modules()}):
        yield


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
        if isinstance(module, BatchNorm) and module.track_running_stats and not module.frozen
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


def _set_stats(module: BatchNorm, population: _Population) -> None:
    running_mean, running_var, _ = module._running()
    if population.n:
        unbiased = population.squares / max(population.n - 1, 1)
        for buffer, values in ((running_mean, population.mean), (running_var, unbiased)):
            buffer.rebind(values.astype(buffer.dtype))
