"""What computes an op: its forward, or one of its kernels before it.

Kernels are known to an op by the backend whose arrays they take, and tried in the order in which
they were added; one that returns NotImplemented passes the call on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import codegen
from .backend import PLACES
from .kernels import load_kernels, waits_for_kernels
from .modes import kernels_on

if TYPE_CHECKING:
    from .op import Op

Body = Callable[..., Any]


def body_of(op: Op, every: Iterable[Op]) -> Body:
    """What is to compute an op; `every` op may get kernels when a module of them is loaded."""
    if waits_for_kernels(op.name):
        return _loading(op, every)
    return _with_kernels(op) if op.kernels else op.forward


def _loading(op: Op, every: Iterable[Op]) -> Body:
    """The forward, until it first runs where kernels are wanted: then they are imported."""

    def run(xp: Any, *arrays: Any, **statics: Any) -> Any:
        if np.ndarray not in map(type, arrays) or not kernels_on.get():
            return op.forward(xp, *arrays, **statics)
        load_kernels(op.name)
        for each in every:
            each.choose_body()
        return op.body(xp, *arrays, **statics)

    return run


def _with_kernels(op: Op) -> Body:
    """The kernels and the forward as one function: straight-line text, as everything per call."""
    space: dict[str, Any] = {"PLACES": PLACES, "kernels_on": kernels_on, "plain": op.forward}
    for place, found in op.kernels.items():
        space |= {f"{place}_kernel{i}": kernel for i, kernel in enumerate(found)}
    exec(codegen.with_kernels(op), space)
    run: Body = space["run"]
    return run
