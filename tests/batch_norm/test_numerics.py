"""BatchNorm in few digits: large means, constant channels, float16, long reductions, odd layouts.

Errors are relative to the largest absolute value of the float64 reference, of y and of dx alike.
"""

import hashlib

import numpy as np
import pytest
from batch_norm_cases import (
    EPS,
    axes_of,
    draw,
    forms,
    leaf,
    module_for,
    normalise,
    parameters,
    per_channel,
    run,
    worst,
)
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.ops import batch_norm as ops
from minigrad.tensor import handle
from minigrad.testing import tolerance

LARGE = [(32, 8, 34, 34), (128, 64, 8, 8), (4096, 64), (256, 512)]
large = pytest.mark.parametrize("shape", LARGE, ids=str)


def gamma_beta(channels, dtype=np.float32):
    rng = np.random.default_rng(9)
    gamma = rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels)
    return gamma.astype(dtype), rng.normal(0, 0.5, channels).astype(dtype)


# ---- a mean that dwarfs the spread


@forms
@large
def test_B31_mean_1e4_costs_no_digits_of_y_and_dx(shape, fused):
    x, dy = draw(shape, 1, np.float32, mean=1e4), draw(shape, 2, np.float32)
    gamma, beta = gamma_beta(shape[1])
    found, expected = run(x, gamma, beta, dy, fused), normalise(x, gamma, beta, dy)
    assert worst(found[0], expected[0]) <= 3e-6
    assert worst(found[1], expected[1]) <= 3e-6
    assert worst(found[2], expected[2]) <= 1e-4
    assert worst(found[3], expected[3]) <= 1e-5


@forms
@pytest.mark.parametrize("mean", [1e4, 1e6])
@pytest.mark.parametrize("shape", [(4096, 5), (64, 3, 8, 8)], ids=str)
def test_B30_statistics_of_a_large_mean(shape, mean, fused):
    x = draw(shape, 1, np.float32, mean=mean)
    module = module_for(shape, momentum=1.0, fused=fused, dtype=mg.float32)
    y = module(mg.tensor(x)).numpy()
    wide, one, zero = x.astype(np.float64), np.ones(shape[1]), np.zeros(shape[1])
    var = wide.var(axes_of(x), ddof=1)
    assert np.abs(module.running_var.numpy() - var).max() < 1e-3 * var.min()
    assert worst(module.running_mean.numpy(), wide.mean(axes_of(x))) <= tolerance(np.float32)
    assert np.abs(y - normalise(x, one, zero, y)[0]).max() < (2e-3 if mean == 1e4 else 1e-2)


@forms
@large
def test_mean_1e6_costs_no_digits_of_y_and_dx(shape, fused):
    x, dy = draw(shape, 1, np.float32, mean=1e6), draw(shape, 2, np.float32)
    gamma, beta = gamma_beta(shape[1])
    found, expected = run(x, gamma, beta, dy, fused), normalise(x, gamma, beta, dy)
    assert worst(found[0], expected[0]) <= 3e-6
    assert worst(found[1], expected[1]) <= 3e-6


@forms
def test_B32_a_shift_by_1000_changes_y_by_less_than_1e_3(fused):
    x = draw((256, 4), 1, np.float32)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    a, b = (run(each, one, zero, x, fused)[0] for each in (x, x + np.float32(1000)))
    assert np.abs(a - b).max() < 1e-3


@forms
@given(
    exponent=st.floats(-6, 6),
    mean=st.floats(-1e6, 1e6),
    n=st.integers(2, 40),
    seed=st.integers(0, 99),
)
def test_B33_running_variance_is_never_negative(fused, exponent, mean, n, seed):
    module = nn.BatchNorm1d(2, momentum=1.0, fused=fused)
    y = module(mg.tensor(draw((n, 2), seed, np.float32, mean, 10.0**exponent)))
    assert (module.running_var.numpy() >= 0).all()
    assert np.isfinite(y.numpy()).all()


# ---- constant channels

