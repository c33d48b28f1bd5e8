"""The sweep: gradients from outputs back to inputs, in the order of the clock, without recursion.

`grad` is the core; `backward` is `grad` on every leaf, added to `.grad`.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from . import backend, dtypes, graph
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .graph import Leaf, Node
from .hint import Hint, Sealed
from .modes import Switch, recording
from .op import cast, clone
from .ops.reduce import sum_to
from .tensor import Tensor, handle


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of outputs with respect to inputs (leaves or results), touching nobody's `.grad`.

    Args:
        outputs: what to differentiate: a tensor or several, whose gradients add up.
        inputs: a tensor or several that require grad.
        grad_outputs: a cotangent for each output, of its shape; may be left out (or None) for
            single numbers.
        retain_graph: keep what the graph saved, for another sweep; by default `create_graph`.
        create_graph: record the derivatives, so that they can be differentiated again, to any
            order.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.

    Returns:
        A tuple with a gradient for each input, of its shape and dtype; no two share memory.

    Raises:
        GraphError: nothing to differentiate, an unused input, a graph swept twice, a saved
            value written to.
        ShapeError, DTypeError, DeviceError: a cotangent that does not fit its output.
    """
    xs, ys = _sequence(inputs), _sequence(outputs)
    for x in xs:
        if x.node is None:
            raise GraphError(
                f"grad() with respect to a tensor of shape {x.shape} that does not require grad: "
                f"set requires_grad=True before using it"
            )
    wanted = {x.node for x in xs}
    gs = _sequence(grad_outputs) if grad_outputs is not None else [None] * len(ys)
    found = _from_outputs(ys, gs, wanted, True, create_graph, retain_graph)
    seen = {id(getattr(g, "array", g)) for g in gs}
    results: list[Tensor | None] = []
    for i, x in enumerate(xs):
        g = found.get(x.node)
        if g is None and not allow_unused:
            raise GraphError(
                f"the outputs do not depend on input {i} of shape {x.shape}: leave it out, or "
                f"pass allow_unused=True to get None"
            )
        results.append(None if g is None else _owned(g, seen))
    return tuple(results)


def backward(y: Tensor, gradient: Any, retain_graph: bool | None, create_graph: bool) -> None:
    """The gradient of every leaf, and of every result that asked for it, added to its `.grad`."""
    retained = set(graph.retained.keys())
    found = _from_outputs([y], [gradient], retained, False, create_graph, retain_graph)
    seen = {id(getattr(gradient, "array", gradient))}
    for node, g in found.items():
        t = node.tensor() if isinstance(node, Leaf) else graph.retained[node]()
        if t is None or t.node is not node:
            continue
        if t.grad is not None:
            g = t.grad + g if create_graph else t.grad.array + g
        t.grad = _owned(g, seen)


def _from_outputs(
    ys: Sequence[Tensor],
    gs: Sequence[Any],
    wanted: set[Any],
    pruned: bool,
    create_graph: bool,
    retain: bool | None,
) -> dict[Node, Any]:
    """Check the seeds, then sweep: {node: gradient} for the wanted nodes, or for them and all
    leaves.
    """
    if len(ys) != len(gs):
        raise ShapeError(
            f"{len(gs)} grad_outputs for {len(ys)} outputs: give one for each (None for a single "
            f"number)"
        )
    nodes, seeds = [], []
    for y, g in zip(ys, gs, strict=True):
        if y.node is not None:
            nodes.append(y.node)
            seeds.append(_seed(y, g, create_graph))
        elif g is not None or len(ys) == 1:
            raise GraphError(
                f"nothing to differentiate: the output of shape {y.shape}, dtype {y.dtype}, does "
                f"not depend on a tensor that requires "
                "grad (integer results, statistics, and what no_grad() made carry none)"
            )
    if not nodes:
        raise GraphError(
            "nothing to differentiate: no output depends on a tensor that requires grad"
        )
    only = _leading_to(wanted, nodes) if pruned else None
    with Switch(recording, create_graph):
        return _sweep(
            nodes, seeds, wanted, only, create_graph, create_graph if retain is None else retain
        )


