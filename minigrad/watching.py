"""Watching ops run, for counting and profiling; it costs nothing where nobody does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .calling import shape_of
from .op import Op, registry, wrappers


@dataclass(frozen=True)
class Event:
    """One op that ran: its name, its inputs' shapes, the seconds that its forward took."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float


@contextmanager
def watch(callback: Callable[[Event], None]) -> Iterator[None]:
    """Call `callback(event)` for every op that runs inside, in any thread.

    In forward, in backward, and in rules.

    Example:
        >>> import minigrad as mg
        >>> names = []
        >>> with mg.watch(lambda event: names.append(event.name)):
        ...     y = (mg.tensor([1.0, 2.0]) * 3).sum()
        >>> names
        ['mul', 'sum']
    """

    def observed(op: Op, body: Callable[..., Any]) -> Callable[..., Any]:
        def run(xp: ModuleType, *arrays: Any, **statics: Any) -> Any:
            start = time.perf_counter()
            y = body(xp, *arrays, **statics)
            seconds = time.perf_counter() - start
            callback(Event(op.name, tuple(shape_of(a) for a in arrays), seconds))
            return y

        return run

    wrappers.append(observed)
    _choose_bodies()
    try:
        yield
    finally:
        wrappers.remove(observed)
        _choose_bodies()


def _choose_bodies() -> None:
    for op in list(registry.values()):
        op.choose_body()
