"""Python's and NumPy's protocols: E25, E33 to E38, E55 to E63 of the checklist."""

import copy
import importlib
import operator
import pickle
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad import op as ops
from minigrad.errors import DTypeError, ShapeError
from minigrad.nn import functional as F
from minigrad.testing import assert_close


def leaf(*shape, dtype=np.float64, seed=1):
    """A leaf of values in [0.5, 0.9): inside every op's domain."""
    values = np.random.default_rng(seed).uniform(0.5, 0.9, shape)
    return mg.tensor(values.astype(dtype), requires_grad=True)


# ---- E25: 0-d tensors ----------------------------------------------------------------------------

ZERO_D = {
    "t * 2": lambda t: t * 2,
    "t * t": lambda t: t * t,
    "sum": lambda t: t.sum(),
    "mean": lambda t: t.mean(),
    "amax": lambda t: t.amax(),
    "exp": lambda t: t.exp(),
    "reshape": lambda t: t.reshape(1).reshape(()),
    "clone": lambda t: t.clone(),
    "several uses": lambda t: t * t + t + t + t,
    "var": lambda t: t.var(correction=0),
}


@pytest.mark.pitfall("E25")
@pytest.mark.parametrize("name", ZERO_D)
@pytest.mark.parametrize("create_graph", [False, True])
def test_E25_values_and_gradients_are_arrays_of_no_axes(name, create_graph):
    t = leaf()
    y = ZERO_D[name](t)
    assert type(y.array) is np.ndarray
    assert y.shape == ()
    y.backward(create_graph=create_graph)
    assert type(t.grad) is mg.Tensor
    assert type(t.grad.array) is np.ndarray
    assert t.grad.shape == ()
    assert t.grad.dtype == mg.float64


@pytest.mark.pitfall("E25")
def test_E25_a_sum_of_no_axes_is_a_new_node():
    t = leaf()
    assert t.sum() is not t
    assert t.sum().node is not t.node
    t.sum().backward()
    assert t.grad.item() == 1.0


@pytest.mark.pitfall("E25")
def test_E25_accumulation_stays_an_array():
    t = leaf()
    for _ in range(3):
        (t * 2).backward()
    assert type(t.grad.array) is np.ndarray
    assert t.grad.item() == 6.0


@pytest.mark.pitfall("E25")
def test_E25_an_optimiser_steps_a_number():
    t = leaf()
    before = t.item()
    (t * 2).backward()
    optim.SGD([t], lr=0.5).step()
    assert t.item() == before - 1.0
    assert t.shape == ()


@pytest.mark.pitfall("E25")
def test_E25_a_hook_gets_a_whole_tensor():
    t, seen = leaf(), []
    t.register_hook(lambda g: seen.append((repr(g), g.device, (g * 2).item())))
    (t * 3).backward()
    assert seen == [("tensor(3., dtype=float64)", "cpu", 6.0)]


# ---- E33, E34, E37: dtypes -----------------------------------------------------------------------

UNARY = (
    *("neg", "abs", "sign", "sqrt", "rsqrt", "exp", "log", "sin", "cos", "tanh", "sigmoid"),
    *("relu", "clone", "sum", "mean", "var", "std", "amax", "amin", "logsumexp", "softmax"),
    "log_softmax",
)
BINARY = ("add", "sub", "mul", "div", "pow", "maximum", "minimum")
WEAK = {
    "int": 2,
    "float": 2.0,
    "bool": True,
    "np.float32": np.float32(2),
    "np.float64": np.float64(2),
    "np.int64": np.int64(2),
    "0-d float64 array": np.array(2.0),
    "0-d int array": np.array(2),
    "int tensor": mg.tensor([1, 2, 3]),
    "bool tensor": mg.tensor([True, True, True]),
}


@pytest.mark.pitfall("E33")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_E33_a_unary_op_keeps_the_dtype(name, dtype):
    x = leaf(3, dtype=dtype)
    y = getattr(x, name)()
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad.dtype == dtype


@pytest.mark.pitfall("E33")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("partner", WEAK)
@pytest.mark.parametrize("name", BINARY)
def test_E33_a_weak_partner_does_not_widen(name, partner, dtype):
    x = leaf(3, dtype=dtype)
    y = getattr(mg, name)(x, WEAK[partner])
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad.dtype == dtype


