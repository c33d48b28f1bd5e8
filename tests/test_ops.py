"""Each family of ops against NumPy; what holds of every op is in test_laws.py."""

import inspect

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import apart, bits, normal

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError
from minigrad.op import registry
from minigrad.testing import assert_close, check_grads

INSIDE = sorted(n for n, o in registry.items() if o.forward.__module__.startswith("minigrad."))


# ---- broadcasting (E23, E24) ---------------------------------------------------------------------


def lattice(shape, seed, offset=0.0):
    """Multiples of a half, so that a and b + 0.25 never tie."""
    return np.random.default_rng(seed).integers(-8, 9, shape) * 0.5 + offset


TWO_SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4)
THREE_SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=4)
SEEDS = st.integers(0, 1000)
BROADCAST = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


@pytest.mark.pitfall("E23")
@pytest.mark.parametrize("name", BROADCAST)
@given(shapes=TWO_SHAPES, seed=SEEDS)
def test_broadcasting_like_numpy_with_right_derivatives(name, shapes, seed):
    a, b = lattice(shapes.input_shapes[0], seed), lattice(shapes.input_shapes[1], seed + 1, 0.25)
    if name == "pow":
        a, b = np.abs(a) * 0.25 + 1, b * 0.25
    if name == "div":
        b = b + np.copysign(1.0, b)  # away from the pole
    f = getattr(mg, name)
    assert_close(f(mg.tensor(a), mg.tensor(b)), BROADCAST[name](a, b))
    check_grads(f, [a, b], order=2)


@pytest.mark.pitfall("E23")
@given(shapes=THREE_SHAPES, seed=SEEDS)
def test_where_broadcasts_like_numpy_with_right_derivatives(shapes, seed):
    c, a, b = (lattice(shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    y = mg.where(mg.tensor(c > 0), mg.tensor(a), mg.tensor(b))
    np.testing.assert_array_equal(y.numpy(), np.where(c > 0, a, b), strict=True)
    check_grads(lambda a, b: mg.where(mg.tensor(c > 0), a, b), [a, b], order=2)


@pytest.mark.pitfall("E24")
@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 1), (1, 4)), ((1,), (5, 4)), ((5, 1, 1), (1, 1, 3)), ((1, 1), (1, 1)), ((), (2, 3))],
)
def test_gradients_of_size_one_axes_have_the_operands_shapes(left, right):
    a, b = mg.ones(left, requires_grad=True), mg.ones(right, requires_grad=True)
    y = a * b
    y.sum().backward()
    assert (a.grad.shape, b.grad.shape) == (left, right)
    np.testing.assert_array_equal(a.grad.numpy(), y.size / a.size)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ShapeError, match=r"add\(float32 \(2,\), float32 \(3,\)\)"):
        mg.ones(2) + mg.ones(3)


@pytest.mark.pitfall("E25")
def test_a_0d_gradient_is_a_0d_tensor():
    x = mg.tensor(3.0, requires_grad=True)
    (x * 2).backward()
    assert isinstance(x.grad, mg.Tensor)
    assert (x.grad.shape, x.grad.item()) == ((), 2.0)


@pytest.mark.pitfall("E25")
def test_the_sum_of_a_0d_tensor_is_a_new_one():
    x = mg.tensor(3.0, requires_grad=True)
    y = x.sum()
    assert y is not x
    assert not y.is_leaf


# ---- reductions (E26, E28, E51) ------------------------------------------------------------------

NUMPY_REDUCTIONS = {
    "sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min,
    "var": lambda x, **k: np.var(x, ddof=0, **k), "std": lambda x, **k: np.std(x, ddof=0, **k),
    "logsumexp": lambda x, **k: np.log(np.sum(np.exp(x), **k)),
}  # fmt: skip


def statics_of(name):
    return {"correction": 0} if name in ("var", "std") else {}


@st.composite
def shapes_and_axes(draw, least):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=least, max_side=3))
    axis = st.integers(-len(shape), len(shape) - 1)
    several = hnp.valid_tuple_axes(len(shape), min_size=1)
    return shape, draw(st.none() | axis | several), draw(st.booleans())


@pytest.mark.pitfall("E26")
@pytest.mark.parametrize("name", NUMPY_REDUCTIONS)
@given(data=st.data())
def test_reductions_over_any_axes(name, data):
    shape, axis, keepdims = data.draw(shapes_and_axes(2 if name == "std" else 1))
    x = apart(*shape) / 8
    f = getattr(mg, name)
    y = f(mg.tensor(x), axis=axis, keepdims=keepdims, **statics_of(name))
    expected = NUMPY_REDUCTIONS[name](x, axis=axis, keepdims=keepdims)
    # two computations of one quantity: a variance near 0 is compared on the scale of x²
    assert_close(np.append(y.numpy(), 1.0), np.append(expected, 1.0), size=x.size)
    assert y.shape == expected.shape


