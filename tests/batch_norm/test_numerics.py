"""BatchNorm in few digits: large means, constant channels, float16, long reductions.

Errors are relative to the largest absolute value of the float64 reference, of y and of dx alike,
unless a test says that they are absolute.
"""

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    FORMS,
    axes_of,
    bare,
    draw,
    host,
    laid_out,
    leaf,
    module_for,
    nonzero_parameters,
    normalise,
    normalise_with,
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
from minigrad import backend
from minigrad.ops import batch_norm as ops
from minigrad.tensor import handle
from minigrad.testing import tolerance
from minigrad.watching import watched

PROMISED = 3e-6  # the contract's worst error of y and dx in float32, wherever the mean is
MEASURED = [  # in the contract
    (256, 512),
    (4096, 256),
    (4096, 1024),
    (65536, 64),
    (128, 256, 8, 8),
    (64, 32, 32, 32),
    (32, 64, 68, 68),
]
LARGE = [(32, 8, 34, 34), (128, 64, 8, 8), (4096, 64), (256, 512)]


def one_zero(channels, dtype=np.float32):
    return np.ones(channels, dtype), np.zeros(channels, dtype)


def float32_module(shape, fused, device, **options):
    return module_for(shape, fused=fused, device=device, dtype=mg.float32, **options)


# ---- a mean that dwarfs the spread


def test_B30_statistics_and_y_are_right_at_means_of_1e4_and_1e6(shape, fused, device):
    size = laid_out(shape, 16, 4, 4, 16)  # 4096 values
    for mean in (1e4, 1e6):
        x = draw(size, 1, np.float32, mean)
        module = float32_module(size, fused, device, momentum=1.0)
        xhat = host(module(mg.tensor(x, device=device)))
        wide = x.astype(np.float64)
        var = wide.var(axes_of(x), ddof=1)
        assert (np.abs(host(module.running_var) - var) <= tolerance(np.float32) * var).all()
        assert worst(host(module.running_mean), wide.mean(axes_of(x))) <= tolerance(np.float32)
        expected, *_ = normalise(x, *one_zero(3), x)
        assert np.abs(xhat - expected).max() <= PROMISED


def test_B31_mean_1e4_costs_no_digits_of_the_gradients(shape, fused, device):
    size = laid_out(shape, 16, 4, 4, 16)
    x, dy = draw(size, 1, np.float32, mean=1e4), draw(size, 2, np.float32)
    gamma, beta = nonzero_parameters(3)
    found = run(x, gamma, beta, dy, fused, device=device)
    for a, b in zip(found, normalise(x, gamma, beta, dy), strict=True):
        assert a.dtype == np.float32
        assert worst(a, b) <= PROMISED


@pytest.mark.parametrize("mean", [1e4, 1e6])
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_a_large_mean_costs_no_digits_of_y_and_the_gradients(size, mean, fused, device):
    x, dy = draw(size, 1, np.float32, mean), draw(size, 2, np.float32)
    gamma, beta = nonzero_parameters(size[1])
    found = run(x, gamma, beta, dy, fused, device=device)
    for a, b in zip(found, normalise(x, gamma, beta, dy), strict=True):
        assert worst(a, b) <= PROMISED


@pytest.mark.parametrize("size", MEASURED, ids=str)
def test_mean_1e4_is_as_exact_as_promised_at_the_contract_s_shapes(size):
    x, dy = draw(size, 1, np.float32, mean=1e4), draw(size, 2, np.float32)
    gamma, beta = one_zero(size[1])
    y, dx, _, _ = normalise(x, gamma, beta, dy)
    for form, fused in FORMS.items():
        found = run(x, gamma, beta, dy, fused)
        for a, b in zip(found, (y, dx), strict=False):
            absolute = np.abs(a - b).max()
            assert absolute <= PROMISED, form
            assert absolute / np.abs(b).max() <= PROMISED, form


def test_B32_a_shift_by_1000_changes_y_by_less_than_1e_3(shape, fused, device):
    size = laid_out(shape, 8, 2, 4, 4)
    x, dy = draw(size, 1, np.float32), draw(size, 2, np.float32)
    exact = (x + np.float32(1000)) - np.float32(1000)  # what float32 keeps of it beside 1000
    ys = [
        run(each, *one_zero(3), dy, fused, device=device)[0]
        for each in (x, exact, x + np.float32(1000))
    ]
    assert np.abs(ys[0] - ys[2]).max() < 1e-3
    assert np.abs(ys[1] - ys[2]).max() <= PROMISED