@pytest.mark.pitfall("E33")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("partner", WEAK)
@pytest.mark.parametrize("name", BINARY)
def test_E33_a_weak_partner_on_the_left_does_not_widen(name, partner, dtype):
    x = leaf(3, dtype=dtype)
    y = getattr(mg, name)(WEAK[partner], x)
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad.dtype == dtype


@pytest.mark.pitfall("E33")
@pytest.mark.parametrize("name", BINARY)
def test_E33_recorded_gradients_keep_the_dtype(name):
    x = leaf(3, dtype=np.float32)
    y = getattr(mg, name)(x, 2.0).sum()
    (g,) = mg.grad(y, x, create_graph=True)
    assert g.dtype == mg.float32


@pytest.mark.pitfall("E33")
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "mean", "div"])
def test_E33_integers_become_the_default_dtype(name):
    t = mg.tensor([1, 2, 3])
    y = t / 2 if name == "div" else getattr(t, name)()
    assert y.dtype == mg.float32


@pytest.mark.pitfall("E34")
def test_E34_float32_times_a_float64_array_is_float64_and_the_gradient_float32():
    x = leaf(3, dtype=np.float32)
    y = x * np.ones(3)
    y.sum().backward()
    assert y.dtype == mg.float64
    assert x.grad.dtype == mg.float32


@pytest.mark.pitfall("E37")
@pytest.mark.parametrize("a", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("b", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", BINARY)
def test_E37_each_gradient_has_its_tensors_dtype(name, a, b):
    x, y = leaf(3, dtype=a), leaf(3, dtype=b, seed=2)
    z = getattr(mg, name)(x, y)
    z.sum().backward()
    assert z.dtype == np.result_type(a, b)
    assert (x.grad.dtype, y.grad.dtype) == (a, b)


@pytest.mark.pitfall("E37")
def test_E37_contributions_of_several_dtypes_meet_in_the_tensors():
    x = leaf(3, dtype=np.float32)
    (x * np.ones(3) + x * 2.0 + x.double() + x.half()).sum().backward()
    assert x.grad.dtype == mg.float32
    assert x.grad.tolist() == [5, 5, 5]


@pytest.mark.pitfall("E37")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_E37_a_layers_gradients_have_its_dtype(dtype):
    layer = nn.Linear(3, 2, dtype=dtype)
    layer(leaf(4, 3, dtype=dtype)).sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype(dtype)}


@pytest.mark.pitfall("E37")
def test_E37_conversions_are_differentiated_back():
    x = leaf(3, dtype=np.float32)
    y = x.double()
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.dtype == mg.float64
    assert x.grad.dtype == mg.float32


# ---- E35, E38: integers and complex numbers ------------------------------------------------------


@pytest.mark.pitfall("E35")
@pytest.mark.parametrize("data", [[1, 2], [True, False], np.ones(2, np.int32), np.ones(2, bool)])
def test_E35_only_floating_tensors_can_require_grad(data):
    with pytest.raises(DTypeError, match="float"):
        mg.tensor(data, requires_grad=True)
    t = mg.tensor(data)
    with pytest.raises(DTypeError, match="float"):
        t.requires_grad_()
    assert not t.requires_grad


@pytest.mark.pitfall("E35")
def test_E35_integers_into_a_linear_layer_say_what_to_type():
    with pytest.raises(DTypeError, match=r"linear.*int64.*float"):
        nn.Linear(3, 2)(mg.tensor(np.ones((4, 3), np.int64)))


@pytest.mark.pitfall("E35")
@pytest.mark.parametrize("make", [
    lambda t: t > 0, lambda t: t == t, lambda t: t <= 1, lambda t: t != 0, lambda t: t.argmax(),
    lambda t: t.isnan(), lambda t: t.isfinite(), lambda t: t.logical_not(), lambda t: ~(t > 0),
    lambda t: (t > 0).any(), lambda t: (t > 0).all(),
])  # fmt: skip
def test_E35_comparisons_and_positions_never_require_grad(make):
    y = make(leaf(3))
    assert not y.requires_grad
    assert y.dtype.kind in "bi"


@pytest.mark.pitfall("E35")
def test_E35_an_integer_operand_gets_no_gradient():
    x, n = leaf(3), mg.tensor([1, 2, 3])
    (x * n).sum().backward()
    assert n.grad is None
    assert x.grad.tolist() == [1, 2, 3]


@pytest.mark.pitfall("E38")
@pytest.mark.parametrize("data", [
    1j, [1.0, 1j], np.array([1j]), np.complex64(1), np.array(["a"]), np.array([None]),
    np.ones(2, np.longdouble), np.array([np.datetime64("2020-01-01")]), None, "text",
])  # fmt: skip
def test_E38_a_tensor_of_what_it_cannot_hold_is_refused(data):
    with pytest.raises(DTypeError):
        mg.tensor(data)


@pytest.mark.pitfall("E38")
@pytest.mark.parametrize("other", [
    1j, np.complex128(1j), np.array(1j), np.array([1j, 1j, 1j]), np.ones(3, np.longdouble),
    np.array(["a", "b", "c"]), "text", None, object(), {1: 2},
])  # fmt: skip
@pytest.mark.parametrize("swap", [False, True])
def test_E38_an_operand_that_no_tensor_can_hold_is_refused(other, swap):
    t = leaf(3)
    with pytest.raises(TypeError):
        operator.mul(*((other, t) if swap else (t, other)))


@pytest.mark.pitfall("E38")
def test_E38_conversion_to_complex_is_refused():
    with pytest.raises(DTypeError, match="complex"):
        leaf(3).to(np.complex64)
    with pytest.raises(DTypeError, match="complex"):
        mg.zeros(3, dtype=np.complex64)


@pytest.mark.pitfall("E38")
def test_E38_the_message_for_complex_numbers_says_what_to_do():
    with pytest.raises(DTypeError, match=r"real.*imag"):
        mg.tensor(np.array([1j]))


# ---- E55, E56: NumPy on the left -----------------------------------------------------------------

LEFT = {
    "int": 2,
    "float": 2.0,
    "np.float64": np.float64(2),
    "np.float32": np.float32(2),
    "np.int64": np.int64(2),
    "0-d array": np.array(2.0),
    "array": np.full(3, 2.0),
    "array that broadcasts": np.full((3, 1), 2.0),
    "list": [2.0, 2.0, 2.0],
}
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}