CONSTANTS = [
    *((np.float32, c) for c in (0.0, 1e-6, 0.1, 1 / 3, 1, 100.1, 1e4 + 0.1, 1e6 + 0.3, 1e7 + 1)),
    *((np.float32, c) for c in (-100.1, 1.1e-20, 3.3e12, 1.1e20, 1.7e30)),
    *((np.float16, c) for c in (1e-6, 0.1, 1 / 3, 100.1, 2049, 3e4, 6.5e4)),
    *((np.float64, c) for c in (1e-300, 1e-6, 0.1, 100.1, 1e7 + 1, 1.1e30, 1.1e100, 1.1e300)),
]


@forms
@pytest.mark.parametrize(
    ("dtype", "constant"), CONSTANTS, ids=[f"{np.dtype(d)}-{c:g}" for d, c in CONSTANTS]
)
@pytest.mark.parametrize(
    "shape", [(3, 2), (77, 3), (4099, 2), (7, 2, 11), (64, 2, 28, 28)], ids=str
)
def test_B34_a_constant_channel_gives_exactly_bias(shape, dtype, constant, fused):
    gamma, beta = gamma_beta(shape[1], dtype)
    x = mg.tensor(np.full(shape, constant, dtype))
    y = F.batch_norm(
        x, None, None, mg.tensor(gamma), mg.tensor(beta), training=True, fused=fused
    ).numpy()
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.broadcast_to(per_channel(beta, y), shape))


@forms
@pytest.mark.parametrize("constant", [0.1, 100.1, 1e4 + 0.1, 1e6 + 0.3, 1e7 + 1])
def test_B35_a_constant_channel_has_a_finite_dx_and_no_dgamma(constant, fused):
    shape = (64, 2, 28, 28)
    dy = draw(shape, 2, np.float32)
    gamma, beta = gamma_beta(2)
    _, dx, dgamma, dbeta = run(np.full(shape, constant, np.float32), gamma, beta, dy, fused)
    bound = 2 * np.abs(gamma) * np.abs(dy).max() / np.sqrt(EPS)
    assert np.isfinite(dx).all()
    assert (np.abs(dx).max((0, 2, 3)) <= bound).all()
    np.testing.assert_array_equal(dgamma, 0)
    assert worst(dbeta, dy.sum((0, 2, 3), dtype=np.float64)) < 1e-5


@forms
def test_a_constant_channel_beside_others_is_exact_and_leaves_them_right(fused):
    x = draw((64, 3, 6, 6), 1, np.float32, mean=1e4)
    x[:, 1] = 10000.1
    gamma, beta = gamma_beta(3)
    y, *_ = run(x, gamma, beta, x, fused)
    np.testing.assert_array_equal(y[:, 1], beta[1])
    assert worst(y, normalise(x, gamma, beta, x)[0]) <= 3e-6


@forms
@pytest.mark.parametrize("mean", [0.0, 1e-4])
def test_B36_a_nearly_constant_channel_is_bounded(mean, fused):
    x = draw((64, 3), 1, np.float32, mean, 1e-8)
    y, dx, _, _ = run(x, np.ones(3, np.float32), np.zeros(3, np.float32), draw((64, 3), 2), fused)
    away = np.abs(x - x.mean(0, dtype=np.float64))
    assert (np.abs(y) <= away / np.sqrt(EPS) * (1 + 1e-5)).all()
    assert np.isfinite(dx).all()


@forms
def test_inputs_of_scale_1e_4_are_as_exact_as_others(fused):
    x, dy = draw((256, 5), 1, np.float32, std=1e-4), draw((256, 5), 2, np.float32)
    gamma, beta = gamma_beta(5)
    found, expected = run(x, gamma, beta, dy, fused), normalise(x, gamma, beta, dy)
    assert worst(found[0], expected[0]) <= 3e-6
    assert worst(found[1], expected[1]) <= 3e-6


@forms
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gamma_0_gives_bias_a_zero_dx_and_a_right_dgamma(dtype, fused):
    x, dy = draw((32, 3, 4), 1, dtype), draw((32, 3, 4), 2, dtype)
    gamma, beta = np.zeros(3, dtype), np.array([0.5, -1.0, 0.0], dtype)
    y, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused)
    np.testing.assert_array_equal(y, np.broadcast_to(per_channel(beta, y), y.shape))
    np.testing.assert_array_equal(dx, 0)
    _, _, expected, expected_beta = normalise(x, gamma, beta, dy)
    assert worst(dgamma, expected) <= 1e-5
    assert worst(dbeta, expected_beta) <= 1e-5