@pytest.mark.pitfall("E26")
@pytest.mark.parametrize("name", NUMPY_REDUCTIONS)
@given(data=st.data())
def test_derivatives_of_reductions_over_any_axes(name, data):
    shape, axis, keepdims = data.draw(shapes_and_axes(2 if name == "std" else 1))
    f = getattr(mg, name)
    x = apart(*shape) * (8 if name == "std" else 0.5)  # no ties; for std, far from its kink
    check_grads(lambda x: f(x, axis=axis, keepdims=keepdims, **statics_of(name)), [x])


AXIS_OPS = [
    n
    for n in INSIDE
    if {"axis", "keepdims"} <= set(registry[n].statics) and registry[n].outputs is None
]


@pytest.mark.parametrize("name", AXIS_OPS)
def test_dim_and_keepdim_mean_axis_and_keepdims(name):
    x = mg.tensor(apart(2, 3))
    f = getattr(mg, name)
    torch_style, numpy_style = f(x, dim=1, keepdim=True), f(x, axis=1, keepdims=True)
    assert torch_style.shape == (2, 1)
    np.testing.assert_array_equal(torch_style.numpy(), numpy_style.numpy())


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "unsqueeze", "squeeze"])
def test_dim_means_axis(name):
    x, f = mg.tensor(normal(1, 3)), getattr(mg, name)
    np.testing.assert_array_equal(f(x, dim=0).numpy(), f(x, axis=0).numpy())


@pytest.mark.parametrize("name", AXIS_OPS)
@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_out_of_range_is_an_error(name, axis):
    with pytest.raises(ShapeError, match=f"axis {axis}"):
        getattr(mg, name)(mg.tensor(normal(2, 3)), axis=axis)


@pytest.mark.parametrize("name", NUMPY_REDUCTIONS)
def test_an_axis_named_twice_is_an_error(name):
    with pytest.raises(ShapeError, match="twice"):
        getattr(mg, name)(mg.tensor(normal(2, 3)), axis=(0, -2))


@pytest.mark.parametrize("name", ["all", "any"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_all_and_any_like_numpy(name, axis):
    x = bits(2, 3)
    expected = np.asarray(getattr(np, name)(x, axis=axis))
    np.testing.assert_array_equal(getattr(mg, name)(mg.tensor(x), axis=axis).numpy(), expected)


def test_argmax_gives_the_first_of_equals():
    assert mg.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]]).argmax(1).tolist() == [1, 0]


@pytest.mark.pitfall("E28")
def test_the_sum_of_nothing_is_zero_with_an_empty_gradient():
    x = mg.zeros(0, 3, requires_grad=True)
    y = x.sum(0)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.0]
    assert x.grad.shape == (0, 3)


@pytest.mark.pitfall("E28")
def test_the_mean_of_nothing_is_nan_with_an_empty_gradient():
    x = mg.zeros(0, 3, requires_grad=True)
    y = x.mean(0)
    y.sum().backward()
    assert np.isnan(y.numpy()).all()
    assert x.grad.shape == (0, 3)


@pytest.mark.pitfall("E28")
@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin"])
def test_an_extreme_of_nothing_is_an_error(name):
    with pytest.raises(ShapeError, match="nothing"):
        getattr(mg, name)(mg.zeros(0, 3), axis=0)


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin"])
def test_an_extreme_over_another_axis_of_an_empty_array_is_empty(name):
    assert getattr(mg, name)(mg.zeros(0, 3), axis=1).shape == (0,)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_no_rows_is_empty(name):
    x = mg.zeros(0, 3, requires_grad=True)
    getattr(mg, name)(x, 1).sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.pitfall("E51")
@pytest.mark.parametrize("name", ["var", "std"])
def test_the_spread_of_one_value_is_nan(name):
    assert np.isnan(getattr(mg, name)(mg.tensor([1.0])).item())


@pytest.mark.pitfall("E26", "E51")
@pytest.mark.parametrize("correction", [0, 1, 2])
def test_var_divides_by_n_minus_correction(correction):
    x = normal(5)
    expected = np.var(x, ddof=correction)
    assert_close(mg.tensor(x).var(correction=correction), expected, size=5)


def test_var_and_std_are_unbiased_by_default():
    x = normal(4, 3)
    assert_close(mg.tensor(x).var(0), x.var(0, ddof=1), size=4)
    assert_close(mg.tensor(x).std(0), x.std(0, ddof=1), size=4)


# ---- matrix products (E27) -----------------------------------------------------------------------

MATMUL_SHAPES = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 2)), ((5, 2, 3), (3,)),
    ((1, 2, 3), (5, 3, 1)), ((2, 0), (0, 3)), ((0,), (0,)), ((0, 3), (3, 2)), ((0, 2, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize(("left", "right"), MATMUL_SHAPES)
def test_matmul_of_any_ranks(left, right):
    a, b = normal(*left), normal(*right, seed=1)
    assert_close(mg.tensor(a) @ mg.tensor(b), np.asarray(a @ b), size=3)
    check_grads(mg.matmul, [a, b], order=3)


@pytest.mark.parametrize(("left", "right"), [((2, 3), (2, 3)), ((3,), (2,)), ((2, 3), (2,))])
def test_matmul_of_lengths_that_differ_names_both(left, right):
    with pytest.raises(ShapeError, match=f"length {left[-1]}.*{right[0]}"):
        mg.ones(left) @ mg.ones(right)


def test_matmul_needs_an_axis():
    with pytest.raises(ShapeError, match="matmul"):
        mg.ones(2, 2) @ mg.tensor(2.0)


@pytest.mark.pitfall("E28")
@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3)])
def test_linear_of_an_empty_batch(shape):
    x, w, b = (mg.ones(s, requires_grad=True) for s in (shape, (2, 3), (2,)))
    y = mg.nn.functional.linear(x, w, b)
    y.sum().backward()
    assert y.shape == (*shape[:-1], 2)
    assert x.grad.shape == shape
    assert (w.grad.numpy() == 0).all()
    assert (b.grad.numpy() == 0).all()