def _seed(y: Tensor, g: Any, create_graph: bool) -> Any:
    """The cotangent of an output: an array, or a Tensor while derivatives are recorded."""
    place = backend.of(y.array)
    if g is None:
        if y.size != 1:
            raise ShapeError(
                f"an output of shape {y.shape} needs a gradient of that shape: only a single "
                f"number can do without"
            )
        g = handle(place.xp.ones(y.shape, y.dtype))
    elif not isinstance(g, Tensor):
        g = handle(g) if backend.find(g) is not None else Tensor(g, device=y.device)
    if g.shape != y.shape:
        raise ShapeError(
            f"the gradient has shape {g.shape}, the output {y.shape}: they must be equal "
            f"(nothing is broadcast)"
        )
    if backend.of(g.array) is not place:
        raise DeviceError(
            f"the gradient is on {g.device}, the output on {y.device}: move it with "
            f".to({y.device!r})"
        )
    if not dtypes.is_floating(g.dtype):
        raise DTypeError(f"the gradient is {g.dtype}, the output {y.dtype}: give floating numbers")
    if g.dtype != y.dtype:
        g = cast(g, dtype=y.dtype)
    return g if create_graph else g.array


def _sweep(
    nodes: Sequence[Any],
    seeds: Sequence[Any],
    wanted: set[Any],
    only: set[Node] | None,
    create_graph: bool,
    retain: bool,
) -> dict[Node, Any]:
    """Take the youngest node first: every consumer of a value has then been met before its
    producer.
    """
    got: dict[Any, Any] = {}  # node -> its gradient so far; in the end, the leaves'
    found: dict[Node, Any] = {}
    ours: set[Node] = (
        set()
    )  # nodes whose gradient is a sum made here, which may be added to in place
    heap: list[tuple[int, Node]] = []
    parents, gs = nodes, seeds
    while True:
        for parent, g in zip(parents, gs, strict=True):
            if parent is None or g is None:
                continue
            if g.shape != parent.shape or g.dtype is not parent.dtype:
                g = _fitted(g, parent)
            if parent not in got:
                got[parent] = g
                if parent.op is not None:
                    heappush(heap, (-parent.id, parent))
            elif parent in ours:
                got[parent] = _add_in_place(got[parent], g)
            else:
                got[parent] = (
                    got[parent] + g
                )  # the first may be someone else's memory: never in place
                if not create_graph:
                    ours.add(parent)
        if not heap:
            break
        node = heappop(heap)[1]
        g = got.pop(node)
        if graph.hooks and type(g) is not list:
            g = _hooked(node, g, create_graph)
        if node in wanted:
            found[node] = g
        if type(node.op) is int:
            parents = gs = _collect(node, g, got, heap)
            continue
        parents, gs = _pull(node, g, only, create_graph)
        if not retain:
            node.saved, node.parents = None, ()  # memory goes as the sweep passes
        del node, g
    for leaf, g in got.items():
        if only is None or leaf in wanted:
            found[leaf] = _hooked(leaf, g, create_graph) if graph.hooks else g
    return found


def _add_in_place(total: Any, g: Any) -> Any:
    total += g
    return total


def _pull(node: Node, g: Any, only: set[Node] | None, create_graph: bool) -> tuple[Any, Any]:
    """Apply a node's rules: its parents, and a gradient for each that needs one."""
    op, saved, parents = node.op, node.saved, node.parents
    if saved is None:
        raise GraphError(
            f"{op.name}: this graph was swept already, which freed what it saved: pass "
            f"retain_graph=True the first time"
        )
    if graph.last_write > node.id:
        graph.check_unwritten(node)
    if type(g) is list:  # several outputs: zeros where nothing came
        zeros = backend.of(
            next(each for each in g if each is not None).array
            if create_graph
            else next(each for each in g if each is not None)
        )
        g = tuple(
            [
                _zeros(zeros, s, d, create_graph) if each is None else each
                for each, s, d in zip(g, node.shape, node.dtype, strict=True)
            ]
        )
    if only is not None:
        parents = tuple([p if p in only else None for p in parents])
    try:
        gs = op.pull(g, _tracked(node) if create_graph else saved, parents)
        if len(gs) != len(parents):
            raise GraphError(f"the rule gave {len(gs)} gradients for {len(parents)} inputs")
    except Exception as error:
        error.add_note(f"in the rule of {op.name}, whose output has shape {node.shape}")
        raise
    return parents, gs


