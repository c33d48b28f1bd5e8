"""Watching ops run, for counting and profiling; it costs nothing where nobody does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import graph
from .calling import shape_of
from .graph import Node
from .op import Op
from .tensor import Tensor


@dataclass(frozen=True)
class Event:
    """One op that ran: its name, its inputs' shapes, the seconds that its forward took.

    `kept` counts the bytes that the graph keeps alive for its backward.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float
    kept: int = 0


# op, inputs (arrays or numbers), result (Tensors where the call was given some), seconds
Watcher = Callable[[Op, tuple[Any, ...], Any, float], None]
_watchers: list[Watcher] = []


_telling = threading.RLock()  # or ops could end up unwatched while another thread watches


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of every op that runs inside, in any thread: forward, backward, in rules."""
    begin(watcher)
    try:
        yield
    finally:
        end(watcher)


def begin(watcher: Watcher) -> None:
    """Tell `watcher` of every op from now on."""
    with _telling:
        _watchers.append(watcher)
        _tell()


def end(watcher: Watcher) -> None:
    """Tell it no more."""
    with _telling:
        _watchers.remove(watcher)
        _tell()


def _tell() -> None:
    Op.seen = staticmethod(_seen) if _watchers else None
    for op in list(Op.every):
        op.choose_code()


def _seen(op: Op, inputs: tuple[Any, ...], result: Any, seconds: float) -> None:
    for watcher in list(_watchers):
        watcher(op, inputs, result, seconds)


@contextmanager
def watch(callback: Callable[[Event], None]) -> Iterator[None]:
    """Call `callback(event)` for every op that runs inside: forward, backward, rules; any thread.

    Args:
        callback: a function of an `Event`: the op's name, its inputs' shapes, seconds, bytes kept.
            It must not run ops itself, which would be events too.

    Example:
        >>> import minigrad as mg
        >>> events = []
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> with mg.watch(events.append):
        ...     y = (x * x).sum()
        >>> [(event.name, event.kept) for event in events]
        [('mul', 8), ('sum', 0)]
    """

    def report(op: Op, inputs: tuple[Any, ...], result: Any, seconds: float) -> None:
        shapes = tuple([shape_of(a) for a in inputs])
        callback(Event(op.name, shapes, seconds, bytes_kept(node_of(result))))

    with watched(report):
        yield


def node_of(result: Any) -> Node | None:
    """The node of the op that gave this result, or None where nothing was recorded."""
    for y in result if isinstance(result, tuple) else (result,):
        if isinstance(y, Tensor) and y.node is not None:
            # one output of several has a small node of its own, whose parent is the op's
            return y.node.parents[0] if isinstance(y.node.op, int) else y.node
    return None


def bytes_kept(node: Node | None) -> int:
    """How many bytes a node keeps for its rules; what it names twice counts once."""
    arrays = [] if node is None else [array for _, array in graph.saved_arrays(node)]
    return sum({id(array): array.nbytes for array in arrays}.values())
