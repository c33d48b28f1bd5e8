"""The sweep: from outputs back to inputs in the order of the clock, without recursion."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from . import backend, graph
from .backend.several import placed
from .calling import describe, outputs_of
from .errors import DTypeError, GraphError, ShapeError
from .graph import Node
from .hint import Hint, Sealed
from .op import cast, clone
from .ops.reduce import sum_to
from .tensor import Tensor, handle


def sweep(
    seeds: Sequence[tuple[Any, Any]],
    wanted: Container[Any],
    path: set[Node] | None,
    create_graph: bool,
    retain_graph: bool,
) -> dict[Node, Any]:
    """Gradients, as bare arrays, or as Tensors while derivatives are recorded.

    The youngest node comes first, so every consumer of a value has been met before its producer.

    Args:
        seeds: nodes of outputs with their cotangents.
        wanted: nodes whose gradient is asked for.
        path: the nodes to visit, whose leaves are reported if wanted; None visits and reports all.
        create_graph: hand Tensors to the rules.
        retain_graph: keep what the nodes saved.
    """
    flow = _Flow(create_graph)
    found: dict[Node, Any] = {}
    for node, g in seeds:
        if path is None or node in path:
            flow.add((node,), (g,), node)
    while flow.heap:
        node = heappop(flow.heap)[1]
        g = flow.got.pop(node)
        if graph.hooks_in_use and type(g) is not list:
            g = _hooked(node, g, create_graph)
        if node in wanted:
            found[node] = g
        if type(node.op) is int:
            flow.collect(node, g)
            continue
        parents = node.parents
        if path is not None:
            parents = tuple([p if p in path else None for p in parents])
            if not any(parents):
                continue  # this is where the caller wanted to stop: what lies behind stays whole
        if flow.inspector is None:
            gs = _pull(node, g, parents, create_graph)
        else:
            gs = flow.inspector.pull(_pull, node, g, parents, create_graph)
        if not retain_graph:
            node.saved, node.parents = None, ()  # memory goes as the sweep passes
        flow.add(parents, gs, node)
        del node, g, gs  # else these names keep memory alive while the next rule runs
    for leaf, g in flow.got.items():
        if path is None or leaf in wanted:
            found[leaf] = _hooked(leaf, g, create_graph) if graph.hooks_in_use else g
    return found


class _Flow:
    """Gradients on their way: what each node has got so far, and which node comes next."""

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.inspector = graph.inspector  # read once: another thread may take it away
        self.got: dict[Any, Any] = {}  # in the end, the leaves' gradients
        self.heap: list[tuple[int, Node]] = []
        self.ours: set[Node] = set()  # their gradients are sums made here: we may add in place

    @placed
    def add(self, nodes: Sequence[Any], gs: Sequence[Any], source: Node) -> None:
        """Add gradients, which the rules of `source` gave, to what nodes have got."""
        got = self.got
        for node, g in zip(nodes, gs, strict=True):
            if node is None or g is None:
                continue
            try:
                fits = g.shape == node.shape and g.dtype is node.dtype
            except AttributeError:
                fits = False  # it is no array
            if not fits:
                g = _fitted(g, node, source, nodes)
            if node not in got:
                got[node] = g
                if node.op is not None:
                    heappush(self.heap, (-node.id, node))
                continue
            if self.inspector is not None:
                self.inspector.meet(node, got[node], g, source)
            if node in self.ours:
                got[node] += g
            else:
                got[node] = got[node] + g  # the first may be someone else's memory
                if not self.create_graph:
                    self.ours.add(node)

    @placed
    def collect(self, node: Node, g: Any) -> None:
        """An output of an op with several: its gradient waits at the op's node for the others."""
        (main,) = node.parents
        assert main is not None
        if main not in self.got:
            self.got[main] = [None] * len(main.shape)
            heappush(self.heap, (-main.id, main))
        before = self.got[main][node.op]  # of a handle that a rule made of the same output
        if self.inspector is not None and before is not None:
            self.inspector.meet(node, before, g, node)
        self.got[main][node.op] = g if before is None else before + g


def check_whole(node: Node) -> None:
    """Raise if a sweep has freed what the node saved."""
    if node.saved is None:
        raise GraphError(
            f"{node.op.name}: this graph was swept already, which freed what it saved: pass "
            "retain_graph=True the first time, or .detach() what is not to be differentiated again"
        )


def _pull(node: Node, g: Any, parents: Sequence[Any], create_graph: bool) -> Any:
    """Apply a node's rules: a gradient for each parent that is not None."""
    op, saved = node.op, node.saved
    check_whole(node)
    if graph.last_write > node.id:
        graph.check_unwritten(node)
    if type(g) is list:
        g = _filled(g, node)
    try:
        gs = op.pull(g, _recorded(node) if create_graph else saved, parents)
        if type(gs) is not tuple or len(gs) != len(parents):
            _check_returned(gs, op.name, len(parents))
    except Exception as error:
        _note(error, node, parents)
        backend.explain(error, f"the rule of {op.name}")
        raise
    return gs


