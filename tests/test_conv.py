"""Convolution: against loops written here, against PyTorch, and its cost."""

import tracemalloc

import numpy as np
import pytest
from values import normal

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
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
    mg.memory().empty_cache()  # what is taken from the pool is not counted
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
    "rank": ((4, 5), W, {}, r"\(4, 5\).*\(N, C, H, W\) or \(C, H, W\)"),
    "an axis too many": ((1, 1, 2, 4, 5), W, {}, r"\(1, 1, 2, 4, 5\).*\(N, C, H, W\)"),
    "channels without a batch": ((3, 4, 5), W, {}, r"3 channels.*2·1 = 2"),
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
    "true as a stride": (X, W, {"stride": True}, r"stride was given as True"),
    "no kernel": (X, (4, 2, 0, 3), {}, r"kernel_size was given as \(0, 3\)"),
    "fractional groups": (X, W, {"groups": 1.0}, r"groups was given as 1\.0"),
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


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_integer_images_are_a_dtype_error(name):
    with pytest.raises(DTypeError, match=r"int64.*float"):
        getattr(F, name)(mg.tensor(np.ones((1, 1, 3, 3), np.int64)), mg.ones(1, 1, 2, 2))


# ---- sequences and single images -----------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (1,), (2,), (0,)])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1}, {"dilation": (2,), "groups": 2}, {"padding": "same"}],
)
def test_conv1d_is_conv2d_of_images_of_height_1(batch, options):
    groups = options.get("groups", 1)
    x, w, b = normal(*batch, 2, 7), normal(4, 2 // groups, 3, seed=1), normal(4, seed=2)
    wide = {"stride": (1, options.get("stride", 1)), "groups": groups}
    wide["padding"] = "same" if options.get("padding") == "same" else (0, options.get("padding", 0))
    wide["dilation"] = (1, *options.get("dilation", (1,)))
    y = F.conv1d(mg.tensor(x), mg.tensor(w), mg.tensor(b), **options)
    images, kernels = mg.tensor(x[..., None, :]), mg.tensor(w[:, :, None])
    expected = F.conv2d(images, kernels, mg.tensor(b), **wide).squeeze(-2)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    if x.size:
        check_grads(lambda *leaves: F.conv1d(*leaves, **options), [x, w, b], order=3)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_an_image_without_a_batch_is_a_batch_of_one(name):
    x, w, b = normal(2, 4, 5), normal(2, 2, 3, 2, seed=1), normal(2, seed=2)
    f = getattr(F, name)
    weights = mg.tensor(w), mg.tensor(b)
    expected = f(mg.tensor(x[None]), *weights).numpy()[0]
    np.testing.assert_array_equal(f(mg.tensor(x), *weights).numpy(), expected)


def test_sequences_and_kernels_are_not_copied_into_images():
    x, w = mg.ones(2, 3, 5), mg.ones(4, 3, 2)
    seen = []
    with mg.watch(lambda event: seen.append(event.name)):
        F.conv1d(x, w)
    assert sorted(seen) == ["conv2d", "reshape", "reshape", "reshape"]


# ---- transposed ----------------------------------------------------------------------------------

TRANSPOSED = {  # x, w, options of F.conv_transpose2d
    "plain": ((2, 2, 3, 4), (2, 3, 2, 3), {}),
    "a pixel": ((1, 1, 1, 1), (1, 2, 2, 3), {}),
    "stride": ((1, 2, 3, 2), (2, 1, 3, 2), {"stride": (2, 3)}),
    "padding": ((1, 2, 3, 4), (2, 2, 3, 3), {"padding": (1, 2)}),
    "doubles": ((1, 2, 3, 3), (2, 2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "zeros below": ((1, 1, 2, 2), (1, 1, 2, 2), {"stride": 3, "output_padding": (2, 1)}),
    "more than the stride": (
        (1, 1, 3, 3), (1, 1, 2, 2), {"padding": 1, "output_padding": 2, "dilation": 3},
    ),
    "groups": ((2, 4, 2, 3), (4, 2, 2, 2), {"groups": 2}),
    "everything": (
        (2, 4, 3, 4), (4, 1, 3, 2),
        {"stride": (2, 1), "padding": (1, 0), "output_padding": (2, 1), "groups": 2,
         "dilation": (3, 2)},
    ),
}  # fmt: skip
every_transposed = pytest.mark.parametrize(
    ("x_shape", "w_shape", "options"), TRANSPOSED.values(), ids=TRANSPOSED
)


def data_transposed(x_shape, w_shape, options):
    outputs = w_shape[1] * options.get("groups", 1)
    return normal(*x_shape), normal(*w_shape, seed=1), normal(outputs, seed=2)


def loop_conv_transpose2d(x, w, b, stride, padding, output_padding, groups, dilation):
    """Each pixel times each kernel, added up; then cut off, or filled up with zeros."""
    (n, c, h, width), each, kernel = x.shape, w.shape[1], w.shape[2:]
    whole = [
        (m - 1) * s + d * (k - 1) + 1
        for m, s, d, k in zip((h, width), stride, dilation, kernel, strict=True)
    ]
    y = np.zeros((n, each * groups, *[m + o for m, o in zip(whole, output_padding, strict=True)]))
    for m, i, p, q, o, k, j in np.ndindex(n, c, h, width, each, *kernel):
        row, column = p * stride[0] + k * dilation[0], q * stride[1] + j * dilation[1]
        y[m, i // (c // groups) * each + o, row, column] += x[m, i, p, q] * w[i, o, k, j]
    (top, left), (bottom, right) = padding, padding
    y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    return y + b[:, None, None]


@every_transposed
def test_conv_transpose2d_is_the_loop(x_shape, w_shape, options):
    x, w, b = data_transposed(x_shape, w_shape, options)
    defaults = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1} | options
    numbers = {name: both(value) for name, value in defaults.items() if name != "groups"}
    expected = loop_conv_transpose2d(x, w, b, groups=options.get("groups", 1), **numbers)
    y = F.conv_transpose2d(mg.tensor(x), mg.tensor(w), mg.tensor(b), **options)
    assert_close(y, expected, size=w.size)


@every_transposed
def test_derivatives_of_conv_transpose2d(x_shape, w_shape, options):
    inputs = data_transposed(x_shape, w_shape, options)
    check_grads(lambda x, w, b: F.conv_transpose2d(x, w, b, **options), inputs, order=3)


@every_transposed
def test_conv_transpose2d_is_the_adjoint_of_conv2d(x_shape, w_shape, options):
    """<conv2d(z), x> = <z, conv_transpose2d(x)>, where no row was added to the output."""
    options = {name: value for name, value in options.items() if name != "output_padding"}
    x, w, _ = data_transposed(x_shape, w_shape, options)
    y = F.conv_transpose2d(mg.tensor(x), mg.tensor(w), **options).numpy()
    z = normal(*y.shape, seed=3)
    there = F.conv2d(mg.tensor(z), mg.tensor(w), **options).numpy()
    assert_close((there * x).sum(), (z * y).sum(), size=z.size * w.size)


def test_conv_transpose2d_of_no_images():
    x, w, b = (mg.ones(s, requires_grad=True) for s in ((0, 2, 5, 5), (2, 3, 2, 2), (3,)))
    y = F.conv_transpose2d(x, w, b, stride=2)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 3, 10, 10), (0, 2, 5, 5))
    assert (w.grad.numpy() == 0).all()
    assert (b.grad.numpy() == 0).all()


TRANSPOSED_ERRORS = {
    "rank": ((4, 5), W, {}, r"\(4, 5\).*\(N, C, H, W\) or \(C, H, W\)"),
    "channels": ((1, 3, 4, 5), W, {}, r"3 channels.*\(4, 2, 3, 3\).*must be 4"),
    "groups": ((1, 4, 4, 5), W, {"groups": 3}, r"groups=3.*4, and that a multiple"),
    "output_padding": (
        (1, 4, 4, 5), W, {"output_padding": (1, 0)}, r"output_padding.*\(1, 0\).*\(1, 1\)",
    ),
    "words": ((1, 4, 4, 5), W, {"padding": "same"}, r"padding was given as 'same'"),
    "all cut off": ((1, 4, 1, 1), W, {"padding": 2}, r"\(1, 1\).*nothing is left.*less padding"),
    "zero stride": ((1, 4, 4, 5), W, {"stride": 0}, r"stride was given as 0"),
    "no pixels": ((1, 4, 0, 5), W, {}, r"\(0, 5\).*nothing is left"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "message"), TRANSPOSED_ERRORS.values(), ids=TRANSPOSED_ERRORS
)
def test_errors_of_conv_transpose2d(x_shape, w_shape, options, message):
    with pytest.raises(ShapeError, match=message):
        F.conv_transpose2d(mg.ones(x_shape), mg.ones(w_shape), **options)


def test_a_bias_of_conv_transpose2d_has_a_value_for_each_output():
    x, w = mg.ones(1, 4, 3, 3), mg.ones(4, 2, 2, 2)
    with pytest.raises(ShapeError, match=r"bias of shape \(2,\).*groups=2.*\(4,\)"):
        F.conv_transpose2d(x, w, mg.ones(2), groups=2)
    assert F.conv_transpose2d(x, w, mg.ones(4), groups=2).shape == (1, 4, 4, 4)


# ---- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size was given as 0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size was given as \(3, 3, 3\)"),
        ({"kernel_size": "3"}, "kernel_size was given as '3'"),
        ({"in_channels": 0}, "in_channels was given as 0"),
        ({"out_channels": 1.5}, r"out_channels was given as 1\.5"),
        ({"stride": 0}, "stride was given as 0"),
        ({"stride": True}, "stride was given as True"),
        ({"padding": -1}, "padding was given as -1"),
        ({"padding": 0.5}, r"padding was given as 0\.5"),
        ({"dilation": ()}, r"dilation was given as \(\)"),
        ({"groups": 3}, "4 input and 6 output channels for groups=3"),
        ({"groups": 0}, "groups was given as 0"),
        ({"padding_mode": "mirror"}, "padding_mode was given as 'mirror'"),
    ],
)
def test_options_are_checked_when_a_layer_is_made(kind, options, message):
    good = {"in_channels": 4, "out_channels": 6, "kernel_size": 3}
    with pytest.raises(ValueError, match=message):
        kind(**good | options)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d])