@pytest.mark.pitfall("E55")
@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("left", LEFT)
def test_E55_reflected_operators_are_recorded_as_one_node(left, sign):
    t, function = leaf(3), OPERATORS[sign]
    y = function(LEFT[left], t)
    assert type(y) is mg.Tensor
    assert t.node in y.node.parents
    assert_close(y, function(np.asarray(LEFT[left]), t.numpy()))


@pytest.mark.pitfall("E55")
@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("left", LEFT)
def test_E55_reflected_operators_have_the_right_gradient(left, sign):
    t, function = leaf(3), OPERATORS[sign]
    function(LEFT[left], t).sum().backward()
    h, fixed, x = 1e-5, np.asarray(LEFT[left], np.float64), t.numpy()
    slope = (function(fixed, x + h) - function(fixed, x - h)) / (2 * h)
    np.testing.assert_allclose(t.grad.numpy(), slope.reshape(-1, 3).sum(0), rtol=1e-8)


@pytest.mark.pitfall("E55")
@pytest.mark.parametrize("left", ["int", "float", "np.float64", "np.float32", "np.int64"])
def test_E55_scalars_on_the_left_keep_float32(left):
    t = leaf(3, dtype=np.float32)
    assert (LEFT[left] * t).dtype == mg.float32
    assert (LEFT[left] - t).dtype == mg.float32


@pytest.mark.pitfall("E55")
def test_E55_a_matrix_on_the_left_of_matmul():
    t, a = leaf(3), np.arange(9.0).reshape(3, 3)
    y = a @ t
    assert type(y) is mg.Tensor
    assert y.shape == (3,)
    y.sum().backward()
    assert_close(t.grad, a.sum(0))


@pytest.mark.pitfall("E55")
@pytest.mark.parametrize("compare", [
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
])  # fmt: skip
@pytest.mark.parametrize("left", ["float", "np.float64", "array"])
def test_E55_reflected_comparisons(compare, left):
    values = np.array([1.0, 2.0, 3.0])
    y = compare(LEFT[left], mg.tensor(values))
    assert type(y) is mg.Tensor
    assert y.tolist() == compare(LEFT[left], values).tolist()