def _check_returned(gs: Any, name: str, wanted: int) -> None:
    """Raise unless a rule gave a sequence of as many gradients as its op has inputs."""
    if not isinstance(gs, tuple | list):  # an array's rows would be taken for gradients
        raise DTypeError(
            f"the rule of {name} returned {describe([gs])}: return a tuple with a gradient for "
            "each input, None where there is none"
        )
    if len(gs) != wanted:
        raise GraphError(
            f"the rule of {name} gave {len(gs)} gradients for {wanted} inputs: give one for each, "
            "None where there is none"
        )


def _note(error: Exception, node: Node, parents: Sequence[Any]) -> None:
    """Say in which rule an error arose."""
    shapes = graph.circumstances(node, parents)
    error.add_note(f"in the rule of {node.op.name}: {shapes}; {graph.ran_at(node)}")


def _recorded(node: Node) -> tuple[Any, ...]:
    """What a node saved, as Tensors with their history: rules on them are recorded."""
    parents = {} if node.op.variadic else dict(zip(node.op.inputs, node.parents, strict=True))
    values: list[Any] = []
    for name, value in zip(node.op.kept, node.saved or (), strict=True):
        if name == "y":
            several = isinstance(value, tuple)
            value = outputs_of(node, value) if several else handle(value, node)
        elif node.op.variadic and name in node.op.inputs:
            value = tuple([handle(v, p) for v, p in zip(value, node.parents, strict=True)])
        elif name in parents and backend.find(value) is not None:
            value = handle(value, parents[name])
        elif type(value) is Hint:
            value = Sealed(value)
        values.append(value)
    return tuple(values)


def _fitted(g: Any, node: Node, source: Node, nodes: Sequence[Any]) -> Any:
    """A gradient in its tensor's shape and dtype: broadcasting is undone here, for every op."""
    name = source.op.name
    try:
        if not isinstance(g, Tensor | np.generic) and backend.find(g) is None:
            raise DTypeError(
                f"a rule of {name} gave {describe([g])} for an input of shape {node.shape}: give "
                "an array or a tensor, or None for no gradient"
            )
        if g.shape != node.shape:
            g = _summed(g, node.shape, name)
        return g if g.dtype == node.dtype else cast(g, dtype=node.dtype)
    except Exception as error:
        _note(error, source, nodes)
        raise


def _summed(g: Any, shape: tuple[int, ...], name: str) -> Any:
    """A gradient of a broadcast input in the input's own shape."""
    try:
        return sum_to(g, shape=shape)
    except ShapeError as error:
        raise ShapeError(
            f"a rule of {name} gave a gradient of shape {g.shape} for an input of shape {shape}, "
            "which was not broadcast to it"
        ) from error


@placed
def _hooked(node: Node, g: Any, create_graph: bool) -> Any:
    """The gradient after the hooks of its tensor: each may keep or change what it is given."""
    for hook in list(graph.hooks_of(node).values()):
        t = clone(g) if create_graph else handle(backend.as_array(g).copy())
        changed = hook(t)
        if changed is None:
            continue
        if changed.shape != node.shape or changed.dtype != node.dtype:
            raise ShapeError(
                f"a hook returned {changed.dtype} {changed.shape} for a gradient of {node.dtype} "
                f"{node.shape}: return the same dtype and shape, or None"
            )
        g = clone(changed) if create_graph else changed.array.copy()
    return g


@placed
def _filled(gs: list[Any], node: Node) -> tuple[Any, ...]:
    """The gradients of several outputs, zeros where nothing came."""
    like = next(g for g in gs if g is not None)
    recorded = isinstance(like, Tensor)
    xp = backend.of(like.array if recorded else like).xp
    filled = list(gs)
    for i, (shape, dtype) in enumerate(zip(node.shape, node.dtype, strict=True)):
        if filled[i] is None:
            zeros = xp.zeros(shape, dtype)
            filled[i] = handle(zeros) if recorded else zeros
    return tuple(filled)


def leading_to(wanted: Collection[Node], nodes: Sequence[Node]) -> set[Node]:
    """The nodes on a path to a wanted one: the others' gradients are not computed."""
    oldest = min(node.id for node in wanted)
    stack: list[Node | None] = list(nodes)
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node is not None and node.id >= oldest and node not in seen:
            check_whole(node)
            seen.add(node)
            stack.extend(node.parents)
    leading = set(wanted)
    for node in sorted(seen, key=lambda n: n.id):
        if any(parent in leading for parent in node.parents):
            leading.add(node)
    return leading
