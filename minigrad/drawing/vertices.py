"""What is drawn: the graph behind tensors as vertices, which keep nothing of it alive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import graph
from ..errors import GraphError
from ..graph import Leaf, Node
from ..nn.parameter import Parameter
from ..nn.summary import size_text
from ..tensor import Tensor

Shape = tuple[int, ...]


@dataclass(eq=False, slots=True, repr=False)  # two vertices are the same only if they are one
class Vertex:
    """A node of the graph, or a module whose nodes are drawn as one.

    Attributes:
        kind: "leaf", "parameter", "op", "fused", "freed", "module".
        name: of the op, the parameter or the module.
        shapes: of its outputs: one, or several.
        dtype: of its first output.
        kept: bytes that the graph keeps alive for its backward, and no vertex before it.
        time: the clock's when it was made; a leaf's is that of its first use.
        parents: what it was computed from, each once.
        inputs: how many its op has, constants too.
        is_result: whether it is what was asked for.
        notes: lines that appear when the mouse rests on it.
    """

    kind: str
    name: str
    shapes: tuple[Shape, ...]
    dtype: str
    kept: int = 0
    time: float = 0
    parents: list[Vertex] = field(default_factory=list)
    inputs: int = 0
    is_result: bool = False
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.kind} {' '.join(self.lines)}>"

    @property
    def is_leaf(self) -> bool:
        """Whether a sweep ends here."""
        return self.kind in ("leaf", "parameter")

    @property
    def lines(self) -> list[str]:
        """Its label: name, shapes, what it keeps."""
        found = [shortened(self.name), shortened(" ".join(map(str, self.shapes)))]
        return found + [f"keeps {size_text(self.kept)}"] * (self.kept > 0)


def shortened(text: str, most: int = 40) -> str:
    """A long text without its middle."""
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"


def counted(count: int, what: str) -> str:
    """How many of what: "1 leaf", "2 leaves"."""
    plural = {"leaf": "leaves", "freed": "freed"}.get(what, f"{what}s")
    return f"{count:,} {what if count == 1 else plural}"


def vertices_of(
    tensors: Iterable[Tensor], names: Mapping[int, str], held: Iterable[Any] = ()
) -> tuple[list[Vertex], dict[int, Vertex]]:
    """The vertices of the graph behind tensors, sorted by time; and those of leaves by tensor's id.

    Args:
        tensors: the results, each with a graph.
        names: of leaves, by the id of their tensor.
        held: arrays that live anyway, as buffers do; what a node keeps of them counts for nothing.

    Raises:
        GraphError: a sweep has freed the graph.
    """
    results = [whole(op_of(t.node)) for t in tensors]
    found = {node: _vertex(node, names) for node in _behind(results)}
    for node, vertex in found.items():
        vertex.parents = [found[each] for each in _inputs(node)]
        vertex.is_result = node in results
    _count_kept(found, held)
    _place_leaves(found)
    leaves = {id(node.tensor()): v for node, v in found.items() if isinstance(node, Leaf)}
    return sorted(found.values(), key=lambda vertex: vertex.time), leaves


def whole(node: Node) -> Node:
    """A node whose own op can still be seen."""
    if node.saved is None:
        raise GraphError(
            f"this graph was swept already, and backward() frees what it has passed; only the "
            f"last op, {node.op.name}, is left of it: draw before backward(), or call "
            "backward(retain_graph=True)"
        )
    return node


def op_of(node: Any) -> Node:
    """The node of the op itself; an op with several outputs has a small node for each."""
    while type(node.op) is int:
        (node,) = node.parents
    return node


def _inputs(node: Node) -> Iterator[Node]:
    """The nodes that it was computed from, each once."""
    return iter(dict.fromkeys(op_of(parent) for parent in node.parents if parent is not None))


def _behind(results: list[Node]) -> list[Node]:
    """These nodes and all before them, oldest first."""
    stack, seen = list(results), set(results)
    while stack:
        for parent in _inputs(stack.pop()):
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.id)


def _vertex(node: Node, names: Mapping[int, str]) -> Vertex:
    several = isinstance(node.dtype, tuple)
    shapes, dtype = (node.shape, node.dtype[0]) if several else ((node.shape,), node.dtype)
    if isinstance(node, Leaf):
        tensor = node.tensor()
        kind = "parameter" if isinstance(tensor, Parameter) else "leaf"
        name = names.get(id(tensor), kind)
    elif node.saved is None:
        kind, name = "freed", f"{node.op.name}, freed"
    else:
        # checkpoint's op is none of the registry
        is_fused = getattr(node.op, "reference", None) is not None
        kind, name = "fused" if is_fused else "op", node.op.name
    return Vertex(kind, name, shapes, str(dtype), time=node.id, inputs=len(node.parents))


def _count_kept(found: Mapping[Node, Vertex], held: Iterable[Any]) -> None:
    """Count what each node keeps: memory that leaves or earlier nodes hold counts for nothing."""
    tensors = [node.tensor() for node in found if isinstance(node, Leaf)]
    alive = [*held, *(t.array for t in tensors if t is not None)]
    known = {id(graph.owner(array)) for array in alive}
    for node, vertex in found.items():
        for name, array in graph.saved_arrays(node) if node.op else ():
            owner = graph.owner(array)
            size = f"{name} {tuple(array.shape)} {array.dtype}"
            if id(owner) in known:
                vertex.notes.append(f"keeps {size}, which is held elsewhere too")
            else:
                known.add(id(owner))
                vertex.kept += owner.nbytes
                vertex.notes.append(f"keeps {size}, {size_text(owner.nbytes)}")
        if vertex.kind == "freed":
            vertex.notes.append("backward() has freed it, and the way to what lies before it")


def _place_leaves(found: Mapping[Node, Vertex]) -> None:
    """A leaf's time is just before its first use, wherever it was made."""
    used: dict[Vertex, float] = {}
    for vertex in found.values():  # oldest first
        for parent in vertex.parents:
            used.setdefault(parent, vertex.time)
    for vertex in found.values():
        if vertex.is_leaf and vertex in used:
            vertex.time = used[vertex] - 0.5
