"""What the tests of BatchNorm's variants share."""

import numpy as np
from batch_norm_cases import draw, host, leaf, parameters

import minigrad as mg

RANKS = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}


def made(name, shape, *args, device="cpu", **options):
    """The module `nn.<name>1d`, 2d or 3d for a layout, in float64 unless said otherwise, with
    weights that are negative, 0 and positive.
    """
    options = {"dtype": mg.float64, "device": device, **options}
    module = getattr(mg.nn, name + RANKS[len(shape)])(shape[1], *args, **options)
    for p, values in zip((module.weight, module.bias), parameters(shape[1]), strict=True):
        if p is not None:
            p.rebind(mg.tensor(values.astype(p.dtype), device=device).array)
    return module


def run(module, x, dy):
    """y, and the gradients of x, weight and bias, as NumPy arrays."""
    t = leaf(x, module.running_mean.device)
    y = module(t)
    found = mg.grad(y, [t, *module.parameters()], mg.tensor(dy, device=t.device))
    return [host(each) for each in (y, *found)]


def derivatives(f, inputs, orders):
    """The gradients of f(x) in x and other inputs at orders 1 to `orders`: a list of lists."""
    outputs, found = [f(inputs[0])], []
    for order in range(1, orders + 1):
        weights = [
            mg.tensor(draw(t.shape, 10 * order + i), device=t.device) for i, t in enumerate(outputs)
        ]
        loss = sum((t * t * w + t * w).sum() for t, w in zip(outputs, weights, strict=True))
        outputs = mg.grad(loss, inputs, create_graph=True)
        found.append([host(t) for t in outputs])
    return found


def assert_equal_at_every_order(a, b, bound=1e-9):
    for order, (left, right) in enumerate(zip(a, b, strict=True), 1):
        scale = max(np.abs(t).max() for t in right)
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            apart = np.abs(one - other).max() / scale
            assert apart <= bound, f"order {order}, through input {i}: {apart:.3g} apart"
