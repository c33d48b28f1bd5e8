"""The normalisations' kernels on CUDA, run on the CPU, beside the ops' forwards and float64."""

import cuda_on_cpu
import numpy as np
import pytest
from cuda_calls.norms_drawn import drawn, per_channel
from cuda_on_cpu import launched
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels.cuda import norms, norms_layers
from minigrad.kernels.cuda.norms_layout import layout_of, split_of
from minigrad.op import registry
from minigrad.testing import assert_close

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++ 12 or later")

PROMISED = 3e-6  # BatchNorm's contract: the worst error of y and dx at mean 1e4
IMAGES, MATRIX = (0, 2, 3), (0,)
SHAPES = {  # for each family of kernels, with one part and with several
    "warps": ((5, 3, 6, 6), IMAGES),
    "blocks": ((8, 2, 16, 16), IMAGES),
    "parts": ((3, 2, 64, 49), IMAGES),
    "matrix": ((130, 37), MATRIX),
    "matrix in parts": ((2100, 33), MATRIX),
    "few channels": ((1024, 3), MATRIX),
}
LAYERS = {
    "rows": ((5, 400), (1,), (1,)),
    "rows in parts": ((2, 8200), (1,), (1,)),
    "groups": ((3, 2, 5, 49), (2, 3), (1, 2)),
    "groups in parts": ((2, 1, 2, 8200), (2, 3), (1, 2)),
}
on_all = pytest.mark.parametrize(("shape", "axes"), SHAPES.values(), ids=SHAPES)
on_layers = pytest.mark.parametrize(("shape", "axes", "along"), LAYERS.values(), ids=LAYERS)


def kernel(xp, name, *arrays, **options):
    """What an op's kernel gives; it must serve the call."""
    found = registry[name].body(xp, *arrays, **options)  # loads the kernels
    assert registry[name].kernels["cuda"]
    (body,) = registry[name].kernels["cuda"]
    found = body(xp, *arrays, **options)
    assert found is not NotImplemented, "not served"
    return found


def forward(xp, name, *arrays, **options):
    return registry[name].forward(xp, *arrays, **options)


