"""The switch for TF32: what CuPy is told, and what it is told afterwards."""

import subprocess
import sys
import threading

import pytest

import minigrad as mg
from minigrad import backend


def told():
    """What CuPy multiplies plain matrices by, and cuBLAS's mode for the rest."""
    return mg.cuda._state()


@pytest.fixture
def exact(cuda):
    """What CuPy is told where nobody asked for TF32."""
    before = told()
    with mg.cuda.tf32(False):
        yield told()
    assert told() == before


def test_products_are_exact_unless_asked(cuda):
    linalg = backend.named("cuda").xp._core._routines_linalg
    assert told() == (linalg.COMPUTE_TYPE_DEFAULT, 0)


def test_inside_they_may_round_and_outside_not(exact):
    with mg.cuda.tf32(True):
        linalg = backend.named("cuda").xp._core._routines_linalg
        assert told() == (linalg.COMPUTE_TYPE_TF32, mg.cuda.TF32_MATH)
    assert told() == exact


def test_said_at_once_it_holds_until_said_otherwise(exact):
    mg.cuda.tf32(True)
    assert told() != exact
    mg.cuda.tf32(False)
    assert told() == exact


def test_blocks_are_nested_and_left_by_exceptions(exact):
    with mg.cuda.tf32(True):
        rounded = told()
        with mg.cuda.tf32(False):
            assert told() == exact
        with pytest.raises(ZeroDivisionError), mg.cuda.tf32(False):
            raise ZeroDivisionError
        assert told() == rounded
    assert told() == exact


def test_another_thread_has_a_mode_of_its_own(exact):
    found = []
    with mg.cuda.tf32(True):
        thread = threading.Thread(target=lambda: found.append(told()[1]))
        thread.start()
        thread.join()
    assert found == [exact[1]]


def test_the_room_is_there_without_cupy():
    code = "import sys, minigrad as mg; mg.cuda.tf32; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
