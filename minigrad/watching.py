"""Watching ops run: what counting, profiling and curiosity use.  Where nobody watches, it costs
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .calling import shape_of
from .op import Op, registry


@dataclass(frozen=True)
class Event:
    """One op that ran: its name, its inputs' shapes, the seconds that its forward took."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float


_callbacks: list[Callable[[Event], None]] = []


@contextmanager
def watch(callback: Callable[[Event], None]) -> Iterator[None]:
    """Call `callback(event)` for every op that runs inside: in forward, in backward and in rules,
    in any thread.

    Example:
        >>> import minigrad as mg
        >>> names = []
        >>> with mg.watch(lambda event: names.append(event.name)):
        ...     y = (mg.tensor([1.0, 2.0]) * 3).sum()
        >>> names
        ['mul', 'sum']
    """
    _callbacks.append(callback)
    for op in registry.values():
        op.run_with(_observed(op))
    try:
        yield
    finally:
        _callbacks.remove(callback)
        if not _callbacks:
            for op in registry.values():
                op.run_with(op.body())


def _observed(op: Op) -> Callable[..., Any]:
    body = op.body()

    def run(xp: ModuleType, *arrays: Any, **statics: Any) -> Any:
        start = time.perf_counter()
        y = body(xp, *arrays, **statics)
        event = Event(op.name, tuple(shape_of(a) for a in arrays), time.perf_counter() - start)
        for callback in list(_callbacks):
            callback(event)
        return y

    return run
