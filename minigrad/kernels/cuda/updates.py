"""Steps of the optimisers on a GPU: one launch for all parameters that share their numbers.

A step is given a table of where the parameters and what is kept beside them lie, which is written
to the device once and used again as long as these stay the same arrays, and the gradients' places
by value, as an argument of the kernel.  A copy to the device at each step would be the other way:
it needs page-locked memory that stays as it is until the device has read it, so an event to ask at
the next step, while the driver copies arguments when it is called.  2 KB of the 4 KB that arguments
may have are 256 gradients; more parameters are stepped by more launches.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import backend
from .launching import kernel, launch

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
MOST, SHARE, THREADS = 256, 4096, 256  # the first two as in updates.cu
KEPT = 3  # places in the table for what is kept beside a parameter
GRADIENTS = np.dtype([("of", np.uint64, MOST)])
Rows = Sequence[Sequence[Any]]  # of each parameter: p, and what is kept beside it


def _of_adam(numbers):
    """1 - beta is rounded here, in double, as in the rule."""
    sign, decay, shrink, beta1, beta2, *rest = numbers
    near = 1 - beta1
    return sign, decay, shrink, near, 1 - near, beta2, 1 - beta2, *rest


def _of_rmsprop(numbers):
    sign, decay, lr, alpha, eps, momentum = numbers
    near = 1 - alpha
    return sign, decay, lr, alpha, near, 1 - near, eps, momentum


# of a step: its kernel, and the numbers that this takes; the others take what they are given
FORMS = {"adam": ("adam", _of_adam), "amsgrad": ("adam", _of_adam),
         "rmsprop": ("rmsprop", _of_rmsprop)}  # fmt: skip


class Steps:
    """The compiled steps of one optimiser: its tables are kept between steps."""

    def __init__(self) -> None:
        self._tables: dict[Any, _Table] = {}
        # parameters, gradients and what is kept beside them, by all that a launch has in common
        self._waiting: dict[Any, list[Any]] = {}

    def serves(self, name, p, g, *kept):
        """Whether the kernels take these arrays, of one shape and device: floats in C's order."""
        if p.dtype not in FLOATS or g.dtype != p.dtype:
            return False
        return all(a.dtype == p.dtype and a.flags.c_contiguous for a in (p, *kept))

    def take(self, name, p, g, kept, numbers):
        """Note a step on arrays that are served, to be taken at the end."""
        key = name, numbers, p.dtype, p.device.id
        self._waiting.setdefault(key, []).append((p, g, *kept))

    def finish(self):
        """Take the steps that were noted.  Nothing waits for the device."""
        waiting, self._waiting = self._waiting, {}
        before, self._tables = self._tables, {}
        for (name, numbers, dtype, _), every in waiting.items():
            file_name, taken = FORMS.get(name, (name, tuple))
            some = [arrays for arrays in every if arrays[0].size]
            for start in range(0, len(some), MOST):
                part = some[start : start + MOST]
                table = self._table(before, [(p, *kept) for p, _, *kept in part])
                table.launch(f"{file_name}_{dtype}", [g for _, g, *_ in part], taken(numbers))

    def _table(self, before, rows):
        """The table of these arrays, from the step before if it is there."""
        key = id(rows[0][0])
        table = before.get(key)
        if table is None or not table.holds(rows):
            table = _Table(rows)
        self._tables[key] = table
        return table


class _Table:
    """Where some parameters, and what is kept beside each, lie."""

    def __init__(self, rows: Rows) -> None:
        self.arrays = _flat(rows)  # living, so that nothing else comes to lie there
        self.place = backend.of(rows[0][0])
        text, self.blocks = [], 0
        for p, *kept in rows:
            pointers = [0 if a is None else a.data.ptr for a in kept] + [0] * (KEPT - len(kept))
            text.append([p.data.ptr, *pointers, p.size, self.blocks])
            self.blocks += -(-p.size // SHARE)
        with self.place.on(rows[0][0]):
            self.table = self.place.xp.asarray(np.array(text, np.int64))
        self.gradients = np.zeros(1, GRADIENTS)

    def holds(self, rows: Rows) -> bool:
        """Whether these are the same arrays."""
        arrays = _flat(rows)
        same = len(arrays) == len(self.arrays)
        return same and all(map(operator.is_, arrays, self.arrays))

    def launch(self, name, gradients, numbers):
        """Run a kernel over the parameters."""
        xp = self.place.xp
        with self.place.on(self.table):
            gradients = [g if g.flags.c_contiguous else xp.ascontiguousarray(g) for g in gradients]
            self.gradients["of"][0, : len(gradients)] = [g.data.ptr for g in gradients]
            given = self.table, len(gradients), self.gradients, *numbers
            launch(kernel(xp, "updates", name), (self.blocks,), (THREADS,), *given)


def _flat(rows: Rows) -> list[Any]:
    return [a for row in rows for a in row]