def test_B33_running_variance_is_never_negative(shape, fused, device):
    for seed, exponent in enumerate(range(-6, 7)):
        for mean in (0.0, 0.1, 1e3, -1e6):
            module = float32_module(shape, fused, device, momentum=1.0)
            x = draw(shape, seed, np.float32, mean, 10.0**exponent)
            y = host(module(mg.tensor(x, device=device)))
            assert (host(module.running_var) >= 0).all()
            assert np.isfinite(y).all()


@given(
    fused=st.booleans(),
    exponent=st.floats(-6, 6),
    mean=st.floats(-1e6, 1e6),
    n=st.integers(2, 40),
    seed=st.integers(0, 99),
)
def test_B33_running_variance_is_never_negative_whatever_is_drawn(fused, exponent, mean, n, seed):
    module = nn.BatchNorm1d(2, momentum=1.0, fused=fused)
    y = module(mg.tensor(draw((n, 2), seed, np.float32, mean, 10.0**exponent)))
    assert (host(module.running_var) >= 0).all()
    assert np.isfinite(host(y)).all()


# ---- constant channels

HARD = (0.1, 100.1, 1e4 + 0.1, 1e6 + 0.3, 1e7 + 1)  # float32 rounds all of them but the last
MAGNITUDES = {
    np.float16: (6e-8, 1e-6, 0.1, 1 / 3, -100.1, 2049, 3e4, 65504),
    np.float32: (0.0, 1e-45, 1e-6, 1 / 3, 1, -100.1, 1.1e-20, 3.3e12, 1.1e20, 1.7e30, *HARD),
    np.float64: (5e-324, 1e-300, 1e-6, 0.1, 100.1, 1e7 + 1, 1.1e30, -1.1e100, 1.1e300),
}


def constant_images(shape):
    """Pictures of 28×28 as a batch of 64: plain float32 sums of so many go wrong."""
    return laid_out(shape, 64, 4, 7, 28)


def assert_gives_bias(size, dtype, constant, fused, device):
    gamma, beta = parameters(size[1], dtype)
    y = F.batch_norm(
        mg.full(size, constant, dtype=dtype, device=device),
        None,
        None,
        mg.tensor(gamma, device=device),
        mg.tensor(beta, device=device),
        training=True,
        fused=fused,
    )
    assert y.dtype == dtype
    np.testing.assert_array_equal(
        host(y), np.broadcast_to(per_channel(beta, y), size), err_msg=f"{constant}, {size}"
    )


def test_B34_a_constant_channel_gives_exactly_bias(shape, fused, device):
    for constant in HARD:
        for size in (shape, constant_images(shape)):
            assert_gives_bias(size, np.float32, constant, fused, device)


@pytest.mark.parametrize("dtype", MAGNITUDES, ids=lambda dtype: dtype.__name__)
def test_a_constant_channel_gives_exactly_bias_at_any_magnitude(shape, fused, device, dtype):
    lengths = (7, 1, 1, 11), (1, 4099, 1, 1)  # 77, and a prime: no block's length divides them
    for size in (shape, *(laid_out(shape, *each) for each in lengths)):
        for constant in MAGNITUDES[dtype]:
            assert_gives_bias(size, dtype, constant, fused, device)


def test_B35_a_constant_channel_has_a_bounded_dx_and_no_dgamma(shape, fused, device):
    size = constant_images(shape)
    dy = draw(size, 2, np.float32)
    gamma, beta = parameters(3, np.float32)
    bound = 2 * np.abs(gamma) * np.abs(dy).max() / np.sqrt(EPS)
    for constant in HARD:
        x = np.full(size, constant, np.float32)
        _, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused, device=device)
        assert np.isfinite(dx).all()
        assert (np.abs(dx).max(axes_of(dx)) <= bound).all()
        np.testing.assert_array_equal(dgamma, 0)
        expected = normalise(x, gamma, beta, dy)
        assert worst(dx, expected[1]) <= PROMISED
        assert worst(dbeta, expected[3]) <= PROMISED


def test_a_constant_channel_beside_others_is_exact_and_leaves_them_right(shape, fused, device):
    size = laid_out(shape, 16, 4, 4, 9)
    x = draw(size, 1, np.float32, mean=1e4)
    x[:, 1] = 10000.1
    gamma, beta = nonzero_parameters(3)
    y, *_ = run(x, gamma, beta, x, fused, device=device)
    np.testing.assert_array_equal(y[:, 1], beta[1])
    assert worst(y, normalise(x, gamma, beta, x)[0]) <= PROMISED


