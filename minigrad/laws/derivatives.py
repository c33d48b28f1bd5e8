"""Laws of derivatives: the numeric ones to order 3, linearity, dtypes, what is not computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gradient import grad
from ..modes import unfused
from ..tensor import Tensor
from ..testing import check_grads
from ..watching import node_of
from .book import law
from .sample import Sample, close, listed, weights
from .values import NARROW


@law
def derivatives_are_the_numeric_ones(s: Sample) -> None:
    """To third order, in float64, in random directions through all inputs at once."""
    if s.floating and any(y.requires_grad for y in s.outputs(*s.tensors())):
        inputs = [t.detach() for t in s.tensors()]
        check_grads(lambda *t: s.outputs(*t), inputs, order=3, seed=s.draw.integer(0, 99))


@law
def the_pullback_is_linear(s: Sample) -> None:
    """J*(3a - 2b) = 3 J*a - 2 J*b."""
    tensors = s.tensors()
    ys = [y for y in s.outputs(*tensors) if y.requires_grad]
    xs = [t for t in tensors if t.requires_grad]
    if not ys:
        return

    def pull(gs: list[Tensor]) -> list[Any]:
        return list(grad(ys, xs, gs, retain_graph=True, allow_unused=True))

    first, second = ([weights(y, seed) for y in ys] for seed in (1, 2))
    mixed = pull([3.0 * a - 2.0 * b for a, b in zip(first, second, strict=True)])
    parts = zip(pull(first), pull(second), strict=True)
    apart = [None if a is None else 3.0 * a - 2.0 * b for a, b in parts]
    close(mixed, apart, s.size, f"pull-back of {s.op.name}")


@law
def gradients_keep_the_dtype_of_their_tensors(s: Sample) -> None:
    """In float16 and float32, at two orders."""
    dtype = s.draw.one_of(*NARROW)
    tensors = s.tensors(dtype)
    first = [g for g in s.gradients(tensors, create_graph=True) if g is not None]
    tracked = [g for g in first if g.requires_grad]
    xs = [t for t in tensors if t.requires_grad]
    second = grad(tracked, xs, [weights(g) for g in tracked], allow_unused=True) if tracked else ()
    for g in (*first, *second):
        assert g is None or g.dtype == dtype, f"a gradient of {s.op.name} in {dtype} is {g.dtype}"


@law
def each_input_alone_has_the_gradient_that_it_has_among_all(s: Sample) -> None:
    """At two orders: what one input's derivative is does not depend on who else asks."""
    if not s.floating:
        return
    position = s.draw.one_of(*s.floating)
    alone, among = s.tensors(only=[position]), s.tensors()
    what = f"input {position} of {s.op.name} alone"
    close(_at_two_orders(s, alone, position), _at_two_orders(s, among, position), s.size, what)


def _at_two_orders(s: Sample, tensors: list[Tensor], position: int) -> list[Tensor]:
    """One input's gradient, and the gradient of that in the same input."""
    x = tensors[position]
    zero = x.detach() * 0.0
    asked = [i for i in s.floating if tensors[i].requires_grad]
    first = s.gradients(tensors, create_graph=True)[asked.index(position)]
    if first is None or not first.requires_grad:
        return [zero if first is None else first, zero]
    (second,) = grad(first, x, weights(first), allow_unused=True)
    return [first, zero if second is None else second]


@law
def gradients_that_nobody_needs_are_not_computed(s: Sample) -> None:
    """A rule runs only for an input that wants its gradient; a joint one is told which do."""
    if len(s.floating) < 2:
        return
    position = s.draw.one_of(*s.floating)
    if s.op.joint is None:
        given = _rules_run(s, position)
    elif "needs" in s.op.asked[0]:
        given = _gradients_given(s, position)
    else:
        return
    assert given <= {position}, f"{s.op.name}: gradients of {given} for input {position}"


def _gradients_given(s: Sample, position: int) -> set[int]:
    """The inputs for which a joint rule gives a gradient when one wants it."""
    y, *others = s.outputs(*s.tensors(only=[position]))
    node = node_of(y)
    if others or node is None:
        return set()
    found = s.op.pull(weights(y).array, node.saved, node.parents)
    return {i for i, g in enumerate(found) if g is not None}


def _rules_run(s: Sample, position: int) -> set[int]:
    """The inputs whose rules run when one wants its gradient."""
    ran: list[int] = []
    space, rules = s.op._space, list(s.op.rules)
    try:
        for i, rule in enumerate(rules):
            if rule is not None:
                space[f"rule{i}"] = _counted(rule, i, ran)
        s.gradients(s.tensors(only=[position]))
    finally:
        space.update({f"rule{i}": rule for i, rule in enumerate(rules)})
    return set(ran)


def _counted(rule: Callable[..., Any], i: int, ran: list[int]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        ran.append(i)
        return rule(*args)

    return run


@law
def a_fused_op_is_its_reference(s: Sample) -> None:
    """At orders 0 to 3; in every dtype, what carries no gradient too."""
    if s.op.reference is None:
        return
    for dtype in (None, s.draw.one_of(*NARROW)):
        ours = listed(s.call(*s.tensors(dtype)))
        with unfused():
            meant = listed(s.call(*s.tensors(dtype)))
        what = f"{s.op.name} and its reference, {dtype or 'float64'}"
        assert [y.dtype for y in ours] == [y.dtype for y in meant], f"{what}: dtypes differ"
        close(ours, meant, s.size, what)
    fused = _tower(s)
    with unfused():
        composed = _tower(s)
    for k, (some, others) in enumerate(zip(fused, composed, strict=True)):
        close(some, others, s.size, f"{s.op.name} and its reference, order {k}")


def _tower(s: Sample) -> list[list[Any]]:
    """Outputs, then the gradients of a weighted sum of them, and so on to order 3."""
    tensors = s.tensors()
    xs = [t for t in tensors if t.requires_grad]
    level = s.outputs(*tensors)
    levels = [level]
    for k in (1, 2, 3):
        tracked = [y for y in level if y is not None and y.requires_grad]
        if not tracked:
            break
        seeds = [weights(y, k) for y in tracked]
        found = grad(tracked, xs, seeds, create_graph=True, allow_unused=True)
        level = [x * 0.0 if g is None else g for x, g in zip(xs, found, strict=True)]
        levels.append(level)
    return levels
