"""BatchNorm's derivatives of orders 1 to 4: two forms, one meaning (B11)."""

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    assert_equal_at_every_order,
    axes_of,
    derivatives,
    draw,
    eval_inputs,
    evaluated,
    host,
    leaf,
    parameters,
    per_channel,
    trained,
    training_inputs,
    worst,
)

import minigrad as mg
from minigrad.testing import check_grads


def check_on(device, f, arrays, order):
    """`check_grads` of f on a device; it takes its steps on the host."""
    given = [mg.tensor(a) for a in arrays]
    check_grads(lambda *inputs: f(*[t.to(device) for t in inputs]).cpu(), given, order=order)


# ---- against numeric derivatives


def test_B11_derivatives_of_orders_1_to_4_equal_numeric_ones(shape, fused, device):
    """In training and in evaluation; weights are negative, 0 and positive."""
    gamma, _ = parameters(3)
    assert gamma.min() < 0 == gamma[1] < gamma.max()
    check_on(device, trained(fused), training_inputs(shape), order=4)
    check_on(device, evaluated(fused), eval_inputs(shape), order=4)


def test_B11_large_eps_is_right_at_four_orders(shape, fused):
    check_on("cpu", trained(fused, eps=0.5), training_inputs(shape), order=4)


def test_B11_second_derivative_equals_a_complex_step_of_the_first_formula(shape, fused, device):
    x, gamma, beta = training_inputs(shape)
    axes, g = axes_of(x), per_channel(gamma, x)
    dy, v, h = draw(shape, 5), draw(shape, 6), 1e-30

    def mean(value):
        return value.mean(axes, keepdims=True)

    def gradient_of_x(x):
        c = x - mean(x)
        r = 1 / np.sqrt(mean(c * c) + EPS)
        return g * r * (dy - mean(dy) - c * r * mean(dy * c * r))

    t = leaf(x, device)
    y = trained(fused)(t, mg.tensor(gamma, device=device), mg.tensor(beta, device=device))
    (dx,) = mg.grad(y, t, mg.tensor(dy, device=device), create_graph=True)
    (hv,) = mg.grad(dx, t, mg.tensor(v, device=device))  # the Hessian is symmetric: Hᵀv = Hv
    expected = gradient_of_x(x + 1j * h * v).imag / h
    np.testing.assert_allclose(host(hv), expected, rtol=1e-9, atol=1e-13)


# ---- the two forms are one


def assert_forms_agree(f, arrays, device):
    """f gives a form's function, of which fused and composed are equal at orders 0 to 4."""
    found = []
    for fused in (True, False):
        inputs = [leaf(a, device) for a in arrays]
        found.append(derivatives(f(fused)(*inputs), inputs, 4))
    assert_equal_at_every_order(*found)


def test_B11_fused_equals_composed_at_orders_0_to_4(shape, device):
    assert_forms_agree(trained, training_inputs(shape), device)
    assert_forms_agree(evaluated, eval_inputs(shape), device)


