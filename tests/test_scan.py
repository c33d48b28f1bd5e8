"""Running sums, products with zeros, norms."""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, OutOfRangeError, ShapeError
from minigrad.testing import assert_close, check_grads

INF = np.inf


def leaf(values, dtype=np.float64):
    return mg.tensor(np.asarray(values, dtype), requires_grad=True)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def with_zeros(count, shape=(3, 4)):
    """`count` zeros in each row, at places that differ."""
    x = normal(*shape)
    for i, row in enumerate(x):
        row[[(i + j) % len(row) for j in range(count)]] = 0
    return x


# ---- products


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("zeros", [0, 1, 2, 4])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_products_with_zeros_at_every_order(zeros, axis, composed):
    x = with_zeros(zeros)
    with mg.unfused() if composed else mg.enable_grad():
        check_grads(lambda t: mg.prod(t, axis), [x], 3)
        if isinstance(axis, int):
            check_grads(lambda t: mg.cumprod(t, axis), [x], 3)


@pytest.mark.parametrize("zeros", [0, 1, 2, 4])
@pytest.mark.parametrize("name", ["prod", "cumprod", "cumsum"])
def test_pytorchs_values_and_derivatives(name, zeros):
    torch = pytest.importorskip("torch")
    for axis in (0, 1):
        x, peer = leaf(with_zeros(zeros)), torch.tensor(with_zeros(zeros), requires_grad=True)
        y, z = getattr(mg, name)(x, axis) ** 2, getattr(torch, name)(peer, axis) ** 2
        for _ in range(2):
            assert_close(y, z.detach().numpy(), size=12)
            (y,) = mg.grad(y.sum(), x, create_graph=True)
            (z,) = torch.autograd.grad(z.sum(), peer, create_graph=True)
        assert_close(y, z.detach().numpy(), size=12)


def test_the_derivative_of_a_product_is_the_product_of_the_others():
    x = np.array([2.0, 0.0, 3.0, 5.0])
    t = leaf(x)
    (g,) = mg.grad(t.prod(), t, create_graph=True)
    (h,) = mg.grad(g[0], t)
    assert g.tolist() == [0, 30, 0, 0]
    assert h.tolist() == [0, 15, 0, 0]


@given(x=hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
                    elements=st.integers(-2, 2)), data=st.data())  # fmt: skip
def test_products_and_sums_are_numpys(x, data):
    axes = [None, *range(-x.ndim, x.ndim), *itertools.combinations(range(x.ndim), 2)]
    axis, keepdims = data.draw(st.sampled_from(axes)), data.draw(st.booleans())
    for dtype in (np.float16, np.float32, np.float64, np.int32, np.bool_):
        given_ = x.astype(dtype)
        expected = np.prod(given_, axis=axis, keepdims=keepdims)
        for context in (mg.unfused(), mg.enable_grad()):
            with context:
                y = mg.prod(mg.tensor(given_), axis, keepdims)
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y.numpy(), expected)
            if isinstance(axis, int):
                with context:
                    y = mg.cumprod(mg.tensor(given_), axis)
                np.testing.assert_array_equal(y.numpy(), np.cumprod(given_, axis))
        if isinstance(axis, int):
            y = mg.cumsum(mg.tensor(given_), axis)
            np.testing.assert_array_equal(y.numpy(), np.cumsum(given_, axis))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_product_that_overflows_only_on_the_way(dtype):
    big = dtype(1e4 if dtype is np.float16 else 1e30)
    x = leaf([big, big, 1 / big, 1 / big], dtype)
    y = x.prod()
    (g,) = mg.grad(y, x)
    assert y.dtype == g.dtype == dtype
    assert_close(y, np.ones((), dtype))
    assert_close(g, np.array([1 / big, 1 / big, big, big], dtype))


def test_products_of_nothing():
    x = mg.zeros(0, 3, requires_grad=True)
    assert x.prod().item() == 1
    assert x.prod(0).tolist() == [1, 1, 1]
    assert x.cumprod(0).shape == x.cumsum(0).shape == (0, 3)
    (g,) = mg.grad(x.prod(0).sum() + x.cumprod(0).sum(), x)
    assert g.shape == (0, 3)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 17])
def test_products_of_any_length(n):
    x = np.random.default_rng(n).uniform(0.5, 1.5, n)
    check_grads(lambda t: t.prod(), [x], 2)
    check_grads(lambda t: t.cumprod(0), [x], 2)


# ---- running sums


def test_a_running_sum_of_many_values_loses_nothing():
    n = 2**24 + 1024
    total = mg.ones(n).cumsum(0)[-1]
    assert total.item() == n
    x = mg.full((2**13,), 0.1, dtype=mg.float16)
    assert_close(x.cumsum(0)[-1], np.float16(x.numpy().astype(np.float64).sum()))


