"""Changing tensors: E17 to E22 of the checklist, item and augmented assignment, in-place writes."""

import gc

import numpy as np
import pytest

import minigrad as mg
from minigrad import graph, nn, optim
from minigrad.errors import GraphError, ShapeError
from minigrad.nn import functional as F
from minigrad.testing import assert_close, check_grads


def leaf(*shape, seed=1):
    """A float64 leaf of values in [0.5, 2)."""
    values = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
    return mg.tensor(values, requires_grad=True)


# ---- E17: a saved value that was written to ------------------------------------------------------

SAVES_ITS_INPUT = {
    "mul": lambda x: x * x,
    "log": lambda x: x.log(),
    "sin": lambda x: x.sin(),
    "matmul": lambda x: x @ x,
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "var": lambda x: x.var(),
}
SAVES_ITS_OUTPUT = {
    "exp": lambda x: x.exp(),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "sqrt": lambda x: x.sqrt(),
    "relu": lambda x: x.relu(),
    "softmax": lambda x: x.softmax(),
}


def add_in_place(t):
    t += 1


def set_item(t):
    t[0] = 9.0


def data_in_place(t):
    t.data -= 0.5


WRITES = {
    "t += v": add_in_place,
    "t[...] = v": set_item,
    "t.copy_(a)": lambda t: t.copy_(np.zeros(t.shape)),
    "t.fill_(v)": lambda t: t.fill_(3.0),
    "t.zero_()": lambda t: t.zero_(),
    "t.normal_()": lambda t: t.normal_(),
    "t.uniform_()": lambda t: t.uniform_(),
}


@pytest.mark.pitfall("E17")
@pytest.mark.parametrize("name", SAVES_ITS_INPUT)
def test_E17_a_saved_input_written_under_no_grad_is_an_error(name):
    x = leaf(3, 3)
    y = SAVES_ITS_INPUT[name](x).sum()
    with mg.no_grad():
        x += 1
    with pytest.raises(GraphError, match=rf"{name}.*\+="):
        y.backward()


@pytest.mark.pitfall("E17")
@pytest.mark.parametrize("name", SAVES_ITS_OUTPUT)
def test_E17_a_saved_output_written_under_no_grad_is_an_error(name):
    x = leaf(3, 3)
    y = SAVES_ITS_OUTPUT[name](x)
    with mg.no_grad():
        y *= 2
    with pytest.raises(GraphError, match=rf"{name}.*\*="):
        y.sum().backward()


@pytest.mark.pitfall("E17")
@pytest.mark.parametrize("name", WRITES)
def test_E17_every_write_is_seen_and_named(name):
    x = leaf(3)
    y = (x * x).sum()
    with mg.no_grad():
        WRITES[name](x)
    with pytest.raises(GraphError) as caught:
        y.backward()
    assert "mul" in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.pitfall("E17")
def test_E17_an_in_place_update_through_data_is_seen():
    x = leaf(3)
    y = (x * x).sum()
    data_in_place(x)
    with pytest.raises(GraphError, match=r"mul.*t\.data"):
        y.backward()


@pytest.mark.pitfall("E17")
@pytest.mark.parametrize("create_graph", [False, True])
def test_E17_a_write_between_two_sweeps_is_seen(create_graph):
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    with mg.no_grad():
        x += 1
    with pytest.raises(GraphError, match="mul"):
        y.backward(create_graph=create_graph)


@pytest.mark.pitfall("E17")
def test_E17_a_write_before_the_recorded_gradient_is_differentiated_is_seen():
    x = leaf(3)
    (g,) = mg.grad((x * x * x).sum(), x, create_graph=True)
    with mg.no_grad():
        x += 1
    with pytest.raises(GraphError, match=r"\+="):
        mg.grad(g.sum(), x)


@pytest.mark.pitfall("E17")
def test_E17_the_data_of_a_result_is_read_only():
    y = leaf(3).exp()
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 1.0


