"""What the tests of running statistics, modes and state share."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from batch_norm_cases import axes_of, draw, host

import minigrad as mg


def batch(shape, device="cpu", seed=0, dtype=np.float64):
    """A batch whose mean and variance are far from 0 and 1."""
    return mg.tensor(draw(shape, seed, dtype, mean=2.0, std=1.5), device=device)


def moments(*batches):
    """Mean and unbiased variance of all values of each channel, in NumPy."""
    x = np.concatenate([host(each).astype(np.float64) for each in batches])
    return x.mean(axes_of(x)), x.var(axes_of(x), ddof=1)


def stats_of(module):
    """Copies of running mean, running variance and counter."""
    buffers = (module.running_mean, module.running_var, module.num_batches_tracked)
    return tuple(host(t).copy() for t in buffers)


def state_of(module):
    """The bytes of all that the module owns."""
    return {name: host(value).tobytes() for name, value in module.state_dict().items()}


def assert_same_stats(module, before):
    """Bit for bit as in stats_of."""
    for a, b in zip(stats_of(module), before, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def with_stats(module, mean, var):
    """The module, with these running statistics."""
    state = module.state_dict()
    for name, value in (("running_mean", mean), ("running_var", var)):
        state[name] = np.full(state[name].shape, value, np.float64)
    module.load_state_dict(state)
    return module


def as_given_and_from_a_file(state, device):
    """A state dict, and the same after mg.save and mg.load."""
    yield state
    pytest.importorskip("safetensors")
    with tempfile.TemporaryDirectory() as folder:
        mg.save(state, Path(folder) / "state.safetensors")
        yield mg.load(Path(folder) / "state.safetensors", device=device)
