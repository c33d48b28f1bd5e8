"""Embedding: looking up rows, their gradients, and the options."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import DeviceError, DTypeError, OutOfRangeError, ShapeError, nn, optim
from minigrad.nn import functional as F
from minigrad.testing import check_grads

TABLE = np.random.default_rng(0).normal(size=(5, 3))
indices = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=4)


def table(**options):
    return mg.tensor(TABLE, requires_grad=True, **options)


def onehot(index):
    """Looking up as a matrix product: what the gradient of a row adds up."""
    return (np.asarray(index)[..., None] == np.arange(5)).astype(float)


@given(index=indices, padding=st.one_of(st.none(), st.integers(-5, 4)), freq=st.booleans())
def test_rows_are_read_and_gradients_added_where_they_were(index, padding, freq):
    weight, g = table(), np.random.default_rng(1).normal(size=(len(index), 3, 3))
    y = F.embedding(mg.tensor(index), weight, padding, scale_grad_by_freq=freq)
    np.testing.assert_array_equal(y.numpy(), TABLE[index])
    (gradient,) = mg.grad(y, weight, mg.tensor(g))
    hot = onehot(index)
    expected = np.einsum("ijv,ijd->vd", hot, g)
    if freq:
        expected /= np.maximum(hot.sum((0, 1)), 1)[:, None]
    if padding is not None:
        expected[padding] = 0
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (2, 1, 3), (0,), (2, 0)])
def test_indices_of_any_shape_and_integer_dtype(shape, dtype, device):
    index = np.ones(shape, dtype)
    y = nn.Embedding(4, 3, device=device)(mg.tensor(index, device=device))
    assert y.shape == (*shape, 3)
    assert y.device == mg.zeros(1, device=device).device


@pytest.mark.parametrize("x", [[[1, 2], [0, 1]], np.array([[1, 2], [0, 1]]), ((1, 2), (0, 1))])
def test_lists_and_arrays_are_indices_too(x, device):
    weight = mg.tensor(TABLE, device=device)
    np.testing.assert_array_equal(F.embedding(x, weight).cpu().numpy(), TABLE[np.asarray(x)])


def test_an_empty_list_gives_no_rows():
    assert F.embedding([], table()).shape == (0, 3)


@pytest.mark.parametrize("options", [{}, {"max_norm": 10.0}, {"norm_type": 1.0}])
def test_derivatives_of_order_three(options):
    index = mg.tensor([[0, 1, 1], [4, 0, 3]])
    check_grads(lambda w: F.embedding(index, w, **options) ** 3, [table()], order=3)


def test_the_padding_row_is_constant_at_every_order():
    """The same as a table whose row is put in as a constant."""
    index = mg.tensor([[0, 1, 2], [2, 2, 4]])
    keep = mg.tensor(np.arange(5)[:, None] != 2)

    def padded(w):
        return F.embedding(index, w, padding_idx=-3)

    def put_in(w):
        return F.embedding(index, mg.where(keep, w, w.detach()))

    results = []
    for f in (padded, put_in):
        w, found = table(), []
        y = (f(w) ** 4).sum() * (f(w)[0, 0] ** 2).sum()
        for _ in range(3):
            (y,) = mg.grad(y.sum(), w, create_graph=True)
            found.append(y.numpy().copy())
        results.append(found)
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)
        assert not mine[2].any()
        assert mine[0].any()


def test_a_scaled_gradient_has_no_derivative():
    w, index = mg.tensor([[2.0], [3.0]], requires_grad=True), [0, 0, 0, 1]
    y = F.embedding(index, w, scale_grad_by_freq=True)
    with pytest.raises(mg.GraphError, match="leave it out with create_graph=True"):
        mg.grad((y**3).sum(), w, create_graph=True)
    (first,) = mg.grad((F.embedding(index, w, scale_grad_by_freq=True) ** 3).sum(), w)
    assert first.tolist() == [[12.0], [27.0]]


def test_a_row_looked_up_often_is_counted_in_float16():
    w = mg.ones(2, 1, dtype=mg.float16, requires_grad=True)
    y = F.embedding(np.zeros(70_000, int), w, scale_grad_by_freq=True)
    (gradient,) = mg.grad(y, w, mg.ones_like(y))
    assert abs(gradient[0].item() - 1) < 1e-2


# ---- the start, padding, training ----------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 3, -1, -4])
def test_the_padding_row_starts_at_zero_and_stays(padding):
    module = nn.Embedding(4, 3, padding_idx=padding)
    assert module.padding_idx == padding % 4
    steps = optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        steps.zero_grad()
        (module([[0, 1, 2, 3]]) + 1).sum().backward()
        steps.step()
    assert not module.weight[padding].numpy().any()
    assert (np.abs(module.weight.numpy()).sum(1) > 0).sum() == 3


def test_the_start_is_normal_and_the_same_on_every_device(device):
    mg.manual_seed(3)
    here = nn.Embedding(300, 200).weight.numpy()
    mg.manual_seed(3)
    np.testing.assert_array_equal(nn.Embedding(300, 200, device=device).weight.cpu().numpy(), here)
    assert abs(here.mean()) < 0.02
    assert abs(here.std() - 1) < 0.02


# ---- max_norm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, np.inf])
def test_long_rows_that_are_looked_up_are_shortened_in_place(p):
    weight, looked_up = table(), [0, 0, 3]
    y = F.embedding(looked_up, weight, max_norm=0.5, norm_type=p)
    lengths = np.linalg.norm(TABLE, p, axis=1)
    expected = TABLE.copy()
    for row in {0, 3}:
        expected[row] *= min(1, 0.5 / lengths[row])
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(weight.numpy()[[1, 2, 4]], TABLE[[1, 2, 4]])
    np.testing.assert_array_equal(y.numpy(), weight.numpy()[looked_up])
    (gradient,) = mg.grad(y.sum(), weight)
    assert gradient.tolist() == onehot(looked_up).sum(0)[:, None].repeat(3, 1).tolist()


def test_a_shortening_that_a_graph_would_not_see_is_noticed():
    weight = table()
    y = (weight * weight).sum()
    F.embedding([0], weight, max_norm=0.1)
    with pytest.raises(mg.GraphError):
        y.backward()


# ---- given tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [TABLE, mg.tensor(TABLE), TABLE.tolist()])
@pytest.mark.parametrize("freeze", [True, False])
def test_a_given_table_is_copied_and_frozen_or_not(given, freeze):
    module = nn.Embedding.from_pretrained(given, freeze, padding_idx=-1)
    np.testing.assert_allclose(module.weight.numpy(), TABLE, rtol=1e-6)  # the last row is kept
    assert module.weight.requires_grad != freeze
    assert (module.num_embeddings, module.embedding_dim, module.padding_idx) == (5, 3, 4)
    with mg.no_grad():
        module.weight.zero_()
    assert np.asarray(given).any()


def test_from_pretrained_makes_what_it_was_called_on():
    class Words(nn.Embedding):
        pass

    assert type(Words.from_pretrained(TABLE)) is Words


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_its_own(make):
    module = nn.Embedding(4, 3, padding_idx=1, max_norm=2.0)
    other = make(module)
    np.testing.assert_array_equal(other([[1, 2]]).numpy(), module([[1, 2]]).numpy())
    assert repr(other) == repr(module)
    assert "4, 3, padding_idx=1, max_norm=2.0)" in repr(module)
    assert "scale" not in repr(module)


# ---- refusals ------------------------------------------------------------------------------------

E = nn.Embedding(4, 3)
WRONG = {
    "too high": (lambda: E([0, 4]), OutOfRangeError, r"index 4 .* 4 rows: give 0 to 3"),
    "negative": (lambda: E(mg.tensor([-1])), IndexError, "index -1"),
    "floating": (lambda: E(mg.tensor([1.0])), DTypeError, r"float32.*int64"),
    "floating and empty": (lambda: E(mg.zeros(0)), DTypeError, "float32"),
    "booleans": (lambda: E(mg.tensor([True])), DTypeError, "bool"),
    "a table of integers": (lambda: F.embedding([0], mg.tensor([[1]])), DTypeError, "int64"),
    "no matrix": (lambda: F.embedding([0], mg.ones(3)), ShapeError, r"\(3,\).*\(V, D\)"),
    "padding": (lambda: nn.Embedding(4, 3, 4), OutOfRangeError, "4 for 4 rows: .* -4 to 3"),
    "low padding": (lambda: nn.Embedding(4, 3, -5), OutOfRangeError, "-5"),
    "padding of another kind": (lambda: F.embedding([0], mg.ones(2, 2), 0.5), IndexError, "0.5"),
    "padding of True": (lambda: nn.Embedding(4, 3, True), OutOfRangeError, "True for 4 rows"),
    "sparse": (lambda: nn.Embedding(4, 3, sparse=True), ValueError, "dense"),
    "a sparse call": (lambda: F.embedding([0], E.weight, sparse=True), ValueError, "dense"),
    "no rows": (lambda: nn.Embedding(0, 3), ShapeError, "num_embeddings"),
    "no columns": (lambda: nn.Embedding(3, 0), ShapeError, "embedding_dim"),
    "a table of three axes": (
        lambda: nn.Embedding.from_pretrained(np.ones((2, 2, 2))), ShapeError, r"\(2, 2, 2\)",
    ),
    "a given table of integers": (
        lambda: nn.Embedding.from_pretrained([[1, 2]]), DTypeError, "int64",
    ),
    "another shape": (
        lambda: nn.Embedding(2, 3, _weight=mg.ones(3, 2)), ShapeError, r"\(3, 2\).*\(2, 3\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_nothing_is_shortened_by_a_refused_call():
    weight = table()
    with pytest.raises(OutOfRangeError):
        F.embedding([0, 9], weight, max_norm=0.1)
    np.testing.assert_array_equal(weight.numpy(), TABLE)


@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_indices_on_another_device_are_refused_and_nothing_is_shortened(max_norm, cuda):
    module = nn.Embedding(4, 3, max_norm=max_norm, device=cuda)
    before = module.weight.tolist()
    with pytest.raises(DeviceError):
        module(mg.tensor([1]))
    assert module.weight.tolist() == before
