"""Kernels of pooling against the forwards: every kind of window, ties, NaN, infinities."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.pool import Window, avg_pool2d, avg_unpool2d, max_pool2d, unpick
from minigrad.testing import assert_close

pytest.importorskip("numba")
kernels = pytest.importorskip("minigrad.kernels.cpu.pooling")

WINDOWS = {
    "halves": Window((2, 2), (2, 2)),
    "halves, ceil": Window((2, 2), (2, 2), ceil=True),
    "overlapping": Window((3, 3), (2, 2), (1, 1)),
    "tall": Window((3, 1), (1, 2)),
    "wide": Window((1, 4), (3, 1), (0, 2)),
    "with gaps": Window((2, 2), (3, 4)),
    "dilated": Window((2, 3), (1, 2), (1, 1), (2, 2)),
    "dilated, ceil": Window((3, 2), (2, 3), (1, 0), (2, 1), ceil=True),
    "padded": Window((4, 4), (4, 4), (2, 2)),
}
SHAPES = [(1, 6, 7), (2, 3, 8, 8), (3, 1, 9, 11), (130, 3, 8, 8), (3, 2, 160, 150)]


def images(shape, dtype=np.float32, levels=None):
    x = np.random.default_rng(shape).normal(size=shape)
    return (x if levels is None else np.round(x * levels)).astype(dtype)


def agree(x, window):
    """Values and winners, to the bit, and what goes back, by the kernels and without them."""
    g = images((*x.shape[:-2], *window.output_size(x.shape[-2:])), x.dtype)
    found = []
    for on in (True, False):
        with mg.kernels(on):
            y, winner = max_pool2d(x, window=window)
            dx = unpick(g, winner, size=x.shape[-2:], window=window)
        assert (y.dtype, winner.dtype, dx.dtype) == (x.dtype, np.uint8, x.dtype)
        found.append((y, winner, dx))
    fast, plain = found
    np.testing.assert_array_equal(fast[0], plain[0])
    np.testing.assert_array_equal(fast[1], plain[1])
    assert_close(fast[2], plain[2], size=window.kernel[0] * window.kernel[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_values_winners_and_gradients_are_those_of_the_forwards(name, shape, dtype):
    agree(images(shape, dtype), WINDOWS[name])


@pytest.mark.parametrize("name", WINDOWS)
def test_of_equal_values_the_first_wins(name):
    agree(images((2, 3, 9, 10), levels=1), WINDOWS[name])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.2, 1.0])
@pytest.mark.parametrize("name", WINDOWS)
def test_nan_comes_first_and_padding_never(name, share, value):
    x = images((2, 3, 9, 10))
    x[np.random.default_rng(1).random(x.shape) < share] = value
    agree(x, WINDOWS[name])


def test_a_nan_wins_whatever_comes_after():
    x = np.array([[np.nan, 9.0], [np.nan, 3.0]], np.float32)
    for order in ([0, 1], [1, 0]):
        y, winner = max_pool2d(x[order][None].copy(), window=WINDOWS["halves"])
        assert np.isnan(y).all()
        assert winner.item() == 0
    y, winner = max_pool2d(x[:, ::-1][None].copy(), window=WINDOWS["halves"])
    assert np.isnan(y).all()
    assert winner.item() == 1


def test_an_infinite_gradient_stays_where_it_belongs():
    x = images((1, 4, 4))
    winner = max_pool2d(x, window=WINDOWS["halves"])[1]
    g = np.full(winner.shape, np.inf, np.float32)
    assert not np.isnan(unpick(g, winner, size=(4, 4), window=WINDOWS["halves"])).any()


UNSERVED = {
    "empty": images((2, 0, 4, 4)),
    "strided": images((2, 3, 4, 8))[..., ::2],
    "half": images((3, 4, 4), np.float16),
}


@pytest.mark.parametrize("x", UNSERVED.values(), ids=UNSERVED)
def test_what_the_kernels_do_not_serve_they_leave_to_the_forwards(x):
    window = WINDOWS["overlapping"]
    max_pool2d(images((1, 4, 4)), window=window)  # loads the kernels
    (kernel,) = max_pool2d.op.kernels["cpu"]
    assert kernel(np, x, window=window) is NotImplemented
    agree(x, window)


def test_windows_of_more_than_256_offsets_are_the_forwards():
    x, window = images((1, 20, 20)), Window((17, 17), (1, 1))
    y, winner = max_pool2d(x, window=window)
    assert winner.dtype == np.int64
    assert y.shape == (1, 4, 4)


def test_winners_of_other_integers_go_back_as_well():
    x, window = images((2, 6, 6)), WINDOWS["overlapping"]
    winner = max_pool2d(x, window=window)[1]
    g = images(winner.shape)
    assert_close(
        unpick(g, winner.astype(np.int64), size=(6, 6), window=window),
        unpick(g, winner, size=(6, 6), window=window),
        size=9,
    )


# ---- means ---------------------------------------------------------------------------------------

UNDILATED = {name: window for name, window in WINDOWS.items() if window.dilation == (1, 1)}


def means_agree(x, window, **options):
    """Means, and what goes back, by the kernels and without them."""
    g = images((*x.shape[:-2], *window.output_size(x.shape[-2:])), x.dtype)
    found = []
    for on in (True, False):
        with mg.kernels(on):
            y = avg_pool2d(x, window=window, **options)
            found.append((y, avg_unpool2d(g, size=x.shape[-2:], window=window, **options)))
    for fast, plain in zip(*found, strict=True):
        assert fast.shape == plain.shape
        assert_close(fast, plain, size=window.kernel[0] * window.kernel[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", UNDILATED)
@pytest.mark.parametrize("include_pad", [True, False])
def test_means_and_their_gradients_are_those_of_the_forwards(include_pad, name, shape, dtype):
    means_agree(images(shape, dtype), UNDILATED[name], include_pad=include_pad)


@pytest.mark.parametrize("name", UNDILATED)
def test_a_divisor_takes_the_place_of_the_number_of_values(name):
    means_agree(images((2, 3, 9, 10)), UNDILATED[name], divisor=7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_spoils_the_windows_that_see_it_and_no_others(value):
    x = images((2, 9, 10))
    x[0, 4, 5] = value
    means_agree(x, WINDOWS["overlapping"])


@pytest.mark.parametrize("x", UNSERVED.values(), ids=UNSERVED)
def test_means_that_the_kernels_do_not_serve_are_the_forwards(x):
    avg_pool2d(images((1, 4, 4)), window=WINDOWS["halves"])  # loads the kernels
    (kernel,) = avg_pool2d.op.kernels["cpu"]
    assert kernel(np, x, window=WINDOWS["overlapping"]) is NotImplemented
    means_agree(x, WINDOWS["overlapping"])
