"""Boxes around the vertices that ran in a module, and modules drawn as one vertex each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from .modules import Call, Path, Paths, shared
from .vertices import Vertex, counted


@dataclass(eq=False, slots=True)
class Box:
    """A module's call; or the whole picture, whose `label` is empty.

    `items` stand in an order in which each comes after what it was computed from.
    """

    label: str = ""
    items: list[Vertex | Box] = field(default_factory=list)

    def vertices(self) -> Iterator[Vertex]:
        """All inside, in their order."""
        for item in self.items:
            if isinstance(item, Box):
                yield from item.vertices()
            else:
                yield item

    def boxes(self) -> Iterator[Box]:
        """Itself and all boxes inside."""
        yield self
        for item in self.items:
            if isinstance(item, Box):
                yield from item.boxes()


def boxed(vertices: Sequence[Vertex], paths: Paths, owned: set[Vertex]) -> Box:
    """The vertices, sorted by time, in the boxes of their paths.

    A box holds ops that ran one after the other, so no line leaves a box and comes back into it.
    A parameter stands in the box of its first use, another leaf outside of all.

    Args:
        vertices: all.
        paths: of ops; missing where there is no model.
        owned: the model's parameters.
    """
    root = Box()
    open_path: Path = ()
    open_boxes = [root]
    users = _first_users(vertices)
    outside: dict[
        int, list[Vertex]
    ] = {}  # other leaves, by the item of root that they stand before
    waiting: list[Vertex] = []
    label = _labels(paths)
    for v in vertices:
        if v.is_leaf and v in users and v not in owned:
            waiting.append(v)
            continue
        path = paths.get(users.get(v, v) if v.is_leaf else v, ())
        depth = shared(open_path, path)
        del open_boxes[depth + 1 :]
        for i in range(depth, len(path)):
            inner = Box(label(path, i))
            open_boxes[-1].items.append(inner)
            open_boxes.append(inner)
        open_path = path
        open_boxes[-1].items.append(v)
        outside.setdefault(id(root.items[-1]), []).extend(waiting)
        waiting = []
    root.items = [each for item in root.items for each in (*outside.get(id(item), ()), item)]
    return root


def _first_users(vertices: Sequence[Vertex]) -> dict[Vertex, Vertex]:
    users: dict[Vertex, Vertex] = {}
    for v in vertices:
        for parent in v.parents:
            users.setdefault(parent, v)
    return users


def _labels(paths: Paths) -> Callable[[Path, int], str]:
    """A function that says what stands over the box of path[i]."""
    calls = {id(call): call for path in paths.values() for call in path}.values()
    often = Counter(call.name for call in calls if call.number)

    def label(path: Path, i: int) -> str:
        call = path[i]
        name = _below(path[i - 1], call) if i else call.name
        text = f"{name}: {call.kind}" if name else call.kind
        return f"{text}, call {call.number}" if often[call.name] > 1 else text

    return label


def _below(outer: Call, inner: Call) -> str:
    """The inner module's name, without the outer one's where it begins with that."""
    return inner.name.removeprefix(f"{outer.name}." if outer.name else "")


# ---- modules drawn as one vertex each ------------------------------------------------------------


def height(box: Box) -> int:
    """How many boxes stand inside each other at most."""
    inner = [height(item) for item in box.items if isinstance(item, Box)]
    return 1 + max(inner) if inner else 0


def collapsed(root: Box, depth: int) -> Box:
    """The picture with each box that stands in `depth` others drawn as one vertex."""
    stands_for: dict[Vertex, Vertex] = {}
    new = _collapsed(root, depth, stands_for)
    for v in new.vertices():
        parents = dict.fromkeys(stands_for.get(parent, parent) for parent in v.parents)
        v.parents = [parent for parent in parents if parent is not v]
    return new


def _collapsed(box: Box, depth: int, stands_for: dict[Vertex, Vertex]) -> Box:
    items: list[Vertex | Box] = []
    for item in box.items:
        if isinstance(item, Vertex):
            items.append(_copy(item, stands_for))
        elif depth:
            items.append(_collapsed(item, depth - 1, stands_for))
        else:
            items.append(_as_one(item, stands_for))
    return Box(box.label, items)


def _copy(v: Vertex, stands_for: dict[Vertex, Vertex]) -> Vertex:
    """Another vertex, so that the whole picture stays what it is."""
    stands_for[v] = new = copy(v)
    new.parents = list(v.parents)
    return new


def _as_one(box: Box, stands_for: dict[Vertex, Vertex]) -> Vertex:
    """A vertex for all that is in a box."""
    inside = list(box.vertices())
    ops = [v for v in inside if not v.is_leaf]
    last = ops[-1] if ops else inside[-1]
    numbers = Counter("parameter" if v.is_leaf else "op" for v in inside)
    new = Vertex("module", box.label, last.shapes, last.dtype, sum(v.kept for v in inside))
    new.time, new.is_result = last.time, any(v.is_result for v in inside)
    new.parents = [parent for v in inside for parent in v.parents]
    new.notes = [", ".join(counted(number, what) for what, number in sorted(numbers.items()))]
    stands_for.update(dict.fromkeys(inside, new))
    return new
