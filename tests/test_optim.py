"""Optimisers: PyTorch's arithmetic, parameter groups, errors."""

import numpy as np
import pytest
from values import normal

import minigrad as mg
from minigrad.errors import GraphError
from minigrad.optim import SGD, Adam

SETTINGS = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd momentum": (SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd dampening": (SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd nesterov": (SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd weight decay": (SGD, {"lr": 0.05, "weight_decay": 0.1}),
    "sgd nesterov, decay": (
        SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ),
    "sgd dampening, decay": (
        SGD, {"lr": 0.05, "momentum": 0.8, "dampening": 0.5, "weight_decay": 0.1},
    ),
    "adam": (Adam, {}),
    "adam lr": (Adam, {"lr": 0.1}),
    "adam betas": (Adam, {"lr": 0.1, "betas": (0.5, 0.7)}),
    "adam betas 0": (Adam, {"lr": 0.1, "betas": (0.0, 0.0)}),
    "adam eps": (Adam, {"lr": 0.1, "eps": 0.1}),
    "adam weight decay": (Adam, {"lr": 0.1, "weight_decay": 0.2}),
}  # fmt: skip
every_setting = pytest.mark.parametrize(("kind", "options"), SETTINGS.values(), ids=SETTINGS)


def trained(kind, options, dtype, steps=20):
    """A matrix and a vector after so many steps down a quartic bowl, ours and PyTorch's."""
    torch = pytest.importorskip("torch")
    starts = [normal(3, 2).astype(dtype), normal(4).astype(dtype)]
    ours = [mg.tensor(a, requires_grad=True) for a in starts]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    pairs = [
        (ours, kind(ours, **options)),
        (theirs, getattr(torch.optim, kind.__name__)(theirs, **options)),
    ]
    for params, optimiser in pairs:
        for _ in range(steps):
            optimiser.zero_grad()
            sum((0.1 * p**4 + (p - 1) ** 2).sum() for p in params).backward()
            optimiser.step()
    return [(a.numpy(), b.detach().numpy()) for a, b in zip(ours, theirs, strict=True)]


@every_setting
def test_twenty_steps_are_torchs_in_float64(kind, options):
    for ours, theirs in trained(kind, options, "float64"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@every_setting
def test_twenty_steps_are_torchs_in_float32(kind, options):
    for ours, theirs in trained(kind, options, "float32"):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def leaf(*values):
    return mg.tensor(list(values), requires_grad=True)


def with_grads(*tensors):
    for t in tensors:
        t.grad = mg.ones(t.shape)
    return tensors


def test_groups_have_options_of_their_own():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25).step()
    assert (a.item(), b.item()) == (0.75, 0.5)


def test_a_group_may_be_one_tensor():
    (a,) = with_grads(leaf(1.0))
    SGD([{"params": a}], lr=0.25).step()
    assert a.item() == 0.75


def test_groups_show_their_options():
    a, b = leaf(1.0), leaf(1.0)
    groups = Adam([{"params": [a]}, {"params": [b], "eps": 1e-3}], lr=0.5).param_groups
    assert [(g["lr"], g["eps"]) for g in groups] == [(0.5, 1e-8), (0.5, 1e-3)]


def test_a_changed_learning_rate_holds_from_the_next_step():
    (a,) = with_grads(leaf(1.0))
    optimiser = SGD([a], lr=0.25)
    optimiser.param_groups[0]["lr"] = 0.5
    optimiser.step()
    assert a.item() == 0.5


def test_groups_can_be_added_later():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    optimiser = SGD([a], lr=0.25)
    optimiser.add_param_group({"params": [b], "lr": 1.0})
    optimiser.step()
    assert (a.item(), b.item()) == (0.75, 0.0)


def test_parameters_may_come_from_a_generator():
    model = mg.nn.Linear(2, 3)
    assert len(SGD(model.parameters(), lr=0.1).param_groups[0]["params"]) == 2


def test_a_parameter_without_gradient_stays():
    a, b = leaf(1.0), leaf(1.0)
    with_grads(a)
    SGD([a, b], lr=0.5).step()
    assert (a.item(), b.item()) == (0.5, 1.0)


