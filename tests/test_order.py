"""Extremes, positions and sorting: against NumPy and PyTorch, with ties, NaN and infinities."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, OutOfRangeError, ShapeError
from minigrad.testing import check_grads

NAN, INF = np.nan, np.inf
ODD = np.array([[1.0, 1.0, 0.0, -1.0], [2.0, NAN, NAN, 1.0], [INF, INF, -INF, 0.0]])
few_values = st.sampled_from([-INF, -1.0, -0.0, 0.0, 1.0, 2.0, INF, NAN])


@st.composite
def arrays_and_axes(draw, least=0):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=least, max_side=5))
    dtype = draw(
        st.sampled_from([np.float16, np.float32, np.float64, np.int32, np.uint8, np.bool_])
    )
    elements = few_values if np.dtype(dtype).kind == "f" else st.integers(0, 1)
    x = draw(hnp.arrays(dtype, shape, elements=elements))
    return x, draw(st.integers(-len(shape), len(shape) - 1))


def leaf(values):
    return mg.tensor(np.asarray(values, np.float64), requires_grad=True)


def gradient(f, x):
    """The gradient of the sum of f(x), without the sum: ∞ - ∞ would warn."""
    x = leaf(x)
    y = f(x)
    return mg.grad(y, x, mg.ones_like(y))[0].numpy()


# ---- values and positions


@pytest.mark.parametrize("name", ["max", "min"])
@given(given_=arrays_and_axes(least=1), keepdims=st.booleans())
def test_extremes_are_numpys(name, given_, keepdims):
    x, axis = given_
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    position = getattr(np, f"arg{name}")(x, axis=axis, keepdims=keepdims)
    t = mg.tensor(x)
    values, indices = getattr(mg, name)(t, axis, keepdims)
    assert values.dtype == x.dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(values.numpy(), expected)
    np.testing.assert_array_equal(indices.numpy(), position)
    np.testing.assert_array_equal(getattr(mg, f"a{name}")(t, axis, keepdims).numpy(), expected)
    np.testing.assert_array_equal(getattr(mg, f"arg{name}")(t, axis, keepdims).numpy(), position)
    np.testing.assert_array_equal(getattr(mg, name)(t).numpy(), getattr(np, name)(x))
    np.testing.assert_array_equal(
        getattr(mg, f"arg{name}")(t).numpy(), getattr(np, f"arg{name}")(x)
    )


@given(given_=arrays_and_axes())
def test_sorting_is_numpys(given_):
    x, axis = given_
    values, indices = mg.tensor(x).sort(axis)
    np.testing.assert_array_equal(values.numpy(), np.sort(x, axis))
    np.testing.assert_array_equal(indices.numpy(), np.argsort(x, axis, kind="stable"))
    np.testing.assert_array_equal(mg.argsort(mg.tensor(x), axis).numpy(), indices.numpy())


@given(given_=arrays_and_axes(), descending=st.booleans(), data=st.data())
def test_sorting_is_pytorchs(given_, descending, data):
    torch = pytest.importorskip("torch")
    x, axis = given_
    t, peer = mg.tensor(x), torch.tensor(x)
    expected = torch.sort(peer, dim=axis, descending=descending, stable=True)
    found = mg.sort(t, axis, descending)
    k = data.draw(st.integers(0, x.shape[axis]))
    best = mg.topk(t, k, axis, largest=descending)
    for a, b, c in zip(found, expected, best, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(c.numpy(), b.numpy().take(range(k), axis))
    places = mg.argsort(t, axis, descending)
    np.testing.assert_array_equal(places.numpy(), expected.indices.numpy())


def test_results_are_named():
    x = mg.tensor([3.0, 1.0, 2.0])
    assert x.sort().values.tolist() == [1, 2, 3]
    assert x.topk(2, largest=False).indices.tolist() == [1, 2]
    assert x.max(0).indices.item() == 0
    assert x.min(dim=0, keepdim=True).values.tolist() == [1]


@pytest.mark.parametrize("descending", [False, True])
def test_equal_values_keep_their_order(descending):
    assert mg.zeros(40).argsort(descending=descending).tolist() == list(range(40))


# ---- gradients (E48)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x.amax(1), [[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0.5, 0, 0]]),
        (lambda x: x.amin(1), [[0, 0, 0, 1], [0, 0.5, 0.5, 0], [0, 0, 1, 0]]),
        (lambda x: x.max(), [[0, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]]),
        (lambda x: x[0].max(), [[0.5, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
        (lambda x: x[::2].min(), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]),
        (lambda x: x.max(1).values, [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]),
        (lambda x: x.min(1).values, [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]),
        (lambda x: x.topk(2).values, [[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]]),
        (lambda x: x.sort().values, np.ones((3, 4))),
    ],
)
def test_the_gradient_with_ties_and_nan(f, expected):
    np.testing.assert_array_equal(gradient(f, ODD), expected)


@given(given_=arrays_and_axes(least=1))
def test_the_weights_of_a_group_sum_to_one(given_):
    x, axis = given_
    for f in (
        lambda t: t.amax(axis),
        lambda t: t.amin(axis),
        lambda t: t.max(axis).values,
        lambda t: t.min(axis).values,
    ):
        g = gradient(f, x)
        np.testing.assert_allclose(g.sum(axis), np.ones_like(g.sum(axis)))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["max", "min", "sort"])
def test_the_gradient_is_pytorchs(name, axis):
    torch = pytest.importorskip("torch")
    x, peer = leaf(ODD), torch.tensor(ODD, requires_grad=True)
    options = {"stable": True} if name == "sort" else {}
    y, z = getattr(mg, name)(x, axis)[0], getattr(torch, name)(peer, dim=axis, **options)[0]
    g = np.random.default_rng(0).normal(size=y.shape)
    (found,) = mg.grad(y, x, mg.tensor(g))
    z.backward(torch.tensor(g))
    np.testing.assert_array_equal(found.numpy(), peer.grad.numpy())


@pytest.mark.parametrize("name", ["max", "min"])
def test_the_extreme_of_all_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    for values in (ODD, ODD[0], ODD[2], np.array(3.0)):
        peer = torch.tensor(values, requires_grad=True)
        getattr(torch, name)(peer).backward()
        np.testing.assert_array_equal(gradient(getattr(mg, name), values), peer.grad.numpy())


def test_higher_derivatives_follow_the_index():
    x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 4
    check_grads(lambda t: mg.sort(t * t, 1, descending=True).values ** 2, [x], 3)
    check_grads(lambda t: mg.topk(t * t, 2, 0).values ** 3, [x], 3)
    check_grads(lambda t: (t * t).max(-1).values ** 2, [x + 0.1], 3)
    check_grads(lambda t: (t * t).min(1, keepdims=True).values ** 2, [x + 0.1], 3)
    check_grads(lambda t: (t * t).max() * (t * t * t).min(), [x], 3)


def test_indices_carry_no_gradient():
    x = leaf([3.0, 1.0])
    for y in (x.sort(), x.topk(1), x.max(0), x.min(0)):
        assert y.values.requires_grad
        assert not y.indices.requires_grad


def test_many_ties_in_float16_do_not_overflow():
    x = mg.zeros(2**17, dtype=mg.float16, requires_grad=True)
    (g,) = mg.grad(x.amax(), x)
    assert (g.numpy() == np.float16(2.0**-17)).all()


# ---- what is refused


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.max(mg.ones(2, 3)), DTypeError, "maximum"),
        (lambda x: x.min((0, 1)), DTypeError, "one axis"),
        (lambda x: x.argmax((0, 1)), DTypeError, "one axis"),
        (lambda x: x.max(2), OutOfRangeError, "axis 2"),
        (lambda x: x[:0].max(), ShapeError, "nothing"),
        (lambda x: x[:0].min(0), ShapeError, "nothing"),
        (lambda x: x.topk(4), OutOfRangeError, "0 to 3"),
        (lambda x: x.topk(-1), OutOfRangeError, "0 to 3"),
        (lambda x: x.topk(1.0), DTypeError, "whole number"),
        (lambda x: x.sort(0.5), DTypeError, "one axis"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(mg.ones(2, 3))


def test_an_extreme_over_another_axis_of_nothing_is_empty():
    assert mg.zeros(0, 3).max(1).values.shape == (0,)
    assert mg.zeros(0, 3).argmax(1).shape == (0,)
    assert mg.zeros(3, 0).sort(1).values.shape == (3, 0)
    assert mg.zeros(3, 2).topk(0).indices.shape == (3, 0)
