"""Compiled steps of the optimisers against the plain ones, which are tested against PyTorch."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim.rules import compiled
from minigrad.tensor import handle
from minigrad.testing import assert_close

numba = pytest.importorskip("numba")
kernels = pytest.importorskip("minigrad.kernels.cpu.updates")

CASES = {
    "sgd": (optim.SGD, {}),
    "sgd, decay": (optim.SGD, {"weight_decay": 0.1, "maximize": True}),
    "momentum": (optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "nesterov": (optim.SGD, {"momentum": 0.8, "nesterov": True, "maximize": True}),
    "adam": (optim.Adam, {"weight_decay": 0.1}),
    "adam of quick averages": (optim.Adam, {"betas": (0.2, 0.4), "maximize": True}),
    "adamw": (optim.AdamW, {"weight_decay": 0.2}),
    "amsgrad": (optim.Adam, {"amsgrad": True}),
    "rmsprop": (optim.RMSprop, {"weight_decay": 0.1}),
    "rmsprop, centered": (optim.RMSprop, {"centered": True, "alpha": 0.3, "maximize": True}),
    "rmsprop, momentum": (optim.RMSprop, {"momentum": 0.9}),
    "rmsprop, both": (optim.RMSprop, {"momentum": 0.5, "centered": True}),
    "adagrad": (optim.Adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
}
SHAPES = [(), (0, 3), (1,), (5, 7), (kernels.SMALL,), (kernels.SMALL + 1,), (3, 257, 129)]


def values(shape, dtype, seed):
    """Of either sign and none near 0, so that g + weight_decay·p never cancels."""
    rng = np.random.default_rng([seed, *shape])
    return np.asarray(rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def run(case, shape, dtype, on, steps=4, odd=lambda a: a):
    """The parameter and the optimiser's state after a few steps of falling rate."""
    kind, options = CASES[case]
    p = mg.tensor(odd(values(shape, dtype, 0)), requires_grad=True)
    optimizer = kind([p], lr=0.05, **options)
    with mg.kernels(on):
        for step in range(steps):
            p.grad = mg.tensor(odd(values(shape, dtype, step + 1)))
            optimizer.param_groups[0]["lr"] *= 0.9
            optimizer.step()
    return [p.numpy(), *[t.numpy() for k, t in optimizer.state[p].items() if k != "step"]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_a_few_steps_are_those_of_the_plain_updates(case, shape, dtype):
    fast, plain = run(case, shape, dtype, True), run(case, shape, dtype, False)
    assert len(fast) == len(plain)
    for a, b in zip(fast, plain, strict=True):
        assert a.dtype == b.dtype == dtype
        assert_close(a, b, size=8)


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_finite_stays_in_its_place(case):
    def odd(a):
        a[[1, 4, 7]] = np.nan, np.inf, -np.inf
        return a

    with np.errstate(invalid="ignore"):
        fast = run(case, (40,), np.float32, True, odd=odd)
        plain = run(case, (40,), np.float32, False, odd=odd)
    for a, b in zip(fast, plain, strict=True):
        assert_close(a, b, size=8)
    assert np.isfinite(np.delete(fast[0], [1, 4, 7])).all()


@pytest.mark.parametrize("case", CASES)
def test_threads_change_no_bit(case):
    found, threads = [], numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            found.append(run(case, (3 * kernels.SMALL + 5,), np.float32, True))
    finally:
        numba.set_num_threads(threads)
    for others in found[1:]:
        for a, b in zip(others, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("odd", [lambda a: a.T, lambda a: a[::-1], lambda a: a.astype(np.float16)],
                         ids=["transposed", "reversed", "half"])  # fmt: skip
def test_odd_layouts_and_half_precision_are_stepped_too(case, odd):
    """Whether by kernels or not."""
    with np.errstate(divide="ignore"):  # eps is 0 in float16
        fast, plain = (run(case, (6, 5), np.float64, on, odd=odd) for on in (True, False))
    for a, b in zip(fast, plain, strict=True):
        assert_close(a, b, size=8)


def test_kernels_take_what_they_can_write_in_order():
    p, g = np.ones((3, 4)), np.ones((3, 4))
    steps = compiled({}, np.ndarray)
    assert isinstance(steps, kernels.Steps)
    assert steps.serves("sgd", p, g)
    assert not steps.serves("amsgrad", p, g)
    frozen = g.copy()
    frozen.flags.writeable = False
    others = p.T, g.astype(np.float32), g.astype(np.float16), g[:, ::2], frozen
    assert not any(steps.serves("sgd", p, each) for each in others)
    assert not steps.serves("sgd", p.astype(np.float16), g.astype(np.float16))


def test_the_gradient_and_other_memory_stay_as_they_are():
    memory = np.arange(30.0)
    p = mg.tensor(memory[10:20].copy(), requires_grad=True)
    g = values((10,), np.float64, 1)
    p.grad = mg.tensor(g)
    optim.Adam([p]).step()
    np.testing.assert_array_equal(p.grad.numpy(), g)


def test_a_momentum_in_another_order_of_memory_moves_too():
    w = mg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    step = optim.SGD([w], lr=0.1, momentum=0.9)
    w.grad = mg.ones(2, 3)
    step.step()
    step.state[w]["momentum_buffer"] = handle(np.asfortranarray(np.ones((2, 3), np.float32)))
    step.step()
    np.testing.assert_allclose(step.state[w]["momentum_buffer"].numpy(), 1.9, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_running_statistics_move_as_without_kernels(dtype):
    found = []
    for on in (True, False):
        norm = mg.nn.BatchNorm1d(5, momentum=0.3, dtype=dtype)
        x = np.random.default_rng(0).normal(2, 3, (7, 5)).astype(dtype)
        with mg.kernels(on):
            for batch in (x, x[:4]):
                norm(mg.tensor(batch))
        found.append((norm.running_mean.numpy(), norm.running_var.numpy()))
    for fast, plain in zip(*found, strict=True):
        assert fast.dtype == dtype
        assert_close(fast, plain, size=8)