# ---- indexing (E29, E30, E31) --------------------------------------------------------------------

MASK = bits(4, 3, 2)
KEYS = {
    "int": 1,
    "negative int": -1,
    "NumPy int": np.int64(2),
    "slice": slice(1, 3),
    "step back": slice(None, None, -1),
    "two back": slice(None, None, -2),
    "empty slice": slice(2, 2),
    "ellipsis, None": (Ellipsis, None),
    "None first": (None, 1, slice(None)),
    "ellipsis in the middle": (0, Ellipsis, 1),
    "all ints": (1, 2, 0),
    "empty tuple": (),
    "list": [0, 2],
    "tuple of ints": (0, 2),
    "repeated": [0, 0, 1],
    "negative in list": [-1, 0, 3, -1],
    "empty list": [],
    "array": np.array([[0, 1], [3, 0]]),
    "0-d array": np.array(2),
    "mask": MASK,
    "mask of rows": np.array([True, False, True, True]),
    "list of bools": [True, False, False, True],
    "mask of nothing": np.zeros(4, bool),
    "rows and columns": ([0, 1, 1], [2, 0, 0]),
    "mixed": (slice(None), [0, 2, 0], 1),
    "mixed apart": ([0, 1, 0], slice(None), [1, 1, 0]),
    "array and slice back": (np.array([1, 1]), slice(None, None, -1)),
    "array and None": (np.array([0, 2]), None, Ellipsis),
    "mask and int": (MASK[:, :, 0], 1),
    "True": True,
}
KEY_LIST = [pytest.param(key, id=name) for name, key in KEYS.items()]


@pytest.mark.pitfall("E29", "E31")
@pytest.mark.parametrize("key", KEY_LIST)
def test_reading_like_numpy(key):
    x = normal(4, 3, 2)
    np.testing.assert_array_equal(mg.tensor(x)[key].numpy(), x[key])


@pytest.mark.pitfall("E29", "E31")
@pytest.mark.parametrize("key", KEY_LIST)
def test_derivative_of_reading(key):
    check_grads(lambda x: (x * x)[key], [normal(4, 3, 2)], order=3)


def written(x, v, key):
    y = x * 1.0
    y[key] = v
    return y


@pytest.mark.parametrize("key", KEY_LIST)
def test_writing_like_numpy(key):
    x = normal(4, 3, 2)
    v = normal(*x[key].shape, seed=1)
    expected = x.copy()
    expected[key] = v
    with mg.no_grad():
        in_place = mg.tensor(x)
        in_place[key] = mg.tensor(v)
    np.testing.assert_array_equal(written(mg.tensor(x), mg.tensor(v), key).numpy(), expected)
    np.testing.assert_array_equal(in_place.numpy(), expected)


@pytest.mark.parametrize("key", KEY_LIST)
def test_derivative_of_writing(key):
    x = normal(4, 3, 2)
    v = normal(*x[key].shape, seed=1)
    check_grads(lambda x, v: written(x, v, key) ** 2, [x, v], order=3)


@pytest.mark.parametrize("value", [2.0, 2, np.float64(2), np.array(2.0), [5.0, 6.0]])
def test_writing_numbers_and_lists_keeps_the_dtype(value):
    x = mg.zeros(3, 2)
    x[1:] = value
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy()[1:], np.broadcast_to(value, (2, 2)))


def test_writing_a_broadcast_value_gives_it_the_summed_gradient():
    v = mg.tensor([1.0, 2.0], requires_grad=True)
    written(mg.zeros(4, 2), v, slice(1, 4)).sum().backward()
    assert v.grad.tolist() == [3.0, 3.0]


def test_of_values_written_to_one_place_only_the_last_has_a_gradient():
    v = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = written(mg.zeros(3), v, [0, 0, 1])
    y.sum().backward()
    assert y.tolist() == [2.0, 3.0, 0.0]
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.pitfall("E30")
def test_what_is_read_twice_has_twice_the_gradient():
    x = mg.zeros(3, requires_grad=True)
    x[[0, 0, 1]].sum().backward()
    assert x.grad.tolist() == [2.0, 1.0, 0.0]


