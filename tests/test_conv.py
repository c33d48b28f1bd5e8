"""Convolution and pooling: against loops written here, against PyTorch, and their cost."""

import tracemalloc

import numpy as np
import pytest
from values import apart, normal

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, ShapeError
from minigrad.testing import assert_close, check_grads


def loop_conv2d(x, w, b, stride, padding, dilation, groups):
    """One product of numbers at a time; padding is ((top, bottom), (left, right))."""
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True)]
    size = [(n - s) // t + 1 for n, s, t in zip(x.shape[2:], span, stride, strict=True)]
    y = np.zeros((len(x), len(w), *size))
    for n, o, i, j in np.ndindex(y.shape):
        first = o // (len(w) // groups) * w.shape[1]
        for c, p, q in np.ndindex(w.shape[1:]):
            row, col = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
            y[n, o, i, j] += w[o, c, p, q] * x[n, first + c, row, col]
        y[n, o, i, j] += b[o]
    return y


CASES = {  # x, w, options of F.conv2d, padding as the loop takes it
    "plain": ((2, 3, 5, 6), (4, 3, 3, 2), {}, 0),
    "1x1": ((2, 3, 4, 4), (2, 3, 1, 1), {}, 0),
    "kernel as large as the image": ((2, 2, 3, 4), (3, 2, 3, 4), {}, 0),
    "stride": ((1, 2, 6, 7), (2, 2, 3, 3), {"stride": 2}, 0),
    "stride pair": ((1, 2, 6, 7), (2, 2, 3, 3), {"stride": (3, 1)}, 0),
    "stride with a rest": ((1, 1, 6, 8), (1, 1, 2, 3), {"stride": (3, 4)}, 0),
    "stride longer than the kernel": ((1, 1, 7, 7), (2, 1, 2, 2), {"stride": 3}, 0),
    "padding": ((1, 2, 4, 5), (2, 2, 3, 3), {"padding": 1}, ((1, 1), (1, 1))),
    "padding pair": ((1, 2, 4, 5), (2, 2, 3, 3), {"padding": (2, 0)}, ((2, 2), (0, 0))),
    "valid": ((1, 2, 4, 5), (2, 2, 3, 3), {"padding": "valid"}, 0),
    "same": ((1, 2, 4, 5), (2, 2, 3, 5), {"padding": "same"}, ((1, 1), (2, 2))),
    "same, even kernel": ((1, 2, 4, 5), (2, 2, 2, 4), {"padding": "same"}, ((0, 1), (1, 2))),
    "same, dilated": (
        (1, 1, 6, 6), (1, 1, 2, 3), {"padding": "same", "dilation": (3, 2)}, ((1, 2), (2, 2)),
    ),
    "dilation": ((1, 2, 6, 7), (2, 2, 3, 2), {"dilation": 2}, 0),
    "dilation pair": ((1, 2, 6, 7), (2, 2, 2, 3), {"dilation": (1, 3)}, 0),
    "groups": ((2, 4, 4, 4), (6, 2, 3, 2), {"groups": 2}, 0),
    "depthwise": ((2, 3, 4, 4), (3, 1, 2, 2), {"groups": 3}, 0),
    "depthwise, two each": ((2, 3, 4, 4), (6, 1, 2, 2), {"groups": 3}, 0),
    "everything": (
        (2, 4, 7, 6), (4, 2, 3, 2),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 3), "groups": 2}, ((1, 1), (2, 2)),
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "padding"), CASES.values(), ids=CASES
)


def both(value):
    return (value, value) if isinstance(value, int) else value


def data(x_shape, w_shape):
    return normal(*x_shape), normal(*w_shape, seed=1), normal(w_shape[0], seed=2)


@pytest.mark.pitfall("E52")
@every_case
def test_conv2d_is_the_loop(x_shape, w_shape, options, padding):
    x, w, b = data(x_shape, w_shape)
    expected = loop_conv2d(
        x, w, b, both(options.get("stride", 1)), padding or ((0, 0), (0, 0)),
        both(options.get("dilation", 1)), options.get("groups", 1),
    )  # fmt: skip
    y = F.conv2d(mg.tensor(x), mg.tensor(w), mg.tensor(b), **options)
    assert_close(y, expected, size=w[0].size)


