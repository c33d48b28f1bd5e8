"""Schedules one after the other, and what two at once are told."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import SGD, lr_scheduler
from minigrad.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

PARTS = {
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": st.floats(0.1, 1.0), "total_iters": st.integers(1, 9)}
    ),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": st.integers(1, 30)}),
    "StepLR": st.fixed_dictionaries({"step_size": st.integers(1, 6), "gamma": st.floats(0.3, 1.0)}),
    "ExponentialLR": st.fixed_dictionaries({"gamma": st.floats(0.8, 1.0)}),
}  # fmt: skip


@st.composite
def sequences(draw):
    names = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3))
    parts = [(name, draw(PARTS[name])) for name in names]
    gaps = draw(st.lists(st.integers(1, 8), min_size=len(parts) - 1, max_size=len(parts) - 1))
    return parts, np.cumsum(gaps).tolist()


def optimiser():
    return SGD([mg.ones(1, requires_grad=True)], lr=0.5, momentum=0.9)


def warm_up(opt):
    parts = [LinearLR(opt, 0.1, total_iters=4), CosineAnnealingLR(opt, 10)]
    return SequentialLR(opt, parts, milestones=[4])


def rates(opt, schedule, steps):
    found = []
    for _ in range(steps):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return found


@given(sequences())
def test_rates_are_torchs(sequence):
    torch = pytest.importorskip("torch")
    parts, milestones = sequence
    runs = []
    for opt, room in (
        (optimiser(), lr_scheduler),
        (torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.5), torch.optim.lr_scheduler),
    ):
        with warnings.catch_warnings():  # torch's own about its `epoch` argument
            warnings.simplefilter("ignore")
            made = [getattr(room, name)(opt, **options) for name, options in parts]
            runs.append(rates(opt, room.SequentialLR(opt, made, milestones), 30))
    np.testing.assert_allclose(*runs, rtol=1e-12, atol=1e-15)


def test_a_one_cycle_in_a_sequence_moves_the_momentum_too():
    opt = optimiser()
    parts = [LinearLR(opt, 0.1, total_iters=3), OneCycleLR(opt, 1.0, total_steps=20)]
    rates(opt, SequentialLR(opt, parts, milestones=[3]), 9)
    assert opt.param_groups[0]["momentum"] < 0.95


@pytest.mark.parametrize("stop", [0, 3, 4, 5, 11])
def test_a_run_goes_on_in_the_middle(stop):
    opt = optimiser()
    expected = rates(opt, warm_up(opt), 14)
    opt = optimiser()
    schedule = warm_up(opt)
    begun = rates(opt, schedule, stop)
    other = optimiser()
    again = warm_up(other)
    again.load_state_dict(schedule.state_dict())
    assert begun + rates(other, again, 14 - stop) == expected


def test_two_schedules_that_take_turns_are_told_of_the_sequence():
    opt = optimiser()
    a, b = LinearLR(opt, 0.1, total_iters=4), MultiStepLR(opt, [2])
    opt.step()
    a.step()
    b.step()
    before = dict(opt.param_groups[0])
    with pytest.raises(RuntimeError, match=r"LinearLR.step\(\) after .*SequentialLR\(optimizer"):
        a.step()
    assert opt.param_groups[0] == before
    assert a.last_epoch == 1


def test_a_schedule_may_follow_another_for_good():
    opt = optimiser()
    first, second = StepLR(opt, 2), CosineAnnealingLR(opt, 5)
    rates(opt, first, 3)
    rates(opt, second, 3)
    assert second.last_epoch == 3


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda o: SequentialLR(o, [LinearLR(o), StepLR(o, 1)], []), ValueError, "each but"),
        (lambda o: SequentialLR(o, [LinearLR(o)] * 3, [4, 2]), ValueError, "in order"),
        (lambda o: SequentialLR(o, [LinearLR(optimiser())], []), ValueError, "another optimiser"),
        (lambda o: SequentialLR(o, [o], []), TypeError, "got a SGD: give schedules"),
        (lambda o: SequentialLR(o, [LinearLR(o)] * 2, [0]), ValueError, "must be 1 or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(make, kind, message):
    with pytest.raises(kind, match=message):
        make(optimiser())
