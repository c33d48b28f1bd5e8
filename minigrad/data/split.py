"""One part of the data to learn from, another to test on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import is_whole
from ..errors import ShapeError
from ..random import seeded
from .items import common_length, taker


def train_test_split(
    *arrays: Any,
    test_size: float = 0.2,
    seed: int | Sequence[int] | None = 0,
    stratify: Any = None,
) -> tuple[Any, ...]:
    """Random rows for learning and for testing, the same ones of every array.

    `x, test_x, y, test_y = train_test_split(images, labels)`, in scikit-learn's order.

    Args:
        arrays: what `batches` takes, of one length.  Parts of NumPy arrays are NumPy arrays, of
            Tensors Tensors, and of sequences lists.
        test_size: the share for testing, rounded up, or the number of rows as an integer.
        seed: one seed, one split; None draws from minigrad's own generator (`mg.manual_seed`).
        stratify: a label for each row; then each label's rows are shared out by test_size too, to
            within one row.

    Raises:
        ShapeError: arrays of different lengths, or more than one label a row.
        TypeError: no arrays, or something without a length or an index.
        ValueError: a part would be empty.
    """
    n = common_length("train_test_split", arrays)
    count = _test_count(n, test_size)
    rng = seeded(seed)
    order = rng.permutation(n)
    if stratify is None:
        train, test = order[count:], order[:count]
    else:
        common_length("train_test_split", (arrays[0], stratify))
        _check_labels(stratify)
        order = order[np.argsort(np.asarray(stratify)[order], kind="stable")]
        picked = np.arange(count) * n // count  # evenly along the rows, which now lie by label
        train, test = np.delete(order, picked), order[picked]
        train, test = rng.permutation(train), rng.permutation(test)
    takers = [taker(array) for array in arrays]
    return tuple([take(rows) for take in takers for rows in (train, test)])


def _check_labels(stratify: Any) -> None:
    shape = np.shape(stratify)
    if len(shape) != 1:
        raise ShapeError(
            f"stratify has shape {shape}: give one label a row, such as labels.argmax(1) of "
            "one-hot ones"
        )


def _test_count(n: int, test_size: Any) -> int:
    if isinstance(test_size, float | np.floating) and 0 < test_size < 1:
        count = math.ceil(n * test_size)
    elif is_whole(test_size):
        count = int(test_size)
    else:
        raise ValueError(
            f"test_size was given as {test_size!r}: give a share between 0 and 1, or a number of "
            "rows"
        )
    if not 0 < count < n:
        raise ValueError(
            f"test_size={test_size!r} of {n} rows leaves {max(n - count, 0)} to learn from and "
            f"{count} to test on: both parts need at least one"
        )
    return count
