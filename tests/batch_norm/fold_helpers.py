"""What the folding tests share: models that lived, what folding says, and how far outputs are."""

import numpy as np
import pytest
from batch_norm_helpers import draw, host

import minigrad as mg
import minigrad.nn as nn


def lived_in(model, seed=0):
    """The model in evaluation mode, its norms with weights of both signs and statistics."""
    generator = np.random.default_rng(seed)
    for module in model.modules():
        channels = getattr(module, "num_features", 0)
        new = {
            "weight": np.resize([-1.3, 0.0, 0.7, 1.6], channels),
            "bias": generator.normal(size=channels),
            "running_mean": generator.normal(size=channels),
            "running_var": generator.uniform(0.1, 3.0, channels),
        }
        if channels:
            module.load_state_dict({n: new.get(n, t) for n, t in module.state_dict().items()})
    return model.eval()


def distance(folded, model, *inputs):
    """The largest difference of the outputs, relative to the largest output where it is over 1.

    Norms give numbers around 1, of which a ReLU may leave little.
    """
    y, expected = folded(*inputs), model(*inputs)
    assert y.dtype == expected.dtype
    y, expected = (host(t).astype(np.float64) for t in (y, expected))
    assert y.shape == expected.shape
    return np.abs(y - expected).max() / max(1, np.abs(expected).max())


def images(*shape, seed=0):
    return mg.tensor(draw(shape, seed, np.float32))


def fold_with_warning(model, *inputs, match=""):
    with pytest.warns(UserWarning, match=match):
        return nn.fold_batch_norm(model, *inputs)


def norms_in(model):
    return [name for name, module in model.named_modules() if hasattr(module, "running_var")]


def cnn():
    return nn.Sequential(
        {
            "conv": nn.Conv2d(1, 4, 3, bias=False),
            "norm": nn.BatchNorm2d(4),
            "act": nn.ReLU(),
            "flat": nn.Flatten(),
            "fc": nn.Linear(4 * 36, 5),
            "norm2": nn.BatchNorm1d(5, relu=True),
            "out": nn.Linear(5, 2),
        }
    )


def everything(model):
    return [
        (name, t.numpy().tobytes(), t.requires_grad, None if t.grad is None else t.grad.tolist())
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    ] + [(name, m.training, m.frozen, sorted(vars(m))) for name, m in model.named_modules()]