def test_B36_a_nearly_constant_channel_is_bounded(shape, fused, device):
    size = laid_out(shape, 4, 2, 3, 8)
    for dtype, means in ((np.float32, (0.0, 1e-4)), (np.float64, (0.0, 1e-4, 1.0))):
        for mean in means:
            x, dy = draw(size, 1, dtype, mean, 1e-8), draw(size, 2, dtype)
            y, dx, dgamma, _ = run(x, *one_zero(3, dtype), dy, fused, device=device)
            away = x - x.mean(axes_of(x), dtype=np.float64, keepdims=True)
            away = np.abs(away - away.mean(axes_of(x), keepdims=True))  # float64 rounds too
            bound = (away + PROMISED * away.max()) / np.sqrt(EPS)  # the mean is rounded
            assert (np.abs(y) <= bound).all()
            assert np.isfinite(dx).all()
            assert np.isfinite(dgamma).all()


def test_inputs_of_scale_1e_4_are_as_exact_as_others(shape, fused, device):
    size = laid_out(shape, 8, 2, 4, 4)
    x, dy = draw(size, 1, np.float32, std=1e-4), draw(size, 2, np.float32)
    gamma, beta = nonzero_parameters(3)
    found, expected = run(x, gamma, beta, dy, fused, device=device), normalise(x, gamma, beta, dy)
    for a, b in zip(found, expected, strict=True):
        assert worst(a, b) <= PROMISED


def test_gamma_0_gives_bias_a_zero_dx_and_a_right_dgamma(shape, fused, device):
    for dtype in (np.float32, np.float64):
        x, dy = draw(shape, 1, dtype), draw(shape, 2, dtype)
        gamma, beta = np.zeros(3, dtype), np.array([0.5, -1.0, 0.0], dtype)
        y, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused, device=device)
        np.testing.assert_array_equal(y, np.broadcast_to(per_channel(beta, y), y.shape))
        np.testing.assert_array_equal(dx, 0)
        _, _, expected, expected_beta = normalise(x, gamma, beta, dy)
        assert worst(dgamma, expected) <= tolerance(dtype)
        assert worst(dbeta, expected_beta) <= tolerance(dtype)


# ---- float16 and dtypes

FLOAT16_MEANS = (100, 1000, 30000)


def test_B37_float16_is_computed_in_float32(shape, fused, device):
    size = laid_out(shape, 16, 2, 4, 4)
    for mean in FLOAT16_MEANS:
        x = draw(size, 1, np.float16, mean)
        module = float32_module(size, fused, device, momentum=1.0)
        t = leaf(x, device)
        y = module(t)
        y.backward(mg.tensor(draw(size, 2, np.float16), device=device))
        wide = x.astype(np.float64)
        expected, *_ = normalise(x, *one_zero(3), wide)
        assert y.dtype == t.grad.dtype == np.float16
        assert np.isfinite(host(y)).all()
        assert np.isfinite(host(t.grad)).all()
        assert np.abs(host(y) - expected).max() <= 1e-2
        for buffer, value in (
            (module.running_mean, wide.mean(axes_of(x))),
            (module.running_var, wide.var(axes_of(x), ddof=1)),
        ):
            assert buffer.dtype == np.float32
            np.testing.assert_allclose(host(buffer), value, rtol=1e-5, atol=1e-30)


def test_B37_float16_input_gives_float32_statistics(shape, fused, device):
    op = ops.batch_norm if fused else ops.batch_norm_reference
    for parameters_dtype in (np.float16, np.float32):
        x = draw(laid_out(shape, 16, 2, 4, 4), 1, np.float16, mean=100)
        given = [mg.tensor(a, device=device) for a in (x, *nonzero_parameters(3, parameters_dtype))]
        y, mean, var = op(*given, axes=axes_of(x), eps=EPS)
        assert y.dtype == np.float16
        assert mean.dtype == var.dtype == np.float32
        wide = x.astype(np.float64)
        assert worst(host(mean), wide.mean(axes_of(x))) <= tolerance(np.float32)
        assert worst(host(var), wide.var(axes_of(x))) <= tolerance(np.float32)


def test_B37_float16_input_gets_a_right_gradient(shape, fused, device):
    size = laid_out(shape, 16, 2, 4, 4)
    x, dy = draw(size, 1, np.float16, mean=5), draw(size, 2, np.float16)
    gamma, beta = nonzero_parameters(3)
    _, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused, device=device)
    _, ex, egamma, ebeta = normalise(x, gamma, beta, dy)
    assert dx.dtype == np.float16
    assert dgamma.dtype == dbeta.dtype == np.float32
    assert worst(dx, ex) <= 2e-3
    assert worst(dgamma, egamma) <= 1e-5
    assert worst(dbeta, ebeta) <= 1e-5


