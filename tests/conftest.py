"""Settings that hold for every test: Hypothesis profiles, a fresh seed, and the devices.

A test that takes the fixture `device` runs on the CPU, on the stand-in for CuPy, and on a GPU where
there is one; `cuda` leaves out the CPU, and `standin` is the stand-in's module alone.
"""

import gc
import importlib
import os
import sys
from contextlib import contextmanager

import cupy_standin
import pytest
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


def pytest_terminal_summary(terminalreporter):
    """How much the laws were tried on."""
    laws = sys.modules.get("test_laws")
    if laws is not None and laws.cases:
        tried = ", ".join(f"{count:,} on {device}" for device, count in laws.cases.items())
        terminalreporter.write_line(
            f"{len(laws.OPS)} ops in the registry, {len(laws.LAWS)} laws, cases: {tried}"
        )


@contextmanager
def cupy_replaced(modules):
    """Inside, `import cupy` finds these modules, and minigrad has not met CuPy yet."""
    known = backend._by_name.copy(), backend._by_type.copy(), backend.XP.copy()
    tables = backend._by_name, backend._by_type, backend.XP
    before = cupy_standin.install(modules)
    loaded = forget_backend()
    try:
        yield
    finally:
        cupy_standin.restore(before)
        forget_backend()
        if loaded is not None:
            sys.modules["minigrad.backend.cupy"] = loaded
        for table, entries in zip(tables, known, strict=True):
            table.clear()
            table.update(entries)


def forget_backend():
    """Make minigrad load its CuPy backend anew when it is next asked for."""
    old = backend._by_name.pop("cuda", None)
    if old is not None:
        del backend._by_type[old.array_type], backend.XP[old.array_type]
    return sys.modules.pop("minigrad.backend.cupy", None)


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