@pytest.mark.pitfall("E52")
@every_case
def test_derivatives_of_conv2d(x_shape, w_shape, options, padding):
    inputs = data(x_shape, w_shape)
    check_grads(lambda x, w, b: F.conv2d(x, w, b, **options), inputs, order=2)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own
@every_case
def test_conv2d_and_its_gradients_are_torchs(x_shape, w_shape, options, padding):
    torch = pytest.importorskip("torch")
    ours = [mg.tensor(a, requires_grad=True) for a in data(x_shape, w_shape)]
    theirs = [torch.tensor(a, requires_grad=True) for a in data(x_shape, w_shape)]
    y, z = F.conv2d(*ours, **options), torch.nn.functional.conv2d(*theirs, **options)
    g = normal(*y.shape, seed=3)
    y.backward(g)
    z.backward(torch.tensor(g))
    assert_close(y, z.detach().numpy(), size=ours[1].size)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a.grad, b.grad.numpy(), size=y.size)


@pytest.mark.pitfall("E52")
def test_conv2d_of_an_input_that_is_not_contiguous():
    x, w, b = data((2, 3, 5, 6), (4, 3, 3, 2))
    turned = mg.tensor(x.transpose(3, 2, 1, 0).copy()).T
    backwards = mg.tensor(x[:, :, ::-1, ::-1].copy())[:, :, ::-1, ::-1]
    expected = F.conv2d(mg.tensor(x), mg.tensor(w), mg.tensor(b)).numpy()
    for view in (turned, backwards):
        assert not view.array.flags.c_contiguous
        assert_close(F.conv2d(view, mg.tensor(w), mg.tensor(b)), expected, size=w[0].size)


@pytest.mark.pitfall("E52")
def test_gradients_through_views_of_input_and_weight():
    x, w, _ = data((5, 6, 2, 2), (3, 2, 2, 3))
    check_grads(lambda x, w: F.conv2d(x.permute(2, 3, 0, 1), w.transpose(0, 3)), [x, w])


@pytest.mark.pitfall("E28")
def test_conv2d_of_no_images():
    x, w, b = (mg.ones(s, requires_grad=True) for s in ((0, 2, 5, 5), (3, 2, 2, 2), (3,)))
    y = F.conv2d(x, w, b)
    y.sum().backward()
    assert y.shape == (0, 3, 4, 4)
    assert x.grad.shape == (0, 2, 5, 5)
    assert (w.grad.numpy() == 0).all()
    assert (b.grad.numpy() == 0).all()


def test_more_images_than_fit_a_block_are_all_convolved():
    from minigrad.ops.conv import BLOCK_BYTES

    x, w = normal(5, 1, 64, 64), normal(1, 1, 15, 15)
    assert x[0].size * 225 * x.itemsize > BLOCK_BYTES
    whole = F.conv2d(mg.tensor(x), mg.tensor(w))
    for image, y in zip(x, whole.numpy(), strict=True):
        assert_close(F.conv2d(mg.tensor(image[None]), mg.tensor(w)), y[None], size=225)


def test_memory_stays_far_below_the_patch_matrix():
    images, channels, side, k = 64, 8, 32, 5
    matrix = images * channels * k * k * side * side * 4
    x = mg.randn(images, channels, side, side, requires_grad=True)
    w = mg.randn(channels, channels, k, k, requires_grad=True)
    tracemalloc.start()
    try:
        y = F.conv2d(x, w, padding="same")
        forward = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        y.backward(y.detach())
        backward = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert forward > y.array.nbytes  # NumPy's memory is counted
    assert forward < matrix / 4
    assert backward < matrix / 4


