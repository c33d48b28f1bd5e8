"""Several GPUs: results land where their arrays are, whatever the current device is.

On the stand-in, which has two, an operation on arrays of a device that is not current fails.
"""

import copy

import cupy_standin
import numpy as np
import pytest
from cupy_replaced import cupy_replaced
from cupy_standin import hidden_copies
from test_cupy import TRIED, calls, evaluate

import minigrad as mg
from minigrad import backend, gradient, nn, sweep
from minigrad.backend import several
from minigrad.op import registry
from minigrad.testing import assert_close

OTHER = "cuda:1"  # while cuda:0 is the current one


@pytest.mark.parametrize("name", TRIED)
def test_every_op_runs_where_its_arrays_are(standin, name):
    op = registry[name]
    for arrays, statics in calls(op)[:2]:
        there = evaluate(op, arrays, statics, OTHER, 2)
        here = evaluate(op, arrays, statics, "cpu", 2)
        for a, b in zip(there, here, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.device == OTHER
                assert_close(a, b, size=sum(each.size for each in arrays), what=name)
    assert standin.cuda.Device().id == 0


@pytest.mark.parametrize("name", [name for name in TRIED if registry[name].reference])
def test_every_reference_runs_where_its_arrays_are(standin, name):
    op = registry[name]
    arrays, statics = calls(op)[0]
    with mg.unfused():
        there = evaluate(op, arrays, statics, OTHER, 1)
    assert {a.device for a in there if a is not None} == {OTHER}


MAKERS = {
    "list": lambda device: mg.tensor([1.0, 2.0], device=device),
    "integers": lambda device: mg.tensor([1, 2], dtype=mg.float16, device=device),
    "zeros": lambda device: mg.zeros(2, device=device),
    "empty": lambda device: mg.empty(2, device=device),
    "arange": lambda device: mg.arange(2, device=device),
    "randn": lambda device: mg.randn(2, device=device),
    "like": lambda device: mg.ones_like(mg.zeros(2, device=device)),
    "from the host": lambda device: mg.ones(2).to(device),
    "from the other": lambda device: mg.ones(2, device="cuda:0").to(device),
    "from the other, in float16": lambda device: mg.tensor(
        mg.ones(2, device="cuda:0"), dtype=mg.float16, device=device
    ),
    "a copy": lambda device: mg.tensor(mg.ones(2, device=device)),
    "cuda is any": lambda device: mg.ones(2, device=device).to("cuda"),
    "deepcopy": lambda device: copy.deepcopy(mg.ones(2, device=device)),
    "an integer's dtype": lambda device: mg.arange(2, device=device).to(mg.int32),
    "parameter": lambda device: nn.Linear(1, 2, device=device).bias,
    "model.to": lambda device: nn.BatchNorm1d(2).to(device).running_var,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_tensor_is_made_on_the_device_that_is_named(standin, maker):
    t = MAKERS[maker](OTHER)
    assert t.device == OTHER
    assert t.array.device.id == 1
    assert np.isfinite(t.numpy()).all() or maker == "empty"


@pytest.mark.pitfall("E84")
def test_a_number_that_is_not_there(standin):
    for ask in (
        lambda: mg.zeros(1, device="cuda:2"),
        lambda: mg.tensor([1.0], device="cuda:2"),
        lambda: mg.ones(1).to("cuda:2"),
        lambda: nn.Linear(1, 1).to("cuda:2"),
        lambda: mg.zeros(1, device="cuda:one"),
        lambda: mg.zeros(1, device="cuda:"),
        lambda: mg.zeros(1, device="cuda:-1"),
    ):
        with pytest.raises(mg.DeviceError, match="known are 'cuda:0', 'cuda:1'"):
            ask()


def test_two_devices_do_not_meet(standin):
    x = mg.ones(2, 3, device="cuda:0", requires_grad=True)
    y = mg.ones(2, 3, device=OTHER, requires_grad=True)
    for meet in (
        lambda: x + y,
        lambda: mg.cat([x, y]),
        lambda: mg.where(x > 0, x, y),
        lambda: x @ y.T,
        lambda: (x * 1).backward(mg.ones(2, 3, device=OTHER)),
        lambda: nn.Linear(3, 1, device=OTHER)(x),
        lambda: nn.functional.cross_entropy(x, mg.tensor([0, 1], device=OTHER)),
        lambda: x.detach().copy_(y.detach()),
        lambda: x.detach().__setitem__(0, y[0].detach()),
    ):
        with pytest.raises(mg.DeviceError) as caught:
            meet()
        message = str(caught.value)
        assert "cuda:0" in message
        assert "cuda:1" in message
        assert ".to('cuda:" in message
    with pytest.raises(mg.DeviceError, match=r"add.*\(2, 3\) on cuda:0 .* \(2, 3\) on cuda:1"):
        x + y
    assert (x.grad, y.grad) == (None, None)


def test_a_graph_may_cross_from_one_device_to_the_other(standin):
    x = mg.tensor(np.arange(6.0).reshape(2, 3), device="cuda:0", requires_grad=True)
    w = mg.tensor(np.ones((3, 2)), device=OTHER, requires_grad=True)
    for _ in range(2):  # the second adds to what is there
        y = (x * x).to(OTHER) @ w
        (y.sum() + (y * y).to("cuda:0").sum().to(OTHER)).backward()
    assert (x.grad.device, w.grad.device) == ("cuda:0", OTHER)
    a, b = mg.tensor(x.numpy(), requires_grad=True), mg.tensor(w.numpy(), requires_grad=True)
    z = (a * a) @ b
    (z.sum() + (z * z).sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * a.grad.numpy())
    np.testing.assert_allclose(w.grad.numpy(), 2 * b.grad.numpy())


def test_gradients_of_gradients_and_hooks_there(standin):
    x = mg.tensor([1.0, 2.0, 3.0], device=OTHER, requires_grad=True)
    x.register_hook(lambda g: g * 2)
    parts = mg.sort(x * x)  # two outputs, of which one has a gradient
    (g,) = mg.grad(parts.values.sum() + (x * x * x).sum(), x, create_graph=True)
    g.sum().backward()
    assert (g.device, x.grad.device) == (OTHER, OTHER)
    assert x.grad.tolist() == [8 * (1 + 3 * v) for v in (1, 2, 3)]  # twice hooked


def test_several_outputs_of_which_one_is_used(standin):
    x = mg.tensor(np.arange(4.0), device=OTHER, requires_grad=True)
    left, _ = x.split(2)
    (left * left).sum().backward()
    assert x.grad.tolist() == [0, 2, 0, 0]


def test_writes_there(standin):
    x = mg.ones(3, device=OTHER)
    index = mg.tensor([0, 0, 1], device=OTHER)
    with mg.no_grad():
        x += 1
        x[index] = mg.tensor([5.0, 6.0, 7.0], device=OTHER)
        x[2] = 9.0
    y = mg.tensor(x)
    y.fill_(1)
    y.normal_()
    assert x.tolist() == [6, 7, 9]
    assert (x.device, y.device) == (OTHER, OTHER)


def test_batch_norm_in_all_its_forms_there(standin):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=None)).to(OTHER)
    x = mg.randn(8, 3, device=OTHER)
    model(x).sum().backward()
    model[0].forward(x)
    nn.recompute_stats(model, [x, x + 1])
    mean, std = nn.mc_batch_norm(model, x, [x, x + 1], passes=2)
    assert {t.device for t in (*model.buffers(), mean, std)} == {OTHER}
    with mg.detect_anomaly():
        model(x).sum().backward()


def test_the_current_device_stays_the_users(standin):
    with standin.cuda.Device(1):
        assert mg.zeros(1, device="cuda").device == OTHER
        x = mg.zeros(1, device="cuda:0", requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.device == "cuda:0"
        assert standin.cuda.Device().id == 1
        with pytest.raises(mg.ShapeError):
            mg.zeros(4, device="cuda:0") + mg.zeros(5, device="cuda:0")
        assert standin.cuda.Device().id == 1
    assert not hidden_copies


def test_where_there_is_one_nothing_asks():
    def asked():
        mg.mul(mg.ones(1), 1.0)
        names = registry["mul"].call.__code__.co_names
        functions = sweep._Flow.add, gradient._owned, mg.Tensor.copy_
        return several.are_there(), "at" in names, *[hasattr(f, "__wrapped__") for f in functions]

    assert not any(asked())
    with cupy_replaced(cupy_standin.modules):
        backend.named("cuda")
        assert all(asked())
    assert not any(asked())