@pytest.mark.pitfall("E17")
def test_E17_a_write_to_what_nobody_saved_is_allowed():
    x, w = leaf(3), leaf(3, seed=2)
    y = (x + w).sum()
    with mg.no_grad():
        x += 1
    y.backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.pitfall("E17")
def test_E17_a_write_before_the_forward_is_allowed():
    x = leaf(3)
    with mg.no_grad():
        x += 1
    (x * x).sum().backward()
    assert_close(x.grad, 2 * x.numpy())


@pytest.mark.pitfall("E17")
def test_E17_after_the_error_the_next_step_works():
    x = leaf(3)
    y = (x * x).sum()
    with mg.no_grad():
        x += 1
    with pytest.raises(GraphError):
        y.backward()
    assert x.grad is None
    (x * x).sum().backward()
    assert_close(x.grad, 2 * x.numpy())


@pytest.mark.pitfall("E17")
def test_E17_a_write_to_a_constant_operand_is_seen():
    x, constant = leaf(3), mg.tensor(np.ones(3))
    y = (x * constant).sum()
    constant.fill_(7.0)
    with pytest.raises(GraphError, match="fill_"):
        y.backward()


@pytest.mark.pitfall("E17")
def test_E17_an_array_used_as_an_index_may_change_afterwards():
    x, index = leaf(3), np.array([0, 0, 1])
    y = x[index].sum()
    index[:] = 2
    y.backward()
    assert x.grad.tolist() == [2, 1, 0]


# ---- E18: an optimiser step between forward and backward -----------------------------------------


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_E18_a_step_between_forward_and_backward_names_both(kind):
    w = leaf(3)
    step = kind([w], lr=0.1)
    first, second = (w * w).sum(), (w * w * w).sum()
    first.backward()
    step.step()
    with pytest.raises(GraphError) as caught:
        second.backward()
    assert "mul" in str(caught.value)
    assert f"{kind.__name__}.step" in str(caught.value)


@pytest.mark.pitfall("E18")
def test_E18_a_step_between_the_two_losses_of_a_network_is_seen():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    step = optim.SGD(model.parameters(), lr=0.1)
    loss = model(mg.randn(5, 3)).mean()
    model(mg.randn(5, 3)).mean().backward()
    step.step()
    with pytest.raises(GraphError, match=r"SGD\.step"):
        loss.backward()


@pytest.mark.pitfall("E18")
def test_E18_a_step_that_had_no_gradients_is_harmless():
    w = leaf(3)
    y = (w * w).sum()
    optim.SGD([w], lr=0.1).step()
    y.backward()
    assert_close(w.grad, 2 * w.numpy())


@pytest.mark.pitfall("E18")
def test_E18_loading_a_state_dict_between_forward_and_backward_is_seen():
    model = nn.Linear(3, 2)
    x = mg.randn(5, 3, requires_grad=True)
    y = model(x).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(GraphError, match=r"linear.*copy_"):
        y.backward()


# ---- E19: augmented assignment -------------------------------------------------------------------

AUGMENTED = {
    "+=": (lambda t, v: t.__iadd__(v), lambda a, v: a + v),
    "-=": (lambda t, v: t.__isub__(v), lambda a, v: a - v),
    "*=": (lambda t, v: t.__imul__(v), lambda a, v: a * v),
    "/=": (lambda t, v: t.__itruediv__(v), lambda a, v: a / v),
    "**=": (lambda t, v: t.__ipow__(v), lambda a, v: a**v),
}


@pytest.mark.pitfall("E19")
@pytest.mark.parametrize("sign", AUGMENTED)
def test_E19_on_a_leaf_that_requires_grad_it_raises_while_recording(sign):
    w = leaf(3)
    before = w.tolist()
    with pytest.raises(GraphError, match=r"no_grad"):
        AUGMENTED[sign][0](w, 2.0)
    assert w.tolist() == before


