"""einsum and tensordot: every notation, against NumPy and PyTorch; what is refused; long sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, OutOfRangeError, ShapeError
from minigrad.op import registry
from minigrad.samples import Draw
from minigrad.testing import assert_close, check_grads


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


NOTATIONS = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "ij,jk": [(2, 3), (3, 4)],
    "bA": [(2, 3)],
    "ii": [(3, 3)],
    "ii->i": [(3, 3)],
    "iji->j": [(2, 3, 2)],
    "iiij,jk->ik": [(2, 2, 2, 3), (3, 2)],
    "ij->": [(2, 3)],
    "ij->ji": [(2, 3)],
    "ijk->k": [(2, 3, 2)],
    "i,j": [(2,), (3,)],
    "i,i,i->": [(3,), (3,), (3,)],
    "ij,k->i": [(2, 3), (4,)],
    "ij,ij->ij": [(2, 1), (1, 3)],
    "ij,ij->i": [(2, 1), (2, 3)],
    "ij,j->": [(2, 1), (3,)],
    ",->": [(), ()],
    ",ij": [(), (2, 3)],
    "": [()],
    "->": [()],
    " i j , j k -> k i ": [(2, 3), (3, 4)],
    "...": [(2, 3)],
    "...->...": [(2, 3)],
    "...i->i...": [(2, 3, 4)],
    "i...j,j...->i...": [(2, 4, 3), (3, 4)],
    "...ij,...jk": [(2, 1, 2, 3), (4, 3, 2)],
    "b...,b...->...": [(2, 3), (2, 1)],
    "...ii->...i": [(2, 3, 3)],
    "i...->...": [(3,)],
    "ij,jk,kl,lm->im": [(2, 3), (3, 2), (2, 3), (3, 2)],
    "ij,jk->ik ": [(2, 0), (0, 3)],
    "ij->i": [(0, 3)],
    "i,i->i": [(0,), (1,)],
}


@pytest.mark.parametrize("subscripts", NOTATIONS)
def test_what_numpy_takes_with_right_derivatives(subscripts):
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(NOTATIONS[subscripts])]
    expected = np.asarray(np.einsum(subscripts, *arrays))
    assert_close(mg.einsum(subscripts, *map(mg.tensor, arrays)), expected, size=64)
    assert_close(mg.einsum(subscripts, [mg.tensor(a) for a in arrays]), expected, size=64)
    check_grads(lambda *xs: mg.einsum(subscripts, *xs), arrays, order=3)


@pytest.mark.parametrize("subscripts", NOTATIONS)
def test_what_pytorch_takes_at_two_orders(subscripts):
    torch = pytest.importorskip("torch")
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(NOTATIONS[subscripts])]
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = mg.einsum(subscripts, *xs), torch.einsum(subscripts, *ts)
    assert_close(y, t.detach().numpy(), size=64)
    firsts = mg.grad((y * y).sum(), xs, create_graph=True)
    theirs = torch.autograd.grad((t * t).sum(), ts, create_graph=True)
    for g, h in zip(firsts, theirs, strict=True):
        assert_close(g, h.detach().numpy(), size=64)
    seconds = mg.grad(sum((g * g).sum() for g in firsts), xs)
    theirs = torch.autograd.grad(sum((h * h).sum() for h in theirs), ts)
    for g, h in zip(seconds, theirs, strict=True):
        assert_close(g, h.numpy(), size=256)


@given(st.integers(0, 2**16))
def test_any_subscripts_like_numpy(seed):
    arrays, statics = registry["einsum"].samples(Draw.seeded(seed))
    found = mg.einsum(statics["subscripts"], *map(mg.tensor, arrays))
    terms, arrow, out = statics["subscripts"].partition("->")
    if "..." in terms and arrow and "..." not in out:  # PyTorch sums over it, NumPy refuses
        every = np.einsum(f"{terms}->...{out.strip()}", *arrays)
        lead = every.ndim - len(out.strip())
        expected = every.sum(tuple(range(lead)))
    else:
        expected = np.einsum(statics["subscripts"], *arrays)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_dots_that_the_result_lacks_are_summed_as_in_pytorch():
    assert mg.einsum("...i->i", mg.ones(2, 3)).tolist() == [2.0, 2.0, 2.0]


def test_a_repeated_index_leaves_infinities_off_the_diagonal_alone():
    x = mg.tensor([[1.0, np.inf], [np.nan, 2.0]], requires_grad=True)
    y = mg.einsum("ii", x)
    assert y.item() == 3.0
    assert mg.grad(y, x)[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_numbers_and_dtypes():
    x = mg.ones(2)
    assert mg.einsum("i,", x, 2.0).dtype == np.float32
    assert mg.einsum("i,", x, np.float64(2.0)).dtype == np.float32
    assert mg.einsum("i,i", x, mg.tensor([1, 2])).dtype == np.float32
    assert mg.einsum("i,i", x, x.double()).dtype == np.float64
    assert mg.einsum("i,i", mg.tensor([1, 2]), mg.tensor([3, 4])).item() == 11
    assert mg.einsum("i->", mg.tensor([True, True])).item() == 2
    assert mg.einsum("i,", mg.tensor([1, 2]), 0.5).tolist() == [0.5, 1.0]


def test_results_have_memory_of_their_own():
    x = mg.ones(2, 3)
    for subscripts in ("ij", "ij->ji", "...", "ij,->ij"):
        y = mg.einsum(subscripts, *[x, mg.ones(())][: subscripts.count(",") + 1])
        assert not np.shares_memory(y.array, x.array)


def test_sums_over_many_rows_lose_nothing():
    x = mg.ones(2**24 + 2**10, 1)
    assert mg.einsum("ij->j", x).item() == x.shape[0]
    half = mg.ones(5000).half()
    assert mg.einsum("i,i", half, half).item() == 5000
    assert mg.einsum("i->", half).item() == 5000


def test_one_operand_twice_has_both_gradients():
    check_grads(lambda x: mg.einsum("ij,jk,ki->", x, x, x), [normal(3, 3)], order=3)


def test_many_operands_are_contracted_in_a_good_order():
    xs = [mg.full((16, 16), 1 / 16, requires_grad=True) for _ in range(12)]  # 16¹³ products at once
    y = mg.einsum("ab,bc,cd,de,ef,fg,gh,hi,ij,jk,kl,lm->am", *xs)
    assert_close(y, np.full((16, 16), 1 / 16, np.float32), size=12)
    assert len(mg.grad(y.sum(), xs)) == 12


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 2)], "2 terms, for 1 operand"),
        ("i", [(2,), (2,)], "1 terms, for 2 operand"),
        ("i1", [(2, 2)], "'1' in a term"),
        ("i->i->i", [(2,)], "'-' in a term"),
        ("i - > i", [(2,)], "'-' in a term"),
        ("..i", [(2,)], "'.' in a term"),
        ("....i", [(2,)], "'.' in a term"),
        (". . . i", [(2,)], "'.' in a term"),
        ("...i...", [(2,)], "twice in one term"),
        ("ijk", [(2, 2)], r"operand 0 of shape \(2, 2\) has 2 axes"),
        ("i,i", [(2,), (2, 2)], r"operand 1 of shape \(2, 2\) has 2 axes"),
        ("ijk...", [(2, 2)], "has 3 letters"),
        ("ij,jk->ik", [(2, 3), (4, 2)], "index 'j' has the lengths 3 and 4 in operands 0 and 1"),
        ("ii", [(2, 3)], "index 'i' has the lengths 2 and 3 in operand 0"),
        ("ii", [(1, 3)], "index 'i' has the lengths 1 and 3 in operand 0"),
        ("...i,...i", [(2, 3), (4, 3)], r"axis 0 of '\.\.\.' has the lengths 2 and 4"),
        ("i->j", [(2,)], "'j' but no operand has it"),
        ("i->ii", [(2,)], "'i' twice"),
    ],
)
def test_subscripts_that_mean_nothing(subscripts, shapes, message):
    with pytest.raises(ShapeError, match=f"einsum.*{message}"):
        mg.einsum(subscripts, *[mg.ones(*shape) for shape in shapes])


def test_einsum_without_subscripts_or_operands():
    with pytest.raises(DTypeError, match="give a string first"):
        mg.einsum(mg.ones(2), [0])
    with pytest.raises(ShapeError, match="no operands"):
        mg.einsum("i")


# ---- tensordot -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "dims"),
    [
        ((2, 3, 4), (3, 4, 2), 2),
        ((2, 3), (3, 2), 1),
        ((2, 3), (4,), 0),
        ((2, 3, 4), (4, 2), ([0, 2], [1, 0])),
        ((2, 3, 4), (4, 2), ([-1], [-2])),
        ((2, 3), (2, 3), (1, 1)),
        ((2, 3), (3, 2), ([], [])),
        ((0, 3), (3, 0), 1),
        ((2, 0), (0, 3), 1),
        ((), (), 0),
    ],
)
def test_tensordot_like_numpy_with_right_derivatives(left, right, dims):
    a, b = normal(*left), normal(*right, seed=1)
    expected = np.tensordot(a, b, axes=dims)
    assert_close(mg.tensordot(mg.tensor(a), mg.tensor(b), dims), expected, size=16)
    assert_close(mg.tensordot(mg.tensor(a), mg.tensor(b), axes=dims), expected, size=16)
    check_grads(lambda a, b: mg.tensordot(a, b, dims=dims), [a, b], order=3)


@pytest.mark.parametrize(
    ("dims", "kind", "message"),
    [
        (1, ShapeError, "axis 1 of a has length 3, axis 0 of b 2"),
        (3, ShapeError, "give 0 to 2"),
        (-1, ShapeError, "give 0 to 2"),
        (([2], [0]), OutOfRangeError, "axis 2"),
        (([0], [0, 1]), ShapeError, "1 axes of a, 2 of b"),
        (([0, 0], [0, 1]), ShapeError, "twice"),
        ([1], ShapeError, "a number, or the axes"),
        (1.5, DTypeError, "whole number"),
    ],
)
def test_tensordot_over_axes_that_do_not_fit(dims, kind, message):
    with pytest.raises(kind, match=f"tensordot.*{message}"):
        mg.tensordot(mg.ones(2, 3), mg.ones(2, 3), dims)
