"""BatchNorm's derivatives: two forms, one meaning, at every order."""

import numpy as np
import pytest
from batch_norm_cases import (
    EPS,
    SHAPES,
    draw,
    forms,
    layouts,
    leaf,
    module_for,
    normalise,
    normalise_with,
    parameters,
    per_channel,
    run,
    worst,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import GraphError
from minigrad.ops import batch_norm as ops
from minigrad.testing import check_grads, tolerance


def trained(fused, eps=EPS):
    """Batch norm by the batch, as a function of x, weight and bias."""
    return lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=eps, fused=fused)


def evaluated(fused):
    """Batch norm by given statistics, as a function of all five inputs."""
    return lambda x, mean, var, w, b: F.batch_norm(x, mean, var, w, b, fused=fused)


def derivatives(f, arrays, orders):
    """f's values, then the gradients through all inputs at once at orders 1 to `orders`: a list of
    lists of arrays.
    """
    inputs = [leaf(a) for a in arrays]
    outputs = [f(*inputs)]
    found = [[t.numpy() for t in outputs]]
    for order in range(1, orders + 1):
        weights = [mg.tensor(draw(t.shape, 10 * order + i)) for i, t in enumerate(outputs)]
        loss = sum((t * t * w + t * w).sum() for t, w in zip(outputs, weights, strict=True))
        outputs = list(mg.grad(loss, inputs, create_graph=True))
        found.append([t.numpy() for t in outputs])
    return found


def assert_equal_at_every_order(a, b, bound=1e-9):
    for order, (left, right) in enumerate(zip(a, b, strict=True)):
        scale = max(np.abs(t).max() for t in right)
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            apart = np.abs(one - other).max() / scale
            assert apart <= bound, f"order {order}, through input {i}: {apart:.3g} apart"


def training_inputs(shape, seed=0):
    return [draw(shape, seed, mean=0.3), *parameters(shape[1])]


def eval_inputs(shape):
    mean, var = np.array([0.3, -0.7, 0.1]), np.array([0.5, 1.5, 0.9])
    return [draw(shape, 1), mean, var, *parameters(shape[1])]


def ops_run(f):
    """What f returns, and the names of the ops that it ran."""
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        result = f()
    return result, names


# ---- the two forms are one


@layouts
def test_B11_fused_equals_composed_at_orders_0_to_3_in_training(shape):
    arrays = training_inputs(shape)
    assert_equal_at_every_order(
        derivatives(trained(True), arrays, 3), derivatives(trained(False), arrays, 3)
    )


@layouts
def test_B11_fused_equals_composed_at_orders_0_to_3_in_evaluation(shape):
    arrays = eval_inputs(shape)
    assert_equal_at_every_order(
        derivatives(evaluated(True), arrays, 3), derivatives(evaluated(False), arrays, 3)
    )


@pytest.mark.parametrize("gamma", [-2.0, 0.0, 0.5])
def test_B11_fused_equals_composed_where_every_weight_has_one_sign(gamma):
    x, _, beta = training_inputs(SHAPES["NCL"])
    arrays = [x, np.full(3, gamma), beta]
    assert_equal_at_every_order(
        derivatives(trained(True), arrays, 3), derivatives(trained(False), arrays, 3)
    )


@forms
@layouts
def test_B11_derivatives_of_three_orders_equal_numeric_ones_in_training(shape, fused):
    check_grads(trained(fused), [mg.tensor(a) for a in training_inputs(shape)], order=3)


@forms
@pytest.mark.parametrize("shape", [SHAPES["NC"], SHAPES["NCHW"]], ids=["NC", "NCHW"])
def test_B11_derivatives_of_three_orders_equal_numeric_ones_in_evaluation(shape, fused):
    check_grads(evaluated(fused), [mg.tensor(a) for a in eval_inputs(shape)], order=3)


@forms
def test_B11_large_eps_is_right_at_three_orders(fused):
    arrays = training_inputs((5, 3))
    check_grads(trained(fused, eps=0.5), [mg.tensor(a) for a in arrays], order=3)


@layouts
def test_B2_forms_agree_to_1e_12_in_float64(shape):
    x, gamma, beta = training_inputs(shape)
    dy = draw(shape, 5)
    for a, b in zip(run(x, gamma, beta, dy, True), run(x, gamma, beta, dy, False), strict=True):
        assert np.abs(a - b).max() < 1e-12