def test_same_with_a_stride_is_told_when_a_layer_is_made(kind):
    with pytest.raises(ShapeError, match=r'"same" needs stride 1, not 2'):
        kind(1, 1, 3, stride=2, padding="same")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_padding": 1}, r"output_padding was given as 1.*less than the stride \(1, 1\)"),
        ({"output_padding": -1}, "output_padding was given as -1"),
        ({"padding": "same"}, "padding was given as 'same'"),
        ({"padding_mode": "reflect"}, "'reflect'.*only 'zeros'"),
    ],
)
def test_options_of_conv_transpose2d_are_checked_when_it_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        nn.ConvTranspose2d(1, 1, 3, **options)


def test_more_border_than_there_is_image_to_take_it_from_is_told():
    with pytest.raises(ShapeError, match=r"reflect padding \(3, 3\).*length 3: give 0 to 2"):
        nn.Conv1d(1, 1, 3, padding=3, padding_mode="reflect")(mg.ones(1, 1, 3))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_border_of_another_kind_is_what_pad_makes(mode):
    layer = nn.Conv2d(2, 3, (2, 4), padding="same", dilation=(1, 2), padding_mode=mode)
    x = mg.tensor(normal(2, 2, 7, 8).astype("float32"))
    padded = mg.pad(x, (3, 3, 0, 1), mode=mode)
    expected = F.conv2d(padded, layer.weight, layer.bias, dilation=(1, 2))
    np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())
    assert layer(x).shape == (2, 3, 7, 8)
    assert layer(mg.ones(0, 2, 7, 8)).shape == (0, 3, 7, 8)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_derivatives_through_a_border(mode):
    layer = nn.Conv1d(2, 1, 3, padding=2, padding_mode=mode, dtype="float64")
    check_grads(layer, [normal(1, 2, 4)], order=3)


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (lambda: nn.Conv1d(1, 2, 3), "Conv1d(1, 2, kernel_size=(3,), stride=(1,))"),
        (
            lambda: nn.Conv2d(2, 4, 3, 2, 1, (1, 2), 2, False, "circular"),
            "Conv2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 2), "
            "groups=2, bias=False, padding_mode='circular')",
        ),
        (
            lambda: nn.Conv2d(2, 4, 3, padding="same"),
            "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding='same')",
        ),
        (
            lambda: nn.ConvTranspose2d(2, 4, 3, 2, 1, 1),
            "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
            "output_padding=(1, 1))",
        ),
    ],
)
def test_the_repr_shows_the_options_that_are_not_the_default(layer, shown):
    assert repr(layer()).startswith(shown)