@pytest.mark.parametrize(
    ("needs_x", "needs_w", "ran"),
    [(True, False, {"conv2d_input"}), (False, True, {"conv2d_weight"}),
     (True, True, {"conv2d_input", "conv2d_weight"})],
)  # fmt: skip
def test_only_the_gradients_that_somebody_needs_are_computed(needs_x, needs_w, ran):
    x = mg.ones(1, 1, 3, 3, requires_grad=needs_x)
    w = mg.ones(1, 1, 2, 2, requires_grad=needs_w)
    y = F.conv2d(x, w).sum()
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        y.backward()
    assert {name for name in names if "conv2d" in name} == ran


def test_grad_with_respect_to_the_weight_leaves_the_input_out():
    x, w = mg.ones(1, 1, 3, 3, requires_grad=True), mg.ones(1, 1, 2, 2, requires_grad=True)
    y = F.conv2d(x, w).sum()
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        mg.grad(y, w)
    assert "conv2d_input" not in names


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_conv2d_keeps_the_dtype(dtype):
    arrays = data((2, 2, 4, 4), (2, 2, 3, 3))
    leaves = [mg.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y = F.conv2d(*leaves, padding=1)
    y.sum().backward()
    assert {y.dtype, *(t.grad.dtype for t in leaves)} == {np.dtype(dtype)}


X, W = (1, 2, 4, 5), (4, 2, 3, 3)
CONV_ERRORS = {
    "rank": ((2, 4, 5), W, {}, r"\(2, 4, 5\).*\(N, C, H, W\)"),
    "channels": ((1, 3, 4, 5), W, {}, r"3 channels.*2·1 = 2"),
    "groups": (X, (3, 1, 2, 2), {"groups": 2}, r"groups=2"),
    "kernel too large": (X, (1, 2, 5, 3), {}, r"\(5, 3\).*\(4, 5\)"),
    "dilated kernel too large": (X, W, {"dilation": 3}, r"dilation \(3, 3\)"),
    "same with a stride": (X, W, {"padding": "same", "stride": 2}, r"same.*stride 1"),
    "unknown padding": (X, W, {"padding": "full"}, r"'full'"),
    "negative padding": (X, W, {"padding": -1}, r"-1"),
    "zero stride": (X, W, {"stride": 0}, r"stride was given as 0"),
    "three strides": (X, W, {"stride": (1, 1, 1)}, r"stride was given as \(1, 1, 1\)"),
    "fractional stride": (X, W, {"stride": 1.5}, r"1\.5"),
    "zero dilation": (X, W, {"dilation": 0}, r"dilation was given as 0"),
}


@pytest.mark.pitfall("E52")
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "message"), CONV_ERRORS.values(), ids=CONV_ERRORS
)
def test_errors_of_conv2d(x_shape, w_shape, options, message):
    with pytest.raises(ShapeError, match=message):
        F.conv2d(mg.ones(x_shape), mg.ones(w_shape), **options)


@pytest.mark.parametrize("groups", [0, -1])
def test_groups_must_be_positive(groups):
    with pytest.raises(ShapeError, match="groups"):
        F.conv2d(mg.ones(1, 0, 4, 4), mg.ones(2, 1, 2, 2), groups=groups)


def test_a_bias_of_another_length_is_a_shape_error():
    with pytest.raises(ShapeError, match=r"3"):
        F.conv2d(mg.ones(X), mg.ones(W), mg.ones(3))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.conv2d(x, mg.ones(1, 1, 2, 2)),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2),
    ],
)
def test_integer_images_are_a_dtype_error(f):
    with pytest.raises(DTypeError, match=r"int64.*float"):
        f(mg.tensor(np.ones((1, 1, 3, 3), np.int64)))


# ---- pooling -------------------------------------------------------------------------------------

