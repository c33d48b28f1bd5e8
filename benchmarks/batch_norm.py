"""BatchNorm in training mode: composed of primitives, and as one node, beside other libraries.

The limit is what the least traffic takes (forward reads x and writes y, backward reads x and dy and
writes dx) at the rate of copying an array of that size.  "Nodes" are the graph's, "kept" is what
they keep alive for backward beyond input and parameters.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import _peers
import numpy as np
from _cases import Case, Subject
from _forms import Problem, copy_limit, minigrad_forms, peer_forms, torch_form, with_targets
from _harness import Run, Stopwatch
from _peers import numpy_like
from _report import Report

import minigrad.nn.functional as F
from minigrad.graph import owner

EPS = 1e-5
# what each shape's NumPy form and kernels should reach, relative to PyTorch's best
TARGETS = {
    (256, 512): (2.8, 0.55),
    (4096, 1024): (6.0, 1.0),
    (128, 256, 8, 8): (3.3, 0.40),
    (64, 64, 32, 32): (2.8, 0.40),
    (32, 64, 68, 68): (2.6, 0.50),
}
PASSES = 5  # the least: x, y, x, dy, dx


def function(norm: Any) -> Any:
    """As PyTorch and minigrad write it."""
    return lambda x, weight, bias: norm(x, None, None, weight, bias, training=True, eps=EPS)


def composed(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    """By its formula, in any library with NumPy's names."""
    axes = (0, *range(2, x.ndim))
    each = (1, -1) + (1,) * (x.ndim - 2)
    centred = x - xp.mean(x, axes, keepdims=True)
    var = xp.mean(centred * centred, axes, keepdims=True)
    return centred / xp.sqrt(var + EPS) * weight.reshape(each) + bias.reshape(each)


def problem(shape: tuple[int, ...]) -> Problem:
    """Weight and bias that are not 1 and 0."""
    x, dy = np.random.default_rng(0).standard_normal((2, *shape), "float32")
    affine = np.random.default_rng(1).uniform(0.5, 1.5, (2, shape[1])).astype("float32")
    return Problem([x, *affine], dy, {"backward": (0, 1, 2)})


def case(shape: tuple[int, ...]) -> Case:
    """All forms on the same data."""
    given = problem(shape)
    found = with_targets(minigrad_forms(given, function(F.batch_norm)), *TARGETS[shape])
    for candidate in found.values():
        with candidate.inside():
            candidate.cells = graph_size(candidate.runs["forward"]())
    if (torch := _peers.torch) is not None:
        found["PyTorch"] = torch_form(given, function(torch.nn.functional.batch_norm))
        found["PyTorch composed"] = torch_form(given, partial(composed, torch))
        for name in ("PyTorch", "PyTorch composed"):
            found[name].cells = torch_graph_size(found[name].runs["forward"])
    found |= peer_forms(given, {name: partial(composed, xp) for name, xp in numpy_like().items()})
    return found | copy_limit(given.total, given.arrays[0], PASSES)


def graph_size(y: Any) -> dict[str, str]:
    """Nodes behind y, leaves left out, and what they keep alive beside the leaves' own arrays."""
    stack, nodes, leaves = [y.node], set(), set()
    while stack:
        node = stack.pop()
        if node is not None:
            (leaves if node.op is None else nodes).add(node)
            stack += [parent for parent in node.parents if parent not in nodes]
    own = {id(owner(leaf.tensor().array)) for leaf in leaves}
    saved = [value for node in nodes for value in node.saved]
    flat = [part for value in saved for part in (value if isinstance(value, tuple) else (value,))]
    memory = {id(owner(a)): owner(a).nbytes for a in flat if isinstance(a, np.ndarray)}
    return sizes(len(nodes), sum(size for key, size in memory.items() if key not in own))


def sizes(nodes: int, kept: int) -> dict[str, str]:
    """As the table has them."""
    return {"nodes": str(nodes), "kept MiB": f"{kept / 2**20:.2f}"}


def torch_graph_size(forward: Run) -> dict[str, str]:
    """The same of PyTorch's graph, by its hooks of what is saved."""
    saved: list[Any] = []

    def note(tensor: Any) -> Any:
        saved.append(tensor)
        return tensor

    with _peers.torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        y = forward()
        stack, nodes, own = [y.grad_fn], set(), set()
        while stack:
            node = stack.pop()
            if hasattr(node, "variable"):
                own.add(node.variable.data_ptr())
            else:
                nodes.add(node)
                stack += [each for each, _ in node.next_functions if each is not None]
        memory = {t.data_ptr(): t.untyped_storage().nbytes() for t in saved}
    return sizes(len(nodes), sum(size for key, size in memory.items() if key not in own))


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All shapes, or the smallest."""
    shapes = list(TARGETS)[: 1 if quick else None]
    cases = {"×".join(map(str, shape)): partial(case, shape) for shape in shapes}
    subject = Subject(cases, ["forward", "backward", "both"], columns=["nodes", "kept MiB"])
    table, chart = subject.measure(watch)
    return Report(__doc__, [table], chart)