@given(data=st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = normal(*shape)
    np.testing.assert_array_equal(mg.tensor(x)[key].numpy(), x[key])
    check_grads(lambda x: (x * x)[key], [x])


@pytest.mark.pitfall("E30", "E31")
@given(data=st.data())
def test_any_integer_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    key = data.draw(hnp.integer_array_indices(shape))
    x = normal(*shape)
    np.testing.assert_array_equal(mg.tensor(x)[key].numpy(), x[key])
    check_grads(lambda x: (x * x)[key], [x])
    check_grads(lambda x, v: written(x, v, key) ** 2, [x, normal(*x[key].shape, seed=1)])


TENSOR_KEYS = {
    "integers": lambda a: mg.tensor(np.array([0, 2, 0])),
    "one integer": lambda a: mg.tensor(2),
    "mask": lambda a: mg.tensor(a) > 0,
    "tuple": lambda a: (mg.tensor([0, 1]), mg.tensor([2, 2])),
    "with a slice": lambda a: (slice(None), mg.tensor([1, 1])),
}


@pytest.mark.parametrize("make", TENSOR_KEYS.values(), ids=TENSOR_KEYS)
def test_a_tensor_as_index(make):
    x = normal(4, 3)
    key = make(x)
    plain = tuple(k.numpy() if isinstance(k, mg.Tensor) else k for k in key) if isinstance(
        key, tuple) else key.numpy()  # fmt: skip
    np.testing.assert_array_equal(mg.tensor(x)[key].numpy(), x[plain])
    check_grads(lambda x: (x * x)[key], [x])
    v = normal(*x[plain].shape, seed=1)
    check_grads(lambda x, v: written(x, v, key) ** 2, [x, v])


def test_an_index_changed_after_reading_does_not_change_the_gradient():
    x, index = mg.zeros(3, requires_grad=True), np.array([0, 0])
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0]


@pytest.mark.pitfall("E31")
@pytest.mark.parametrize("key", [5, -5, [0, 4], (0, 3), np.array([4])])
def test_an_index_out_of_range_is_an_index_error(key):
    x = mg.zeros(4, 3)
    with pytest.raises(IndexError, match="out of bounds"):
        x[key]
    with pytest.raises(IndexError, match="out of bounds"):
        x[key] = 1.0


@pytest.mark.parametrize("key", [1.0, "a", mg.tensor([1.0])])
def test_only_integers_and_masks_can_be_indices(key):
    with pytest.raises(IndexError, match=r"indices|index"):
        mg.zeros(4, 3)[key]


def test_too_many_indices_are_an_error():
    with pytest.raises(IndexError, match="too many"):
        mg.zeros(4)[1, 2]


def test_a_value_that_does_not_fit_its_place_is_an_error_and_changes_nothing():
    x = mg.zeros(4)
    with pytest.raises(ShapeError):
        x[:2] = mg.ones(3)
    assert x.tolist() == [0.0] * 4


def test_gather_like_take_along_axis():
    x, index = normal(4, 3), np.array([[0, 3, 1], [2, 2, 2]])
    y = mg.gather(mg.tensor(x), 0, mg.tensor(index))
    np.testing.assert_array_equal(y.numpy(), np.take_along_axis(x, index, 0))


def test_gather_out_of_range_is_an_index_error():
    with pytest.raises(IndexError):
        mg.gather(mg.zeros(4, 3), 0, mg.tensor([[4, 0, 0]]))


# ---- promotion (design, section 7; E33, E34) -----------------------------------------------------


def f16():
    return mg.ones(2, dtype=mg.float16)


def f32():
    return mg.ones(2)


def f64():
    return mg.ones(2, dtype=mg.float64)


def i64():
    return mg.tensor([1, 2])


def i32():
    return mg.tensor([1, 2], dtype=mg.int32)


def b():
    return mg.tensor([True, False])


