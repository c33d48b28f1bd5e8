"""Checkpointing: run a function without keeping its intermediates, and run it anew in backward.

The call becomes one node, a primitive whose rule is the pull-back of the function itself: the rule
runs the function again, recorded, and sweeps that.  Its inputs are the tensors at which the first
run's graph ended, arguments and parameters that the function closes over alike; so `grad` and
`backward` find every path, and a recorded rule has derivatives of every order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import backend, random
from .backend import Array
from .backend.several import placed
from .calling import several
from .errors import GraphError
from .graph import Leaf, Node, tick
from .modes import Switch, recomputing, recording
from .op import clone
from .sweep import leading_to, sweep
from .tensor import Tensor, handle
from .trees import leaves, mapped


def checkpoint(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`f(*args, **kwargs)` without its intermediates, which backward computes anew.

    A chain of n layers in √n checkpoints needs memory for 2√n layers, and one more forward
    (Griewank and Walther, "Algorithm 799: revolve", 2000; Chen et al., "Training Deep Nets with
    Sublinear Memory Cost", 2016).  Derivatives are those of the plain call, to any order.

    What is kept are the arguments and the outputs.  In backward f runs in the modes of the call
    (`no_grad`, `unfused`, `kernels`), draws from `mg.random` what it drew, and BatchNorm's running
    statistics do not move again.

    Args:
        f: a function or a module.  Gradients flow to the tensors among its arguments, also inside
            tuples, lists and dicts, and to those that it closes over, such as parameters.

    Returns:
        What f returns.  Results without a gradient (integers, numbers) are passed on.

    Raises:
        GraphError: in backward, if f does not do again what it did: an argument or a parameter was
            changed in between, a module's mode, or f draws from another generator.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> w = mg.tensor(3.0, requires_grad=True)
        >>> y = mg.func.checkpoint(lambda x: (w * x).exp().log(), x)
        >>> y.sum().backward()
        >>> x.grad, w.grad
        (tensor([3., 3.]), tensor(3.))
    """
    if not recording.get():
        return f(*args, **kwargs)
    given = mapped(_same, (args, kwargs))
    context, state = copy_context(), random.get_rng_state()
    start = tick()
    outputs = f(*args, **kwargs)
    made = _made_since(start, outputs)
    reached = boundary([y.node for y in made], start)
    call = _Call(f, given, context, state, reached, _held_by(reached), [y.array for y in made])
    ys = several(_Checkpoint, tuple(call.outputs), (call, call.values()), reached)
    new = dict(zip(map(id, made), ys, strict=True))
    return mapped(lambda leaf: new.get(id(leaf), leaf), outputs)


def boundary(nodes: Collection[Node | None], start: int) -> tuple[Node, ...]:
    """Where the graph of these nodes that was recorded since `start` ends.

    That is at older nodes, and at younger leaves that somebody still holds: of the others nobody
    can ask a gradient.
    """
    inside = _recorded_since(nodes, start)
    ends = itertools.chain(nodes, *(node.parents for node in inside))
    return tuple(dict.fromkeys(end for end in ends if end is not None and _is_outside(end, start)))


def _recorded_since(nodes: Iterable[Node | None], start: int) -> Iterable[Node]:
    """The ancestors of these nodes, and themselves, that were recorded since `start`."""
    seen: dict[Node, None] = {}  # a set, in an order that is the same in every run
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node is not None and node.id > start and node not in seen:
            seen[node] = None
            stack.extend(node.parents)
    return seen


def _is_outside(node: Node, start: int) -> bool:
    return node.id < start or (isinstance(node, Leaf) and node.tensor() is not None)


def _made_since(start: int, outputs: Any) -> list[Tensor]:
    """The results among the outputs that have a gradient; other leaves of them are passed on."""
    tensors = {id(t): t for t in leaves(outputs) if isinstance(t, Tensor) and not t.is_leaf}
    return [t for t in tensors.values() if t.node is not None and t.node.id > start]


def _same(leaf: Any) -> Any:
    """Another handle for the same value, which stays it when the first becomes something else."""
    return handle(leaf.array, leaf.node) if isinstance(leaf, Tensor) else leaf