@pytest.mark.pitfall("E56")
def test_E56_an_array_cannot_take_a_tensor_in_place():
    array = np.ones(3)
    with pytest.raises(TypeError, match="gradient"):
        array += leaf(3)
    assert array.tolist() == [1, 1, 1]


@pytest.mark.pitfall("E56")
def test_E56_out_is_refused():
    array = np.ones(3)
    with pytest.raises(TypeError, match="gradient"):
        np.multiply(np.ones(3), leaf(3), out=array)
    assert array.tolist() == [1, 1, 1]


@pytest.mark.pitfall("E56")
@pytest.mark.parametrize("name", ["sin", "sum", "mean", "isnan", "concatenate", "add.reduce"])
def test_E56_numpys_functions_refuse_with_a_hint(name):
    t = leaf(3)
    function = operator.attrgetter(name)(np)
    with pytest.raises(TypeError, match=r"use |values"):
        function([t, t] if name == "concatenate" else t)


@pytest.mark.pitfall("E56")
@pytest.mark.parametrize("name", ["remainder", "arctan2", "floor_divide", "logaddexp"])
def test_E56_other_binary_functions_refuse(name):
    with pytest.raises(TypeError, match="gradient"):
        getattr(np, name)(np.ones(3), leaf(3))


# ---- E57: arrays of tensors ----------------------------------------------------------------------


@pytest.mark.pitfall("E57")
@pytest.mark.parametrize("requires_grad", [False, True])
def test_E57_asarray_gives_a_read_only_array(requires_grad):
    t = mg.tensor([1.0, 2.0], requires_grad=requires_grad)
    array = np.asarray(t)
    assert type(array) is np.ndarray
    assert array.dtype == np.float32
    assert np.shares_memory(array, t.array)
    assert not array.flags.writeable


@pytest.mark.pitfall("E57")
def test_E57_asarray_with_a_dtype_converts():
    assert np.asarray(mg.tensor([1.0]), dtype=np.float64).dtype == np.float64


@pytest.mark.pitfall("E57")
def test_E57_asarray_without_a_copy_refuses_to_convert():
    with pytest.raises(ValueError, match="copy"):
        np.array(mg.tensor([1.0]), dtype=np.float64, copy=False)


@pytest.mark.pitfall("E57")
def test_E57_an_array_of_tensors_stacks_without_touching_elements(monkeypatch):
    touched = []
    monkeypatch.setattr(mg.Tensor, "__getitem__", lambda self, key: touched.append(key))
    monkeypatch.setattr(mg.Tensor, "__iter__", lambda self: touched.append("iter"))
    tensors = [mg.zeros(50, 50), mg.ones(50, 50)]
    array = np.array(tensors)
    assert array.shape == (2, 50, 50)
    assert array.dtype == np.float32
    assert touched == []


# ---- E58: builtins -------------------------------------------------------------------------------


@pytest.mark.pitfall("E58")
def test_E58_len_is_the_first_axis():
    assert len(mg.zeros(3, 2)) == 3
    with pytest.raises(TypeError, match="0-d"):
        len(mg.tensor(1.0))


@pytest.mark.pitfall("E58")
def test_E58_iteration_gives_differentiable_rows_and_ends():
    x = leaf(3, 2)
    rows = list(x)
    assert len(rows) == 3
    (rows[0] * 1 + rows[2] * 3).sum().backward()
    assert x.grad.tolist() == [[1, 1], [0, 0], [3, 3]]


@pytest.mark.pitfall("E58")
def test_E58_unpacking():
    a, b = leaf(2)
    assert (a.shape, b.shape) == ((), ())


@pytest.mark.pitfall("E58")
def test_E58_a_number_cannot_be_iterated_over():
    with pytest.raises(TypeError, match="0-d"):
        iter(mg.tensor(1.0))


@pytest.mark.pitfall("E58")
def test_E58_membership_is_by_value():
    t = mg.tensor([1.0, 2.0])
    assert 2.0 in t
    assert 3.0 not in t
    assert mg.tensor(1.0) in t


