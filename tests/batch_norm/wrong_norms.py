"""What the tests of wrong batch norms share: how they are written, and how they are judged."""

import numpy as np
from batch_norm_helpers import EPS, draw, parameters, worst

import minigrad as mg
from minigrad.ops.batch_norm import batch_norm_reference

AXES = (0, 2)
SHAPE = (4, 3, 5)
SEEN = 1e-3  # a wrong result is at least so far off; a right one 1e-9 at most


def column(value):
    """A channel's values in a shape that broadcasts against x."""
    return value.reshape(1, -1, 1)


def total(value):
    """The sum of each channel, in the shape of a column."""
    return value.sum(axis=AXES, keepdims=True)


def arrays():
    """x, and weight and bias without a zero."""
    gamma, beta = parameters(3)
    gamma[1] = 0.4
    return draw(SHAPE, 1), gamma, beta


def inputs():
    return [mg.tensor(a) for a in arrays()]


def forward_y(x, gamma, beta, eps):
    """y, x - mean and 1/σ."""
    c = x - x.mean(AXES, keepdims=True)
    r = 1 / np.sqrt((c * c).mean(AXES, keepdims=True) + eps)
    return column(gamma) * (c * r) + column(beta), c, r


def reference(x, gamma, beta, *, axes, eps):
    """y of the composed batch norm."""
    return batch_norm_reference(x, gamma, beta, axes=axes, eps=eps)[0]


def composed(x, gamma, beta):
    return reference(x, gamma, beta, axes=AXES, eps=EPS)


def gradients_to_order(f, order):
    """The gradient through x, weight and bias at once, `order` times."""
    xs = [t.detach().requires_grad_() for t in inputs()]
    outputs = [f(*xs)]
    for k in range(order):
        weights = [mg.tensor(draw(t.shape, 7 * k + i)) for i, t in enumerate(outputs)]
        loss = sum((t * t * w).sum() for t, w in zip(outputs, weights, strict=True))
        found = mg.grad(loss, xs, create_graph=True, allow_unused=True)
        outputs = [x * 0 if g is None else g for x, g in zip(xs, found, strict=True)]
    return np.concatenate([t.numpy().ravel() for t in outputs])


def distance_from_composed(f, order):
    return worst(gradients_to_order(f, order), gradients_to_order(composed, order))