# ---- float16 and dtypes


@forms
@pytest.mark.parametrize("mean", [100, 1000, 30000])
def test_B37_float16_is_computed_in_float32(mean, fused):
    x = draw((64, 3, 8), 1, np.float16, mean=mean)
    module = nn.BatchNorm1d(3, momentum=1.0, fused=fused)
    t = leaf(x)
    y = module(t)
    y.backward(mg.tensor(draw(x.shape, 2, np.float16)))
    wide = x.astype(np.float64)
    expected, *_ = normalise(x, np.ones(3), np.zeros(3), wide)
    assert y.dtype == t.grad.dtype == np.float16
    assert np.isfinite(y.numpy()).all()
    assert np.abs(y.numpy() - expected).max() <= 1e-2
    for buffer, value in (
        (module.running_mean, wide.mean((0, 2))),
        (module.running_var, wide.var((0, 2), ddof=1)),
    ):
        assert buffer.dtype == np.float32
        np.testing.assert_allclose(buffer.numpy(), value, rtol=1e-5, atol=1e-30)


@forms
def test_B37_float16_input_gets_a_right_gradient(fused):
    x, dy = draw((64, 3, 8), 1, np.float16, mean=5), draw((64, 3, 8), 2, np.float16)
    gamma, beta = gamma_beta(3)
    _, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused)
    _, ex, egamma, ebeta = normalise(x, gamma, beta, dy)
    assert dx.dtype == np.float16
    assert dgamma.dtype == dbeta.dtype == np.float32
    assert worst(dx, ex) <= 2e-3
    assert worst(dgamma, egamma) <= 1e-5
    assert worst(dbeta, ebeta) <= 1e-5


@forms
def test_B37_float16_parameters_keep_float16_gradients(fused):
    x, dy = draw((64, 3), 1, np.float16), draw((64, 3), 2, np.float16)
    gamma, beta = gamma_beta(3, np.float16)
    found, expected = run(x, gamma, beta, dy, fused), normalise(x, gamma, beta, dy)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float16
        assert worst(a, b) <= 2e-3


@forms
def test_B37_float16_in_evaluation(fused):
    x = draw((64, 3), 1, np.float16, mean=1000)
    module = nn.BatchNorm1d(3, momentum=1.0, fused=fused)
    module(mg.tensor(x))
    y = module.eval()(mg.tensor(x)).numpy()
    wide = x.astype(np.float64)
    assert y.dtype == np.float16
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0, ddof=1) + EPS)
    assert np.abs(y - expected).max() <= 1e-2


@forms
def test_B38_float16_sums_do_not_overflow(fused):
    module = nn.BatchNorm2d(2, momentum=1.0, fused=fused)
    y = module(mg.tensor(np.full((64, 2, 28, 28), 2.0, np.float16)))
    np.testing.assert_array_equal(y.numpy(), 0)
    np.testing.assert_array_equal(module.running_mean.numpy(), 2)
    np.testing.assert_array_equal(module.running_var.numpy(), 0)


@forms
@pytest.mark.parametrize("training", [True, False])
def test_B39_float32_stays_float32(training, fused):
    module = nn.BatchNorm1d(3, fused=fused).train(training)
    x = leaf(draw((8, 3), dtype=np.float32))
    y = module(x)
    (y * y).sum().backward(create_graph=True)
    (x.grad * x.grad).sum().backward()
    everything = [y, x.grad, module.weight.grad, module.bias.grad]
    everything += [module.running_mean, module.running_var]
    assert {t.dtype for t in everything} == {np.dtype(np.float32)}


@forms
@pytest.mark.parametrize("parameters_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_B39_output_has_the_input_s_dtype_and_gradients_their_tensors(
    dtype, parameters_dtype, fused
):
    gamma, beta = gamma_beta(3, parameters_dtype)
    x, dy = draw((8, 3), 1, dtype), draw((8, 3), 2, dtype)
    y, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused)
    assert y.dtype == dx.dtype == dtype
    assert dgamma.dtype == dbeta.dtype == parameters_dtype


