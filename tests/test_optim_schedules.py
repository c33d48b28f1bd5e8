"""Schedules: PyTorch's learning rates at every step, and runs that go on where they stopped."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import SGD, Adagrad, Adam, lr_scheduler
from minigrad.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    StepLR,
)

STEPS = 60
LAMBDAS = [lambda e: 0.95**e, lambda e: 1 / (1 + e)]


def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


FACTORS = numbers(0.05, 1.0)
PEAKS = st.lists(numbers(0.01, 1.0), min_size=2, max_size=2)
OPTIONS = {
    StepLR: {"step_size": st.integers(1, 20), "gamma": FACTORS},
    MultiStepLR: {
        "milestones": st.lists(st.integers(0, 50), max_size=4), "gamma": FACTORS,
    },
    ExponentialLR: {"gamma": numbers(0.8, 1.0)},
    LinearLR: {"start_factor": FACTORS, "end_factor": FACTORS, "total_iters": st.integers(1, 70)},
    LambdaLR: {"lr_lambda": st.sampled_from([*LAMBDAS, LAMBDAS])},
    CosineAnnealingLR: {"T_max": st.integers(1, 80), "eta_min": numbers(0.0, 0.01)},
    OneCycleLR: {
        "max_lr": st.one_of(numbers(0.01, 1.0), PEAKS),
        "total_steps": st.integers(STEPS, STEPS + 40),
        "pct_start": numbers(0.1, 0.9),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "cycle_momentum": st.booleans(),
        "base_momentum": numbers(0.5, 0.85),
        "max_momentum": st.one_of(numbers(0.9, 0.99), st.just([0.9, 0.95])),
        "div_factor": numbers(2.0, 30.0),
        "final_div_factor": numbers(2.0, 1e4),
        "three_phase": st.booleans(),
    },
}  # fmt: skip
NEEDED = {"step_size", "milestones", "gamma", "lr_lambda", "T_max", "max_lr", "total_steps"}
every_schedule = pytest.mark.parametrize("kind", OPTIONS)


@st.composite
def some_options(draw, kind):
    offered = OPTIONS[kind]
    return {n: draw(each) for n, each in offered.items() if n in NEEDED or draw(st.booleans())}


def optimiser(kind=SGD, optim=None, leaf=lambda: mg.ones(1, requires_grad=True)):
    options = {"momentum": 0.9} if kind in (SGD, "SGD") else {}
    make = kind if optim is None else getattr(optim, kind.__name__)
    return make([{"params": [leaf()]}, {"params": [leaf()], "lr": 0.3}], lr=0.1, **options)


def settings(group):
    """What a schedule may change of a group."""
    return [group["lr"], group.get("momentum", 0), *group.get("betas", ())]


def walked(schedule, steps=STEPS):
    """The settings of every group, at first and after each step."""
    found = []
    for i in range(steps + 1):
        if i:
            schedule.optimizer.step()
            schedule.step()
        found.append([settings(group) for group in schedule.optimizer.param_groups])
        assert schedule.get_last_lr() == [group[0] for group in found[-1]]
        assert schedule.last_epoch == i
    return np.array(found)


@every_schedule
@pytest.mark.parametrize("moved", [SGD, Adam])
@given(data=st.data())
def test_sixty_steps_are_torchs(kind, moved, data):
    torch = pytest.importorskip("torch")
    options = data.draw(some_options(kind))
    theirs = optimiser(moved, torch.optim, lambda: torch.ones(1, requires_grad=True))
    ours = walked(kind(optimiser(moved), **options))
    expected = walked(getattr(torch.optim.lr_scheduler, kind.__name__)(theirs, **options))
    expected[..., 0] = np.maximum(expected[..., 0], 0)  # one cycle's may end below
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


@every_schedule
@given(data=st.data())
def test_a_run_goes_on_exactly(kind, data):
    options, stop = data.draw(some_options(kind)), data.draw(st.integers(0, STEPS))
    whole = walked(kind(optimiser(), **options))
    first = kind(optimiser(), **options)
    walked(first, stop)
    second = optimiser()
    second.load_state_dict(first.optimizer.state_dict())
    schedule = kind(second, **options)  # made after the load, which sets the first rate again
    schedule.load_state_dict(first.state_dict())
    for expected in whole[stop:]:
        np.testing.assert_array_equal([settings(g) for g in second.param_groups], expected)
        second.step()
        if schedule.last_epoch < STEPS:
            schedule.step()


@every_schedule
@given(data=st.data())
def test_last_epoch_goes_on_from_the_optimisers_state(kind, data):
    options, stop = data.draw(some_options(kind)), data.draw(st.integers(1, STEPS - 1))
    whole = walked(kind(optimiser(), **options))
    first = kind(optimiser(), **options)
    walked(first, stop)
    second = optimiser()
    second.load_state_dict(first.optimizer.state_dict())
    schedule = kind(second, **options, last_epoch=stop)
    assert schedule.last_epoch == stop + 1
    np.testing.assert_array_equal([settings(g) for g in second.param_groups], whole[stop + 1])


@every_schedule
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_goes_on_as_the_original(kind, copied):
    options = {
        StepLR: {"step_size": 2}, MultiStepLR: {"milestones": [3]}, ExponentialLR: {"gamma": 0.9},
        LambdaLR: {"lr_lambda": math.exp}, CosineAnnealingLR: {"T_max": 9},
        OneCycleLR: {"max_lr": 1.0, "total_steps": 9},
    }  # fmt: skip
    first = kind(optimiser(), **options.get(kind, {}))
    walked(first, 3)
    second = copied(first)
    assert second.optimizer is not first.optimizer
    for each in (first, second):
        each.step()
    assert second.get_last_lr() == first.get_last_lr()
    assert second.optimizer.param_groups[0]["lr"] == first.get_last_lr()[0]


def test_one_cycle_counts_epochs_times_steps():
    schedule = OneCycleLR(optimiser(), 1.0, epochs=3, steps_per_epoch=4)
    assert schedule.total_steps == 12


@pytest.mark.parametrize(("total", "part"), [(1, 0.3), (10, 0.1), (10, 1.0), (10, 0.0), (2, 0.5)])
@pytest.mark.parametrize("three", [False, True])
def test_a_phase_of_no_length_is_passed(total, part, three):
    schedule = OneCycleLR(optimiser(), 1.0, total, pct_start=part, three_phase=three)
    assert np.isfinite(walked(schedule, total)).all()


def test_one_cycle_ends():
    schedule = OneCycleLR(optimiser(), 1.0, 3)
    walked(schedule, 3)
    last = schedule.state_dict()
    with pytest.raises(ValueError, match=r"for 3 steps, and step 4.*after each batch"):
        schedule.step()
    assert {n: t.tolist() for n, t in schedule.state_dict().items()} == {
        n: t.tolist() for n, t in last.items()
    }


def test_one_cycle_does_not_end_below_0():
    schedule = OneCycleLR(optimiser(), 1.0, 10, anneal_strategy="linear", final_div_factor=1e4)
    walked(schedule, 10)
    assert schedule.get_last_lr() == [0.0, 0.0]
    schedule.optimizer.step()
    optimiser().load_state_dict(schedule.optimizer.state_dict())


def test_a_rate_changed_by_hand_holds_until_the_next_step():
    schedule = ExponentialLR(optimiser(), 0.5)
    schedule.optimizer.param_groups[0]["lr"] = 7.0
    schedule.optimizer.step()
    assert schedule.get_last_lr() == [0.1, 0.3]
    schedule.step()
    assert [g["lr"] for g in schedule.optimizer.param_groups] == [0.05, 0.15]


def test_a_second_schedule_starts_from_the_first_rate():
    opt = optimiser()
    walked(ExponentialLR(opt, 0.5), 2)
    assert ExponentialLR(opt, 0.9).get_last_lr() == [0.1, 0.3]


def test_the_last_rates_are_given_as_a_copy():
    schedule = ExponentialLR(optimiser(), 0.5)
    schedule.get_last_lr()[0] = 7.0
    assert schedule.get_last_lr() == [0.1, 0.3]


def test_the_state_is_flat_and_exact():
    schedule = ExponentialLR(optimiser(), 0.9)
    walked(schedule, 2)
    state = schedule.state_dict()
    assert {n: (str(t.dtype), t.shape) for n, t in state.items()} == {
        "last_epoch": ("int64", ()),
        "base_lrs": ("float64", (2,)),
        "last_lr": ("float64", (2,)),
    }
    assert state["base_lrs"].tolist() == [0.1, 0.3]


def test_what_does_not_fit_in_a_state_is_told_and_nothing_changes():
    schedule = ExponentialLR(optimiser(), 0.9)
    walked(schedule, 2)
    state = schedule.state_dict()
    faults = {
        "last_lr: missing": {n: t for n, t in state.items() if n != "last_lr"},
        "other: unexpected": state | {"other": mg.tensor(1)},
        r"base_lrs: shape \(3,\) given, \(2,\) wanted": state | {"base_lrs": mg.ones(3)},
        "last_epoch: 1.5 given, a whole number wanted": state | {"last_epoch": mg.tensor(1.5)},
        r"last_lr: .* this schedule has .* at epoch 5": state | {"last_epoch": mg.tensor(5)},
        r"last_lr: .* given, this": state | {"base_lrs": mg.tensor([1.0, 2.0])},
    }
    other = ExponentialLR(optimiser(), 0.9)
    for message, fault in faults.items():
        with pytest.raises(RuntimeError, match=message):
            other.load_state_dict(fault)
        assert other.last_epoch == 0
        assert other.base_lrs == other.get_last_lr() == [0.1, 0.3]
        assert other.optimizer.param_groups[0]["lr"] == 0.1


def test_a_state_of_a_schedule_with_other_options_is_told():
    first = StepLR(optimiser(), 2)
    walked(first, 5)
    with pytest.raises(RuntimeError, match="made with the same options"):
        StepLR(optimiser(), 3).load_state_dict(first.state_dict())
    beyond = OneCycleLR(optimiser(), 1.0, 20)
    walked(beyond, 20)
    with pytest.raises(RuntimeError, match="last_epoch: OneCycleLR was made for 9 steps"):
        OneCycleLR(optimiser(), 1.0, 9).load_state_dict(beyond.state_dict())


def test_a_step_before_the_optimisers_is_warned_of_once():
    schedule = ExponentialLR(optimiser(), 0.9)
    with pytest.warns(UserWarning, match=r"SGD\.step\(\), so the first"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_groups_added_later_are_told():
    schedule = ExponentialLR(optimiser(), 0.9)
    schedule.optimizer.add_param_group({"params": mg.ones(1, requires_grad=True)})
    with pytest.raises(ValueError, match=r"2 groups, and now there are 3.*last add_param_group"):
        schedule.step()


class Halving(LRScheduler):
    def factor(self, epoch):
        return 0.5**epoch


def test_a_schedule_of_ones_own_needs_only_a_factor():
    schedule = Halving(optimiser())
    walked(schedule, 2)
    assert schedule.get_last_lr() == [0.025, 0.075]
    with pytest.raises(NotImplementedError, match="def factor"):
        LRScheduler(optimiser())


ERRORS = {
    "no optimiser": (lambda: StepLR(0.1, 3), TypeError, "float: give an optimiser"),
    "no optimiser, one cycle": (lambda: OneCycleLR(0.1, 3, 3), TypeError, "give an optimiser"),
    "step of 0": (lambda: StepLR(optimiser(), 0), ValueError, "step_size=0: it must be 1"),
    "half a step": (lambda: StepLR(optimiser(), 0.5), TypeError, "step_size.*whole"),
    "gamma": (lambda: StepLR(optimiser(), 1, -0.1), ValueError, r"gamma=-0\.1.*0 or more"),
    "gamma as text": (lambda: ExponentialLR(optimiser(), "x"), TypeError, "gamma as a str"),
    "milestones": (lambda: MultiStepLR(optimiser(), 30), TypeError, r"\[30, 80\]"),
    "a milestone": (lambda: MultiStepLR(optimiser(), [0.5]), TypeError, "milestone.*whole"),
    "start_factor": (lambda: LinearLR(optimiser(), 0), ValueError, "above 0"),
    "end_factor": (lambda: LinearLR(optimiser(), 1, 2), ValueError, "end_factor=2.*from 0 to 1"),
    "total_iters": (lambda: LinearLR(optimiser(), total_iters=0), ValueError, "total_iters=0"),
    "T_max": (lambda: CosineAnnealingLR(optimiser(), 0), ValueError, "T_max=0"),
    "eta_min": (lambda: CosineAnnealingLR(optimiser(), 1, -1), ValueError, "eta_min=-1"),
    "lambda": (lambda: LambdaLR(optimiser(), 0.5), TypeError, "give a function of the epoch"),
    "lambdas": (lambda: LambdaLR(optimiser(), [math.exp]), ValueError, "1 of lr_lambda for 2"),
    "no steps": (lambda: OneCycleLR(optimiser(), 1.0, epochs=3), ValueError, "give total_steps"),
    "steps": (lambda: OneCycleLR(optimiser(), 1.0, 0), ValueError, "total_steps=0"),
    "part": (lambda: OneCycleLR(optimiser(), 1.0, 9, pct_start=3), ValueError, "from 0 to 1"),
    "anneal": (
        lambda: OneCycleLR(optimiser(), 1.0, 9, anneal_strategy="sin"), ValueError, "'cos' or",
    ),
    "div_factor": (lambda: OneCycleLR(optimiser(), 1.0, 9, div_factor=0), ValueError, "above 0"),
    "max_lr": (lambda: OneCycleLR(optimiser(), [1.0], 9), ValueError, "1 of max_lr for 2 groups"),
    "momentum": (
        lambda: OneCycleLR(optimiser(Adagrad), 1.0, 9), ValueError, "cycle_momentum=False",
    ),
    "momentum above 1": (
        lambda: OneCycleLR(optimiser(), 1.0, 9, max_momentum=2), ValueError, "max_momentum=2",
    ),
    "last_epoch": (lambda: StepLR(optimiser(), 1, last_epoch=3), ValueError, "initial_lr.*load"),
    "last_epoch of -2": (lambda: StepLR(optimiser(), 1, last_epoch=-2), ValueError, "-1 or more"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_schedule_that_is_refused_changes_no_group():
    opt = optimiser()
    before = copy.deepcopy([settings(g) for g in opt.param_groups])
    with pytest.raises(ValueError, match="max_momentum"):
        OneCycleLR(opt, 1.0, 9, max_momentum=2)
    assert [settings(g) for g in opt.param_groups] == before
    assert "initial_lr" not in opt.param_groups[0]


def test_every_schedule_is_tried_and_takes_torchs_arguments():
    import inspect

    schedulers = pytest.importorskip("torch").optim.lr_scheduler
    assert {getattr(lr_scheduler, n) for n in lr_scheduler.__all__} == {
        LRScheduler,
        lr_scheduler.SequentialLR,
        *OPTIONS,
    }
    for kind in OPTIONS:
        ours = inspect.signature(kind).parameters
        theirs = inspect.signature(getattr(schedulers, kind.__name__)).parameters
        assert [(p.name, p.default) for p in ours.values()] == [
            (p.name, p.default) for p in theirs.values()
        ]
