"""Convolutions of CuPy's arrays by kernels and products, against the forwards."""

import numpy as np
import pytest
from cuda_calls.bodies import by_forward, by_kernel, leaves_to_forward
from cuda_on_cpu import available

from minigrad.kernels.cuda import conv
from minigrad.ops.conv import Geometry, conv2d, conv2d_bias, conv2d_input, conv2d_weight
from minigrad.testing import assert_close

pytestmark = pytest.mark.skipif(not available(), reason="kernels run on the CPU by g++ 12 or later")

DTYPES = [np.float16, np.float32, np.float64]
NONE = ((0, 0), (0, 0))
# by name: images, weights, and how the kernel moves
CASES = {
    "plain": ((2, 3, 7, 8), (4, 3, 3, 3), Geometry((1, 1), NONE, (1, 1), 1)),
    "padded": ((3, 2, 6, 5), (3, 2, 3, 3), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "strided": ((2, 2, 9, 8), (3, 2, 3, 2), Geometry((2, 3), ((1, 0), (0, 2)), (1, 1), 1)),
    "dilated": ((2, 2, 9, 9), (3, 2, 3, 2), Geometry((1, 2), ((2, 1), (1, 3)), (2, 3), 1)),
    "strided more than the kernel": ((2, 2, 9, 9), (3, 2, 2, 1), Geometry((3, 4), NONE, (1, 1), 1)),
    "in groups": ((2, 6, 5, 5), (4, 3, 2, 3), Geometry((1, 1), ((1, 1), (0, 1)), (1, 1), 2)),
    "by channel": ((3, 5, 6, 6), (10, 1, 3, 3), Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 5)),
    "of one image": ((1, 3, 9, 9), (2, 3, 3, 3), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "of one pixel": ((5, 3, 1, 1), (2, 3, 1, 1), Geometry((1, 1), NONE, (1, 1), 1)),
    "small and pointwise": ((3, 4, 5, 6), (6, 4, 1, 1), Geometry((1, 1), NONE, (1, 1), 1)),
    "pointwise": ((3, 4, 17, 16), (6, 4, 1, 1), Geometry((1, 1), NONE, (1, 1), 1)),
    "pointwise, in groups": ((2, 4, 16, 16), (6, 2, 1, 1), Geometry((1, 1), NONE, (1, 1), 2)),
    "pointwise and strided": ((2, 4, 17, 16), (3, 4, 1, 1), Geometry((2, 2), NONE, (1, 1), 1)),
    "many channels": ((2, 70, 3, 3), (3, 70, 2, 2), Geometry((1, 1), NONE, (1, 1), 1)),
    "many positions": ((3, 1, 33, 32), (2, 1, 3, 3), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
}


def drawn(name, dtype=np.float32):
    """Images, weights, a bias and outputs of a case, with its geometry."""
    (n, *shape), w_shape, geometry = CASES[name]
    rng = np.random.default_rng(len(name))
    y_shape = n, w_shape[0], *geometry.output_size(shape[1:], w_shape[2:])
    shapes = (n, *shape), w_shape, w_shape[:1], y_shape
    return *(rng.normal(size=s).astype(dtype) for s in shapes), geometry


def agree(function, arrays, terms, **statics):
    found, wanted = (by(function, *arrays, **statics) for by in (by_kernel, by_forward))
    assert found.dtype == arrays[0].dtype
    assert_close(found, wanted, size=terms)


def agree_on_all(name, dtype=np.float32, laid_out=lambda a: a):
    """Each of the four ops on one case."""
    *arrays, geometry = drawn(name, dtype)
    x, w, b, dy = map(laid_out, arrays)
    agree(conv2d, (x, w), w[0].size, geometry=geometry)
    agree(conv2d_bias, (x, w, b), w[0].size, geometry=geometry)
    agree(conv2d_input, (dy, w), w[:, 0].size, size=x.shape[2:], geometry=geometry)
    agree(conv2d_weight, (x, dy), dy[:, 0].size, kernel=w.shape[2:], geometry=geometry)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_each_op_gives_what_its_forward_gives(cuda, name, dtype):
    agree_on_all(name, dtype)


@pytest.mark.parametrize("name", ["strided", "dilated", "in groups", "many positions"])
def test_places_beyond_what_int_counts_are_the_same(cuda, long_counts, name):
    agree_on_all(name)


@pytest.fixture(params=[1, 1 << 9, 1 << 11, 1 << 13])
def little_memory(request, monkeypatch):
    """Patches of so many bytes at most, so that images are cut into blocks, and these into rows."""
    monkeypatch.setattr(conv, "PATCH_BYTES", request.param)
    conv._plan.cache_clear()
    yield
    conv._plan.cache_clear()


@pytest.mark.parametrize("name", CASES)
def test_blocks_of_images_and_of_rows_give_the_same(cuda, little_memory, name):
    agree_on_all(name)


@pytest.mark.parametrize("out", [(1, 1), (5, 7), (33, 32)])
@pytest.mark.parametrize("fits", [1, 31, 32, 100, 10_000])
@pytest.mark.parametrize("images", [1, 2, 33])
def test_blocks_hold_every_row_of_every_image_once_and_no_more_than_fits(images, fits, out):
    blocks, seen = conv._blocks(images, out, fits), np.zeros((images, out[0]), int)
    for block in blocks:
        seen[block.first : block.last, block.row : block.end] += 1
        rows = (block.last - block.first) * (block.end - block.row)
        assert rows * out[1] <= max(fits, out[1])
        assert block.last - block.first == 1 or (block.row, block.end) == (0, out[0])
    assert (seen == 1).all()


@pytest.mark.parametrize("name", ["padded", "in groups", "pointwise"])
@pytest.mark.parametrize(
    "laid_out", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]],
    ids=["turned", "stepped"],
)  # fmt: skip
def test_views_are_read_as_they_lie(cuda, name, laid_out):
    agree_on_all(name, laid_out=laid_out)


