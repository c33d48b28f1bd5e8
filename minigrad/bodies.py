"""What computes an op: its forward, or one of its kernels before it.

Kernels are known to an op by the backend whose arrays they take, and tried in the order in which
they were added; one that returns NotImplemented passes the call on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import codegen
from .backend import PLACES
from .kernels import PACKAGES, load_kernels, waits_for_kernels
from .modes import kernels_on

if TYPE_CHECKING:
    from .op import Op

Body = Callable[..., Any]


def body_of(op: Op, every: Iterable[Op]) -> Body:
    """What is to compute an op; `every` op may get kernels when a module of them is loaded.

    Written as straight-line text, as everything per call.
    """
    kernels = {place: list(found) for place, found in op.kernels.items()}
    for place in PACKAGES:
        if waits_for_kernels(place, op.name):
            kernels[place] = [_loader(op, place, every), *kernels.get(place, [])]
    if not kernels:
        return op.forward
    space: dict[str, Any] = {"PLACES": PLACES, "kernels_on": kernels_on, "plain": op.forward}
    for place, found in kernels.items():
        space |= {f"{place}_kernel{i}": kernel for i, kernel in enumerate(found)}
    exec(codegen.with_kernels(op, {place: len(found) for place, found in kernels.items()}), space)
    run: Body = space["run"]
    return run


def _loader(op: Op, place: str, every: Iterable[Op]) -> Body:
    """Stands for kernels until the op first runs on such arrays: then they are imported."""

    def load(xp: Any, *arrays: Any, **statics: Any) -> Any:
        load_kernels(place, op.name)
        for each in every:
            each.choose_body()
        return op.body(xp, *arrays, **statics)

    return load