def test_zero_grad_takes_the_gradients_away():
    (a,) = with_grads(leaf(1.0))
    SGD([a], lr=0.5).zero_grad()
    assert a.grad is None


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_leaves_the_gradient_as_it_is(kind):
    (a,) = with_grads(leaf(1.0, 2.0))
    options = {"momentum": 0.9} if kind is SGD else {}
    optimiser = kind([a], lr=0.5, weight_decay=0.5, **options)
    optimiser.step()
    optimiser.step()
    assert a.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_works_in_place_and_keeps_the_leaf(kind):
    (a,) = with_grads(leaf(1.0))
    memory = a.array
    kind([a], lr=0.5).step()
    assert a.array is memory
    assert a.is_leaf
    assert a.requires_grad


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_between_forward_and_backward_is_noticed(kind):
    (a,) = with_grads(leaf(1.0))
    loss = (a * a).sum()
    kind([a], lr=0.5).step()
    with pytest.raises(GraphError, match=rf"mul.*{kind.__name__}\.step"):
        loss.backward()


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_records_nothing(kind):
    (a,) = with_grads(leaf(1.0))
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        kind([a], lr=0.5).step()
    assert names == []


def with_options(**options):
    return lambda: SGD([leaf(1.0)], **{"lr": 0.1, **options})


def adam(**options):
    return lambda: Adam([leaf(1.0)], **options)


def twice():
    a = leaf(1.0)
    return SGD([a, a], lr=0.1)


def twice_in_groups():
    a = leaf(1.0)
    return SGD([{"params": [a]}, {"params": [a]}], lr=0.1)


ERRORS = {
    "no parameters": (lambda: SGD([], lr=0.1), ValueError, "no parameters"),
    "a used-up generator": (lambda: Adam(iter([])), ValueError, "no parameters"),
    "twice": (twice, ValueError, "twice"),
    "twice in groups": (twice_in_groups, ValueError, "twice"),
    "unknown option": (
        lambda: SGD([{"params": [leaf(1.0)], "beta": 1}], lr=0.1), TypeError, "beta.*momentum",
    ),
    "unknown keyword": (with_options(beta=1), TypeError, "beta"),
    "no learning rate": (lambda: SGD([leaf(1.0)]), TypeError, "lr"),
    "negative lr": (with_options(lr=-0.1), ValueError, r"lr=-0\.1"),
    "lr that is no number": (with_options(lr=float("nan")), ValueError, "lr=nan"),
    "negative weight decay": (with_options(weight_decay=-1), ValueError, "weight_decay=-1"),
    "negative momentum": (with_options(momentum=-1), ValueError, "momentum=-1"),
    "nesterov without momentum": (with_options(nesterov=True), ValueError, "momentum"),
    "nesterov with dampening": (
        with_options(nesterov=True, momentum=0.9, dampening=0.1), ValueError, "dampening",
    ),
    "negative lr of a group": (
        lambda: SGD([{"params": [leaf(1.0)], "lr": -1}], lr=0.1), ValueError, "lr=-1",
    ),
    "beta of 1": (adam(betas=(0.9, 1.0)), ValueError, "betas"),
    "negative beta": (adam(betas=(-0.1, 0.9)), ValueError, "betas"),
    "negative eps": (adam(eps=-1e-8), ValueError, "eps"),
    "result of an op": (lambda: SGD([leaf(1.0) * 2], lr=0.1), GraphError, "result of an op"),
    "one tensor": (lambda: SGD(leaf(1.0), lr=0.1), TypeError, "list"),
    "an array": (lambda: SGD([np.ones(2)], lr=0.1), TypeError, "ndarray"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_group_that_is_refused_is_not_added():
    optimiser = SGD([leaf(1.0)], lr=0.1)
    with pytest.raises(ValueError, match="lr=-1"):
        optimiser.add_param_group({"params": [leaf(2.0)], "lr": -1})
    assert len(optimiser.param_groups) == 1