@dataclass(eq=False)
class _Call:
    """What it takes to do a call again, and to see that it came out the same."""

    f: Callable[..., Any]
    given: tuple[tuple[Any, ...], dict[str, Any]]
    context: Context  # holds every switch, since each is a ContextVar
    random_state: Tensor
    reached: tuple[Node, ...]
    parameters: dict[Node, Array]
    outputs: list[Array]

    def values(self) -> tuple[Array, ...]:
        """The arrays that nobody may write to before the call is done again."""
        arguments = [t.array for t in leaves(self.given) if isinstance(t, Tensor)]
        return (*arguments, *self.parameters.values(), *self.outputs)

    def again(self) -> tuple[list[Node], list[Tensor]]:
        """Copies of the nodes that were reached, and outputs that depend on these copies."""
        if any(a is not self.parameters[leaf] for leaf, a in _held_by(self.reached).items()):
            raise _changed("a parameter's data was replaced")
        entries = {node: _copied(node) for node in self.reached}
        before, start = random.get_rng_state(), tick()
        random.set_rng_state(self.random_state)
        try:
            made = _made_since(start, self.context.copy().run(self._rerun))
        finally:
            random.set_rng_state(before)
        if entries.keys() != set(boundary([y.node for y in made], start)):
            raise _changed("it used other tensors that require grad")
        if len(made) != len(self.outputs) or not all(map(_close, made, self.outputs)):
            raise _changed("it gave other values")
        for node in _recorded_since([y.node for y in made], start):
            # a tensor that was reached may lead to another: the sweep is to end at each
            node.parents = tuple([entries.get(p, p) for p in node.parents])  # type: ignore[arg-type]
        return list(entries.values()), made

    def _rerun(self) -> Any:
        args, kwargs = mapped(_same, self.given)
        with Switch(recomputing, True):
            return self.f(*args, **kwargs)


class _Checkpoint:
    """One call as the sweep sees it: an op, with `pull` for its joint rule."""

    name, kept, outputs, constant = "checkpoint", ("call", "values"), None, ()
    variadic, inputs = True, ()

    @staticmethod
    def pull(g: Any, saved: tuple[Any, ...], needs: tuple[Node | None, ...]) -> list[Any]:
        """The pull-back of the call: recorded if g is, as the rules that it sweeps are."""
        gs = g if isinstance(g, tuple) else (g,)
        recorded = isinstance(gs[0], Tensor)
        entries, ys = saved[0].again()
        wanted = {entry for entry, need in zip(entries, needs, strict=True) if need is not None}
        seeds = [(y.node, g) for y, g in zip(ys, gs, strict=True)]
        path = leading_to(wanted, [node for node, _ in seeds])
        found = sweep(seeds, wanted, path, create_graph=recorded, retain_graph=recorded)
        return [found.get(entry) for entry in entries]


def _held_by(nodes: Iterable[Node]) -> dict[Node, Array]:
    """The arrays of leaves that are alive."""
    alive = {n: n.tensor() for n in nodes if isinstance(n, Leaf)}
    return {leaf: t.array for leaf, t in alive.items() if t is not None}


def _copied(node: Node) -> Node:
    """The node of a copy of a tensor, made of its node alone."""
    copy = Node()
    copy.id, copy.op, copy.parents, copy.saved = tick(), clone.op, (node,), ()
    copy.shape, copy.dtype = node.shape, node.dtype
    return copy


@placed
def _close(y: Tensor, before: Array) -> bool:
    """Equal but for roundings, whose order a device may not repeat; another mask is far off."""
    if y.shape != before.shape or y.dtype != before.dtype:
        return False
    xp = backend.of(before).xp
    scale = float(xp.nan_to_num(abs(before)).max()) if before.size else 0.0
    allowed = scale * float(np.finfo(before.dtype).eps) ** 0.5
    return bool(xp.allclose(y.array, before, rtol=0, atol=allowed, equal_nan=True))


def _changed(what: str) -> GraphError:
    return GraphError(
        f"checkpoint: run anew for backward, f did not do what it did before: {what}. Call "
        "backward() before changing parameters, modes or data that f uses, and draw with mg's "
        "generator only"
    )