def both(xp, name, *arrays, **options):
    """What the kernel gives and what the forward gives, whose shapes and dtypes agree."""
    found, expected = kernel(xp, name, *arrays, **options), forward(xp, name, *arrays, **options)
    for a, b in zip(flat(found), flat(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    return found, expected


def flat(found):
    if not isinstance(found, tuple | list):
        return [found]
    return [each for part in found for each in flat(part)]


def assert_same(found, expected, size=1):
    for i, (a, b) in enumerate(zip(flat(found), flat(expected), strict=True)):
        assert_close(a.get(), b.get(), size=size, what=f"result {i}")


def mean_of(hint):
    m, d, _ = hint
    return (m.astype(np.float64) + d).astype(m.dtype)


def launches(run):
    """How many kernels a function launches."""
    launched.clear()
    run()
    return sum(launched.values())


# ---- launches


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize(
    ("shape", "axes", "each_way"),
    [
        ((5, 3, 6, 6), IMAGES, 1),
        ((8, 2, 16, 16), IMAGES, 1),
        ((3, 2, 64, 49), IMAGES, 2),
        ((130, 37), MATRIX, 1),
        ((2100, 33), MATRIX, 2),
        ((1024, 3), MATRIX, 2),
    ],
)
def test_batch_norm_takes_one_launch_each_way_or_two(standin, shape, axes, each_way, relu):
    x, dy = standin.asarray(drawn(shape)), standin.asarray(drawn(shape, seed=1))
    gamma, beta = standin.asarray(drawn((2, shape[1]), seed=2))
    name, options = f"batch_norm{'_relu' * relu}", {"axes": axes, "eps": 1e-5}
    (outputs, hint) = kernel(standin, name, x, gamma, beta, **options)
    out = outputs[:1] * relu
    (one,) = registry[name].kernels["cuda"]
    assert launches(lambda: one(standin, x, gamma, beta, **options)) == each_way
    kernel(standin, f"{name}_grad", x, gamma, *out, dy, hint=hint, **options)
    (back,) = registry[f"{name}_grad"].kernels["cuda"]
    run = lambda: back(standin, x, gamma, *out, dy, hint=hint, **options)  # noqa: E731
    assert launches(run) == each_way


@on_layers
def test_layer_norm_takes_two_launches_each_way_at_most(standin, shape, axes, along):
    x, dy = standin.asarray(drawn(shape)), standin.asarray(drawn(shape, seed=1))
    options = {"axes": axes, "along": along, "eps": 1e-5}
    _, hint = kernel(standin, "layer_norm", x, 1.0, 0.0, **options)
    kernel(standin, "layer_norm_grad", x, 1.0, dy, hint=hint, **options)
    (one,), (back,) = (registry[n].kernels["cuda"] for n in ("layer_norm", "layer_norm_grad"))
    assert launches(lambda: one(standin, x, 1.0, 0.0, **options)) <= 2
    assert launches(lambda: back(standin, x, 1.0, dy, hint=hint, **options)) == 2


# ---- layouts


LAYOUTS = {
    "channels last": lambda xp, a: xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(a, 1, -1)), -1, 1),
    "Fortran's order": lambda xp, a: xp.asfortranarray(a),
    "samples last": lambda xp, a: xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(a, 0, -1)), -1, 0),
    "every second number": lambda xp, a: xp.repeat(a, 2, -1)[..., ::2],
    "reversed": lambda xp, a: xp.ascontiguousarray(a[::-1])[::-1],
    "within a larger array": lambda xp, a: xp.pad(a, [(1, 1)] * a.ndim)[(slice(1, -1),) * a.ndim],
    "not aligned": lambda xp, a: xp.concatenate([a.reshape(-1)[:1], a.reshape(-1)])[1:].reshape(
        a.shape
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("shape", "axes"), [((6, 8, 4, 4), IMAGES), ((70, 36), MATRIX), ((4, 3, 5, 6), (2, 3))], ids=str
)
def test_any_order_in_memory_gives_the_same(standin, shape, axes, layout, dtype):
    lay, n = LAYOUTS[layout], per_channel(shape, axes)
    x, dy = (standin.asarray(drawn(shape, dtype, seed)) for seed in (1, 2))
    gamma, beta = standin.asarray(drawn((2, n), dtype, 3))
    options, size = {"axes": axes, "eps": 1e-5}, x.size // n
    (plain, hint) = forward(standin, "batch_norm_relu", x, gamma, beta, **options)
    (outputs, found) = kernel(standin, "batch_norm_relu", lay(standin, x), gamma, beta, **options)
    assert_same(outputs, plain, size)
    expected = forward(
        standin, "batch_norm_relu_grad", x, gamma, plain[0], dy, hint=hint, **options
    )
    for x_, out, dy_ in (  # each alike, and each by itself
        (lay(standin, x), lay(standin, plain[0]), lay(standin, dy)),
        (lay(standin, x), plain[0], dy),
        (x, plain[0], lay(standin, dy)),
    ):
        given = x_, gamma, out, dy_
        assert_same(
            kernel(standin, "batch_norm_relu_grad", *given, hint=found, **options), expected, size
        )
    given = lay(standin, x), outputs[1], abs(outputs[2]), gamma, beta
    assert_same(
        kernel(standin, "batch_norm_eval", *given, **options),
        forward(standin, "batch_norm_eval", x, *given[1:], **options),
        size,
    )


def test_results_lie_as_x_does(standin):
    x = LAYOUTS["channels last"](standin, standin.asarray(drawn((3, 5, 4, 4))))
    (outputs, hint) = kernel(standin, "batch_norm", x, 1.0, 0.0, axes=IMAGES, eps=1e-5)
    dx, *_ = kernel(standin, "batch_norm_grad", x, 1.0, x, axes=IMAGES, eps=1e-5, hint=hint)
    assert outputs[0].strides == dx.strides == x.strides


def test_a_gradient_that_repeats_itself(standin):
    x, one = standin.asarray(drawn((6, 8, 4, 4))), standin.asarray(drawn((8, 1, 4), seed=1))
    dy = standin.broadcast_to(one, x.shape)
    (_, hint) = kernel(standin, "batch_norm", x, 1.0, 0.0, axes=IMAGES, eps=1e-5)
    assert_same(*both(standin, "batch_norm_grad", x, 1.0, dy, axes=IMAGES, eps=1e-5, hint=hint))


# ---- numerics


