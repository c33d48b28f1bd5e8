"""Gradients as users ask for them: `grad`, and `backward`, which adds them to leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import backend, dtypes, graph
from .backend.several import placed
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .graph import Leaf, Node
from .memory import Lease
from .modes import recording
from .op import cast, clone
from .sweep import leading_to, sweep
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
    if not xs or not ys:
        raise GraphError("grad() got no outputs or no inputs: give at least one tensor of each")
    for x in xs:
        if x.node is None:
            raise GraphError(
                f"grad() with respect to a tensor of shape {x.shape} that does not require grad: "
                "set requires_grad=True before using it"
            )
    gs = _sequence(grad_outputs) if grad_outputs is not None else [None] * len(ys)
    with _recording(create_graph):
        seeds = _seeds(ys, gs, create_graph)
        wanted = {x.node for x in xs}
        path = leading_to(wanted, [node for node, _ in seeds])
        retain = create_graph if retain_graph is None else retain_graph
        found = sweep(seeds, wanted, path, create_graph, retain)
        seen = {id(getattr(t, "array", t)) for t in (*gs, *xs)}
        results: list[Tensor | None] = []
        for i, x in enumerate(xs):
            g = found.get(x.node)
            if g is None and not allow_unused:
                raise GraphError(
                    f"the outputs do not depend on input {i} of shape {x.shape}: leave it out, or "
                    "pass allow_unused=True to get None"
                )
            results.append(None if g is None else _owned(g, seen))
    return tuple(results)


def backward(y: Tensor, gradient: Any, retain_graph: bool | None, create_graph: bool) -> None:
    """The gradient of every leaf, and of every result that asked for it, added to its `.grad`."""
    with _recording(create_graph):
        seeds = _seeds([y], [gradient], create_graph)
        retain = create_graph if retain_graph is None else retain_graph
        found = sweep(seeds, graph.retained or (), None, create_graph, retain)
        seen = {id(getattr(gradient, "array", gradient))}
        for node, g in found.items():
            t = _receiver(node)
            if t is None:
                continue
            seen.add(id(t.array))
            t.grad = _owned(g, seen, t.grad, create_graph)


class _recording:
    """A `Switch` for the time of a sweep, which nothing can suspend: at less cost."""

    __slots__ = ("before", "value")

    def __init__(self, value: bool) -> None:
        self.value = value

    def __enter__(self) -> None:
        self.before = recording.get()
        recording.set(self.value)

    def __exit__(self, *exception: object) -> None:
        recording.set(self.before)


def _receiver(node: Node) -> Tensor | None:
    """The Tensor whose `.grad` a node's gradient is for, if it still is the one that was used."""
    t: Tensor | None = node.tensor() if isinstance(node, Leaf) else graph.retained[node]()
    if t is None or t.node is node:
        return t
    # requires_grad went off and on again: a new leaf of the same tensor
    if not (isinstance(node, Leaf) and t.is_leaf and t.requires_grad):
        return None
    if (t.shape, t.dtype) != (node.shape, node.dtype):
        raise GraphError(
            f"a leaf of shape {node.shape}, {node.dtype}, was given data of shape {t.shape}, "
            f"{t.dtype}, between forward and backward: convert before the forward, as in "
            "model.double() and then loss = ..."
        )
    return t


def _seeds(ys: Sequence[Tensor], gs: Sequence[Any], create_graph: bool) -> list[tuple[Node, Any]]:
    """The nodes of the outputs with their cotangents."""
    if len(ys) != len(gs):
        raise ShapeError(
            f"{len(gs)} grad_outputs for {len(ys)} outputs: give one for each (None for a single "
            "number)"
        )
    for y, g in zip(ys, gs, strict=True):
        if y.node is None and (g is not None or len(ys) == 1):
            raise GraphError(
                f"nothing to differentiate: the output of shape {y.shape}, dtype {y.dtype}, does "
                "not depend on a tensor that requires grad: make one with requires_grad=True "
                "(integer results, statistics, and what no_grad() made carry none)"
            )
    pairs = [(y.node, _seed(y, g, create_graph)) for y, g in zip(ys, gs, strict=True) if y.node]
    if not pairs:
        raise GraphError("nothing to differentiate: no output depends on one that requires grad")
    return pairs


@placed
def _seed(y: Tensor, g: Any, create_graph: bool) -> Any:
    """The cotangent of an output: an array, or a Tensor while derivatives are recorded."""
    place = backend.of(y.array)
    if g is None:
        if y.size != 1:
            raise ShapeError(
                f"an output of shape {y.shape} needs a gradient of that shape: only a single "
                "number can do without"
            )
        g = handle(place.xp.ones(y.shape, y.dtype))
    elif not isinstance(g, Tensor):
        device = None if backend.find(g) is not None else y.device
        g = Tensor(g, device=device)  # a copy: the caller may go on to use the array
    if g.shape != y.shape:
        raise ShapeError(
            f"the gradient has shape {g.shape}, the output {y.shape}: they must be equal "
            "(nothing is broadcast)"
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


@placed
def _owned(
    g: Any, seen: set[int], before: Tensor | None = None, create_graph: bool = False
) -> Tensor:
    """A gradient as a Tensor that shares memory with no other, and not with the caller's seed.

    Added to the one that was there before, if there is one.
    """
    if before is not None:
        g = before + g if create_graph else before.array + g
    t = g if isinstance(g, Tensor) else handle(backend.as_array(g))
    array = t.array
    view = array.base is not None and not isinstance(array.base, Lease)
    if view or id(array) in seen:
        t = clone(t) if t.node is not None else handle(array.copy())
    seen.add(id(t.array))
    return t


def _sequence(value: Any) -> list[Any]:
    if value is None or isinstance(value, Tensor) or hasattr(value, "shape"):
        return [value]
    return list(value) if isinstance(value, Iterable) else [value]