POOLS = {
    "halves": ((2, 3, 4, 6), (2,), {}),
    "a rest": ((2, 1, 5, 7), (2,), {}),
    "not square": ((1, 2, 6, 6), ((3, 2),), {}),
    "overlapping": ((1, 2, 6, 7), (3,), {"stride": 1}),
    "overlapping unevenly": ((1, 2, 6, 7), ((3, 2),), {"stride": (2, 1)}),
    "gaps": ((1, 1, 7, 7), (2,), {"stride": 3}),
    "padding": ((2, 2, 5, 5), (2,), {"padding": 1}),
    "padding pair": ((2, 2, 5, 6), ((3, 4),), {"stride": 2, "padding": (1, 2)}),
    "the whole image": ((2, 2, 3, 4), ((3, 4),), {}),
    "one pixel": ((1, 1, 3, 3), (1,), {}),
}
every_pool = pytest.mark.parametrize(("shape", "kernel", "options"), POOLS.values(), ids=POOLS)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@every_pool
def test_pools_and_their_gradients_are_torchs(name, shape, kernel, options):
    torch = pytest.importorskip("torch")
    a = apart(*shape)
    x, z = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = getattr(F, name)(x, *kernel, **options)
    other = getattr(torch.nn.functional, name)(z, *kernel, **options)
    g = normal(*y.shape)
    y.backward(g)
    other.backward(torch.tensor(g))
    assert_close(y, other.detach().numpy(), size=12)
    assert_close(x.grad, z.grad.numpy(), size=12)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@every_pool
def test_derivatives_of_pools(name, shape, kernel, options):
    check_grads(lambda x: getattr(F, name)(x * x, *kernel, **options), [apart(*shape)], order=2)


@pytest.mark.pitfall("E49")
@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"padding": 1}])
def test_of_equal_values_the_first_gets_the_whole_gradient(options):
    x = mg.zeros(1, 1, 4, 4, requires_grad=True)
    y = F.max_pool2d(x, 2, **options)
    y.sum().backward()
    assert x.grad.sum().item() == y.size
    assert x.grad.numpy()[0, 0, 0, 0] >= 1
    assert x.grad.numpy()[0, 0, 3, 3] == (1 if "padding" in options else 0)


@pytest.mark.pitfall("E49")
def test_the_first_of_equals_is_the_first_in_reading_order():
    x = mg.tensor([[[[0.0, 5.0], [5.0, 5.0]]]], requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]


def test_nan_wins_and_gets_the_gradient():
    x = mg.tensor([[[[1.0, np.nan], [9.0, np.nan]]]], requires_grad=True)
    y = F.max_pool2d(x, 2)
    y.sum().backward()
    assert np.isnan(y.item())
    assert x.grad.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]


def test_padding_never_wins_even_against_minus_infinity():
    x = mg.full((1, 1, 3, 3), -np.inf, requires_grad=True)
    y = F.max_pool2d(x, 2, padding=1)
    y.backward(mg.ones(y.shape))
    assert (y.numpy() == -np.inf).all()
    assert x.grad.sum().item() == y.size


@pytest.mark.parametrize("kernel", [16, 17])
def test_windows_of_more_offsets_than_a_byte_holds(kernel):
    a = apart(1, 1, kernel, kernel)
    x = mg.tensor(a, requires_grad=True)
    F.max_pool2d(x, kernel).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), a == a.max())


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pools_of_no_images(name):
    x = mg.zeros(0, 2, 4, 4, requires_grad=True)
    y = getattr(F, name)(x, 2)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 2, 2, 2), (0, 2, 4, 4))


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(
    ("shape", "kernel", "options", "message"),
    [
        ((2, 4, 4), 2, {}, r"\(2, 4, 4\).*\(N, C, H, W\)"),
        ((1, 1, 4, 4), 5, {}, r"\(5, 5\).*\(4, 4\)"),
        ((1, 1, 4, 4), 2, {"padding": 2}, r"padding \(2, 2\).*\(2, 2\).*half"),
        ((1, 1, 4, 4), 0, {}, r"kernel_size was given as 0"),
        ((1, 1, 4, 4), (2, 2, 2), {}, r"kernel_size was given as \(2, 2, 2\)"),
        ((1, 1, 4, 4), 2, {"stride": 0}, r"stride was given as 0"),
        ((1, 1, 4, 4), 2, {"padding": -1}, r"padding was given as -1"),
    ],
)
def test_errors_of_pools(name, shape, kernel, options, message):
    with pytest.raises(ShapeError, match=message):
        getattr(F, name)(mg.ones(shape), kernel, **options)