@on_all
@pytest.mark.parametrize("far", [0, 1], ids=["", "far beginning"])
def test_a_large_mean_costs_no_digits(standin, shape, axes, far):
    x, dy = drawn(shape, seed=1, mean=1e4), drawn(shape, seed=2)
    x.reshape(-1)[: far * 40] = 0
    options = {"axes": axes, "eps": 1e-5}
    (outputs, hint) = kernel(standin, "batch_norm", standin.asarray(x), 1.0, 0.0, **options)
    found = kernel(
        standin, "batch_norm_grad", *map(standin.asarray, (x, np.ones(shape[1], "f4"), dy)),
        hint=hint, **options,
    )  # fmt: skip
    wide = x.astype(float)
    (y, _, var), exact = registry["batch_norm"].forward(np, wide, 1.0, 0.0, **options)
    dx, *_ = registry["batch_norm_grad"].forward(
        np, wide, 1.0, dy.astype(float), hint=exact, **options
    )
    scale = max(np.abs(y).max(), 1) if far else 1
    assert np.abs(outputs[0].get() - y).max() <= PROMISED * scale
    assert np.abs(found[0].get() - dx).max() <= PROMISED
    assert (np.abs(outputs[2].get() - var) <= PROMISED * var).all()


@on_layers
def test_a_large_mean_costs_layer_norm_no_digits(standin, shape, axes, along):
    x, dy = drawn(shape, seed=1, mean=1e4), drawn(shape, seed=2)
    options = {"axes": axes, "along": along, "eps": 1e-5}
    given = [standin.asarray(each) for each in (x, dy)]
    (outputs, hint) = kernel(standin, "layer_norm", given[0], 1.0, 0.0, **options)
    found = kernel(standin, "layer_norm_grad", given[0], 1.0, given[1], hint=hint, **options)
    wide = x.astype(float)
    (y, _, _), exact = registry["layer_norm"].forward(np, wide, 1.0, 0.0, **options)
    dx, *_ = registry["layer_norm_grad"].forward(
        np, wide, 1.0, dy.astype(float), hint=exact, **options
    )
    assert np.abs(outputs[0].get() - y).max() <= PROMISED
    assert np.abs(found[0].get() - dx).max() <= PROMISED


@on_all
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -100.1, 6e4])
def test_a_constant_channel_gives_exactly_bias(standin, shape, axes, constant, dtype):
    x, beta = np.full(shape, constant, dtype), drawn(shape[1], dtype)
    dy = standin.asarray(drawn(shape, dtype, 2))
    options = {"axes": axes, "eps": 1e-5}
    given = standin.asarray(x), standin.asarray(drawn(shape[1], dtype, 1)), standin.asarray(beta)
    (outputs, hint) = kernel(standin, "batch_norm", *given, **options)
    y, mean, var = (each.get() for each in outputs)
    assert (y == beta.reshape(1, -1, *[1] * (len(shape) - 2))).all()
    assert (mean == x.reshape(-1)[0]).all()
    assert (var == 0).all()
    _, dgamma, _ = kernel(standin, "batch_norm_grad", *given[:2], dy, hint=hint, **options)
    assert (dgamma.get() == 0).all()


@on_layers
def test_layer_norm_of_a_constant_is_exactly_bias(standin, shape, axes, along):
    n = int(np.prod([shape[i] for i in along]))
    x, beta = (standin.asarray(a) for a in (np.full(shape, 100.1, "f4"), drawn(n)))
    options = {"axes": axes, "along": along, "eps": 1e-5}
    (found, _), (plain, _) = both(standin, "layer_norm", x, 1.0, beta, **options)
    np.testing.assert_array_equal(found[0].get(), plain[0].get())
    assert (found[2].get() == 0).all()


@on_all
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, -1])
def test_a_bad_number_makes_its_channel_bad_and_no_other(standin, shape, axes, bad, row):
    x, dy = drawn(shape, seed=1), drawn(shape, seed=2)
    bad_x = x.copy()
    bad_x[row, 1] = bad
    options = {"axes": axes, "eps": 1e-5}
    good, spoilt, dy = map(standin.asarray, (x, bad_x, dy))
    others = np.arange(shape[1]) != 1
    for name in ("batch_norm", "batch_norm_relu"):
        (found, hint), (plain, plain_hint) = both(standin, name, spoilt, 1.0, 0.0, **options)
        assert_same(found, plain, x.size)
        assert_same(mean_of(hint), mean_of(plain_hint), x.size)
        (unspoilt, _) = kernel(standin, name, good, 1.0, 0.0, **options)
        for a, b in zip(found, unspoilt, strict=True):
            a, b = (np.moveaxis(v.get(), 1, 0) if v.ndim > 1 else v.get() for v in (a, b))
            assert a[others].tobytes() == b[others].tobytes()
        out = plain[:1] * name.endswith("relu")
        given = spoilt, 1.0, *out, dy
        assert_same(*both(standin, f"{name}_grad", *given, hint=hint, **options), x.size)


