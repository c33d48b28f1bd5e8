"""Kernels of activations for CuPy's arrays against the forwards, at sizes that cross blocks."""

import math

import numpy as np
import pytest
from cuda_calls.bodies import bodies, by_forward, by_kernel, leaves_to_forward
from cuda_on_cpu import available

from minigrad import backend
from minigrad.ops.activation import gelu, gelu_grad, silu, silu_grad
from minigrad.ops.elementwise import erf, sigmoid
from minigrad.ops.piecewise import relu_grad
from minigrad.testing import assert_close

pytestmark = pytest.mark.skipif(not available(), reason="kernels run on the CPU by g++ 12 or later")

ONE = {"sigmoid": (sigmoid, {}), "erf": (erf, {}), "silu": (silu, {})}
TWO = {"relu": (relu_grad, {}), "silu": (silu_grad, {})}
for way in ("none", "tanh"):
    ONE[f"gelu {way}"] = gelu, {"approximate": way}
    TWO[f"gelu {way}"] = gelu_grad, {"approximate": way}
CALLS = {**{f"{k}": (*v, 1) for k, v in ONE.items()},
         **{f"{k} grad": (*v, 2) for k, v in TWO.items()}}  # fmt: skip
DTYPES = [np.float16, np.float32, np.float64]
SIZES = [1, 3, 31, 33, 1023, 1025]
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-6, -1e-6, 20.0, -20.0, 100.0, -100.0])


def drawn(size, dtype, count):
    rng = np.random.default_rng(size)
    return [(rng.normal(size=size) * 3).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", CALLS)
def test_values_are_those_of_the_forward(cuda, call, size, dtype):
    function, statics, count = CALLS[call]
    arrays = drawn(size, dtype, count)
    found = by_kernel(function, *arrays, **statics)
    assert found.dtype == dtype
    assert_close(found, by_forward(function, *arrays, **statics))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
def test_zeros_infinities_and_nan_give_what_the_forward_gives(cuda, call, dtype):
    function, statics, count = CALLS[call]
    arrays = [ODD.astype(dtype), np.ones(len(ODD), dtype)][:count]
    found, wanted = (by(function, *arrays, **statics) for by in (by_kernel, by_forward))
    assert_close(found, wanted)


def test_no_gradient_passes_relu_where_it_gave_nothing(cuda):
    out = np.array([0.0, 0.0, 2.0, np.nan], np.float32)
    dy = np.array([np.nan, np.inf, 3.0, 4.0], np.float32)
    assert by_kernel(relu_grad, out, dy).tolist() == [0.0, 0.0, 3.0, 4.0]


@pytest.mark.parametrize("size", [70_001])
def test_more_blocks_than_one_take_each_place_once(cuda, size):
    (x,) = drawn(size, np.float32, 1)
    assert_close(by_kernel(silu, x), by_forward(silu, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", range(1, 4))
def test_arrays_that_start_off_sixteen_bytes_are_read_by_number(cuda, start, dtype):
    xp = backend.named("cuda").xp
    x, dy = (xp.asarray(a) for a in drawn(200, dtype, 2))
    (body,) = bodies(silu_grad)
    for left, right in [
        (x[start:], dy[:-start]),
        (x[:-start], dy[start:]),
        (x[start:], dy[start:]),
    ]:
        found = body(xp, left, right).get()
        assert_close(found, by_forward(silu_grad, left.get(), right.get()))


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[:, ::2]], ids=["turned", "stepped"])
def test_views_are_read_as_they_lie(cuda, view):
    x, dy = (a.reshape(30, 40) for a in drawn(1200, np.float32, 2))
    x, dy = view(x), view(dy)
    assert_close(by_kernel(silu_grad, x, dy), by_forward(silu_grad, x, dy))
    mixed = np.ascontiguousarray(dy)
    assert_close(by_kernel(silu_grad, x, mixed), by_forward(silu_grad, x, mixed))


def test_tails_keep_their_digits(cuda):
    x = np.array([-5.0, -9.0], np.float32)
    wanted = [t * math.erfc(-t * math.sqrt(0.5)) / 2 for t in x.tolist()]  # 1 + erf is 0 there
    np.testing.assert_allclose(by_kernel(gelu, x, approximate="none"), wanted, rtol=1e-5)
    np.testing.assert_allclose(by_kernel(sigmoid, x), 1 / (1 + np.exp(-x.astype(float))), rtol=1e-6)


@pytest.mark.parametrize(
    "arrays",
    [
        drawn(0, np.float32, 2),
        [np.ones(3, np.float32), np.ones(3, np.float64)],
        [np.ones((2, 3), np.float32), np.ones(3, np.float32)],
    ],
    ids=["empty", "two dtypes", "two shapes"],
)
def test_what_the_kernels_do_not_serve_they_leave_to_the_forwards(cuda, arrays):
    assert leaves_to_forward(silu_grad, *arrays)
