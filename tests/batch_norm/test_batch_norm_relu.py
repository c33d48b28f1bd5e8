"""BatchNorm with ReLU in one node: the same as one after the other."""

import copy

import numpy as np
import pytest
from batch_norm_helpers import (
    assert_near,
    derivatives,
    draw,
    eval_inputs,
    host,
    leaf,
    module_for,
    training_inputs,
)

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import ShapeError
from minigrad.nn import functional as F
from minigrad.testing import check_grads


def joined(fused, training=True):
    """Batch norm and relu in one, as a function of x, mean, var, weight and bias."""
    return lambda x, m, v, w, b: F.batch_norm_relu(x, m, v, w, b, training=training, fused=fused)


def apart(fused, training=True):
    """One after the other."""
    return lambda *xs: F.relu(F.batch_norm(*xs, training=training, fused=fused))


def given(shape, device, training=True):
    """x, running mean and variance, weight, bias: none within reach of relu's kink."""
    x, mean, var, w, b = eval_inputs(shape)
    if training:
        x, w, b = training_inputs(shape)
        mean, var = np.zeros(shape[1]), np.ones(shape[1])
    return [
        mg.tensor(a, device=device, requires_grad=not (training and i in (1, 2)))
        for i, a in enumerate((x, mean, var, w, b))
    ]


@pytest.mark.parametrize("training", [True, False])
def test_values_and_three_derivatives_are_those_of_one_after_the_other(
    shape, fused, device, training
):
    results = []
    for f in (joined, apart):
        inputs = given(shape, device, training)
        wanted = [t for t in inputs if t.requires_grad]
        results.append(derivatives(f(fused, training)(*inputs), wanted, 3))
    found, expected = results
    assert (found[0][0] == 0).any()
    assert (found[0][0] > 0).any()
    assert len(found[1]) == (3 if training else 5)
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(np.abs(b).max(), 1))


@pytest.mark.parametrize("training", [True, False])
def test_derivatives_are_the_numeric_ones(fused, training):
    x, mean, var, w, b = given((5, 3), "cpu", training)
    wanted = [x, w, b] if training else [x, mean, var, w, b]

    def f(*each):
        inputs = [each[0], mean, var, *each[1:]] if training else each
        return joined(fused, training)(*inputs)

    check_grads(f, wanted, order=3)


def test_running_statistics_move_as_batch_norm_moves_them(shape, fused, device):
    results = []
    for f in (joined, apart):
        x, mean, var, w, b = given(shape, device)
        f(fused)(x, mean, var, w, b)
        results.append((host(mean), host(var)))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0][0]).min() > 0


@pytest.mark.parametrize("training", [True, False])
def test_the_fused_form_is_one_op_each_way(shape, device, training):
    x, mean, var, w, b = given(shape, device, training)
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        y = joined(True, training)(x, mean, var, w, b)
        if training:
            mg.grad(y, [x, w, b], mg.tensor(draw(shape), device=device))
    ops = ["batch_norm_relu", "batch_norm_relu_grad"] if training else ["batch_norm_relu_eval"]
    assert names == ops


@pytest.mark.parametrize("create_graph", [False, True])
def test_B7_a_first_layer_s_backward_computes_no_dx(shape, device, create_graph):
    x, _, _, w, b = given(shape, device)
    dy, names = mg.tensor(draw(shape, 5), device=device), []
    y = F.batch_norm_relu(x.detach(), None, None, w, b, training=True)
    with mg.watch(lambda event: names.append(event.name)):
        found = mg.grad(y, [w, b], dy, create_graph=create_graph)
    assert "batch_norm_sums" in names
    assert not {"batch_norm_relu_grad", "batch_norm_grad"} & set(names)
    y = F.relu(F.batch_norm(x.detach(), None, None, w, b, training=True))
    assert_near(map(host, found), map(host, mg.grad(y, [w, b], dy)))


def test_the_composed_form_is_primitives(shape):
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        y = joined(False)(*given(shape, "cpu"))
        assert y.shape == shape
    assert "relu" in names
    assert not [name for name in names if "batch_norm" in name]


def test_the_slope_at_0_is_0_and_nan_goes_through(fused, device):
    """As relu alone has it: a constant channel with bias 0 lies on the kink."""
    x = np.full((4, 3), 100.1)
    x[:, 1], x[0, 2] = draw(4), np.nan
    t = leaf(x, device)
    y = F.batch_norm_relu(t, None, None, training=True, fused=fused)
    (dx,) = mg.grad(y.sum(), t)
    assert (host(y)[:, 0] == 0).all()
    assert (host(dx)[:, 0] == 0).all()
    assert np.isnan(host(y)[:, 2]).all()
    assert np.isnan(host(dx)[:, 2]).all()
    assert np.isfinite(host(dx)[:, 1]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_float16_and_float32_keep_their_dtype(shape, fused, device, dtype):
    x, dy = leaf(draw(shape, 1, dtype), device), mg.tensor(draw(shape, 2, dtype), device=device)
    w = leaf(np.ones(3, dtype), device)
    y = F.batch_norm_relu(x, None, None, w, training=True, fused=fused)
    found = mg.grad(y, [x, w], dy)
    assert {t.dtype for t in (y, *found)} == {np.dtype(dtype)}
    other = F.relu(F.batch_norm(x, None, None, w, training=True, fused=fused))
    np.testing.assert_array_equal(host(y), host(other))


def test_the_module_trains_as_the_two_do(shape, fused, device):
    joint = module_for(shape, fused=fused, relu=True, device=device)
    lone = module_for(shape, fused=fused, device=device)
    lone.load_state_dict(joint.state_dict())
    models, results = (joint, nn.Sequential(lone, nn.ReLU())), []
    for model in models:
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for step in range(5):
            y = model(mg.tensor(draw(shape, step, mean=1.0), device=device))
            loss = (y * mg.tensor(draw(shape, 9), device=device)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        y = model.eval()(mg.tensor(draw(shape, 7), device=device))
        results.append([host(y), *(host(t) for t in model.state_dict().values())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_the_module_says_so_and_has_batch_norms_state():
    module = nn.BatchNorm2d(3, relu=True)
    assert "relu=True" in repr(module)
    assert "relu" not in repr(nn.BatchNorm2d(3))
    assert list(module.state_dict()) == list(nn.BatchNorm2d(3).state_dict())
    assert copy.deepcopy(module).relu is True


def test_errors_name_the_function_and_leave_the_statistics():
    mean, var = mg.zeros(3), mg.ones(3)
    with pytest.raises(ShapeError, match=r"^batch_norm_relu got one value per channel"):
        F.batch_norm_relu(mg.ones(1, 3), mean, var, training=True)
    with pytest.raises(ShapeError, match=r"^batch_norm_relu got x of shape"):
        F.batch_norm_relu(mg.ones(3), mean, var, training=True)
    with pytest.raises(ValueError, match=r"^batch_norm_relu .* needs running_mean"):
        F.batch_norm_relu(mg.ones(2, 3), None, None)
    assert not host(mean).any()


def test_the_output_is_all_that_is_kept_beside_x_and_channels():
    x = leaf(draw((4, 3, 5, 5)))
    kept = []
    with mg.watch(lambda event: kept.append((event.name, event.kept))):
        y = F.batch_norm_relu(x, None, None, training=True)
    assert kept == [("batch_norm_relu", kept[0][1])]
    assert kept[0][1] <= x.data.nbytes + y.data.nbytes + 5 * 3 * 8
