"""A fully connected layer: y = x wᵀ + b and its three derivatives, beside other libraries.

The limit is the arithmetic at the rate that NumPy's product of 1024³ reaches in the same rounds;
"NumPy by hand" is the four calls that it takes without any engine.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import _peers
import numpy as np
from _cases import Candidate, Case, Subject
from _forms import Problem, minigrad_forms, peer_forms, product_limit, with_targets
from _harness import Stopwatch
from _report import Report

import minigrad.nn.functional as F

# rows, inputs, outputs
SIZES = [
    (64, 128, 128),
    (128, 784, 256),
    (256, 512, 512),
    (1024, 1024, 1024),
    (4096, 1024, 1024),
]
TARGETS = 0.95, 0.60  # NumPy and kernels, from 256 outputs on


def formula(x: Any, weight: Any, bias: Any) -> Any:
    """In libraries with NumPy's operators."""
    return x @ weight.T + bias


def by_hand(given: Problem) -> Candidate:
    """What is left when nothing is recorded."""
    (x, weight, bias), dy = given.arrays, given.dy

    def forward() -> Any:
        y = x @ weight.T
        y += bias
        return y

    def backward() -> list[np.ndarray]:
        return [dy @ weight, dy.T @ x, dy.sum(0)]

    def both() -> list[np.ndarray]:
        return [forward(), *backward()]

    return Candidate({"forward": forward, "backward": backward, "both": both}, both)


def case(size: tuple[int, int, int]) -> Case:
    """All forms on the same data."""
    rows, inputs, outputs = size
    rng = np.random.default_rng(0)
    shapes = (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)
    *arrays, dy = (rng.standard_normal(shape, "float32") for shape in shapes)
    given = Problem(arrays, dy, {"backward": (0, 1, 2)}, bilinear=True)
    targets = TARGETS if outputs >= 256 else (None, None)
    functions = dict.fromkeys(_peers.NAMES, formula)
    if _peers.torch is not None:
        functions["torch"] = _peers.torch.nn.functional.linear
    return {
        **with_targets(minigrad_forms(given, F.linear), *targets),
        "NumPy by hand": by_hand(given),
        **peer_forms(given, functions),
        **product_limit(given.total, 6 * rows * inputs * outputs),
    }


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All sizes, or the smallest."""
    sizes = SIZES[: 1 if quick else None]
    cases = {"{}×{} → {}".format(*size): partial(case, size) for size in sizes}
    table, chart = Subject(cases, ["forward", "backward", "both"]).measure(watch)
    return Report(__doc__, [table], chart)