def test_output_size_chooses_among_the_sizes_that_give_the_input():
    layer = nn.ConvTranspose2d(1, 2, 3, stride=(2, 3), padding=1)
    x = mg.ones(2, 1, 4, 5)
    assert layer(x).shape == (2, 2, 7, 13)
    assert layer(x, (8, 15)).shape == layer(x, [2, 2, 8, 15]).shape == (2, 2, 8, 15)
    assert layer(x[0], (2, 7, 14)).shape == (2, 7, 14)
    for wrong in ((6, 13), (9, 13), (7, 16)):
        with pytest.raises(ShapeError, match=r"output_size.*\(7, 13\) to \(8, 15\)"):
            layer(x, wrong)
    with pytest.raises(ShapeError, match=r"output_size was given as \(7,\)"):
        layer(x, (7,))


def test_output_size_is_torchs():
    torch = pytest.importorskip("torch")
    options = {"stride": 3, "padding": 1, "output_padding": 1, "dilation": 2}
    ours, theirs = (
        nn.ConvTranspose2d(2, 3, 2, **options),
        torch.nn.ConvTranspose2d(2, 3, 2, **options),
    )
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = normal(1, 2, 3, 4).astype("float32")
    for size in ((7, 10), (8, 12), (9, 11)):
        y = ours(mg.tensor(x), output_size=size)
        z = theirs(torch.tensor(x), output_size=size)
        assert_close(y, z.detach().numpy(), size=8)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (4, 1), (2, 3), (2, 2)])
