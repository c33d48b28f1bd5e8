"""Minibatches: the rows of arrays in a new order, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..dtypes import is_whole
from ..random import generator, seeded
from .items import Rows, as_batch, common_length, taker, with_one_dtype


def batches(
    *arrays: Any,
    batch_size: int,
    shuffle: bool = True,
    seed: int | Sequence[int] | None = None,
    drop_last: bool = False,
    start: int = 0,
) -> Batches:
    """Minibatches of one array, or of several in step: `for x, y in batches(X, Y, batch_size=64)`.

    What they are follows the arrays.  Tensors give Tensors on their device, and gradients flow
    through; NumPy arrays, memory maps, HDF5 data sets and other arrays of numbers give Tensors on
    the CPU in their dtype.  Of a list or another sequence, items are stacked into one Tensor if
    they are numbers or arrays of one shape, else they come as a list; arrays of text stay arrays.
    Items that are tuples, as PyTorch's data sets give them, become a tuple: inputs and labels.

    Each pass over the result is an epoch with a new order, which is drawn when the pass begins (at
    `iter()`).  `len()` is the number of batches of a pass.

    To go on in the middle of an epoch, bit for bit, give each epoch a seed of its own:

        for epoch in range(first_epoch, epochs):
            start = first_batch if epoch == first_epoch else 0
            for x, y in batches(X, Y, batch_size=64, seed=[seed, epoch], start=start): ...

    Without a seed, keep `mg.get_rng_state()` of the epoch's beginning.  Where the model draws too
    (dropout), keep the state of the moment as well, and restore it after the order is drawn:

        mg.set_rng_state(at_the_beginning)
        rest = iter(batches(X, Y, batch_size=64, start=first_batch))
        mg.set_rng_state(at_the_moment)
        for x, y in rest: ...

    Args:
        arrays: of one length; anything that has a length and an index.
        batch_size: rows of each batch; the last has what is left over.
        shuffle: False keeps the order of the rows.
        seed: of a generator of its own, an integer or several as a list; a second pass goes on with
            it.  None draws the order from minigrad's own generator (`mg.manual_seed`).
        drop_last: leave out the last batch if it is smaller.  BatchNorm cannot train on one row.
            Fewer rows than batch_size then give no batch at all, as in PyTorch.
        start: leave out so many batches at the beginning; those that come are the same as without.

    Raises:
        TypeError: no arrays, something without a length or an index (a generator), or an option
            that is no integer.
        ShapeError: arrays of different lengths.
        ValueError: batch_size below 1, start beyond the end; when a second pass begins, any start
            but 0, since every epoch would lack its first batches.
    """
    return Batches(arrays, batch_size, shuffle, seed, drop_last, start)


class Batches:
    """What `batches` gives: to be iterated over."""

    def __init__(
        self,
        arrays: tuple[Any, ...],
        batch_size: int,
        shuffle: bool,
        seed: int | Sequence[int] | None,
        drop_last: bool,
        start: int,
    ) -> None:
        self._rows = common_length("batches", arrays)
        self._takers = [taker(with_one_dtype(array)) for array in arrays]
        for name, flag in (("shuffle", shuffle), ("drop_last", drop_last)):
            if not isinstance(flag, bool | np.bool_):
                raise TypeError(f"{name} was given as {flag!r}: give True or False")
        self._size = _whole("batch_size", batch_size, 1)
        self._total = self._rows // self._size if drop_last else -(-self._rows // self._size)
        self._start = _whole("start", start, 0)
        if self._start > self._total:
            raise ValueError(f"start was given as {start}: there are {self._total} batches")
        self._shuffle = shuffle
        self._own = None if seed is None else seeded(seed)
        self._passes = 0

    def __len__(self) -> int:
        return self._total - self._start

    def __iter__(self) -> Iterator[Any]:
        if self._start and self._passes:
            raise ValueError(
                f"start={self._start} is for one pass, and this is the next: every epoch would "
                "lack its first batches; make new ones with start=0"
            )
        self._passes += 1
        order = np.arange(self._rows)
        if self._shuffle:
            order = (self._own or generator()).permutation(order)
        return self._batches(order)

    def _batches(self, order: Rows) -> Iterator[Any]:
        for i in range(self._start, self._total):
            rows = order[i * self._size : (i + 1) * self._size]
            taken = tuple([as_batch(take(rows)) for take in self._takers])
            yield taken if len(taken) > 1 else taken[0]

    def __repr__(self) -> str:
        return f"<{len(self)} batches of {self._size} from {self._rows} rows>"


def _whole(name: str, value: Any, least: int) -> int:
    if not is_whole(value):
        raise TypeError(f"{name} was given as {value!r}: give an integer of at least {least}")
    if value < least:
        raise ValueError(f"{name} was given as {value}: it must be at least {least}")
    return int(value)
