"""What an op's docstring says under `Differs from PyTorch:`, shown on both sides.

So the table on the reference page is exact: a difference that is gone fails here, and so does a
paragraph that no test shows.
"""

import warnings

import numpy as np
import pytest
from peers import torch
from test_peer_edges import DECIDED_POINTS, DECIDED_ROWS

import minigrad as mg
from minigrad.op import registry
from minigrad.ops.catalogue import DIFFERS
from minigrad.ops.reduce import sum_to

MATRIX = [[2.0, 1.0], [1.0, 3.0]]
TIED = [1.0, 2.0, 2.0, 1.0]
DECISIONS = {}


def decision(name):
    """A test of what one op does otherwise."""

    def keep(test):
        DECISIONS.setdefault(name, []).append(test)
        return test

    return keep


def torch_refuses(call):
    with pytest.raises((RuntimeError, TypeError, IndexError, ValueError)):
        call()


@decision("allclose")
def _():
    assert isinstance(mg.allclose(mg.ones(2), 1.0), mg.Tensor)
    assert torch.allclose(torch.ones(2), torch.ones(2)) is True


@decision("clip")
def _():
    torch_refuses(lambda: torch.ones(2).clamp())
    assert mg.ones(2).clip().tolist() == [1.0, 1.0]
    assert torch.ones(2).clamp(torch.zeros(2), torch.zeros(2)).tolist() == [0.0, 0.0]
    with pytest.raises(mg.DTypeError, match="use maximum and minimum"):
        mg.ones(2).clip(mg.zeros(2), mg.zeros(2))


