"""What `recompute_stats` and `mc_batch_norm` share: batches through a model, statistics pooled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arrays import new_array
from ..backend import Array
from ..backend.several import at, placed
from ..modes import no_grad
from ..tensor import Tensor, handle
from .batch_norm import BatchNorm
from .module import Module
from .norm_base import check_model, receiving, running_stats


class Population:
    """Mean and variance of all values so far, merged batch by batch in float64 on their device.

    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: Any = 0.0  # an array from the first batch on
        self.squares: Any = 0.0  # the sum of squared deviations from the mean

    @placed
    def add(self, mean: Array, var: Array | float, n: int) -> None:
        """Take in n values of this mean and biased variance."""
        total = self.n + n
        apart = mean.astype(np.float64) - self.mean
        self.squares = self.squares + var * n + apart * apart * (self.n * n / total)
        self.mean = self.mean + apart * (n / total)
        self.n = total

    @placed
    def receive(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Take in a batch, as a module hands it on."""
        self.add(mean.array, var.array.astype(np.float64), n)

    def var(self, correction: int) -> Array:
        """The variance: squares over n - correction."""
        return self.squares / (self.n - correction)


# ---- the model -----------------------------------------------------------------------------------


def batch_norms(name: str, model: Module) -> dict[str, BatchNorm]:
    """The BatchNorms of the model, by name, that `freeze()` does not hold.

    Raises:
        TypeError: model is no Module.
    """
    check_model(name, model)
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, BatchNorm) and not module.frozen
    }


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def pool(
    model: Module, inputs: Sequence[Tensor], into: Sequence[tuple[BatchNorm, Population]]
) -> None:
    """Run a model in evaluation mode, but these BatchNorms, which normalise as in training.

    Their populations take in the batch statistics; their running statistics do not move.
    """
    for norm, _ in into:
        norm.training = True
    with no_grad(), receiving({id(norm): population.receive for norm, population in into}):
        model(*inputs)
    for norm, _ in into:
        norm.training = False


def set_stats(populations: Iterable[tuple[BatchNorm, Population]], correction: int) -> None:
    """Rebind running means and variances to those of populations, in their dtype: all, or none."""
    values = []
    for norm, population in populations:
        running_mean, running_var, _ = running_stats(norm)
        with at(population.mean):
            values.append((running_mean, population.mean.astype(running_mean.dtype)))
            values.append((running_var, population.var(correction).astype(running_var.dtype)))
    for buffer, array in values:  # now that nothing can fail any more
        buffer.rebind(array)


@contextmanager
def kept_stats(norms: Iterable[BatchNorm]) -> Iterator[None]:
    """Inside, running means and variances may be set; afterwards they are the old ones again."""
    before = [(buffer, buffer.array) for norm in norms for buffer in running_stats(norm)[:2]]
    try:
        yield
    finally:
        for buffer, array in before:
            buffer.rebind(array)


# ---- the batches ---------------------------------------------------------------------------------


def check_batches(name: str, batches: Any) -> None:
    """Batches can be iterated over, and are not one array, whose rows would be taken for batches.

    Raises:
        TypeError: they are something else.
    """
    kind = type(batches).__name__
    if isinstance(batches, Tensor) or hasattr(batches, "__array__"):
        raise TypeError(
            f"{name} got one {kind} as batches, whose rows are no batches: give "
            "mg.data.batches(x, batch_size=256), or a list of batches such as [x]"
        )
    if not hasattr(batches, "__iter__") or isinstance(batches, str | bytes | Mapping):
        raise TypeError(
            f"{name} got a {kind} as batches: give a list of batches, or "
            "mg.data.batches(x, batch_size=256)"
        )


def inputs_of(name: str, batch: Any) -> list[Tensor]:
    """What the model is called with: the batch, or its first element, or what that one holds.

    Raises:
        TypeError: it is no tensor or array.
    """
    first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    several = first if isinstance(first, tuple | list) and first else [first]
    return [_input(name, each) for each in several]


def _input(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return handle(new_array(value, None, None, copy=False))
    hint = "give mg.tensor(data); a batch may be a tuple that begins with it, (x, labels)"
    if isinstance(value, Mapping):
        hint = f"give the entry that the model takes, one of {list(value)}"
    raise TypeError(f"{name} got a {type(value).__name__} as input of the model: {hint}")


def with_progress(
    name: str, batches: Iterable[Any], progress: bool, total: int | None = None
) -> Iterable[Any]:
    """The batches, behind a progress bar if one is wanted.

    Raises:
        ImportError: it is wanted, and tqdm is not installed.
    """
    if not progress:
        return batches
    try:
        from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "tqdm":
            raise
        raise ImportError(
            f"{name} with progress=True needs tqdm: pip install tqdm "
            '(or pip install "minigrad[examples]")'
        ) from None
    bar: Iterable[Any] = tqdm(batches, desc=name, total=total, unit="batch", leave=False)
    return bar
