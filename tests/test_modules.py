"""Modules: PyTorch's outputs, gradients, names, initial weights; state, modes, copies, errors."""

import copy
import pickle

import numpy as np
import pytest
from values import apart, normal

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, ShapeError
from minigrad.testing import assert_close, check_grads


def torch_or_skip():
    return pytest.importorskip("torch")


def twins(make, shape):
    """The same module here and in PyTorch, in float64, with the same weights, and an input."""
    torch = torch_or_skip()
    theirs = make(torch.nn).double()
    ours = make(nn).to(mg.float64)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    a = apart(*shape)
    return ours, theirs, mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)


LAYERS = {
    "Linear": (lambda n: n.Linear(3, 4), (5, 3)),
    "Linear, 3-d": (lambda n: n.Linear(3, 4), (2, 5, 3)),
    "Linear, 1-d": (lambda n: n.Linear(3, 4), (3,)),
    "Linear, no bias": (lambda n: n.Linear(3, 4, bias=False), (5, 3)),
    "Conv2d": (lambda n: n.Conv2d(2, 4, 3), (2, 2, 5, 6)),
    "Conv2d, no bias": (lambda n: n.Conv2d(2, 4, (3, 2), bias=False), (2, 2, 5, 6)),
    "Conv2d, options": (
        lambda n: n.Conv2d(2, 4, 3, stride=2, padding=(1, 2), dilation=2, groups=2), (2, 2, 7, 6),
    ),
    "Conv2d, same": (lambda n: n.Conv2d(2, 2, 3, padding="same"), (2, 2, 4, 5)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(3), (5, 3)),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(3), (2, 3, 2, 2)),
    "BatchNorm2d, plain": (
        lambda n: n.BatchNorm2d(3, affine=False, track_running_stats=False), (2, 3, 2, 2),
    ),
    "BatchNorm3d": (lambda n: n.BatchNorm3d(2), (2, 2, 2, 2, 1)),
    "ReLU": (lambda n: n.ReLU(), (3, 4)),
    "MaxPool2d": (lambda n: n.MaxPool2d(2), (2, 3, 4, 6)),
    "MaxPool2d, options": (lambda n: n.MaxPool2d(3, stride=2, padding=1), (2, 3, 5, 6)),
    "AvgPool2d": (lambda n: n.AvgPool2d(2), (2, 3, 4, 6)),
    "AvgPool2d, options": (lambda n: n.AvgPool2d((3, 2), 2, (1, 1)), (2, 3, 5, 6)),
    "Flatten": (lambda n: n.Flatten(), (2, 3, 4)),
    "Flatten, options": (lambda n: n.Flatten(0, 1), (2, 3, 4)),
    "Dropout in evaluation": (lambda n: n.Dropout(0.5).eval(), (3, 4)),
    "Sequential": (lambda n: n.Sequential(n.Linear(3, 4), n.ReLU(), n.Linear(4, 2)), (5, 3)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_layers_and_their_gradients_are_torchs(make, shape):
    ours, theirs, x, z = twins(make, shape)
    y, w = ours(x), theirs(z)
    g = normal(*y.shape)
    y.backward(g)
    w.backward(torch_or_skip().tensor(g))
    assert_close(y, w.detach().numpy(), size=x.size)
    assert_close(x.grad, z.grad.numpy(), size=x.size * 10)
    for (name, a), (other, b) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == other
        assert_close(a.grad, b.grad.numpy(), size=x.size * 10, what=name)


def cnn(n):
    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2), n.Dropout(0.25),
        n.Flatten(), n.Linear(4 * 2 * 2, 3),
    )  # fmt: skip


# ---- state dicts ---------------------------------------------------------------------------------


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
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())


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


# ---- what a module owns --------------------------------------------------------------------------