def test_a_gradient_that_is_bad_where_relu_let_nothing_through(standin):
    x = standin.asarray(drawn((40, 8)))
    options = {"axes": MATRIX, "eps": 1e-5}
    ((y, *_), hint) = kernel(standin, "batch_norm_relu", x, 1.0, 0.0, **options)
    dy = standin.where(y <= 0, np.inf, 1.0).astype(np.float32)
    found, plain = both(standin, "batch_norm_relu_grad", x, 1.0, y, dy, hint=hint, **options)
    assert np.isfinite(found[0].get()).all()
    assert_same(found, plain, 40)
    out = y.copy()
    out[3, 2] = np.nan  # lets through
    assert_same(*both(standin, "batch_norm_relu_grad", x, 1.0, out, x, hint=hint, **options), 40)


# ---- weights, statistics and hints


@on_all
@pytest.mark.parametrize(
    ("dtype", "weight"),
    [("float16", "float16"), ("float16", "float32"), ("float32", "float64"), ("float32", None)],
)
def test_weights_are_arrays_of_any_dtype_or_numbers(standin, shape, axes, dtype, weight):
    x, dy = (standin.asarray(drawn(shape, dtype, seed)) for seed in (1, 2))
    gamma, beta = (-1.5, 2) if weight is None else standin.asarray(drawn((2, shape[1]), weight))
    options, size = {"axes": axes, "eps": 0.1}, x.size // shape[1]
    (found, hint), (plain, _) = both(standin, "batch_norm", x, gamma, beta, **options)
    assert_same(found, plain, size)
    assert_same(*both(standin, "batch_norm_grad", x, gamma, dy, hint=hint, **options), size)


@on_all
def test_no_kernel_divides_by_weight(standin, shape, axes):
    x, dy = (standin.asarray(drawn(shape, seed=seed)) for seed in (1, 2))
    options = {"axes": axes, "eps": 1e-5}
    zero = standin.zeros(shape[1], np.float32)
    (found, hint), (plain, _) = both(standin, "batch_norm", x, zero, 1.0, **options)
    assert_same(found, plain, x.size)
    assert_same(*both(standin, "batch_norm_grad", x, zero, dy, hint=hint, **options), x.size)


@on_layers
@pytest.mark.parametrize("weight", ["float16", "float32", None])
def test_layer_norm_s_weights(standin, shape, axes, along, weight):
    n = int(np.prod([shape[i] for i in along]))
    x, dy = (standin.asarray(drawn(shape, "float16", seed)) for seed in (1, 2))
    gamma, beta = (0.5, 2) if weight is None else standin.asarray(drawn((2, n), weight, 3))
    options = {"axes": axes, "along": along, "eps": 0.1}
    (found, hint), (plain, plain_hint) = both(standin, "layer_norm", x, gamma, beta, **options)
    assert_same(found, plain, n)
    for each in (hint, plain_hint):
        given = x, gamma, dy
        assert_same(*both(standin, "layer_norm_grad", *given, hint=each, **options), x.size)


@on_all
def test_either_s_hint_serves_the_other(standin, shape, axes):
    x, dy = standin.asarray(drawn(shape, seed=1, mean=1e4)), standin.asarray(drawn(shape, seed=2))
    options, size = {"axes": axes, "eps": 1e-5}, x.size // shape[1]
    (_, hint), (_, plain) = both(standin, "batch_norm", x, 1.0, 0.0, **options)
    ours = kernel(standin, "batch_norm_grad", x, 1.0, dy, hint=plain, **options)
    theirs = forward(standin, "batch_norm_grad", x, 1.0, dy, hint=hint, **options)
    assert_same(ours, theirs, size)
    found, expected = both(standin, "batch_norm_sums", x, dy, hint=hint, **options)
    assert_same(found, expected, size)
    assert_same(found, ours[1:], size)