# ---- long reductions


@forms
def test_B40_two_million_rows_have_the_right_mean(fused):
    x = np.random.default_rng(0).standard_normal((2**21, 4), np.float32)
    x += np.float32(100)
    module = nn.BatchNorm1d(4, momentum=1.0, fused=fused)
    with mg.no_grad():
        y = module(mg.tensor(x))
    expected = x.mean(0, dtype=np.float64)
    assert np.abs(module.running_mean.numpy() - expected).max() < 1e-3
    assert np.abs(y.numpy().mean(0, dtype=np.float64)).max() < 1e-5
    x -= expected.astype(np.float32)
    var = np.einsum("nc,nc->c", x, x, dtype=np.float64) / len(x)
    assert np.abs(module.running_var.numpy() - var).max() < 1e-3


@forms
@pytest.mark.parametrize("fortran", [False, True])
def test_B40_many_rows_that_are_not_contiguous_have_the_right_mean(fortran, fused):
    x = draw((2**18, 2), 1, np.float32, mean=100)
    x = np.asfortranarray(x) if fortran else np.repeat(x, 2, 1)[:, ::2]
    module = nn.BatchNorm1d(2, momentum=1.0, fused=fused)
    module(handle(x))
    assert np.abs(module.running_mean.numpy() - x.mean(0, dtype=np.float64)).max() < 1e-3


# ---- layouts in memory

VIEWS = {
    "every other column": lambda: draw((8, 12, 5), 1, np.float32)[:, ::2],
    "transposed": lambda: draw((6, 8), 1, np.float32).T,
    "axes permuted": lambda: draw((5, 8, 4, 6), 1, np.float32).transpose(1, 3, 0, 2),
    "reversed": lambda: draw((8, 6, 5), 1, np.float32)[::-1],
    "reversed last": lambda: draw((8, 6, 5), 1, np.float32)[..., ::-1],
    "rows repeated": lambda: np.broadcast_to(draw((6, 5), 1, np.float32), (8, 6, 5)),
    "positions repeated": lambda: np.broadcast_to(draw((8, 6, 1), 1, np.float32), (8, 6, 5)),
    "Fortran": lambda: np.asfortranarray(draw((8, 6, 5), 1, np.float32)),
    "offset": lambda: draw((9, 6, 7), 1, np.float32)[1:, :, 1:-1],
    "channels last": lambda: draw((64, 40, 40, 6), 1, np.float32).transpose(0, 3, 1, 2),
}
views = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


def run_on(x, gamma, beta, dy, fused):
    """As `run`, on the arrays themselves: `mg.tensor` would copy them."""
    x, gamma, beta = (handle(a).requires_grad_() for a in (x, gamma, beta))
    y = F.batch_norm(x, None, None, gamma, beta, training=True, fused=fused)
    return [t.numpy() for t in (y, *mg.grad(y, [x, gamma, beta], handle(dy)))]


def assert_same_numbers(found, expected):
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert worst(a, b) <= (1e-6 if i < 2 else 1e-5)


@forms
@views
def test_B41_input_may_be_any_view(view, fused):
    x = view()
    gamma, beta = gamma_beta(x.shape[1])
    dy = draw(x.shape, 2, np.float32)
    found = run_on(x, gamma, beta, dy, fused)
    assert_same_numbers(found, run_on(np.ascontiguousarray(x), gamma, beta, dy, fused))


@forms
@views
def test_B43_upstream_gradient_may_be_any_view(view, fused):
    dy = view()
    gamma, beta = gamma_beta(dy.shape[1])
    x = draw(dy.shape, 2, np.float32)
    found = run_on(x, gamma, beta, dy, fused)
    assert_same_numbers(found, run_on(x, gamma, beta, np.ascontiguousarray(dy), fused))


@forms
@views
def test_B41_evaluation_takes_any_view(view, fused):
    x = view()
    module = module_for(x.shape, fused=fused, dtype=mg.float32).eval()
    a, b = (module(handle(each)).numpy() for each in (x, np.ascontiguousarray(x)))
    assert worst(a, b) <= 1e-6


