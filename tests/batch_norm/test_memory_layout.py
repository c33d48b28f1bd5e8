"""BatchNorm reads arrays of any layout in memory, and writes to none of them."""

import hashlib

import numpy as np
from batch_norm_helpers import (
    EPS,
    axes_of,
    bare,
    draw,
    host,
    laid_out,
    leaf,
    module_for,
    nonzero_parameters,
    normalise,
    parameters,
    per_channel,
    worst,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend
from minigrad.ops import batch_norm as ops
from minigrad.tensor import handle
from minigrad.testing import tolerance

# ---- any layout

# A view of the device's memory with the lengths s; `new` makes contiguous arrays of given lengths.
VIEWS = {
    "every other channel": lambda xp, new, s: new((s[0], 2 * s[1], *s[2:]))[:, ::2],
    "transposed": lambda xp, new, s: new(s[::-1]).T,
    "reversed": lambda xp, new, s: new(s)[::-1],
    "reversed last": lambda xp, new, s: new(s)[..., ::-1],
    "samples repeated": lambda xp, new, s: xp.broadcast_to(new((1, *s[1:])), s),
    "channels repeated": lambda xp, new, s: xp.broadcast_to(new((s[0], 1, *s[2:])), s),
    "positions repeated": lambda xp, new, s: xp.broadcast_to(new((*s[:-1], 1)), s),
    "Fortran": lambda xp, new, s: xp.asfortranarray(new(s)),
    "offset": lambda xp, new, s: new((s[0] + 1, *s[1:-1], s[-1] + 2))[1:, ..., 1:-1],
    "channels last": lambda xp, new, s: xp.moveaxis(new((s[0], *s[2:], s[1])), -1, 1),
    "channels first": lambda xp, new, s: xp.moveaxis(new((s[1], s[0], *s[2:])), 0, 1),
}


def views_of(shape, device):
    """Each view on the device in the layout of `shape`, and its contiguous copy."""
    size = laid_out(shape, 8, 2, 3, 5)

    def new(lengths):
        return bare(draw(lengths, 1, np.float32), device)

    xp = backend.of(new((1,))).xp
    for name, view in VIEWS.items():
        found = view(xp, new, size)
        assert found.shape == size
        assert name == "channels last" or not found.flags.c_contiguous
        yield found, xp.array(found, order="C")


def run_on(x, gamma, beta, dy, fused):
    """As `run`, on the device's arrays themselves: `mg.tensor` would copy them."""
    x, gamma, beta = (handle(a).requires_grad_() for a in (x, gamma, beta))
    y = F.batch_norm(x, None, None, gamma, beta, training=True, fused=fused)
    return [host(t) for t in (y, *mg.grad(y, [x, gamma, beta], handle(dy)))]


def assert_same_numbers(found, expected):
    """y and dx to 1e-6; dgamma and dbeta, which are sums, to that of the largest."""
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert np.abs(a - b).max() <= 1e-6
    for a, b in zip(found[2:], expected[2:], strict=True):
        assert worst(a, b) <= 1e-6


def test_B41_input_may_be_any_view(shape, fused, device):
    for x, copy in views_of(shape, device):
        gamma, beta = (bare(a, device) for a in nonzero_parameters(3))
        dy = bare(draw(x.shape, 2, np.float32), device)
        found = run_on(x, gamma, beta, dy, fused)
        assert_same_numbers(found, run_on(copy, gamma, beta, dy, fused))
        expected = normalise(*(host(handle(a)) for a in (copy, gamma, beta, dy)))
        for a, b in zip(found, expected, strict=True):
            assert worst(a, b) <= tolerance(np.float32)


def test_B41_evaluation_takes_any_view(shape, fused, device):
    for x, copy in views_of(shape, device):
        module = module_for(x.shape, fused=fused, device=device, dtype=mg.float32).eval()
        a, b = (host(module(handle(each))) for each in (x, copy))
        assert np.abs(a - b).max() <= 1e-6


def test_B41_parameters_may_be_strided_views(shape, fused, device):
    gamma, beta = nonzero_parameters(3)
    wide = bare(np.repeat(np.stack([gamma, beta], 1), 2, 0), device)
    x, dy, gamma, beta = (
        bare(a, device)
        for a in (draw(shape, 1, np.float32), draw(shape, 2, np.float32), gamma, beta)
    )
    found = run_on(x, wide[::2, 0], wide[::2, 1], dy, fused)
    assert_same_numbers(found, run_on(x, gamma, beta, dy, fused))


def test_B42_memory_order_does_not_change_the_statistics(shape, fused, device):
    size = laid_out(shape, 16, 4, 6, 24)
    x = draw(size, 1, np.float32, mean=100)
    expected = x.mean(axes_of(x), dtype=np.float64), x.var(axes_of(x), ddof=1, dtype=np.float64)
    options = {"momentum": 1.0, "fused": fused, "device": device, "dtype": mg.float32}
    found = []
    for place in (1, -1, 0):  # of the channels in memory: NCHW, NHWC and CNHW
        array = bare(np.moveaxis(x, 1, place).copy(), device)
        module = module_for(size, **options)
        module(handle(backend.of(array).xp.moveaxis(array, place, 1)))
        found.append((host(module.running_mean), host(module.running_var)))
    for each in found:
        for a, b, truth in zip(each, found[0], expected, strict=True):
            assert np.abs(a - b).max() <= 1e-5
            assert np.abs(a - truth).max() <= 1e-5


def test_B43_upstream_gradient_may_be_any_view(shape, fused, device):
    for dy, copy in views_of(shape, device):
        gamma, beta = (bare(a, device) for a in nonzero_parameters(3))
        x = bare(draw(dy.shape, 2, np.float32), device)
        found = run_on(x, gamma, beta, dy, fused)
        assert_same_numbers(found, run_on(x, gamma, beta, copy, fused))


def test_B43_a_transpose_after_batch_norm_gives_the_right_gradient(shape, fused, device):
    axes = (*range(2, len(shape)), 0, 1) if len(shape) > 2 else (1, 0)
    x, weights = draw(shape), draw([shape[a] for a in axes], 2)
    gamma, beta = parameters(3)
    t, gamma_, beta_ = (leaf(a, device) for a in (x, gamma, beta))
    y = F.batch_norm(t, None, None, gamma_, beta_, training=True, fused=fused)
    (y.permute(*axes) * mg.tensor(weights, device=device)).sum().backward()
    expected = normalise(x, gamma, beta, weights.transpose(np.argsort(axes)))
    for found, value in zip((t, gamma_, beta_), expected[1:], strict=True):
        np.testing.assert_allclose(host(found.grad), value, rtol=1e-10, atol=1e-13)


def test_B43_a_broadcast_upstream_gradient_is_right(shape, fused, device):
    x = draw(shape)
    t = leaf(x, device)
    y = F.batch_norm(t, None, None, training=True, fused=fused)
    (y * y).sum(axes_of(x))[1].backward()
    expected = normalise(x, np.ones(3), np.zeros(3), x)[0]
    dy = 2 * expected * per_channel([0, 1, 0], x)
    expected = normalise(x, np.ones(3), np.zeros(3), dy)[1]
    np.testing.assert_allclose(host(t.grad), expected, rtol=1e-9, atol=1e-13)


# ---- nothing is written to


def digest(array):
    return hashlib.sha256(host(handle(array)).tobytes()).hexdigest()


def test_B44_inputs_and_upstream_gradient_are_not_modified(shape, fused, device):
    for dtype in (np.float16, np.float32, np.float64):
        for training in (True, False):
            mean, var = np.full(3, 0.3, dtype), np.full(3, 1.5, dtype)
            x, dy, affine = (
                draw(shape, 1, dtype),
                draw(shape, 2, dtype),
                nonzero_parameters(3, dtype),
            )
            arrays = [bare(a, device) for a in (x, *affine, dy, mean, var)]
            before = [digest(a) for a in arrays]
            x, gamma, beta, dy, mean, var = (handle(a) for a in arrays)
            wanted = [t.requires_grad_() for t in (x, gamma, beta)]
            y = F.batch_norm(x, mean, var, gamma, beta, training=training, fused=fused)
            after_forward = digest(y.array)
            mg.grad(y, wanted, dy, retain_graph=True)
            mg.grad(y, wanted, dy, create_graph=True)
            assert [digest(a) for a in arrays] == before
            assert digest(y.array) == after_forward


def test_B44_read_only_arrays_will_do(shape, fused):
    arrays = [draw(shape, 1), *parameters(3), draw(shape, 2)]
    for a in arrays:
        a.flags.writeable = False
    found = run_on(*arrays, fused)
    for a, b in zip(found, normalise(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_B44_the_op_on_bare_arrays_is_its_forward(shape, device):
    values = [draw(shape, 1), *parameters(3), draw(shape, 2)]
    axes = axes_of(values[0])
    x, gamma, beta, dy = (bare(a, device) for a in values)
    y, mean, var = ops.batch_norm(x, gamma, beta, axes=axes, eps=EPS)
    dx, dgamma, dbeta = ops.batch_norm_grad(x, gamma, dy, axes=axes, eps=EPS)
    statistics = values[0].mean(axes), values[0].var(axes)
    found = y, dx, dgamma, dbeta, mean, var
    for a, b in zip(found, (*normalise(*values), *statistics), strict=True):
        assert type(a) is type(x)
        np.testing.assert_allclose(host(handle(a)), b, rtol=1e-10, atol=1e-13)