@on_all
@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize(
    ("dtype", "given"), [("float16", "float32"), ("float16", "float16"), ("float64", "float32")]
)
def test_given_statistics_normalise(standin, shape, axes, relu, dtype, given):
    x = standin.asarray(drawn(shape, dtype, 1))
    mean, var, gamma, beta = standin.asarray(np.abs(drawn((4, shape[1]), given, 2)))
    name = f"batch_norm{'_relu' * relu}_eval"
    assert_same(*both(standin, name, x, mean, var, gamma, beta, axes=axes, eps=1e-5))


def test_what_is_not_served_is_left_to_the_forwards(standin):
    x, empty = standin.asarray(drawn((4, 3))), standin.asarray(drawn((0, 3)))
    options = {"axes": MATRIX, "eps": 1e-5}
    (_, hint) = kernel(standin, "batch_norm", x, 1.0, 0.0, **options)
    for found in (
        norms.normalised(standin, empty, 1.0, 0.0, MATRIX, 1e-5, 0),
        norms.gradients(standin, x, 1.0, None, x, MATRIX, None),
        norms.gradients(standin, x, 1.0, None, x.astype(np.float64), MATRIX, hint),
        norms.gradients(standin, x[:, :2], 1.0, None, x[:, :2], MATRIX, hint),
        norms.gradients(standin, x, 1.0, None, x[:1], MATRIX, hint),
        norms.gradients(standin, x, 1.0, None, x.get(), MATRIX, hint),
        norms.normalised(standin, x, np.ones(3, np.float32), 0.0, MATRIX, 1e-5, 0),
        norms.normalised(standin, x, standin.ones(2), 0.0, MATRIX, 1e-5, 0),
        norms.evaluated(standin, x, *standin.ones((2, 3)), 1.0, 0.0, MATRIX, 1e-5, 0),
    ):
        assert found is NotImplemented
    for array, axes in ((empty, (1,)), (x, (0,))):
        with pytest.raises(norms.NotServedError):
            norms_layers.served(standin, array, axes, axes)
    y, mean, var = registry["batch_norm"].body(standin, empty, 1.0, 0.0, **options)[0]
    assert (y.shape, mean.shape, var.shape) == ((0, 3), (3,), (3,))


# ---- how arrays are split


@given(
    st.integers(1, 9),
    st.integers(1, 3000000),
    st.integers(1, 4096),
    st.integers(1, 200000),
)
def test_parts_cover_every_number_once(groups, count, inner, length):
    split = split_of(groups, count, inner, length)
    blocks, threads = split.blocks[0], split.threads
    assert blocks < 2**31
    assert threads[0] * threads[1] <= 1024
    numbers = [int(n) for n in split.geometry]
    parts, span = numbers[-2:]
    if split.family == "norm":
        assert numbers[:4] in ([groups * inner, inner, count, length], [groups * inner, 1, 1, 1])
        size, teams = count * length, numbers[0] * parts
        assert (blocks - 1) * threads[1] < teams <= blocks * threads[1]
    else:
        _, size, columns, channels = numbers[:4]
        assert size * columns == count * inner
        assert columns % channels == 0
        assert threads[0] * threads[1] % 32 == 0
    assert (parts - 1) * span < size <= parts * span


@pytest.mark.parametrize(
    ("shape", "order", "expected"),
    [
        ((2, 3, 4, 5), "C", (1, 2, 3, 20)),
        ((2, 3, 4, 5), "channels last", (1, 40, 3, 1)),
        ((2, 3, 4, 5), "F", (1, 20, 3, 2)),
        ((1, 3, 4, 5), "C", (1, 1, 3, 20)),
        ((2, 1, 4, 5), "C", (1, 1, 1, 40)),
        ((2, 3, 1, 1), "C", (1, 2, 3, 1)),
        ((1, 3, 1, 1), "C", (3, 1, 1, 1)),
    ],
)
def test_axes_that_lie_together_are_one(shape, order, expected):
    array = np.zeros(shape, order=order if len(order) == 1 else "C")
    if len(order) > 1:
        array = np.moveaxis(np.zeros((2, 4, 5, 3)), -1, 1)
    found = layout_of(array.shape, array.strides, 8, IMAGES)
    assert found is not None
    assert tuple(found[2:]) == expected
