"""Indexing, all of NumPy's, and reading and adding along an axis: E29, E30, E31 and on.

The fixed list of indices stands in test_ops.py; here Hypothesis draws them.
"""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from cupy_standin import hidden_copies
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DeviceError, DTypeError, OutOfRangeError, ShapeError
from minigrad.ops.index import _keys as keys_of
from minigrad.ops.index import unindex
from minigrad.samples import Draw
from minigrad.testing import assert_close, check_grads


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def draws(data):
    """Choices made by Hypothesis."""
    return Draw(lambda low, high: data.draw(st.integers(low, high)))


def leaf(values, device="cpu"):
    return mg.tensor(np.asarray(values, np.float64), device=device, requires_grad=True)


def written(x, v, key):
    y = x * 1.0
    y[key] = v
    return y


def drawn(data, most=3):
    """An array and an index into it."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=most, min_side=0, max_side=3))
    draw = draws(data)
    return normal(*shape), keys_of(draw, shape), draw


# ---- NumPy's indexing, whatever the index


@given(data=st.data())
def test_reading_is_numpys_to_second_order(data):
    x, key, _ = drawn(data)
    np.testing.assert_array_equal(mg.tensor(x)[key].numpy(), x[key])
    check_grads(lambda t: (t * t)[key], [x], 2)


@given(data=st.data())
def test_the_adjoint_counts_every_occurrence(data):
    x, key, _ = drawn(data)
    t = leaf(x)
    y = t[key]
    counts = np.zeros(x.shape)
    np.add.at(counts, key, 1.0)
    np.testing.assert_array_equal(mg.grad(y, t, mg.ones_like(y))[0].numpy(), counts)


@given(data=st.data())
def test_writing_is_numpys_to_second_order(data):
    x, key, draw = drawn(data)
    full = x[key].shape
    sub = tuple([1 if draw.integer(0, 3) == 0 else n for n in full])[draw.integer(0, len(full)) :]
    v, expected = normal(*sub, seed=1), x.copy()
    expected[key] = v
    np.testing.assert_array_equal(written(mg.tensor(x), mg.tensor(v), key).numpy(), expected)
    in_place = mg.tensor(x)
    with mg.no_grad():
        in_place[key] = mg.tensor(v)
    np.testing.assert_array_equal(in_place.numpy(), expected)
    check_grads(lambda x, v: written(x, v, key) ** 2, [x, v], 2)


@given(data=st.data())
def test_writing_is_the_same_on_a_gpu(data, standin_once):
    x, key, draw = drawn(data)
    full = x[key].shape
    v = normal(*full[draw.integer(0, len(full)) :], seed=1)
    results = []
    for device in ("cpu", "cuda"):
        hidden_copies.clear()
        a, b = leaf(x, device), leaf(v, device)
        y = written(a, b, key)
        level = mg.grad((y * y * y).sum(), [a, b], create_graph=True)
        second = mg.grad(sum((g * g).sum() for g in level), [a, b])
        read = a[key].detach().clone()
        assert not hidden_copies
        with mg.no_grad():
            a[key] = b
        assert not hidden_copies
        results.append([t.numpy() for t in (y, *level, *second, read, a)])
    for here, there in zip(*results, strict=True):
        assert_close(here, there, size=x.size)  # a broadcast v's gradient is a sum, rounded


@pytest.fixture(scope="module")
def standin_once():
    """The stand-in, once for all examples of a test."""
    import cupy_standin
    from cupy_replaced import cupy_replaced

    from minigrad import backend

    with cupy_replaced(cupy_standin.modules):
        backend.named("cuda")
        yield


def test_the_samples_meet_every_kind_of_index():
    kinds = set()
    for seed in range(400):
        draw = Draw.seeded(seed)
        key = keys_of(draw, draw.shape(least=1, side=(1, 3)))
        parts = key if isinstance(key, tuple) else (key,)
        arrays = [k for k in parts if hasattr(k, "dtype")]
        kinds |= {type(k).__name__ for k in parts}
        kinds |= {f"{a.dtype.kind}{a.ndim}" for a in arrays}
        places = [i for i, k in enumerate(parts) if hasattr(k, "dtype")]
        kinds |= {"apart"} if places and places[-1] - places[0] >= len(places) else set()
        kinds |= {"mask and integers"} if len({a.dtype.kind for a in arrays}) == 2 else set()
        steps = [k.step for k in parts if isinstance(k, slice)]
        kinds |= {"back"} if any(step and step < 0 for step in steps) else set()
        for a in arrays:
            kinds |= {"repeated"} if a.dtype.kind == "i" and len(set(a.flat)) < a.size else set()
    assert kinds >= {
        *("NoneType", "ellipsis", "slice", "int", "back", "apart", "repeated"),
        *("i0", "i1", "i2", "b1", "b2", "mask and integers"),
    }


# ---- one by one


@pytest.mark.parametrize(
    ("read", "count"),
    [
        (lambda x: x[[0, 0, 1]], [2, 1, 0]),
        (lambda x: x[::-1], [1, 1, 1]),
        (lambda x: x[::-2], [1, 0, 1]),
        (lambda x: x[..., None], [1, 1, 1]),
        (lambda x: x[[]], [0, 0, 0]),
        (lambda x: x[np.array([True, False, True])], [1, 0, 1]),
        (lambda x: x[np.array([[-1, -1], [2, 0]])], [1, 0, 3]),
        (lambda x: x[mg.tensor([1, 1, 1])], [0, 3, 0]),
        (lambda x: x[((0, 0, 2),)], [2, 0, 1]),
        (lambda x: x[range(2)], [1, 1, 0]),
        (lambda x: x[None, [0, 0]], [2, 0, 0]),
        (lambda x: x[np.array(2)], [0, 0, 1]),
        (lambda x: x.flip(0)[:1], [0, 0, 1]),
        (lambda x: x.reshape(-1)[1:], [0, 1, 1]),
    ],
)
def test_how_often_a_value_is_read(device, read, count):
    x = leaf([0.0, 0.0, 0.0], device)
    (g,) = mg.grad(read(x).sum(), x)
    assert g.tolist() == count


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("key", [0, (1, 2), -1, (0, 0), (slice(1), 0), ([1], [2])])
def test_a_value_with_axes_of_length_one_fits_one_place(shape, key, device):
    x = mg.zeros(3, 3, device=device)
    with mg.no_grad():
        x[key] = mg.full(shape, 5.0, device=device)
    y = written(mg.zeros(3, 3, device=device), mg.full(shape, 5.0, device=device), key)
    expected = np.zeros((3, 3))
    expected[key] = 5
    assert x.tolist() == y.tolist() == expected.tolist()


@pytest.mark.parametrize("recording", [True, False])
def test_a_value_that_does_not_fit_is_a_shape_error(device, recording):
    x = mg.zeros(3, 3, device=device)
    for key, shape in ((0, (2, 3)), ((0, 1), (3,)), ([0, 1], (3, 3)), (slice(2), (2, 2, 3))):
        with mg.set_grad_enabled(recording), pytest.raises(ShapeError, match="do not fit"):
            x[key] = mg.ones(*shape, device=device)
    assert not x.numpy().any()


def test_the_last_value_stays_whatever_the_memory_of_the_values():
    key = (np.array([[[1, 1, 1]], [[0, 1, 0]], [[0, 0, 1]], [[1, 0, 1]]]), np.array([[0]]),
           np.array([[1, 1, 1], [0, 2, 0], [1, 0, 2], [0, 2, 1]]))  # fmt: skip
    v = np.arange(48.0).reshape(4, 4, 3)
    for values in (v, np.asfortranarray(v), v[::-1].copy()[::-1]):
        x, t = leaf(np.zeros((2, 1, 3))), leaf(np.zeros((4, 4, 3)))
        t.array = values
        y = written(x, t, key)
        (g,) = mg.grad(y.sum(), t)
        assert sorted(v[g.numpy() == 1]) == sorted(y.numpy()[y.numpy() != 0])
        assert y.tolist() == written(mg.zeros(2, 1, 3), mg.tensor(v), key).tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_many_gradients_that_meet_lose_nothing(dtype):
    n = 2**12 if dtype is np.float16 else 2**24 + 8
    x = mg.zeros(2, dtype=dtype, requires_grad=True)
    (g,) = mg.grad(x[np.zeros(n, np.intp)].sum(), x)
    assert g.tolist() == [float(dtype(n)), 0]


@pytest.mark.parametrize("index", [3, -4, [0, 3], [[-4]], (slice(None), 2)])
def test_an_index_out_of_range_is_an_error_on_the_cpu(index):
    with pytest.raises(OutOfRangeError, match="out of bounds"):
        mg.zeros(3, 2)[index]
    with pytest.raises(OutOfRangeError, match="out of bounds"):
        mg.zeros(3, 2)[index] = 1.0


def test_on_a_gpu_integers_wrap_and_masks_of_another_shape_raise(standin):
    x = mg.arange(3, device="cuda")
    assert x[[3, 4, -1]].tolist() == [0, 1, 2]
    with pytest.raises(OutOfRangeError, match="mask"):
        x[np.array([True, False])]
    with pytest.raises(OutOfRangeError, match="length 0"):
        x[:0][[0]]
    assert mg.zeros(2, 3, device="cuda")[[[True, False, True], [False] * 3]].shape == (2,)


def test_indices_that_live_on_the_gpu_stay_there(standin):
    x, v = leaf(normal(3, 2), "cuda"), leaf(normal(4, 2), "cuda")
    index = mg.tensor([0, 2, 2, 0], device="cuda")
    y = written(x, v, index)
    z = y[index] * mg.take(x, index, 0) + y.gather(0, index.reshape(2, 2)).sum()
    z = z + x.scatter_add(0, index.reshape(2, 2), v).sum() + x.index_add(0, index, v).sum()
    gs = mg.grad((z * z).sum(), [x, v], create_graph=True)
    mg.grad(sum((g * g).sum() for g in gs), [x, v])
    assert not hidden_copies


def test_values_of_unindex_with_too_many_axes_are_refused():
    with pytest.raises(ShapeError, match="do not fit"):
        unindex(mg.ones(1, 2, 3, 1), shape=(1, 0, 1), key=(..., np.array([0])))


# ---- along an axis


@st.composite
def arrays_axes_and_indices(draw, same_rank):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    lengths = [draw(st.integers(0, m)) for m in shape]
    lengths[axis] = draw(st.integers(0, 5))
    most = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    index_shape = tuple(lengths) if same_rank else draw(most)
    index = draw(hnp.arrays(np.int64, index_shape, elements=st.integers(0, n - 1)))
    return normal(*shape), axis, index


@given(given_=arrays_axes_and_indices(same_rank=False))
def test_take_is_numpys(given_):
    x, axis, index = given_
    t = mg.tensor(x)
    for i in (index, index - x.shape[axis]):
        np.testing.assert_array_equal(mg.take(t, mg.tensor(i), axis).numpy(), np.take(x, i, axis))
        np.testing.assert_array_equal(t.take(i).numpy(), np.take(x, i))
    check_grads(lambda t: mg.take(t * t, index, axis) ** 2, [x], 2)
    check_grads(lambda t: mg.take(t * t, index) ** 2, [x], 2)


@given(given_=arrays_axes_and_indices(same_rank=True), extra=st.integers(0, 1))
def test_gather_and_scatter_add_are_pytorchs(given_, extra):
    torch = pytest.importorskip("torch")
    x, axis, index = given_
    src = normal(*[n + extra for n in index.shape], seed=1)
    found = mg.gather(mg.tensor(x), axis, mg.tensor(index))
    expected = torch.gather(torch.tensor(x), axis, torch.tensor(index))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    found = mg.scatter_add(mg.tensor(x), axis, mg.tensor(index), mg.tensor(src))
    expected = torch.scatter_add(torch.tensor(x), axis, torch.tensor(index), torch.tensor(src))
    assert_close(found, expected.numpy(), size=10)
    check_grads(lambda x, s: mg.scatter_add(x * x, axis, index, s * s) ** 2, [x, src], 2)


@given(given_=arrays_axes_and_indices(same_rank=True), alpha=st.sampled_from([1, 2.5, -1.0, 0]))
def test_index_add_is_pytorchs(given_, alpha):
    torch = pytest.importorskip("torch")
    x, axis, index = given_
    index = index.reshape(-1)[:4]
    shape = list(x.shape)
    shape[axis] = len(index)
    source = normal(*shape, seed=1)
    found = mg.index_add(mg.tensor(x), axis, mg.tensor(index), mg.tensor(source), alpha)
    given_ = torch.tensor(index), torch.tensor(source)
    expected = torch.index_add(torch.tensor(x), axis, *given_, alpha=alpha)
    assert_close(found, expected.numpy(), size=10)
    add = lambda x, s: mg.index_add(x * x, axis, index, s * s, alpha=alpha) ** 2  # noqa: E731
    check_grads(add, [x, source], 2)


def test_adding_takes_the_wider_dtype_and_keeps_integers():
    index = mg.tensor([0, 0])
    ints = mg.zeros(2, dtype=mg.int64).scatter_add(0, index, mg.tensor([1, 2]))
    assert (ints.tolist(), ints.dtype) == ([3, 0], np.int64)
    wide = mg.zeros(2).scatter_add(0, index, mg.tensor([1.0, 2.0], dtype=mg.float64))
    assert wide.dtype == np.float64
    half = mg.zeros(2, dtype=mg.float16).index_add(0, index, mg.ones(2, dtype=mg.float16))
    assert (half.tolist(), half.dtype) == ([2, 0], np.float16)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, i: x.gather(0, mg.tensor([0])), ShapeError, "as many axes"),
        (lambda x, i: x.gather(0, mg.tensor([[0.5]])), DTypeError, "integers"),
        (lambda x, i: x.gather(0, mg.tensor([[True]])), DTypeError, "mask"),
        (lambda x, i: x.gather(0, mg.tensor([[0, 0, 0]])), ShapeError, "none longer"),
        (lambda x, i: x.gather(0, mg.tensor([[3]])), OutOfRangeError, "out of bounds"),
        (lambda x, i: x.gather(2, mg.tensor([[0]])), OutOfRangeError, "axis 2"),
        (lambda x, i: x.gather((0, 1), mg.tensor([[0]])), DTypeError, "one axis"),
        (lambda x, i: x.take(6), OutOfRangeError, "out of bounds"),
        (lambda x, i: x.take([0, 3], axis=0), OutOfRangeError, "out of bounds"),
        (lambda x, i: x.take(1.0), DTypeError, "integers"),
        (lambda x, i: x[:0].take(0), OutOfRangeError, "length 0"),
        (lambda x, i: x.scatter_add(0, mg.tensor([[0, 1]]), mg.ones(2)), ShapeError, "src of"),
        (lambda x, i: x.scatter_add(0, mg.tensor([[0, 1]]), mg.ones(1, 1)), ShapeError, "at least"),
        (lambda x, i: x.scatter_add(0, mg.tensor([[0, 1]]), 1.0), ShapeError, "src of"),
        (lambda x, i: x.index_add(0, i, mg.ones(2, 3)), ShapeError, "n on axis 0"),
        (lambda x, i: x.index_add(0, 0, mg.ones(2)), ShapeError, r"give \(n,\)"),
        (lambda x, i: x.index_add(0, i, mg.ones(2, 2), alpha="a"), DTypeError, "alpha"),
        (lambda x, i: x.index_add(0, i), DTypeError, "None"),
        (lambda x, i: mg.zeros(2, dtype=mg.int64).index_add(0, i, i, 0.5), DTypeError, "cut"),
        (lambda x, i: x.masked_fill(x, 1.0), DTypeError, "boolean"),
        (lambda x, i: x.masked_fill(x > 0, mg.ones(2)), ShapeError, "0-d"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(mg.zeros(3, 2), mg.tensor([0, 2]))


def test_an_index_of_another_device_is_refused(standin):
    x, index = mg.zeros(3, 2, device="cuda"), mg.tensor([[0, 1]])
    for call in (
        lambda: x.gather(0, index),
        lambda: x.take(index),
        lambda: x.scatter_add(0, index, mg.ones(1, 2, device="cuda")),
        lambda: x.index_add(0, index[0], x[:2]),
        lambda: x.masked_fill(index > 0, 1.0),
    ):
        with pytest.raises(DeviceError, match="cuda:0"):
            call()


# ---- masked_fill


@given(data=st.data())
def test_masked_fill_is_where(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    x, mask = normal(*shapes.input_shapes[0]), normal(*shapes.input_shapes[1], seed=1) > 0
    y = mg.tensor(x).masked_fill(mg.tensor(mask), 2.5)
    np.testing.assert_array_equal(y.numpy(), np.where(mask, 2.5, x))
    check_grads(lambda x, v: (x * x).masked_fill(mask, v * v) ** 2, [x, np.array(1.5)], 2)


def test_masked_fill_is_pytorchs():
    torch = pytest.importorskip("torch")
    x, mask = normal(3, 2), normal(3, 1, seed=1) > 0
    t, v = leaf(x), leaf(2.0)
    y = mg.masked_fill(t, mg.tensor(mask), v)
    a, b = torch.tensor(x, requires_grad=True), torch.tensor(2.0, dtype=torch.float64)
    b.requires_grad_()
    z = torch.masked_fill(a, torch.tensor(mask), b)
    assert y.tolist() == z.tolist()
    found = mg.grad((y**3).sum(), [t, v])
    expected = torch.autograd.grad((z**3).sum(), [a, b])
    for g, h in zip(found, expected, strict=True):
        assert_close(g, h.numpy(), size=6)


@pytest.mark.parametrize("value", [-np.inf, 2, np.float64(2), np.array(2.0), True])
def test_masked_fill_keeps_the_dtype(value):
    for dtype in (mg.float16, mg.float32):
        y = mg.ones(2, dtype=dtype).masked_fill(mg.tensor([True, False]), value)
        assert y.dtype == dtype
        assert y.tolist() == [float(value), 1]


def test_masked_fill_looks_at_no_values(standin):
    x = leaf([1.0, -1.0], "cuda")
    y = x.masked_fill(x < 0, 0.0)
    mg.grad(y.sum(), x)
    assert not hidden_copies
    assert y.tolist() == [1, 0]