@pytest.mark.pitfall("E19")
@pytest.mark.parametrize("sign", AUGMENTED)
def test_E19_on_a_leaf_under_no_grad_it_writes_in_place(sign):
    assign, formula = AUGMENTED[sign]
    w = leaf(3)
    array, expected = w.array, formula(w.numpy(), 2.0)
    with mg.no_grad():
        result = assign(w, 2.0)
    assert result is w
    assert w.array is array
    assert w.requires_grad
    assert w.is_leaf
    assert_close(w, expected)


@pytest.mark.pitfall("E19")
@pytest.mark.parametrize("sign", AUGMENTED)
def test_E19_on_a_result_it_is_recorded(sign):
    assign, formula = AUGMENTED[sign]

    def f(x, v):
        y = x * 1.5
        assign(y, v)
        return y * y

    check_grads(f, [leaf(3), leaf(3, seed=2)], order=2)
    x = leaf(3)
    assert_close(f(x, mg.tensor(2.0)), formula(x.numpy() * 1.5, 2.0) ** 2)


@pytest.mark.pitfall("E19")
def test_E19_every_name_of_a_result_sees_the_change():
    x = leaf(3)
    y = x * 2
    z = y
    y += 1
    assert z is y
    assert_close(z, 2 * x.numpy() + 1)


@pytest.mark.pitfall("E19")
def test_E19_what_was_saved_before_keeps_the_old_value():
    x = leaf(3)
    y = x * 2
    square = y * y
    y += 100
    square.sum().backward()
    assert_close(x.grad, 8 * x.numpy())


@pytest.mark.pitfall("E19")
def test_E19_an_earlier_view_keeps_the_old_value():
    y = leaf(3) * 2
    view, before = y[0], y[0].item()
    y += 100
    assert view.item() == before


@pytest.mark.pitfall("E19")
def test_E19_a_detached_copy_keeps_the_old_value():
    y = mg.tensor([1.0, 2.0])
    d = y.detach()
    y += 100
    assert d.tolist() == [1, 2]


@pytest.mark.pitfall("E19")
def test_E19_a_constant_becomes_a_result_when_a_leaf_is_added():
    x, total = leaf(3), mg.tensor(np.zeros(3))
    for _ in range(3):
        total += x
    total.sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


@pytest.mark.pitfall("E19")
def test_E19_a_change_of_shape_is_refused():
    y = leaf(3) * 2
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2, 3\)"):
        y += np.ones((2, 3))


@pytest.mark.pitfall("E19")
def test_E19_the_dtype_stays():
    y = mg.tensor([1.0, 2.0], requires_grad=True) * 2
    y += np.ones(2)
    assert y.dtype == mg.float32


@pytest.mark.pitfall("E19")
def test_E19_a_hand_written_step_works():
    w = leaf(3)
    before = w.numpy().copy()
    (w * w).sum().backward()
    with mg.no_grad():
        w -= 0.1 * w.grad
    assert_close(w, 0.8 * before)
    assert w.requires_grad
    assert w.is_leaf


@pytest.mark.pitfall("E19")
def test_E19_a_hand_written_training_loop_converges():
    w = mg.tensor([5.0, -3.0], requires_grad=True)
    for _ in range(50):
        ((w - mg.tensor([1.0, 2.0])) ** 2).sum().backward()
        with mg.no_grad():
            w -= 0.25 * w.grad
        w.zero_grad()
    np.testing.assert_allclose(w.numpy(), [1, 2], rtol=1e-6)


@pytest.mark.pitfall("E19")
def test_E19_a_hand_written_step_on_a_leaf_that_is_a_view_keeps_it_a_leaf():
    w = mg.tensor(np.ones((2, 2))).reshape(4).requires_grad_()
    (w * w).sum().backward()
    with mg.no_grad():
        w -= 0.1 * w.grad
    assert w.requires_grad
    assert_close(w, np.full(4, 0.8))