class Owner(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter([1.0, 2.0])
        self.layers = [nn.Linear(1, 1), nn.ReLU()]
        self.heads = {"a": nn.Linear(1, 2, bias=False), "b": (nn.Linear(2, 1, bias=False),)}
        self.table = [nn.Parameter([3.0]), nn.Buffer([4.0])]
        self.plain = mg.ones(3)
        self.name = "owner"


def test_modules_in_lists_and_dicts_are_found():
    assert [name for name, _ in Owner().named_parameters()] == [
        "scale", "table.0", "layers.0.weight", "layers.0.bias", "heads.a.weight",
        "heads.b.0.weight",
    ]  # fmt: skip


def test_buffers_are_found_and_plain_tensors_are_not():
    assert [name for name, _ in Owner().named_buffers()] == ["table.1"]
    assert "plain" not in Owner().state_dict()


def test_own_parameters_come_before_own_buffers_and_children():
    assert list(Owner().state_dict())[:3] == ["scale", "table.0", "table.1"]


def test_a_shared_parameter_is_given_once_but_saved_under_both_names():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_shared_module_is_visited_once():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(model.parameters())) == 2
    assert len(list(model.modules())) == 3


def test_a_shared_parameter_collects_both_gradients():
    layer = nn.Linear(1, 1, bias=False)
    with mg.no_grad():
        layer.weight.fill_(3.0)
    nn.Sequential(layer, layer)(mg.ones(1, 1)).sum().backward()
    assert layer.weight.grad.item() == 6.0


def test_parameters_require_grad_and_buffers_do_not():
    model = nn.BatchNorm1d(2)
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    assert not any(b.requires_grad for b in model.buffers())


def test_zero_grad_takes_every_gradient_away():
    model = nn.Linear(2, 2)
    model(mg.ones(1, 2)).sum().backward()
    model.zero_grad()
    assert [p.grad for p in model.parameters()] == [None, None]


def test_apply_visits_children_first():
    names = []
    nn.Sequential(nn.ReLU(), nn.Flatten()).apply(lambda m: names.append(type(m).__name__))
    assert names == ["ReLU", "Flatten", "Sequential"]


# ---- modes, dtype, copies ------------------------------------------------------------------------


def test_train_and_eval_reach_everything():
    model = cnn(nn)
    assert all(not m.training for m in model.eval().modules())
    assert all(m.training for m in model.train().modules())


def test_a_frozen_module_stays_in_evaluation_and_does_not_learn():
    model = cnn(nn)
    model[1].freeze()
    model.train()
    before = model[1].running_mean.numpy().copy()
    model(mg.randn(3, 1, 4, 4)).sum().backward()
    assert not model[1].training
    assert model[1].weight.grad is None
    assert model[0].weight.grad is not None
    np.testing.assert_array_equal(model[1].running_mean.numpy(), before)


def test_unfreeze_undoes_freeze():
    model = cnn(nn).freeze().unfreeze()
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_to_changes_floating_parameters_and_buffers_in_place():
    model = cnn(nn)
    parameters = list(model.parameters())
    model.to(mg.float64)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert {str(v.dtype) for v in model.state_dict().values()} == {"float64", "int64"}
    y = model(mg.randn(3, 1, 4, 4, dtype=mg.float64))
    y.sum().backward()
    assert y.dtype == "float64"
    assert {p.grad.dtype for p in parameters} == {np.dtype("float64")}


@pytest.mark.parametrize(
    ("method", "dtype"), [("half", "float16"), ("float", "float32"), ("double", "float64")]
)
def test_dtype_methods(method, dtype):
    assert getattr(nn.Linear(1, 1), method)().weight.dtype == dtype


def test_layers_take_a_dtype():
    assert nn.Linear(1, 1, dtype=mg.float64).bias.dtype == "float64"
    assert nn.Conv2d(1, 1, 1, dtype=mg.float16).weight.dtype == "float16"


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_are_equal_and_independent(copied):
    model = cnn(nn)
    loss = model(mg.randn(3, 1, 4, 4)).sum()
    loss.backward()
    other = copied(model)
    for (name, a), (_, b) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)
        assert isinstance(b, nn.Parameter)
        assert b.requires_grad
        assert not np.shares_memory(a.array, b.array)
    x = mg.randn(2, 1, 4, 4)
    np.testing.assert_array_equal(model.eval()(x).numpy(), other.eval()(x).numpy())


def test_a_copy_of_a_module_keeps_its_shared_parameters_shared():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other[0].weight is other[1].weight


