"""What the BatchNorm tests share: layouts, data, the formulas in NumPy, modules and their state."""

import sys
import tempfile
from pathlib import Path

import cupy_standin
import numpy as np
import pytest

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F

CHECKS = [f"B{n}" for n in range(1, 65)] + ["B47b"]  # the contract's
EPS = 1e-5
SHAPES = {"NC": (6, 3), "NCL": (4, 3, 5), "NCHW": (3, 3, 4, 2), "NCDHW": (2, 3, 2, 3, 2)}
RANKS = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}  # of the module for a layout, by its axes
FORMS = {"fused": True, "composed": False}


def axes_of(x):
    """All axes but the channels'."""
    return (0, *range(2, x.ndim))


def per_channel(value, x):
    """A (C,) array in a shape that broadcasts against x."""
    return np.reshape(value, (1, -1) + (1,) * (x.ndim - 2))


def laid_out(shape, n, d, h, w, channels=3):
    """The layout of `shape` with n·d·h·w values in each channel."""
    return {
        2: (n * d * h * w, channels),
        3: (n, channels, d * h * w),
        4: (n, channels, d * h, w),
        5: (n, channels, d, h, w),
    }[len(shape)]


# ---- data ----------------------------------------------------------------------------------------


def draw(shape, seed=0, dtype=np.float64, mean=0.0, std=1.0):
    """Normal numbers of a seed."""
    return np.random.default_rng(seed).normal(mean, std, shape).astype(dtype)


def leaf(array, device="cpu"):
    """A tensor on a copy of the array that collects a gradient."""
    return mg.tensor(array, requires_grad=True, device=device)


def placed(arrays, device="cpu"):
    """A tensor on a copy of each array."""
    return [mg.tensor(array, device=device) for array in arrays]


def bare(array, device):
    """A copy of the array on the device, as the device's library has it."""
    return mg.tensor(array, device=device).array


def host(t):
    """The values of a tensor of any device, as a NumPy array."""
    return t.detach().cpu().numpy()


def on_gpu(device):
    """Whether the device is a GPU, and not the stand-in for CuPy."""
    return device == "cuda" and sys.modules["cupy"] is not cupy_standin.modules["cupy"]


def batch(shape, device="cpu", seed=0, dtype=np.float64):
    """A batch whose mean and variance are far from 0 and 1."""
    return mg.tensor(draw(shape, seed, dtype, mean=2.0, std=1.5), device=device)


def parameters(channels, dtype=np.float64):
    """A weight that is negative, zero and positive across channels, and a bias."""
    signs = np.resize([-1.3, 0.0, 0.7], channels)
    return signs.astype(dtype), np.linspace(-0.5, 0.8, channels).astype(dtype)


def nonzero_parameters(channels, dtype=np.float32):
    """A weight of both signs, 0.5 to 1.5 in magnitude, and a random bias."""
    rng = np.random.default_rng(9)
    gamma = rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels)
    return gamma.astype(dtype), rng.normal(0, 0.5, channels).astype(dtype)


def training_inputs(shape, seed=0):
    """Arrays for `trained`: x, and `parameters`."""
    return [draw(shape, seed, mean=0.3), *parameters(shape[1])]


def eval_inputs(shape):
    """Arrays for `evaluated`, of three channels whose statistics are not 0 and 1."""
    mean, var = np.array([0.3, 0.7, -0.4]), np.array([0.5, 1.5, 0.9])
    return [draw(shape, 1), mean, var, *parameters(shape[1])]


# ---- the formulas, and the function --------------------------------------------------------------


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


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def moments(*batches):
    """Mean and unbiased variance of all values of each channel, in NumPy."""
    x = np.concatenate([host(each).astype(np.float64) for each in batches])
    return x.mean(axes_of(x)), x.var(axes_of(x), ddof=1)


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


# ---- modules and their state ---------------------------------------------------------------------


def module_for(shape, *args, family="BatchNorm", **options):
    """The module of a layout, in float64 unless said otherwise."""
    kind = getattr(nn, family + RANKS[len(shape)])
    return kind(shape[1], *args, **{"dtype": mg.float64, **options})


def weighted(module):
    """The module, with weights that are negative, zero and positive."""
    given = zip((module.weight, module.bias), parameters(module.num_features), strict=True)
    for p, values in given:
        if p is not None:
            p.rebind(mg.tensor(values.astype(p.dtype), device=p.device).array)
    return module


def deep_model(shape, fused=True, device="cpu", **options):
    """BatchNorm, sigmoid, dropout, BatchNorm, with random weights and biases."""
    options = {"fused": fused, "device": device, **options}
    first, last = (module_for(shape, **options) for _ in range(2))
    with mg.no_grad():
        for i, norm in enumerate((first, last)):
            for j, t in enumerate((norm.weight, norm.bias)):
                t.copy_(mg.tensor(draw(3, 10 * i + j, t.dtype), device=device))
    return nn.Sequential(first, nn.Sigmoid(), nn.Dropout(0.5), last)


def with_stats(module, mean, var):
    """The module, with these running statistics."""
    state = module.state_dict()
    for name, value in (("running_mean", mean), ("running_var", var)):
        state[name] = np.full(state[name].shape, value, np.float64)
    module.load_state_dict(state)
    return module


def run_module(module, x, dy):
    """y, and the gradients of x, weight and bias, as NumPy arrays."""
    t = leaf(x, module.running_mean.device)
    y = module(t)
    found = mg.grad(y, [t, *module.parameters()], mg.tensor(dy, device=t.device))
    return [host(each) for each in (y, *found)]


def stats_of(module):
    """Copies of running mean, running variance and counter."""
    buffers = (module.running_mean, module.running_var, module.num_batches_tracked)
    return tuple(host(t).copy() for t in buffers)


def state_of(module):
    """The bytes of all that the module owns."""
    return {name: host(value).tobytes() for name, value in module.state_dict().items()}


def as_given_and_from_a_file(state, device):
    """A state dict, and the same after mg.save and mg.load."""
    yield state
    pytest.importorskip("safetensors")
    with tempfile.TemporaryDirectory() as folder:
        mg.save(state, Path(folder) / "state.safetensors")
        yield mg.load(Path(folder) / "state.safetensors", device=device)


# ---- comparisons ---------------------------------------------------------------------------------


def assert_near(found, expected, rtol=1e-10, atol=1e-13):
    """Two sequences of arrays are equal one by one, to the last few digits of float64."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def worst(actual, expected):
    """The largest difference, relative to the largest expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300))


def assert_same_stats(module, before):
    """Bit for bit as in stats_of."""
    for a, b in zip(stats_of(module), before, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def derivatives(y, inputs, orders):
    """y, and the gradients of orders 1 to `orders` through all inputs at once: a list of lists."""
    outputs, found = [y], [[host(y)]]
    for order in range(1, orders + 1):
        weights = [
            mg.tensor(draw(t.shape, 10 * order + i), device=t.device) for i, t in enumerate(outputs)
        ]
        loss = sum((t * t * w + t * w).sum() for t, w in zip(outputs, weights, strict=True))
        outputs = mg.grad(loss, inputs, create_graph=True)
        found.append([host(t) for t in outputs])
    return found


def assert_equal_at_every_order(a, b, bound=1e-9):
    """What `derivatives` found twice is the same."""
    for order, (left, right) in enumerate(zip(a, b, strict=True)):
        scale = max(np.abs(t).max() for t in right)
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            apart = np.abs(one - other).max() / scale
            assert apart <= bound, f"order {order}, through input {i}: {apart:.3g} apart"
