"""Pooling: against loops written here, against PyTorch, and at its edges."""

import numpy as np
import pytest
from values import apart, normal

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError
from minigrad.testing import assert_close, check_grads

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
    "ceil": ((1, 2, 5, 6), (2,), {"ceil_mode": True}),
    "ceil, a window that would start in the padding": (
        (1, 1, 4, 5), (2,), {"padding": 1, "ceil_mode": True},
    ),
    "ceil, the kernel larger than the image": (
        (1, 1, 3, 2), ((4, 3),), {"stride": (3, 1), "padding": (0, 1), "ceil_mode": True},
    ),
    "ceil, beyond the padding": (
        (2, 1, 5, 7), (3,), {"stride": 3, "padding": 1, "ceil_mode": True},
    ),
    "an image alone": ((2, 5, 4), (2,), {"stride": 1, "padding": 1}),
}  # fmt: skip
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
        ((4, 4), 2, {}, r"\(4, 4\).*\(N, C, H, W\) or \(C, H, W\)"),
        ((1, 1, 1, 4, 4), 2, {}, r"\(1, 1, 1, 4, 4\).*\(N, C, H, W\)"),
        ((1, 1, 4, 4), True, {}, r"kernel_size was given as True"),
        ((1, 1, 4, 4), 6, {"stride": 1, "ceil_mode": True}, r"\(6, 6\).*\(4, 4\)"),
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


# ---- max: dilation and indices -------------------------------------------------------------------

SPREAD = {
    "dilation": ((1, 2, 6, 7), (2,), {"dilation": 2}),
    "dilation pair": ((1, 2, 5, 8), ((3, 2),), {"dilation": (1, 4), "stride": 1}),
    "dilation and padding": ((1, 1, 5, 6), (3,), {"dilation": 2, "padding": 1, "stride": 2}),
    "dilation and ceil": ((1, 1, 6, 7), (2,), {"dilation": 2, "stride": 3, "ceil_mode": True}),
}


@pytest.mark.parametrize(
    ("shape", "kernel", "options"), (POOLS | SPREAD).values(), ids=POOLS | SPREAD
)
def test_the_indices_and_values_of_max_pooling_are_torchs(shape, kernel, options):
    torch = pytest.importorskip("torch")
    a = apart(*shape)
    y, at = F.max_pool2d(mg.tensor(a, requires_grad=True), *kernel, **options, return_indices=True)
    layer = nn.MaxPool2d(*kernel, **options, return_indices=True)
    z, wanted = torch.nn.functional.max_pool2d(
        torch.tensor(a), *kernel, **options, return_indices=True
    )
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    np.testing.assert_array_equal(at.numpy(), wanted.numpy())
    np.testing.assert_array_equal(layer(mg.tensor(a))[1].numpy(), wanted.numpy())
    assert at.dtype == mg.int64
    assert y.requires_grad
    assert not at.requires_grad


@pytest.mark.parametrize(("shape", "kernel", "options"), SPREAD.values(), ids=SPREAD)
def test_derivatives_of_max_pooling_with_dilation(shape, kernel, options):
    check_grads(lambda x: F.max_pool2d(x * x, *kernel, **options), [apart(*shape)], order=3)


def test_indices_of_no_images():
    y, at = F.max_pool2d(mg.zeros(0, 2, 4, 4), 2, return_indices=True)
    assert y.shape == at.shape == (0, 2, 2, 2)


def test_indices_read_the_values_out_of_the_image(device):
    a = apart(2, 3, 5, 6)
    x = mg.tensor(a, device=device)
    y, at = F.max_pool2d(x, (2, 3), 1, (1, 0), return_indices=True)
    assert at.device == x.device
    read = np.take_along_axis(a.reshape(2, 3, -1), at.cpu().numpy().reshape(2, 3, -1), -1)
    np.testing.assert_array_equal(read.reshape(y.shape), y.cpu().numpy())


@pytest.mark.parametrize(("side", "stride"), [(4, 1), (3, 2)])
def test_a_window_that_would_see_no_pixel_is_told(side, stride):
    options = {"stride": stride, "padding": 1, "ceil_mode": True}
    with pytest.raises(ShapeError, match=rf"dilation 5.*length {side}"):
        F.max_pool2d(mg.ones(1, 1, side, side), 2, dilation=5, **options)