FLOATS, INTS = [1.0, 2.0], [1, 2]
PROMOTIONS = {
    "f32 * 2.0": (lambda: f32() * 2.0, "float32"),
    "f32 * 2": (lambda: f32() * 2, "float32"),
    "f32 * True": (lambda: f32() * True, "float32"),
    "f32 * np.float64": (lambda: f32() * np.float64(2), "float32"),
    "np.float64 * f32": (lambda: np.float64(2) * f32(), "float32"),
    "np.float32 * f16": (lambda: np.float32(2) * f16(), "float16"),
    "f32 - np.int64": (lambda: f32() - np.int64(2), "float32"),
    "f32 + 0-d float64 array": (lambda: f32() + np.array(2.0), "float32"),
    "0-d float64 array / f32": (lambda: np.array(2.0) / f32(), "float32"),
    "f32 ** np.float64": (lambda: f32() ** np.float64(2), "float32"),
    "2.0 ** f32": (lambda: 2.0 ** f32(), "float32"),
    "f32 + list": (lambda: f32() + FLOATS, "float32"),
    "f64 + list": (lambda: f64() + FLOATS, "float64"),
    "f32 + list of ints": (lambda: f32() + INTS, "float32"),
    "f16 * 2.0": (lambda: f16() * 2.0, "float16"),
    "f16 * list": (lambda: f16() * [1.0, 2.0], "float32"),
    "f16 + f32": (lambda: f16() + f32(), "float32"),
    "f32 + f64": (lambda: f32() + f64(), "float64"),
    "f32 + 0-d f64 tensor": (lambda: f32() + mg.tensor(1.0, dtype=mg.float64), "float64"),
    "f32 * float64 array": (lambda: f32() * np.ones(2), "float64"),
    "float64 array * f32": (lambda: np.ones(2) * f32(), "float64"),
    "f32 + i64": (lambda: f32() + i64(), "float32"),
    "i64 + f32": (lambda: i64() + f32(), "float32"),
    "f16 * i32": (lambda: f16() * i32(), "float16"),
    "f64 * bool": (lambda: f64() * b(), "float64"),
    "f32 * int array": (lambda: f32() * np.array([1, 2]), "float32"),
    "int array * f16": (lambda: np.array([1, 2]) * f16(), "float16"),
    "f32 / i64": (lambda: f32() / i64(), "float32"),
    "i64 / i64": (lambda: i64() / i64(), "float32"),
    "i64 / 2": (lambda: i64() / 2, "float32"),
    "1 / i64": (lambda: 1 / i64(), "float32"),
    "bool / bool": (lambda: b() / mg.tensor([True, True]), "float32"),
    "i64 * 2.0": (lambda: i64() * 2.0, "float32"),
    "i64 * np.float64": (lambda: i64() * np.float64(2), "float32"),
    "2.5 - i64": (lambda: 2.5 - i64(), "float32"),
    "bool * 2.0": (lambda: b() * 2.0, "float32"),
    "bool + 1": (lambda: b() + 1, "int64"),
    "i64 + True": (lambda: i64() + True, "int64"),
    "i32 + 1": (lambda: i32() + 1, "int32"),
    "i32 + i64": (lambda: i32() + i64(), "int64"),
    "i64 ** 2": (lambda: i64() ** 2, "int64"),
    "i64 ** 0.5": (lambda: i64() ** 0.5, "float32"),
    "i64 ** f16": (lambda: i64() ** f16(), "float16"),
    "i64 @ f32": (lambda: i64() @ f32(), "float32"),
    "f32 @ f64": (lambda: f32() @ f64(), "float64"),
    "exp(i64)": (lambda: i64().exp(), "float32"),
    "sqrt(bool)": (lambda: b().sqrt(), "float32"),
    "mean(i64)": (lambda: i64().mean(), "float32"),
    "mean(f16)": (lambda: f16().mean(), "float16"),
    "var(i64)": (lambda: i64().var(), "float32"),
    "std(i32)": (lambda: i32().std(), "float32"),
    "softmax(i64)": (lambda: i64().softmax(0), "float32"),
    "logsumexp(i64)": (lambda: i64().logsumexp(), "float32"),
    "sum(i64)": (lambda: i64().sum(), "int64"),
    "sum(bool)": (lambda: b().sum(), "int64"),
    "sum(f16)": (lambda: f16().sum(), "float16"),
    "abs(i32)": (lambda: abs(i32()), "int32"),
    "relu(i64)": (lambda: i64().relu(), "int64"),
    "where(c, 1.0, 0.0)": (lambda: mg.where(b(), 1.0, 0.0), "float32"),
    "where(c, i64, 0.5)": (lambda: mg.where(b(), i64(), 0.5), "float32"),
    "where(c, f16, 0.5)": (lambda: mg.where(b(), f16(), 0.5), "float16"),
    "where(c, f16, i64)": (lambda: mg.where(b(), f16(), i64()), "float16"),
    "maximum(i64, 1.5)": (lambda: mg.maximum(i64(), 1.5), "float32"),
    "maximum(f32, np.float64)": (lambda: mg.maximum(f32(), np.float64(0.5)), "float32"),
    "minimum(f32, i64)": (lambda: mg.minimum(f32(), i64()), "float32"),
    "clip(f32, np.float64)": (lambda: f32().clip(np.float64(0), np.float64(1)), "float32"),
    "f32 < 0.5": (lambda: f32() < 0.5, "bool"),
    "argmax": (lambda: f32().argmax(), "int64"),
    "f32[0] * 2": (lambda: f32()[0] * 2, "float32"),
    "f32 sum * np.float64": (lambda: f32().sum() * np.float64(2), "float32"),
}


@pytest.mark.pitfall("E33", "E34")
@pytest.mark.parametrize(("make", "dtype"), PROMOTIONS.values(), ids=PROMOTIONS)
def test_promotion(make, dtype):
    assert make().dtype == dtype


def test_integers_become_the_default_dtype_that_is_set():
    mg.set_default_dtype(mg.float64)
    try:
        assert (i64() / i64()).dtype == "float64"
        assert i64().exp().dtype == "float64"
        assert (i64() * 0.5).dtype == "float64"
    finally:
        mg.set_default_dtype(mg.float32)


@pytest.mark.pitfall("E34", "E37")
@pytest.mark.parametrize("factor", [2.0, 2, True, np.float32(2), np.float64(2), np.int64(2),
                                    np.array(2.0), np.ones(3), np.arange(3)])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_gradient_has_its_tensors_dtype_whatever_it_met(factor, dtype):
    x = mg.ones(3, dtype=dtype, requires_grad=True)
    (x * factor).sum().backward()
    assert x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(factor, 3))


def test_exact_values_of_integers_divided():
    assert (mg.tensor([1, 3]) / mg.tensor([2, 4])).tolist() == [0.5, 0.75]


