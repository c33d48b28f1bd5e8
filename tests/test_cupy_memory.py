"""Memory of a GPU: shared with other libraries, and used up."""

import subprocess
import sys

import numpy as np
import pytest
from cupy_replaced import cupy_replaced
from cupy_standin import hidden_copies
from cupy_standin.memory import room

import minigrad as mg
from minigrad import nn, optim

# ---- used up


def told(ask, what):
    """Runs what needs too much, and gives the message."""
    with pytest.raises(mg.OutOfMemoryError) as caught:
        ask()
    message = str(caught.value)
    assert isinstance(caught.value, mg.DeviceError)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert what in message
    assert "no memory left on cuda:0" in message
    assert "empty_cache()" in message
    return message


def test_what_was_asked_for_and_what_is_free_is_said(standin):
    x = mg.ones(1000, dtype=mg.float64, device="cuda")
    with room.of(5000):
        message = told(lambda: x * 2, "mul(float64 (1000,), 2)")
    assert "allocating 8,000 bytes" in message
    assert "5,000 bytes of 5,000 free" in message


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: mg.zeros(1000, device="cuda"),
        lambda x: mg.empty(1000, device="cuda"),
        lambda x: mg.tensor([0.0] * 1000, device="cuda"),
        lambda x: mg.randn(1000, device="cuda"),
        lambda x: mg.ones(1000).to("cuda"),
        lambda x: mg.ones_like(x),
        lambda x: x.exp(),
        lambda x: mg.cat([x, x]),
        lambda x: nn.Linear(10, 100).cuda(),
    ],
)
def test_tensors_stay_usable(standin, ask):
    x = mg.ones(1000, device="cuda")
    with room.of(2000):
        told(lambda: ask(x), "")
        assert (x[:100] * 2).sum().item() == 200  # smaller things go on inside
    assert (x * 2).sum().item() == 2000


def test_a_backward_that_finds_no_memory_changes_no_gradient(standin):
    x = mg.ones(1000, device="cuda", requires_grad=True)
    (x * 1).sum().backward()
    y = (x * x).exp().sum()
    with room.of(4500):
        told(y.backward, "the rule of ")
    assert x.grad.tolist() == [1.0] * 1000
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3.0] * 1000


@pytest.mark.parametrize("on", [True, False], ids=["kernels", "rules"])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
def test_a_step_that_finds_no_memory_does_not_count(standin, kind, on):
    options = {"momentum": 0.9} if kind in (optim.SGD, optim.RMSprop) else {}
    found = []
    for short in (True, False):
        w = mg.ones(1000, device="cuda", requires_grad=True)
        optimizer = kind([w], lr=0.1, **options)
        w.grad = mg.ones(1000, device="cuda")
        with mg.kernels(on):
            if short:
                with room.of(3000):
                    told(optimizer.step, f"{kind.__name__}.step")
                assert w.tolist() == [1.0] * 1000
            optimizer.step()
        found.append([w.tolist(), *[t.tolist() for t in optimizer.state_dict().values()]])
    assert found[0] == found[1]


def test_other_errors_stay_what_they_are(standin):
    with pytest.raises(MemoryError) as caught:
        mg.zeros(1 << 50)  # NumPy's own
    assert not isinstance(caught.value, mg.OutOfMemoryError)


# ---- shared


def test_memory_is_shared_with_pytorch_both_ways():
    torch = pytest.importorskip("torch")
    t = mg.tensor([1.0, 2.0])
    theirs = torch.from_dlpack(t)
    theirs[0] = 7
    assert t.tolist() == [7, 2]
    ours = mg.from_dlpack(theirs)
    theirs[1] = 9
    assert ours.tolist() == [7, 9]
    assert mg.from_dlpack(torch.ones(2, dtype=torch.float16)).dtype == mg.float16


def test_memory_is_shared_with_jax():
    jax = pytest.importorskip("jax")
    x = jax.numpy.arange(3.0)
    assert mg.from_dlpack(x).tolist() == [0, 1, 2]
    assert jax.dlpack.from_dlpack(mg.tensor([1.0, 2.0])).tolist() == [1, 2]


def test_a_gradient_is_not_dropped_unsaid():
    x = mg.ones(2, requires_grad=True)
    for t in (x, x * 2):
        with pytest.raises(mg.GraphError, match=r"\.detach\(\)"):
            np.from_dlpack(t)
    assert np.from_dlpack(x.detach()).tolist() == [1, 1]


def test_what_cannot_be_shared():
    with pytest.raises(mg.DTypeError, match="no __dlpack__"):
        mg.from_dlpack([1.0])
    with pytest.raises(mg.DTypeError, match="complex"):
        mg.from_dlpack(np.ones(2, complex))


def test_arrays_of_cupy_are_kept_without_a_copy(standin):
    array = standin.arange(3.0)
    t = mg.from_dlpack(array)
    assert t.array is array
    leaf = mg.zeros(3, dtype=mg.float64, device="cuda", requires_grad=True)
    leaf.data = array
    assert leaf.array is array
    assert mg.from_dlpack(t).array is array
    assert t.__dlpack_device__() == (2, 0)
    with pytest.raises(BufferError):  # the stand-in's own: it was asked
        t.__dlpack__()
    assert not hidden_copies


class Theirs:
    """An array of another library's on a GPU."""

    def __init__(self, array):
        self.array_of_cupy = array

    def __dlpack_device__(self):
        return 2, self.array_of_cupy.device.id

    def __dlpack__(self, **options):
        return self.array_of_cupy


@pytest.mark.parametrize("number", [0, 1])
def test_another_librarys_array_on_a_gpu_stays_there(standin, monkeypatch, number):
    monkeypatch.setattr(standin, "from_dlpack", lambda a: a.__dlpack__(), raising=False)
    with standin.cuda.Device(number):
        array = standin.arange(3.0)
    shared, copied = mg.from_dlpack(Theirs(array)), mg.tensor(Theirs(array))
    assert shared.array is array
    assert copied.array is not array
    assert {shared.device, copied.device} == {f"cuda:{number}"}
    assert mg.tensor(Theirs(array), device="cuda:1").device == "cuda:1"
    assert not hidden_copies


def test_what_is_not_contiguous_is_served(cuda):
    x = mg.tensor(np.arange(12.0).reshape(3, 4), device=cuda)
    views = x.T, x[::-1, ::2], x[:, 1], x.reshape(2, 6).transpose(0, 1)
    functions = mg.exp, mg.relu, lambda t: mg.softmax(t, 0), lambda t: t.sum(0), lambda t: t @ t.T
    for view in views:
        here = mg.tensor(view.numpy())
        for f in functions:
            np.testing.assert_allclose(f(view).numpy(), f(here).numpy())


# ---- mg.cuda


def test_what_mg_cuda_says(standin):
    assert mg.cuda.is_available()
    assert mg.cuda.device_count() == 2
    mg.cuda.synchronize()
    assert not hidden_copies


def test_what_mg_cuda_says_without_a_gpu():
    with cupy_replaced({"cupy": None}):
        assert not mg.cuda.is_available()
        assert mg.cuda.device_count() == 0
        with pytest.raises(mg.DeviceError, match="needs CuPy"):
            mg.cuda.synchronize()


def test_naming_mg_cuda_loads_no_cupy():
    code = "import minigrad, sys; minigrad.cuda; print([m for m in sys.modules if 'cupy' in m])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
