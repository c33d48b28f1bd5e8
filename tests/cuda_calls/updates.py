"""Steps of the optimisers on parameters of several shapes."""

import cupy_standin
import numpy as np

import minigrad as mg
from minigrad import optim

from .call import Call

CASES = {
    "sgd": (optim.SGD, {}),
    "sgd, decay": (optim.SGD, {"weight_decay": 0.1, "maximize": True}),
    "momentum": (optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "nesterov": (optim.SGD, {"momentum": 0.8, "nesterov": True, "maximize": True}),
    "adam": (optim.Adam, {"weight_decay": 0.1}),
    "adam of quick averages": (optim.Adam, {"betas": (0.2, 0.4), "maximize": True}),
    "amsgrad": (optim.Adam, {"amsgrad": True, "betas": (0.5, 0.3)}),
    "adamw": (optim.AdamW, {"weight_decay": 0.2}),
    "adamw, amsgrad": (optim.AdamW, {"weight_decay": 0.2, "amsgrad": True}),
    "rmsprop": (optim.RMSprop, {"weight_decay": 0.1}),
    "rmsprop, centered": (optim.RMSprop, {"centered": True, "alpha": 0.3, "maximize": True}),
    "rmsprop, momentum": (optim.RMSprop, {"momentum": 0.9}),
    "rmsprop, both": (optim.RMSprop, {"momentum": 0.5, "centered": True}),
    "adagrad": (optim.Adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
}
SHAPES = [(5, 7), (0, 3), (), (4097,), (1,)]  # one crosses a block's share


def stepped(kind, options, xp, *arrays, steps=3):
    """The parameters, and all that is kept beside them, after a few steps of falling rate."""
    half = len(arrays) // 2
    ps = [mg.tensor(a, device="cuda", requires_grad=True) for a in arrays[:half]]
    optimizer = kind(ps, lr=0.05, **options)
    for step in range(steps):
        for p, g in zip(ps, arrays[half:], strict=True):
            p.grad = mg.tensor(g) * (1 + 0.5 * step)  # anew: it lies elsewhere
        optimizer.param_groups[0]["lr"] *= 0.9
        optimizer.step()
    kept = [each for p in ps for each in optimizer.state[p].values() if isinstance(each, mg.Tensor)]
    assert not cupy_standin.hidden_copies
    return [t.array for t in (*ps, *kept)]


def drawn(dtype, shapes=SHAPES, seed=0):
    """Parameters, then their gradients: of either sign, and none near 0."""
    rng = np.random.default_rng(seed)
    signs = [rng.choice([-1, 1], shape) for shape in shapes * 2]
    return [np.asarray(rng.uniform(0.5, 2, s.shape) * s).astype(dtype) for s in signs]


def call(name, dtype):
    """A case's steps."""
    kind, options = CASES[name]
    return Call(lambda xp, *arrays: stepped(kind, options, xp, *arrays), *drawn(dtype))


CALLS = {f"{name}, {dtype}": call(name, dtype) for name in CASES for dtype in ("f4", "f8")}