def test_B37_float16_parameters_keep_float16_gradients(shape, fused, device):
    x, dy = draw(shape, 1, np.float16), draw(shape, 2, np.float16)
    gamma, beta = nonzero_parameters(3, np.float16)
    found, expected = run(x, gamma, beta, dy, fused, device=device), normalise(x, gamma, beta, dy)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float16
        assert worst(a, b) <= 2e-3


def test_B37_float16_in_evaluation(shape, fused, device):
    for mean in FLOAT16_MEANS:
        x = draw(laid_out(shape, 16, 2, 4, 4), 1, np.float16, mean)
        module = float32_module(x.shape, fused, device, momentum=1.0)
        module(mg.tensor(x, device=device))
        y = host(module.eval()(mg.tensor(x, device=device)))
        wide = x.astype(np.float64)
        statistics = wide.mean(axes_of(x)), wide.var(axes_of(x), ddof=1)
        expected, *_ = normalise_with(x, *statistics, *one_zero(3), wide)
        assert y.dtype == np.float16
        assert np.abs(y - expected).max() <= 1e-2


def test_B38_float16_sums_do_not_overflow(shape, fused, device):
    size = laid_out(shape, 64, 4, 7, 28)  # 64×28×28; the sum is 100352, float16 ends at 65504
    module = float32_module(size, fused, device, momentum=1.0)
    x = leaf(np.full(size, 2.0, np.float16), device)
    y = module(x)
    np.testing.assert_array_equal(host(y), 0)
    np.testing.assert_array_equal(host(module.running_mean), 2)
    np.testing.assert_array_equal(host(module.running_var), 0)
    y.backward(mg.tensor(np.full(size, 2.0, np.float16), device=device))
    np.testing.assert_array_equal(host(module.bias.grad), 100352)
    assert np.isfinite(host(x.grad)).all()


def test_B39_float32_stays_float32(shape, fused, device):
    for training in (True, False):
        module = float32_module(shape, fused, device).train(training)
        x, results = leaf(draw(shape, dtype=np.float32), device), []
        with watched(lambda op, inputs, result, seconds, to=results: to.append(result)):
            y = module(x)
            (y * y).sum().backward(create_graph=True)
            (x.grad * x.grad).sum().backward()
        everything = [y, x.grad, module.weight.grad, module.bias.grad]
        everything += [module.running_mean, module.running_var]
        for result in results:
            everything += result if isinstance(result, tuple) else [result]
        assert {t.dtype for t in everything} == {np.dtype(np.float32)}


@pytest.mark.parametrize("parameters_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_B39_output_has_the_input_s_dtype_and_gradients_their_tensors(
    dtype, parameters_dtype, fused, device
):
    gamma, beta = nonzero_parameters(3, parameters_dtype)
    x, dy = draw((8, 3), 1, dtype), draw((8, 3), 2, dtype)
    y, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused, device=device)
    assert y.dtype == dx.dtype == dtype
    assert dgamma.dtype == dbeta.dtype == parameters_dtype


# ---- long reductions


def test_B40_two_million_values_have_the_right_mean(shape, fused, device):
    size = laid_out(shape, 128, 8, 16, 128, channels=4)  # 2**21 values, 32 MB
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    x += np.float32(100)
    module = float32_module(size, fused, device, momentum=1.0)
    with mg.no_grad():
        y = host(module(mg.tensor(x, device=device)))
    expected = x.mean(axes_of(x), dtype=np.float64)
    assert np.abs(host(module.running_mean) - expected).max() < 1e-3
    assert np.abs(y.mean(axes_of(y), dtype=np.float64)).max() < 1e-5
    x -= per_channel(expected.astype(np.float32), x)
    var = (x * x).mean(axes_of(x), dtype=np.float64)
    assert np.abs(host(module.running_var) - var).max() < 1e-3


@pytest.mark.parametrize("fortran", [False, True])
def test_B40_many_rows_that_are_not_contiguous_have_the_right_mean(fortran, fused, device):
    x = draw((2**18, 2), 1, np.float32, mean=100)
    rows = bare(x if fortran else np.repeat(x, 2, 1), device)
    rows = backend.of(rows).xp.asfortranarray(rows) if fortran else rows[:, ::2]
    module = float32_module(x.shape, fused, device, momentum=1.0)
    module(handle(rows))
    assert np.abs(host(module.running_mean) - x.mean(0, dtype=np.float64)).max() < 1e-3
