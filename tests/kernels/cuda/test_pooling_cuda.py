"""Kernels of pooling for CuPy's arrays against the forwards: every kind of window, ties, NaN."""

import numpy as np
import pytest
from cuda_calls.bodies import by_forward, by_kernel, leaves_to_forward
from cuda_on_cpu import available

from minigrad.ops.pool import Window, avg_pool2d, avg_unpool2d, max_pool2d, unpick
from minigrad.testing import assert_close

pytestmark = pytest.mark.skipif(not available(), reason="kernels run on the CPU by g++ 12 or later")

PLAIN = {
    "halves": Window((2, 2), (2, 2)),
    "halves, ceil": Window((2, 2), (2, 2), ceil=True),
    "overlapping": Window((3, 3), (2, 2), (1, 1)),
    "tall": Window((3, 1), (1, 2)),
    "wide": Window((1, 4), (3, 1), (0, 2)),
    "with gaps": Window((2, 2), (3, 4)),
    "padded": Window((4, 4), (4, 4), (2, 2)),
    "padded, ceil": Window((3, 4), (2, 3), (1, 2), ceil=True),
    "all of it": Window((6, 7), (6, 7)),
}
DILATED = {
    "dilated": Window((2, 3), (1, 2), (1, 1), (2, 2)),
    "dilated, ceil": Window((3, 2), (2, 3), (1, 0), (2, 1), ceil=True),
}
WINDOWS = PLAIN | DILATED
SHAPES = [(6, 7), (1, 6, 7), (2, 3, 9, 11)]
DTYPES = [np.float16, np.float32, np.float64]


def images(shape, dtype=np.float32, levels=None):
    x = np.random.default_rng(shape).normal(size=shape)
    return (x if levels is None else np.round(x * levels)).astype(dtype)


def agree_on_the_largest(x, window):
    """Values and winners to the bit, and what goes back."""
    y, winner = by_kernel(max_pool2d, x, window=window)
    wanted, first = by_forward(max_pool2d, x, window=window)
    assert (y.dtype, winner.dtype) == (wanted.dtype, first.dtype)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(winner, first)
    g, options = images(y.shape, x.dtype), {"size": x.shape[-2:], "window": window}
    dx, wanted = (by(unpick, g, winner, **options) for by in (by_kernel, by_forward))
    assert dx.dtype == x.dtype
    assert_close(dx, wanted, size=window.kernel[0] * window.kernel[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_the_largest_and_what_goes_back_are_those_of_the_forwards(cuda, name, shape, dtype):
    agree_on_the_largest(images(shape, dtype), WINDOWS[name])


@pytest.mark.parametrize("name", WINDOWS)
def test_of_equal_values_the_first_wins(cuda, name):
    agree_on_the_largest(images((2, 3, 9, 10), levels=1), WINDOWS[name])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.2, 1.0])
@pytest.mark.parametrize("name", WINDOWS)
def test_nan_comes_first_and_padding_never(cuda, name, share, value):
    x = images((2, 3, 9, 10))
    x[np.random.default_rng(1).random(x.shape) < share] = value
    agree_on_the_largest(x, WINDOWS[name])


def test_windows_in_the_padding_alone_have_no_winner(cuda):
    agree_on_the_largest(images((1, 4, 4)), Window((2, 2), (2, 2), (2, 2)))


@pytest.mark.parametrize("side", [15, 16, 17])
def test_winners_that_a_byte_cannot_tell_apart_are_wider(cuda, side):
    agree_on_the_largest(images((1, 20, 20)), Window((side, side), (1, 2)))


@pytest.mark.parametrize("name", PLAIN)
def test_places_beyond_what_int_counts_are_the_same(cuda, long_counts, name):
    agree_on_the_largest(images((2, 3, 9, 10)), PLAIN[name])
    options = {"window": PLAIN[name], "include_pad": False}
    y, wanted = (by(avg_pool2d, images((2, 9, 10)), **options) for by in (by_kernel, by_forward))
    assert_close(y, wanted, size=9)


def test_more_blocks_than_one_take_each_place_once(cuda):
    agree_on_the_largest(images((7, 33, 35)), WINDOWS["overlapping"])


@pytest.mark.parametrize("divisor", [None, 3])
@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
def test_means_and_what_goes_back_are_those_of_the_forwards(
    cuda, name, dtype, include_pad, divisor
):
    x, window = images((2, 3, 9, 11), dtype), PLAIN[name]
    options = {"window": window, "include_pad": include_pad, "divisor": divisor}
    y, wanted = (by(avg_pool2d, x, **options) for by in (by_kernel, by_forward))
    terms = window.kernel[0] * window.kernel[1]
    assert y.dtype == dtype
    assert_close(y, wanted, size=terms)
    g, options = images(y.shape, dtype), {"size": (9, 11)} | options
    dx, wanted = (by(avg_unpool2d, g, **options) for by in (by_kernel, by_forward))
    assert dx.dtype == dtype
    assert_close(dx, wanted, size=terms)


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[..., ::2]], ids=["turned", "stepped"])
def test_views_are_read_as_they_lie(cuda, view):
    x = view(images((8, 9, 3, 20)))
    agree_on_the_largest(x, WINDOWS["tall"])
    y, wanted = (by(avg_pool2d, x, window=PLAIN["tall"]) for by in (by_kernel, by_forward))
    assert_close(y, wanted)


def test_an_infinite_gradient_stays_where_it_belongs(cuda):
    x, window = images((1, 4, 4)), WINDOWS["halves"]
    winner = by_kernel(max_pool2d, x, window=window)[1]
    g = np.full(winner.shape, np.inf, np.float32)
    assert not np.isnan(by_kernel(unpick, g, winner, size=(4, 4), window=window)).any()


def test_what_the_kernels_do_not_serve_they_leave_to_the_forwards(cuda):
    x, window = images((2, 6, 6)), WINDOWS["overlapping"]
    winner = by_forward(max_pool2d, x, window=window)[1]
    g, back = images(winner.shape), {"size": (6, 6), "window": window}
    assert leaves_to_forward(max_pool2d, x[:0], window=window)
    assert leaves_to_forward(max_pool2d, x.astype(np.int32), window=window)
    assert leaves_to_forward(unpick, g, winner.astype(np.int32), **back)
    assert leaves_to_forward(unpick, g, winner[:1], **back)
    assert leaves_to_forward(unpick, g, winner, size=(8, 8), window=window)
    assert leaves_to_forward(avg_unpool2d, g, size=(8, 8), window=window)
    assert leaves_to_forward(avg_pool2d, x, window=WINDOWS["dilated"])
