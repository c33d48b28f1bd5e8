"""What the engine itself costs: microseconds of an op, of a node going back, of a module's call.

The arrays are so small that NumPy's own work is little; "NumPy alone" is that work.  Chains are 100
products one after another, and their figures are for one of them.  Below: seconds from starting
Python until something is imported and has run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import _peers
import numpy as np
from _cases import Candidate, Case, Subject
from _forms import minigrad_contexts
from _harness import Stopwatch
from _report import Report, Table

import minigrad as mg
from minigrad import nn

LENGTH = 100
MOST_IMPORTS = 3  # rounds: they take seconds
Make = Callable[[], Callable[[], object]]


def chain(x: Any, y: Any) -> Any:
    """`LENGTH` products."""
    for _ in range(LENGTH):
        x = x * y
    return x


def operands(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """1 and 1: a chain neither grows nor fades."""
    return np.ones(shape, "float32"), np.ones(shape, "float32")


def ours(make: Make, scale: float) -> Case:
    """minigrad, without kernels and with them; nothing here is fused."""
    contexts = {n: c for n, c in minigrad_contexts().items() if n != "minigrad composed"}
    found = {}
    for name, inside in contexts.items():
        with inside():
            found[name] = Candidate({"call": make()}, inside=inside, scale=scale)
    return found


def theirs(makes: dict[str, Make], scale: float) -> Case:
    """The libraries that are installed, of those in the table."""
    return {
        _peers.NAMES[name]: Candidate({"call": make()}, scale=scale)
        for name, make in makes.items()
        if getattr(_peers, name) is not None
    }


def alone(run: Callable[[], object], scale: float = 1.0) -> Case:
    """The floor."""
    return {"NumPy alone": Candidate({"call": run}, scale=scale)}


def leaves(library: Any, shape: tuple[int, ...]) -> list[Any]:
    """Operands that are differentiated, in minigrad or PyTorch."""
    return [library.tensor(a, requires_grad=True) for a in operands(shape)]


def forward(shape: tuple[int, ...], length: int) -> Case:
    """Recorded products: one, or a chain."""
    function = chain if length > 1 else lambda x, y: x * y

    def run(make: Callable[[], Any]) -> Make:
        return lambda: partial(function, *make())

    return {
        **alone(partial(function, *operands(shape)), 1 / length),
        **ours(run(lambda: leaves(mg, shape)), 1 / length),
        **theirs(
            {
                "torch": run(lambda: leaves(_peers.torch, shape)),
                "mygrad": run(lambda: map(_peers.mygrad.tensor, operands(shape))),
            },
            1 / length,
        ),
    }


def backward(shape: tuple[int, ...]) -> Case:
    """A chain's derivatives by both operands, for one node of it."""

    def swept(library: Any, grad: Callable[..., Any]) -> Callable[[], object]:
        inputs = leaves(library, shape)
        y, dy = chain(*inputs), library.tensor(operands(shape)[0])
        return lambda: grad(y, inputs, dy, retain_graph=True)

    def traced() -> Callable[[], object]:
        back, _ = _peers.autograd.make_vjp(lambda pair: chain(*pair))(operands(shape))
        return partial(back, operands(shape)[0])

    x, y = operands(shape)

    def products() -> None:
        g, total = x, x
        for _ in range(LENGTH):
            total = total + g * x
            g = g * y

    return {
        **alone(products, 1 / LENGTH),
        **ours(lambda: swept(mg, mg.grad), 1 / LENGTH),
        **theirs(
            {
                "torch": lambda: swept(_peers.torch, _peers.torch.autograd.grad),
                "autograd": traced,
            },
            1 / LENGTH,
        ),
    }


def module(layer: Callable[[Any], Any], *shape: int) -> Case:
    """The call of a module."""
    x = operands(shape)[0]

    def called(library: Any, layers: Any) -> Callable[[], object]:
        return partial(layer(layers), library.tensor(x))

    torch = _peers.torch
    return {
        **ours(lambda: called(mg, nn), 1.0),
        **theirs({"torch": lambda: called(torch, torch.nn)}, 1.0),
    }


def unrecorded(shape: tuple[int, ...]) -> Case:
    """A product of tensors that require no gradient."""
    x, y = operands(shape)
    pairs = {"torch": _peers.torch, "mygrad": _peers.mygrad}
    multiply = {
        name: lambda library=library: partial(lambda a, b: a * b, *map(library.tensor, (x, y)))
        for name, library in pairs.items()
    }
    if _peers.mygrad is not None:
        constant = partial(_peers.mygrad.tensor, constant=True)
        multiply["mygrad"] = lambda: partial(lambda a, b: a * b, constant(x), constant(y))
    return {
        **alone(partial(np.multiply, x, y)),
        **ours(lambda: partial(lambda a, b: a * b, mg.tensor(x), mg.tensor(y)), 1.0),
        **theirs(multiply, 1.0),
    }


CASES: dict[str, Callable[[], Case]] = {
    "x * y, 1 number": partial(forward, (1,), 1),
    "x * y, 64×128": partial(forward, (64, 128), 1),
    "x * y, 1 number, nothing recorded": partial(unrecorded, (1,)),
    "a chain's forward, 1 number": partial(forward, (1,), LENGTH),
    "a chain's forward, 64×128": partial(forward, (64, 128), LENGTH),
    "a chain's backward, 1 number": partial(backward, (1,)),
    "a chain's backward, 64×128": partial(backward, (64, 128)),
    "nn.Identity": partial(module, lambda nn: nn.Identity(), 1, 1),
    "nn.Linear(1, 1)": partial(module, lambda nn: nn.Linear(1, 1), 1, 1),
    "nn.BatchNorm1d(8), 4×8": partial(module, lambda nn: nn.BatchNorm1d(8), 4, 8),
}

# ---- imports

FIRST_STEP = (
    "import minigrad as mg; from minigrad import nn, optim; x = mg.randn(256, 512); "
    "nn.BatchNorm1d(512)(x).sum().backward()"
)
OFF = "import os; os.environ['MINIGRAD_KERNELS'] = 'off'; "
IMPORTS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "minigrad": "import minigrad",
    "minigrad, nn, optim": "import minigrad, minigrad.nn, minigrad.optim",
    "and a first BatchNorm, without kernels": OFF + FIRST_STEP,
    "and a first BatchNorm, with kernels on disk": FIRST_STEP,
}


def imports(rounds: int, quick: bool) -> Table:
    """Seconds of fresh processes."""
    texts = dict(list(IMPORTS.items())[:3]) if quick else dict(IMPORTS)
    if not quick:
        texts |= {name: f"import {name}" for name in _peers.NAMES if getattr(_peers, name)}

    def started(text: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", text], check=True)

    watch = Stopwatch(rounds, pinned=False)  # a process would inherit it
    times = watch.compare({name: started(text) for name, text in texts.items()})
    table = Table(["import", "seconds", "÷ numpy"], left=1)
    for name, time in times.items():
        table.add(name, f"{time.seconds:.3f}", f"{time.ratios['numpy']:.2f}")
    return table


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All cases and imports, or the first of each."""
    cases = dict(list(CASES.items())[: 1 if quick else None])
    table, chart = Subject(cases, ["call"], unit="µs", large=False).measure(watch)
    return Report(__doc__, [table, imports(min(watch.rounds, MOST_IMPORTS), quick)], chart)