# ---- mean: what it divides by --------------------------------------------------------------------


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("divisor", [None, 3, -1])
@every_pool
def test_what_a_mean_divides_by_is_torchs(shape, kernel, options, include, divisor):
    torch = pytest.importorskip("torch")
    options = options | {"count_include_pad": include, "divisor_override": divisor}
    a = normal(*shape)
    x, z = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = F.avg_pool2d(x, *kernel, **options)
    other = torch.nn.functional.avg_pool2d(z, *kernel, **options)
    g = normal(*y.shape)
    y.backward(g)
    other.backward(torch.tensor(g))
    assert_close(y, other.detach().numpy(), size=12)
    assert_close(x.grad, z.grad.numpy(), size=12)
    np.testing.assert_array_equal(nn.AvgPool2d(*kernel, **options)(x).numpy(), y.numpy())


def test_a_mean_of_ones_is_one_where_only_the_image_counts():
    for options in ({"padding": 1}, {"padding": 1, "ceil_mode": True}, {"ceil_mode": True}):
        y = F.avg_pool2d(mg.ones(1, 1, 5, 6), 3, 2, **options, count_include_pad=False)
        np.testing.assert_array_equal(y.numpy(), np.ones(y.shape))


@pytest.mark.parametrize("include", [True, False])
def test_derivatives_of_a_mean_with_uneven_windows(include):
    def pool(x):
        return F.avg_pool2d(x * x, 3, 2, 1, True, include)

    check_grads(pool, [normal(1, 2, 4, 5)], order=3)


@pytest.mark.parametrize("divisor", [0, 1.5, True, "2"])
def test_a_bad_divisor_is_told(divisor):
    with pytest.raises(ValueError, match="divisor_override was given as"):
        F.avg_pool2d(mg.ones(1, 1, 2, 2), 2, divisor_override=divisor)
    with pytest.raises(ValueError, match="divisor_override was given as"):
        nn.AvgPool2d(2, divisor_override=divisor)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_pools_keep_the_dtype(dtype):
    x = mg.tensor(normal(1, 1, 5, 5).astype(dtype), requires_grad=True)
    for y in (
        F.max_pool2d(x, 2),
        F.avg_pool2d(x, 2, ceil_mode=True),
        F.avg_pool2d(x, 2, divisor_override=np.int64(3)),
        F.adaptive_avg_pool2d(x, (2, 3)),
    ):
        x.grad = None
        y.sum().backward()
        assert (y.dtype, x.grad.dtype) == (dtype, dtype)


# ---- adaptive ------------------------------------------------------------------------------------

GRIDS = [
    ((2, 3, 4, 6), (2, 3)),
    ((1, 2, 5, 7), (3, 2)),
    ((1, 2, 5, 7), 1),
    ((2, 2, 3, 4), (5, 9)),
    ((2, 5, 6), (None, 4)),
    ((1, 1, 6, 5), (None, None)),
    ((1, 1, 13, 28), 7),
]


def loop_adaptive(x, height, width):
    """One cell at a time, with floor and ceiling of the exact quotients."""
    y = np.empty((*x.shape[:-2], height, width))
    for i, j in np.ndindex(height, width):
        top, bottom = i * x.shape[-2] // height, -(-(i + 1) * x.shape[-2] // height)
        left, right = j * x.shape[-1] // width, -(-(j + 1) * x.shape[-1] // width)
        y[..., i, j] = x[..., top:bottom, left:right].mean((-2, -1))
    return y


@pytest.mark.parametrize(("shape", "grid"), GRIDS)
def test_adaptive_pooling_is_the_loop_and_torchs(shape, grid):
    torch = pytest.importorskip("torch")
    a = normal(*shape)
    x, z = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y, other = F.adaptive_avg_pool2d(x, grid), torch.nn.functional.adaptive_avg_pool2d(z, grid)
    g = normal(*y.shape)
    y.backward(g)
    other.backward(torch.tensor(g))
    assert_close(y, loop_adaptive(a, *y.shape[-2:]), size=12)
    assert_close(y, other.detach().numpy(), size=12)
    assert_close(x.grad, z.grad.numpy(), size=12)
    np.testing.assert_array_equal(nn.AdaptiveAvgPool2d(grid)(x).numpy(), y.numpy())


@pytest.mark.parametrize(("shape", "grid"), GRIDS[:5])
def test_derivatives_of_adaptive_pooling(shape, grid):
    check_grads(lambda x: F.adaptive_avg_pool2d(x * x, grid), [normal(*shape)], order=3)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("grid", [(2, 2), (3, 2), (4, 5), (7, 6)])
def test_what_is_not_finite_stays_in_the_cells_that_see_it(odd, grid):
    torch = pytest.importorskip("torch")
    a = normal(1, 1, 5, 6)
    a[0, 0, 2, 3] = odd
    y = F.adaptive_avg_pool2d(mg.tensor(a), grid).numpy()
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(a), grid).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    assert not np.isfinite(y).all()
    assert np.isfinite(y).any()