@pytest.mark.parametrize("gamma", [-2.0, 0.0, 0.5])
def test_B11_fused_equals_composed_where_every_weight_has_one_sign(shape, device, gamma):
    x, _, beta = training_inputs(shape)
    assert_forms_agree(trained, [x, np.full(3, gamma), beta], device)
    x, mean, var, _, beta = eval_inputs(shape)
    assert_forms_agree(evaluated, [x, mean, var, np.full(3, gamma), beta], device)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("tracked", [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_B11_gradient_penalty_is_right_whatever_requires_grad(fused, create_graph, tracked):
    """A second derivative with a constant dy; the last sweep recorded or not."""
    arrays, dy = training_inputs((5, 3)), draw((5, 3), 5)

    def second(fused, create_graph):
        inputs = [mg.tensor(a, requires_grad=i in tracked) for i, a in enumerate(arrays)]
        wanted = [inputs[i] for i in tracked]
        y = trained(fused)(*inputs)
        first = mg.grad((y * y * mg.tensor(dy)).sum(), wanted, create_graph=True)
        penalty = sum((t * t).sum() for t in first)
        return [host(t) for t in mg.grad(penalty, wanted, create_graph=create_graph)]

    found, expected = second(fused, create_graph), second(False, True)
    scale = max(np.abs(t).max() for t in expected)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-9 * scale


@pytest.mark.parametrize("affine", [True, False])
def test_B11_derivative_of_dx_for_a_constant_dy_needs_no_recording(shape, fused, device, affine):
    x, gamma, _ = training_inputs(shape)
    weight = mg.tensor(gamma, device=device) if affine else None
    dy, v = (mg.tensor(draw(shape, seed), device=device) for seed in (5, 6))

    def hvp(fused, create_graph):
        t = leaf(x, device)
        (dx,) = mg.grad(trained(fused)(t, weight, None), t, dy, create_graph=True)
        return host(mg.grad(dx, t, v, create_graph=create_graph)[0])

    assert worst(hvp(fused, False), hvp(False, True)) < 1e-9


# ---- evaluation: gradients to the given statistics


def derivatives_in_statistics(x, mean, var, gamma, beta, w):
    """∂ⁱ⁺ᵏL / ∂meanⁱ ∂varᵏ of L = ½ Σ w·y², by (i, k), written out.

    With z = x - mean and r = (var + eps)^(-1/2), L is ½γ²·r²·Σwz² + γβ·r·Σwz + ½β²·Σw: each term is
    a function of var, of which the k-th derivative is taken, times one of mean.
    """
    z, axes = x - per_channel(mean, x), axes_of(x)
    s0, s1, s2 = (np.sum(w * z**power, axes) for power in range(3))
    r = (var + EPS) ** -0.5
    of_r = [r, -1 / 2 * r**3, 3 / 4 * r**5, -15 / 8 * r**7]
    of_r_squared = [r**2, -(r**4), 2 * r**6, -6 * r**8]
    of_s1, of_s2 = [s1, -s0, 0 * s0], [s2, -2 * s1, 2 * s0]
    return {
        (i, k): gamma**2 / 2 * of_r_squared[k] * of_s2[i] + gamma * beta * of_r[k] * of_s1[i]
        for i in range(3)
        for k in range(4)
        if 0 < i + k <= 3
    }


def test_evaluation_is_differentiable_in_given_statistics_to_order_3(shape, fused, device):
    x, mean, var, gamma, beta = eval_inputs(shape)
    w = draw(shape, 7)
    expected = derivatives_in_statistics(x, mean, var, gamma, beta, w)
    x, w, gamma, beta = (mg.tensor(a, device=device) for a in (x, w, gamma, beta))
    for (i, k), wanted in expected.items():
        given = leaf(mean, device), leaf(var, device)
        y = evaluated(fused)(x, *given, gamma, beta)
        found = (y * y * w).sum() / 2
        for t in (given[0],) * i + (given[1],) * k:
            (found,) = mg.grad(found.sum(), t, create_graph=True)  # no channel meets another
        np.testing.assert_allclose(
            host(found), wanted, rtol=1e-10, atol=1e-12, err_msg=f"{i} times mean, {k} times var"
        )


def test_gradients_of_every_input_meet_in_mixed_derivatives_of_evaluation(shape, fused, device):
    """∂²/∂x∂var and the like: through y = γ(x - mean)r + β, by hand."""
    arrays = x, mean, var, gamma, _ = eval_inputs(shape)
    w, axes = draw(shape, 7), axes_of(x)
    inputs = [leaf(a, device) for a in arrays]
    loss = (evaluated(fused)(*inputs) * mg.tensor(w, device=device)).sum()
    dx, dmean, dvar, dgamma, dbeta = mg.grad(loss, inputs, create_graph=True)
    z, r = x - per_channel(mean, x), (var + EPS) ** -0.5
    s0, s1 = w.sum(axes), (w * z).sum(axes)
    firsts = per_channel(gamma * r, x) * w, -gamma * r * s0, -gamma * r**3 / 2 * s1, r * s1, s0
    for t, expected in zip((dx, dmean, dvar, dgamma, dbeta), firsts, strict=True):
        np.testing.assert_allclose(host(t), expected, rtol=1e-10, atol=1e-13)
    by_var = mg.grad(dvar.sum(), inputs[:4])
    seconds = (
        per_channel(-gamma * r**3 / 2, x) * w,
        gamma * r**3 / 2 * s0,
        3 / 4 * gamma * r**5 * s1,
        -(r**3) / 2 * s1,
    )
    for t, expected in zip(by_var, seconds, strict=True):
        np.testing.assert_allclose(host(t), expected, rtol=1e-10, atol=1e-13)
