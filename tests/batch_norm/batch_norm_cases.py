"""What the BatchNorm tests share: layouts, both forms, and the formulas in NumPy."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F

EPS = 1e-5
SHAPES = {"NC": (6, 3), "NCL": (4, 3, 5), "NCHW": (3, 3, 4, 2), "NCDHW": (2, 3, 2, 3, 2)}
FORMS = {"fused": True, "composed": False}

forms = pytest.mark.parametrize("fused", FORMS.values(), ids=FORMS)
layouts = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def axes_of(x):
    """All axes but the channels'."""
    return (0, *range(2, x.ndim))


def per_channel(value, x):
    """A (C,) array in a shape that meets x."""
    return np.reshape(value, (1, -1) + (1,) * (x.ndim - 2))


def normalise(x, gamma, beta, dy, eps=EPS):
    """y, dx, dgamma, dbeta in float64, by the formulas."""
    x, gamma, beta, dy = (np.asarray(a, np.float64) for a in (x, gamma, beta, dy))
    axes = axes_of(x)
    mu = x.mean(axes, keepdims=True)
    c = x - mu
    c -= c.mean(axes, keepdims=True)  # float64 rounds too: at a mean of 1e6 by 1e-10
    v = (c * c).mean(axes, keepdims=True)
    r = 1 / np.sqrt(v + eps)
    xhat = c * r
    g = per_channel(gamma, x)
    y = g * xhat + per_channel(beta, x)
    dx = g * r * (dy - dy.mean(axes, keepdims=True) - xhat * (dy * xhat).mean(axes, keepdims=True))
    return y, dx, (dy * xhat).sum(axes), dy.sum(axes)


def normalise_with(x, mean, var, gamma, beta, dy, eps=EPS):
    """y, dx, dgamma, dbeta in evaluation mode, in float64, by the formulas."""
    x, gamma, beta, dy, mean, var = (
        np.asarray(a, np.float64) for a in (x, gamma, beta, dy, mean, var)
    )
    r = 1 / np.sqrt(per_channel(var, x) + eps)
    xhat = (x - per_channel(mean, x)) * r
    g, axes = per_channel(gamma, x), axes_of(x)
    return g * xhat + per_channel(beta, x), g * dy * r, (dy * xhat).sum(axes), dy.sum(axes)


def module_for(shape, **options):
    """The BatchNorm module of a layout, in float64 unless said otherwise."""
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    return kind(shape[1], **{"dtype": mg.float64, **options})


def draw(shape, seed=0, dtype=np.float64, mean=0.0, std=1.0):
    """Normal numbers of a seed."""
    return np.random.default_rng(seed).normal(mean, std, shape).astype(dtype)


def leaf(array, device="cpu"):
    """A tensor on a copy of the array that collects a gradient."""
    return mg.tensor(array, requires_grad=True, device=device)


def host(t):
    """The values of a tensor of any device, as a NumPy array."""
    return t.detach().cpu().numpy()


def parameters(channels, dtype=np.float64):
    """A weight that is negative, zero and positive across channels, and a bias."""
    signs = np.resize([-1.3, 0.0, 0.7], channels)
    return signs.astype(dtype), np.linspace(-0.5, 0.8, channels).astype(dtype)


def run(x, gamma, beta, dy, fused, eps=EPS, device="cpu"):
    """y, dx, dgamma, dbeta of F.batch_norm in training, as NumPy arrays."""
    x, gamma, beta = (leaf(each, device) for each in (x, gamma, beta))
    y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps, fused=fused)
    found = mg.grad(y, [x, gamma, beta], mg.tensor(dy, device=device))
    return tuple(host(t) for t in (y, *found))


def trained(fused, eps=EPS):
    """Batch norm by the batch, as a function of x, weight and bias."""
    return lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=eps, fused=fused)


def evaluated(fused, eps=EPS):
    """Batch norm by given statistics, as a function of all five inputs."""
    return lambda x, mean, var, w, b: F.batch_norm(x, mean, var, w, b, eps=eps, fused=fused)


def training_inputs(shape, seed=0):
    """Arrays for `trained`: x, and `parameters`."""
    return [draw(shape, seed, mean=0.3), *parameters(shape[1])]


def eval_inputs(shape):
    """Arrays for `evaluated`, of three channels whose statistics are not 0 and 1."""
    mean, var = np.array([0.3, 0.7, -0.4]), np.array([0.5, 1.5, 0.9])
    return [draw(shape, 1), mean, var, *parameters(shape[1])]


def assert_near(found, expected, rtol=1e-10, atol=1e-13):
    """Two sequences of arrays are equal one by one, to the last few digits of float64."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def worst(actual, expected):
    """The largest difference, relative to the largest expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300))
