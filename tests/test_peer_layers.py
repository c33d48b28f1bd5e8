"""Every layer and loss against PyTorch's: outputs, gradients and twenty steps of training.

The same weights go into both, through state dicts; calls are drawn from tests/layer_calls.
"""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_calls import CALLS, draw_call

import minigrad as mg
from minigrad import nn, optim
from minigrad.samples import Draw

torch = pytest.importorskip("torch")

DRAWN = {"quick": 6, "thorough": 25}[os.environ.get("HYPOTHESIS_PROFILE", "quick")]
STEPS = 20
WITHOUT_PEER = {
    "Module": "the base of all",
    "Sequential": "its parts are compared, and whole models in test_peer_models.py",
    "ModuleList": "it computes nothing",
    "ModuleDict": "it computes nothing",
    **{f"GhostBatchNorm{rank}d": "PyTorch has none" for rank in (1, 2, 3)},
    **{f"BatchRenorm{rank}d": "PyTorch has none" for rank in (1, 2, 3)},
}


def test_every_layer_has_a_peer_or_a_reason():
    ours = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert ours == CALLS.keys() | WITHOUT_PEER.keys()
    assert not CALLS.keys() & WITHOUT_PEER.keys()


def twins(call):
    """Our layer and PyTorch's in float64, with the same state; the state went both ways."""
    ours, theirs = call.make(nn).to(mg.float64), call.make(torch.nn).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    state = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    theirs.load_state_dict(state)
    return ours, theirs


def tensors(call):
    """The inputs as tensors of both libraries; floating ones require grad."""
    floating = [a.dtype.kind == "f" for a in call.inputs]
    xs = [mg.tensor(a, requires_grad=f) for a, f in zip(call.inputs, floating, strict=True)]
    zs = [torch.tensor(a, requires_grad=f) for a, f in zip(call.inputs, floating, strict=True)]
    return xs, zs


def same(actual, expected, what):
    """Equal to 1e-10 of the largest value (or of 1, if all are smaller)."""
    a, b = np.asarray(actual), expected.detach().numpy()
    assert a.shape == b.shape, f"{what}: shape {a.shape}, PyTorch's is {b.shape}"
    assert a.dtype == b.dtype, f"{what}: {a.dtype}, PyTorch's is {b.dtype}"
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=what)
    scale = max(1.0, np.abs(b).max(initial=0, where=np.isfinite(b)))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * scale, err_msg=what)


def trainable(model, inputs):
    """Weights by name, then floating inputs by position."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return named + [(f"input {i}", x) for i, x in enumerate(inputs) if x.requires_grad]


def groups(room, trained):
    """Inputs move little: where a step is as large as their differences, a norm makes rounding grow
    (PyTorch's is 2e-14 in the gradient of GroupNorm over two values 0.04 apart, ours 5e-16).
    """
    weights = [p for name, p in trained if not name.startswith("input ")]
    inputs = [p for name, p in trained if name.startswith("input ")]
    given = [{"params": weights}, {"params": inputs, "lr": 1e-4}]
    return room.SGD([g for g in given if g["params"]], lr=0.01, momentum=0.5)


def train_together(call):
    """Both layers fit the same target; every output, gradient and result must agree."""
    (ours, theirs), (xs, zs) = twins(call), tensors(call)
    ours_trained, theirs_trained = trainable(ours, xs), trainable(theirs, zs)
    assert [name for name, _ in ours_trained] == [name for name, _ in theirs_trained]
    steps = (groups(optim, ours_trained), groups(torch.optim, theirs_trained))
    target = np.random.default_rng(0).normal(size=tuple(theirs(*zs).shape))
    theirs.load_state_dict({n: torch.tensor(v.numpy()) for n, v in ours.state_dict().items()})
    for step in range(STEPS):
        y, z = ours(*xs), theirs(*zs)
        same(y.numpy(), z, f"{call}: output of step {step}")
        for optimiser in steps:
            optimiser.zero_grad()
        ((y - mg.tensor(target)) ** 2).mean().backward()
        ((z - torch.tensor(target)) ** 2).mean().backward()
        for (name, p), (_, q) in zip(ours_trained, theirs_trained, strict=True):
            same(p.grad.numpy(), q.grad, f"{call}: gradient of {name} in step {step}")
        for optimiser in steps:
            optimiser.step()
    pairs = zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True)
    for (name, value), (other, expected) in pairs:
        assert name == other
        same(value.numpy(), expected, f"{call}: {name} after {STEPS} steps")


@pytest.mark.parametrize("name", CALLS)
def test_outputs_gradients_and_twenty_steps_are_torchs(name):
    @settings(max_examples=DRAWN)
    @given(data=st.data())
    def trial(data):
        draw = Draw(lambda low, high: data.draw(st.integers(low, high)))
        train_together(draw_call(name, draw))

    trial()


@pytest.mark.parametrize("name", CALLS)
def test_initial_weights_are_distributed_as_torchs(name):
    """Mean, deviation and extremes of each parameter over many seeds, for one call."""
    call = draw_call(name, Draw.seeded(3))
    ours, theirs = (
        [dict(call.make(room).named_parameters()) for _ in range(60)] for room in (nn, torch.nn)
    )
    for key in theirs[0]:
        a = np.concatenate([each[key].numpy().reshape(-1) for each in ours])
        b = np.concatenate([each[key].detach().numpy().reshape(-1) for each in theirs])
        spread, n = b.std(), len(a)
        assert abs(a.mean() - b.mean()) <= 6 * spread * np.sqrt(2 / n), key
        assert abs(a.std() - spread) <= 6 * spread / np.sqrt(n), key
        assert np.abs(a).max() <= np.abs(b).max() + spread, key