@pytest.mark.parametrize(
    ("module", "shown"),
    [
        (lambda: nn.Linear(2, 3), "Linear(in_features=2, out_features=3, bias=True)"),
        (lambda: nn.ReLU(), "ReLU()"),
        (lambda: nn.Dropout(0.2), "Dropout(p=0.2)"),
        (lambda: nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0)"),
        (
            lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())),
            "Sequential(\n  (0): ReLU()\n  (1): Sequential(\n    (0): ReLU()\n  )\n)",
        ),
    ],
)
def test_repr(module, shown):
    assert repr(module()) == shown


def test_repr_of_conv2d_names_its_options():
    shown = repr(nn.Conv2d(2, 4, 3, stride=2, padding="valid", groups=2, bias=False))
    for part in ("Conv2d(2, 4", "kernel_size=(3, 3)", "stride=2", "'valid'", "groups=2",
                 "bias=False"):  # fmt: skip
        assert part in shown


def test_sequential_is_indexed_sliced_counted_and_iterated():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Flatten())
    assert isinstance(model[1], nn.ReLU)
    assert isinstance(model[-1], nn.Flatten)
    assert [type(m) for m in model[1:]] == [nn.ReLU, nn.Flatten]
    assert len(model) == len(list(model)) == 3


def test_sequential_of_one_module_twice_runs_it_twice():
    layer = nn.Linear(1, 1, bias=False)
    with mg.no_grad():
        layer.weight.fill_(3.0)
    model = nn.Sequential(layer, layer)
    assert len(model) == 2
    assert model(mg.ones(1, 1)).item() == 9.0


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match="def forward"):
        Owner()(mg.ones(1))


def test_sequential_takes_modules_only():
    with pytest.raises(TypeError, match="position 1"):
        nn.Sequential(nn.ReLU(), F.relu)


# ---- initial weights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [(lambda n: n.Linear(400, 300), 400), (lambda n: n.Conv2d(16, 64, (3, 5)), 240),
     (lambda n: n.Conv2d(16, 512, 5, groups=4), 100)],
)  # fmt: skip
def test_initial_weights_are_uniform_as_torchs(make, fan_in):
    layer, bound = make(nn), fan_in**-0.5
    for t in (layer.weight.numpy(), layer.bias.numpy()):
        n = t.size
        assert np.abs(t).max() <= bound * (1 + 1e-6)
        assert np.abs(t).max() > bound * (1 - 20 / n)
        assert abs(t.mean()) < 5 * bound / np.sqrt(3 * n)
        # the variance of a squared uniform variable is (4/45)·bound⁴
        assert abs((t**2).mean() - bound**2 / 3) < 5 * bound**2 * np.sqrt(4 / 45 / n)
    other = make(torch_or_skip().nn)
    assert other.weight.abs().max() <= bound * (1 + 1e-6)
    assert abs(other.weight.detach().numpy().std() / layer.weight.numpy().std() - 1) < 0.02


@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 3), lambda: nn.Conv2d(1, 1, 3)])
def test_one_seed_gives_the_same_weights(make):
    mg.manual_seed(1)
    first = make().weight.tolist()
    mg.manual_seed(1)
    assert make().weight.tolist() == first


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d])
def test_batch_norm_starts_as_the_identity(kind):
    layer = kind(3)
    state = {name: value.tolist() for name, value in layer.state_dict().items()}
    assert state == {
        "weight": [1.0] * 3, "bias": [0.0] * 3, "running_mean": [0.0] * 3,
        "running_var": [1.0] * 3, "num_batches_tracked": 0,
    }  # fmt: skip


def test_batch_norm_without_parameters_and_statistics_has_no_state():
    assert list(nn.BatchNorm2d(3, affine=False, track_running_stats=False).state_dict()) == []


def test_batch_norm_refuses_a_negative_eps():
    with pytest.raises(ValueError, match="-1"):
        nn.BatchNorm2d(3, eps=-1)


# ---- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_zeroes_with_probability_p_and_keeps_the_mean(p):
    n = 40000
    y = nn.Dropout(p)(mg.ones(n)).numpy()
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - p)))


