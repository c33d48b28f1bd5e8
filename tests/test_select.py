"""`select` is `np.where`, bit for bit, whichever way it goes."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.select import SMALL, select

SHAPES = [(3,), (SMALL + 1,), (5, SMALL // 4), ()]
VALUES = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-5, -2.5, 6e4])


def floats(shape, dtype, seed):
    return np.random.default_rng(seed).choice(VALUES, shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_it_is_numpys_where_to_the_bit(shape, dtype):
    a, b = floats(shape, dtype, 1), floats(shape, dtype, 2)
    condition = np.asarray(np.random.default_rng(3).random(shape) < 0.5)
    for one, other in [(a, b), (a, 0), (0, b), (a, 0.0), (-0.0, b), (a, 1.5), (1, b)]:
        found, expected = select(np, condition, one, other), np.where(condition, one, other)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_views_integers_and_shapes_that_broadcast_are_numpys_too():
    n = SMALL + 2
    a, b, condition = np.arange(2 * n)[::2], np.arange(n)[::-1], np.arange(2 * n)[::-2] % 3 == 0
    for kind in (np.int64, np.float32):
        pairs = (a.astype(kind), b.astype(kind)[::-1]), (a.astype(kind), b.astype(kind)[:1])
        for one, other in pairs:
            expected = np.where(condition, one, other)
            np.testing.assert_array_equal(select(np, condition, one, other), expected)
    assert select(np, condition, a.astype(np.float32), b.astype(float)).dtype == np.float64


def test_relus_gradient_is_zero_or_the_cotangent_even_if_that_is_infinite():
    x = mg.tensor(floats((SMALL + 9,), np.float32, 1), requires_grad=True)
    g = floats(x.shape, np.float32, 2)
    (dx,) = mg.grad(mg.relu(x), x, mg.tensor(g))
    np.testing.assert_array_equal(dx.numpy(), np.where(x.numpy() <= 0, 0, g))
