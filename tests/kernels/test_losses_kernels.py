"""Kernels of cross-entropy against its forward: sizes about the blocks, odd data, odd labels."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.loss import cross_entropy, cross_entropy_grad
from minigrad.ops.reduce import log_softmax, softmax
from minigrad.testing import assert_close

numba = pytest.importorskip("numba")
kernels = pytest.importorskip("minigrad.kernels.cpu.losses")

SHAPES = [(1, 1), (1, 5), (64, 10), (7, 63), (7, 64), (5, 97), (3000, 11), (300, 257), (2, 40000)]
REDUCTIONS = ["mean", "sum", "none"]


def logits(shape, dtype=np.float32, scale=3.0, seed=0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(dtype)


def labels(shape, ignored=0.0):
    rng = np.random.default_rng(shape)
    found = rng.integers(0, shape[1], shape[0])
    found[rng.random(shape[0]) < ignored] = -100
    return found


def both(x, target, reduction="mean", dy=None):
    """Losses and gradients, by the kernels and without them."""
    options = {"ignore_index": -100, "reduction": reduction}
    if dy is None:
        dy = logits((len(x),), x.dtype) if reduction == "none" else np.asarray(1.5, x.dtype)
    found = []
    for on in (True, False):
        with mg.kernels(on):
            losses, hint = cross_entropy.op.body(np, x, target, **options)
            found.append(
                (losses, cross_entropy_grad.op.body(np, x, dy, target, **options, hint=hint))
            )
    return found


def agree(x, target, reduction="mean"):
    fast, plain = both(x, target, reduction)
    for a, b, what in zip(fast, plain, ("losses", "gradients"), strict=True):
        assert a.dtype == x.dtype
        assert_close(a, b, size=x.shape[1], what=what)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_losses_and_gradients_are_those_of_the_forward(shape, reduction, dtype):
    agree(logits(shape, dtype), labels(shape), reduction)
    agree(logits(shape, dtype), labels(shape, ignored=0.4), reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(64, 10), (3000, 20)], ids=str)
def test_a_hint_serves_the_other_way_of_computing(shape, reduction):
    x, target = logits(shape), labels(shape, ignored=0.3)
    options = {"ignore_index": -100, "reduction": reduction}
    dy = logits((len(x),)) if reduction == "none" else np.float32(1.5)
    (_, expected), _ = both(x, target, reduction, dy)
    for first in (True, False):
        with mg.kernels(first):
            _, hint = cross_entropy.op.body(np, x, target, **options)
        with mg.kernels(not first):
            found = cross_entropy_grad.op.body(np, x, dy, target, **options, hint=hint)
        assert_close(found, expected, size=x.shape[1])


@pytest.mark.parametrize("shape", [(6, 9), (3000, 20), (4, 300)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_what_is_not_finite_stays_in_its_row(shape, value):
    x = logits(shape)
    x[1, 2], x[3, -1] = value, value
    with np.errstate(invalid="ignore", divide="ignore"):
        for reduction in REDUCTIONS:
            agree(x, labels(shape), reduction)
        losses = both(x, labels(shape), "none", np.ones(len(x), np.float32))[0][0]
    assert np.isfinite(np.delete(losses, [1, 3])).all()


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_a_shift_of_all_logits_changes_nothing(offset):
    x = np.round(logits((200, 33)) * 64) / 64  # so that the shift is exact
    target = labels(x.shape)
    for a, b in zip(both(x + np.float32(offset), target)[0], both(x, target)[0], strict=True):
        assert_close(a, b, size=33)


def test_no_digit_is_lost_where_one_class_is_all_but_sure():
    x = np.zeros((4, 10), np.float32)
    x[:, 3] = [20.0, 50.0, 100.0, 12.0]
    target = np.full(4, 3)
    wide = both(x.astype(np.float64), target, "none", np.ones(4))[1]
    fast = both(x, target, "none", np.ones(4, np.float32))[0]
    for i in range(4):
        assert_close(fast[0][i], wide[0][i], dtype=np.float32)
        assert_close(fast[1][i], wide[1][i], dtype=np.float32)


def test_nothing_that_counts_gives_nan_for_a_mean_and_0_for_a_sum():
    x, target = logits((5, 3)), np.full(5, -100)
    assert np.isnan(both(x, target, "mean")[0][0])
    assert both(x, target, "sum")[0][0] == 0
    assert not both(x, target, "sum")[0][1].any()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_labels_of_any_integers_are_read(dtype):
    x, target = logits((40, 12)), labels((40, 12)).astype(dtype)
    agree(x, target)
    agree(x, np.repeat(target, 2)[::2])


@pytest.mark.parametrize("shape", [(6, 4), (3000, 20)], ids=str)
def test_a_label_beyond_the_classes_is_the_forwards_error(shape):
    target = labels(shape)
    target[3] = shape[1]
    with pytest.raises(IndexError):
        both(logits(shape), target)


UNSERVED = {
    "empty": logits((0, 3)),
    "of columns": logits((6, 4)).T.copy().T,
    "half": logits((6, 4), np.float16),
    "strided": logits((6, 8))[:, ::2],
}


@pytest.mark.parametrize("x", UNSERVED.values(), ids=UNSERVED)
def test_what_the_kernel_does_not_serve_it_leaves_to_the_forward(x):
    target = labels(x.shape) if len(x) else np.zeros(0, int)
    options = {"ignore_index": -100, "reduction": "sum"}
    cross_entropy(mg.tensor(logits((2, 2))), mg.tensor([0, 1]), **options)  # loads the kernels
    (kernel,) = cross_entropy.op.kernels["cpu"]
    assert kernel(np, x, target, **options) is NotImplemented
    if len(x):
        agree(x, target)


def test_threads_change_no_bit():
    x, target = logits((4096, 100)), labels((4096, 100), ignored=0.1)
    found = []
    threads = numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            found.append(both(x, target)[0])
    finally:
        numba.set_num_threads(threads)
    for losses, dx in found[1:]:
        assert losses == found[0][0]
        np.testing.assert_array_equal(dx, found[0][1])


@pytest.mark.parametrize("width", [32, 33, 64, 65, 97, 1000])
def test_the_largest_is_found_wherever_it_is(width):
    for at in range(width):
        row = np.full(width, -3, np.float32)
        row[at] = 2
        assert kernels._largest(row, np.empty(32, np.float32)) == 2


# ---- softmax along the last axis -----------------------------------------------------------------


@pytest.mark.parametrize("f", [softmax, log_softmax], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [*SHAPES, (7,), (3, 5, 130), (2, 0)], ids=str)
def test_softmax_and_its_logarithm_are_those_of_the_forwards(f, shape, dtype):
    x = logits(shape, dtype)
    for axis in (-1, len(shape) - 1, 0):
        with mg.kernels(True):
            fast = f(x, axis=axis)
        with mg.kernels(False):
            plain = f(x, axis=axis)
        assert fast.dtype == dtype
        assert_close(fast, plain, size=x.shape[-1])


@pytest.mark.parametrize("f", [softmax, log_softmax], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize("shape", [(6, 9), (3000, 20), (4, 300)], ids=str)
def test_softmax_of_what_is_not_finite_is_the_forwards(f, value, shape):
    x = logits(shape)
    x[1, 2], x[3, -1], x[2] = value, value, value
    found = []
    for on in (True, False):
        with mg.kernels(on), np.errstate(invalid="ignore", divide="ignore"):
            found.append(f(x, axis=-1))
    assert_close(*found, size=shape[1])
