"""Conv2d: forward, and the derivatives of input (dX) and weight (dW), beside other libraries.

The limit is the arithmetic of the definition at the rate that NumPy's product of 1024³ reaches in
the same rounds; a scheme with fewer multiplications may pass it.  MyGrad refuses a stride that
leaves a remainder, and HIPS autograd has no convolution that could be measured beside these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import _peers
import numpy as np
from _cases import Case, Subject
from _forms import Problem, minigrad_forms, peer_forms, product_limit, with_targets
from _harness import Stopwatch
from _report import Report

import minigrad.nn.functional as F

WIDE = 2.6, 1.5  # what NumPy and kernels should reach with many channels, relative to PyTorch
NARROW = 3.0, 1.0  # and with few, or 1×1


@dataclass(frozen=True)
class Layer:
    """Images and kernels of one case."""

    images: tuple[int, int, int, int]
    channels: int
    kernel: int
    stride: int
    padding: int
    targets: tuple[float, float]


LAYERS = {
    "5×5, one channel: 64×1×28×28 → 8": Layer((64, 1, 28, 28), 8, 5, 1, 2, NARROW),
    "3×3, RGB: 64×3×32×32 → 64": Layer((64, 3, 32, 32), 64, 3, 1, 1, NARROW),
    "1×1: 64×64×32×32 → 128": Layer((64, 64, 32, 32), 128, 1, 1, 0, NARROW),
    "3×3: 64×64×32×32 → 64": Layer((64, 64, 32, 32), 64, 3, 1, 1, WIDE),
    "3×3: 32×128×16×16 → 128": Layer((32, 128, 16, 16), 128, 3, 1, 1, WIDE),
    "3×3, stride 2: 64×64×32×32 → 128": Layer((64, 64, 32, 32), 128, 3, 2, 1, WIDE),
}


def functions(layer: Layer) -> dict[str, Any]:
    """The layer as each library writes it."""
    steps, edges = (layer.stride,) * 2, (layer.padding,) * 2
    found: dict[str, Any] = {}
    if _peers.torch is not None:
        conv2d = _peers.torch.nn.functional.conv2d
        found["torch"] = lambda x, w: conv2d(x, w, None, steps, edges)
    if _peers.jax is not None:
        around = [(edge, edge) for edge in edges]
        conv = _peers.jax.lax.conv_general_dilated
        found["jax"] = lambda x, w: conv(x, w, steps, around)
    edge = layer.images[2] + 2 * layer.padding - layer.kernel
    if _peers.mygrad is not None and edge % layer.stride == 0:  # else it refuses
        from mygrad.nnet.layers import conv_nd

        found["mygrad"] = lambda x, w: conv_nd(x, w, stride=steps, padding=edges)
    return found


def problem(layer: Layer) -> Problem:
    """Images, weights and a cotangent."""
    (n, c, h, w), k = layer.images, layer.kernel
    out = [(side + 2 * layer.padding - k) // layer.stride + 1 for side in (h, w)]
    rng = np.random.default_rng(0)
    shapes = layer.images, (layer.channels, c, k, k), (n, layer.channels, *out)
    *arrays, dy = (rng.standard_normal(shape, "float32") for shape in shapes)
    return Problem(arrays, dy, {"dX": (0,), "dW": (1,)}, "all", bilinear=True)


def case(layer: Layer) -> Case:
    """All forms on the same data."""
    given = problem(layer)
    ours = minigrad_forms(
        given, lambda x, w: F.conv2d(x, w, stride=layer.stride, padding=layer.padding)
    )
    return {
        **with_targets(ours, *layer.targets),
        **peer_forms(given, functions(layer)),
        **product_limit(given.total, 6 * given.dy.size * given.arrays[1][0].size),
    }


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All layers, or the smallest."""
    layers = list(LAYERS.items())[: 1 if quick else None]
    cases = {name: partial(case, layer) for name, layer in layers}
    table, chart = Subject(cases, ["forward", "dX", "dW", "all"]).measure(watch)
    return Report(__doc__, [table], chart)
