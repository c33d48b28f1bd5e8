"""Calls of the normalisations, both ways, on arrays that are drawn."""

import numpy as np

from minigrad.op import registry
from minigrad.ops.sums import kept_shape

from .call import Call


def drawn(shape, dtype="float32", seed=0, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, shape).astype(dtype)


def per_channel(shape, axes):
    """How many statistics there are."""
    return int(np.prod(kept_shape(shape, axes)))


def channels_last(xp, array):
    """The same numbers, with axis `-2` (of signals) or `1` (of images) last in memory."""
    at = 1 if array.ndim == 4 and array.shape[-1] == array.shape[-2] else -2
    return xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(array, at, -1)), -1, at)


def not_aligned(xp, array):
    """The same numbers, one number behind a place where a load of 16 bytes may start."""
    flat = array.reshape(-1)
    return xp.concatenate([flat[:1], flat])[1:].reshape(array.shape)


def both_ways(shape, axes, dtype="float32", relu=False, last=False, aligned=True):
    """Forward and backward, by the forward's own hint; without relu the weights' sums too."""
    n = per_channel(shape, axes)
    name, options = f"batch_norm{'_relu' * relu}", {"axes": axes, "eps": 1e-5}

    def function(xp, x, dy, gamma, beta):
        if last:
            x, dy = channels_last(xp, x), channels_last(xp, dy)
        if not aligned:
            x, dy = not_aligned(xp, x), not_aligned(xp, dy)
        outputs, hint = registry[name].body(xp, x, gamma, beta, **options)
        out = outputs[:1] * relu
        found = registry[f"{name}_grad"].body(xp, x, gamma, *out, dy, hint=hint, **options)
        sums = () if relu else registry["batch_norm_sums"].body(xp, x, dy, hint=hint, **options)
        m, d, r = hint
        return outputs, found, sums, m + d, r.astype(m.dtype)

    arrays = drawn(shape, dtype, 1, 3.0, 2.0), drawn(shape, dtype, 2), *drawn((2, n), dtype, 3)
    return Call(function, *arrays, size=np.prod(shape) // n)


def evaluated(shape, axes, dtype="float32", relu=False):
    """With statistics that are given."""
    n = per_channel(shape, axes)
    name = f"batch_norm{'_relu' * relu}_eval"

    def function(xp, x, *given):
        return registry[name].body(xp, x, *given, axes=axes, eps=1e-5)

    mean, gamma, beta = drawn((3, n), dtype, 3)
    return Call(function, drawn(shape, dtype, 1), mean, abs(mean) + 1, gamma, beta)


def layers(shape, axes, along=None, dtype="float32", aligned=True):
    """Layer norm, or group norm, forward and backward."""
    along = along or axes
    n = int(np.prod([shape[i] for i in along]))
    options = {"axes": axes, "along": along, "eps": 1e-5}

    def function(xp, x, dy, gamma, beta):
        if not aligned:
            x, gamma = not_aligned(xp, x), not_aligned(xp, gamma)
        outputs, hint = registry["layer_norm"].body(xp, x, gamma, beta, **options)
        found = registry["layer_norm_grad"].body(xp, x, gamma, dy, hint=hint, **options)
        m, d, r = hint
        return outputs, found, m + d, r.astype(m.dtype)

    arrays = drawn(shape, dtype, 1, 3.0, 2.0), drawn(shape, dtype, 2), *drawn((2, n), dtype, 3)
    return Call(function, *arrays, size=np.prod([shape[i] for i in axes]))
