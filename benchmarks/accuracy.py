"""How far BatchNorm and its family are from float64, in every form, beside PyTorch.

For each layer, shape and data: the largest absolute error of y and of dx against float64, which
gets the same rounded numbers.  x is normal with standard deviation 1 around the given mean, or one
value everywhere; dy is normal; weight is 1 and bias 0: so y and dx have a standard deviation of 1
too, or y is 0 (and dx, of the size of 1/√eps, says nothing: it is left out).  Below, over many
rows: the largest error of the running mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import _peers
import numpy as np
from _forms import minigrad_contexts
from _harness import Inside, Stopwatch
from _report import Chart, Report, Table

import minigrad as mg
import minigrad.nn.functional as F

SHAPES = [(256, 512), (4096, 1024), (128, 256, 8, 8), (32, 64, 68, 68)]
QUICK = [(64, 32, 4, 4)]
ROWS, QUICK_ROWS = 2**21, 2**14  # of 4 channels
EPS = 1e-5  # the default of every layer, here and in PyTorch
DATA = {  # dtype, mean, standard deviation
    "mean 0": ("float32", 0.0, 1.0),
    "mean 1e2": ("float32", 1e2, 1.0),
    "mean 1e4": ("float32", 1e4, 1.0),
    "mean 1e6": ("float32", 1e6, 1.0),
    "float16, mean 1e2": ("float16", 1e2, 1.0),
    "constant 100.1": ("float32", 100.1, 0.0),
}
Shape = tuple[int, ...]
Pair = tuple[np.ndarray, np.ndarray]  # y and dx, or weight and bias
Errors = tuple[float, float]  # of y and dx

# ---- the layers: both libraries call them alike

LAYERS: dict[str, Callable[..., Any]] = {
    "BatchNorm": lambda f, x, w, b, **form: f.batch_norm(
        x, None, None, w, b, training=True, **form
    ),
    "LayerNorm": lambda f, x, w, b, **form: f.layer_norm(x, x.shape[1:], w, b, **form),
    "GroupNorm(8)": lambda f, x, w, b, **form: f.group_norm(x, 8, w, b, **form),
    "InstanceNorm": lambda f, x, w, b, **form: f.instance_norm(x, None, None, w, b, **form),
}


def groups(layer: str, shape: Shape) -> tuple[Shape, Shape]:
    """x's shape with its groups apart, and the axes that statistics are taken over."""
    if layer == "GroupNorm(8)":
        return (shape[0], 8, shape[1] // 8, *shape[2:]), tuple(range(2, len(shape) + 1))
    first = 1 if layer == "LayerNorm" else 2
    batch = (0,) if layer == "BatchNorm" else ()
    return shape, (*batch, *range(first, len(shape)))


def parameters(layer: str, shape: Shape) -> Pair:
    """Weight 1 and bias 0, both (C,) or as LayerNorm has them."""
    own = shape[1:] if layer == "LayerNorm" else shape[1:2]
    return np.ones(own, "float32"), np.zeros(own, "float32")


# ---- y and dx


def reference(layer: str, x: np.ndarray, dy: np.ndarray, affine: Pair) -> Pair:
    """y and dx by their formulas in float64."""
    split, axes = groups(layer, x.shape)
    ones = [1] * (x.ndim - 1 - affine[0].ndim)
    met = [a.reshape(1, *a.shape, *ones) for a in affine]
    x, dy, weight, bias = (
        np.broadcast_to(a, dy.shape).reshape(split).astype("float64") for a in (x, dy, *met)
    )
    c = x - x.mean(axes, keepdims=True)
    c -= c.mean(axes, keepdims=True)  # float64 rounds too: a mean of 1e6 by 1e-10
    r = 1 / np.sqrt((c * c).mean(axes, keepdims=True) + EPS)
    xhat, g = c * r, weight * dy
    dx = r * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))
    return weight * xhat + bias, dx


def minigrad_form(inside: Inside, layer: str, x: np.ndarray, dy: np.ndarray, affine: Pair) -> Pair:
    """y and dx by minigrad, in one of its forms."""
    with inside():
        inputs = [mg.tensor(a, requires_grad=True) for a in (x, *affine)]
        y = LAYERS[layer](F, *inputs)
        (dx,) = mg.grad(y, inputs[:1], mg.tensor(dy))
    return y.numpy(), dx.numpy()


