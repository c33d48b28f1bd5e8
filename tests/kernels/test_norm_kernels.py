"""The kernels of the normalisations, beside the ops' own forwards and float64."""

import pickle

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

import minigrad as mg
from minigrad.kernels.cpu import norms
from minigrad.op import registry
from minigrad.ops.sums import kept_shape
from minigrad.testing import tolerance

PROMISED = 3e-6  # BatchNorm's contract: the worst error of y and dx at mean 1e4
BATCHES = {  # shape, axes: across the ends of blocks, spans, groups of neighbours and one thread
    "matrix of one row more than a block": ((33, 5), (0,)),
    "matrix of three rows": ((3, 130), (0,)),
    "matrix for several threads": ((700, 131), (0,)),
    "images": ((3, 5, 7, 7), (0, 2, 3)),
    "images of one pixel": ((9, 5, 1, 1), (0, 2, 3)),
    "more channels than neighbours": ((2, 37, 6, 6), (0, 2, 3)),
    "images for several threads": ((5, 67, 15, 15), (0, 2, 3)),
    "signals longer than a span": ((2, 3, 4100), (0, 2)),
    "volumes": ((2, 3, 2, 3, 5), (0, 2, 3, 4)),
    "instances": ((3, 5, 6, 6), (2, 3)),
    "ghost batches": ((2, 3, 5, 6, 6), (1, 3, 4)),
    "all together": ((4, 6, 5), (0, 1, 2)),
}
LAYERS = {  # shape, axes, along
    "rows": ((5, 7), (1,), (1,)),
    "rows of one more than a block": ((65, 3, 11), (2,), (2,)),
    "rows for several threads": ((300, 257), (1,), (1,)),
    "wide rows": ((33, 4100), (1,), (1,)),
    "pictures": ((6, 3, 5, 5), (1, 2, 3), (1, 2, 3)),
    "groups": ((3, 2, 5, 49), (2, 3), (1, 2)),
    "groups for several threads": ((9, 4, 8, 257), (2, 3), (1, 2)),
    "groups of vectors": ((70, 4, 5, 1), (2, 3), (1, 2)),
}
DTYPES = [np.float32, np.float64]


def drawn(shape, dtype, seed=0, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, shape).astype(dtype)


def channels(shape, axes):
    return int(np.prod(kept_shape(shape, axes)))


def both(name, *arrays, **statics):
    """What the kernel gives, and the op's own forward."""
    op = registry[name]
    (kernel,) = op.kernels["cpu"]
    found = kernel(np, *arrays, **statics)
    assert found is not NotImplemented, "not served"
    return found, op.forward(np, *arrays, **statics)


def assert_close(found, expected, bound=None):
    """Arrays of the same shapes and dtypes, whose values differ little beside the largest."""
    found, expected = ([a] if isinstance(a, np.ndarray) else list(a) for a in (found, expected))
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.flags.c_contiguous
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        scale = np.abs(b).max(initial=0, where=np.isfinite(b)) or 1
        assert np.abs(a - b).max(initial=0, where=np.isfinite(b)) <= scale * (
            bound or tolerance(a.dtype)
        )


def assert_hints_mean_the_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    (m, d, r), (n, e, s) = (
        [each.astype(np.float64) for each in hint] for hint in (found, expected)
    )
    assert_close(m + d, n + e, tolerance(found[0].dtype))
    assert_close(r, s, tolerance(found[0].dtype))


# ---- batch norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes"), BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
def test_batch_norm_is_its_forward_both_ways(shape, axes, dtype, relu):
    x, dy = drawn(shape, dtype, 1, 3.0, 2.0), drawn(shape, dtype, 2)
    gamma, beta = drawn((2, channels(shape, axes)), dtype, 3)
    name, statics = f"batch_norm{'_relu' * relu}", {"axes": axes, "eps": 1e-5}
    (outputs, hint), (plain, plain_hint) = both(name, x, gamma, beta, **statics)
    assert_close(outputs, plain)
    assert_hints_mean_the_same(hint, plain_hint)
    for each in (hint, plain_hint):  # either may meet the other's
        given = (plain[0],) * relu
        assert_close(*both(f"{name}_grad", x, gamma, *given, dy, hint=each, **statics))
        if not relu:
            assert_close(*both("batch_norm_sums", x, dy, hint=each, **statics))
    _, mean, var = plain
    assert_close(*both(f"{name}_eval", x, mean, var, gamma, beta, **statics))


