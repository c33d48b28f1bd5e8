"""Values added at the edges, in PyTorch's four modes."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import NUMBER, WHOLE
from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything
from .index import unindex
from .shape import at


def widths_of(pad, ndim):
    """`pad` as (before, after) for every axis: PyTorch's flat list from the last axis on, or pairs.

    Raises:
        ShapeError, DTypeError: what fits neither form.
    """
    if isinstance(pad, list | tuple) and pad and isinstance(pad[0], list | tuple):
        pairs = [tuple(pair) for pair in pad]
    else:
        flat = tuple(pad) if isinstance(pad, list | tuple) else (pad,)
        named = [flat[i : i + 2] for i in range(0, len(flat), 2)]
        pairs = [(0, 0)] * (ndim - len(named)) + named[::-1]
    if not all(isinstance(n, WHOLE) for pair in pairs for n in pair):
        raise DTypeError(f"pad was given as {pad!r}: give whole numbers")
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(
            f"pad {pad} for {ndim} axes: give (before, after) of the last axis, then of the one "
            "before it, ...; or a pair for every axis"
        )
    return pairs


def _pad_less(g, widths):
    """The adjoint of adding zeros is cutting off, and the other way round."""
    return pad(g, [(-before, -after) for before, after in widths])


def _pad_rule(g, in_shapes, pad, mode):
    shape = in_shapes[0]
    widths = widths_of(pad, len(shape))
    if mode == "constant":
        return _pad_less(g, widths)
    for key, before in reversed(list(_border_steps(shape, widths, mode))):
        g = unindex(g, shape=before, key=key)
    return g


def _border_steps(shape, widths, mode):
    """Axis by axis: the key that reads a border from inside, and the shape that it reads."""
    for axis, (before, after) in enumerate(widths):
        if before == after == 0:
            continue
        n = shape[axis]
        limit = {"reflect": n - 1, "circular": n, "replicate": math.inf if n else 0}[mode]
        if not (0 <= before <= limit and 0 <= after <= limit):
            raise ShapeError(
                f"{mode} padding {(before, after)} of an axis of length {n}: give 0 to {limit}"
            )
        places = np.arange(-before, n + after)
        if mode == "reflect":
            places = (n - 1) - np.abs((n - 1) - np.abs(places))
        places = places % n if mode == "circular" else np.clip(places, 0, n - 1)
        yield at(axis, places), shape
        shape = (*shape[:axis], len(places), *shape[axis + 1 :])


@op(_pad_rule)
def pad(xp, x, *, pad, mode="constant", value=0.0):
    """x with values added at its edges; negative widths cut off.        d pad x = pad dx

    Args:
        pad: (before, after) of the last axis, then of the one before it, and so on, as in PyTorch;
            or a pair for every axis from the first, as in NumPy.
        mode: "constant", "reflect" (the border is not repeated), "replicate" or "circular".
        value: what is added in the mode "constant".

    Differs from PyTorch: any axes can be padded in any mode.

    >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2))
    tensor([0., 1., 2., 3., 0., 0.])
    >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2), mode="circular")
    tensor([3., 1., 2., 3., 1., 2.])
    """
    widths = widths_of(pad, x.ndim)
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ShapeError(
            f'mode was given as {mode!r}: give "constant", "reflect", "replicate" or "circular"'
        )
    if mode != "constant":
        for key, _ in _border_steps(x.shape, widths, mode):
            x = x[(*key[:-1], xp.asarray(key[-1]))]
        return x.copy() if all(pair == (0, 0) for pair in widths) else x
    if not isinstance(value, NUMBER):
        raise DTypeError(f"value was given as {value!r}: give a number")
    for n, (before, after) in zip(x.shape, widths, strict=True):
        if n + before + after < 0:
            raise ShapeError(f"pad {(before, after)} cuts more off than the axis' length {n}")
    kept = [
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(x.shape, widths, strict=True)
    ]
    added = [(max(before, 0), max(after, 0)) for before, after in widths]
    return xp.pad(x[tuple(kept)], added, mode="constant", constant_values=value)


# ---- samples -------------------------------------------------------------------------------------


@pad.samples
def _pad_samples(draw):
    x = anything(draw, draw.shape(least=1, most=2, side=(2, 3)))
    mode = draw.one_of("constant", "reflect", "replicate", "circular")
    least = -1 if mode == "constant" else 0
    flat = [draw.integer(least, 1) for _ in range(2 * draw.integer(1, x.ndim))]
    statics = {"mode": mode, "value": draw.one_of(0.0, 2.5) if mode == "constant" else 0.0}
    return (x,), {"pad": draw.one_of(flat, widths_of(flat, x.ndim))} | statics
