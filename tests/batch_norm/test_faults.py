"""B3: wrong backwards and wrong accumulation, each of which the checks must reject."""

import importlib

import numpy as np
import pytest
from batch_norm_cases import EPS, draw, worst
from wrong_norms import (
    AXES,
    SEEN,
    SHAPE,
    column,
    defining,
    distance_from_composed,
    forward_y,
    inputs,
    reference,
    total,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.testing import check_grads

sweep = importlib.import_module("minigrad.sweep")


@pytest.fixture
def plant():
    with defining() as define:
        yield define


# ---- terms that are missing or mis-scaled: wrong at once

FAULTS = {
    "none": lambda g, xhat, n, c: g - total(g) / n - xhat * (total(g * xhat) / n),
    "no mean term": lambda g, xhat, n, c: g - xhat * (total(g * xhat) / n),
    "no variance term": lambda g, xhat, n, c: g - total(g) / n,
    "1/C instead of 1/N": lambda g, xhat, n, c: g - total(g) / c - xhat * (total(g * xhat) / c),
}


@pytest.fixture
def planted(plant, request):
    """A batch norm whose rule has the named fault; statistics from the tracked x."""
    bracket = FAULTS[request.param]

    def planted_batch_norm(xp, x, gamma, beta, *, axes, eps):
        return forward_y(x, gamma, beta, eps)[0]

    op = plant(planted_batch_norm, reference=reference)

    @op.vjp
    def _(g, x, gamma, eps):
        n = x.size // x.shape[1]
        c = x - x.mean(axis=AXES, keepdims=True)
        r = ((c * c).mean(axis=AXES, keepdims=True) + eps) ** -0.5
        xhat = c * r
        dx = column(gamma) * r * bracket(g, xhat, n, x.shape[1])
        return dx, total(g * xhat).reshape(-1), total(g).reshape(-1)

    return lambda x, gamma, beta: op(x, gamma, beta, axes=AXES, eps=EPS)


@pytest.mark.parametrize("planted", ["none"], indirect=True)
def test_B3_the_rule_without_a_fault_passes_to_order_3(planted):
    check_grads(planted, inputs(), order=3)
    assert max(distance_from_composed(planted, order) for order in (1, 2, 3)) < 1e-9


wrong = pytest.mark.parametrize("planted", [f for f in FAULTS if f != "none"], indirect=True)


@wrong
def test_B3_a_wrong_backward_is_rejected_at_order_1_by_check_grads(planted):
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(planted, inputs(), order=1)


@wrong
def test_B3_a_wrong_backward_is_rejected_at_order_1_by_the_composed_form(planted):
    assert distance_from_composed(planted, 1) > SEEN


@wrong
def test_B3_a_wrong_backward_is_rejected_by_the_identities_of_dx(planted):
    """Σ dx = 0 and Σ dx·x̂ = 0 need no oracle."""
    xs = [t.requires_grad_() for t in inputs()]
    (dx,) = mg.grad(planted(*xs), xs[0], mg.tensor(draw(SHAPE, 5)))
    _, c, r = forward_y(*(t.numpy() for t in xs), EPS)
    sums = np.abs(dx.numpy().sum(AXES)), np.abs((dx.numpy() * c * r).sum(AXES))
    assert max(s.max() for s in sums) > SEEN


# ---- an accumulation that writes into somebody else's memory


class IntoTheFirst(sweep._Flow):
    """Takes every gradient for a sum of its own, and adds to it in place."""

    class Everything:
        def __contains__(self, node):
            return True

        def add(self, node):
            pass

    def __init__(self, create_graph):
        super().__init__(create_graph)
        self.ours = self.Everything()


class IntoTheSecond(sweep._Flow):
    """Adds what a node has got, in place, to the gradient that comes."""

    def add(self, nodes, gs, *op):
        for node, g in zip(nodes, gs, strict=True):
            if node in self.got:
                g += self.got[node]
                self.got[node] = g
            else:
                super().add((node,), (g,), *op)


def sum_and_quotient(x, y):
    """The sum feeds back into x: `add` hands one array to both."""
    z = x + y
    return (x / z).sum()


def square_beside_sum(x, y):
    """x gets a second contribution while y still waits on the array of the first."""
    u = x * x
    s = x + y
    return (u * s * s).sum()


def residual_block(x, w):
    """Pre-activation block: the normalised value feeds the branch and the skip."""
    stem = x * w
    a = F.batch_norm(stem, None, None, None, None, training=True)
    branch = F.batch_norm(a * a, None, None, None, None, training=True)
    s = a + stem
    return (branch * branch * branch + s * s).sum()


CASES = {
    "square": (IntoTheFirst, square_beside_sum),
    "residual": (IntoTheFirst, residual_block),
    "quotient": (IntoTheSecond, sum_and_quotient),
}
aliased = pytest.mark.parametrize(("flow", "f"), CASES.values(), ids=CASES)


def operands():
    return [mg.tensor(draw((4, 3), 1, mean=3.0)), mg.tensor(draw((4, 3), 2, mean=3.0))]


def plain_gradients(f):
    xs = [t.requires_grad_() for t in operands()]
    return [t.numpy().copy() for t in mg.grad(f(*xs), xs)]


@aliased
def test_right_accumulation_passes(flow, f):
    check_grads(f, operands(), order=2)


@aliased
def test_aliased_accumulation_is_rejected_by_check_grads(flow, f, monkeypatch):
    monkeypatch.setattr(sweep, "_Flow", flow)
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(f, operands(), order=1)


@aliased
def test_aliased_accumulation_changes_an_unrecorded_gradient(flow, f, monkeypatch):
    right = plain_gradients(f)
    monkeypatch.setattr(sweep, "_Flow", flow)
    wrong = plain_gradients(f)
    assert max(worst(a, b) for a, b in zip(wrong, right, strict=True)) > SEEN