def torch_form(layer: str, x: np.ndarray, dy: np.ndarray, affine: Pair) -> Pair:
    """y and dx by PyTorch's own operators."""
    torch = _peers.torch
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, *affine)]
    y = LAYERS[layer](torch.nn.functional, *inputs)
    (dx,) = torch.autograd.grad(y, inputs[:1], torch.tensor(dy))
    return y.detach().numpy(), dx.numpy()


def ours() -> dict[str, Inside]:
    """minigrad's forms: composed, NumPy, and kernels where there are any."""
    return {name.removeprefix("minigrad "): c for name, c in minigrad_contexts().items()}


def forms() -> dict[str, Callable[..., Pair]]:
    """What is measured, by name."""
    found = {name: partial(minigrad_form, inside) for name, inside in ours().items()}
    return found | ({"PyTorch": torch_form} if _peers.torch is not None else {})


def worst(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute error."""
    return float(np.abs(found - expected.reshape(found.shape)).max())


def errors(layer: str, shape: Shape, data: str) -> dict[str, Errors]:
    """The errors of y and dx by form; NaN for dx where it says nothing."""
    dtype, mean, std = DATA[data]
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(m, s, shape).astype(dtype) for m, s in ((mean, std), (0.0, 1.0)))
    given = layer, x, dy, parameters(layer, shape)
    expected = reference(*given)
    found = {}
    for name, form in forms().items():
        y, dx = (worst(*pair) for pair in zip(form(*given), expected, strict=True))
        found[name] = y, dx if std else np.nan
    return found


# ---- the running mean of many rows


def mean_errors(rows: int) -> dict[str, float]:
    """The errors of the running mean after one batch with momentum 1, by form."""
    x = np.random.default_rng(0).standard_normal((rows, 4), "float32") + np.float32(100)
    expected = x.mean(0, dtype="float64")
    zeros, ones = np.zeros(4, "float32"), np.ones(4, "float32")
    found = {}
    for name, inside in ours().items():
        with inside():
            mean, var = mg.tensor(zeros), mg.tensor(ones)
            F.batch_norm(mg.tensor(x), mean, var, training=True, momentum=1.0)
        found[name] = worst(mean.numpy(), expected)
    if (torch := _peers.torch) is not None:
        mean, var = torch.tensor(zeros), torch.tensor(ones)
        torch.nn.functional.batch_norm(torch.tensor(x), mean, var, training=True, momentum=1.0)
        found["PyTorch"] = worst(mean.numpy(), expected)
    return found


# ---- the tables


def figure(error: float) -> str:
    """Two digits, or 0 where it is exact."""
    return "–" if np.isnan(error) else f"{error:.1e}" if error else "0"


def name_of(shape: Shape) -> str:
    """As the tables have it."""
    return "×".join(map(str, shape))


def cases(shapes: list[Shape]) -> list[tuple[str, Shape, str]]:
    """Layer, shape and data of each row."""
    found = [("BatchNorm", shape, data) for shape in shapes for data in DATA]
    return found + [
        (layer, shape, "mean 1e4")
        for layer in LAYERS
        for shape in shapes
        # InstanceNorm of 2-D data has one value per sample and channel
        if layer != "BatchNorm" and not (layer == "InstanceNorm" and len(shape) == 2)
    ]


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All shapes, or a small one; nothing is timed."""
    shapes, rows = (QUICK, QUICK_ROWS) if quick else (SHAPES, ROWS)
    names = list(forms())
    columns = [f"{name} {what}" for name in names for what in ("y", "dx")]
    table, bars = Table(["layer", "shape", "data", *columns], left=3), {}
    for layer, shape, data in cases(shapes):
        found = errors(layer, shape, data)
        shown = [figure(error) for name in names for error in found[name]]
        table.add(layer, name_of(shape), data, *shown)
        if layer == "BatchNorm":
            bars[f"{name_of(shape)}, {data}"] = {name: each[0] for name, each in found.items()}
    means = Table(["running mean of", *names], left=1)
    means.add(f"{rows}×4, mean 1e2", *map(figure, mean_errors(rows).values()))
    chart = Chart("BatchNorm: largest absolute error of y (no bar where it is exact)", bars)
    return Report(__doc__, [table, means], chart)