def test_the_gradient_of_dropout_is_its_mask():
    x = mg.ones(50, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_draws_anew_at_every_call():
    layer, x = nn.Dropout(0.5), mg.ones(100)
    assert layer(x).tolist() != layer(x).tolist()


def test_dropout_in_evaluation_changes_nothing():
    x = mg.randn(10)
    np.testing.assert_array_equal(nn.Dropout(0.5).eval()(x).numpy(), x.numpy())


@pytest.mark.parametrize(("p", "expected"), [(0, 1.0), (0.0, 1.0), (1, 0.0), (1.0, 0.0)])
def test_dropout_of_none_and_of_all(p, expected):
    x = mg.ones(10, requires_grad=True)
    y = nn.Dropout(p)(x)
    y.sum().backward()
    assert y.tolist() == [expected] * 10
    assert x.grad.tolist() == [expected] * 10


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dropout_keeps_the_dtype(dtype):
    assert nn.Dropout(0.3)(mg.ones(4, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_probability_out_of_range_is_an_error(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(mg.ones(2), p)


# ---- cross-entropy -------------------------------------------------------------------------------

LOGITS = {
    "(N, C)": ((5, 3), (5,)),
    "(N, C, d)": ((2, 3, 4), (2, 4)),
    "(N, C, d, e)": ((2, 3, 2, 2), (2, 2, 2)),
    "one class": ((3, 1), (3,)),
}


def labels_for(shape, classes, ignored):
    labels = np.random.default_rng(0).integers(0, classes, shape)
    if ignored:
        labels.reshape(-1)[::2] = -100
    return labels


@pytest.mark.pitfall("E47")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(("shape", "label_shape"), LOGITS.values(), ids=LOGITS)
def test_cross_entropy_and_its_gradient_are_torchs(shape, label_shape, ignored, reduction):
    torch = torch_or_skip()
    a, labels = normal(*shape) * 3, labels_for(label_shape, shape[1], ignored)
    x, z = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = nn.CrossEntropyLoss(reduction=reduction)(x, mg.tensor(labels))
    w = torch.nn.CrossEntropyLoss(reduction=reduction)(z, torch.tensor(labels))
    y.sum().backward()
    w.sum().backward()
    assert_close(y, w.detach().numpy(), size=a.size)
    assert_close(x.grad, z.grad.numpy(), size=a.size)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("shape", "label_shape"), LOGITS.values(), ids=LOGITS)
def test_derivatives_of_cross_entropy(shape, label_shape, reduction):
    labels = labels_for(label_shape, shape[1], True)
    check_grads(lambda x: F.cross_entropy(x, labels, reduction=reduction), [normal(*shape)], 3)


@pytest.mark.pitfall("E47")
def test_the_gradient_of_cross_entropy_is_softmax_minus_onehot():
    a, labels = normal(4, 3), np.array([0, 2, 1, 1])
    x = mg.tensor(a, requires_grad=True)
    F.cross_entropy(x, labels, reduction="sum").backward()
    e = np.exp(a - a.max(1, keepdims=True))
    expected = e / e.sum(1, keepdims=True) - np.eye(3)[labels]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        (0, 1),
        np.array([0, 1]),
        np.array([0, 1], np.uint8),
        mg.tensor([0, 1]),
        mg.tensor([0, 1], mg.int32),
    ],
)
def test_labels_may_be_lists_arrays_or_tensors(labels):
    assert_close(F.cross_entropy(mg.zeros(2, 4), labels), np.float32(np.log(4)))


def test_another_label_can_be_ignored():
    x = mg.tensor(normal(3, 2))
    some = nn.CrossEntropyLoss(ignore_index=-1)(x, [0, -1, 1])
    assert_close(some, F.cross_entropy(x[[0, 2]], [0, 1]).numpy())


def test_a_class_can_be_ignored():
    x = mg.tensor(normal(3, 2))
    assert_close(F.cross_entropy(x, [0, 1, 0], ignore_index=1),
                 F.cross_entropy(x[[0, 2]], [0, 0]).numpy())  # fmt: skip


@pytest.mark.pitfall("E47")
def test_huge_margins_are_finite_and_exact():
    x = mg.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    losses = F.cross_entropy(x, [0, 0], reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [0.0, 2000.0]
    assert x.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0]]


def test_the_mean_over_ignored_labels_is_nan_as_in_torch():
    with np.errstate(invalid="ignore"):  # 0 / 0
        assert np.isnan(F.cross_entropy(mg.zeros(2, 3), [-100, -100]).item())


def test_the_mean_over_an_empty_batch_is_nan_as_in_torch():
    with np.errstate(invalid="ignore"):  # 0 / 0
        assert np.isnan(F.cross_entropy(mg.zeros(0, 3), np.zeros(0, int)).item())


