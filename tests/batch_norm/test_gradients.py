"""BatchNorm's gradients against numeric ones and formulas (B1, B2, B7 to B10, B12).

Identities, which need no oracle, are in test_identities.py, higher orders in
test_higher_orders.py.
"""

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    assert_near,
    axes_of,
    draw,
    eval_inputs,
    evaluated,
    host,
    leaf,
    module_for,
    normalise,
    normalise_with,
    parameters,
    per_channel,
    run,
    trained,
    training_inputs,
    worst,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.testing import check_grads


def slopes(f, arrays, step=1e-3):
    """The gradient of the number f(*arrays) through each array, coordinate by coordinate: central
    differences of fourth order.
    """

    def ahead(i, place, distance):
        moved = [a.copy() for a in arrays]
        moved[i][place] += distance
        return f(*moved)

    found = [np.empty_like(a) for a in arrays]
    for i, gradient in enumerate(found):
        for place in np.ndindex(gradient.shape):
            near, far = (ahead(i, place, h) - ahead(i, place, -h) for h in (step, 2 * step))
            gradient[place] = (8 * near - far) / (12 * step)
    return found


def gradients(f, arrays, dy, device):
    """f's gradients through all arrays for the upstream gradient dy."""
    inputs = [leaf(a, device) for a in arrays]
    return [host(g) for g in mg.grad(f(*inputs), inputs, mg.tensor(dy, device=device))]


def assert_gradcheck(f, arrays, dy, device):
    """f's gradients are the slopes of f itself; its atol is what differences round to."""

    def loss(*moved):
        return (host(f(*[mg.tensor(a, device=device) for a in moved])) * dy).sum()

    assert_near(gradients(f, arrays, dy, device), slopes(loss, arrays), rtol=1e-6, atol=1e-10)


def random_parameters(seed=2):
    """A random weight that is not 1, and a random bias that is not 0."""
    gamma, beta = draw(3, seed), draw(3, seed + 1)
    assert min(np.abs(gamma - 1).min(), np.abs(gamma).min(), np.abs(beta).min()) > 0.05
    return gamma, beta


# ---- against numeric derivatives and formulas


def test_B1_gradcheck_of_dx_dgamma_and_dbeta_in_float64(shape, fused, device):
    shape = (max(shape[0], 3), *shape[1:])
    arrays = [draw(shape, 1), *random_parameters()]
    assert_gradcheck(trained(fused, eps=1e-5), arrays, draw(shape, 5), device)


def test_B1_gradients_equal_the_formulas_of_the_contract(shape, fused, device):
    x, gamma, beta = training_inputs(shape)
    dy = draw(shape, 5)
    assert_near(run(x, gamma, beta, dy, fused, device=device), normalise(x, gamma, beta, dy))


def test_B1_gradient_equals_a_complex_step(shape, fused):
    """Another numeric method: Im f(x + ih) / h, which subtracts nothing, in every coordinate."""
    arrays = training_inputs(shape)
    axes, dy, h = axes_of(arrays[0]), draw(shape, 5), 1e-30

    def loss(x, w, b):
        c = x - x.mean(axes, keepdims=True)
        xhat = c / np.sqrt((c * c).mean(axes, keepdims=True) + EPS)
        return (dy * (per_channel(w, x) * xhat + per_channel(b, x))).sum()

    for i, gradient in enumerate(run(*arrays, dy, fused)[1:]):
        expected = np.empty(gradient.shape)
        for place in np.ndindex(gradient.shape):
            moved = [a.astype(complex) for a in arrays]
            moved[i][place] += 1j * h
            expected[place] = loss(*moved).imag / h
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-13)


def trained_steps(shape, fused, device, dtype):
    """Three steps' y, dx, dgamma and dbeta, and the running statistics after them."""
    gamma, beta = parameters(3, dtype)
    stats = [mg.tensor(a.astype(dtype), device=device) for a in (np.zeros(3), np.ones(3))]
    found = []
    for step in range(3):
        inputs = [leaf(a, device) for a in (draw(shape, step, dtype), gamma, beta)]
        x, *affine = inputs
        y = F.batch_norm(x, *stats, *affine, training=True, fused=fused)
        dy = mg.tensor(draw(shape, 10 + step, dtype), device=device)
        found += [y, *mg.grad(y, inputs, dy)]
    return [host(t) for t in (*found, *stats)]