@pytest.mark.pitfall("E19")
def test_E19_an_integer_tensor_does_not_become_floating_in_place():
    t = mg.tensor([1, 2])
    t += 1
    assert t.dtype == mg.int64
    assert t.tolist() == [2, 3]


# ---- item assignment -----------------------------------------------------------------------------


def test_item_on_a_leaf_that_requires_grad_raises_while_recording():
    w = leaf(3)
    before = w.tolist()
    with pytest.raises(GraphError, match="no_grad"):
        w[0] = 1.0
    assert w.tolist() == before


def test_item_on_a_leaf_under_no_grad_writes_in_place():
    w = leaf(3)
    array = w.array
    with mg.no_grad():
        w[0] = 7.0
    assert w.array is array
    assert w[0].item() == 7.0
    assert w.requires_grad


def test_item_augmented_under_no_grad_writes_in_place():
    w = leaf(3)
    array, before = w.array, w.numpy().copy()
    with mg.no_grad():
        w[0] -= 0.1
    assert w.array is array
    assert_close(w, before - [0.1, 0, 0])
    assert w.requires_grad


def test_item_augmented_under_no_grad_is_noted():
    w = leaf(3)
    y = (w * w).sum()
    with mg.no_grad():
        w[0] -= 0.1
    with pytest.raises(GraphError, match="mul"):
        y.backward()


KEYS = {
    "integer": 1,
    "negative": -1,
    "slice": slice(0, 2),
    "step": slice(None, None, -2),
    "column": (slice(None), 1),
    "ellipsis": (..., 0),
    "list": [0, 2],
    "mask": np.array([True, False, True]),
    "pairs": ([0, 2], [1, 1]),
}


@pytest.mark.parametrize("name", KEYS)
def test_item_assignment_is_differentiated(name):
    key = KEYS[name]

    def f(x, v):
        y = x * 2
        y[key] = v * 3
        return y * y

    v = leaf(*np.zeros((3, 2))[key].shape, seed=2)
    check_grads(f, [leaf(3, 2), v], order=2)


@pytest.mark.parametrize("name", KEYS)
def test_item_assignment_has_numpys_values(name):
    key = KEYS[name]
    y = leaf(3, 2) * 2
    expected = y.numpy().copy()
    expected[key] = -1.0
    y[key] = -1.0
    assert_close(y, expected)


def test_item_value_that_broadcasts_collects_its_gradient():
    x, v = leaf(3), mg.tensor(2.0, requires_grad=True)
    y = x * 1
    y[0:2] = v
    y.sum().backward()
    assert v.grad.item() == 2.0
    assert x.grad.tolist() == [0, 0, 1]


def test_item_written_twice_only_the_last_has_a_gradient():
    x, v = leaf(2), leaf(3, seed=2)
    y = x * 1
    y[[0, 1, 0]] = v
    y.sum().backward()
    assert y[0].item() == v[2].item()
    assert v.grad.tolist() == [0, 1, 1]


def test_item_augmented_while_recording_is_differentiated():
    def f(x):
        y = x * 2
        y[0] *= y[1]
        y[1] -= 3 * x[0]
        return y

    check_grads(f, leaf(3), order=2)


def test_item_into_a_constant_makes_it_a_result():
    x, y = leaf(1), mg.tensor(np.zeros(3))
    y[1:2] = x
    (y * 5).sum().backward()
    assert x.grad.tolist() == [5]


def test_item_earlier_views_and_saved_values_keep_the_old_ones():
    x = leaf(3)
    y = x * 2
    view, square = y[0:2], (y * y).sum()
    y[0] = 100.0
    assert_close(view, 2 * x.numpy()[:2])
    square.backward()
    assert_close(x.grad, 8 * x.numpy())


def test_item_every_name_sees_the_change():
    y = leaf(3) * 2
    z = y
    y[0] = 100.0
    assert z[0].item() == 100.0


