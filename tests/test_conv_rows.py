"""Convolutions that keep the width of small images, against sums over all taps."""

import itertools

import numpy as np
import pytest

from minigrad.modes import kernels
from minigrad.ops.conv import Geometry, conv2d_bias, conv2d_input, conv2d_weight
from minigrad.ops.rows import suits

CASES = {  # images, channels, outputs, size, kernel, padding, dilation, groups
    "same": (70, 16, 8, (8, 8), (3, 3), ((1, 1), (1, 1)), (1, 1), 1),
    "one channel": (3, 1, 1, (4, 4), (3, 3), ((1, 1), (1, 1)), (1, 1), 1),
    "more rows": (5, 3, 4, (6, 5), (3, 3), ((2, 0), (1, 1)), (1, 1), 1),
    "fewer rows": (5, 3, 4, (9, 5), (3, 3), ((0, 0), (1, 1)), (1, 1), 1),
    "uneven, dilated, groups": (5, 4, 6, (6, 7), (2, 3), ((0, 2), (1, 3)), (2, 2), 2),
    "narrower than the kernel": (4, 3, 2, (20, 1), (3, 5), ((1, 1), (2, 2)), (1, 1), 1),
    "1x1": (9, 5, 7, (6, 7), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
}


def by_taps(x, w, geometry):
    """Σ over the taps of the padded image, in float64."""
    x, w = np.pad(x.astype(float), ((0, 0), (0, 0), *geometry.padding)), w.astype(float)
    n, groups, (dh, dw) = len(x), geometry.groups, geometry.dilation
    (o, each, kh, kw), (height, width) = w.shape, x.shape[2:]
    oh, ow = height - dh * (kh - 1), width - dw * (kw - 1)
    x, w = x.reshape(n, groups, each, height, width), w.reshape(groups, -1, each, kh, kw)
    y = 0
    for i, j in itertools.product(range(kh), range(kw)):
        part = x[..., i * dh : i * dh + oh, j * dw : j * dw + ow]
        y = y + np.einsum("ngchw,goc->ngohw", part, w[..., i, j])
    return y.reshape(n, o, oh, ow)


def given(case, dtype):
    n, c, o, size, kernel, padding, dilation, groups = case
    numbers, geometry = np.random.default_rng(0), Geometry((1, 1), padding, dilation, groups)
    shapes = (n, c, *size), (o, c // groups, *kernel), (n, o, *geometry.output_size(size, kernel))
    return *(numbers.standard_normal(shape).astype(dtype) for shape in shapes), geometry


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_products_along_rows_are_the_convolution(case, dtype):
    x, w, dy, geometry = given(case, dtype)
    b = np.arange(len(w), dtype=dtype)
    assert suits(x, w, dy, w.shape[2:], geometry)
    with kernels(False):
        y, dx = conv2d_bias(x, w, b, geometry), conv2d_input(dy, w, x.shape[2:], geometry)
    atol = 200 * float(np.finfo(dtype).eps)
    expected = by_taps(x, w, geometry)
    np.testing.assert_allclose(y, expected + b[:, None, None], rtol=atol, atol=atol)
    with kernels(False):
        dw = conv2d_weight(x, dy, w.shape[2:], geometry)
    for at in [(0, 0, 0, 0), (-1, -1, -1, -1), (-1, 0, 0, -1)]:
        one = np.zeros_like(w)
        one[at] = 1
        assert abs(np.vdot(by_taps(x, one, geometry), dy) - dw[at]) <= 10 * atol
    # the adjoint: <conv(x), dy> = <x, dx>
    left, right = np.vdot(expected, dy), np.vdot(x.astype(float), dx)
    assert abs(left - right) <= atol * np.abs(x * dx).sum()
    for at in [(0, 0, 0, 0), (-1, -1, -1, -1), (0, -1, 1, 0)]:
        one = np.zeros_like(x)
        one[at] = 1
        assert abs(np.vdot(by_taps(one, w, geometry), dy) - dx[at]) <= 10 * atol


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_only_its_neighbours(value):
    x, w, _, geometry = given(CASES["same"], np.float32)
    x[0, 0, 3, 7] = value  # the next number is the next row's first
    with kernels(False), np.errstate(invalid="ignore"):
        y = conv2d_bias(x, w, np.zeros(len(w), np.float32), geometry)
    wrong = np.argwhere(~np.isfinite(y[:, 0]))
    assert {tuple(at) for at in wrong} == set(itertools.product([0], [2, 3, 4], [6, 7]))
