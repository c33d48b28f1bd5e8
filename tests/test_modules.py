"""Modules: PyTorch's outputs, gradients, names, initial weights; state, modes, copies, errors."""

import copy
import pickle

import numpy as np
import pytest
from values import apart, normal

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, GraphError, ShapeError
from minigrad.testing import assert_close


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


# ---- attributes that hold something --------------------------------------------------------------


def test_a_tensor_in_a_buffers_place_becomes_the_buffer():
    class Average(nn.Module):
        def __init__(self):
            self.mean = nn.Buffer(mg.zeros(2))
            self.passing = nn.Buffer(mg.zeros(2), persistent=False)

        def forward(self, x):
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
            self.passing = x.detach()
            return x

    model = Average()
    model(mg.ones(3, 2))
    assert model.state_dict()["mean"].tolist() == [0.5, 0.5]
    assert list(model.state_dict()) == ["mean"]
    assert [name for name, _ in model.named_buffers()] == ["mean", "passing"]
    assert model.to(mg.float64).mean.dtype == np.float64


def test_a_result_with_a_graph_in_a_buffers_place_is_an_error():
    model = nn.BatchNorm1d(2)
    with pytest.raises(GraphError, match=r"BatchNorm1d.running_mean .*\.detach\(\)"):
        model.running_mean = mg.ones(2, requires_grad=True) * 2
    assert isinstance(model.running_mean, nn.Buffer)


@pytest.mark.parametrize("value", [mg.ones(2, 2), np.ones((2, 2)), 1.0, nn.Buffer(mg.ones(2, 2))])
def test_a_parameters_place_takes_parameters_only(value):
    model = nn.Linear(2, 2)
    weight = model.weight
    with pytest.raises(TypeError, match=r"Linear.weight is a parameter .* give nn.Parameter"):
        model.weight = value
    assert model.weight is weight
    model.weight = nn.Parameter(mg.ones(2, 2))
    model.bias = None
    assert [name for name, _ in model.named_parameters()] == ["weight"]


def test_a_modules_place_takes_modules_only():
    model = nn.Sequential(nn.Linear(2, 2))
    model.head = nn.ReLU()
    with pytest.raises(TypeError, match=r"Sequential.head is a module and was given a function"):
        model.head = F.relu
    model.head = nn.Tanh()
    model.head = None
    assert len(list(model.modules())) == 2


def test_gradients_can_be_set_to_zeros():
    model = nn.Linear(1, 1)
    model(mg.ones(1, 1)).sum().backward()
    model.bias.grad = None
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.tolist() == [[0.0]]
    assert model.bias.grad is None


def test_what_is_registered_must_be_what_it_says():
    layer = nn.ReLU()
    with pytest.raises(TypeError, match=r"ReLU.w was given a Tensor: give an nn.Parameter"):
        layer.register_parameter("w", mg.ones(3))
    with pytest.raises(TypeError, match=r"give an nn.Module"):
        layer.add_module("f", F.relu)
    with pytest.raises(ValueError, match=r"'a.b' cannot stand in a state dict"):
        layer.register_buffer("a.b", mg.ones(3))
    with pytest.raises(ValueError, match="has an attribute 'forward'"):
        layer.register_buffer("forward", mg.ones(3))
    with pytest.raises(ValueError, match="has an attribute 'weight'"):
        nn.Linear(1, 1).register_buffer("weight", mg.ones(1))
    assert list(layer.state_dict()) == []


def test_two_of_one_name_are_told_when_they_are_saved():
    class Heads(nn.Module):
        def __init__(self):
            self.heads = {1: nn.Linear(1, 1), "1": nn.Linear(1, 1)}

    model = Heads()
    assert len(list(model.parameters())) == 4
    with pytest.raises(ValueError, match=r"two parameters or buffers named 'heads.1.weight'"):
        model.state_dict()


def test_hooks_of_a_parameter_survive_a_conversion():
    model, seen = nn.Linear(1, 1), []
    model.weight.register_hook(lambda g: seen.append(g.dtype))
    model.double()(mg.ones(1, 1, dtype=mg.float64)).sum().backward()
    assert seen == [np.float64]


def test_a_conversion_between_forward_and_backward_is_told():
    model = nn.Linear(1, 1)
    loss = model(mg.ones(1, 1)).sum()
    model.double()
    with pytest.raises(GraphError, match="convert before the forward"):
        loss.backward()


# ---- hooks ---------------------------------------------------------------------------------------


def test_a_forward_hook_sees_inputs_and_output():
    model, seen = nn.Sequential(nn.ReLU()), []
    model[0].register_forward_hook(lambda *each: seen.append(each))
    x = mg.tensor([-1.0, 2.0])
    y = model(x)
    assert len(seen) == 1
    module, inputs, output = seen[0]
    assert module is model[0]
    assert inputs[0] is x
    assert output is y


def test_a_forward_hook_may_replace_the_output():
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, inputs, output: output * 10)
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    assert layer(mg.tensor([-1.0, 2.0])).tolist() == [1.0, 21.0]


def test_a_pre_hook_may_replace_the_inputs():
    layer = nn.ReLU()
    layer.register_forward_pre_hook(lambda module, inputs: -inputs[0])
    assert layer(mg.tensor([-1.0, 2.0])).tolist() == [1.0, 0.0]
    layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    assert layer(mg.tensor([-1.0, 2.0])).tolist() == [2.0, 0.0]


def test_a_hook_is_taken_back():
    layer, seen = nn.ReLU(), []
    handle = layer.register_forward_hook(lambda *each: seen.append(1))
    handle.remove()
    handle.remove()
    with layer.register_forward_pre_hook(lambda *each: seen.append(2)):
        layer(mg.ones(1))
    layer(mg.ones(1))
    assert seen == [2]


