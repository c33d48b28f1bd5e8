"""The checks themselves: faults are planted in ops, and `check_grads` must reject each (E54)."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import op as ops
from minigrad.errors import DTypeError
from minigrad.op import fused, op
from minigrad.testing import assert_close, check_grads, tolerance


@pytest.fixture(autouse=True)
def clean_registry():
    """Ops that a test defines leave the registry with it."""
    before = dict(ops.registry)
    yield
    ops.registry.clear()
    ops.registry.update(before)


def inputs(*shape, seed=1):
    return mg.tensor(np.random.default_rng(seed).uniform(0.5, 2.0, shape))


def detached(value):
    return value.detach() if isinstance(value, mg.Tensor) else value


def sine_with(rule):
    @op(rule, method=False)
    def t_sine(xp, x):
        return xp.sin(x)

    return t_sine


# ---- what is right passes ------------------------------------------------------------------------


@pytest.mark.pitfall("E54")
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_right_derivatives_pass_at_every_order(order):
    check_grads(lambda x: mg.sin(x) * x, inputs(3), order=order)


@pytest.mark.parametrize("seed", range(20))
def test_right_derivatives_pass_in_every_direction(seed):
    check_grads(lambda x, y: mg.tanh(x @ y) / y.sum(), [inputs(2, 3), inputs(3, 2)], seed=seed)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0, 3)])
def test_every_shape_can_be_checked(shape):
    check_grads(lambda x: mg.exp(x) * 2, inputs(*shape))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_function_does_not_matter(scale):
    check_grads(lambda x: mg.sin(x) * scale, inputs(3), order=3)


def test_several_outputs_are_checked_together():
    check_grads(lambda x, y: (x * y, mg.sin(x), y), [inputs(3), inputs(3, seed=2)])


def test_an_input_that_is_not_used_has_the_gradient_zero():
    check_grads(lambda x, y: x * x, [inputs(3), inputs(2)], order=3)


def test_a_function_that_depends_on_nothing_passes():
    check_grads(lambda x: mg.tensor([1.0, 2.0], dtype=np.float64), inputs(3))


def test_arrays_are_taken_as_tensors():
    check_grads(lambda x, y: x * y, [np.ones(3), np.ones(3)])


def test_integer_inputs_and_outputs_pass_through():
    index = mg.tensor([0, 2, 2])
    seen = []

    def f(x, i):
        seen.append(i.dtype)
        return x[i] * x[i], i, x > 1

    check_grads(f, [inputs(3), index])
    assert set(seen) == {np.dtype(np.int64)}


def test_the_inputs_are_left_alone():
    x = inputs(3).requires_grad_()
    before = x.tolist()
    check_grads(lambda t: t * t, x)
    assert x.grad is None
    assert x.requires_grad
    assert x.tolist() == before


def test_it_works_inside_no_grad():
    with mg.no_grad():
        check_grads(mg.sin, inputs(3))
        assert not mg.is_grad_enabled()


# ---- planted faults ------------------------------------------------------------------------------


@pytest.mark.pitfall("E54")
@pytest.mark.parametrize("seed", range(10))
def test_a_one_percent_error_is_caught(seed):
    f = sine_with(lambda g, x: g * mg.cos(x) * 1.01)
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(f, inputs(3), order=1, seed=seed)


@pytest.mark.pitfall("E54")
@pytest.mark.parametrize("place", range(6))
def test_a_one_percent_error_in_one_element_is_caught(place):
    factor = np.ones((2, 3))
    factor.flat[place] = 1.01
    f = sine_with(lambda g, x: g * mg.cos(x) * factor)
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(f, inputs(2, 3), order=1)


def test_a_wrong_sign_is_caught():
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(sine_with(lambda g, x: -g * mg.cos(x)), inputs(3), order=1)


def test_a_missing_gradient_is_caught():
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(sine_with(None), inputs(3), order=1)


def test_one_wrong_rule_of_two_is_caught():
    @op(lambda g, b: g * b, lambda g, a: g * a * 1.01, method=False)
    def t_product(xp, a, b):
        return a * b

    with pytest.raises(AssertionError, match="order 1"):
        check_grads(t_product, [inputs(3), inputs(3, seed=2)], order=1)


def detached_sine():
    """Right at order 1: the derivative is computed from values without a history."""
    return sine_with(lambda g, x: g * mg.cos(detached(x)))


def test_a_derivative_that_is_only_right_at_order_one_passes_there():
    check_grads(detached_sine(), inputs(3), order=1)


def test_a_wrong_second_derivative_is_caught():
    with pytest.raises(AssertionError, match="order 2"):
        check_grads(detached_sine(), inputs(3), order=2)


def test_a_wrong_third_derivative_is_caught_at_order_three_only():
    inner = sine_with(lambda g, x: g * mg.cos(detached(x)))

    @op(lambda g, x: -g * inner(x), method=False)
    def t_cosine(xp, x):
        return xp.cos(x)

    @op(lambda g, x: g * t_cosine(x), method=False)
    def t_outer_sine(xp, x):
        return xp.sin(x)

    check_grads(t_outer_sine, inputs(3), order=3)
    with pytest.raises(AssertionError, match="order 4"):
        check_grads(t_outer_sine, inputs(3), order=4)


def test_a_reference_of_another_function_is_caught():
    @fused(reference=lambda x: x * x * 1.01)
    def t_square(xp, x):
        return x * x

    with pytest.raises(AssertionError, match="order 1"):
        check_grads(t_square, inputs(3), order=1)


def test_a_rule_that_writes_into_its_cotangent_is_caught():
    def rule(g):
        array = g.array if isinstance(g, mg.Tensor) else g
        array *= 2
        return g

    @op(rule, method=False)
    def t_greedy(xp, x):
        return x * 2

    check_grads(lambda x: t_greedy(x) * 1.5, inputs(3), order=1)  # alone it looks right
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(lambda x: t_greedy(x) + x, inputs(3), order=1)


def test_a_fault_of_the_unrecorded_backward_alone_is_caught():
    """Training sweeps without recording: rules then see bare arrays, and a fault may be theirs."""
    wrong = 1.01
    f = sine_with(lambda g, x: g * mg.cos(x) * (1 if isinstance(g, mg.Tensor) else wrong))
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(f, inputs(3))


def test_a_gradient_that_is_not_linear_is_caught():
    with pytest.raises(AssertionError):
        check_grads(sine_with(lambda g, x: g * g * mg.cos(x)), inputs(3), order=1)


def test_a_wrong_value_at_one_of_several_inputs_is_caught():
    f = sine_with(lambda g, x: g * mg.cos(x) * 1.01)
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(lambda a, b, c: a * b + f(c), [inputs(3), inputs(3), inputs(3)], order=1)


def test_a_nan_gradient_is_caught():
    with pytest.raises(AssertionError):
        check_grads(sine_with(lambda g, x: g * float("nan")), inputs(3), order=1)


def test_a_kink_is_caught():
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(mg.relu, mg.tensor(np.zeros(3)), order=1)


def test_the_message_says_both_values():
    with pytest.raises(AssertionError, match=r"derivative .* is .*differences give .*allowed"):
        check_grads(sine_with(lambda g, x: g * 0), inputs(3), order=1)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.pitfall("E54")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_low_precision_is_refused(dtype):
    with pytest.raises(DTypeError, match=f"{np.dtype(dtype)}.*allow_low_precision"):
        check_grads(mg.sin, inputs(3).to(dtype))


def test_low_precision_beside_float64_is_refused():
    with pytest.raises(DTypeError, match="float32"):
        check_grads(lambda x, y: x * y, [inputs(3), inputs(3).float()])


@pytest.mark.pitfall("E54")
def test_low_precision_passes_if_told():
    check_grads(mg.sin, inputs(3).float(), order=1, allow_low_precision=True)


def test_a_gross_error_is_caught_in_low_precision_too():
    f = sine_with(lambda g, x: g * mg.cos(x) * 1.5)
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(f, inputs(3).float(), order=1, allow_low_precision=True)


@pytest.mark.parametrize("order", [0, -1])
def test_an_order_below_one_is_refused(order):
    with pytest.raises(ValueError, match="at least 1"):
        check_grads(mg.sin, inputs(3), order=order)


def test_inputs_that_are_all_integers_are_refused():
    with pytest.raises(DTypeError, match="int64"):
        check_grads(lambda i: i * 2, mg.tensor([1, 2]))


# ---- assert_close --------------------------------------------------------------------------------


def test_close_equal_values_pass():
    assert_close(mg.tensor([1.0, 2.0]), np.array([1.0, 2.0], np.float32))
    assert_close(1.5, 1.5)
    assert_close([1, 2], [1, 2])
    assert_close(np.zeros((0, 3)), np.zeros((0, 3)))


@pytest.mark.parametrize(("a", "b"), [((2,), (3,)), ((2,), (1, 2)), ((1,), ()), ((0,), (0, 1))])
def test_close_shapes_must_agree_even_if_they_broadcast(a, b):
    with pytest.raises(AssertionError, match="shape"):
        assert_close(np.ones(a), np.ones(b))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_close_a_difference_above_the_tolerance_is_caught(dtype):
    exact = np.ones(4, dtype)
    off = exact.astype(np.float64)
    off[2] += 2 * tolerance(dtype)
    with pytest.raises(AssertionError, match="relative difference"):
        assert_close(off, exact)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_close_a_difference_below_the_tolerance_passes(dtype):
    exact = np.ones(4, dtype)
    off = exact.astype(np.float64)
    off[2] += 0.5 * tolerance(dtype)
    assert_close(off, exact)


def test_close_is_relative_to_the_largest_value():
    assert_close(np.array([1e6, 1e-10]), np.array([1e6, 0.0]))
    with pytest.raises(AssertionError, match="relative"):
        assert_close(np.array([1e-6]), np.array([2e-6]))


def test_close_something_is_not_nothing():
    with pytest.raises(AssertionError):
        assert_close(np.array([1e-200]), np.array([0.0]))


@pytest.mark.parametrize(("a", "b"), [
    ([np.nan, 1.0], [1.0, np.nan]), ([np.nan, 1.0], [1.0, 1.0]), ([1.0, 1.0], [np.nan, 1.0]),
    ([np.inf], [-np.inf]), ([np.inf], [np.nan]), ([np.inf], [1.0]), ([1.0], [np.inf]),
])  # fmt: skip
def test_close_nan_and_infinity_must_agree_in_place_and_sign(a, b):
    with pytest.raises(AssertionError):
        assert_close(np.array(a), np.array(b))


@pytest.mark.parametrize("values", [[np.nan, 1.0], [np.inf, -np.inf, 1.0], [np.nan, np.nan]])
def test_close_nan_and_infinity_that_agree_pass(values):
    assert_close(np.array(values), np.array(values))


def test_close_says_what_was_compared():
    with pytest.raises(AssertionError, match="the gradient of w"):
        assert_close(np.ones(2), np.zeros(2), what="the gradient of w")


def test_close_takes_the_less_precise_dtype():
    a = np.ones(3, np.float32)
    assert_close(a.astype(np.float64) + 0.5 * tolerance(np.float32), a)
    with pytest.raises(AssertionError):
        assert_close(a.astype(np.float64) + 0.5 * tolerance(np.float32), a, dtype=np.float64)


def test_close_integers_must_be_equal():
    with pytest.raises(AssertionError):
        assert_close(np.array([1, 2]), np.array([1, 3]))


# ---- tolerance -----------------------------------------------------------------------------------


def test_tolerance_grows_with_eps():
    ratio = tolerance(np.float32) / tolerance(np.float64)
    assert ratio == np.finfo(np.float32).eps / np.finfo(np.float64).eps
    assert tolerance(np.float16) > tolerance(np.float32)


def test_tolerance_grows_with_the_root_of_the_size():
    assert tolerance(np.float64, 400) == pytest.approx(10 * tolerance(np.float64, 4))


@pytest.mark.parametrize("size", [0, 1])
def test_tolerance_of_nothing_is_that_of_one(size):
    assert tolerance(np.float64, size) == tolerance(np.float64)


def test_tolerance_is_small():
    assert tolerance(np.float64) < 1e-13
    assert tolerance(np.float32) < 1e-5