@pytest.mark.parametrize("odd", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_stays_in_its_cell(odd):
    x = mg.tensor(normal(1, 1, 5, 7), requires_grad=True)
    g = np.ones((1, 1, 2, 3))
    g[0, 0, 0, 1] = odd
    F.adaptive_avg_pool2d(x, (2, 3)).backward(g)
    hit = np.zeros((5, 7), bool)
    hit[0:3, 2:5] = True
    np.testing.assert_array_equal(~np.isfinite(x.grad.numpy()[0, 0]), hit)


def test_a_mean_of_large_values_does_not_overflow():
    x = mg.full((1, 1, 4, 4), 3e38)
    assert F.adaptive_avg_pool2d(x / 4, 1).item() == pytest.approx(0.75e38, rel=1e-6)


@pytest.mark.parametrize(
    ("grid", "given"),
    [(0, r"\(0, 0\)"), ((2, 0), r"\(2, 0\)"), ((2, 2, 2), r"\(2, 2, 2\)"), (1.5, r"1\.5"),
     ("2", "'2'"), ((True, 1), "True"), ((2, -1), "-1")],
)  # fmt: skip
def test_a_bad_grid_is_told(grid, given):
    with pytest.raises(ShapeError, match=rf"output_size was given as.*{given}"):
        F.adaptive_avg_pool2d(mg.ones(1, 1, 4, 4), grid)
    with pytest.raises(ShapeError, match=rf"output_size was given as.*{given}"):
        nn.AdaptiveAvgPool2d(grid)


def test_none_is_as_many_cells_as_pixels():
    x = mg.tensor(normal(1, 1, 3, 4))
    np.testing.assert_array_equal(F.adaptive_avg_pool2d(x, None).numpy(), x.numpy())
    assert nn.AdaptiveAvgPool2d((None, 2))(x).shape == (1, 1, 3, 2)


def test_images_of_no_pixels_have_no_mean():
    with pytest.raises(ShapeError, match="at least one pixel"):
        F.adaptive_avg_pool2d(mg.ones(1, 1, 0, 4), 2)


# ---- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d])
def test_integer_images_are_a_dtype_error(f):
    with pytest.raises(DTypeError, match=r"int64.*float"):
        f(mg.tensor(np.ones((1, 1, 3, 3), np.int64)), 2)


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size was given as 0"),
        ({"kernel_size": (2, 2.0)}, r"kernel_size was given as \(2, 2\.0\)"),
        ({"stride": -1}, "stride was given as -1"),
        ({"stride": False}, "stride was given as False"),
        ({"padding": 2}, r"padding \(2, 2\) for kernel_size \(3, 3\).*half"),
        ({"padding": (0, -1)}, r"padding was given as \(0, -1\)"),
    ],
)
def test_options_are_checked_when_a_layer_is_made(kind, options, message):
    with pytest.raises(ShapeError, match=message):
        kind(**{"kernel_size": 3} | options)


def test_a_bad_dilation_is_told_when_the_layer_is_made():
    with pytest.raises(ShapeError, match="dilation was given as 0"):
        nn.MaxPool2d(2, dilation=0)


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2)"),
        (
            nn.MaxPool2d((2, 3), 1, 1, (1, 2), True, True),
            "MaxPool2d(kernel_size=(2, 3), stride=1, padding=1, dilation=(1, 2), ceil_mode=True, "
            "return_indices=True)",
        ),
        (
            nn.AvgPool2d(3, None, 1, False, False, 2),
            "AvgPool2d(kernel_size=3, stride=3, padding=1, count_include_pad=False, "
            "divisor_override=2)",
        ),
        (nn.AdaptiveAvgPool2d((None, 2)), "AdaptiveAvgPool2d(output_size=(None, 2))"),
    ],
)
def test_the_repr_shows_the_options_that_are_not_the_default(layer, shown):
    assert repr(layer).startswith(shown)


def test_pools_run_and_differentiate_on_every_device(device):
    x = mg.tensor(normal(2, 2, 5, 6), device=device, requires_grad=True)
    host = mg.tensor(normal(2, 2, 5, 6), requires_grad=True)
    for layer in (
        nn.MaxPool2d(2, 3, 1, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, True, False),
        nn.AdaptiveAvgPool2d((3, 4)),
    ):
        for each in (x, host):
            each.grad = None
            (layer(each) ** 2).sum().backward()
        assert_close(x.grad.cpu(), host.grad.numpy(), size=12)
