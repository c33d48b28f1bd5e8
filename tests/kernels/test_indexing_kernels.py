"""The kernel of what reading rows does backward, against the forward."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.index import unindex
from minigrad.testing import assert_close

numba = pytest.importorskip("numba")
kernels = pytest.importorskip("minigrad.kernels.cpu.indexing")

SHAPES = [(1,), (7,), (5, 3), (40, 2, 3), (700, 129), (3000, 64)]


def drawn(shape, count, dtype=np.float32):
    """Rows to add, and an index with duplicates, a part of it counted from the end."""
    rng = np.random.default_rng([*shape, *count])
    index = rng.integers(-shape[0], shape[0], count)
    return rng.normal(size=(*count, *shape[1:])).astype(dtype), index


def added(x, shape, key, on=True):
    with mg.kernels(on):
        return unindex(x, shape=shape, key=key)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [(1,), (50,), (3, 7), (2000,)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_are_added_as_the_forward_adds_them(shape, count, dtype):
    x, index = drawn(shape, count, dtype)
    for key in (index, (index,), index.astype(np.int32)):
        found = added(x, shape, key)
        assert found.dtype == dtype
        assert_close(found, added(x, shape, key, on=False))


def test_many_values_in_one_place_lose_no_digit():
    x = np.full((100_000, 2), 0.1, np.float32)
    found = added(x, (3, 2), np.ones(len(x), int))
    np.testing.assert_allclose(found[1], len(x) * float(np.float32(0.1)), rtol=1e-7)
    assert not found[[0, 2]].any()


def test_what_is_not_finite_stays_in_its_row():
    x, index = drawn((50, 4), (200,))
    x[3, 2], x[9, 0] = np.nan, np.inf
    assert_close(added(x, (50, 4), index), added(x, (50, 4), index, on=False))


@pytest.mark.parametrize("wrong", [50, -51, 10**6])
def test_an_index_out_of_range_is_the_forwards_error(wrong):
    x, index = drawn((50, 4), (200,))
    index[77] = wrong
    with pytest.raises(IndexError):
        added(x, (50, 4), index)


@pytest.mark.parametrize("key", [slice(0, 3), np.array([True, False, True, True, False]),
                                 (slice(None), np.array([0, 1, 1])), np.array([0, 2], np.uint64)],
                         ids=["slice", "mask", "second axis", "unsigned"])  # fmt: skip
def test_other_keys_are_left_to_the_forward(key):
    y = np.arange(20, dtype=np.float32).reshape(5, 4)
    added(*drawn((5, 4), (1,))[:1], (5, 4), np.array([0]))  # loads the kernels
    (kernel,) = unindex.op.kernels["cpu"]
    assert kernel(np, y[key], shape=(5, 4), key=key) is NotImplemented
    assert_close(added(y[key], (5, 4), key), added(y[key], (5, 4), key, on=False))


def test_threads_change_no_bit():
    x, index = drawn((3000, 64), (5000,))
    found, threads = [], numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            found.append(added(x, (3000, 64), index))
    finally:
        numba.set_num_threads(threads)
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
