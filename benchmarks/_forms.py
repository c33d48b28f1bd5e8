"""One function and its derivatives in every library: forward, backward in parts, and all at once.

The caller writes the function with each library's own names; here is how each library is asked
for derivatives, once for all subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import _peers
import numpy as np
from _cases import Candidate, Case
from _harness import Inside, Run

import minigrad as mg
from minigrad import backend

Function = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """y = f(*arrays), and the derivatives of ⟨y, dy⟩.

    Attributes:
        parts: phases of backward alone, and by position the inputs whose derivatives each gives.
        total: the name of the phase that is forward and all derivatives.
        bilinear: the derivatives need nothing of the forward (as of a product or a convolution),
            so that JAX can compute them alone too.
    """

    arrays: Sequence[np.ndarray]
    dy: np.ndarray
    parts: dict[str, tuple[int, ...]]
    total: str = "both"
    bilinear: bool = False

    @property
    def phases(self) -> list[str]:
        """All of them, in the order of the columns."""
        return ["forward", *self.parts, self.total]


def within(composed: bool = False, kernels: bool = False) -> Inside:
    """Makes the context of a form of minigrad's."""

    def inside() -> ExitStack:
        stack = ExitStack()
        stack.enter_context(mg.kernels(kernels))
        if composed:
            stack.enter_context(mg.unfused())
        return stack

    return inside


def minigrad_contexts() -> dict[str, Inside]:
    """The forms of minigrad, by name."""
    found = {"minigrad composed": within(composed=True), "minigrad NumPy": within()}
    if backend.installed("numba"):
        found["minigrad kernels"] = within(kernels=True)
    return found


def minigrad_forms(problem: Problem, function: Function) -> Case:
    """Composed of primitives, fused in pure NumPy, and fused with kernels."""
    return {
        name: eager_form(mg, mg.grad, problem, function, inside)
        for name, inside in minigrad_contexts().items()
    }


def torch_form(problem: Problem, function: Function) -> Candidate:
    """PyTorch, eagerly."""
    return eager_form(_peers.torch, _peers.torch.autograd.grad, problem, function)


def eager_form(
    library: Any,
    grad: Any,
    problem: Problem,
    function: Function,
    inside: Inside = nullcontext,
    device: str = "cpu",
) -> Candidate:
    """minigrad or PyTorch, whose graph may be swept again."""
    inputs = [library.tensor(a, requires_grad=True, device=device) for a in problem.arrays]
    dy = library.tensor(problem.dy, device=device)
    with inside():
        y = function(*inputs)

    def sweep(wanted: Sequence[int]) -> Callable[[], object]:
        chosen = [inputs[i] for i in wanted]
        return lambda: grad(y, chosen, dy, retain_graph=True)

    def total() -> Any:
        return grad(function(*inputs), inputs, dy)

    return Candidate(
        {
            "forward": lambda: function(*inputs),
            **{part: sweep(wanted) for part, wanted in problem.parts.items()},
            problem.total: total,
        },
        lambda: [y.detach().cpu().numpy(), *(g.cpu().numpy() for g in total())],
        inside,
    )


def jax_form(problem: Problem, function: Function) -> Candidate:
    """JAX, compiled as a whole; each run waits for its results."""
    jax = _peers.jax
    inputs, dy = [jax.numpy.asarray(a) for a in problem.arrays], jax.numpy.asarray(problem.dy)

    def all_of(inputs: Any, dy: Any) -> Any:
        y, back = jax.vjp(function, *inputs)
        return y, back(dy)

    def part_of(wanted: Sequence[int]) -> Any:
        return jax.jit(lambda inputs, dy: [all_of(inputs, dy)[1][i] for i in wanted])

    def run(compiled: Any, *arguments: Any) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(compiled(*arguments))

    total = run(jax.jit(all_of), inputs, dy)
    parts = problem.parts if problem.bilinear else {}
    return Candidate(
        {
            "forward": run(jax.jit(function), *inputs),
            **{part: run(part_of(wanted), inputs, dy) for part, wanted in parts.items()},
            problem.total: total,
        },
        lambda: [np.asarray(each) for each in (lambda y, g: [y, *g])(*total())],
    )


def mygrad_form(problem: Problem, function: Function) -> Candidate:
    """MyGrad, whose graph is gone after one backward."""
    inputs = [_peers.mygrad.tensor(a) for a in problem.arrays]

    def total() -> Any:
        y = function(*inputs)
        y.backward(problem.dy)
        return [y.data, *(each.grad for each in inputs)]

    return Candidate({"forward": lambda: function(*inputs), problem.total: total}, total)


def autograd_form(problem: Problem, function: Function) -> Candidate:
    """HIPS autograd: the derivatives of all inputs at once."""
    inputs = tuple(problem.arrays)

    def forward() -> Any:
        return _peers.autograd.make_vjp(lambda each: function(*each))(inputs)

    def total() -> Any:
        back, y = forward()
        return [y, *back(problem.dy)]

    back, _ = forward()
    every = tuple(range(len(inputs)))
    return Candidate(
        {
            "forward": forward,
            **{
                p: lambda: back(problem.dy)
                for p, wanted in problem.parts.items()
                if wanted == every
            },
            problem.total: total,
        },
        total,
    )


FORMS = {"torch": torch_form, "jax": jax_form, "mygrad": mygrad_form, "autograd": autograd_form}


def peer_forms(problem: Problem, functions: dict[str, Function]) -> Case:
    """Those of the libraries that are installed, under their own names."""
    return {
        _peers.NAMES[library]: FORMS[library](problem, function)
        for library, function in functions.items()
        if getattr(_peers, library) is not None
    }


def with_targets(case: Case, numpy: float | None, kernels: float | None) -> Case:
    """The case, knowing what minigrad should reach in it."""
    for name, target in (("minigrad NumPy", numpy), ("minigrad kernels", kernels)):
        if name in case:
            case[name].target = target
    return case


def copy_limit(
    phase: str, array: np.ndarray, passes: float, copying: Callable[[Any], Run] | None = None
) -> Case:
    """What moving the numbers takes: `passes` over the array, a copy being two.

    Args:
        phase: whose limit it is.
        array: of that size.
        passes: how often each number is read or written, at least.
        copying: makes what copies an array, where that is not on the host.
    """
    if copying is not None:
        run: Run = copying(array)
    elif _peers.torch is not None:
        x = _peers.torch.tensor(array)
        out = x.clone()
        run = partial(out.copy_, x)
    else:
        run = partial(np.copyto, array.copy(), array)
    return {"limit: copying": Candidate({phase: run}, scale=passes / 2)}


def product_limit(phase: str, flops: float) -> Case:
    """What the arithmetic takes at the rate of a large product, NumPy's of 1024³."""
    n = 1024
    a, b = np.random.default_rng(0).standard_normal((2, n, n), "float32")
    run = partial(np.matmul, a, b, out=np.empty((n, n), "float32"))
    return {"limit: 1024³ product": Candidate({phase: run}, scale=flops / (2 * n**3))}
