"""State dicts: PyTorch's names and order, there and back; loading is all or nothing."""

import copy

import numpy as np
import pytest
from values import normal

import minigrad as mg
import minigrad.nn as nn
from minigrad.testing import assert_close


def torch_or_skip():
    return pytest.importorskip("torch")


def cnn(n):
    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2), n.Dropout(0.25),
        n.Flatten(), n.Linear(4 * 2 * 2, 3),
    )  # fmt: skip


def unchanged(model, before):
    after = model.state_dict()
    return all(np.array_equal(after[name].numpy(), value.numpy()) for name, value in before.items())


def test_names_and_order_of_a_state_dict_are_torchs():
    theirs = cnn(torch_or_skip().nn).state_dict()
    ours = cnn(nn).state_dict()
    assert list(ours) == list(theirs)
    assert [v.shape for v in ours.values()] == [tuple(v.shape) for v in theirs.values()]
    assert [str(v.dtype) for v in ours.values()] == [
        str(v.dtype).removeprefix("torch.") for v in theirs.values()
    ]


def test_a_state_goes_to_torch_and_comes_back():
    torch = torch_or_skip()
    ours, theirs, again = cnn(nn), cnn(torch.nn), cnn(nn)
    ours(mg.randn(5, 1, 4, 4))  # moves the statistics
    state = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    again.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(5, 1, 4, 4).astype(np.float32)
    y = theirs.eval()(torch.tensor(x)).detach().numpy()
    assert_close(ours.eval()(mg.tensor(x)), y, size=16)
    for a, b in zip(ours.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)


def test_a_state_dict_is_a_copy_without_history():
    model = nn.Linear(2, 2)
    state = model.state_dict()
    with mg.no_grad():
        model.weight.zero_()
    assert not any(v.requires_grad for v in state.values())
    assert (state["weight"].numpy() != 0).all()


def test_loading_copies():
    model, a = nn.Linear(2, 2), np.ones((2, 2), np.float32)
    model.load_state_dict({"weight": a, "bias": np.zeros(2)})
    a[:] = 5
    assert (model.weight.numpy() == 1).all()


def test_loading_keeps_the_modules_dtype_and_parameters():
    model = nn.Linear(2, 2)
    weight = model.weight
    model.load_state_dict({"weight": np.ones((2, 2)), "bias": np.zeros(2)})
    assert model.weight is weight
    assert model.weight.dtype == "float32"
    assert model.weight.requires_grad


def test_strict_loading_lists_every_problem_and_changes_nothing():
    model = cnn(nn)
    before = model.state_dict()
    state = {k: np.full(v.shape, 7.0) for k, v in before.items()}
    del state["0.bias"], state["1.running_mean"]
    state["6.weight"] = np.zeros((1, 2))
    state["6.gain"] = np.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    for part in ("0.bias: missing", "1.running_mean: missing", "6.gain: unexpected",
                 "6.weight: shape (1, 2) given, (3, 16) wanted"):  # fmt: skip
        assert part in str(caught.value)
    assert unchanged(model, before)


def test_loading_that_is_not_strict_takes_what_fits():
    model = nn.Linear(2, 2)
    bias = model.bias.numpy().copy()
    model.load_state_dict({"weight": np.ones((2, 2)), "else": np.ones(1)}, strict=False)
    assert (model.weight.numpy() == 1).all()
    np.testing.assert_array_equal(model.bias.numpy(), bias)


@pytest.mark.parametrize("strict", [True, False])
def test_a_wrong_shape_is_an_error_even_if_not_strict(strict):
    with pytest.raises(RuntimeError, match=r"weight: shape \(2, 3\) given, \(2, 2\) wanted"):
        nn.Linear(2, 2).load_state_dict(
            {"weight": np.ones((2, 3)), "bias": np.ones(2)}, strict=strict
        )


