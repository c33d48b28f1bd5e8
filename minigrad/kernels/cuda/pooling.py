"""Pooling, its winners and its means, each way in one launch."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from ...ops.pool import avg_pool2d, avg_unpool2d, max_pool2d, unpick
from .floats import FLOATS, THREADS, alike, blocks_for
from .launching import kernel, launch

BYTES = 256  # offsets in a window that a byte tells apart, the one that stands for none included
WINNERS = {np.dtype(np.uint8): "uint8", np.dtype(np.int64): "int64"}


def _numbers(images: int, size: Any, out: Any, window: Any) -> tuple[int, ...]:
    """What the kernels are told of images and windows."""
    moves = *window.kernel, *window.stride, *window.padding, *window.dilation
    return (images, *map(int, (*size, *out, *moves)))


def _served(xp: ModuleType, x: Any) -> bool:
    return alike(xp, x) and x.ndim >= 2 and x.size > 0


def _run(xp: ModuleType, name: str, places: int, *arguments: Any) -> None:
    launch(kernel(xp, "pooling", name), (blocks_for(places),), (THREADS,), *arguments)


@max_pool2d.kernel("cuda")
def _(xp, x, *, window):
    if not _served(xp, x):
        return NotImplemented
    out, x = window.output_size(x.shape[-2:]), xp.ascontiguousarray(x)
    kind = np.dtype(np.uint8 if math.prod(window.kernel) < BYTES else np.int64)
    y = xp.empty((*x.shape[:-2], *out), x.dtype)
    winner = xp.empty(y.shape, kind)
    numbers = _numbers(math.prod(x.shape[:-2]), x.shape[-2:], out, window)
    _run(xp, f"max_pool_{FLOATS[x.dtype]}_{WINNERS[kind]}", y.size, x, y, winner, *numbers)
    return y, winner


@unpick.kernel("cuda")
def _(xp, x, winner, *, size, window):
    if not _served(xp, x) or type(winner) is not xp.ndarray or winner.dtype not in WINNERS:
        return NotImplemented
    out = window.output_size(size)
    if winner.shape != x.shape or x.shape[-2:] != out:
        return NotImplemented
    y = xp.empty((*x.shape[:-2], *size), x.dtype)
    numbers = _numbers(math.prod(x.shape[:-2]), size, out, window)
    values, winners = xp.ascontiguousarray(x), xp.ascontiguousarray(winner)
    name = f"unpick_{FLOATS[x.dtype]}_{WINNERS[winner.dtype]}"
    _run(xp, name, y.size, values, winners, y, *numbers)
    return y


def _counted(window: Any, include_pad: bool, divisor: Any) -> tuple[float, int] | None:
    """What sums are divided by, 0 for the number of values, and whether these include padding.

    None where the kernels do not know such windows.
    """
    if window.dilation != (1, 1):
        return None
    if not divisor and not window.ceil and (include_pad or window.padding == (0, 0)):
        divisor = math.prod(window.kernel)
    return float(divisor or 0), int(include_pad)


@avg_pool2d.kernel("cuda")
def _(xp, x, *, window, include_pad=True, divisor=None):
    counted = _counted(window, include_pad, divisor)
    if counted is None or not _served(xp, x):
        return NotImplemented
    out, x = window.output_size(x.shape[-2:]), xp.ascontiguousarray(x)
    y = xp.empty((*x.shape[:-2], *out), x.dtype)
    numbers = _numbers(math.prod(x.shape[:-2]), x.shape[-2:], out, window)
    _run(xp, f"avg_pool_{FLOATS[x.dtype]}", y.size, x, y, *counted, *numbers)
    return y


@avg_unpool2d.kernel("cuda")
def _(xp, x, *, size, window, include_pad=True, divisor=None):
    counted, out = _counted(window, include_pad, divisor), window.output_size(size)
    if counted is None or not _served(xp, x) or x.shape[-2:] != out:
        return NotImplemented
    y, x = xp.empty((*x.shape[:-2], *size), x.dtype), xp.ascontiguousarray(x)
    numbers = _numbers(math.prod(x.shape[:-2]), size, out, window)
    _run(xp, f"avg_unpool_{FLOATS[x.dtype]}", y.size, x, y, *counted, *numbers)
    return y
