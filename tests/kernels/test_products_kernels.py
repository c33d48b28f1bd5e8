"""Products in blocks: equal to NumPy's at every size, layout and number of threads."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cpu import blas, products
from minigrad.ops.linear import dot, linear, linear_grad, linear_weight_grad, matmul

pytestmark = pytest.mark.skipif(not blas.available, reason="NumPy's OpenBLAS is not here")

DTYPES = [np.float32, np.float64]
# below, at and beyond one block; odd lengths; one row; one column; long and thin
LAYERS = [(1, 1, 1), (64, 128, 10), (64, 128, 128), (63, 129, 127), (1, 300, 301), (300, 301, 1)]
LAYERS += [(5000, 16, 17), (257, 512, 300), (3, 2000, 3000)]


def values(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def assert_close(found, exact, terms):
    """Within the rounding of so many terms of unit variance."""
    eps = np.finfo(found.dtype).eps
    np.testing.assert_allclose(found, exact, rtol=8 * eps, atol=16 * eps * np.sqrt(terms) + 1e-30)
    assert found.flags.c_contiguous
    assert found.flags.writeable


def kernel_of(op):
    return op.op.kernels["cpu"][0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k", "m"), LAYERS)
def test_a_layer_is_its_product_and_the_bias(n, k, m, dtype, same_for_any_threads):
    x, w, b = (values(*shape, dtype=dtype) for shape in ((n, k), (m, k), (m,)))
    y = same_for_any_threads(lambda: kernel_of(linear)(np, x, w, b))
    x, w, b = (a.astype(np.float64) for a in (x, w, b))
    assert_close(y, x @ w.T + b, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k", "m"), LAYERS)
def test_the_gradients_of_a_layer(n, k, m, dtype, same_for_any_threads):
    x, w, dy = (values(*shape, dtype=dtype) for shape in ((n, k), (m, k), (n, m)))
    dx, dw, db = same_for_any_threads(lambda: kernel_of(linear_grad)(np, x, w, dy))
    first = same_for_any_threads(lambda: kernel_of(linear_weight_grad)(np, x, dy))
    x, w, dy = (a.astype(np.float64) for a in (x, w, dy))
    assert_close(dx, dy @ w, m)
    for each in ((dw, db), first):
        assert_close(each[0], dy.T @ x, n)
        assert_close(each[1], dy.sum(0), n)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (20, 30)])
def test_leading_axes_of_a_layer_are_rows(lead):
    x, w, b, dy = (values(*shape) for shape in ((*lead, 40), (50, 40), (50,), (*lead, 50)))
    y = linear(x, w, b)
    assert y.shape == (*lead, 50)
    assert_close(y, (x.astype(np.float64) @ w.T + b), 40)
    for fast, plain in zip(linear_grad(x, w, dy), linear_grad.forward(np, x, w, dy), strict=True):
        assert fast.shape == plain.shape
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)


def by_columns(a):
    return a if a.ndim == 1 else np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)


LAYOUTS = {
    "by rows": lambda a: a,
    "by columns": by_columns,
    "strided": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "backwards": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
PRODUCTS = [
    ((5, 6), (6, 7)),
    ((300, 200), (200, 400)),
    ((1, 700), (700, 1000)),
    ((4, 5, 6), (4, 6, 7)),
    ((3, 100, 150), (3, 150, 200)),
    ((2, 3, 50, 60), (2, 3, 60, 70)),
    ((4, 50, 60), (60, 70)),
    ((50, 60), (4, 60, 70)),
    ((4, 50, 60), (1, 60, 70)),
    ((300,), (300, 40)),
    ((200, 300), (300,)),
    ((4, 30, 300), (300,)),
]


@pytest.mark.parametrize("layouts", [(a, b) for a in LAYOUTS for b in LAYOUTS])
@pytest.mark.parametrize("shapes", PRODUCTS)
def test_matmul_in_every_layout(shapes, layouts):
    a, b = (LAYOUTS[how](values(*shape)) for how, shape in zip(layouts, shapes, strict=True))
    y = matmul(a, b)
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    assert y.shape == exact.shape
    assert_close(y, exact, a.shape[-1])


@pytest.mark.parametrize("shapes", PRODUCTS)
def test_matmul_is_the_same_on_any_number_of_threads(shapes, same_for_any_threads):
    a, b = (values(*shape) for shape in shapes)
    same_for_any_threads(lambda: matmul(a, b))


@pytest.mark.parametrize("how", LAYOUTS)
def test_a_layer_takes_weights_in_every_layout(how):
    x, w, b, dy = (values(*shape) for shape in ((70, 80), (90, 80), (90,), (70, 90)))
    odd = LAYOUTS[how]
    np.testing.assert_array_equal(linear(odd(x), odd(w), odd(b[None])[0]).shape, (70, 90))
    np.testing.assert_allclose(linear(odd(x), odd(w), b), linear(x, w, b), rtol=1e-4, atol=1e-4)
    turned, plain = linear_grad(odd(x), odd(w), odd(dy)), linear_grad(x, w, dy)
    for one, other in zip(turned, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op", [matmul, linear])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(op, bad):
    x, w = values(100, 90), values(80, 90)
    x[57, 3] = bad
    y = linear(x, w, values(80)) if op is linear else matmul(x, w.T)
    assert not np.isfinite(y[57]).any()
    assert np.isfinite(np.delete(y, 57, 0)).all()


@pytest.mark.parametrize("shapes", [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (0, 3, 2))])
def test_an_empty_product_is_nothing_or_zeros(shapes):
    a, b = (values(*shape) for shape in shapes)
    np.testing.assert_array_equal(matmul(a, b), np.matmul(a, b))


def test_rows_that_are_none_give_zeros_for_the_weights():
    dw, db = linear_weight_grad(values(0, 3), values(0, 2))
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("dtypes", [("f2", "f2"), ("f4", "f8"), ("i8", "i8"), (">f4", ">f4")])
def test_other_dtypes_are_left_to_numpy(dtypes):
    a, b = (values(30, 30).astype(dtype) for dtype in dtypes)
    assert kernel_of(matmul)(np, a, b) is NotImplemented
    np.testing.assert_array_equal(matmul(a, b), np.matmul(a, b))


@pytest.mark.parametrize(("a", "b"), [((4, 5), (6, 7)), ((5,), (6, 7)), ((2, 4, 5), (3, 5, 6))])
def test_shapes_that_do_not_fit_raise_as_without_kernels(a, b):
    messages = []
    for on in (True, False):
        with mg.kernels(on), pytest.raises(mg.ShapeError) as caught:
            mg.matmul(mg.tensor(values(*a)), mg.tensor(values(*b)))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("n", [1, 100, 100_000])
def test_dot(n):
    a, b = values(n), values(n, seed=1)
    np.testing.assert_allclose(dot(a, b), a.astype(np.float64) @ b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("m", [1, 2, 127, 1000])
@pytest.mark.parametrize("n", [1, 3, 999])
@pytest.mark.parametrize("parts", [1, 2, 16])
def test_blocks_are_few_and_none_is_small(m, n, parts):
    k = 3000
    height, width = products.block_size(m, n, k, parts)
    assert -(-m // height) * -(-n // width) <= parts
    assert height * width * k >= products.LEAST or (height, width) == (m, n)


def test_large_gradients_differ_from_numpy_by_rounding_only():
    x, w, b = (mg.tensor(values(*s), requires_grad=True) for s in ((512, 300), (400, 300), (400,)))
    loss = (mg.nn.functional.linear(x, w, b) ** 2).sum()
    fast = mg.grad(loss, [x, w, b], retain_graph=True)
    with mg.kernels(False):
        plain = mg.grad(loss, [x, w, b])
    for one, other in zip(fast, plain, strict=True):
        scale = np.abs(other.numpy()).max()
        np.testing.assert_allclose(one.numpy() / scale, other.numpy() / scale, atol=1e-5)
