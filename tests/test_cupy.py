"""The CuPy backend: over the stand-in everywhere, and over CuPy where there is a GPU (`-m gpu`)."""

import subprocess
import sys

import cupy_standin
import numpy as np
import pytest
from cupy_replaced import cupy_replaced
from cupy_standin import hidden_copies

import minigrad as mg
from minigrad import backend, nn, optim
from minigrad.op import registry
from minigrad.samples import Draw
from minigrad.testing import assert_close

# ---- without CuPy, or without a GPU


def refusal():
    """What a user reads who asks for the GPU; the CPU goes on working."""
    messages = set()
    for ask in (
        lambda: mg.tensor([1.0], device="cuda"),
        lambda: mg.zeros(2, device="cuda:1"),
        lambda: mg.tensor([1.0]).to(device="cuda"),
        lambda: mg.tensor([1.0]).cuda(),
        lambda: nn.Linear(1, 1).cuda(),
    ):
        with pytest.raises(mg.DeviceError) as caught:
            ask()
        messages.add(str(caught.value).partition(" (nor is")[0])
    assert (mg.tensor([1.0]) + 1).tolist() == [2.0]
    (message,) = messages
    return message


@pytest.mark.pitfall("E69", "E70")
def test_import_loads_no_cupy():
    code = "import minigrad, sys; print([m for m in sys.modules if 'cupy' in m])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.pitfall("E69")
def test_without_cupy():
    with cupy_replaced({"cupy": None}):  # Python's way to say that it is not there
        message = refusal()
    assert "needs CuPy" in message
    assert 'pip install "minigrad[cuda13]"' in message


@pytest.mark.pitfall("E69")
@pytest.mark.parametrize("kind", ["ImportError", "OSError"])
def test_a_broken_cupy(kind, tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text(f"raise {kind}('libcublas.so.13 is not here')")
    monkeypatch.syspath_prepend(tmp_path)
    with cupy_replaced({}):
        message = refusal()
    assert "installed, but does not import" in message
    assert "libcublas.so.13" in message
    assert "minigrad[cuda12]" in message


@pytest.mark.pitfall("E69")
def test_without_a_device(monkeypatch):
    def count():
        raise RuntimeError("cudaErrorInsufficientDriver")

    cuda = cupy_standin.modules["cupy.cuda"]
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda.runtime, "getDeviceCount", count)
    with cupy_replaced(cupy_standin.modules):
        message = refusal()
    assert "no NVIDIA GPU" in message
    assert "cudaErrorInsufficientDriver" in message
    assert "nvidia-smi" in message


def test_without_nvrtc(monkeypatch):
    def arange(*bounds):
        raise RuntimeError('Failure finding "libnvrtc.so.13"')

    monkeypatch.setattr(cupy_standin.modules["cupy"], "arange", arange, raising=False)
    with cupy_replaced(cupy_standin.modules):
        message = refusal()
    assert "cannot compile" in message
    assert "libnvrtc.so.13" in message
    assert "minigrad[cuda13]" in message


# ---- making and moving tensors


def test_tensors_are_made_there(cuda):
    made = [
        mg.tensor([[1, 2], [3, 4]], device=cuda),
        mg.tensor(np.arange(3.0), device=cuda),
        mg.tensor(np.arange(3, dtype=">i4"), device=cuda),
        mg.tensor([0.5, 1.5], dtype=mg.float16, device=cuda),
        mg.zeros(2, 3, device=cuda),
        mg.full((2,), 7, device=cuda),
        mg.eye(2, device=cuda),
        mg.arange(3, device=cuda),
        mg.linspace(0, 1, 5, device=cuda),
        mg.randn(4, device=cuda),
        mg.ones_like(mg.zeros(3, device=cuda)),
    ]
    assert {t.device for t in made} == {"cuda:0"}
    assert [str(t.dtype) for t in made[:4]] == ["int64", "float64", "int32", "float16"]
    assert made[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.pitfall("E84")
def test_there_and_back(cuda):
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    there = x.to(cuda)
    assert (there.device, there.cpu().device) == ("cuda:0", "cpu")
    assert there.to("cuda") is there
    np.testing.assert_array_equal(there.numpy(), x.numpy())
    (there * there).sum().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())


