"""A model carried over from PyTorch and back: the table is small numbers, and can be large ones."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import from_pytorch
from from_pytorch import compare, image_net, sides, text_net, way_back

needs_torch = pytest.mark.skipif(from_pytorch.torch is None, reason="PyTorch is not installed")
both = pytest.mark.parametrize("make", [image_net, text_net])
LARGEST = {"float32": 2e-5, "float64": 2e-14}
ROW = re.compile(r"^  (\S.*?)  +(\S+)  +(\S+)$", re.M)


@needs_torch
def test_all_differences_are_those_of_rounding(capsys, device):
    assert from_pytorch.main(["--device", device]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+), largest difference +float32 +float64$", out, re.M) == [
        "image_net",
        "text_net",
    ]
    rows = [match for match in ROW.findall(out) if match[1] != "same"]
    assert len(rows) == 2 * (6 + 5)  # five parameters each
    for name, single, double in rows:
        assert float(single) < LARGEST["float32"], name
        assert float(double) < LARGEST["float64"], name
    assert [row[1:] for row in rows if "as loaded" in row[0]] == [("0.0e+00", "0.0e+00")] * 2
    assert len(re.findall(r"back by a file +same bits +same bits$", out, re.M)) == 2


@needs_torch
@both
def test_a_weight_that_is_wrong_is_in_every_row_after_it(make):
    theirs, ours = sides(make, "float64", "cpu", seed=1)
    with mg.no_grad():
        ours.model[-1].weight[0, 0] += 1e-3
    rows = compare(theirs, ours)
    assert rows["weights, as loaded"] == pytest.approx(1e-3)
    assert min(rows.values()) > 1e-8


@needs_torch
@both
def test_an_average_that_was_not_carried_over_is_seen(make):
    theirs, ours = sides(make, "float64", "cpu", seed=1)
    ours.adamw.state.clear()
    rows = compare(theirs, ours)
    assert max(value for name, value in rows.items() if "more steps" not in name) > 1e-5
    assert rows["losses of 10 more steps"] > 1e-5
    assert rows["loss"] < 1e-14


@needs_torch
@both
def test_the_way_back_is_bit_for_bit_or_differs(make, monkeypatch):
    theirs, ours = sides(make, "float32", "cpu", seed=2)
    assert way_back(theirs, ours) == "same bits"
    ours.train(1)
    monkeypatch.setattr(theirs.model, "load_state_dict", lambda state: None)
    assert way_back(theirs, ours) == "differs"


@needs_torch
def test_one_seed_gives_one_table_and_another_one_another(capsys):
    losses = [sides(text_net, "float32", "cpu", seed)[1].train(1) for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


@needs_torch
def test_integers_and_floating_numbers_are_compared():
    torch = from_pytorch.torch
    assert from_pytorch.difference(torch.tensor([1, 2]), mg.tensor([1, 5])) == 3
    assert from_pytorch.difference([1.0, 2.0], np.array([1.5, 2.0])) == 0.5


def test_without_pytorch_it_says_what_to_type(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it raises ImportError
    monkeypatch.delitem(sys.modules, "from_pytorch")
    alone = importlib.import_module("from_pytorch")
    with pytest.raises(SystemExit) as stop:
        alone.main([])
    assert stop.value.code == 2
    assert "pip install torch safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "-1"], "give 0 or more"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "x.png"], "unrecognized arguments"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        from_pytorch.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