@pytest.mark.pitfall("E58")
def test_E58_a_tensor_in_a_list_is_found_by_identity_first():
    t = mg.tensor([1.0, 2.0])
    assert t in [t]
    with pytest.raises(ValueError, match="ambiguous"):
        t in [mg.tensor([1.0, 2.0])]  # noqa: B015


@pytest.mark.pitfall("E58")
@pytest.mark.parametrize(("data", "truth"), [(0.0, False), ([[0]], False), ([1], True)])
def test_E58_the_truth_of_one_value(data, truth):
    assert bool(mg.tensor(data)) is truth


@pytest.mark.pitfall("E58")
@pytest.mark.parametrize("shape", [(2,), (0,), (2, 2)])
def test_E58_the_truth_of_none_or_many_is_an_error(shape):
    with pytest.raises(ValueError, match="ambiguous"):
        bool(mg.zeros(*shape))


@pytest.mark.pitfall("E58")
def test_E58_numbers():
    assert float(leaf(1).detach() * 0 + 2.5) == 2.5
    assert int(mg.tensor(2.7)) == 2
    assert round(mg.tensor(2.75, dtype=np.float64), 1) == 2.8
    assert round(mg.tensor(2.7)) == 3
    assert type(mg.tensor(3).item()) is int


@pytest.mark.pitfall("E58")
@pytest.mark.parametrize("convert", [float, int, round, lambda t: t.item(), "{:.3f}".format])
def test_E58_many_values_are_not_one_number(convert):
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        convert(leaf(3))


@pytest.mark.pitfall("E58")
def test_E58_an_integer_tensor_is_an_index():
    assert ["a", "b", "c"][mg.tensor(1)] == "b"
    assert list(range(mg.tensor(2))) == [0, 1]


@pytest.mark.pitfall("E58")
@pytest.mark.parametrize("t", [mg.tensor(1.0), mg.tensor(True)])
def test_E58_other_tensors_are_not(t):
    with pytest.raises(TypeError, match="index"):
        operator.index(t)


@pytest.mark.pitfall("E58")
def test_E58_format():
    assert f"{mg.tensor(2.5):.3f}" == "2.500"
    assert f"{mg.tensor(2.5)}" == "tensor(2.5)"


# ---- E59: identity -------------------------------------------------------------------------------


@pytest.mark.pitfall("E59")
def test_E59_hash_is_by_identity():
    a, b = mg.tensor([1.0]), mg.tensor([1.0])
    assert len({a, b}) == 2
    assert {a: "a", b: "b"}[a] == "a"
    assert hash(nn.Parameter([1.0])) != hash(nn.Parameter([1.0]))


@pytest.mark.pitfall("E59")
def test_E59_equality_is_elementwise():
    assert (mg.tensor([1.0, 2.0]) == mg.tensor([1.0, 3.0])).tolist() == [True, False]
    assert (mg.tensor([1.0]) == None) is False  # noqa: E711
    assert (mg.tensor([1.0]) != "a") is True


class Twins(nn.Module):
    """Parameters of equal values, and of shapes that do not compare."""

    def __init__(self):
        self.a = nn.Parameter(np.ones(2))
        self.b = nn.Parameter(np.ones(2))
        self.c = nn.Parameter(np.ones(3))
        self.tied = self.a


@pytest.mark.pitfall("E59")
def test_E59_equal_parameters_are_all_found_once():
    model = Twins()
    assert [name for name, _ in model.named_parameters()] == ["a", "b", "c"]


@pytest.mark.pitfall("E59")
@pytest.mark.parametrize("kind", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), optim.Adam])
def test_E59_equal_parameters_are_stepped_apart(kind):
    model = Twins()
    step = kind(list(model.parameters()))
    for _ in range(2):
        step.zero_grad()
        (model.a.sum() * 1 - model.b.sum() + model.c.sum() * 0).backward()
        step.step()
    assert model.a.numpy().max() < 1 < model.b.numpy().min()
    assert model.c.tolist() == [1, 1, 1]


@pytest.mark.pitfall("E59")
def test_E59_a_parameter_twice_is_refused():
    p = nn.Parameter(np.ones(2))
    with pytest.raises(ValueError, match="twice"):
        optim.SGD([p, p], lr=0.1)


