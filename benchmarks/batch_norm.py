"""BatchNorm in training mode: composed of primitives against the fused node, beside PyTorch.

For each shape and form: milliseconds forward and backward, their sum as a ratio to PyTorch as users
get it ("default") and with an allocator that keeps its memory ("best"); the nodes of the graph; the
MiB that they keep alive for backward beyond input and parameters; and the largest difference of y
and dx from the composed form, relative to their scale.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _harness import Timing, compare, environment, keep_memory, torch

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.graph import owner

SHAPES = [(256, 512), (4096, 1024), (128, 256, 8, 8), (64, 64, 32, 32), (32, 64, 68, 68)]
EPS = 1e-5


@dataclass
class Form:
    """One way to compute BatchNorm on fixed data: forward makes a graph, backward sweeps one."""

    forward: Callable[[], object]
    backward: Callable[[object], list[np.ndarray]]
    nodes: int
    kept: int
    y: np.ndarray
    dx: np.ndarray


def minigrad_form(fused: bool, x: np.ndarray, dy: np.ndarray) -> Form:
    """`F.batch_norm`, fused or composed."""
    channels = x.shape[1]
    inputs = [mg.tensor(a, requires_grad=True) for a in (x, *parameters(channels))]
    seed = mg.tensor(dy)

    def forward() -> mg.Tensor:
        return F.batch_norm(inputs[0], None, None, *inputs[1:], training=True, eps=EPS, fused=fused)

    def backward(y: mg.Tensor) -> list[np.ndarray]:
        return [g.numpy() for g in mg.grad(y, inputs, seed, retain_graph=True)]

    y = forward()
    nodes, kept = graph_size(y, inputs)
    return Form(forward, backward, nodes, kept, y.numpy(), backward(y)[0])


def torch_form(x: np.ndarray, dy: np.ndarray) -> Form:
    """PyTorch's own fused operator."""
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, *parameters(x.shape[1]))]
    seed = torch.tensor(dy)
    kept: dict[int, int] = {}

    def forward() -> torch.Tensor:
        return torch.nn.functional.batch_norm(
            inputs[0], None, None, *inputs[1:], training=True, eps=EPS
        )

    def backward(y: torch.Tensor) -> list[np.ndarray]:
        return list(torch.autograd.grad(y, inputs, seed, retain_graph=True))

    own = {t.data_ptr() for t in inputs}

    def pack(t: torch.Tensor) -> torch.Tensor:
        if t.data_ptr() not in own:
            kept[t.data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = forward()
    return Form(
        forward,
        backward,
        torch_nodes(y.grad_fn),
        sum(kept.values()),
        y.detach().numpy(),
        backward(y)[0].numpy(),
    )


def torch_nodes(node: object) -> int:
    """Nodes behind one of PyTorch's, leaves left out (this graph is a tree)."""
    behind = [parent for parent, _ in node.next_functions if parent is not None]
    return 1 + sum(torch_nodes(parent) for parent in behind if parent.next_functions)


def parameters(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias that are not 1 and 0."""
    rng = np.random.default_rng(1)
    return tuple(rng.uniform(0.5, 1.5, (2, channels)).astype("float32"))


def graph_size(y: mg.Tensor, inputs: list[mg.Tensor]) -> tuple[int, int]:
    """Nodes behind y, leaves left out, and the bytes that they keep alive beside the inputs."""
    own = {id(owner(t.array)) for t in inputs}
    memory: dict[int, int] = {}
    stack, nodes = [y.node], set()
    while stack:
        node = stack.pop()
        if node is None or node.op is None or node in nodes:
            continue
        nodes.add(node)
        stack.extend(node.parents)
        for value in node.saved:
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray) and id(owner(array)) not in own:
                    memory[id(owner(array))] = owner(array).nbytes
    return len(nodes), sum(memory.values())


def forms(shape: tuple[int, ...]) -> dict[str, Form]:
    """All forms on the same data."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype("float32")
    found = {"composed": minigrad_form(False, x, dy), "fused": minigrad_form(True, x, dy)}
    return found | ({"PyTorch": torch_form(x, dy)} if torch is not None else {})


def time_forms(found: dict[str, Form], rounds: int) -> tuple[dict[str, Timing], ...]:
    """Forward alone, backward alone, both."""
    graphs = {name: form.forward() for name, form in found.items()}
    return (
        compare({n: f.forward for n, f in found.items()}, rounds),
        compare({n: lambda f=f, n=n: f.backward(graphs[n]) for n, f in found.items()}, rounds),
        compare({n: lambda f=f: f.backward(f.forward()) for n, f in found.items()}, rounds),
    )


def difference(form: Form, reference: Form) -> float:
    """The largest difference of y and of dx, relative to the largest value of each."""
    pairs = ((form.y, reference.y), (form.dx, reference.dx))
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def main() -> None:
    """Measure everything, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians of")
    parser.add_argument("--quick", action="store_true", help="the smallest shape, one round")
    options = parser.parse_args()
    shapes, rounds = (SHAPES[:1], 1) if options.quick else (SHAPES, options.rounds)
    default = {shape: time_forms(forms(shape), rounds) for shape in shapes}
    has_best = torch is not None and keep_memory()
    print(environment(), end="\n\n")
    if torch is None:
        print("PyTorch is not installed: its rows and the ratios are left out\n")
    print(
        "| shape | form | forward ms | backward ms | ×PyTorch default | ×PyTorch best | nodes "
        "| kept MiB | largest difference |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for shape in shapes:
        found = forms(shape)
        best = time_forms(found, rounds)[2] if has_best else None
        forward, backward, both = default[shape]
        for name, form in found.items():
            ratios = [t[name].ratios.get("PyTorch") if t else None for t in (both, best)]
            cells = [
                "×".join(map(str, shape)),
                name,
                f"{1e3 * forward[name].seconds:.3f}",
                f"{1e3 * backward[name].seconds:.3f}",
                *("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
                str(form.nodes),
                f"{form.kept / 2**20:.2f}",
                f"{difference(form, found['composed']):.1e}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