def test_a_bare_array_is_known(standin):
    array = standin.arange(3.0)
    with cupy_replaced(cupy_standin.modules):  # nobody has asked for "cuda" yet
        x = mg.tensor(array)
        assert x.device == "cuda:0"
        assert (x + array).device == "cuda:0"
        array += 1
        assert x.tolist() == [0, 1, 2]


@pytest.mark.pitfall("E57")
def test_numpy_gets_a_copy_that_was_asked_for(standin):
    x = mg.ones(2, device="cuda")
    x.numpy()[...] = 7
    assert hidden_copies == {"get": 1}
    assert x.tolist() == [1, 1]
    with pytest.raises(TypeError, match=r"\.cpu\(\)"):
        np.asarray(x)


@pytest.mark.pitfall("E77")
def test_nothing_is_copied_unasked(cuda):
    x, y = mg.ones(2), mg.ones(2, device=cuda)
    for mixed in (
        lambda: x + y,
        lambda: y * np.ones(2),
        lambda: mg.where(y > 0, x, x),
        lambda: nn.functional.cross_entropy(y.reshape(1, 2), mg.tensor([1])),
    ):
        with pytest.raises(mg.DeviceError, match="cuda:0"):
            mixed()


@pytest.mark.pitfall("E61")
def test_a_repr_looks_at_no_values(standin):
    assert repr(mg.ones(2, device="cuda")) == "tensor(<shape (2,)>, device='cuda:0')"
    assert not hidden_copies


# ---- what CuPy does in another way


def test_add_at_counts_duplicates(cuda):
    place = backend.named("cuda")
    for dtype in (mg.float16, mg.float32, mg.float64):
        x, values = (mg.tensor(each, dtype, "cuda").array for each in ([0, 0, 0], [1, 2, 4]))
        place.add_at(x, mg.tensor([1, 1, 2], device=cuda).array, values)
        np.testing.assert_array_equal(place.to_numpy(x), [0, 3, 4])
        assert x.dtype == dtype


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (np.array([0, 2, 0, 0]), (4, 3)),
        (np.array([0, 2, -4]), (3,)),
        (np.array([0, 0]), (1, 1, 2, 3)),
        ((np.array([[1], [1]]), np.array([0, 0])), (2, 2)),
        ((slice(None), np.array([2, 2, 0])), (4, 3)),
        (np.array([], int), (0, 3)),
        (slice(1, 3), (2, 3)),
        (np.arange(12).reshape(4, 3) % 2 == 0, (6,)),
    ],
    ids=str,
)
def test_the_last_value_stays(cuda, key, shape):
    values = np.random.default_rng(0).normal(size=shape)
    there, expected = mg.zeros(4, 3, dtype=mg.float64, device=cuda).array, np.zeros((4, 3))
    expected[key] = values
    place = backend.named("cuda")
    place.put(there, key, place.asarray(values))
    np.testing.assert_array_equal(place.to_numpy(there), expected)


# ---- every op


def calls(op):
    """Calls of an op by its own samples: array inputs and static arguments."""
    return [op.samples(Draw.seeded(seed)) for seed in range(8)] if op.samples else []


def tracked(op, arrays):
    """The positions of the inputs that can carry a gradient."""
    names = op.inputs * len(arrays) if op.variadic else op.inputs
    floating = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    return [i for i in floating if names[i] in op.differentiable]