# ---- E60: copies ---------------------------------------------------------------------------------

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda t: pickle.loads(pickle.dumps(t)),
    "pickle 2": lambda t: pickle.loads(pickle.dumps(t, protocol=2)),
}


def used_leaf():
    """A leaf with a gradient, and a graph that was swept."""
    x = leaf(3)
    (x * x).sum().backward()
    return x


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
def test_E60_a_leaf_keeps_values_flag_and_gradient(name):
    x = used_leaf()
    new = COPIES[name](x)
    assert new.tolist() == x.tolist()
    assert new.grad.tolist() == x.grad.tolist()
    assert new.requires_grad
    assert new.is_leaf
    assert new.dtype == x.dtype


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
def test_E60_a_copied_leaf_has_its_own_memory_and_node(name):
    x = used_leaf()
    before, grad_before = x.tolist(), x.grad.tolist()
    new = COPIES[name](x)
    with mg.no_grad():
        new += 1
        new.grad *= 0
    (new * 2).sum().backward()
    assert x.tolist() == before
    assert x.grad.tolist() == grad_before


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
def test_E60_a_result_comes_without_its_graph(name):
    x = leaf(3)
    y = (x * x).exp()
    new = COPIES[name](y)
    assert new.tolist() == y.tolist()
    assert new.is_leaf
    assert not np.shares_memory(new.array, y.array)
    y.sum().backward()
    assert new.grad is None


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
def test_E60_a_constant_stays_one(name):
    new = COPIES[name](mg.tensor([1, 2]))
    assert not new.requires_grad
    assert new.dtype == mg.int64


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
def test_E60_a_view_can_be_copied_and_written(name):
    new = COPIES[name](leaf(2, 3).T.detach())
    new.fill_(1.0)
    assert new.shape == (3, 2)


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("kind", [nn.Parameter, nn.Buffer])
def test_E60_a_parameter_stays_one(name, kind):
    assert type(COPIES[name](kind([1.0]))) is kind


@pytest.mark.pitfall("E60")
def test_E60_no_graph_is_in_the_pickle():
    x = leaf(3)
    y = x
    for _ in range(200):
        y = y * 1.01
    assert len(pickle.dumps(y)) < 2 * len(pickle.dumps(x)) + 200


def trained_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    F.cross_entropy(model(mg.randn(5, 3)), mg.tensor([0, 1, 0, 1, 1])).backward()
    return model


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", ["deepcopy", "pickle", "pickle 2"])
def test_E60_a_module_after_forward_and_backward(name):
    model = trained_model()
    new = COPIES[name](model)
    old_state, new_state = model.state_dict(), new.state_dict()
    assert list(old_state) == list(new_state)
    assert all(old_state[key].tolist() == new_state[key].tolist() for key in old_state)
    for p, q in zip(model.parameters(), new.parameters(), strict=True):
        assert p.grad.tolist() == q.grad.tolist()
        assert not np.shares_memory(p.array, q.array)


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", ["deepcopy", "pickle"])
def test_E60_a_copied_module_trains_apart(name):
    model = trained_model()
    before = [p.tolist() for p in model.parameters()]
    new = COPIES[name](model)
    new.zero_grad()
    F.cross_entropy(new(mg.randn(5, 3)), mg.tensor([0, 1, 0, 1, 1])).backward()
    optim.SGD(new.parameters(), lr=0.1).step()
    assert [p.tolist() for p in model.parameters()] == before
    assert [p.tolist() for p in new.parameters()] != before


@pytest.mark.pitfall("E60")
@pytest.mark.parametrize("name", ["deepcopy", "pickle"])
def test_E60_tied_parameters_stay_tied(name):
    new = COPIES[name](Twins())
    assert new.tied is new.a
    assert new.a is not new.b


@pytest.mark.pitfall("E60")
def test_E60_a_module_that_holds_a_result_can_be_copied():
    model = trained_model()
    model.cached = model(mg.randn(5, 3))
    new = copy.deepcopy(model)
    assert new.cached.is_leaf
    assert new.cached.tolist() == model.cached.tolist()


@pytest.mark.pitfall("E60")
def test_E60_model_and_optimiser_copied_together_stay_together():
    model = trained_model()
    step = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step.step()
    new_model, new_step = copy.deepcopy((model, step))
    before = [p.tolist() for p in new_model.parameters()]
    new_step.step()
    assert [p.tolist() for p in new_model.parameters()] != before
    assert set(new_step.state) == set(new_model.parameters())