def test_item_the_dtype_stays():
    y = mg.tensor([1.0, 2.0], requires_grad=True) * 1
    y[0] = np.float64(3)
    y[1:] = np.ones(1)
    assert y.dtype == mg.float32


def test_item_the_key_may_change_afterwards():
    x, v, index = leaf(3), leaf(1, seed=2), np.array([0])
    y = x * 1
    y[index] = v
    index[0] = 2
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1]


def test_item_a_value_of_a_wrong_shape_changes_nothing():
    y = leaf(3) * 1
    before = y.tolist()
    with pytest.raises(ShapeError):
        y[0:2] = np.ones(3)
    assert y.tolist() == before


def test_item_hook_and_retained_gradient_stay_with_the_old_value():
    x = leaf(3)
    y = x * 2
    y.retain_grad()
    y[0] = 0.0
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, 2]


# ---- E20: views ----------------------------------------------------------------------------------

VIEWS = {
    "reshape": lambda y: y.reshape(6),
    "T": lambda y: y.T,
    "transpose": lambda y: y.transpose(0, 1),
    "permute": lambda y: y.permute(1, 0),
    "expand": lambda y: y.expand(4, 2, 3),
    "broadcast_to": lambda y: y.broadcast_to(4, 2, 3),
    "squeeze": lambda y: y.squeeze(),
    "unsqueeze": lambda y: y.unsqueeze(0),
    "flatten": lambda y: y.flatten(),
    "row": lambda y: y[0],
    "slice": lambda y: y[:, ::-2],
    "new axis": lambda y: y[..., None],
}


@pytest.mark.pitfall("E20")
@pytest.mark.parametrize("name", VIEWS)
def test_E20_a_view_shares_memory(name):
    y = leaf(2, 3)
    assert np.shares_memory(VIEWS[name](y).array, y.array)


@pytest.mark.pitfall("E20")
@pytest.mark.parametrize("name", VIEWS)
def test_E20_a_views_gradient_has_the_shape_of_its_base(name):
    check_grads(lambda y: VIEWS[name](y) * VIEWS[name](y), leaf(2, 3), order=2)


@pytest.mark.pitfall("E20")
@pytest.mark.parametrize("name", VIEWS)
def test_E20_a_view_cannot_be_written_through(name):
    y = leaf(2, 3)
    before = y.tolist()
    view = VIEWS[name](y)
    with mg.no_grad(), pytest.raises(GraphError, match="clone"):
        view[0] = 9.0
    with mg.no_grad(), pytest.raises(GraphError, match="clone"):
        view.zero_()
    assert y.tolist() == before


@pytest.mark.pitfall("E20")
@pytest.mark.parametrize("name", VIEWS)
def test_E20_augmented_assignment_to_a_view_leaves_its_base(name):
    y = leaf(2, 3)
    before = y.tolist()
    view = VIEWS[name](y)
    with mg.no_grad():
        view += 1
    assert y.tolist() == before


@pytest.mark.pitfall("E20")
def test_E20_a_write_to_the_base_of_a_saved_view_is_seen():
    base, w = mg.tensor(np.ones((2, 3))), leaf(3)
    y = (base[1] * w).sum()
    with mg.no_grad():
        base[1] = 5.0
    with pytest.raises(GraphError, match="mul"):
        y.backward()


@pytest.mark.pitfall("E20")
def test_E20_a_write_through_a_detached_handle_is_seen():
    x = leaf(3)
    y = (x * x).sum()
    x.detach().fill_(0.0)
    with pytest.raises(GraphError, match="fill_"):
        y.backward()


@pytest.mark.pitfall("E20")
def test_E20_a_functional_write_to_a_detached_handle_leaves_the_leaf():
    x = leaf(3)
    before = x.tolist()
    d = x.detach()
    d[0] = 9.0
    d += 1
    assert x.tolist() == before


