"""The convolution kernels against their ops' forwards, and against float64."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from values import normal  # noqa: E402

from minigrad.kernels.cpu import blas, winograd  # noqa: E402
from minigrad.modes import kernels  # noqa: E402
from minigrad.op import registry  # noqa: E402
from minigrad.ops.conv import (  # noqa: E402
    Geometry,
    conv2d,
    conv2d_bias,
    conv2d_input,
    conv2d_weight,
)
from minigrad.testing import assert_close  # noqa: E402

pytestmark = pytest.mark.skipif(not blas.available, reason="NumPy has no OpenBLAS here")
NAMES = ["conv2d", "conv2d_bias", "conv2d_input", "conv2d_weight"]
SAME = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))

CASES = {  # images, channels, outputs, size, kernel, then stride, padding, dilation, groups
    "one pixel": (1, 1, 1, (1, 1), (1, 1), (1, 1), NONE, (1, 1), 1),
    "many small images": (65, 1, 16, (8, 8), (3, 3), (1, 1), SAME, (1, 1), 1),
    "a last block of one image": (65, 6, 5, (8, 7), (3, 3), (1, 1), SAME, (1, 1), 1),
    "many small images, work for two": (65, 16, 32, (8, 8), (3, 3), (1, 1), SAME, (1, 1), 1),
    "small images that shrink": (65, 6, 5, (8, 7), (3, 3), (1, 1), NONE, (1, 1), 1),
    "more outputs than inputs, shrinking": (9, 3, 20, (9, 10), (3, 3), (1, 1), NONE, (1, 1), 1),
    "as wide, with more rows": (5, 3, 4, (6, 5), (3, 3), (1, 1), ((3, 0), (1, 1)), (1, 1), 1),
    "as wide, uneven, dilated": (5, 4, 6, (6, 7), (2, 3), (1, 1), ((0, 2), (1, 3)), (2, 2), 2),
    "all padding on one side": (5, 4, 6, (6, 7), (3, 3), (1, 1), ((2, 0), (0, 2)), (1, 1), 1),
    "narrower than the kernel": (4, 3, 2, (20, 1), (3, 5), (1, 1), ((1, 1), (2, 2)), (1, 1), 1),
    "1x1 of small images": (9, 5, 7, (6, 7), (1, 1), (1, 1), NONE, (1, 1), 1),
    "tiles of rows": (2, 40, 3, (67, 31), (3, 3), (1, 1), SAME, (1, 1), 1),
    "tiles, stride 2": (3, 48, 5, (65, 40), (3, 3), (2, 2), SAME, (1, 1), 1),
    "more outputs than inputs": (9, 3, 20, (9, 10), (3, 3), (1, 1), SAME, (1, 1), 1),
    "stride 3, taps that skip phases": (5, 2, 3, (11, 13), (2, 2), (3, 3), NONE, (3, 1), 1),
    "a stride longer than the kernel": (5, 2, 3, (11, 13), (1, 2), (3, 4), NONE, (1, 1), 1),
    "rows that no tap reads": (3, 2, 2, (8, 9), (2, 2), (3, 4), NONE, (1, 1), 1),
    "uneven padding": (4, 2, 3, (6, 7), (3, 2), (2, 1), ((0, 3), (2, 1)), (1, 2), 1),
    "more padding than image": (3, 2, 2, (2, 1), (3, 3), (2, 2), ((4, 3), (5, 2)), (1, 1), 1),
    "padding beyond the kernel": (3, 2, 2, (4, 5), (2, 2), (1, 1), ((2, 2), (3, 1)), (1, 1), 1),
    "groups": (7, 6, 9, (9, 8), (3, 3), (1, 2), SAME, (2, 1), 3),
    "depthwise": (7, 4, 8, (9, 8), (3, 3), (1, 1), SAME, (1, 1), 4),
    "1x1": (9, 5, 7, (16, 17), (1, 1), (1, 1), NONE, (1, 1), 1),
    "1x1, groups": (3, 6, 4, (16, 17), (1, 1), (1, 1), NONE, (1, 1), 2),
    "1x1, stride 2": (9, 5, 7, (33, 32), (1, 1), (2, 2), NONE, (1, 1), 1),
    "Winograd, odd sides": (5, 33, 32, (7, 9), (3, 3), (1, 1), SAME, (1, 1), 1),
    "Winograd, tiles of rows": (2, 32, 33, (70, 41), (3, 3), (1, 1), NONE, (1, 1), 1),
    "Winograd, uneven padding": (9, 32, 32, (4, 5), (3, 3), (1, 1), ((1, 2), (2, 0)), (1, 1), 1),
    "no images": (0, 2, 3, (5, 5), (3, 3), (1, 1), SAME, (1, 1), 1),
}  # fmt: skip
WAYS = [
    "groups",
    "tiles, stride 2",
    "Winograd, odd sides",
    "1x1",
    "many small images, work for two",
]
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def data(case, dtype=np.float32):
    """A call of each op."""
    n, c, o, size, kernel, *options = case
    geometry = Geometry(*options)
    x, w = normal(n, c, *size), normal(o, c // geometry.groups, *kernel, seed=1)
    dy, b = normal(n, o, *geometry.output_size(size, kernel), seed=2), normal(o, seed=3)
    x, w, dy, b = (a.astype(dtype) for a in (x, w, dy, b))
    return {
        conv2d: (x, w, geometry),
        conv2d_bias: (x, w, b, geometry),
        conv2d_input: (dy, w, size, geometry),
        conv2d_weight: (x, dy, kernel, geometry),
    }


def widened(given):
    """The same call in float64."""
    return [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in given]


def close(got, exact, terms, floor=1e-7):
    """Within what sums of so many products of numbers of about 1 may lose in a dtype."""
    bound = max(floor, 4 * float(np.finfo(got.dtype).eps)) * max(1, terms) ** 0.5 * 8
    assert np.abs(got - exact).max(initial=0) <= bound, np.abs(got - exact).max()


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_give_what_their_forwards_give_in_float64(case, dtype):
    for op, given in data(case, dtype).items():
        with kernels(False):
            z = op(*widened(given))
        y = op(*given)
        assert (y.shape, y.dtype) == (z.shape, dtype), op.op.name
        assert y.flags.c_contiguous
        terms = given[0].size / max(1, given[0].shape[1]) if op is conv2d_weight else 9 * 64
        close(y, z, terms)


@every_case
def test_the_number_of_threads_changes_no_bit(case):
    several = numba.get_num_threads()
    if several == 1:
        pytest.skip("one thread")
    try:
        for op, given in data(case).items():
            numba.set_num_threads(1)
            alone = op(*given)
            numba.set_num_threads(several)
            np.testing.assert_array_equal(op(*given), alone)
    finally:
        numba.set_num_threads(several)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("position", [0, 1])
def test_what_is_not_finite_stays_where_it_belongs(name, value, position):
    """Zeros in the gaps of a frame, and Winograd's sums, must not spread it."""
    for op, given in data(CASES[name]).items():
        given = list(given)
        given[position] = given[position].copy()
        given[position].reshape(-1)[[3, -2]] = value
        with kernels(False), np.errstate(all="ignore"):
            z = op(*given)
        with np.errstate(all="ignore"):
            y = op(*given)
        assert not np.isfinite(z).all()
        np.testing.assert_array_equal(np.isfinite(y), np.isfinite(z), op.op.name)


