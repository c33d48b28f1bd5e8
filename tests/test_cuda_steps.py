"""Training on a GPU: the same script, the same losses, and nothing that waits for the device."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from cupy_standin import hidden_copies

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn, optim

EXAMPLES = Path(__file__).parent.parent / "examples"
BATCH = 8


def digits():
    """examples/digits.py as a module."""
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLES / "digits.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        patch.setitem(__import__("sys").modules, "digits_example", module)
        spec.loader.exec_module(module)
    return module


def cnn(dtype):
    """The model of examples/digits.py."""
    return digits().make_model("fused", dtype)


def mlp(dtype):
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 32, dtype=dtype), nn.BatchNorm1d(32, dtype=dtype)),
        *(nn.ReLU(), nn.Dropout(0.25), nn.Linear(32, 10, dtype=dtype)),
    )


MODELS = {"mlp": mlp, "cnn": cnn}
OPTIMISERS = {
    "SGD": lambda params: optim.SGD(params, 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True),
    "Adam": lambda params: optim.Adam(params, 1e-3, weight_decay=1e-2),
    "AdamW": lambda params: optim.AdamW(params, 1e-3, amsgrad=True),
    "RMSprop": lambda params: optim.RMSprop(params, 1e-3, momentum=0.5, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, 1e-2, lr_decay=0.01),
}


def batches(dtype, count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(size=(BATCH, 1, 8, 8)).astype(dtype), rng.integers(0, 10, BATCH)


def losses_on(device, model, optimiser, dtype, steps):
    """The whole script: the device is the one word in which it differs."""
    mg.manual_seed(0)
    model = MODELS[model](dtype).to(device)
    stepper = OPTIMISERS[optimiser](model.parameters())
    losses = []
    for x, labels in batches(dtype, steps):
        x, labels = mg.tensor(x, device=device), mg.tensor(labels, device=device)
        loss = F.cross_entropy(model(x), labels)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        losses.append(loss)
    return np.array([loss.item() for loss in losses])


@pytest.fixture(params=[True, False], ids=["kernels", "forwards"])
def kernels(request):
    with mg.kernels(request.param):
        yield request.param


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimiser", ["SGD", "Adam"])
def test_losses_in_float64_are_the_same_over_50_steps(cuda, model, optimiser, kernels):
    script = model, optimiser, mg.float64, 50
    np.testing.assert_allclose(losses_on(cuda, *script), losses_on("cpu", *script), rtol=1e-10)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_losses_in_float32_are_the_same_over_the_first_5_steps(cuda, model, optimiser, kernels):
    script = model, optimiser, mg.float32, 5
    np.testing.assert_allclose(losses_on(cuda, *script), losses_on("cpu", *script), rtol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_weights(cuda, model):
    mg.manual_seed(3)
    here = MODELS[model](mg.float32)
    mg.manual_seed(3)
    there = MODELS[model](mg.float32).to(cuda)
    for (name, a), b in zip(there.state_dict().items(), here.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_step_with_all_that_goes_with_it_never_waits(standin, model, optimiser, kernels):
    device = "cuda:1"  # while cuda:0 is current: nor does it land elsewhere
    mg.manual_seed(0)
    network = MODELS[model](mg.float32).to(device)
    groups = optim.no_decay_groups(network) if optimiser == "AdamW" else network.parameters()
    stepper = OPTIMISERS[optimiser](groups)
    schedule = optim.lr_scheduler.CosineAnnealingLR(stepper, T_max=4)
    average = optim.EMA(network, 0.9, warmup=True)
    hidden_copies.clear()
    for x, labels in batches(np.float32, 2):
        x, labels = mg.tensor(x, device=device), mg.tensor(labels, device=device)
        x = F.dropout(x, 0.1)
        loss = F.cross_entropy(network(x), labels, label_smoothing=0.0, ignore_index=3)
        loss = loss + 1e-3 * nn.l2_penalty(network)
        stepper.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm_(network.parameters(), 1.0)
        optim.clip_grad_norm_(network.parameters(), 1.0, norm_type=float("inf"))
        optim.clip_grad_value_(network.parameters(), 0.5)
        stepper.step()
        schedule.step()
        average.update()
    with average.average_parameters(), mg.no_grad():
        network.eval()
        network(x).argmax(1)
    average.copy_to(network)
    nn.recompute_stats(network, [x])
    stepper.zero_grad(set_to_none=False)
    assert not hidden_copies, f"the host looked: {dict(hidden_copies)}"
    everything = [loss, norm, *network.parameters(), *network.buffers(), *average.averages.values()]
    everything += [p.grad for p in network.parameters()]
    everything += [t for state in stepper.state.values() for t in state.values()]
    assert {t.device for t in everything if isinstance(t, mg.Tensor)} == {device}
    loss.item()
    assert hidden_copies == {"item": 1}  # it is read when the user reads it


def test_a_label_that_is_not_there_is_not_looked_for(standin):
    model = mlp(mg.float32).to("cuda")
    x = mg.randn(4, 1, 8, 8, device="cuda")
    labels = mg.tensor([0, 10, -1, 2], device="cuda")
    hidden_copies.clear()
    F.cross_entropy(model(x), labels).backward()
    assert not hidden_copies


@pytest.mark.parametrize("norm", ["fused", "composed"])
def test_the_example_trains_there(cuda, norm):
    example = digits()
    images, labels = next(batches(np.float32, 1))
    x, y = np.concatenate([images] * 32), np.concatenate([labels] * 32)
    data = example.Data(x, y, x, y)
    losses = {}
    for device in ("cpu", cuda):
        run = example.Run(norm, 0)
        steps = example.train_steps(run, data, 1, device)
        for _ in zip(range(2), steps, strict=False):
            pass
        losses[device] = run.losses
    np.testing.assert_allclose(losses[cuda], losses["cpu"], rtol=1e-4)
