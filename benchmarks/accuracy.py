"""How far BatchNorm and its family are from float64, in both forms, beside PyTorch.

For each layer, shape and data: the largest absolute error of y and of dx against float64, which
gets the same rounded numbers.  x is normal with standard deviation 1 around the given mean, or one
value everywhere; dy is normal; weight is 1 and bias 0: so y and dx have a standard deviation of 1
too, or y is 0 (and dx, of the size of 1/√eps, says nothing: it is left out).  Below, over many
rows: the largest error of the running mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _harness import environment, torch

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


def minigrad_form(fused: bool) -> Callable[..., Pair]:
    """y and dx by minigrad, fused or composed."""

    def run(layer: str, x: np.ndarray, dy: np.ndarray, affine: Pair) -> Pair:
        inputs = [mg.tensor(a, requires_grad=True) for a in (x, *affine)]
        y = LAYERS[layer](F, *inputs, fused=fused)
        (dx,) = mg.grad(y, inputs[:1], mg.tensor(dy))
        return y.numpy(), dx.numpy()

    return run


def torch_form(layer: str, x: np.ndarray, dy: np.ndarray, affine: Pair) -> Pair:
    """y and dx by PyTorch's own operators."""
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, *affine)]
    y = LAYERS[layer](torch.nn.functional, *inputs)
    (dx,) = torch.autograd.grad(y, inputs[:1], torch.tensor(dy))
    return y.detach().numpy(), dx.numpy()


def forms() -> dict[str, Callable[..., Pair]]:
    """What is measured, by name."""
    found = {"composed": minigrad_form(False), "fused": minigrad_form(True)}
    return found | ({"PyTorch": torch_form} if torch is not None else {})


def worst(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute error."""
    return float(np.abs(found - expected.reshape(found.shape)).max())


def errors(layer: str, shape: Shape, data: str) -> list[float]:
    """The errors of y and dx, form after form; NaN for dx where it says nothing."""
    dtype, mean, std = DATA[data]
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(m, s, shape).astype(dtype) for m, s in ((mean, std), (0.0, 1.0)))
    given = layer, x, dy, parameters(layer, shape)
    expected = reference(*given)
    found = []
    for form in forms().values():
        y, dx = (worst(*pair) for pair in zip(form(*given), expected, strict=True))
        found += [y, dx if std else np.nan]
    return found


# ---- the running mean of many rows


def mean_errors(rows: int) -> list[float]:
    """The errors of the running mean after one batch with momentum 1, form after form."""
    x = np.random.default_rng(0).standard_normal((rows, 4), "float32") + np.float32(100)
    expected = x.mean(0, dtype="float64")
    zeros, ones = np.zeros(4, "float32"), np.ones(4, "float32")
    found = []
    for fused in (False, True):
        mean, var = mg.tensor(zeros), mg.tensor(ones)
        F.batch_norm(mg.tensor(x), mean, var, training=True, momentum=1.0, fused=fused)
        found.append(mean.numpy())
    if torch is not None:
        mean, var = torch.tensor(zeros), torch.tensor(ones)
        torch.nn.functional.batch_norm(torch.tensor(x), mean, var, training=True, momentum=1.0)
        found.append(mean.numpy())
    return [float(np.abs(each - expected).max()) for each in found]


# ---- the tables


def print_row(cells: Sequence[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def figure(error: float) -> str:
    """Two digits, or 0 where it is exact."""
    return "–" if np.isnan(error) else f"{error:.1e}" if error else "0"


def print_errors(layers: Sequence[str], shapes: Sequence[Shape], data: Sequence[str]) -> None:
    """One row for each layer, shape and data."""
    for layer in layers:
        for shape in shapes:
            if layer == "InstanceNorm" and len(shape) == 2:
                continue  # one value per sample and channel
            for name in data:
                found = map(figure, errors(layer, shape, name))
                print_row([layer, "×".join(map(str, shape)), name, *found])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small shape, fewer rows")
    options = parser.parse_args(arguments)
    shapes, rows = (QUICK, QUICK_ROWS) if options.quick else (SHAPES, ROWS)
    print(environment(), end="\n\n")
    if torch is None:
        print("PyTorch is not installed: its columns are left out\n")
    names = list(forms())
    print_row(
        ["layer", "shape", "data", *(f"{name} {what}" for name in names for what in ("y", "dx"))]
    )
    print("|---|---|---|" + "--:|" * 2 * len(names))
    family = [layer for layer in LAYERS if layer != "BatchNorm"]
    print_errors(["BatchNorm"], shapes, list(DATA))
    print_errors(family, shapes, ["mean 1e4"])
    print()
    print_row(["running mean of", *names])
    print("|---|" + "--:|" * len(names))
    print_row([f"{rows}×4, mean 1e2", *map(figure, mean_errors(rows))])


if __name__ == "__main__":
    main()