def test_a_hook_may_take_itself_back():
    layer, seen = nn.ReLU(), []

    def once(module, inputs, output):
        seen.append(1)
        handle.remove()

    handle = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda *each: seen.append(2))
    layer(mg.ones(1))
    layer(mg.ones(1))
    assert seen == [1, 2, 2]


def test_keywords_reach_forward_past_hooks():
    class Scaled(nn.Module):
        def forward(self, x, by=1.0):
            return x * by

    layer = Scaled()
    layer.register_forward_hook(lambda *each: None)
    assert layer(mg.ones(1), by=3.0).item() == 3.0


def test_a_hook_must_be_a_function():
    with pytest.raises(TypeError, match="give a function"):
        nn.ReLU().register_forward_hook(None)


def test_hooks_that_keep_activations_see_tensors_with_their_graph():
    model, kept = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), {}
    model[0].register_forward_hook(lambda module, inputs, y: kept.setdefault("h", y))
    model(mg.ones(1, 2)).sum().backward()
    assert kept["h"].requires_grad


def test_a_module_used_as_a_hook_is_no_child():
    class Spy(nn.Module):
        def forward(self, *each):
            return None

    layer = nn.ReLU()
    layer.register_forward_hook(Spy())
    assert list(layer.named_children()) == []


# ---- what PyTorch's users call -------------------------------------------------------------------


def test_a_buffer_may_be_registered_and_left_out_of_the_state():
    layer = nn.ReLU()
    layer.register_buffer("kept", mg.ones(2))
    layer.register_buffer("passing", mg.ones(2), persistent=False)
    layer.register_buffer("nothing", None)
    assert [name for name, _ in layer.named_buffers()] == ["kept", "passing"]
    assert list(layer.state_dict()) == ["kept"]
    assert layer.nothing is None
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert list(other.state_dict()) == ["kept"]
        assert other.passing.tolist() == [1.0, 1.0]


def test_parameters_and_modules_may_be_registered():
    layer = nn.ReLU()
    layer.register_parameter("scale", nn.Parameter(mg.ones(1)))
    layer.register_parameter("bias", None)
    layer.add_module("inner", nn.Linear(1, 1))
    assert list(layer.state_dict()) == ["scale", "inner.weight", "inner.bias"]


def test_own_parameters_can_be_had_alone():
    model = Owner()
    assert [name for name, _ in model.named_parameters(recurse=False)] == ["scale", "table.0"]
    assert len(list(model.parameters(recurse=False))) == 2
    assert next(name for name, _ in model.named_parameters("net")) == "net.scale"


def test_a_module_below_is_found_by_name():
    model = Owner()
    assert model.get_submodule("heads.b.0") is model.heads["b"][0]
    assert model.get_submodule("") is model
    with pytest.raises(AttributeError, match=r"'layers.3': did you mean 'layers.[01]'"):
        model.get_submodule("layers.3")


def test_moving_is_all_or_nothing(monkeypatch):
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    moved = []

    def to(self, *, dtype, device):
        moved.append(self)
        if len(moved) == 3:
            raise MemoryError
        return mg.Tensor(self, dtype)

    monkeypatch.setattr(mg.Tensor, "to", to)
    with pytest.raises(MemoryError):
        model.to(mg.float64)
    assert {p.dtype for p in model.parameters()} == {np.dtype("float32")}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_carries_no_graph(copied):
    model = cnn(nn)
    model.last = model(mg.randn(3, 1, 4, 4))  # a result kept on the module
    other = copied(model)
    assert other.last.is_leaf
    assert other.last.node is None or other.last.node.parents == ()
    assert all(p.is_leaf for p in other.parameters())


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


def test_a_repr_shows_options_mode_and_shapes():
    shown = "Linear(in_features=2, out_features=3, bias=True)  # training, weight (3, 2), bias (3,)"
    assert repr(nn.Linear(2, 3)) == shown
    assert repr(nn.ReLU().eval()) == "ReLU()  # evaluation"
    assert repr(nn.Flatten()) == "Flatten()  # training"
    assert repr(nn.Flatten(0, 2)) == "Flatten(start_dim=0, end_dim=2)  # training"


def test_a_repr_shows_the_tree_and_modes_where_they_differ():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Linear(1, 2)), nn.ReLU())
    model[1].freeze()
    model[2].eval()
    assert repr(model) == (
        "Sequential(  # training\n"
        "  (0): ReLU()\n"
        "  (1): Sequential(  # frozen\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=1, out_features=2, bias=True)  # weight (2, 1), bias (2,)\n"
        "  )\n"
        "  (2): ReLU()  # evaluation\n"
        ")"
    )


def test_a_module_of_ones_own_shows_its_parameters():
    class Scale(nn.Module):
        def __init__(self):
            self.factor = nn.Parameter(mg.ones(3))

    assert repr(Scale()) == "Scale()  # training, factor (3,)"


def test_repr_of_conv2d_names_its_options():
    shown = repr(nn.Conv2d(2, 4, 3, stride=2, padding="valid", groups=2, bias=False))
    for part in ("Conv2d(2, 4", "kernel_size=(3, 3)", "stride=(2, 2)", "'valid'", "groups=2",
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
        lambda: nn.Conv2d(3, 2, 3)(mg.ones(5, 5)), ShapeError, r"\(5, 5\).*\(N, C, H, W\)",
    ),
    "Conv2d groups": (lambda: nn.Conv2d(3, 2, 3, groups=2), ShapeError, r"3.*2.*groups=2"),
    "Conv2d no groups": (lambda: nn.Conv2d(3, 2, 3, groups=0), ShapeError, r"groups was given"),
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