def test_a_state_without_the_batch_counter_loads_with_a_warning():
    model = nn.BatchNorm1d(2)
    state = model.state_dict()
    del state["num_batches_tracked"]
    with pytest.warns(UserWarning, match="num_batches_tracked"):
        model.load_state_dict(state)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("0.weight", np.zeros((4, 1, 3, 3), np.int32), "int32 given, floating numbers wanted"),
        ("0.bias", np.zeros(4, bool), "bool given, floating numbers wanted"),
        ("1.num_batches_tracked", np.float32(3), "float32 given, integers wanted"),
        ("1.num_batches_tracked", np.uint64(3), "uint64 given, integers wanted"),
        ("0.bias", ["a", "b", "c", "d"], "floating numbers wanted"),
        ("0.bias", [[1.0], [1.0, 2.0]], "inhomogeneous"),
    ],
)
def test_another_kind_of_numbers_is_refused_by_name(name, value, message, strict):
    model = cnn(nn)
    before = model.state_dict()
    state = {key: mg.ones_like(each) for key, each in before.items()}
    state[name] = value
    with pytest.raises(RuntimeError, match=f"{name}: .*{message}"):
        model.load_state_dict(state, strict=strict)
    assert unchanged(model, before)


def test_what_a_lenient_load_passed_over_is_returned():
    model = nn.Linear(2, 2)
    found = model.load_state_dict({"weight": np.ones((2, 2)), "else": np.ones(1)}, strict=False)
    assert found == (["bias"], ["else"])
    assert found.missing_keys == ["bias"]
    assert model.load_state_dict(model.state_dict()) == ([], [])


@pytest.mark.parametrize("given", ["model.safetensors", None, [1], nn.ReLU()])
def test_something_else_than_a_dict_is_told_what_to_give(given):
    with pytest.raises(TypeError, match=r"give a dict .*mg\.load\(path\)"):
        nn.Linear(2, 2).load_state_dict(given)


def test_a_checkpoint_that_holds_the_state_is_told_apart():
    model = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match=r"model: unexpected \(it is a dict itself"):
        model.load_state_dict({"model": model.state_dict()})


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floating_numbers_of_another_width_are_rounded(dtype):
    model = nn.Linear(2, 2)
    model.load_state_dict({"weight": np.full((2, 2), 0.1, dtype), "bias": np.zeros(2, dtype)})
    assert model.weight.dtype == np.float32
    assert model.weight.numpy()[0, 0] == np.float32(np.full((), 0.1, dtype))


def test_torchs_tensors_can_be_given_as_they_are():
    torch = torch_or_skip()
    theirs, ours = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    ours.load_state_dict(theirs.state_dict())
    assert ours.weight.tolist() == theirs.weight.tolist()


def test_a_value_that_cannot_be_moved_changes_nothing(monkeypatch):
    model = nn.Linear(2, 2)
    before = model.state_dict()
    moves = iter([np.ones((2, 2), np.float32)])
    monkeypatch.setattr("minigrad.nn.state._beside", lambda target, value: next(moves))
    with pytest.raises(StopIteration):
        model.load_state_dict({name: mg.ones_like(value) for name, value in before.items()})
    assert unchanged(model, before)


def five_kinds(n):
    """Embedding, LayerNorm, Linear, Conv2d and BatchNorm, the same here and in PyTorch."""

    class Net(n.Module):
        def __init__(self):
            super().__init__()
            self.words = n.Embedding(7, 4)
            self.norm = n.LayerNorm(4)
            self.head = n.Sequential(n.Linear(12, 16), n.BatchNorm1d(16), n.ReLU())
            self.conv = n.Conv2d(1, 2, 3)
            self.norm2 = n.BatchNorm2d(2)

        def forward(self, x):
            h = self.head(self.norm(self.words(x)).reshape(-1, 12))
            return self.norm2(self.conv(h.reshape(-1, 1, 4, 4)))

    return Net()


def test_five_kinds_of_layers_go_to_torch_and_back():
    torch = torch_or_skip()
    theirs, ours = five_kinds(torch.nn), five_kinds(nn)
    words = np.random.default_rng(0).integers(0, 7, (5, 3))
    theirs(torch.tensor(words))  # moves the statistics
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    y = theirs.eval()(torch.tensor(words)).detach().numpy()
    assert_close(ours.eval()(mg.tensor(words)), y, size=16)
    again = five_kinds(torch.nn)
    again.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for (name, a), b in zip(theirs.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_state_dict_can_be_copied_deeply():
    state = copy.deepcopy(nn.Linear(2, 2).state_dict())
    assert list(state) == ["weight", "bias"]
