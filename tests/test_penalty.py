"""Penalties: values, gradients, what counts once, and what is refused."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import DTypeError
from minigrad.testing import assert_close, check_grads

PENALTIES = {
    "l1": (nn.l1_penalty, np.abs, np.sign),
    "l2": (nn.l2_penalty, np.square, lambda w: 2 * w),
}
each_penalty = pytest.mark.parametrize(("penalty", "f", "slope"), PENALTIES.values(), ids=PENALTIES)


@each_penalty
def test_of_a_module_it_is_the_sum_over_all_parameters(penalty, f, slope):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4)).double()
    total = penalty(model)
    total.backward()
    assert total.shape == ()
    assert_close(total, sum(f(p.numpy()).sum() for p in model.parameters()), size=24)
    for p in model.parameters():
        np.testing.assert_array_equal(p.grad.numpy(), slope(p.numpy()))


@each_penalty
def test_a_tensor_may_be_penalised_and_several(penalty, f, slope):
    """Outputs of neurons: the gradient goes on to what made them."""
    w = mg.tensor(np.random.default_rng(0).normal(size=(3, 2)), requires_grad=True)
    v = mg.tensor([0.5, 0.0, -2.0], mg.float64, requires_grad=True)
    check_grads(lambda w: penalty(w @ w.T), w, order=3)
    for several in ([w, v], (w, v), iter([w, v]), {"a": w, "b": v}.values()):
        total = penalty(several)
        assert_close(total, f(w.numpy()).sum() + f(v.numpy()).sum(), size=9)
    for t in (w, v):
        (g,) = mg.grad(penalty(t), t)
        np.testing.assert_array_equal(g.numpy(), slope(t.numpy()))


@each_penalty
def test_what_is_shared_counts_once(penalty, f, slope):
    one, two = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    two.weight = one.weight
    both = nn.Sequential(one, two)
    assert penalty(both).item() == penalty(one).item()
    assert penalty([one.weight, one.weight]).item() == penalty(one).item()


@each_penalty
def test_frozen_parameters_count_and_have_no_gradient(penalty, f, slope):
    model = nn.Linear(2, 1)
    whole = penalty(model).item()
    model.weight.requires_grad = False
    total = penalty(model)
    total.backward()
    assert total.item() == whole
    assert model.weight.grad is None
    assert_close(penalty(p for p in model.parameters() if p.requires_grad),
                 f(model.bias.numpy()).sum())  # fmt: skip
    assert not penalty(model.freeze()).requires_grad


@each_penalty
def test_long_sums_of_float32_are_exact(penalty, f, slope):
    ones = mg.ones(2**12, 2**13)  # 2²⁵ in all: added one by one it would stop at 2²⁴
    assert penalty([ones, mg.ones(4)]).item() == 2**25 + 4
    assert penalty(ones).dtype == mg.float32


def test_squares_of_float16_do_not_vanish():
    w = mg.full((1000,), 1e-4, dtype=mg.float16, requires_grad=True)
    total = nn.l2_penalty(w)
    total.backward()
    assert total.dtype == mg.float32
    np.testing.assert_allclose(total.item(), 1000 * 1e-8, rtol=1e-2)
    assert w.grad.dtype == mg.float16


@each_penalty
def test_of_an_empty_tensor_it_is_zero(penalty, f, slope):
    assert penalty(mg.zeros(0, 3)).item() == 0.0


@each_penalty
def test_it_stays_on_the_device(penalty, f, slope, device):
    model = nn.Linear(2, 3).to(device)
    assert penalty(model).device == model.weight.device


def test_half_lambda_times_l2_is_sgds_weight_decay():
    """Twenty steps of the same model on the same data, to the last digits."""
    decay, (x, t) = 0.3, (mg.tensor(np.random.default_rng(k).normal(size=(5, 2))) for k in (0, 1))
    penalised, decayed = nn.Linear(2, 2).double(), nn.Linear(2, 2).double()
    decayed.load_state_dict(penalised.state_dict())
    steps = [
        optim.SGD(penalised.parameters(), lr=0.1, momentum=0.9),
        optim.SGD(decayed.parameters(), lr=0.1, momentum=0.9, weight_decay=decay),
    ]
    for _ in range(20):
        for model, step in zip((penalised, decayed), steps, strict=True):
            step.zero_grad()
            loss = nn.functional.mse_loss(model(x), t)
            if model is penalised:
                loss = loss + decay / 2 * nn.l2_penalty(model)
            loss.backward()
            step.step()
    for p, q in zip(penalised.parameters(), decayed.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


WRONG = {
    "no parameters": (nn.ReLU(), ValueError, r"ReLU, a module without parameters"),
    "nothing": ([], ValueError, r"no tensors"),
    "an array": (np.ones(3), DTypeError, r"ndarray: give mg\.tensor\(x\)"),
    "arrays": ([np.ones(3)], DTypeError, r"ndarray: give mg\.tensor\(x\)"),
    "a number": (3.0, TypeError, r"a float: give a module, a tensor or several"),
    "numbers": ([3.0], DTypeError, r"float"),
    "integers": (mg.tensor([1, 2]), DTypeError, r"int64.*x\.float\(\)"),
    "modules": ([nn.Linear(1, 1)], DTypeError, r"Linear"),
    "integers among others": ([mg.ones(2), mg.tensor([1])], DTypeError, r"int64"),
}


@pytest.mark.parametrize(("given", "kind", "message"), WRONG.values(), ids=WRONG)
@each_penalty
def test_what_is_refused_is_told(penalty, f, slope, given, kind, message):
    with pytest.raises(kind, match=rf"{penalty.__name__} .*{message}"):
        penalty(given)