@pytest.mark.parametrize("value", ["a", 1j, object(), np.complex128(1), None])
def test_what_cannot_meet_a_tensor_is_an_error(value):
    with pytest.raises(TypeError):
        f32() + value


# ---- special values ------------------------------------------------------------------------------


def slope(f, *values):
    """The gradients of f at float64 numbers."""
    leaves = [mg.tensor(v, dtype=mg.float64, requires_grad=True) for v in values]
    return [g.item() for g in mg.grad(f(*leaves), leaves)]


@pytest.mark.pitfall("E43")
@pytest.mark.parametrize(("exponent", "value", "gradient"), [(0, 1, 0), (1, 0, 1), (2, 0, 0),
                                                             (3.0, 0, 0), (1.5, 0, 0)])  # fmt: skip
def test_powers_of_zero(exponent, value, gradient):
    assert (mg.tensor(0.0) ** exponent).item() == value
    assert slope(lambda x: x**exponent, 0.0) == [gradient]


@pytest.mark.pitfall("E43")
@pytest.mark.parametrize(("exponent", "gradient"), [(0.0, 0), (1.0, 1), (2.0, 0), (3.0, 0)])
def test_gradients_at_base_zero_with_an_exponent_that_learns(exponent, gradient):
    base, power = slope(lambda x, p: x**p, 0.0, exponent)
    assert base == gradient
    assert exponent == 0 or power == 0


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_higher_derivatives_of_powers_at_zero(exponent, as_tensor):
    p = mg.tensor(exponent, dtype=mg.float64) if as_tensor else exponent
    check_grads(lambda x: x**p, [np.zeros(2)], order=3)


@pytest.mark.pitfall("E43")
def test_the_root_of_zero_as_a_power_has_an_infinite_slope():
    with np.errstate(divide="ignore"):  # 0 ** -0.5
        assert slope(lambda x: x**0.5, 0.0) == [np.inf]


@pytest.mark.pitfall("E43")
def test_a_negative_power_of_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert (mg.tensor(0.0) ** -1).item() == np.inf
        assert slope(lambda x: x**-1.0, 0.0) == [-np.inf]


@pytest.mark.pitfall("E43")
def test_a_whole_power_of_a_negative_number_takes_no_logarithm():
    x, p = mg.tensor(-2.0, requires_grad=True), mg.tensor(2.0)
    (x**p).backward()  # a warning of log would be an error
    assert x.grad.item() == -4.0


@pytest.mark.pitfall("E43")
def test_a_root_of_a_negative_number_is_nan():
    with pytest.warns(RuntimeWarning, match="invalid"):
        assert np.isnan((mg.tensor(-2.0) ** 0.5).item())


@pytest.mark.pitfall("E41")
@pytest.mark.parametrize("name", ["relu", "abs", "sign"])
def test_the_slope_at_the_kink_is_zero(name):
    assert slope(getattr(mg, name), 0.0) == [0.0]


@pytest.mark.pitfall("E41")
@pytest.mark.parametrize(("x", "gradient"), [(-1.0, 1), (2.0, 1), (-1.5, 0), (2.5, 0), (0.0, 1)])
def test_clip_passes_gradients_at_its_bounds(x, gradient):
    assert slope(lambda x: x.clip(-1.0, 2.0), x) == [gradient]


@pytest.mark.pitfall("E41")
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_tie_of_two_is_shared_evenly(name):
    assert slope(getattr(mg, name), 3.0, 3.0) == [0.5, 0.5]


@pytest.mark.pitfall("E41")
def test_maximum_of_a_tensor_with_itself_has_slope_one():
    assert slope(lambda x: mg.maximum(x, x), 3.0) == [1.0]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_tie_with_a_number_is_shared_evenly(name):
    assert slope(lambda x: getattr(mg, name)(x, 3.0), 3.0) == [0.5]
    assert slope(lambda x: getattr(mg, name)(3.0, x), 3.0) == [0.5]


@pytest.mark.pitfall("E48")
@pytest.mark.parametrize(("name", "best"), [("amax", 3.0), ("amin", -3.0)])
@pytest.mark.parametrize("axis", [None, 1, (0, 1)])
def test_extremes_share_ties_evenly(name, best, axis):
    x = mg.tensor([[best, 0.0, best, best, best]], requires_grad=True)
    getattr(mg, name)(x, axis=axis).sum().backward()
    assert x.grad.tolist() == [[0.25, 0.0, 0.25, 0.25, 0.25]]


@pytest.mark.pitfall("E48")
@pytest.mark.parametrize("name", ["amax", "amin", "maximum", "minimum", "relu"])
def test_nan_comes_through(name):
    x = mg.tensor([np.nan, 1.0])
    y = getattr(mg, name)(x, 0.0) if name.endswith("imum") else getattr(mg, name)(x)
    assert np.isnan(y.numpy()).any()


@pytest.mark.pitfall("E50")
def test_division_by_zero_follows_ieee():
    with np.errstate(divide="ignore", invalid="ignore"):
        y = mg.tensor([1.0, -1.0, 0.0]) / mg.zeros(3)
    np.testing.assert_array_equal(y.numpy(), [np.inf, -np.inf, np.nan])


