"""benchmarks/accuracy.py: what it finds, and that its reference deserves the name."""

import _peers
import accuracy
import numpy as np
import pytest
from _harness import Stopwatch

from minigrad.backend import installed

LAYERS = pytest.mark.parametrize("layer", accuracy.LAYERS)


def number(cell):
    return 0.0 if cell == "–" else float(cell)


@pytest.mark.parametrize("peer", [True, False])
def test_it_finds_what_the_contract_promises(peer, monkeypatch):
    monkeypatch.setattr(_peers, "torch", pytest.importorskip("torch") if peer else None)
    forms = ["composed", "NumPy", *["kernels"] * installed("numba"), *["PyTorch"] * peer]
    errors, means = accuracy.measure(Stopwatch(1), quick=True).tables
    assert errors.columns[3:] == [f"{form} {what}" for form in forms for what in ("y", "dx")]
    assert len(errors.rows) == len(accuracy.DATA) + len(accuracy.LAYERS) - 1
    ours = [not form.startswith("PyTorch") for form in errors.columns[3:]]
    for _, _, data, *figures in errors.rows:
        bound = 2**-9 if data.startswith("float16") else 3e-6  # half a step of what is below 8
        assert all(number(e) <= bound for e, own in zip(figures, ours, strict=True) if own)
        if data == "constant 100.1":
            assert figures[: sum(ours)] == ["0", "–"] * (sum(ours) // 2)
    assert means.columns == ["running mean of", *forms]
    ((name, *figures),) = means.rows
    assert name == "16384×4, mean 1e2"
    assert all(
        number(e) < 1e-5 for e, form in zip(figures, forms, strict=True) if form != "PyTorch"
    )


def drawn(layer, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.integers(-(2**10), 2**10, (2, 6, 16, 3)) / 256.0
    return x, dy, accuracy.parameters(layer, x.shape)


@LAYERS
def test_the_reference_is_pytorch_s_in_float64(layer, monkeypatch):
    monkeypatch.setattr(_peers, "torch", pytest.importorskip("torch"))
    x, dy, affine = drawn(layer)
    wide = tuple(a.astype("float64") for a in affine)
    found = accuracy.reference(layer, x, dy, affine)
    for a, b in zip(found, accuracy.torch_form(layer, x, dy, wide), strict=True):
        assert accuracy.worst(a.reshape(b.shape), b) < 1e-12


@LAYERS
def test_the_reference_is_exact_at_a_mean_of_1e6(layer):
    x, dy, affine = drawn(layer)
    near, far = (accuracy.reference(layer, each, dy, affine) for each in (x, x + 1e6))
    for a, b in zip(far, near, strict=True):
        assert accuracy.worst(a, b) < 1e-14