def test_an_uneven_border_is_torchs(kernel, dilation):
    torch = pytest.importorskip("torch")
    for mode in ("zeros", "reflect", "replicate", "circular"):
        options = {"padding": "same", "dilation": dilation, "padding_mode": mode}
        ours, theirs = nn.Conv1d(1, 1, kernel, **options), torch.nn.Conv1d(1, 1, kernel, **options)
        ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
        x = normal(1, 1, 6).astype("float32")
        assert_close(ours(mg.tensor(x)), theirs(torch.tensor(x)).detach().numpy(), size=4)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d])
def test_layers_run_and_learn_on_every_device(kind, device):
    layer = kind(2, 2, 3, padding=1, device=device)
    x = mg.ones(2, 2, *[5] * (layer.weight.ndim - 2), device=device)
    layer(x).sum().backward()
    assert {p.grad.device for p in layer.parameters()} == {layer.weight.device}
    assert layer.weight.device.startswith(device)


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose2d"])
def test_a_weight_that_is_no_tensor_is_told(name):
    x = mg.ones(1, 1, 3) if name == "conv1d" else mg.ones(1, 1, 3, 3)
    with pytest.raises(DTypeError, match=rf"{name} got a list: give mg.tensor\(x\)"):
        getattr(F, name)(x, [[[[1.0]]]])