def _tracked(node: Node) -> tuple[Any, ...]:
    """What a node saved, as Tensors that know where they came from: rules applied to them record
    the derivative.
    """
    known = dict(zip(node.op.inputs, node.parents, strict=True))
    values: list[Any] = []
    for name, value in zip(node.op.names, node.saved or (), strict=True):
        if name == "y" and not isinstance(value, tuple):
            value = handle(value, node)
        elif name in known and backend.find(value) is not None:
            value = handle(value, known[name])
        elif type(value) is Hint:
            value = Sealed(value)
        values.append(value)
    return tuple(values)


def _fitted(g: Any, node: Node) -> Any:
    """A gradient in its tensor's shape and dtype: broadcasting is undone here, for every op."""
    if g.shape != node.shape:
        try:
            g = sum_to(g, shape=node.shape)
        except ShapeError as error:
            raise ShapeError(
                f"a rule gave a gradient of shape {g.shape} for an input of shape {node.shape}, "
                f"which was not broadcast to it"
            ) from error
    return g if g.dtype == node.dtype else cast(g, dtype=node.dtype)


def _collect(node: Node, g: Any, got: dict[Any, Any], heap: list[tuple[int, Node]]) -> tuple[()]:
    """An output of an op with several: its gradient waits at the op's node for the others."""
    (main,) = node.parents
    assert main is not None
    if main not in got:
        got[main] = [None] * len(main.shape)
        heappush(heap, (-main.id, main))
    got[main][node.op] = g
    return ()


def _hooked(node: Node, g: Any, create_graph: bool) -> Any:
    """The gradient after the hooks of its tensor."""
    for hook in list(graph.hooks.get(node, {}).values()):
        given = g if isinstance(g, Tensor) else handle(g)
        changed = hook(given)
        if changed is not None:
            if changed.shape != given.shape:
                raise ShapeError(
                    f"a hook returned a gradient of shape {changed.shape} for one of "
                    f"{given.shape}: return that shape, or None"
                )
            g = changed if create_graph else changed.array
    return g


def _owned(g: Any, seen: set[int]) -> Tensor:
    """A gradient as a Tensor whose memory is shared with no other gradient and not with the
    caller's seed.
    """
    array = g.array if isinstance(g, Tensor) else g
    if backend.find(array) is None:  # a NumPy scalar, from arithmetic on 0-d arrays
        g = array = backend.named("cpu").asarray(array)
    if array.base is not None or id(array) in seen:
        g = clone(g)
        array = g.array if isinstance(g, Tensor) else g
    seen.add(id(array))
    return g if isinstance(g, Tensor) else handle(g)


def _leading_to(wanted: set[Any], nodes: Sequence[Node]) -> set[Node]:
    """The nodes on a path to a wanted one: the others' gradients are not computed."""
    oldest = min(node.id for node in wanted)
    stack, seen = list(nodes), set()
    while stack:
        node = stack.pop()
        if node is not None and node.id >= oldest and node not in seen:
            seen.add(node)
            stack.extend(node.parents)  # type: ignore[arg-type]
    leading = set(wanted)
    for node in sorted(seen, key=lambda n: n.id):
        if any(parent in leading for parent in node.parents):
            leading.add(node)
    return leading


def _zeros(place: Any, shape: tuple[int, ...], dtype: Any, create_graph: bool) -> Any:
    zeros = place.xp.zeros(shape, dtype)
    return handle(zeros) if create_graph else zeros


def _sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