def call(op, xs, statics):
    """The op's public function; what it takes as `*args` comes after what stands before it."""
    inputs = {op.inputs[0]: xs} if op.variadic else dict(zip(op.inputs, xs, strict=True))
    named = inputs | statics
    if not op.star:
        return op.call(**named)
    before = [named.pop(name) for name in op.order[: op.order.index(op.star)]]
    return op.call(*before, *named.pop(op.star), **named)


def evaluate(op, arrays, statics, device, order):
    """Outputs, and gradients up to an order along fixed directions, of one call on a device."""
    xs = [mg.tensor(a, device=device) for a in arrays]
    leaves = [xs[i].requires_grad_() for i in tracked(op, arrays)]
    y = call(op, xs, statics)
    found = list(y) if isinstance(y, tuple) else [y]
    rng, level = np.random.default_rng(0), found
    for _ in range(order):
        level = [t for t in level if t is not None and t.requires_grad]
        if not level or not leaves:
            break
        along = [mg.tensor(rng.normal(size=t.shape), t.dtype, device) for t in level]
        level = mg.grad(level, leaves, along, create_graph=True, allow_unused=True)
        found += level
    return found


# `move` is given the device to move to, and has a test of its own above
TRIED = [name for name, op in registry.items() if name != "move" and calls(op)]
FORMS = [pytest.param(name, False, id=name) for name in TRIED] + [
    pytest.param(name, True, id=f"{name}-composed") for name in TRIED if registry[name].reference
]


LOOKING = {"det": {"get"}}  # which singular values are small decides about the shapes that follow


@pytest.mark.pitfall("E76")
@pytest.mark.parametrize(("name", "composed"), FORMS)
def test_an_op_is_the_same_there(standin, name, composed):
    op = registry[name]
    for arrays, statics in calls(op):
        hidden_copies.clear()
        with mg.unfused() if composed else mg.enable_grad():
            there = evaluate(op, arrays, statics, "cuda", 2)
            copies = set(hidden_copies)
            here = evaluate(op, arrays, statics, "cpu", 2)
        assert copies <= LOOKING.get(name, set()), f"{name} looked at the device's values"
        assert [a is None for a in there] == [b is None for b in here]
        pairs = [(a, b) for a, b in zip(there, here, strict=True) if a is not None]
        for a, b in pairs:
            assert (a.device, a.dtype, a.shape) == ("cuda:0", b.dtype, b.shape)
        # side by side: where terms cancel (dx of two values, whose x̂ is ±1), what is left does not
        # tell how large they were, and the gradients beside it do
        a, b = (np.concatenate([_flat(t) for t in side]) for side in zip(*pairs, strict=True))
        assert_close(a, b, size=sum(each.size for each in arrays), what=name)


def _flat(t):
    return t.cpu().numpy().reshape(-1)


# ---- training


def classifier():
    """Each layer that there is, on images (N, 1, 8, 8) of three classes."""
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),  # a bias before BatchNorm has no gradient but
        nn.BatchNorm2d(4),  # rounding, which Adam would blow up
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 8, bias=False),
        nn.BatchNorm1d(8, momentum=None),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def images():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 12)


OPTIMISERS = {
    "SGD": lambda params: optim.SGD(params, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "Adam": lambda params: optim.Adam(params, 0.01, weight_decay=0.01),
}


def trained(device, optimiser, steps=3):
    model = classifier().to(device)
    stepper = OPTIMISERS[optimiser](model.parameters())
    x, labels = (mg.tensor(each, device=device) for each in images())
    losses = []
    for _ in range(steps):
        stepper.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), labels)
        loss.backward()
        stepper.step()
        losses.append(loss)
    return {"losses": mg.tensor([loss.item() for loss in losses]), **model.state_dict()}


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_training_is_the_same_there(cuda, optimiser, composed):
    with mg.unfused() if composed else mg.enable_grad():
        here, there = trained("cpu", optimiser), trained(cuda, optimiser)
    for name, value in here.items():
        assert name == "losses" or there[name].device == "cuda:0"
        assert_close(there[name], value, size=12 * 64, what=name)