@pytest.mark.parametrize("axes", [(0,), (0, 2)])
def test_numbers_stand_for_weight_and_bias(axes):
    x = drawn((6, 5) if axes == (0,) else (6, 5, 4), np.float32)
    dy = drawn(x.shape, np.float32, 1)
    (outputs, hint), (plain, _) = both("batch_norm", x, 1.0, 0.0, axes=axes, eps=0.1)
    assert_close(outputs, plain)
    assert_close(*both("batch_norm_grad", x, 1.0, dy, axes=axes, eps=0.1, hint=hint))


@pytest.mark.parametrize("shape", [(256, 70), (8, 7, 33, 33), (2, 3, 4100)], ids=str)
@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_a_large_mean_costs_no_digits(shape, mean):
    axes = (0, *range(2, len(shape)))
    x, dy = drawn(shape, np.float32, 1, mean), drawn(shape, np.float32, 2)
    ones, zeros = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
    statics = {"axes": axes, "eps": 1e-5}
    (outputs, hint), _ = both("batch_norm", x, ones, zeros, **statics)
    found, _ = both("batch_norm_grad", x, ones, dy, hint=hint, **statics)
    with mg.kernels(False):
        wide = [each.astype(np.float64) for each in (x, ones, zeros, dy)]
        (y, _, _), exact = registry["batch_norm"].forward(np, *wide[:3], **statics)
        dx, *_ = registry["batch_norm_grad"].forward(np, *wide[:2], wide[3], hint=exact, **statics)
    assert np.abs(outputs[0] - y).max() <= PROMISED
    assert np.abs(found[0] - dx).max() <= PROMISED


@pytest.mark.parametrize("shape", [(20000, 4), (3000, 4, 9, 9)], ids=str)
def test_a_beginning_far_from_the_mean_costs_no_digits(shape):
    x = drawn(shape, np.float32, 1, 1e4)
    far = 32 if len(shape) == 2 else 1
    x[:far] = 0  # what the shift is the mean of
    statics = {"axes": (0, *range(2, len(shape))), "eps": 1e-5}
    ((y, _, var), _), _ = both("batch_norm", x, 1.0, 0.0, **statics)
    assert_close(var, x.var(statics["axes"], dtype=np.float64).astype(np.float32), 5e-7)
    (exact, _, _), _ = registry["batch_norm"].forward(np, x.astype(float), 1.0, 0.0, **statics)
    assert_close(y[far:], exact[far:].astype(np.float32), 5e-7)


@pytest.mark.parametrize("constant", [0.0, 1e-45, 0.1, -100.1, 1e7 + 1, 3.3e12, 1.7e30])
@pytest.mark.parametrize("shape", [(300, 4), (64, 4, 28, 28), (2, 4, 5000)], ids=str)
def test_a_constant_channel_gives_exactly_bias_and_the_variance_0(shape, constant):
    axes = (0, *range(2, len(shape)))
    x, beta = np.full(shape, constant, np.float32), drawn(4, np.float32)
    (outputs, hint), _ = both("batch_norm", x, drawn(4, np.float32, 1), beta, axes=axes, eps=1e-5)
    y, mean, var = outputs
    assert (y == beta.reshape(1, 4, *[1] * len(axes[1:]))).all()
    assert (mean == np.float32(constant)).all()
    assert (var == 0).all()
    dy = drawn(shape, np.float32, 2)
    (_, dgamma, _), _ = both("batch_norm_grad", x, 1.0, dy, axes=axes, eps=1e-5, hint=hint)
    assert (dgamma == 0).all()


@pytest.mark.parametrize("scale", [1e-4, 1e-30, 1e15])
def test_a_small_or_large_spread_is_the_forward_s(scale):
    x = drawn((150, 3), np.float32, scale=scale)
    found, plain = both("batch_norm", x, 1.0, 0.0, axes=(0,), eps=1e-5)
    assert_close(found[0], plain[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 200])
@pytest.mark.parametrize("shape", [(300, 3), (300, 3, 2, 2)], ids=str)
def test_a_bad_number_makes_its_channel_bad_and_no_other(bad, row, shape):
    x, dy = drawn(shape, np.float32), drawn(shape, np.float32, 1)
    x[row, 1] = bad
    statics = {"axes": (0, *range(2, len(shape))), "eps": 1e-5}
    for name in ("batch_norm", "batch_norm_relu"):
        with np.errstate(all="ignore"):
            (outputs, hint), (plain, _) = both(name, x, 1.0, 0.0, **statics)
            assert np.isnan(outputs[0][:, 1]).all()
            assert np.isfinite(outputs[0][:, 0]).all()
            assert_close(outputs[0], plain[0])
            out = (plain[0],) * name.endswith("relu")
            assert_close(*both(f"{name}_grad", x, 1.0, *out, dy, hint=hint, **statics))