def test_B2_composed_equals_fused_with_running_statistics_in_float64_and_float32(shape, device):
    for dtype, bound in ((np.float64, 1e-12), (np.float32, 1e-5)):
        forms = [trained_steps(shape, fused, device, dtype) for fused in (True, False)]
        for a, b in zip(*forms, strict=True):
            assert a.dtype == b.dtype == dtype
            assert np.abs(a - b).max() < bound


def test_B2_modules_of_both_forms_keep_the_same_statistics(shape, device):
    for dtype, bound in ((np.float64, 1e-12), (np.float32, 1e-5)):
        found = []
        for fused in (True, False):
            module = module_for(shape, fused=fused, device=device, dtype=dtype)
            for step in range(3):
                module(mg.tensor(draw(shape, step, dtype, mean=0.5), device=device))
            found.append([host(t) for t in (module.running_mean, module.running_var)])
        for a, b in zip(*found, strict=True):
            assert np.abs(a - b).max() < bound


def test_B2_evaluation_by_float64_statistics(shape, device):
    """A mean far from 0 that float32 does not have: 1e4 ± 5e-4 is the nearest."""
    x, dy = draw(shape, 1, np.float32, mean=1e4), draw(shape, 2, np.float32)
    mean, var = 1e4 + np.array([0.0003, 0.25 - 0.0004, -1 / 3]), np.array([0.5, 1.5, 0.9])
    gamma, beta = parameters(3, np.float32)
    expected = normalise_with(x, mean, var, gamma, beta, dy)
    for fused in (True, False):
        inputs = [leaf(a, device) for a in (x, gamma, beta)]
        given = [mg.tensor(a, device=device) for a in (mean, var)]
        assert {t.dtype for t in given} == {np.dtype(np.float64)}
        y = evaluated(fused)(inputs[0], *given, *inputs[1:])
        found = [y, *mg.grad(y, inputs, mg.tensor(dy, device=device))]
        assert {t.dtype for t in found} == {np.dtype(np.float32)}
        for a, b in zip(map(host, found), expected, strict=True):
            assert np.abs(a - b).max() < 1e-5


# ---- what gets a gradient


def test_B7_only_those_that_require_grad_get_one(shape, fused, device):
    arrays, dy = training_inputs(shape), draw(shape, 5)
    expected = normalise(*arrays, dy)[1:]
    for wanted in [(0,), (1,), (2,), (1, 2), (0, 2), (0, 1)]:
        inputs = [
            mg.tensor(a, requires_grad=i in wanted, device=device) for i, a in enumerate(arrays)
        ]
        trained(fused)(*inputs).backward(mg.tensor(dy, device=device))
        assert [t.grad is not None for t in inputs] == [i in wanted for i in range(3)]
        assert_near([host(inputs[i].grad) for i in wanted], [expected[i] for i in wanted])


def test_B7_a_module_on_data_is_a_first_layer_that_learns(shape, fused, device):
    module, x = module_for(shape, fused=fused, device=device), mg.tensor(draw(shape), device=device)
    dy = draw(shape, 5)
    module(x).backward(mg.tensor(dy, device=device))
    assert x.grad is None
    expected = normalise(host(x), np.ones(3), np.zeros(3), dy)[2:]
    assert_near([host(module.weight.grad), host(module.bias.grad)], expected)


def test_B7_input_without_grad_gives_second_derivatives_of_the_parameters(fused):
    x = mg.tensor(draw((4, 3)))
    given = [mg.tensor(draw(3)), mg.tensor(draw(3, 1))]
    check_grads(lambda w, b: trained(fused)(x, w, b) ** 3, given, order=3)