@pytest.mark.pitfall("E78")
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_training_step_never_waits(standin, optimiser):
    model = classifier().to("cuda")
    stepper = OPTIMISERS[optimiser](model.parameters())
    x, labels = (mg.tensor(each, device="cuda") for each in images())
    for _ in range(2):
        stepper.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        stepper.step()
    nn.functional.dropout(x, 0.5).sum()
    assert not hidden_copies


def test_a_model_made_there_has_the_same_weights(cuda):
    mg.manual_seed(3)
    here = nn.Sequential(nn.Linear(3, 2), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    mg.manual_seed(3)
    there = nn.Sequential(
        nn.Linear(3, 2, device=cuda),
        nn.Conv2d(1, 2, 3, device=cuda),
        nn.BatchNorm2d(2, device=cuda),
    )
    for (name, a), b in zip(there.state_dict().items(), here.state_dict().values(), strict=True):
        assert a.device == "cuda:0", name
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_state_dicts_load_both_ways(cuda):
    here, there = classifier(), classifier().to(cuda)
    for p in here.parameters():
        p.data = p.numpy() + 1
    there.load_state_dict(here.state_dict())
    here.load_state_dict({name: t.array for name, t in there.state_dict().items()})
    for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True):
        assert (a.device, b.device) == ("cpu", "cuda:0")
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_statistics_are_recomputed_there(cuda):
    batches = [np.random.default_rng(i).normal(size=(4, 3)).astype(np.float32) for i in range(3)]
    here, there = nn.BatchNorm1d(3), nn.BatchNorm1d(3).to(cuda)
    nn.recompute_stats(here, batches)
    nn.recompute_stats(there, [mg.tensor(batch, device=cuda) for batch in batches])
    for a, b in zip(there.buffers(), here.buffers(), strict=True):
        assert_close(a, b, size=12)


@pytest.mark.pitfall("E83")
@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_label_out_of_range_gives_nan(standin, reduction, composed):
    x = mg.randn(4, 3, device="cuda", requires_grad=True)
    labels = mg.tensor([2, -1, -100, 3], device="cuda")
    with mg.unfused() if composed else mg.enable_grad():
        loss = nn.functional.cross_entropy(x, labels, reduction=reduction)
        loss.sum().backward()
    assert not hidden_copies
    wrong = [False, True, False, True]
    np.testing.assert_array_equal(np.isnan(x.grad.numpy()).any(1), wrong)
    expected = wrong if reduction == "none" else True
    np.testing.assert_array_equal(np.isnan(loss.numpy()), expected)


@pytest.mark.pitfall("E83")
def test_labels_on_the_host_are_looked_at_first(cuda):
    x = mg.randn(2, 3, device=cuda)
    for labels in ([0, 3], np.array([0, 3])):
        with pytest.raises(IndexError, match="label 3"):
            nn.functional.cross_entropy(x, labels)
    loss = nn.functional.cross_entropy(x, [0, 2])
    assert loss.device == "cuda:0"


@pytest.mark.parametrize("method", ["uniform_", "normal_", "zero_"])
def test_writes_land_there(device, method):
    t = mg.ones(3, device=device)
    with mg.no_grad():
        getattr(t, method)()
        t[0] = 5.0
        t *= 2
    assert t[0].item() == 10
    assert t.device.startswith(device)


def test_of_values_written_to_one_place_the_last_stays(device):
    x = mg.zeros(3, device=device, requires_grad=True)
    v = mg.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    y = x * 1
    y[[0, 0, 1]] = v
    (y * y).sum().backward()
    assert y.tolist() == [2, 3, 0]
    assert v.grad.tolist() == [0, 4, 6]
    t = mg.zeros(3, device=device)
    with mg.no_grad():
        t[[0, 0, 1]] = v.detach()
    assert t.tolist() == [2, 3, 0]