# ---- layer and group norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes", "along"), LAYERS.values(), ids=LAYERS)
def test_layer_norm_is_its_forward_both_ways(shape, axes, along, dtype):
    x, dy = drawn(shape, dtype, 1, 3.0, 2.0), drawn(shape, dtype, 2)
    gamma, beta = drawn((2, int(np.prod([shape[i] for i in along]))), dtype, 3)
    statics = {"axes": axes, "along": along, "eps": 1e-5}
    (outputs, hint), (plain, plain_hint) = both("layer_norm", x, gamma, beta, **statics)
    assert_close(outputs, plain)
    assert_hints_mean_the_same(hint, plain_hint)
    for each in (hint, plain_hint):
        assert_close(*both("layer_norm_grad", x, gamma, dy, hint=each, **statics))


@pytest.mark.parametrize(("shape", "axes", "along"), LAYERS.values(), ids=LAYERS)
def test_layer_norm_of_a_constant_is_exactly_bias(shape, axes, along):
    beta = drawn(int(np.prod([shape[i] for i in along])), np.float32)
    (outputs, _), (plain, _) = both(
        "layer_norm",
        *(np.full(shape, 100.1, np.float32), 1.0, beta),
        axes=axes,
        along=along,
        eps=1e-5,
    )
    np.testing.assert_array_equal(outputs[0], plain[0])
    assert (outputs[2] == 0).all()


def test_a_large_mean_costs_layer_norm_no_digits():
    x, dy = drawn((70, 400), np.float32, 1, 1e4), drawn((70, 400), np.float32, 2)
    statics = {"axes": (1,), "along": (1,), "eps": 1e-5}
    (outputs, hint), _ = both("layer_norm", x, 1.0, 0.0, **statics)
    found, _ = both("layer_norm_grad", x, 1.0, dy, hint=hint, **statics)
    wide = x.astype(np.float64)
    (y, _, _), exact = registry["layer_norm"].forward(np, wide, 1.0, 0.0, **statics)
    dx, *_ = registry["layer_norm_grad"].forward(
        np, wide, 1.0, dy.astype(np.float64), hint=exact, **statics
    )
    assert np.abs(outputs[0] - y).max() <= PROMISED
    assert np.abs(found[0] - dx).max() <= PROMISED


# ---- all


@pytest.mark.parametrize(("shape", "axes"), BATCHES.values(), ids=BATCHES)
def test_threads_change_no_bit_of_batch_norm(shape, axes, monkeypatch):
    monkeypatch.setattr(norms, "SMALL", 0)
    x, dy = drawn(shape, np.float32, 1, 1e3), drawn(shape, np.float32, 2)

    def run():
        statics = {"axes": axes, "eps": 1e-5}
        (outputs, hint), _ = both("batch_norm", x, 1.0, 0.0, **statics)
        found, _ = both("batch_norm_grad", x, 1.0, dy, hint=hint, **statics)
        return [*outputs, *found]

    assert_the_same_on_one_thread(run)


@pytest.mark.parametrize(("shape", "axes", "along"), LAYERS.values(), ids=LAYERS)
def test_threads_change_no_bit_of_layer_norm(shape, axes, along, monkeypatch):
    monkeypatch.setattr(norms, "SMALL", 0)
    x, dy = drawn(shape, np.float32, 1, 1e3), drawn(shape, np.float32, 2)

    def run():
        statics = {"axes": axes, "along": along, "eps": 1e-5}
        (outputs, hint), _ = both("layer_norm", x, 1.0, 0.0, **statics)
        found, _ = both("layer_norm_grad", x, 1.0, dy, hint=hint, **statics)
        return [*outputs, *found]

    assert_the_same_on_one_thread(run)


def assert_the_same_on_one_thread(run):
    several, before = run(), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = run()
    finally:
        numba.set_num_threads(before)
    for a, b in zip(several, one, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [norms.SMALL, norms.SMALL + 128])