def test_the_sum_over_an_empty_batch_is_zero():
    assert F.cross_entropy(mg.zeros(0, 3), np.zeros(0, int), reduction="sum").item() == 0.0


@pytest.mark.pitfall("E47")
@pytest.mark.parametrize("label", [3, -1, 100, -101])
def test_a_label_out_of_range_is_an_index_error(label):
    with pytest.raises(IndexError, match=rf"{label}.*3 classes.*0 to 2"):
        F.cross_entropy(mg.zeros(2, 3), [0, label])


@pytest.mark.parametrize("labels", [[0.0, 1.0], np.zeros(2), [True, False]])
def test_labels_that_are_no_integers_are_a_dtype_error(labels):
    with pytest.raises(DTypeError, match=r"labels are .*integers"):
        F.cross_entropy(mg.zeros(2, 3), labels)


@pytest.mark.parametrize(
    ("logits", "labels"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((3,), ()), ((2, 3, 4), (2, 3))]
)
def test_labels_of_another_shape_are_a_shape_error(logits, labels):
    with pytest.raises(ShapeError) as caught:
        F.cross_entropy(mg.zeros(logits), np.zeros(labels, int))
    assert str(logits) in str(caught.value)
    assert str(labels) in str(caught.value)


def test_an_unknown_reduction_is_an_error():
    with pytest.raises(ValueError, match=r"'avg'.*mean"):
        F.cross_entropy(mg.zeros(1, 2), [0], reduction="avg")


# ---- errors name what was given and what is wanted -----------------------------------------------

WRONG = {
    "Linear": (lambda: nn.Linear(3, 2)(mg.ones(4, 5)), ShapeError, r"\(4, 5\).*3"),
    "Linear, 0-d": (lambda: nn.Linear(3, 2)(mg.tensor(1.0)), ShapeError, r"\(\).*3"),
    "Linear of integers": (
        lambda: nn.Linear(3, 2)(mg.tensor([[1, 2, 3]])), DTypeError, r"int64.*float",
    ),
    "Linear of an array": (lambda: nn.Linear(3, 2)(np.ones((1, 3))), DTypeError, r"mg\.tensor"),
    "Conv2d": (
        lambda: nn.Conv2d(3, 2, 3)(mg.ones(1, 4, 5, 5)), ShapeError, r"4 channels.*3",
    ),
    "Conv2d rank": (
        lambda: nn.Conv2d(3, 2, 3)(mg.ones(3, 5, 5)), ShapeError, r"\(3, 5, 5\).*\(N, C, H, W\)",
    ),
    "Conv2d groups": (lambda: nn.Conv2d(3, 2, 3, groups=2), ShapeError, r"3.*2.*groups=2"),
    "Conv2d no groups": (lambda: nn.Conv2d(3, 2, 3, groups=0), ShapeError, r"groups=0"),
    "Conv2d kernel": (lambda: nn.Conv2d(3, 2, 0), ShapeError, r"kernel_size was given as 0"),
    "BatchNorm channels": (
        lambda: nn.BatchNorm2d(3)(mg.ones(2, 4, 5, 5)), ShapeError, r"\(2, 4, 5, 5\).*C = 3",
    ),
    "BatchNorm rank": (
        lambda: nn.BatchNorm2d(3)(mg.ones(2, 3)), ShapeError, r"\(2, 3\).*\(N, C, H, W\)",
    ),
    "BatchNorm of integers": (
        lambda: nn.BatchNorm1d(2)(mg.tensor([[1, 2]])), DTypeError, r"int64.*float",
    ),
    "BatchNorm of one value": (
        lambda: nn.BatchNorm1d(2)(mg.ones(1, 2)), ShapeError, r"\(1, 2\).*eval",
    ),
    "MaxPool2d": (lambda: nn.MaxPool2d(2)(mg.ones(4, 4)), ShapeError, r"\(4, 4\).*\(N, C, H, W\)"),
    "cross_entropy of integers": (
        lambda: F.cross_entropy(mg.tensor([[1, 2]]), [0]), DTypeError, r"int64.*float",
    ),
    "Dropout of integers": (lambda: nn.Dropout(0.5)(mg.tensor([1, 2])), DTypeError, r"int64"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