@pytest.mark.parametrize("name", ["many small images", "tiles, stride 2", "Winograd, odd sides"])
@pytest.mark.parametrize(("mean", "scale"), [(1e6, 1.0), (0.0, 1e-4), (1e6, 0.0)])
def test_images_far_from_zero_cost_no_more_digits_than_their_size_does(name, mean, scale):
    n, c, o, size, kernel, *options = CASES[name]
    geometry = Geometry(*options)
    x = (mean + scale * normal(n, c, *size)).astype(np.float32)
    w = normal(o, c, *kernel, seed=1).astype(np.float32)
    y = conv2d(x, w, geometry)
    with kernels(False):
        z = conv2d(x.astype(np.float64), w.astype(np.float64), geometry)
        size_of_terms = conv2d(abs(x).astype(np.float64), abs(w).astype(np.float64), geometry)
    assert (np.abs(y - z) <= 4e-7 * size_of_terms).all()


@pytest.mark.parametrize("name", WAYS)
def test_inputs_that_are_not_contiguous(name):
    for op, given in data(CASES[name]).items():
        turned = [
            np.asfortranarray(a) if i != 1 else np.repeat(a, 2, 0)[::2]
            for i, a in enumerate(given)
            if isinstance(a, np.ndarray)
        ]
        np.testing.assert_array_equal(op(*turned, *given[len(turned) :]), op(*given))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_kernels_do_not_serve_is_left_to_the_forward(name):
    op = registry[name].call
    given = next(each for o, each in data(CASES["groups"], np.float16).items() if o is op)
    (body,) = op.op.kernels["cpu"]
    statics = dict(zip(op.op.statics, given[len(op.op.inputs) :], strict=True))
    assert body(np, *given[: len(op.op.inputs)], **statics) is NotImplemented
    assert op(*given).dtype == np.float16


def test_without_openblas_the_forwards_run(monkeypatch):
    monkeypatch.setattr(blas, "available", False)
    x, w, geometry = data(CASES["groups"])[conv2d]
    (body,) = conv2d.op.kernels["cpu"]
    assert body(np, x, w, geometry=geometry) is NotImplemented
    assert_close(conv2d(x, w, geometry), conv2d.forward(np, x, w, geometry=geometry), size=w.size)


def test_winograd_is_as_accurate_as_products_of_patches():
    case = 8, 64, 64, (16, 16), (3, 3), (1, 1), SAME, (1, 1), 1
    for op, given in data(case).items():
        fast = op(*given)
        with kernels(False):
            plain = op(*given)
            exact = op(*widened(given))
        error, usual = (np.sqrt(np.mean((y - exact) ** 2)) for y in (fast, plain))
        assert error < 3 * usual, (op.op.name, error, usual)


def test_winograd_serves_only_what_it_can():
    x = np.ones((1, 64, 8, 8), np.float32)
    plain = Geometry((1, 1), SAME, (1, 1), 1)
    assert winograd.serves(x, 64, 64, (3, 3), plain)
    assert not winograd.serves(x.astype(np.float64), 64, 64, (3, 3), plain)
    assert not winograd.serves(x, 64, 8, (3, 3), plain)
    assert not winograd.serves(x, 64, 64, (3, 5), plain)
    for other in ({"stride": (1, 2)}, {"dilation": (2, 1)}, {"groups": 2}):
        assert not winograd.serves(x, 64, 64, (3, 3), plain._replace(**other))


@pytest.mark.parametrize("op", [conv2d, conv2d_bias, conv2d_input, conv2d_weight])
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("other", [(), (3,), (7, 6, 9, 8, 1), (7, 5, 9, 8), (7, 6, 1, 1)])
def test_shapes_that_do_not_fit_reach_no_compiled_code(op, position, other):
    given = list(data(CASES["groups"])[op])
    given[position] = np.ones(other, np.float32)
    (body,) = op.op.kernels["cpu"]
    statics = dict(zip(op.op.statics, given[len(op.op.inputs) :], strict=True))
    assert body(np, *given[: len(op.op.inputs)], **statics) is NotImplemented