def test_an_infinite_weight_stays_out_of_what_it_does_not_see(cuda):
    x, w, _, dy, geometry = drawn("strided")
    w[0, 0, 0, 0], dy[0, 0, 0, 0], x[1, 1, 2, 2] = np.inf, np.nan, -np.inf
    agree(conv2d, (x, w), w[0].size, geometry=geometry)
    agree(conv2d_input, (dy, w), w[:, 0].size, size=x.shape[2:], geometry=geometry)
    agree(conv2d_weight, (x, dy), dy[:, 0].size, kernel=w.shape[2:], geometry=geometry)


def test_what_the_kernels_do_not_serve_they_leave_to_the_forwards(cuda):
    x, w, b, dy, geometry = drawn("padded")
    size, kernel = x.shape[2:], w.shape[2:]
    assert leaves_to_forward(conv2d, x.astype(np.float64), w, geometry=geometry)
    assert leaves_to_forward(conv2d, x[:0], w, geometry=geometry)
    assert leaves_to_forward(conv2d, x, w[:0], geometry=geometry)
    assert leaves_to_forward(conv2d, x[:, :1], w, geometry=geometry)
    assert leaves_to_forward(conv2d, x[0], w, geometry=geometry)
    assert leaves_to_forward(conv2d, x.astype(np.int32), w.astype(np.int32), geometry=geometry)
    assert leaves_to_forward(conv2d_bias, x, w, b[:1], geometry=geometry)
    assert leaves_to_forward(conv2d_input, dy, w, size=(9, 9), geometry=geometry)
    assert leaves_to_forward(conv2d_input, dy[:, :1], w, size=size, geometry=geometry)
    assert leaves_to_forward(conv2d_weight, x, dy[:, :, :2], kernel=kernel, geometry=geometry)
    assert leaves_to_forward(conv2d_weight, x[:1], dy, kernel=kernel, geometry=geometry)
    assert leaves_to_forward(conv2d, x, w, geometry=geometry._replace(groups=2))