@layouts
def test_B2_forms_agree_to_1e_5_in_float32(shape):
    x, gamma, beta = (a.astype(np.float32) for a in training_inputs(shape))
    dy = draw(shape, 5, np.float32)
    for a, b in zip(run(x, gamma, beta, dy, True), run(x, gamma, beta, dy, False), strict=True):
        assert a.dtype == b.dtype == np.float32
        assert np.abs(a - b).max() < 1e-5


@layouts
def test_B2_running_statistics_of_both_forms_agree_to_1e_12(shape):
    modules = [module_for(shape, fused=fused) for fused in (True, False)]
    for module in modules:
        for step in range(3):
            module(mg.tensor(draw(shape, step, mean=2.0)))
    fused, composed = modules
    assert np.abs(fused.running_mean.numpy() - composed.running_mean.numpy()).max() < 1e-12
    assert np.abs(fused.running_var.numpy() - composed.running_var.numpy()).max() < 1e-12


# ---- against formulas


@forms
@layouts
def test_B1_gradients_equal_the_formulas_of_the_contract(shape, fused):
    x, gamma, beta = training_inputs(shape)
    dy = draw(shape, 5)
    for found, expected in zip(
        run(x, gamma, beta, dy, fused), normalise(x, gamma, beta, dy), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@forms
@layouts
def test_B9_evaluation_gradients_equal_the_formulas_of_the_contract(shape, fused):
    x, mean, var, gamma, beta = (mg.tensor(a) for a in eval_inputs(shape))
    wanted = [t.requires_grad_() for t in (x, gamma, beta)]
    dy = draw(shape, 5)
    y = F.batch_norm(x, mean, var, gamma, beta, fused=fused)
    found = [y, *mg.grad(y, wanted, mg.tensor(dy))]
    arrays = [t.numpy() for t in (x, mean, var, gamma, beta)]
    for t, expected in zip(found, normalise_with(*arrays, dy), strict=True):
        np.testing.assert_allclose(t.numpy(), expected, rtol=1e-12, atol=1e-14)


@forms
def test_B9_evaluation_gradient_is_not_the_training_one(fused):
    module = module_for((5, 2), fused=fused)
    module(mg.tensor(draw((5, 2), 1)))
    x, dy, found = draw((5, 2), 2), mg.tensor(draw((5, 2), 3)), []
    for training in (True, False):
        t = leaf(x)
        y = module.train(training)(t)
        found.append(mg.grad(y, t, dy)[0].numpy())
    assert np.abs(found[0] - found[1]).max() > 0.1


@forms
def test_B1_gradient_equals_a_complex_step(fused):
    """Another numeric method: Im f(x + ih) / h, which subtracts nothing, in every coordinate."""
    arrays = training_inputs((5, 3))
    dy, h = draw((5, 3), 5), 1e-30

    def loss(x, w, b):
        c = x - x.mean(0)
        return (dy * (w * c / np.sqrt((c * c).mean(0) + EPS) + b)).sum()

    found = run(*arrays, dy, fused)[1:]
    for i, gradient in enumerate(found):
        for place in np.ndindex(gradient.shape):
            moved = [a.astype(complex) for a in arrays]
            moved[i][place] += 1j * h
            np.testing.assert_allclose(
                gradient[place], loss(*moved).imag / h, rtol=1e-6, atol=1e-13
            )


@forms
def test_B11_second_derivative_equals_a_complex_step_of_the_first_formula(fused):
    x, gamma, beta = training_inputs((5, 3))
    dy, v, h = draw((5, 3), 5), draw((5, 3), 6), 1e-30

    def gradient_of_x(x):
        c = x - x.mean(0)
        r = 1 / np.sqrt((c * c).mean(0) + EPS)
        return gamma * r * (dy - dy.mean(0) - c * r * (dy * c * r).mean(0))

    t = leaf(x)
    y = trained(fused)(t, mg.tensor(gamma), mg.tensor(beta))
    (dx,) = mg.grad(y, t, mg.tensor(dy), create_graph=True)
    (hv,) = mg.grad(dx, t, mg.tensor(v))  # the Hessian is symmetric: Hᵀv = Hv
    expected = gradient_of_x(x + 1j * h * v).imag / h
    np.testing.assert_allclose(hv.numpy(), expected, rtol=1e-9, atol=1e-13)


@forms
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
        return [t.numpy() for t in mg.grad(penalty, wanted, create_graph=create_graph)]

    found, expected = second(fused, create_graph), second(False, True)
    scale = max(np.abs(t).max() for t in expected)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-9 * scale


@forms
@pytest.mark.parametrize("affine", [True, False])
def test_B11_derivative_of_dx_for_a_constant_dy_needs_no_recording(fused, affine):
    x, gamma, _ = training_inputs((5, 3))
    weight = mg.tensor(gamma) if affine else None
    dy, v = mg.tensor(draw((5, 3), 5)), mg.tensor(draw((5, 3), 6))

    def hvp(fused, create_graph):
        t = leaf(x)
        y = F.batch_norm(t, None, None, weight, None, training=True, fused=fused)
        (dx,) = mg.grad(y, t, dy, create_graph=True)
        return mg.grad(dx, t, v, create_graph=create_graph)[0].numpy()

    assert worst(hvp(fused, False), hvp(False, True)) < 1e-9


# ---- one op


@layouts
def test_fused_forward_is_one_op(shape):
    x, w, b = (leaf(a) for a in training_inputs(shape))
    _, names = ops_run(lambda: trained(True)(x, w, b))
    assert names == ["batch_norm"]


@pytest.mark.parametrize("create_graph", [False, True])
@layouts
def test_fused_backward_is_one_op(shape, create_graph):
    inputs = [leaf(a) for a in training_inputs(shape)]
    y = trained(True)(*inputs)
    seed = mg.tensor(draw(shape, 5))
    _, names = ops_run(lambda: mg.grad(y, inputs, seed, create_graph=create_graph))
    assert names == ["batch_norm_grad"]


@pytest.mark.parametrize("create_graph", [False, True])
def test_fused_backward_through_x_alone_is_one_op(create_graph):
    inputs = [leaf(a) for a in training_inputs((4, 3))]
    y = trained(True)(*inputs)
    seed = mg.tensor(draw((4, 3), 5))
    _, names = ops_run(lambda: mg.grad(y, inputs[0], seed, create_graph=create_graph))
    assert names == ["batch_norm_grad"]


@layouts
def test_fused_module_is_one_op_in_training_and_one_in_evaluation(shape):
    module, x = module_for(shape), mg.tensor(draw(shape))
    assert ops_run(lambda: module(x))[1] == ["batch_norm"]
    module.eval()
    assert ops_run(lambda: module(x))[1] == ["batch_norm_eval"]


def test_composed_forward_and_backward_run_primitives_only():
    inputs = [leaf(a) for a in training_inputs((4, 3))]
    y, names = ops_run(lambda: trained(False)(*inputs))
    names += ops_run(lambda: mg.grad(y, inputs, mg.tensor(draw((4, 3), 5))))[1]
    assert len(names) > 20
    assert not [name for name in names if name.startswith("batch_norm")]


@pytest.mark.parametrize("training", [True, False])
def test_unfused_gives_the_composed_form(training):
    def values(fused):
        x, mean, var, w, b = (leaf(a) for a in eval_inputs((4, 3)))
        given = (None, None) if training else (mean, var)
        y = F.batch_norm(x, *given, w, b, training=training, fused=fused)
        return [t.numpy() for t in (y, *mg.grad(y, [x, w, b], mg.tensor(draw((4, 3), 5))))]

    with mg.unfused():
        switched, names = ops_run(lambda: values(True))
    assert not [name for name in names if name.startswith("batch_norm")]
    for a, b in zip(switched, values(False), strict=True):
        np.testing.assert_array_equal(a, b)


@layouts
def test_unfused_runs_a_fused_module_composed(shape):
    module, x = module_for(shape), mg.tensor(draw(shape))
    with mg.unfused():
        _, names = ops_run(lambda: module(x))
    assert "rsqrt" in names
    assert not [name for name in names if name.startswith("batch_norm")]


@layouts
def test_fused_false_on_the_module_runs_it_composed(shape):
    module, x = module_for(shape, fused=False), mg.tensor(draw(shape))
    for each in (module.train(), module.eval()):
        _, names = ops_run(lambda module=each: module(x))
        assert "rsqrt" in names
        assert not [name for name in names if name.startswith("batch_norm")]


def test_unfused_backward_of_a_fused_forward_gives_the_same_gradient():
    arrays, dy = training_inputs((4, 3)), mg.tensor(draw((4, 3), 5))
    found = []
    for switch in (mg.unfused, mg.kernels):
        inputs = [leaf(a) for a in arrays]
        y = trained(True)(*inputs)
        with switch():
            found.append([t.numpy() for t in mg.grad(y, inputs, dy)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@forms
def test_statistics_carry_no_gradient_and_asking_for_it_raises(fused):
    op = ops.batch_norm
    inputs = [leaf(a) for a in training_inputs((4, 3))]
    switch = mg.kernels() if fused else mg.unfused()
    with switch:
        _, mean, var = op(*inputs, axes=(0,), eps=EPS)
    for statistic in (mean, var):
        assert not statistic.requires_grad
        with pytest.raises(GraphError, match="nothing to differentiate"):
            mg.grad(statistic.sum(), inputs[0])


# ---- invariants and degenerate cases


@forms
@layouts
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_B4_identities_of_dx(shape, fused, dtype, eps):
    """Σ dx = 0, and Σ dx·x̂ = γ·eps/(v + eps)^{3/2}·Σ dy·x̂: no oracle at all."""
    x, dy = draw(shape, 1, dtype), draw(shape, 2, dtype)
    gamma, beta = parameters(3, dtype)
    gamma[1] = 2.0
    _, dx, _, _ = (a.astype(np.float64) for a in run(x, gamma, beta, dy, fused, eps))
    axes, n = (0, *range(2, x.ndim)), x.size // 3
    c = x.astype(np.float64) - x.mean(axes, keepdims=True, dtype=np.float64)
    v = (c * c).mean(axes, keepdims=True)
    xhat = c / np.sqrt(v + eps)
    expected = gamma * eps * ((v + eps) ** -1.5).ravel() * (dy * xhat).sum(axes)
    bound = tolerance(dtype, n) * np.abs(dx).sum(axes)
    assert (np.abs(dx.sum(axes)) <= bound).all()
    assert (np.abs((dx * xhat).sum(axes) - expected) <= bound * np.abs(xhat).max()).all()


@forms
@layouts
def test_B5_constant_upstream_gradient_gives_dx_0(shape, fused):
    x, gamma, beta = training_inputs(shape)
    assert np.abs(run(x, gamma, beta, np.ones(shape), fused)[1]).max() < 1e-12


@forms
def test_B5_two_samples_give_dx_0_without_eps(fused):
    """x̂ is ±1 whatever x is; evidence of nothing else."""
    gamma, beta = np.array([-1.3, 0.7, 2.0]), np.zeros(3)
    _, dx, dgamma, _ = run(draw((2, 3)), gamma, beta, draw((2, 3), 1), fused, eps=0.0)
    assert np.abs(dx).max() < 1e-12
    assert np.abs(dgamma).min() > 1e-3


@forms
@layouts
def test_B6_biased_variance_normalises(shape, fused):
    x = draw(shape)
    y, *_ = run(x, np.ones(3), np.zeros(3), x, fused, eps=0.0)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(y.var(axes, ddof=0), 1, rtol=1e-12)
    np.testing.assert_allclose(
        y, (x - x.mean(axes, keepdims=True)) / x.std(axes, ddof=0, keepdims=True), atol=1e-12
    )


@forms
def test_B6_unbiased_variance_would_be_seen_at_n_4(fused):
    y, *_ = run(draw((4, 3)), np.ones(3), np.zeros(3), np.ones((4, 3)), fused, eps=0.0)
    assert np.abs(y.var(0, ddof=1) - 1).min() > 0.3


@forms
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_B7_only_those_that_require_grad_get_one(fused, wanted):
    arrays = training_inputs((4, 3))
    inputs = [mg.tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
    dy = draw((4, 3), 5)
    trained(fused)(*inputs).backward(mg.tensor(dy))
    for i, (t, expected) in enumerate(zip(inputs, normalise(*arrays, dy)[1:], strict=True)):
        if i in wanted:
            np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-10, atol=1e-13)
        else:
            assert t.grad is None


@forms
def test_B7_input_without_grad_gives_second_derivatives_of_the_parameters(fused):
    x = mg.tensor(draw((4, 3)))
    given = [mg.tensor(draw(3)), mg.tensor(draw(3, 1))]
    check_grads(lambda w, b: trained(fused)(x, w, b) ** 3, given, order=3)


@forms
@layouts
def test_B8_without_affine_y_is_xhat(shape, fused):
    module = module_for(shape, affine=False, fused=fused)
    x, dy = draw(shape), draw(shape, 1)
    t = leaf(x)
    y = module(t)
    (dx,) = mg.grad(y, t, mg.tensor(dy))
    expected = normalise(x, np.ones(3), np.zeros(3), dy)
    np.testing.assert_allclose(y.numpy(), expected[0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(dx.numpy(), expected[1], rtol=1e-10, atol=1e-13)


def test_B8_without_affine_there_are_no_parameters():
    module = nn.BatchNorm1d(3, affine=False)
    assert list(module.parameters()) == []
    assert list(module.state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]


@forms
def test_B8_without_affine_three_orders_are_right(fused):
    module = module_for((4, 3), affine=False, fused=fused)
    with nn.frozen_stats(module):
        check_grads(module, mg.tensor(draw((4, 3))), order=3)


@forms
def test_one_of_weight_and_bias_may_be_left_out(fused):
    for gamma, beta in [(np.array([2.0, 0.0, -1.0]), None), (None, np.array([2.0, 0.0, -1.0]))]:
        x, dy = draw((4, 3)), draw((4, 3), 1)
        t, given = leaf(x), [None if p is None else leaf(p) for p in (gamma, beta)]
        y = trained(fused)(t, *given)
        filled = (np.ones(3) if gamma is None else gamma, np.zeros(3) if beta is None else beta)
        expected = normalise(x, *filled, dy)
        (dx,) = mg.grad(y, t, mg.tensor(dy))
        np.testing.assert_allclose(y.numpy(), expected[0], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(dx.numpy(), expected[1], rtol=1e-10, atol=1e-13)


@forms
@pytest.mark.parametrize("training", [True, False])
def test_B10_backward_is_of_the_forward_s_mode(fused, training):
    module = module_for((5, 3), fused=fused)
    module(mg.tensor(draw((5, 3), 3, mean=1.0)))
    stats = module.running_mean.numpy().copy(), module.running_var.numpy().copy()
    x, dy = draw((5, 3), 1), draw((5, 3), 2)
    t = leaf(x)
    y = module.train(training)(t)
    module.train(not training)
    y.backward(mg.tensor(dy))
    one, zero = np.ones(3), np.zeros(3)
    expected = normalise(x, one, zero, dy) if training else normalise_with(x, *stats, one, zero, dy)
    np.testing.assert_allclose(t.grad.numpy(), expected[1], rtol=1e-10, atol=1e-13)


@forms
@layouts
def test_B12_two_forwards_before_one_backward_add_up(shape, fused):
    first, second = draw(shape, 1), draw(shape, 2, mean=3.0)
    dy = mg.tensor(draw(shape, 3))

    def gradients(batches):
        module = module_for(shape, fused=fused)
        inputs = [leaf(x) for x in batches]
        sum(((module(t) * dy).sum() for t in inputs), mg.tensor(0.0, mg.float64)).backward()
        return [t.grad.numpy() for t in (module.weight, module.bias, *inputs)]

    both, alone = gradients([first, second]), [gradients([first]), gradients([second])]
    expected = [alone[0][0] + alone[1][0], alone[0][1] + alone[1][1], alone[0][2], alone[1][2]]
    for a, b in zip(both, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@forms
def test_B12_running_statistics_that_move_do_not_change_an_evaluation_graph(fused):
    module = module_for((5, 3), fused=fused)
    stats = np.zeros(3), np.ones(3)
    x, dy = draw((5, 3), 1), draw((5, 3), 2)
    t = leaf(x)
    y = module.eval()(t)
    module.train()(mg.tensor(draw((5, 3), 3, mean=5.0)))
    y.backward(mg.tensor(dy))
    _, dx, dgamma, _ = normalise_with(x, *stats, np.ones(3), np.zeros(3), dy)
    np.testing.assert_allclose(t.grad.numpy(), dx, rtol=1e-12)
    np.testing.assert_allclose(module.weight.grad.numpy(), dgamma, rtol=1e-12)


@forms
def test_B13_bias_of_a_linear_layer_before_it_gets_no_gradient(fused):
    layer = nn.Linear(4, 3, dtype=mg.float64)
    module = module_for((8, 3), fused=fused)
    (module(layer(mg.tensor(draw((8, 4))))) * mg.tensor(draw((8, 3), 1))).sum().backward()
    assert np.abs(layer.bias.grad.numpy()).max() < 1e-12
    assert np.abs(layer.weight.grad.numpy()).max() > 1e-3


@forms
def test_B13_bias_of_a_convolution_before_it_gets_no_gradient(fused):
    layer = nn.Conv2d(2, 3, 3, dtype=mg.float64)
    module = module_for((4, 3, 4, 4), fused=fused)
    y = module(layer(mg.tensor(draw((4, 2, 6, 6)))))
    (y * mg.tensor(draw(y.shape, 1))).sum().backward()
    assert np.abs(layer.bias.grad.numpy()).max() < 1e-12
    assert np.abs(layer.weight.grad.numpy()).max() > 1e-3


def loss_of_weights(w, fused, eps):
    """A loss behind Linear and BatchNorm, and its gradient with respect to Linear's weight."""
    t = leaf(w)
    h = F.linear(mg.tensor(draw((64, 4), 3)), t)
    y = F.batch_norm(h, None, None, None, None, training=True, eps=eps, fused=fused)
    loss = (y * y * y * mg.tensor(draw(y.shape, 4)) + y).mean()
    return loss.item(), mg.grad(loss, t)[0].numpy()


@forms
def test_B14_ten_times_the_weights_is_the_same_loss_and_a_tenth_of_the_gradient(fused):
    w = draw((3, 4))
    (small, dw), (large, dw_large) = (loss_of_weights(k * w, fused, EPS) for k in (1, 10))
    assert abs(small - large) < 3e-5
    assert worst(dw_large, dw / 10) < 1e-4


@forms
def test_B14_the_gradient_is_orthogonal_to_the_weights(fused):
    w = draw((3, 4))
    _, dw = loss_of_weights(w, fused, 0.0)
    for row, gradient in zip(w, dw, strict=True):
        assert abs(row @ gradient) < 1e-14 * np.linalg.norm(row) * np.linalg.norm(gradient) * 10


@forms
@layouts
def test_shift_and_scale_of_x_change_nothing_without_eps(shape, fused):
    x, gamma, beta = training_inputs(shape)
    y, *_ = run(x, gamma, beta, x, fused, eps=0.0)
    moved, *_ = run(3.5 * x - 2, gamma, beta, x, fused, eps=0.0)
    np.testing.assert_allclose(moved, y, rtol=1e-12, atol=1e-12)


@forms
@layouts
def test_mean_of_xhat_is_0_and_its_square_v_over_v_plus_eps(shape, fused):
    x = draw(shape, 3)
    axes = (0, *range(2, x.ndim))
    y, *_ = run(x, np.ones(3), np.zeros(3), x, fused, eps=0.1)
    v = x.var(axes)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-14)
    np.testing.assert_allclose((y * y).mean(axes), v / (v + 0.1), rtol=1e-12)


@forms
def test_seed_document_standard_deviation_deficit_is_eps(fused):
    x = np.random.default_rng(0).random((8, 16, 34, 34))
    y, *_ = run(x, np.ones(16), np.zeros(16), x, fused)
    v = x.var((0, 2, 3))
    np.testing.assert_allclose(y.std((0, 2, 3)), np.sqrt(v / (v + EPS)), atol=1e-6, rtol=0)
    assert abs(y.mean()) < 1e-12
    assert abs(y.std() - 0.99994) < 1e-5


@forms
def test_seed_document_excess_over_gamma_is_bessel(fused):
    x = draw((1000, 3), mean=5.0, std=3.0)
    y, *_ = run(x, np.array([1.0, 2, 3]), np.array([2.0, 4, 8]), x, fused)
    np.testing.assert_allclose(y.mean(0), [2, 4, 8], rtol=1e-12)
    np.testing.assert_allclose(y.std(0, ddof=1), [1.0005, 2.0010, 3.0015], atol=1e-4)


@forms
def test_gradients_share_no_memory(fused):
    inputs = [leaf(a) for a in training_inputs((4, 3))]
    seed = draw((4, 3), 5)
    found = [t.numpy() for t in mg.grad(trained(fused)(*inputs), inputs, mg.tensor(seed))]
    for i, a in enumerate(found):
        assert not any(np.shares_memory(a, b) for b in found[i + 1 :])


@forms
def test_per_channel_law_channels_do_not_meet(fused):
    """Each channel's result is what it is alone."""
    x, gamma, beta = training_inputs((5, 3))
    dy = draw((5, 3), 1)
    together = run(x, gamma, beta, dy, fused)
    for c in range(3):
        alone = run(x[:, [c]], gamma[[c]], beta[[c]], dy[:, [c]], fused)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[..., c], b[..., 0], rtol=1e-12, atol=1e-14)
    assert per_channel(gamma, x).shape == (1, 3)
