"""Values added up at indices on the GPU: as the forwards add them, in an order of its own."""

import numpy as np
import pytest
from cuda_calls.bodies import by_forward, by_kernel, leaves_to_forward
from cuda_on_cpu import ORDERS, available, running

import minigrad as mg
from minigrad import backend
from minigrad.kernels.cuda import adding
from minigrad.ops.gather import ungather
from minigrad.ops.index import unindex
from minigrad.testing import assert_close

pytestmark = pytest.mark.skipif(not available(), reason="kernels run on the CPU by g++ 12 or later")

DTYPES = [np.float16, np.float32, np.float64]
WAYS = ["few", "sorted"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Whether each number looks through all indices, or these are sorted first."""
    monkeypatch.setattr(adding, "FEW", 1 << 30 if request.param == "few" else 0)
    return request.param


def drawn(shape, count, axis=0, dtype=np.float32):
    """Values to add, and an index with duplicates, a part of it counted from the end."""
    rng = np.random.default_rng([*shape, *count])
    index = rng.integers(-shape[axis], shape[axis], count)
    return rng.normal(size=(*shape[:axis], *count, *shape[axis + 1 :])).astype(dtype), index


def agree(x, shape, key, terms):
    found = by_kernel(unindex, x, shape=shape, key=key)
    assert found.dtype == x.dtype
    assert_close(found, by_forward(unindex, x, shape=shape, key=key), size=terms)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [(1,), (50,), (3, 7), (2049,)], ids=str)
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 3), (4, 2, 3), (300, 5), (9, 129)], ids=str)
def test_rows_are_added_as_the_forward_adds_them(cuda, way, shape, count, dtype):
    x, index = drawn(shape, count, dtype=dtype)
    agree(x, shape, index, max(index.size / shape[0], 1))


@pytest.mark.parametrize("shape", [(3, 70), (2, 5, 3, 2), (3, 9, 129)], ids=str)
def test_the_index_may_be_of_any_axis(cuda, way, shape):
    for axis in range(1, len(shape)):
        x, index = drawn(shape, (60,), axis)
        agree(x, shape, (*[slice(None)] * axis, index), 60)


KEYS = {
    "two axes": ((4, 5, 3), (np.array([0, 3, 0, -1]), np.array([[1], [4], [-4]]))),
    "apart": ((4, 5, 3), (np.array([0, 3, 0]), slice(None), np.array([1, -2, 1]))),
    "with a slice": ((4, 5, 3), (np.array([0, 3, 0]), slice(1, 4, 2))),
    "with a number": ((4, 5, 3), (2, np.array([0, 3, 0, 3, 1]))),
    "with a new axis": ((4, 5), (None, np.array([1, 1, 3]))),
    "the last axis": ((4, 5), (..., np.array([1, 1, 3]))),
    "small integers": ((300, 2), np.array([1, 1, 250], np.uint8)),
    "of int32": ((30, 2), np.array([1, 1, -25], np.int32)),
}


@pytest.mark.parametrize("name", KEYS)
def test_any_index_of_integers_is_served(cuda, way, name):
    shape, key = KEYS[name]
    x = np.random.default_rng(0).normal(size=np.zeros(shape)[key].shape).astype(np.float32)
    agree(x, shape, key, 4)


@pytest.mark.parametrize("rows", [255, 256, 257, 65_535, 65_537])
def test_rows_of_any_number_of_bytes_are_found(cuda, monkeypatch, rows):
    monkeypatch.setattr(adding, "FEW", 0)
    rng = np.random.default_rng(rows)
    index = rng.permutation(
        np.r_[rng.integers(0, rows, 40), [0, 0, rows - 1, rows - 1, 255 % rows]]
    )
    agree(rng.normal(size=len(index)).astype(np.float32), (rows,), index, 2)


def test_the_sort_keeps_the_order_of_equal_keys(cuda):
    xp = backend.named("cuda").xp
    keys = np.random.default_rng(0).integers(0, 700, 5000).astype(np.uint32)
    for order in ORDERS:
        with running(order=order):
            begins, places = adding._by_key(xp, xp.asarray(keys), 701)
        np.testing.assert_array_equal(places.get(), np.argsort(keys, kind="stable"))
        np.testing.assert_array_equal(begins.get(), np.searchsorted(np.sort(keys), np.arange(702)))


@pytest.mark.parametrize("rows", [2, 40])
def test_many_values_in_one_place_lose_no_digit(cuda, way, rows):
    x = np.full((10_000, 2), 0.1, np.float32)
    found = by_kernel(unindex, x, shape=(rows, 2), key=np.ones(len(x), int))
    np.testing.assert_allclose(found[1], len(x) * float(np.float32(0.1)), rtol=1e-7)
    assert not np.delete(found, 1, axis=0).any()


def test_what_is_not_finite_stays_in_its_row(cuda, way):
    x, index = drawn((50, 4), (200,))
    x[3, 2], x[9, 0] = np.nan, np.inf
    agree(x, (50, 4), index, 4)


def test_views_are_read_as_they_lie(cuda, way):
    x, index = drawn((5, 30), (40,))
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    agree(np.asfortranarray(x), (5, 30), index, 40)
    agree(wide, (5, 30), index, 40)


@pytest.mark.parametrize("key", [slice(0, 3), np.array([True, False, True, True, False]),
                                 (np.array([True, False, True, True, False]), np.array([0, 1, 1]))],
                         ids=["slice", "mask", "mask and index"])  # fmt: skip
def test_other_keys_are_left_to_the_forward(cuda, key):
    y = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert leaves_to_forward(unindex, y[key], shape=(5, 4), key=key)


def test_values_that_do_not_fit_or_hold_nothing_are_left_to_the_forward(cuda):
    x, index = drawn((5, 4), (6,))
    assert leaves_to_forward(unindex, x[:3], shape=(5, 4), key=index)
    assert leaves_to_forward(unindex, x.astype(np.int64), shape=(5, 4), key=index)
    assert leaves_to_forward(unindex, x[:0], shape=(5, 4), key=index[:0])
    assert leaves_to_forward(unindex, x, shape=(0, 4), key=index)


# ---- the backend's add_at ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KEYS)
def test_adding_in_place_gives_the_same_bits_in_any_order(cuda, way, name, dtype):
    shape, key = KEYS[name]
    place, found = backend.named("cuda"), []
    y = np.random.default_rng(1).normal(size=shape).astype(dtype)
    values = np.random.default_rng(2).normal(size=y[key].shape).astype(np.float32)
    there = tuple(
        place.xp.asarray(k) if isinstance(k, np.ndarray) else k
        for k in (key if isinstance(key, tuple) else (key,))
    )
    for order in ORDERS:
        with running(order=order):
            array = place.xp.asarray(y)
            place.add_at(array, there, place.xp.asarray(values))
            found.append(array.get())
    wanted = y.astype(np.float64)
    np.add.at(wanted, key, values)
    assert_close(found[0], wanted.astype(dtype), size=4, dtype=dtype)
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


def test_values_are_broadcast_where_they_are_added(cuda, way):
    place, y = backend.named("cuda"), np.ones((4, 3))
    array, index = place.xp.asarray(y), np.array([1, 1, 2])
    place.add_at(array, place.xp.asarray(index), place.xp.asarray(2.0))
    place.add_at(array, place.xp.asarray(index), place.xp.asarray(np.arange(3.0)))
    np.add.at(y, index, 2.0 + np.arange(3.0))
    np.testing.assert_array_equal(array.get(), y)


def test_an_array_that_is_a_view_is_added_to_where_it_lies(cuda, way):
    place, y = backend.named("cuda"), np.zeros((3, 4))
    array, index = place.xp.asarray(y), np.array([1, 1, 2])
    place.add_at(array.T, place.xp.asarray(index), place.xp.asarray(np.ones((3, 3))))
    np.add.at(y.T, index, 1.0)
    np.testing.assert_array_equal(array.get(), y)


def test_integers_are_added_too(cuda):
    place, index = backend.named("cuda"), np.array([1, 1, -1])
    for dtype in (np.int64, np.int32, np.uint8, np.int8):
        array = place.xp.asarray(np.arange(4).astype(dtype))
        place.add_at(array, place.xp.asarray(index), place.xp.asarray(np.array([3, 4, 5], dtype)))
        assert array.get().tolist() == [0, 8, 2, 8]


def test_ops_that_scatter_are_the_same_in_any_order(cuda, way):
    x, index = drawn((40, 6), (90,))
    index = np.broadcast_to(index[:, None] % 40, x.shape)
    xp, found = backend.named("cuda").xp, []
    for order in ORDERS:
        with running(order=order):
            y = ungather(xp.asarray(x), xp.asarray(index), shape=(40, 6), axis=0)
        found.append(y.get())
        np.testing.assert_array_equal(found[-1], found[0])
    with mg.kernels(False):
        plain = ungather(xp.asarray(x), xp.asarray(index), shape=(40, 6), axis=0)
    assert_close(found[0], plain.get(), size=4)
