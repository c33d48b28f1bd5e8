"""The axes of the contract: a test that takes `shape`, `fused` and `device` runs on their product.

`device` stands in tests/conftest.py: the CPU, the stand-in for CuPy, and a GPU where there is one.
"""

from pathlib import Path

import pytest
from batch_norm_helpers import CHECKS, FORMS, SHAPES

from minigrad.op import fused as fused_op
from minigrad.op import registry


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def fused(request):
    """Whether BatchNorm is the fused node, or composed of primitives."""
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    """A batch for BatchNorm1d (N, C) and (N, C, L), BatchNorm2d and BatchNorm3d; C is 3."""
    return request.param


@pytest.fixture
def define():
    """Defines a fused op that leaves the registry after the test, so that no law meets it."""
    before = dict(registry)
    yield lambda forward, **options: fused_op(**options)(forward)
    for name in set(registry) - set(before):
        del registry[name]


# ---- the report ----------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """A check may be skipped for want of a GPU or of a package, and else fails."""
    report = yield
    if report.skipped and check_of(report) and not item.get_closest_marker("gpu"):
        reason = str(call.excinfo.value)
        if not reason.startswith("could not import"):
            report.outcome = "failed"
            report.longrepr = f"skipped on the CPU or the stand-in: {reason}"
    return report


def pytest_terminal_summary(terminalreporter, config):
    """Which of the contract's checks ran."""
    passed, failed, skipped = (
        [each for key in keys for each in terminalreporter.stats.get(key, []) if check_of(each)]
        for keys in (["passed"], ["failed", "error"], ["skipped"])
    )
    skipped = [each for each in skipped if "gpu" not in each.keywords]
    ran = {check_of(each) for each in (*passed, *failed)}
    if not ran:
        return
    lacking = f"{len(skipped)} skipped for want of a package" if skipped else "none skipped"
    terminalreporter.write_line(
        f"BatchNorm's contract: {len(ran)} of {len(CHECKS)} checks ran, {len(passed)} tests, "
        f"{lacking} on the CPU and the stand-in"
    )
    tell = {"failed": {check_of(each) for each in failed}}
    if is_whole(config) and not terminalreporter.stats.get("deselected"):
        tell["did not run"] = set(CHECKS) - ran
    for what, checks in tell.items():
        if checks:
            names = ", ".join(sorted(checks, key=CHECKS.index))
            terminalreporter.write_line(f"BatchNorm's contract: {what}: {names}", red=True)


def check_of(report):
    """The check that a test is of, if any: "B7" for test_B7_…."""
    name = getattr(report, "nodeid", "").rpartition("::")[2]
    check = name.split("_")[1] if name.startswith("test_B") else ""
    return check if check in CHECKS and getattr(report, "when", "") else ""


def is_whole(config):
    """Whether all tests of this folder were asked for."""
    folder, start = Path(__file__).parent, config.invocation_params.dir
    return any(folder.is_relative_to((start / each).resolve()) for each in config.args)
