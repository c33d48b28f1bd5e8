"""Kernels of activations against their forwards: sizes about the blocks, all magnitudes, NaN."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.activation import gelu, gelu_grad, silu, silu_grad
from minigrad.ops.elementwise import sigmoid
from minigrad.ops.piecewise import relu, relu_grad
from minigrad.testing import assert_close

numba = pytest.importorskip("numba")
kernels = pytest.importorskip("minigrad.kernels.cpu.elementwise")
exponential = pytest.importorskip("minigrad.kernels.cpu.exponential")

OPS = {
    "relu": relu,
    "relu_grad": relu_grad,
    "sigmoid": sigmoid,
    "silu": silu,
    "silu_grad": silu_grad,
    "gelu": lambda x: gelu(x, approximate="none"),
    "gelu_grad": lambda x, dy: gelu_grad(x, dy, approximate="none"),
}
SMALL = kernels.SMALL_RELU  # the larger one
SHAPES = [
    (),
    (0, 3),
    (1,),
    (17, 5),
    (kernels.FEW + 1,),
    (kernels.SMALL,),
    (SMALL,),
    (SMALL + 1,),
    (3, 5, 5003),
]
EDGES = [0.0, -0.0, 1e-30, -1e-30, 1e-7, 5.0, -5.0, 11.9, -12.1, 17.0, -17.0, 60.0, -60.0, 87.0,
         -87.0, 88.7, -88.7, 89.0, -89.0, -103.0, -104.0, 1e4, -1e4, 1e30, -1e30]  # fmt: skip


def run(name, x, on):
    """The op on x, and on a cotangent if it takes one."""
    arrays = [x, np.linspace(-2, 2, x.size, dtype=x.dtype).reshape(x.shape)]
    with mg.kernels(on), np.errstate(all="ignore"):
        return OPS[name](*arrays[: 2 if name.endswith("grad") else 1])


def agree(name, x):
    fast, plain = run(name, x, True), run(name, x, False)
    assert fast.dtype == x.dtype
    assert_close(fast, plain, size=4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_values_are_those_of_the_forward(name, shape, dtype):
    agree(name, (np.random.default_rng(shape).normal(size=shape) * 3).astype(dtype))


@pytest.mark.parametrize("size", [40, SMALL + 40])
@pytest.mark.parametrize("name", OPS)
def test_each_magnitude_is_right_by_itself(name, size):
    for value in EDGES:
        x = np.full(size, value, np.float32)
        fast, exact = run(name, x, True), run(name, x.astype(np.float64), False)
        tiny = np.abs(exact) < 1e-6  # one may have rounded 1 + erf to 0, the other not
        np.testing.assert_allclose(fast[~tiny], exact[~tiny], rtol=1e-6, err_msg=str(value))
        np.testing.assert_allclose(fast[tiny], exact[tiny], atol=1e-7, err_msg=str(value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_nan_and_infinities_are_the_forwards_and_stay_in_their_place(name, dtype):
    for size in (50, SMALL + 50):
        x = np.random.default_rng(1).normal(size=size).astype(dtype)
        x[[3, 20, 33, size - 1]] = np.nan, np.inf, -np.inf, -np.nan
        agree(name, x)


def test_relus_gradient_is_zero_where_an_infinity_does_not_come_through():
    for size in (40, SMALL + 1):
        out = np.zeros(size, np.float32)
        out[1::2] = 3
        dy = np.full(size, np.inf, np.float32)
        dy[4:8] = np.nan
        np.testing.assert_array_equal(relu_grad(out, dy), np.where(out <= 0, 0, dy))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("odd", [lambda x: x.T, lambda x: x[::2], lambda x: x.astype(np.float16)],
                         ids=["transposed", "strided", "half"])  # fmt: skip
def test_odd_layouts_and_half_precision_are_served_by_the_forward(name, odd):
    x = np.random.default_rng(2).normal(size=(40, 30)).astype(np.float32)
    agree(name, odd(x))


@pytest.mark.parametrize("name", OPS)
def test_threads_change_no_bit(name):
    x = np.random.default_rng(3).normal(size=3 * SMALL + 7).astype(np.float32)
    found, threads = [], numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            found.append(run(name, x, True))
    finally:
        numba.set_num_threads(threads)
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


def test_the_exponential_is_exact_to_a_float32():
    x = np.concatenate([np.linspace(-104, 89, 20001), [0.0, -0.0]]).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        found = np.array([exponential.coarse_exp(v) for v in x]).astype(np.float32)
        exact = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(exact))
    found, exact = found[np.isfinite(exact)], exact[np.isfinite(exact)]
    assert (np.abs(found - exact) <= np.spacing(exact)).all()


def test_the_normal_distribution_is_exact_to_a_float32():
    for v in np.linspace(-14, 14, 5001).astype(np.float32):
        cdf, density = exponential.normal(v)
        exact = math.erfc(-float(v) * math.sqrt(0.5)) / 2
        assert abs(cdf - exact) <= 1e-7 * exact + 1e-45
        slope = math.exp(-(float(v) ** 2) / 2) / math.sqrt(2 * math.pi)
        assert abs(density - slope) <= 1e-7 * slope + 1e-45
