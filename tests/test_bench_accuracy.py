"""benchmarks/accuracy.py: what it prints, and that its reference deserves the name."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import accuracy

LAYERS = pytest.mark.parametrize("layer", accuracy.LAYERS)


def number(cell):
    return 0.0 if cell == "–" else float(cell)


def table_of(text):
    """Layer and data of each row, and its figures by column."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    columns = rows[0][3:]
    body = [row for row in rows[1:] if row[0] in accuracy.LAYERS]
    return {
        (layer, data): dict(zip(columns, map(number, figures), strict=True))
        for layer, _, data, *figures in body
    }


@pytest.mark.parametrize("peer", [True, False])
def test_it_prints_what_the_contract_promises(peer, capsys, monkeypatch):
    if peer:
        pytest.importorskip("torch")
    else:
        monkeypatch.setattr(accuracy, "torch", None)
    accuracy.main(["--quick"])
    text = capsys.readouterr().out
    table = table_of(text)
    assert len(table) == len(accuracy.DATA) + len(accuracy.LAYERS) - 1
    for (_, data), figures in table.items():
        assert len(figures) == (6 if peer else 4)
        ours = [error for name, error in figures.items() if not name.startswith("PyTorch")]
        bound = 2**-9 if data.startswith("float16") else 3e-6  # half a step of what is below 8
        assert all(error <= bound for error in ours)
    constant = table["BatchNorm", "constant 100.1"]
    assert constant["composed y"] == constant["fused y"] == 0
    row = re.search(r"^\| 16384×4, mean 1e2 \| (.*) \|$", text, re.MULTILINE)
    means = [float(error) for error in row[1].split(" | ")]
    assert len(means) == (3 if peer else 2)
    assert all(error < 1e-5 for error in means[:2])
    assert ("PyTorch is not installed" in text) == (not peer)


def test_help_says_what_is_measured(capsys):
    with pytest.raises(SystemExit) as stopped:
        accuracy.main(["--help"])
    assert stopped.value.code == 0
    assert "largest absolute error of y and of dx" in capsys.readouterr().out


def drawn(layer, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.integers(-(2**10), 2**10, (2, 6, 16, 3)) / 256.0
    return x, dy, accuracy.parameters(layer, x.shape)


@LAYERS
def test_the_reference_is_pytorch_s_in_float64(layer):
    pytest.importorskip("torch")
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