def test_a_running_sum_is_its_own_adjoint_reversed():
    x = leaf(normal(2, 3))
    (g,) = mg.grad(x.cumsum(1).sum(), x)
    assert g.tolist() == [[3, 2, 1]] * 2
    check_grads(lambda t: mg.cumsum(t * t, 0) ** 2, [normal(3, 2)], 3)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_scans_name_one_axis(name):
    scan = getattr(mg, name)
    with pytest.raises(DTypeError, match="axis is missing"):
        scan(mg.ones(2))
    with pytest.raises(DTypeError, match="one axis"):
        scan(mg.ones(2, 3), (0, 1))
    with pytest.raises(OutOfRangeError, match="axis 1"):
        scan(mg.ones(2), 1)
    assert scan(mg.ones(2), dim=0).shape == (2,)


# ---- norms (E42)

POWERS = [0, 1, 2, 3, 4, 1.5, 0.5, -1, -2.5, INF, -INF, "fro"]


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_pytorchs_norm(p, axis):
    torch = pytest.importorskip("torch")
    ties = np.array([[2.0, -2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 1.0]])
    for values in (normal(3, 4), with_zeros(1), with_zeros(4), ties):
        x, peer = leaf(values), torch.tensor(values, requires_grad=True)
        y, z = mg.norm(x, p, axis), torch.norm(peer, p, axis)
        weights = np.random.default_rng(1).normal(size=y.shape)
        with np.errstate(divide="ignore"):
            (g,) = mg.grad(y, x, mg.tensor(weights))
        (h,) = torch.autograd.grad(z, peer, torch.tensor(weights), allow_unused=True)
        assert_close(y, z.detach().numpy(), size=12)
        assert_close(g, np.zeros(x.shape) if h is None else h.numpy(force=True), size=12)


@pytest.mark.parametrize("p", [2, 4, 6, 3, 1.5])
def test_higher_derivatives_beside_a_zero(p):
    x = np.array([1.0, 0.0, -2.0]) if p % 2 == 0 else np.array([1.0, 0.5, -2.0])
    check_grads(lambda t: t.norm(p), [x], 3)


@pytest.mark.parametrize("p", [p for p in POWERS if p != 0])
def test_the_norm_of_zeros_is_zero_with_gradient_zero(p):
    x = leaf(np.zeros((2, 3)))
    for f in (lambda t: t.norm(p, 1), lambda t: t.norm(p) ** 2):
        y = f(x)
        (g,) = mg.grad(y.sum(), x, create_graph=True)
        assert (y.numpy() == 0).all()
        assert (g.numpy() == 0).all()
        (h,) = mg.grad(g.sum(), x)
        assert np.isfinite(h.numpy()).all()


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 40, 1000, -3, INF, -INF])
@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e-300])
def test_no_overflow_and_no_underflow_on_the_way(p, scale):
    x = leaf(np.array([3.0, -4.0, 1.0]) * scale)
    y = x.norm(p)
    (g,) = mg.grad(y, x)
    plain = leaf(x.numpy() / scale)
    (expected,) = mg.grad(plain.norm(p), plain)
    np.testing.assert_allclose(y.item() / scale, plain.norm(p).item(), rtol=1e-12)
    np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def test_the_norm_of_large_float16():
    x = leaf([300.0, 400.0], np.float16)
    y = x.norm()
    (g,) = mg.grad(y, x)
    assert (y.item(), y.dtype, g.dtype) == (500, np.float16, np.float16)
    assert_close(g, np.array([0.6, 0.8], np.float16))


@pytest.mark.parametrize("p", [1, 2, 3, -1, INF, -INF])
def test_nan_comes_through_a_norm(p):
    assert np.isnan(mg.tensor([1.0, np.nan, 2.0]).norm(p).item())


def test_the_norm_of_nothing():
    x = mg.zeros(0, 3)
    for p in (0, 1, 2, 2.5):
        assert x.norm(p).item() == 0
        assert x.norm(p, 0, keepdims=True).tolist() == [[0, 0, 0]]
    for p in (INF, -INF, -1):
        with pytest.raises(ShapeError, match="nothing"):
            x.norm(p)


@pytest.mark.parametrize("p", [np.nan, "nuc", None, True, [2]])
def test_powers_that_are_none(p):
    with pytest.raises(DTypeError, match="p was given as"):
        mg.ones(2).norm(p)


@pytest.mark.parametrize("p", [np.float32(3), np.int64(2), np.float64(INF)])
def test_numpys_numbers_are_powers(p):
    x = mg.tensor([3.0, 4.0])
    assert x.norm(p).dtype == np.float32
    assert_close(x.norm(p), x.norm(float(p)))