@pytest.mark.pitfall("E45")
def test_the_logarithm_of_zero_is_minus_infinity():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert mg.tensor(0.0).log().item() == -np.inf


@pytest.mark.pitfall("E40")
def test_the_root_of_zero_has_an_infinite_slope():
    x = mg.tensor(0.0, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        x.sqrt().backward()
    assert x.grad.item() == np.inf


@pytest.mark.pitfall("E44")
def test_the_recipe_of_where_has_a_finite_gradient():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    mg.where(x > 0, mg.sqrt(mg.where(x > 0, x, 1)), 0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


@pytest.mark.pitfall("E45")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("name", "low"), [("sigmoid", 0.0), ("tanh", -1.0)])
def test_saturated_functions_are_exact_and_flat(name, low, dtype):
    x = mg.tensor([-1000.0, 0.0, 1000.0], dtype=dtype, requires_grad=True)
    y = getattr(mg, name)(x)
    y.sum().backward()  # warnings are errors
    assert y.tolist() == [low, 0.5 + low / 2, 1.0]
    assert x.grad.tolist() == [0.0, 1.0 if name == "tanh" else 0.25, 0.0]


@pytest.mark.pitfall("E45")
def test_sigmoid_keeps_small_values_exact():
    assert_close(mg.tensor(-80.0, dtype=mg.float64).sigmoid(), np.exp(-80.0))


ROWS = [[1000.0, -1000.0, 0.0], [1000.0, 1000.0, 1000.0], [-1000.0, -1000.0, -999.0],
        [0.0, -np.inf, 0.0]]  # fmt: skip


@pytest.mark.pitfall("E46")
@pytest.mark.parametrize("row", ROWS)
def test_softmax_of_extreme_rows_sums_to_one_and_its_gradient_to_zero(row):
    x = mg.tensor(row, dtype=mg.float64, requires_grad=True)
    y = x.softmax()
    y.backward(np.array([1.0, 2.0, 4.0]))
    assert_close(y.sum(), np.array(1.0), size=3)
    assert np.isfinite(x.grad.numpy()).all()
    assert abs(x.grad.sum().item()) < 1e-15


@pytest.mark.pitfall("E46")
@pytest.mark.parametrize("row", ROWS)
def test_log_softmax_of_extreme_rows(row):
    x = mg.tensor(row, dtype=mg.float64, requires_grad=True)
    y = x.log_softmax()
    y[0].backward()
    shifted = np.array(row) - max(row)
    assert_close(y, shifted - np.log(np.exp(shifted).sum()))
    assert np.isfinite(x.grad.numpy()).all()
    assert abs(x.grad.sum().item()) < 1e-15


@pytest.mark.pitfall("E46")
@pytest.mark.parametrize("row", ROWS)
def test_logsumexp_of_extreme_rows(row):
    x = mg.tensor(row, dtype=mg.float64, requires_grad=True)
    y = x.logsumexp()
    y.backward()
    assert_close(y, np.array(max(row) + np.log(np.exp(np.array(row) - max(row)).sum())))
    assert_close(x.grad.sum(), np.array(1.0), size=3)


@pytest.mark.pitfall("E46")
def test_logsumexp_of_nothing_but_minus_infinity():
    with np.errstate(divide="ignore"):  # log(0) is meant
        assert mg.tensor([-np.inf, -np.inf]).logsumexp().item() == -np.inf


def test_logsumexp_with_plus_infinity_is_infinite():
    with np.errstate(over="ignore"):
        assert mg.tensor([np.inf, 1.0]).logsumexp().item() == np.inf


@pytest.mark.pitfall("E46")
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_one_element(name):
    y = getattr(mg, name)(mg.tensor([7.0]), 0)
    assert y.item() == {"softmax": 1.0, "log_softmax": 0.0, "logsumexp": 7.0}[name]


# ---- sums that must not lose (E53) ---------------------------------------------------------------


@pytest.mark.pitfall("E53")
def test_the_sum_of_many_ones():
    n = 2**24 + 3
    x = mg.ones(n, 2)
    assert x.sum(0).tolist() == [float(np.float32(n))] * 2


@pytest.mark.pitfall("E53")
@pytest.mark.parametrize("layout", ["rows", "columns", "every other row"])
def test_the_mean_of_many_rows(layout):
    a = np.random.default_rng(0).normal(100, 1, (2**21, 2)).astype(np.float32)
    a = {"rows": a, "columns": a.T.copy().T, "every other row": np.repeat(a, 2, 0)[::2]}[layout]
    assert_close(mg.Tensor(a).mean(0), a.mean(0, dtype=np.float64))


@pytest.mark.parametrize(
    ("shape", "small"),
    [((2**20, 2), (2,)), ((2**20, 2), (1, 2)), ((32, 2, 2**15), (2, 1)),
     ((2**20, 2, 1, 1), (2, 1, 1)), ((2**21,), ()), ((2, 2**20), (2, 1)), ((2**20, 2), (1, 1))],
)  # fmt: skip
def test_sum_to_of_many_values(shape, small):
    a = np.random.default_rng(0).normal(100, 1, shape).astype(np.float32)
    exact = a.astype(np.float64)
    lead = exact.ndim - len(small)
    axes = tuple(i for i, n in enumerate(shape) if i < lead or small[i - lead] != n)
    y = registry["sum_to"].call(mg.Tensor(a), shape=small)
    assert_close(y, exact.sum(axes).reshape(small))


@pytest.mark.pitfall("E53")
def test_the_bias_gradient_of_linear_over_many_rows():
    rows = 2**21
    g = np.random.default_rng(0).normal(100, 1, (rows, 2)).astype(np.float32)
    bias = mg.zeros(2, requires_grad=True)
    mg.nn.functional.linear(mg.zeros(rows, 1), mg.zeros(2, 1), bias).backward(g)
    assert_close(bias.grad, g.sum(0, dtype=np.float64))


@pytest.mark.pitfall("E36")
def test_the_mean_of_many_halves_does_not_overflow():
    x = mg.full((70000,), 2.0, dtype=mg.float16)
    assert x.mean().item() == 2.0


@given(shapes=TWO_SHAPES)
def test_sum_to_is_the_adjoint_of_broadcasting(shapes):
    small, big = shapes.input_shapes[0], shapes.result_shape
    x, y = normal(*small), normal(*big, seed=1)
    back = registry["sum_to"].call(y, shape=small)
    assert back.shape == small
    left = np.vdot(np.broadcast_to(x, big), y)
    scale = np.abs(x).sum() + np.abs(y).sum() + 1
    assert_close(np.append(left, scale), np.append(np.vdot(x, back), scale), size=max(y.size, 1))


@pytest.mark.parametrize(("shape", "small"), [((2, 3), (2,)), ((3,), (2,)), ((2, 3), (3, 3))])
def test_sum_to_refuses_what_was_not_broadcast(shape, small):
    with pytest.raises(ShapeError, match="not a broadcast"):
        registry["sum_to"].call(mg.ones(shape), shape=small)


# ---- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(3, 2), ((3, 2),), ([3, 2],), (-1, 2)])
def test_reshape_takes_lengths_or_one_tuple(arguments):
    assert mg.zeros(2, 3).reshape(*arguments).shape == (3, 2)


def test_t_reverses_the_axes_and_mt_swaps_the_last_two():
    x = mg.zeros(2, 3, 4)
    assert (x.T.shape, x.mT.shape) == ((4, 3, 2), (2, 4, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.reshape(4, 2),
        lambda x: x.permute(0),
        lambda x: x.permute(0, 0),
        lambda x: x.permute(0, 2),
        lambda x: x.transpose(0, 2),
        lambda x: x.expand(3, 3),
        lambda x: x.broadcast_to(2, 2),
        lambda x: x.unsqueeze(4),
        lambda x: x.flatten(1, 0),
        lambda x: x.squeeze(2),
        lambda x: x.flatten(0, 2),
        lambda x: x.sum(5),
    ],
)
def test_a_shape_that_does_not_fit_is_a_shape_error(wrong):
    with pytest.raises(ShapeError, match=r"2, 3|axis|axes"):
        wrong(mg.zeros(2, 3))


def test_squeeze_leaves_a_named_axis_that_is_longer():
    assert mg.zeros(2, 1).squeeze(0).shape == (2, 1)


def test_permute_that_is_no_permutation_says_what_to_type():
    with pytest.raises(ShapeError, match=r"permute\(1, 0\)"):
        mg.zeros(2, 3).permute(1)


# ---- calling -------------------------------------------------------------------------------------


def test_an_op_on_arrays_runs_without_recording():
    seen = []
    with mg.watch(lambda event: seen.append(event.name)):
        y = mg.tanh(normal(3))
    assert seen == ["tanh"]
    assert type(y) is np.ndarray


@pytest.mark.parametrize("needed", [0, 1])
def test_gradients_that_nobody_needs_are_not_computed(needed):
    leaves = [mg.ones(3, requires_grad=True), mg.ones(3, requires_grad=True)]
    out = (leaves[0].sin() * leaves[1].log().cos()).sum()  # the rules call cos and sin
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        mg.grad(out, leaves[needed])
    assert {"sin", "cos"} & set(names) == {("cos", "sin")[needed]}


@pytest.mark.parametrize("needed", [0, 1])
def test_constants_get_no_gradient_computed(needed):
    leaves = [mg.ones(3, requires_grad=i == needed) for i in (0, 1)]
    out = (leaves[0].sin() * leaves[1].log().cos()).sum()
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        out.backward()
    assert {"sin", "cos"} & set(names) == {("cos", "sin")[needed]}


@pytest.mark.parametrize("name", INSIDE)
def test_the_signature_of_an_op_is_readable(name):
    op = registry[name]
    shown = list(inspect.signature(op.call).parameters)
    assert set(op.inputs) | set(op.statics) <= set(shown)


def test_a_dtype_that_no_op_takes_is_refused_at_construction():
    with pytest.raises(DTypeError, match="complex"):
        mg.tensor(np.zeros(2, complex)).exp()