@decision("pow")
def _():
    """The mixed derivative at exponent 0 is 1/a; PyTorch's Hessian is not symmetric."""
    a, b = mg.tensor(2.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
    slope = mg.grad(a**b, a, create_graph=True)[0]
    assert mg.grad(slope, b)[0].item() == 0.5
    c, d = torch.tensor(2.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    slope = torch.autograd.grad(c**d, c, create_graph=True)[0]
    assert torch.autograd.grad(slope, d)[0].item() == 0.0
    assert torch.pow(torch.tensor([2]), torch.tensor([-1])).tolist() == [0]
    with pytest.raises(ValueError, match="negative integer powers"):
        mg.tensor([2]) ** mg.tensor([-1])


@decision("var")
@decision("std")
def _():
    for name in ("var", "std"):
        with pytest.warns(UserWarning, match="degrees of freedom"):
            getattr(torch.ones(1), name)()
        assert np.isnan(getattr(mg.ones(1), name)().item())  # a warning would be an error


@decision("sum_to")
def _():
    x = np.ones((2, 3), np.int32)
    assert torch.tensor(x).sum_to_size(3).dtype == torch.int64
    assert sum_to(mg.tensor(x), shape=(3,)).dtype == mg.int32


@decision("einsum")
def _():
    a, half = np.ones((2, 2), np.float32), np.full((4096, 1), 1.0, np.float16)
    assert torch.einsum(torch.tensor(a), [0, 0], []).item() == 2.0
    with pytest.raises(mg.DTypeError):
        mg.einsum(mg.tensor(a), [0, 0], [])
    assert mg.einsum("ij,ij->j", mg.tensor(half), mg.tensor(half)).item() == 4096


@decision("tensordot")
def _():
    a, b = np.ones((2, 1)), np.ones((3, 2))
    assert torch.tensordot(torch.tensor(a), torch.tensor(b), 1).shape == (2, 2)
    with pytest.raises(mg.ShapeError):
        mg.tensordot(mg.tensor(a), mg.tensor(b), 1)


for _name in ("inv", "det", "cholesky", "solve"):

    @decision(_name)
    def _(name=_name):
        for dtype in (np.int64, np.float16):
            a = np.array(MATRIX, dtype)
            more = [np.ones(2, dtype)] if name == "solve" else []
            torch_refuses(lambda: getattr(torch.linalg, name)(*map(torch.tensor, (a, *more))))  # noqa: B023
            y = getattr(mg, name)(*map(mg.tensor, (a, *more)))
            assert y.dtype == (dtype if dtype == np.float16 else mg.float32)


@decision("det")
def _():
    """The second derivative of det a at a = 0 is that of a₀₀ a₁₁ - a₀₁ a₁₀."""
    x, z = mg.zeros(2, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    g = mg.grad(mg.det(x), x, create_graph=True)[0][0, 0]
    assert mg.grad(g, x)[0].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    h = torch.autograd.grad(torch.linalg.det(z), z, create_graph=True)[0][0, 0]
    assert not torch.autograd.grad(h, z)[0].isfinite().all()


@decision("cholesky")
def _():
    a = np.array([[2.0, 100.0], [1.0, 3.0]])
    assert torch.linalg.cholesky(torch.tensor(a))[1, 0] == pytest.approx(1 / 2**0.5)
    with pytest.raises(np.linalg.LinAlgError):
        mg.cholesky(mg.tensor(a))  # of (a + aᵀ) / 2


@decision("gather")
def _():
    torch_refuses(lambda: torch.ones(2).gather(0, torch.tensor([-1])))
    assert mg.tensor([1.0, 2.0]).gather(0, mg.tensor([-1])).tolist() == [2.0]


@decision("scatter_add")
def _():
    torch_refuses(lambda: torch.ones(2).scatter_add(0, torch.tensor([-1]), torch.ones(1)))
    assert mg.zeros(2).scatter_add(0, mg.tensor([-1]), mg.ones(1)).tolist() == [0.0, 1.0]
    z, x = torch.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    y = torch.zeros(2).scatter_add(0, torch.tensor([0]), z)
    torch_refuses(lambda: torch.autograd.grad(y.sum(), z))
    found = mg.grad(mg.zeros(2).scatter_add(0, mg.tensor([0]), x).sum(), x)[0]
    assert found.tolist() == [1.0, 0.0]


@decision("take")
def _():
    torch_refuses(lambda: torch.take(torch.ones(2, 2), torch.tensor([1]), 1))
    assert mg.ones(2, 2).take([1], axis=1).shape == (2, 1)


@decision("index_add")
def _():
    torch_refuses(lambda: torch.ones(2).index_add(0, torch.tensor([-1]), torch.ones(1)))
    assert mg.zeros(2).index_add(0, mg.tensor([-1]), mg.ones(1)).tolist() == [0.0, 1.0]


@decision("getitem")
def _():
    torch_refuses(lambda: torch.ones(2)[::-1])
    assert mg.tensor([1.0, 2.0])[::-1].tolist() == [2.0, 1.0]


@decision("masked_fill")
def _():
    mask = [True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.tensor([1, 2]).masked_fill(torch.tensor(mask), torch.tensor(0.5))
    assert theirs.tolist() == [0, 2]
    assert mg.tensor([1, 2]).masked_fill(mg.tensor(mask), 0.5).tolist() == [0.5, 2.0]


@decision("pad")
def _():
    torch_refuses(lambda: torch.nn.functional.pad(torch.ones(3), (1, 1), "reflect"))
    assert mg.tensor([1.0, 2.0, 3.0]).pad((1, 0), mode="reflect").tolist() == [2.0, 1.0, 2.0, 3.0]


@decision("max")
@decision("min")
def _():
    """PyTorch's max takes a second tensor; which of equal values it returns is left open."""
    for name, index in (("max", 1), ("min", 0)):
        pair = torch.tensor([1.0]), torch.tensor([2.0])
        assert getattr(torch, name)(*pair).item() == (index and 2.0) or name == "min"
        assert getattr(mg.tensor(TIED), name)(0).indices.item() == index
        with pytest.raises(mg.DTypeError, match=f"use {name}imum"):
            getattr(mg, name)(mg.tensor([1.0]), mg.tensor([2.0]))


@decision("sort")
@decision("argsort")
@decision("topk")
def _():
    """PyTorch leaves the order of equal values open unless `stable`; ours is one."""
    x = mg.tensor(np.array(TIED * 32))
    expected = np.argsort(x.numpy(), kind="stable")
    assert x.argsort(stable=False).tolist() == x.sort(stable=False).indices.tolist()
    assert x.argsort(stable=False).tolist() == expected.tolist()
    assert x.topk(5, largest=False, sorted=False).indices.tolist() == expected[:5].tolist()


@decision("norm")
def _():
    x = np.ones((2, 2))
    assert torch.tensor(x).norm("nuc").item() == pytest.approx(2.0)
    with pytest.raises(mg.DTypeError):
        mg.tensor(x).norm("nuc")
    assert torch.linalg.norm(torch.tensor(x), 1, dim=(0, 1)).item() == 2.0  # of the matrix
    assert mg.tensor(x).norm(1, axis=(0, 1)).item() == 4.0


# ---- the table is exact --------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECISIONS)
def test_the_difference_is_there(name):
    for test in DECISIONS[name]:
        test()


def test_the_docstrings_say_what_differs_and_nothing_else():
    shown = set(DECISIONS) | {name for name, _ in DECIDED_POINTS}
    shown |= {call.split()[0] for call in DECIDED_ROWS}
    said = {name for name, op in registry.items()
            if any(p.startswith(DIFFERS) for p in op.doc.split("\n\n"))}  # fmt: skip
    assert not said - shown, f"{sorted(said - shown)}: a test must show the difference"
    silent = shown - said
    assert not silent, f"{sorted(silent)}: the docstring must say `{DIFFERS}...`"
