"""Sums on all threads: exact to float32's own precision, at every length and over every axis."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cpu import sums
from minigrad.ops.reduce import mean, sum, sum_to
from minigrad.ops.sums import joined, repeated, total

DTYPES = [np.float32, np.float64]
# beside, at and beyond blocks of rows, of columns, of a row, tasks, and what one thread does
CASES = [
    ((8192,), None),
    ((300_001,), None),
    ((3, 70_000), 1),
    ((127, 1025), 0),
    ((128, 1024), 0),
    ((1000, 77), 0),
    ((20_000, 16), 0),
    ((5, 3000), 0),
    ((2, 5000), -1),
    ((4097, 33), 1),
    ((8, 16, 10, 10), (0, 2, 3)),
    ((32, 64, 17, 9), (0, 2, 3)),
    ((3, 129, 40), 1),
    ((2, 3, 500, 40), (0, 2)),
    ((2, 300, 5, 40), (1, 2)),
    ((7, 9, 11, 13), (1, 3)),
    ((200_000, 2), 0),
    ((2, 100_000), 0),
]


def values(shape, dtype=np.float32, mean=0.0, scale=1.0):
    rng = np.random.default_rng([*shape])
    return (mean + scale * rng.normal(size=shape)).astype(dtype)


def exactly(x, axis):
    """The sum in float64 of float32, and in extended precision of float64."""
    return np.add.reduce(x, axis, dtype=np.longdouble)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean_of_x", "scale"), [(0, 1), (1e6, 1e-4), (-3, 1e3)])
@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("on", [True, False])
def test_a_sum_is_exact_to_some_roundings(shape, axis, mean_of_x, scale, dtype, on):
    x = values(shape, dtype, mean_of_x, scale)
    with mg.kernels(on):
        y = sum(x, axis)
    true, size = exactly(x, axis), np.add.reduce(np.abs(x), axis, dtype=np.float64)
    assert y.dtype == dtype
    roundings = 4 if dtype == np.float32 else 64  # nothing wider adds up the blocks of float64
    assert (np.abs(y - true) <= roundings * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_any_number_of_threads_gives_the_same_bits(shape, axis, dtype, same_for_any_threads):
    x = values(shape, dtype)
    same_for_any_threads(lambda: sum(x, axis))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_a_mean_is_the_sum_over_the_number(shape, axis, keepdims):
    x = values(shape)
    y = mean(x, axis, keepdims=keepdims)
    true = np.mean(x.astype(np.float64), axis, keepdims=keepdims)
    assert y.shape == true.shape
    np.testing.assert_allclose(y, true, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 64, 1, 1), (64, 17, 9), (9,), (1,), (32, 1, 17, 1), ()])
def test_sums_to_a_broadcast_shape(shape):
    x = values((32, 64, 17, 9))
    y = sum_to(x, shape=shape)
    with mg.kernels(False):
        plain = sum_to(x, shape=shape)
    assert y.shape == shape
    np.testing.assert_allclose(y, plain, rtol=1e-5, atol=1e-3)


def test_ones_are_counted_in_full():
    for n in (2**24 + 2, 2**25):  # beyond what float32 can count by ones
        assert sum(np.ones((n, 1), np.float32), 0)[0] == n
        assert sum(np.ones(n, np.float32)) == n


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("shape", "axis"), [c for c in CASES if c[1] is not None])
def test_what_is_not_finite_stays_in_its_sum(shape, axis, bad):
    x = values(shape)
    place = tuple([n // 2 for n in shape])
    x[place] = bad
    with np.errstate(invalid="ignore"):
        y, plain = sum(x, axis), np.sum(x, axis)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(plain))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(plain))


@pytest.mark.parametrize("how", ["read-only", "turned", "strided"])
def test_the_layout_changes_rounding_at_most(how):
    x = values((300, 400))
    odd = {
        "read-only": np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
        "turned": np.asfortranarray(x),
        "strided": np.repeat(x, 2, 1)[:, ::2],
    }[how]
    np.testing.assert_allclose(sum(odd, 0), sum(x, 0), rtol=1e-5, atol=1e-5)


def test_what_is_too_small_for_a_kernel_is_left_to_numpy():
    kernel = sum.op.kernels["cpu"][0]
    assert kernel(np, values((10, 10)), axis=0, keepdims=False) is NotImplemented
    assert kernel(np, values((1000, 1000)), axis=0, keepdims=False) is not NotImplemented


@pytest.mark.parametrize(
    ("shape", "axes", "lengths", "leading"),
    [
        ((2, 3, 4), (0, 1), (6, 4), True),
        ((2, 3, 4), (1, 2), (2, 12), False),
        ((2, 3, 4, 5), (0, 2, 3), (2, 3, 20), True),
        ((2, 1, 4), (0, 2), (8,), True),
        ((1, 3), (0,), (3,), False),
        ((1, 1), (0,), (), False),
    ],
)
def test_axes_of_one_kind_are_joined(shape, axes, lengths, leading):
    assert joined(shape, axes) == (lengths, leading)


def test_axes_that_a_broadcast_repeats():
    assert repeated((5, 2, 3, 4), (1, 3, 1)) == (0, 1, 3)
    assert repeated((2, 1), (1, 1)) == (0,)
    with pytest.raises(mg.ShapeError, match=r"\(2, 3\) is not a broadcast of \(2,\)"):
        repeated((2, 3), (2,))
    with pytest.raises(mg.ShapeError, match="is not a broadcast of"):
        repeated((3,), (1, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (2, 0, 3), (1, 5, 1)])
def test_sums_of_little_or_nothing(shape, dtype):
    x = values(shape, dtype)
    for axis in (0, 1, tuple(range(len(shape)))):
        np.testing.assert_allclose(sum(x, axis), np.sum(x, axis), rtol=1e-6)


def test_totals_add_up_short_blocks_only():
    """Each block is exact here, and one more number would not be."""
    x = np.ones((3 * 128, 5), np.float32)
    x[::128] = 2.0**24 - 128  # + 127 is the largest that float32 counts to
    for array, axes in ((x, (0,)), (np.ascontiguousarray(x.T), (1,))):
        np.testing.assert_array_equal(total(np, array, axes).ravel(), 3 * (2.0**24 - 1))


def test_a_task_has_numbers_enough():
    assert math.prod((sums.ROWS, sums.COLUMNS)) >= sums.TASK
