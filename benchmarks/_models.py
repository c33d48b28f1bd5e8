"""The two models of the benchmark of steps, as modules and written by hand for each library.

The modules' names are PyTorch's, so one text makes the model of either library.  By hand a model is
a list of layers' names and a list of their weights and biases; a library's class here says what
each layer is.  Written by hand, BatchNorm keeps no running averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import _peers
import numpy as np

EPS = 1e-5
MLP = ["linear", "norm", "relu", "linear", "norm", "relu", "linear"]
CNN = ["conv", "norm", "relu", "conv", "norm", "relu", "pool", "flatten"]
CNN += ["linear", "norm", "relu", "linear"]
WITH_PARAMETERS = ("linear", "norm", "conv")


def mlp(nn: Any) -> Any:
    """64 → 128 → 128 → 10 with BatchNorm."""
    return nn.Sequential(
        *(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()),
        nn.Linear(128, 10),
    )


def cnn(nn: Any) -> Any:
    """The model of examples/digits.py."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU()),
        nn.Linear(64, 10),
    )


def by_hand(ops: Any, layers: Sequence[str], parameters: Sequence[Any], x: Any) -> Any:
    """The model's output."""
    own = iter(parameters)
    for layer in layers:
        given = (next(own), next(own)) if layer in WITH_PARAMETERS else ()
        x = getattr(ops, layer)(x, *given)
    return x


class Formulas:
    """Layers in a library with NumPy's names."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        return x @ weight.T + bias

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        axes, each = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
        centred = x - self.xp.mean(x, axes, keepdims=True)
        var = self.xp.mean(centred * centred, axes, keepdims=True)
        return centred / self.xp.sqrt(var + EPS) * weight.reshape(each) + bias.reshape(each)

    def relu(self, x: Any) -> Any:
        return self.xp.maximum(x, 0)

    def flatten(self, x: Any) -> Any:
        return x.reshape(len(x), -1)

    def loss(self, x: Any, labels: Any) -> Any:
        x = x - self.xp.max(x, 1, keepdims=True)
        picked = x[np.arange(len(labels)), labels]
        return self.xp.mean(self.xp.log(self.xp.sum(self.xp.exp(x), 1)) - picked)


class JaxFormulas(Formulas):
    """JAX: its own convolution and pooling beside."""

    def conv(self, x: Any, weight: Any, bias: Any) -> Any:
        conv = _peers.jax.lax.conv_general_dilated
        return conv(x, weight, (1, 1), "SAME") + bias.reshape(1, -1, 1, 1)

    def pool(self, x: Any) -> Any:
        window = (1, 1, 2, 2)
        return _peers.jax.lax.reduce_window(x, -np.inf, _peers.jax.lax.max, window, window, "VALID")


class MyGradLayers(Formulas):
    """MyGrad: its own layers, where it has them."""

    def __init__(self) -> None:
        super().__init__(_peers.mygrad)
        from mygrad.nnet import activations, layers, losses

        self.layers, self.relu, self.loss = layers, activations.relu, losses.softmax_crossentropy

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        return self.layers.batchnorm(x, gamma=weight, beta=bias, eps=EPS)

    def conv(self, x: Any, weight: Any, bias: Any) -> Any:
        return self.layers.conv_nd(x, weight, stride=1, padding=1) + bias.reshape(1, -1, 1, 1)

    def pool(self, x: Any) -> Any:
        return self.layers.max_pool(x, (2, 2), 2)


class Derivatives:
    """The same layers in NumPy with nothing around them, each returning how to go back."""

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        y = x @ weight.T
        y += bias
        return y, lambda g: (g @ weight, g.T @ x, g.sum(0))

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        n = np.float32(1 / len(x))
        xhat = x - np.add.reduce(x, 0) * n
        r = 1 / np.sqrt(np.einsum("ij,ij->j", xhat, xhat) * n + np.float32(EPS))
        xhat *= r
        y = xhat * weight
        y += bias

        def back(g: Any) -> Any:
            dbias, dweight = np.add.reduce(g, 0), np.einsum("ij,ij->j", g, xhat)
            dx = xhat * (dweight * -n)
            dx += g
            dx -= dbias * n
            dx *= weight * r
            return dx, dweight, dbias

        return y, back

    def relu(self, x: Any) -> Any:
        y = np.maximum(x, 0)
        return y, lambda g: (g * (y > 0),)

    def loss(self, x: Any, labels: Any) -> Any:
        p = x - x.max(1, keepdims=True)
        rows = np.arange(len(labels))
        picked = p[rows, labels]
        np.exp(p, out=p)
        total = p.sum(1)
        p /= total[:, None]
        p[rows, labels] -= 1
        p *= np.float32(1 / len(labels))
        return (np.log(total) - picked).mean(), p
