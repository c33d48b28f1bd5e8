"""Settings that hold for every test: Hypothesis profiles, a fresh seed, and the devices.

A test that takes the fixture `device` runs on the CPU, on the stand-in for CuPy, and on a GPU where
there is one; `cuda` leaves out the CPU, and `standin` is the stand-in's module alone.
"""

import gc
import importlib
import os
import sys
from collections import Counter

import cupy_standin
import pytest
from cupy_replaced import cupy_replaced
from hypothesis import HealthCheck, settings

import minigrad as mg
from minigrad import backend

settings.register_profile(
    "quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(  # always the same draws: CI judges a change, not its luck
    "thorough",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state."""
    mg.manual_seed(0)


def pytest_collection_finish():
    """What is there by now stays: the collector need not look at it in every test that calls it."""
    gc.collect()
    gc.freeze()


# ---- how much the laws were tried on: each worker tells, where there are several (-n 2) ----------

tried = Counter()  # cases, by device
registered = {}  # how many ops and laws there are


def note_laws(cases, ops, laws):
    tried.update(cases)
    registered.update(ops=ops, laws=laws)


def pytest_sessionfinish(session):
    laws = sys.modules.get("test_laws")
    if laws is None:
        return
    note = {"cases": dict(laws.cases), "ops": len(laws.OPS), "laws": len(laws.LAWS)}
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["laws"] = note
    else:
        note_laws(**note)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node):
    if "laws" in getattr(node, "workeroutput", {}):
        note_laws(**node.workeroutput["laws"])


def pytest_terminal_summary(terminalreporter):
    if tried:
        cases = ", ".join(f"{count:,} on {device}" for device, count in tried.items())
        terminalreporter.write_line(
            f"{registered['ops']} ops in the registry, {registered['laws']} laws, cases: {cases}"
        )


@pytest.fixture
def standin():
    """The stand-in's module, with minigrad's backend "cuda" on it and no copy counted."""
    with cupy_replaced(cupy_standin.modules):
        backend.named("cuda")  # its probe looks at a result
        cupy_standin.hidden_copies.clear()
        yield importlib.import_module("cupy")


@pytest.fixture
def gpu():
    """Skips a test where there is no CuPy, or no GPU."""
    try:
        backend.named("cuda")
    except mg.DeviceError as error:
        pytest.skip(str(error))


ON_CUDA = [pytest.param("standin"), pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=["cpu", *ON_CUDA])
def device(request):
    """The device to test on: "cpu", or "cuda" on the stand-in or on a GPU."""
    if request.param == "cpu":
        return "cpu"
    request.getfixturevalue(request.param)
    return "cuda"


@pytest.fixture(params=ON_CUDA)
def cuda(request):
    """ "cuda", on the stand-in or on a GPU."""
    request.getfixturevalue(request.param)
    return "cuda"