@forms
def test_B41_parameters_may_be_strided_views(fused):
    x, dy = draw((8, 3), 1, np.float32), draw((8, 3), 2, np.float32)
    gamma, beta = gamma_beta(3)
    wide = np.repeat(np.stack([gamma, beta], 1), 2, 0)
    found = run_on(x, wide[::2, 0], wide[::2, 1], dy, fused)
    assert_same_numbers(found, run_on(x, gamma, beta, dy, fused))


@forms
def test_B42_channels_last_data_has_the_statistics_of_its_transpose(fused):
    nhwc = draw((16, 24, 24, 5), 1, np.float32, mean=100)
    x = nhwc.transpose(0, 3, 1, 2)
    found = []
    for each in (x, np.ascontiguousarray(x)):
        module = nn.BatchNorm2d(5, momentum=1.0, fused=fused)
        module(handle(each))
        found.append((module.running_mean.numpy(), module.running_var.numpy()))
    for a, b in zip(*found, strict=True):
        assert np.abs(a - b).max() <= 1e-5
    assert np.abs(found[0][0] - x.mean((0, 2, 3), dtype=np.float64)).max() <= 1e-5


@forms
def test_B43_a_transpose_after_batch_norm_gives_the_right_gradient(fused):
    x, weights = draw((6, 3, 4, 5)), draw((4, 5, 6, 3), 2)
    gamma, beta = parameters(3)
    t = leaf(x)
    y = F.batch_norm(t, None, None, mg.tensor(gamma), mg.tensor(beta), training=True, fused=fused)
    (y.permute(2, 3, 0, 1) * mg.tensor(weights)).sum().backward()
    expected = normalise(x, gamma, beta, weights.transpose(2, 3, 0, 1))[1]
    np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-10, atol=1e-13)


@forms
def test_B43_a_broadcast_upstream_gradient_is_right(fused):
    x = draw((6, 3, 5))
    t = leaf(x)
    y = F.batch_norm(t, None, None, training=True, fused=fused)
    (y * y).sum((0, 2))[1].backward()
    expected = normalise(x, np.ones(3), np.zeros(3), np.zeros(x.shape))[0]
    dy = 2 * expected * np.array([0, 1, 0])[:, None]
    np.testing.assert_allclose(
        t.grad.numpy(), normalise(x, np.ones(3), np.zeros(3), dy)[1], rtol=1e-9, atol=1e-13
    )


# ---- nothing is written to


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


@forms
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
def test_B44_inputs_and_upstream_gradient_are_not_modified(training, dtype, fused):
    mean, var = np.full(3, 0.3, dtype), np.full(3, 1.5, dtype)
    arrays = [draw((8, 3, 4), 1, dtype), *gamma_beta(3, dtype), draw((8, 3, 4), 2, dtype)]
    given = [*arrays, mean, var]
    before = [digest(a) for a in given]
    x, gamma, beta, dy, mean, var = (handle(a) for a in given)
    wanted = [t.requires_grad_() for t in (x, gamma, beta)]
    y = F.batch_norm(x, mean, var, gamma, beta, training=training, fused=fused)
    values = digest(y.numpy())
    mg.grad(y, wanted, dy, retain_graph=True)
    mg.grad(y, wanted, dy, create_graph=True)
    assert [digest(a) for a in given] == before
    assert digest(y.numpy()) == values


@forms
def test_B44_read_only_arrays_will_do(fused):
    arrays = [draw((8, 3), 1), *parameters(3), draw((8, 3), 2)]
    for a in arrays:
        a.flags.writeable = False
    found = run_on(*arrays, fused)
    for a, b in zip(found, normalise(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_B44_the_op_on_bare_arrays_is_its_forward():
    x, dy = draw((8, 3), 1), draw((8, 3), 2)
    gamma, beta = parameters(3)
    y, mean, var = ops.batch_norm(x, gamma, beta, axes=(0,), eps=EPS)
    dx, dgamma, dbeta = ops.batch_norm_grad(x, gamma, dy, axes=(0,), eps=EPS)
    for a, b in zip((y, dx, dgamma, dbeta), normalise(x, gamma, beta, dy), strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(var, x.var(0), rtol=1e-12)
