"""What the tests of kernels share: they need Numba, and compare one thread with all."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("numba") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def same_for_any_threads():
    """Runs a function on one of Numba's threads and on all; the results must agree bit for bit."""
    import numba

    before = numba.get_num_threads()

    def run(function):
        numba.set_num_threads(1)
        alone = function()
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        together = function()
        several = isinstance(alone, tuple)
        for i, one in enumerate(alone if several else [alone]):
            np.testing.assert_array_equal(one, together[i] if several else together)
        return together

    yield run
    numba.set_num_threads(before)
