"""The graph: nodes, and the clock that orders them and the writes to their memory.

A Node is one application of an op.  Nodes point at the nodes of their inputs and at the few arrays
that the op's rules asked for, never at Tensors: there are no reference cycles, so memory goes when
the last handle goes.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from . import backend
from .errors import GraphError

# One clock for nodes and writes: what happens later has the larger number, so sorting by id is
# sorting topologically.
tick: Callable[[], int] = itertools.count(1).__next__


class Node:
    """One application of an op; or a leaf; or one output of an op with several.

    `op` is the Op, None for a leaf, or the output's position.

    `saved` holds, in the order of `op.kept`, what the rules asked for; None once a sweep has freed
    it.
    """

    __slots__ = ("__weakref__", "dtype", "hooks", "id", "op", "parents", "saved", "shape")
    id: int
    op: Any
    parents: tuple[Node | None, ...]
    saved: tuple[Any, ...] | None
    shape: Any
    dtype: Any
    hooks: dict[int, Callable[[Any], Any]]


class Leaf(Node):
    """Where a sweep ends.

    It knows its Tensor weakly: a gradient has somewhere to go, and no cycle arises.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.id, self.op, self.parents, self.saved = tick(), None, (), ()
        self.shape, self.dtype = tensor.array.shape, tensor.array.dtype
        self.tensor: Callable[[], Any] = weakref.ref(tensor)


def saved_arrays(node: Node) -> Iterator[tuple[str, Any]]:
    """The arrays that a node keeps for its rules, each with the name that rules know it by."""
    if node.saved is None:
        return
    for name, value in zip(node.op.kept, node.saved, strict=True):
        for part in value if isinstance(value, tuple) else (value,):
            if backend.find(part) is not None:
                yield name, part


# ---- writes: a saved value that was written to is an error, and the forward pays nothing for it --


@dataclass(slots=True)
class _Write:
    time: int
    by: str
    memory: Any  # keeps a weak reference alive, whose callback removes this note


_writes: dict[int, _Write] = {}  # id of the memory's owner -> its newest write
_writing = threading.Lock()  # or a slow thread could set last_write back
last_write = 0  # the sweep compares this one integer with a node's id before it looks closer


def owner(array: Any) -> Any:
    """What owns an array's memory: views of one array have one owner."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def wrote(by: str, *arrays: Any) -> None:
    """Note a write into the memory of these arrays; every in-place write of the library does."""
    global last_write
    with _writing:
        last_write = now = tick()
        for array in arrays:
            memory_owner = array if array.base is None else owner(array)
            known = _writes.get(id(memory_owner))
            if known is None:
                _note(memory_owner, now, by)
            else:
                known.time, known.by = now, by


def _note(memory_owner: Any, now: int, by: str) -> None:
    """Begin a note about memory, which ends with it."""
    key = id(memory_owner)
    try:
        memory = weakref.ref(memory_owner, lambda _: _writes.pop(key, None))
    except TypeError:  # then the note stays; an array that reuses the id has younger nodes
        memory = None
    _writes[key] = _Write(now, by, memory)


def check_unwritten(node: Node) -> None:
    """Raise if a value that `node` saved was written to after it was saved."""
    for name, array in saved_arrays(node):
        write = _writes.get(id(owner(array)))
        if write is not None and write.time > node.id:
            raise GraphError(
                f"{node.op.name}: its saved {name!r}, shape {array.shape}, was overwritten by "
                f"{write.by} between forward and backward, so its gradient would be wrong; "
                f"call backward() before that, or give {node.op.name} a copy: .clone() "
                f"({ran_at(node)})"
            )


# ---- gradient hooks and kept gradients -----------------------------------------------------------

hooks_in_use = False  # whether a hook was ever registered: until then the sweep need not look
retained: weakref.WeakKeyDictionary[Node, Callable[[], Any]] = weakref.WeakKeyDictionary()

Hook = Callable[[Any], Any]


def hooks_of(node: Node) -> dict[int, Hook]:
    """A node's hooks, in the order of their registration."""
    return getattr(node, "hooks", {})  # a slot that stays unset on nodes without any


class HookHandle:
    """What `register_hook` returns: `.remove()` takes the hook back."""

    def __init__(self, node: Node, hook: Hook) -> None:
        global hooks_in_use
        hooks_in_use = True
        self._node, self._key = weakref.ref(node), tick()
        node.hooks = {**hooks_of(node), self._key: hook}

    def remove(self) -> None:
        """Take the hook back; once is enough, more is harmless."""
        node = self._node()
        if node is not None:
            node.hooks = {key: hook for key, hook in hooks_of(node).items() if key != self._key}


# ---- finding mistakes ----------------------------------------------------------------------------


Pull = Callable[[Node, Any, Sequence[Node | None], bool], Any]


class Inspector(Protocol):
    """Who looks over the sweep's shoulder (see anomaly.py)."""

    def pull(
        self, pull: Pull, node: Node, g: Any, parents: Sequence[Node | None], create_graph: bool
    ) -> Any:
        """What `pull` gives for the rest, looked at before and after."""

    def meet(self, node: Node, a: Any, b: Any, source: Node) -> None:
        """Look at two gradients of one node, the last from `source`, that will be added."""


inspector: Inspector | None = None  # a sweep that finds None here pays nothing
places: weakref.WeakKeyDictionary[Node, Any] = weakref.WeakKeyDictionary()  # where ops ran


def ran_at(node: Node) -> str:
    """The user's line where a node's op ran, or how to get it: to look for it costs every op."""
    while type(node.op) is int:  # one output of several
        (node,) = node.parents  # type: ignore[assignment]
    place = places.get(node)
    if place is None:
        return "run the forward inside `with mg.detect_anomaly():` to see its line"
    return f"it ran at {place}"


def circumstances(node: Node, parents: Sequence[Node | None]) -> str:
    """The shapes around a node, as errors print them."""
    several = isinstance(node.dtype, tuple)
    dtypes, shapes = (node.dtype, node.shape) if several else ((node.dtype,), (node.shape,))
    given = zip(dtypes, shapes, strict=True)
    output = ", ".join(f"{dtype} {shape}" for dtype, shape in given)
    kept = dict(zip(node.op.kept, node.saved or (), strict=False))  # freed by now, perhaps
    ways_in = [None if p is None else p.shape for p in node.parents or parents]
    shapes = kept.get("in_shapes", ways_in)
    inputs = ", ".join("no gradient" if shape is None else str(shape) for shape in shapes)
    return f"inputs {inputs}; output and cotangent {output}"
