"""Activations and their gradients in one launch, which CuPy's functions take several for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...ops.activation import gelu, gelu_grad, silu, silu_grad
from ...ops.elementwise import erf, sigmoid
from ...ops.piecewise import relu_grad
from .floats import FLOATS, THREADS, alike, blocks_for
from .launching import kernel, launch

BYTES = 16  # that a thread loads at once


def _mapped(xp: ModuleType, what: str, *arrays: Any) -> Any:
    """What a kernel makes of arrays of one shape and dtype; else NotImplemented."""
    x = arrays[0]
    if not alike(xp, *arrays) or x.size == 0 or any(a.shape != x.shape for a in arrays):
        return NotImplemented
    y = xp.empty(x.shape, x.dtype)
    blocks = (blocks_for(-(-y.nbytes // BYTES)),)
    run = kernel(xp, "elementwise", f"{what}_{FLOATS[x.dtype]}")
    launch(run, blocks, (THREADS,), *map(xp.ascontiguousarray, arrays), y, x.size)
    return y


@relu_grad.kernel("cuda")
def _(xp, out, dy):
    return _mapped(xp, "relu_grad", out, dy)


@sigmoid.kernel("cuda")
def _(xp, x):
    return _mapped(xp, "sigmoid", x)


@erf.kernel("cuda")
def _(xp, x):
    return _mapped(xp, "erf", x)


@silu.kernel("cuda")
def _(xp, x):
    return _mapped(xp, "silu", x)


@silu_grad.kernel("cuda")
def _(xp, x, dy):
    return _mapped(xp, "silu_grad", x, dy)


GELU = {"none": "gelu", "tanh": "gelu_tanh"}  # by what approximates it


@gelu.kernel("cuda")
def _(xp, x, *, approximate):
    return _mapped(xp, GELU[approximate], x) if approximate in GELU else NotImplemented


@gelu_grad.kernel("cuda")
def _(xp, x, dy, *, approximate):
    known = approximate in GELU
    return _mapped(xp, f"{GELU[approximate]}_grad", x, dy) if known else NotImplemented