@pytest.mark.pitfall("E20")
def test_E20_a_copy_of_a_reversed_array_is_right():
    x = mg.tensor(np.arange(3.0)[::-1], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 2, 0]


# ---- E21, E22: arrays of the user ----------------------------------------------------------------


@pytest.mark.pitfall("E21")
def test_E21_a_tensor_copies_the_array():
    array = np.ones(3)
    t = mg.tensor(array)
    array[0] = 9.0
    assert t.tolist() == [1, 1, 1]


@pytest.mark.pitfall("E21")
def test_E21_a_tensor_of_a_tensor_copies():
    a = mg.tensor(np.ones(3))
    assert not np.shares_memory(mg.tensor(a).data, a.data)


@pytest.mark.pitfall("E22")
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("export", [lambda t: t.numpy(), np.asarray])
def test_E22_an_exported_array_is_read_only(requires_grad, export):
    t = mg.tensor(np.ones(3), requires_grad=requires_grad)
    with pytest.raises(ValueError, match="read-only"):
        export(t)[0] = 9.0


@pytest.mark.pitfall("E22")
def test_E22_a_copy_written_to_leaves_the_saved_value():
    y = leaf(3).exp()
    array = np.array(y)
    array[0] = 9.0
    assert y[0].item() != 9.0


@pytest.mark.pitfall("E22")
def test_E22_np_array_gives_a_copy_that_can_be_written():
    t = mg.tensor(np.ones(3))
    array = np.array(t)
    array[0] = 9.0
    assert t.tolist() == [1, 1, 1]


# ---- .data ---------------------------------------------------------------------------------------


def test_data_set_rebinds_and_the_older_graph_keeps_the_old_values():
    x = leaf(3)
    old = x.numpy().copy()
    y = (x * x).sum()
    x.data = np.zeros(3)
    y.backward()
    assert_close(x.grad, 2 * old)
    assert x.tolist() == [0, 0, 0]


def test_data_update_in_place_keeps_the_array():
    x = leaf(3)
    array, before = x.array, x.numpy().copy()
    x.data -= 0.5
    assert x.array is array
    assert_close(x, before - 0.5)
    assert x.requires_grad


def test_data_of_a_result_cannot_be_replaced():
    y = leaf(3) * 2
    with pytest.raises(GraphError, match="mul"):
        y.data = np.zeros(3)


def test_data_of_another_shape_gets_gradients_of_that_shape():
    x = leaf(3)
    x.data = np.ones((2, 2))
    (x * x).sum().backward()
    assert x.grad.shape == (2, 2)


def test_data_of_another_shape_does_not_meet_the_old_gradient():
    x = leaf(3)
    (x * x).sum().backward()
    x.data = np.ones(1)
    (x * x).sum().backward()
    assert x.grad.shape == x.shape


def test_data_of_another_dtype_gets_gradients_of_that_dtype():
    x = leaf(3)
    x.data = np.ones(3, np.float32)
    (x * x).sum().backward()
    assert x.grad.dtype == mg.float32


def test_data_that_is_read_only_can_still_be_stepped():
    w = leaf(3)
    w.data = mg.tensor(np.ones(3)).numpy()
    (w * w).sum().backward()
    optim.SGD([w], lr=0.1).step()
    assert_close(w, np.full(3, 0.8))


def test_data_of_a_leaf_is_the_bare_array():
    x = leaf(3)
    assert type(x.data) is np.ndarray
    assert x.data is x.array


# ---- copy_ and its relatives ---------------------------------------------------------------------

FILLS = {
    "copy_": lambda t: t.copy_(np.full(t.shape, 4.0)),
    "copy_ of a tensor": lambda t: t.copy_(mg.tensor(np.full(t.shape, 4.0))),
    "fill_": lambda t: t.fill_(4.0),
}