# ---- E61, E62: looking ---------------------------------------------------------------------------


@pytest.mark.pitfall("E61")
@pytest.mark.parametrize(("make", "text"), [
    (lambda: mg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda: mg.tensor([1, 2]), "tensor([1, 2])"),
    (lambda: mg.tensor(True), "tensor(True)"),
    (lambda: mg.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda: mg.tensor([1.0], dtype=np.float64), "tensor([1.], dtype=float64)"),
    (lambda: mg.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<mul>)"),
    (lambda: mg.zeros(0, 3), "tensor([], shape=(0, 3))"),
    (lambda: mg.tensor(1.5), "tensor(1.5)"),
])  # fmt: skip
def test_E61_repr(make, text):
    assert repr(make()) == text


@pytest.mark.pitfall("E61")
def test_E61_repr_of_an_output_of_several_names_the_op():
    y = mg.nn.functional.batch_norm(leaf(3, 2), None, None, training=True)
    assert "grad_fn=<batch_norm>" in repr(y)


@pytest.mark.pitfall("E61")
def test_E61_repr_of_a_large_tensor_is_short():
    assert len(repr(mg.zeros(300, 300))) < 2000


@pytest.mark.pitfall("E62")
def test_E62_looking_computes_nothing():
    t, ran = leaf(3), []
    with mg.watch(ran.append):
        dir(t)
        repr(t)
        hasattr(t, "no_such_name")
        hasattr(t, "__len__")
        str(t * 1)
    assert [event.name for event in ran] == ["mul"]


@pytest.mark.pitfall("E62")
@pytest.mark.parametrize("name", [
    "__array_interface__", "__array_struct__", "__cuda_array_interface__", "no_such_name",
])  # fmt: skip
def test_E62_no_attribute_hands_out_bare_memory(name):
    assert not hasattr(leaf(3), name)


@pytest.mark.pitfall("E62")
def test_E62_a_misspelt_attribute_cannot_be_set():
    with pytest.raises(AttributeError):
        leaf(3).require_grad = True


@pytest.mark.pitfall("E62")
def test_E62_a_misspelt_function_is_an_attribute_error():
    with pytest.raises(AttributeError, match="sinn"):
        _ = mg.sinn


# ---- E63: reloading ------------------------------------------------------------------------------

SOURCE = '''
from minigrad import nn
from minigrad.op import op

@op(lambda g: g * {factor})
def t_reloaded(xp, x):
    """{factor}·x.        d = {factor} dx"""
    return x * {factor}

class Layer(nn.Linear):
    def __init__(self, n):
        super().__init__(n, n)

    def forward(self, x):
        return t_reloaded(super().forward(x))
'''


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A user's module on disk; returns a function that writes it anew and reloads it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded = []

    def load(factor):
        (tmp_path / "t_user_module.py").write_text(SOURCE.format(factor=factor))
        importlib.invalidate_caches()
        module = importlib.reload(loaded[0]) if loaded else importlib.import_module("t_user_module")
        loaded[:] = [module]
        return module

    yield load
    sys.modules.pop("t_user_module", None)
    ops.registry.pop("t_reloaded", None)
    if "t_reloaded" in vars(mg.Tensor):
        del mg.Tensor.t_reloaded


@pytest.mark.pitfall("E63")
def test_E63_a_reloaded_module_replaces_its_op(user_module):
    user_module(2.0)
    module = user_module(3.0)
    x = leaf(2)
    module.t_reloaded(x).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert mg.t_reloaded(x).tolist() == (3 * x).tolist()
    assert x.t_reloaded().tolist() == (3 * x).tolist()


@pytest.mark.pitfall("E63")
def test_E63_layers_from_before_and_after_a_reload_work(user_module):
    old = user_module(2.0).Layer(3)
    new = user_module(3.0).Layer(3)
    for layer in (old, new):
        layer(mg.ones(2, 3)).sum().backward()
        assert len(list(layer.parameters())) == 2
        assert layer.weight.grad is not None
    assert nn.Sequential(old, new)(mg.ones(2, 3)).shape == (2, 3)