def test_one_thread_and_several_give_the_same_bits(size, monkeypatch):
    x = drawn((size // 128, 128), np.float32)
    first, _ = both("batch_norm", x, 1.0, 0.0, axes=(0,), eps=1e-5)
    monkeypatch.setattr(norms, "SMALL", 0 if x.size <= norms.SMALL else x.size)
    other, _ = both("batch_norm", x, 1.0, 0.0, axes=(0,), eps=1e-5)
    for a, b in zip(first[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3, 3)], ids=str)
def test_other_memory_and_dtypes_run_on_the_forward(shape):
    axes, ones = (0, *range(2, len(shape))), np.ones(4, np.float32)
    (kernel,) = registry["batch_norm"].kernels["cpu"]
    x = drawn(shape, np.float32)
    odd = {
        "float16": (x.astype(np.float16), ones, ones),
        "transposed": (np.ascontiguousarray(x.T).T, ones, ones),
        "strided": (np.concatenate([x, x], -1)[..., ::2], ones, ones),
        "empty": (x[:0], ones, ones),
        "weights of another dtype": (x, ones.astype(np.float64), ones),
        "a number": (1.0, ones, ones),
    }
    for what, arrays in odd.items():
        assert kernel(np, *arrays, axes=axes, eps=1e-5) is NotImplemented, what
    assert kernel(np, x, ones, ones, axes=(1,), eps=1e-5) is NotImplemented or len(shape) == 2


def test_one_value_alone_has_no_gradient_that_rounding_could_blow_up():
    x, dy = drawn((7, 1), np.float32), drawn((7, 1), np.float32, 1)
    statics = {"axes": (1,), "along": (1,), "eps": 1e-5}
    gamma, beta = np.array([0.3], np.float32), np.array([0.7], np.float32)
    hint = registry["layer_norm"].body(np, x, gamma, beta, **statics)[1]
    dx, *_ = registry["layer_norm_grad"].body(np, x, gamma, dy, hint=hint, **statics)
    np.testing.assert_array_equal(dx, 0)


def test_read_only_input_and_a_repeated_gradient_are_served():
    x = drawn((6, 4, 3, 3), np.float32)
    x.flags.writeable = False
    statics = {"axes": (0, 2, 3), "eps": 1e-5}
    (outputs, hint), (plain, _) = both("batch_norm", x, 1.0, 0.0, **statics)
    assert_close(outputs, plain)
    dy = np.broadcast_to(np.float32(2), x.shape)
    found, expected = both("batch_norm_grad", x, 1.0, dy, hint=hint, **statics)
    assert np.abs(found[0]).max() <= PROMISED
    assert_close(found[2], expected[2])
    assert not x.flags.writeable


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm"])
def test_unpickled_arrays_are_served(name):
    x, weight, bias = drawn((6, 4), np.float32), drawn(4, np.float32, 1), drawn(4, np.float32, 2)
    statics = {"axes": (0,), "eps": 1e-5}
    if name == "layer_norm":
        statics = {"axes": (1,), "along": (1,), "eps": 1e-5}
    found, _ = both(name, x, weight, bias, **statics)
    loaded = [pickle.loads(pickle.dumps(each)) for each in (weight, bias)]
    same, _ = both(name, x, *loaded, **statics)
    dy = pickle.loads(pickle.dumps(x))
    both(f"{name}_grad", x, loaded[0], dy, hint=found[1], **statics)
    np.testing.assert_array_equal(found[0][0], same[0][0])


@pytest.mark.parametrize("shape", [(6, 3), (37, 130), (6, 3, 5, 7)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_bit_depends_on_where_arrays_begin(shape, dtype):
    arrays = [drawn(shape, dtype), drawn(shape[1], dtype, 1), drawn(shape[1], dtype, 2)]
    dy, statics = drawn(shape, dtype, 3), {"axes": (0, *range(2, len(shape))), "eps": 1e-5}

    def run(offset):
        x, weight, bias, dy_ = (placed(each, offset) for each in (*arrays, dy))
        (outputs, hint), _ = both("batch_norm", x, weight, bias, **statics)
        return [*outputs, *both("batch_norm_grad", x, weight, dy_, hint=hint, **statics)[0]]

    expected = run(0)
    for offset in (1, 3, 6):
        for a, b in zip(run(offset), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def placed(array, offset):
    """A copy that begins some numbers after a cache line does."""
    memory = np.empty(array.size + 32, array.dtype)
    start = -memory.ctypes.data % 64 // array.itemsize + offset
    copy = memory[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy


def test_kernels_may_be_switched_off_between_forward_and_backward():
    x = mg.tensor(drawn((40, 5), np.float32), requires_grad=True)
    weights = mg.ones(5, requires_grad=True), mg.zeros(5, requires_grad=True)
    dy = mg.tensor(drawn((40, 5), np.float32, 1))

    def step(forward_on, backward_on):
        with mg.kernels(forward_on):
            y = mg.nn.functional.batch_norm(x, None, None, *weights, training=True)
        with mg.kernels(backward_on):
            return [g.numpy() for g in mg.grad(y, [x, *weights], dy)]

    expected = step(False, False)
    for on in ((True, True), (True, False), (False, True)):
        assert_close(step(*on), expected)