def test_B8_without_affine_y_is_xhat_and_nothing_is_learned(shape, fused, device):
    module = module_for(shape, affine=False, fused=fused, device=device)
    assert list(module.parameters()) == []
    assert list(module.state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    x, dy = draw(shape), draw(shape, 1)
    t = leaf(x, device)
    y = module(t)
    (dx,) = mg.grad(y, t, mg.tensor(dy, device=device))
    assert_near([host(y), host(dx)], normalise(x, np.ones(3), np.zeros(3), dy)[:2])


def test_B8_without_affine_three_orders_are_right(fused):
    module = module_for((4, 3), affine=False, fused=fused)
    with nn.frozen_stats(module):
        check_grads(module, mg.tensor(draw((4, 3))), order=3)


@pytest.mark.parametrize("left_out", ["weight", "bias"])
def test_one_of_weight_and_bias_may_be_left_out(shape, fused, device, left_out):
    x, dy, given, one, zero = draw(shape), draw(shape, 1), draw(3, 2), np.ones(3), np.zeros(3)
    t, learned = leaf(x, device), leaf(given, device)
    affine = (None, learned) if left_out == "weight" else (learned, None)
    y = trained(fused)(t, *affine)
    found = mg.grad(y, [t, learned], mg.tensor(dy, device=device))
    filled = (one, given) if left_out == "weight" else (given, zero)
    wanted, dx, dgamma, dbeta = normalise(x, *filled, dy)
    expected = [wanted, dx, dbeta if left_out == "weight" else dgamma]
    assert_near([host(a) for a in (y, *found)], expected)


# ---- evaluation, and a forward's mode


def test_B9_evaluation_gradcheck_which_training_would_fail(shape, fused, device):
    x, mean, var, _, _ = eval_inputs(shape)
    arrays, dy = [x, *random_parameters()], draw(shape, 5)
    given = [mg.tensor(a, device=device) for a in (mean, var)]

    def evaluate(x, w, b):
        return F.batch_norm(x, *given, w, b, training=False, fused=fused)

    assert_gradcheck(evaluate, arrays, dy, device)
    in_evaluation, in_training = (
        gradients(f, arrays, dy, device)[0] for f in (evaluate, trained(fused))
    )
    assert worst(in_evaluation, in_training) > 0.1


def test_B9_evaluation_gradients_equal_the_formulas_of_the_contract(shape, fused, device):
    x, mean, var, gamma, beta = eval_inputs(shape)
    wanted = [leaf(a, device) for a in (x, gamma, beta)]
    given = [mg.tensor(a, device=device) for a in (mean, var)]
    dy = draw(shape, 5)
    y = evaluated(fused)(wanted[0], *given, *wanted[1:])
    found = [host(t) for t in (y, *mg.grad(y, wanted, mg.tensor(dy, device=device)))]
    expected = normalise_with(x, mean, var, gamma, beta, dy)
    assert_near(found, expected, rtol=1e-12, atol=1e-14)


def test_B9_a_module_s_evaluation_gradient_is_not_the_training_one(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(mg.tensor(draw(shape, 1), device=device))
    x, dy = draw(shape, 2), draw(shape, 3)
    found = [gradients(module.train(training), [x], dy, device)[0] for training in (True, False)]
    assert worst(*found) > 0.1


def test_B10_backward_is_of_the_forward_s_mode(shape, fused, device):
    x, dy, one, zero = draw(shape, 1), draw(shape, 2), np.ones(3), np.zeros(3)
    for training in (False, True):
        module = module_for(shape, fused=fused, device=device)
        module(mg.tensor(draw(shape, 3, mean=1.0), device=device))
        stats = host(module.running_mean).copy(), host(module.running_var).copy()
        t = leaf(x, device)
        y = module.train(training)(t)
        module.train(not training)
        y.backward(mg.tensor(dy, device=device))
        found = [host(a.grad) for a in (t, module.weight, module.bias)]
        by_batch = normalise(x, one, zero, dy)[1:]
        by_stats = normalise_with(x, *stats, one, zero, dy)[1:]
        assert_near(found, by_batch if training else by_stats)
        assert worst(by_batch[0], by_stats[0]) > 0.1


# ---- two forwards before one backward


def step(module, batches, modes, dy):
    """The gradients of weight, bias and batches after forwards in these modes and one backward."""
    inputs = [leaf(x, module.weight.device) for x in batches]
    loss = 0.0
    for t, training in zip(inputs, modes, strict=True):
        before = host(module.running_mean).copy()
        loss = loss + (module.train(training)(t) * dy).sum()
        assert training == (np.abs(host(module.running_mean) - before) > 1e-3).all()
    loss.backward()
    return [host(t.grad) for t in (module.weight, module.bias, *inputs)]


def test_B12_two_forwards_before_one_backward_add_up(shape, fused, device):
    """In evaluation first, too: the statistics that the second forward moves were saved."""
    batches = draw(shape, 1, mean=-1.0), draw(shape, 2, mean=3.0)
    dy = mg.tensor(draw(shape, 3), device=device)

    def fresh():
        return module_for(shape, fused=fused, device=device)

    for modes in ((True, True), (False, True)):
        both = step(fresh(), batches, modes, dy)
        first, second = (
            step(fresh(), [x], [mode], dy) for x, mode in zip(batches, modes, strict=True)
        )
        expected = [first[0] + second[0], first[1] + second[1], first[2], second[2]]
        assert_near(both, expected, rtol=1e-12, atol=1e-13)
