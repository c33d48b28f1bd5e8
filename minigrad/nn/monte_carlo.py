"""Uncertainty of predictions, from the noise of BatchNorm's statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import backend
from ..backend.several import at
from ..dtypes import is_floating, is_whole
from ..errors import DTypeError, ShapeError
from ..modes import no_grad
from ..tensor import Tensor, handle
from .batch_norm import BatchNorm
from .module import Module
from .population import (
    Population,
    batch_norms,
    check_batches,
    evaluating,
    inputs_of,
    kept_stats,
    pool,
    set_stats,
    with_progress,
)

NAME = "mc_batch_norm"


class MCPrediction(NamedTuple):
    """What the passes predict: tensors of the model's output's shape and dtype."""

    mean: Tensor
    std: Tensor


def mc_batch_norm(
    model: Module, x: Any, batches: Iterable[Any], passes: int, progress: bool = False
) -> MCPrediction:
    """Mean and standard deviation of a model's output under the statistics of random batches.

    Monte-Carlo BatchNorm (Teye, Azizpour and Smith, "Bayesian Uncertainty Estimation for Batch
    Normalized Deep Networks", 2018, arXiv 1802.06455): each pass takes one batch of the training
    data, normalises it as in training, and predicts x with its mean and biased variance in place of
    the running statistics.  What varies between the passes is what the model is unsure of; give
    batches of the size of training, in random order, since smaller ones vary more.

    Everything else, dropout and InstanceNorm too, is in evaluation, and so are the BatchNorms that
    `freeze()` holds and those that no batch reaches: they normalise by their running statistics.
    Afterwards the model is as it was: statistics, weights, gradients and modes.

        probabilities, std = nn.mc_batch_norm(
            nn.Sequential(model, nn.Softmax(1)), x, mg.data.batches(X, batch_size=32), passes=64
        )

    Args:
        model: what it returns must be one floating tensor.
        x: the input to predict, a tensor or an array, all of it in each pass; a tuple of several.
        batches: as for `nn.recompute_stats`.  Those that can be iterated over anew (a list,
            `mg.data.batches`) are begun again until there are enough.
        passes: how many batches to draw, 2 or more.
        progress: whether to show a progress bar, by tqdm.

    Returns:
        `(mean, std)` over the passes, without gradient; std is the sample's, over passes - 1, as
        `Tensor.std` is.  It is accumulated in float64, and no pass is kept.

    Raises:
        ValueError: no BatchNorm to draw statistics for, or one that keeps none and would normalise
            x by x itself; fewer than 2 passes; a generator with fewer batches than passes; a batch
            without a value for any BatchNorm.
        TypeError: one array as batches, a batch that is none, or a model that returns something
            else than a tensor.
        ShapeError: the model returns another shape than before.
        DTypeError: it returns integers.
        ImportError: a bar is wanted, and tqdm is not installed.  After any error, the model's own
            too, everything is as it was.

    Example:
        >>> from minigrad import nn
        >>> batches = [mg.tensor([[0.0], [2.0]]), mg.tensor([[4.0], [6.0]])]
        >>> mean, std = nn.mc_batch_norm(nn.BatchNorm1d(1, eps=0), mg.ones(1, 1), batches, passes=2)
        >>> mean.item(), std.item()  # of 0 and -4
        (-2.0, 2.828...)
    """
    norms = _norms_of(model)
    inputs = inputs_of(NAME, (x,))
    check_batches(NAME, batches)
    _check_passes(passes)
    outputs = Population()
    batches = with_progress(NAME, _repeated(batches, passes), progress, passes)
    with evaluating(model):
        for batch in batches:
            drawn = [(norm, Population()) for norm in norms]
            pool(model, inputs_of(NAME, batch), drawn)
            y = _predict(model, inputs, [pair for pair in drawn if pair[1].n])
            if outputs.n and y.shape != outputs.mean.shape:
                raise ShapeError(
                    f"{NAME} got a model that returns {y.shape} after {outputs.mean.shape}: give "
                    "one whose output always has one shape"
                )
            outputs.add(y.array, var=0.0, n=1)
    with at(outputs.squares):
        std = backend.of(outputs.squares).xp.sqrt(outputs.var(correction=1))
        return MCPrediction(*(handle(each.astype(y.dtype)) for each in (outputs.mean, std)))


def _norms_of(model: Module) -> list[BatchNorm]:
    """The BatchNorms whose statistics are to come from batches.

    Raises:
        ValueError: there is none, or one keeps no running statistics.
    """
    norms = batch_norms(NAME, model)
    if not norms:
        raise ValueError(
            f"{NAME} got a model without BatchNorm, or with frozen ones only, whose passes would "
            "all be the same: give one that has some (.unfreeze() undoes .freeze())"
        )
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm) and not module.track_running_stats:
            raise ValueError(
                f"{NAME} got a model whose {path or type(module).__name__} keeps no running "
                "statistics, so that x would be normalised by x itself: make it with "
                "track_running_stats=True"
            )
    return list(norms.values())


def _check_passes(passes: Any) -> None:
    if not is_whole(passes):
        raise TypeError(f"{NAME} got passes={passes!r}: give an integer of at least 2")
    if passes < 2:
        raise ValueError(
            f"{NAME} got passes={passes}, which have no standard deviation: give 2 or more"
        )


def _repeated(batches: Iterable[Any], passes: int) -> Iterator[Any]:
    """As many batches as there are passes, begun anew as often as that takes.

    Raises:
        ValueError: there are fewer, and they cannot be begun anew.
    """
    count = 0
    while True:
        begun = count
        for batch in batches:
            yield batch
            count += 1
            if count == passes:
                return
        if count == begun:
            raise ValueError(
                f"{NAME} got {count} batches for {passes} passes: give as many, or batches that "
                "can be iterated over anew, such as a list or mg.data.batches"
            )


def _predict(
    model: Module, inputs: Sequence[Tensor], statistics: Sequence[tuple[BatchNorm, Population]]
) -> Tensor:
    """What the model makes of the inputs with these statistics in place of the running ones."""
    if not statistics:
        raise ValueError(
            f"{NAME} got a batch of which no value reached a BatchNorm: give batches that have "
            "rows, and a model that uses its BatchNorm in evaluation"
        )
    with kept_stats(norm for norm, _ in statistics), no_grad():
        set_stats(statistics, correction=0)
        y = model(*inputs)
    _check_output(y)
    return y


def _check_output(y: Any) -> None:
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{NAME} got a model that returns a {type(y).__name__}: give one that returns a "
            "tensor, such as a Module around it whose forward does"
        )
    if not is_floating(y.dtype):
        raise DTypeError(
            f"{NAME} got a model that returns {y.dtype}: give one that returns floating numbers, "
            "such as probabilities"
        )
