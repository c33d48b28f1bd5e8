"""Planted faults: each check named beside a fault rejects it, and passes without it."""

from dataclasses import replace

import pytest
from batch_norm_helpers import CHECKS
from faults_in_formulas import FORMULAS
from faults_in_state import STATES
from planting import calls_of, planted, rejects

import minigrad as mg

FAULTS = [*FORMULAS, *STATES]
PAIRS = [(fault, check) for fault in FAULTS for check in fault.checks.split()]


@pytest.mark.usefixtures("standin")  # for the check that compares devices
@pytest.mark.parametrize(("fault", "check"), PAIRS, ids=lambda each: getattr(each, "name", each))
def test_a_planted_fault_is_rejected(fault, check):
    with mg.kernels(False), planted(fault):  # where kernels run, nobody meets the fault
        rejecting = next(filter(rejects, calls_of(check)), None)
    assert rejecting is not None, f"{check} passes with a fault in {fault.function}: {fault.name}"
    assert not rejects(rejecting), f"{rejecting} fails without a fault too"


def test_every_check_rejects_a_fault():
    """B3 plants its own."""
    assert set(CHECKS) - {check for _, check in PAIRS} == {"B3"}


def test_faults_have_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_fault_is_gone_afterwards():
    with planted(FAULTS[0]) as function:
        code = function.__code__
    assert function.__code__ is not code


@pytest.mark.parametrize("change", [{"old": "no such text"}, {"function": "no_such_function"}])
def test_a_fault_whose_text_has_changed_is_told(change):
    with pytest.raises(LookupError, match="must once"), planted(replace(FAULTS[0], **change)):
        pass
