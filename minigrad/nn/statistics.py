"""Running statistics set from outside: kept as they are, or those of a whole population."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .module import Module
from .norm_base import check_model, ignore, receiving
from .population import (
    Population,
    batch_norms,
    check_batches,
    evaluating,
    inputs_of,
    pool,
    set_stats,
    with_progress,
)

NAME = "recompute_stats"


@contextmanager
def frozen_stats(model: Module) -> Iterator[None]:
    """Inside, no BatchNorm or InstanceNorm of the model moves its running statistics.

    In training mode it still normalises by its input.
    """
    check_model("frozen_stats", model)
    with receiving({id(module): ignore for module in model.modules()}):
        yield


def recompute_stats(model: Module, batches: Iterable[Any], progress: bool = False) -> None:
    """Set running statistics to those of the population: E[var] + Var[mean], exactly pooled.

    Running averages lag behind weights that still move; this evaluates the final weights (Wu and
    Johnson, "Rethinking 'Batch' in BatchNorm", 2021, arXiv 2105.07576).  Batches count by their
    values, the variance is stored as n/(n - 1) of the pool's, and the order of the batches does not
    matter, but for rounding.

    Each batch goes through the model without gradient: BatchNorm normalises by the batch, as in
    training, and everything else, dropout and InstanceNorm too, is in evaluation.  Use batches as
    large as in training or larger: small ones normalise what the layers above see by noise.

    Weights, gradients and modes stay as they are, and so does `num_batches_tracked`.  Where
    training goes on with momentum=None, the population therefore counts for as many batches as had
    been seen; where that is none, the next batch replaces it.

    Args:
        model: every BatchNorm in it is set, but for those that track no statistics, that `freeze()`
            holds, and that no batch reaches.  A model without any is left alone, and no batch
            drawn.
        batches: anything to iterate over, once: a generator, a list, `mg.data.batches`.  A batch
            is a tensor or an array, or a tuple or list that begins with one: (x, labels).  For a
            model of several inputs it begins with a tuple of them: ((x, z), labels).
        progress: whether to show a progress bar, by tqdm.

    Raises:
        ValueError: no batches, or none with a value for any BatchNorm.
        ShapeError: a batch with one value per channel (a last odd row: drop_last=True).
        TypeError: one array as batches, a batch that is none, or a model that is none.
        ImportError: a bar is wanted, and tqdm is not installed.  After any error, the model's own
            too, everything is as it was.

    Example:
        >>> from minigrad import nn
        >>> norm = nn.BatchNorm1d(1)
        >>> nn.recompute_stats(norm, [mg.tensor([[0.0], [2.0]]), mg.tensor([[4.0], [6.0]])])
        >>> norm.running_mean.tolist(), norm.running_var.item()
        ([3.0], 6.6666...)
    """
    norms = batch_norms(NAME, model).values()
    populations = [(norm, Population()) for norm in norms if norm.track_running_stats]
    check_batches(NAME, batches)
    if not populations:
        return
    count = 0
    batches = with_progress(NAME, batches, progress)
    with evaluating(model):
        for batch in batches:
            pool(model, inputs_of(NAME, batch), populations)
            count += 1
    reached = [(norm, population) for norm, population in populations if population.n]
    if not reached:
        raise ValueError(_without_values(count))
    set_stats(reached, correction=1)


def _without_values(batches: int) -> str:
    if batches:
        return (
            f"{NAME} got {batches} batches, of which no value reached a BatchNorm: give batches "
            "that have rows, and a model that uses its BatchNorm in evaluation"
        )
    return f"{NAME} got no batches: give at least one (a generator that was used up gives none)"