@pytest.mark.parametrize("name", FILLS)
def test_fill_writes_in_place_and_returns_the_tensor(name):
    t = mg.tensor([1.0, 2.0])
    array = t.array
    assert FILLS[name](t) is t
    assert t.array is array
    assert t.tolist() == [4, 4]
    assert t.dtype == mg.float32


def test_zero_sets_zeros():
    assert mg.tensor([1.0, 2.0]).zero_().tolist() == [0, 0]


def test_normal_has_its_mean_and_deviation():
    t = mg.zeros(2000).normal_(5.0, 0.1)
    assert abs(t.numpy().mean() - 5.0) < 0.02
    assert 0.09 < t.numpy().std() < 0.11


def test_uniform_stays_in_its_bounds():
    t = mg.zeros(2000).uniform_(-2.0, -1.0)
    assert t.numpy().min() >= -2.0
    assert t.numpy().max() <= -1.0
    assert abs(t.numpy().mean() + 1.5) < 0.05


@pytest.mark.parametrize("fill", [lambda t: t.normal_(), lambda t: t.uniform_()])
def test_random_fills_follow_the_seed(fill):
    mg.manual_seed(3)
    first = fill(mg.zeros(4)).tolist()
    mg.manual_seed(3)
    assert fill(mg.zeros(4)).tolist() == first


ALL_FILLS = (
    *FILLS.values(),
    lambda t: t.zero_(),
    lambda t: t.normal_(),
    lambda t: t.uniform_(),
)


@pytest.mark.parametrize("fill", ALL_FILLS)
def test_fill_of_a_leaf_that_requires_grad_raises_while_recording(fill):
    w = leaf(3)
    before = w.tolist()
    with pytest.raises(GraphError, match="no_grad"):
        fill(w)
    assert w.tolist() == before


@pytest.mark.parametrize("fill", ALL_FILLS)
def test_fill_of_a_leaf_under_no_grad_keeps_it_a_leaf(fill):
    w = leaf(3)
    with mg.no_grad():
        fill(w)
    assert w.requires_grad
    assert w.is_leaf


@pytest.mark.parametrize("fill", ALL_FILLS)
def test_fill_of_a_result_raises_while_recording(fill):
    y = leaf(3) * 2
    with pytest.raises(GraphError, match="clone"):
        fill(y)


@pytest.mark.parametrize("shape", [(2,), (1,), (1, 3), ()])
def test_copy_of_another_shape_raises_even_if_it_broadcasts(shape):
    t = mg.tensor(np.ones(3))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        t.copy_(np.zeros(shape))
    assert t.tolist() == [1, 1, 1]


def test_grad_can_be_written_in_place_and_accumulates_on():
    x = leaf(3)
    x.sum().backward()
    x.grad.zero_()
    x.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


# ---- the notes of writes -------------------------------------------------------------------------


def test_notes_go_with_the_memory():
    gc.collect()
    before = len(graph._writes)
    for _ in range(100):
        mg.zeros(3).fill_(1.0)
    assert len(graph._writes) == before


def test_notes_of_many_writes_to_one_memory_are_one():
    t = mg.zeros(3)
    before = len(graph._writes)
    for _ in range(100):
        t.fill_(1.0)
    assert len(graph._writes) == before + 1
    del t
    assert len(graph._writes) == before


def test_notes_do_not_grow_while_training():
    model = nn.Linear(3, 2)
    step = optim.Adam(model.parameters(), lr=0.01)
    sizes = []
    for _ in range(20):
        model(mg.randn(4, 3)).mean().backward()
        step.step()
        step.zero_grad()
        sizes.append(len(graph._writes))
    assert sizes[-1] == sizes[0]


def test_notes_of_dead_memory_do_not_accuse_a_newcomer():
    for _ in range(200):
        mg.zeros(3).fill_(1.0)
        x = leaf(3)
        (x * x).sum().backward()
        assert_close(x.grad, 2 * x.numpy())
