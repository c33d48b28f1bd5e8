"""Laws of derivatives: the numeric ones to order 3, linearity, dtypes, what is not computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from .. import dtypes
from ..gradient import grad
from ..modes import unfused
from ..tensor import Tensor
from ..testing import check_grads
from ..watching import node_of
from .book import law
from .sample import OURS, Sample, close, listed, weights
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
def the_pullback_of_the_pullback_is_the_push_forward(s: Sample) -> None:
    """⟨u, J w⟩ = ⟨J*u, w⟩; J w is the slope of J* in its cotangent, which is the same even at 0."""
    tensors = s.tensors()
    ys = [y for y in s.outputs(*tensors) if y.requires_grad]
    xs = [t for t in tensors if t.requires_grad]
    if not ys:
        return
    us, ws = [weights(y, 1) for y in ys], [weights(x, 2) for x in xs]
    back = grad(ys, xs, us, retain_graph=True, allow_unused=True)
    zeros = [(u * 0.0).requires_grad_() for u in us]
    pulled = grad(ys, xs, zeros, create_graph=True, allow_unused=True)
    again = [(p, w) for p, w in zip(pulled, ws, strict=True) if p is not None and p.requires_grad]
    pushed: Sequence[Any] = [None] * len(us)
    if again:
        pushed = grad([p for p, _ in again], zeros, [w for _, w in again], allow_unused=True)
    (left, _), (right, scale) = _product(pushed, us), _product(back, ws)
    close([left, scale], [right, scale], s.size, f"push-forward of {s.op.name}")


def _product(gs: Sequence[Any], ws: Sequence[Tensor]) -> tuple[Any, Any]:
    """⟨g, w⟩, where no gradient counts as 0, and the size of its terms."""
    terms = [(g * w).numpy().ravel() for g, w in zip(gs, ws, strict=True) if g is not None]
    every = np.concatenate([np.zeros(1), *terms])
    return every.sum(), abs(every).sum()


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
def some_inputs_have_the_gradients_that_they_have_among_all(s: Sample) -> None:
    """At two orders: what an input's derivative is does not depend on who else asks."""
    if len(s.floating) < 2:
        return
    some = s.some()
    alone, among = s.tensors(only=some), s.tensors()
    what = f"inputs {some} of {s.op.name} alone"
    close(_at_two_orders(s, alone, some), _at_two_orders(s, among, some), s.size, what)


def _at_two_orders(s: Sample, tensors: list[Tensor], some: list[int]) -> list[Tensor]:
    """Some inputs' gradients, and the gradients of these in the same inputs."""
    xs = [tensors[i] for i in some]
    asked = [i for i in s.floating if tensors[i].requires_grad]
    found = s.gradients(tensors, create_graph=True)
    first = _or_zeros([found[asked.index(i)] for i in some], xs)
    tracked = [g for g in first if g.requires_grad]
    second: Sequence[Tensor | None] = [None] * len(xs)
    if tracked:
        second = grad(tracked, xs, [weights(g) for g in tracked], allow_unused=True)
    return [*first, *_or_zeros(second, xs)]


def _or_zeros(gs: Sequence[Tensor | None], xs: Sequence[Tensor]) -> list[Tensor]:
    return [x.detach() * 0.0 if g is None else g for g, x in zip(gs, xs, strict=True)]


@law
def what_has_a_value_has_derivatives(s: Sample) -> None:
    """A NaN among the values raises nothing backward that it does not raise forward."""
    if not s.floating:
        return
    position, arrays = s.draw.one_of(*s.floating), list(s.arrays)
    odd = arrays[position] = arrays[position].copy()
    place = s.draw.integer(0, max(odd.size - 1, 0))
    odd.flat[place : place + 1] = np.nan
    beside = replace(s, arrays=tuple(arrays))
    with np.errstate(all="ignore"):
        try:
            beside.call(*beside.tensors())
        except OURS:
            return
        for how in (nullcontext, unfused):
            with how():
                _at_two_orders(beside, beside.tensors(), beside.floating)


@law
def gradients_that_nobody_needs_are_not_computed(s: Sample) -> None:
    """A rule runs only for an input that wants its gradient; a joint one is told which do."""
    if len(s.floating) < 2:
        return
    some = s.some()
    if s.op.joint is None:
        given = _rules_run(s, some)
    elif "needs" in s.op.asked[0]:
        given = _gradients_given(s, some)
    else:
        return
    assert given <= {*some}, f"{s.op.name}: gradients of {given} for inputs {some}"


def _gradients_given(s: Sample, some: list[int]) -> set[int]:
    """The inputs for which a joint rule gives a gradient when some want one."""
    ys = [y for y in s.outputs(*s.tensors(only=some)) if y.requires_grad]
    node = node_of(tuple(ys))
    if node is None:
        return set()
    gs = tuple([weights(y).array for y in ys])
    found = s.op.pull(gs if len(gs) > 1 else gs[0], node.saved, node.parents)
    return {i for i, g in enumerate(found) if g is not None}


def _rules_run(s: Sample, some: list[int]) -> set[int]:
    """The inputs whose rules run when some want their gradients."""
    ran: list[int] = []
    space, rules = s.op._space, list(s.op.rules)
    try:
        for i, rule in enumerate(rules):
            if rule is not None:
                space[f"rule{i}"] = _counted(rule, i, ran)
        s.gradients(s.tensors(only=some))
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
    """At orders 0 to 3, at 0 too; in every dtype, what carries no gradient too."""
    if s.op.reference is None:
        return
    for dtype in (None, s.draw.one_of(*NARROW), *[dtypes.int64] * s.op.method):
        try:
            ours = listed(s.call(*s.tensors(dtype, only=())))
        except OURS:
            continue  # which takes no integers
        with unfused():
            meant = listed(s.call(*s.tensors(dtype, only=())))
        what = f"{s.op.name} and its reference, {dtype or 'float64'}"
        assert [y.dtype for y in ours] == [y.dtype for y in meant], f"{what}: dtypes differ"
        close(ours, meant, s.size, what)
    for each in (s, s.at_zero()):
        fused = _tower(each)
        with unfused():
            composed = _tower(each)
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
