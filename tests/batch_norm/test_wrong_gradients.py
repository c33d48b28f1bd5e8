"""B3: wrong backwards and wrong accumulation, each of which the checks must reject."""

import importlib
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import pytest
from batch_norm_helpers import EPS, assert_near, axes_of, draw, worst
from test_gradients import assert_gradcheck, gradients, random_parameters
from wrong_norms import (
    AXES,
    SEEN,
    SHAPE,
    distance_from_composed,
    forward_y,
    inputs,
    reference,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.op import Op
from minigrad.ops.batch_norm import batch_norm
from minigrad.testing import check_grads

sweep = importlib.import_module("minigrad.sweep")


# ---- terms that are missing or mis-scaled: wrong at once


class Rule(NamedTuple):
    """How dx has the terms of the mean and of the variance: 1 or 0 times, over n or over C."""

    mean: int = 1
    variance: int = 1
    over_channels: bool = False

    def divisor(self, x):
        """What their sums are divided by."""
        channels = x.shape[1]
        return channels if self.over_channels else x.size // channels


FAULTS = {
    "none": Rule(),
    "no mean term": Rule(mean=0),
    "no variance term": Rule(variance=0),
    "1/C instead of 1/N": Rule(over_channels=True),
}


def fused_with(rule):
    """A batch norm with this rule, by hand; statistics from the tracked x."""

    def wrong_batch_norm(xp, x, gamma, beta, *, axes, eps):
        return batch_norm.forward(xp, x, gamma, beta, axes=axes, eps=eps)[0][0]

    def backward(g, x, gamma, axes, eps):
        def total(t):
            return t.sum(axis=axes, keepdims=True)

        c = x - x.mean(axis=axes, keepdims=True)
        r = ((c * c).mean(axis=axes, keepdims=True) + eps) ** -0.5
        xhat, k = c * r, rule.divisor(x)
        terms = rule.mean * total(g) / k + rule.variance * xhat * (total(g * xhat) / k)
        dx = gamma.reshape(r.shape) * r * (g - terms)
        return dx, total(g * xhat).reshape(-1), total(g).reshape(-1)

    op = Op(wrong_batch_norm, backward, reference)  # no law meets it: it is in no registry
    return lambda x, gamma, beta: op.call(x, gamma, beta, axes=axes_of(x), eps=EPS)


def composed_with(rule):
    """A batch norm with this rule, which its primitives give it."""

    def wrong_batch_norm(x, gamma, beta):
        def mean(t, times):
            """The mean, with a gradient of its own."""
            slope = times * t.sum(axes_of(x), keepdims=True) / rule.divisor(x)
            return t.mean(axes_of(x), keepdims=True).detach() + (slope - slope.detach())

        c = x - mean(x, rule.mean)
        r = (mean(c * c, rule.variance) + EPS) ** -0.5
        gamma, beta = (t.reshape(r.shape) for t in (gamma, beta))
        return gamma * (c * r) + beta

    return wrong_batch_norm


def test_B3_wrong_backwards_are_rejected_by_b1(shape, fused, device):
    shape = (max(shape[0], 3), *shape[1:])
    arrays, dy = [draw(shape, 1), *random_parameters()], draw(shape, 5)
    for name, rule in FAULTS.items():
        f = fused_with(rule) if fused else composed_with(rule)
        wrong = pytest.raises(AssertionError, match="Not equal to tolerance")
        with nullcontext() if name == "none" else wrong:
            assert_gradcheck(f, arrays, dy, device)


@pytest.mark.parametrize("name", FAULTS)
def test_B3_a_wrong_backward_is_the_same_in_both_forms(shape, device, name):
    arrays, dy = [draw(shape, 1), *random_parameters()], draw(shape, 5)
    forms = fused_with(FAULTS[name]), composed_with(FAULTS[name])
    assert_near(*(gradients(f, arrays, dy, device) for f in forms))


@pytest.fixture
def wrong_norm(request):
    """A fused batch norm whose rule has the named fault."""
    return fused_with(FAULTS[request.param])


@pytest.mark.parametrize("wrong_norm", ["none"], indirect=True)
def test_B3_the_rule_without_a_fault_passes_to_order_3(wrong_norm):
    check_grads(wrong_norm, inputs(), order=3)
    assert max(distance_from_composed(wrong_norm, order) for order in (1, 2, 3)) < 1e-9


faulty = pytest.mark.parametrize("wrong_norm", [f for f in FAULTS if f != "none"], indirect=True)


@faulty
def test_B3_a_wrong_backward_is_rejected_at_order_1_by_check_grads(wrong_norm):
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(wrong_norm, inputs(), order=1)


@faulty
def test_B3_a_wrong_backward_is_rejected_at_order_1_by_the_composed_form(wrong_norm):
    assert distance_from_composed(wrong_norm, 1) > SEEN


@faulty
def test_B3_a_wrong_backward_is_rejected_by_the_identities_of_dx(wrong_norm):
    """Σ dx = 0 and Σ dx·x̂ = 0 need no oracle."""
    xs = [t.requires_grad_() for t in inputs()]
    (dx,) = mg.grad(wrong_norm(*xs), xs[0], mg.tensor(draw(SHAPE, 5)))
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
