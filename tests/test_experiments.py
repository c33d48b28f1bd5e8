"""`./run experiment`: every claim holds with --quick, is drawn and read out; what is mistyped."""

import importlib
import importlib.util
import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "experiments"))

import _claims
import _digits
import _pictures
from _claims import Claim

import minigrad as mg
from minigrad import nn

FOLDER = Path(_claims.__file__).parent
ROOT = FOLDER.parent.parent


def command_line():
    """examples/experiments/__main__.py, under another name: pytest has a __main__ already."""
    spec = importlib.util.spec_from_file_location("experiments_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab = command_line()
NAMES = lab.experiments()


# ---- the experiments


@pytest.mark.parametrize("name", NAMES)
def test_its_claims_hold(name, tmp_path, capsys):
    assert lab.main([name, "--quick", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "  holds: " in printed
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"picture: {tmp_path / name}.png" in printed
    assert printed.startswith(f"{name}: {lab.title(name)}\n\n")


@pytest.mark.parametrize("name", NAMES)
def test_it_has_what_the_runner_asks_for(name):
    module = importlib.import_module(name)
    for quick in (True, False):
        cases = list(module.cases(quick))
        assert len(cases) == len(set(cases)) > 0
    assert set(module.cases(True)) <= set(module.cases(False)) or name[:3] in ("x08", "x09")
    assert module.__doc__.splitlines()[1] == ""  # a title, and a reading
    assert len(module.__doc__.split()) > 40


@pytest.mark.parametrize("name", NAMES)
def test_its_picture_is_committed_and_small(name):
    picture = FOLDER / "pictures" / f"{name}.png"
    assert 2_000 < picture.stat().st_size < 60_000


def test_there_are_as_many_seeds_as_promised():
    for name in NAMES:
        seeds = getattr(importlib.import_module(name), "SEEDS", lab.SEEDS)
        assert seeds == (4 if name[:3] in ("x08", "x09") else 3)


# ---- the command line


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two experiments of a moment, of which the second has a claim that does not hold."""
    body = '''"""A title of {name}.

A reading of it, by arXiv 0000.00000.
"""
import minigrad as mg
from _claims import Claim
drawn = []

def cases(quick):
    return ["a", "b"]

def measure(case, seed, quick):
    return case, seed, quick, mg.rand(1).item()

def picture(figure, results):
    drawn.append(results)
    figure.subplots().plot([0, 1])

def claims(results):
    return [Claim("seeds of a", [seed for _, seed, _, _ in results["a"]], "<", {bound})]
'''
    for name, bound in (("x01_small", 100), ("x12_wrong", 1)):
        (tmp_path / f"{name}.py").write_text(body.format(name=name, bound=bound))
        sys.modules.pop(name, None)
    (tmp_path / "_helper.py").write_text("")
    monkeypatch.setattr(lab, "HERE", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("x01_small", "x12_wrong"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("word", ["x01_small", "x01", "X1", "1"])
def test_a_name_or_a_number_will_do(small, word):
    assert lab.found(word) == "x01_small"
    assert lab.experiments() == ["x01_small", "x12_wrong"]


@pytest.mark.parametrize("word", ["x02", "small", "x", "", "x0", "x1_", "alll", "²"])
def test_an_unknown_name_lists_the_names(small, word, capsys):
    with pytest.raises(SystemExit) as stop:
        lab.main([word])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert f"there is no experiment {word!r}" in told
    assert "x01_small  A title of x01_small." in told
    assert "x12_wrong" in told


def test_it_measures_each_case_for_each_seed_from_the_same_draws(small):
    assert lab.main(["x01"]) == 0
    (results,) = importlib.import_module("x01_small").drawn
    for case in ("a", "b"):
        assert [found[:3] for found in results[case]] == [(case, seed, False) for seed in range(3)]
    draws = [[found[3] for found in results[case]] for case in ("a", "b")]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 3


def test_seeds_and_quick_are_handed_on(small, capsys):
    assert lab.main(["x01", "--quick", "--seeds", "5"]) == 0
    assert lab.main(["x01", "--quick"]) == 0
    five, one = importlib.import_module("x01_small").drawn
    assert [quick for _, _, quick, _ in five["b"]] == [True] * 5
    assert len(one["b"]) == 1
    assert "5 seed(s)" in capsys.readouterr().out
    assert (small / "experiments" / "x01_small.png").exists()


def test_what_does_not_hold_is_said_with_its_figure_and_in_the_exit_status(small, capsys):
    assert lab.main(["x12"]) == 1
    assert "  does not hold: seeds of a: 1 (0 to 2); wanted < 1" in capsys.readouterr().out


def test_all_ends_with_a_table_of_claims(small, capsys):
    assert lab.main(["all"]) == 1
    *_, head, _, first, second, _, total = capsys.readouterr().out.rstrip().splitlines()
    assert [cell.strip() for cell in head.split("|")][1:5] == [
        "experiment",
        "claim",
        "wanted",
        "measured",
    ]
    assert first.split("|")[1].strip() == "x01"
    assert first.endswith("| holds         |")
    assert second.endswith("| does not hold |")
    assert total == "1 of 2 claims hold"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x01", "--seeds", "0"], "--seeds 0: give at least 1"),
        (["x01", "--out", "a_file"], "--out a_file: this is a file; give a folder"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_what_makes_no_sense_is_refused(small, words, told, capsys):
    (small / "a_file").write_text("")
    with pytest.raises(SystemExit) as stop:
        lab.main(words)
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_a_missing_package_is_named_as_pip_knows_it(small, monkeypatch, capsys):
    found = importlib.util.find_spec
    absent = ("sklearn", "tqdm")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else found(name)
    )
    with pytest.raises(SystemExit) as stop:
        lab.main(["x01"])
    assert stop.value.code == 1
    told = capsys.readouterr().err
    assert 'pip install scikit-learn tqdm (or pip install "minigrad[examples]")' in told


@pytest.mark.parametrize("words", [["experiment"], ["experiment", "covariate"]])
def test_the_run_script_lists_the_names_before_it_sets_anything_up(words):
    done = subprocess.run([ROOT / "run", *words], capture_output=True, text=True)
    assert done.returncode == 2
    for name in NAMES:
        assert f"{name} " in done.stderr
        assert lab.title(name) in done.stderr
    assert all(repr(word) in done.stderr for word in words[1:])


# ---- claims


@pytest.mark.parametrize(
    ("values", "sign", "bound", "over", "holds"),
    [
        ([1.0, 2.0], ">", 0.5, "each", True),
        ([1.0, 2.0], ">", 1.0, "each", False),
        ([1.0, 2.0], ">=", 1.0, "each", True),
        ([1.0, 4.0, 5.0], "<", 4.5, "each", False),
        ([1.0, 4.0, 5.0], "<", 3.5, "median", False),
        ([1.0, 4.0, 5.0], "<", 3.5, "mean", True),
        ([1.0, math.nan], ">", 0.0, "each", False),
        ([1.0, math.nan], "<=", 2.0, "mean", False),
        ([], ">", 0.0, "each", False),
    ],
)
def test_a_claim_holds_for_each_seed_or_their_middle(values, sign, bound, over, holds):
    claim = Claim("x", values, sign, bound, over)
    assert claim.holds is holds
    assert claim.verdict == ("holds" if holds else "does not hold")


def test_what_is_known_not_to_reproduce_is_said_and_is_no_failure(small, capsys):
    written = (small / "x12_wrong.py").read_text()
    (small / "x12_wrong.py").write_text(written.replace('"<", 1)', '"<", 1, reproduces=False)'))
    assert lab.main(["all"]) == 0
    told = capsys.readouterr().out
    assert "  does not hold: seeds of a: 1 (0 to 2); wanted < 1" in told
    assert "1 of 2 claims hold" in told


def test_a_claim_tells_its_figures():
    assert Claim("x", [0.5, 0.25, 0.75], "<", 2).figure == "0.5 (0.25 to 0.75)"
    assert Claim("x", [1.0, 2.0, 6.0], "<", 2, "mean").figure == "3 (1 to 6)"
    assert Claim("x", [1.0, 2.0, 6.0], "<", 2, "mean").wanted == "< 2 (mean)"
    assert Claim("x", [12345.0], "<", 2).figure == "12,345"
    assert "| x01        | x     | < 2    | 1        | holds |" in _claims.table(
        {"x01": [Claim("x", [1.0], "<", 2)]}
    )


# ---- digits and nets


def test_the_split_changes_with_the_seed_and_shares_nothing():
    first, second = _digits.split(0), _digits.split(1)
    assert first.train_x.shape == (1347, 64)
    assert first.test_x.shape == (450, 64)
    assert not np.array_equal(first.test_y, second.test_y)
    assert np.array_equal(first.test_x, _digits.split(0).test_x)
    both = np.concatenate([first.train_x, first.test_x])
    images, _ = _digits._digits()
    assert np.array_equal(np.sort(both.sum(1)), np.sort(images.sum(1)))
    assert first.first(10).train_x.shape == (10, 64)


def test_a_net_has_its_norms_between_and_biases_where_they_count():
    layers = list(_digits.mlp([4, 3, 2], nn.BatchNorm1d, nn.Tanh))
    assert [type(layer).__name__ for layer in layers] == ["Linear", "BatchNorm1d", "Tanh", "Linear"]
    assert layers[0].bias is None
    assert layers[3].bias.tolist() == [0, 0]
    plain = _digits.mlp([4, 3, 2], None, init=lambda w: nn.init.constant_(w, 2.0))
    assert plain[0].bias.tolist() == [0, 0, 0]
    assert plain[2].weight.tolist() == [[2.0] * 3] * 2


def test_training_stops_where_the_loss_is_no_number():
    data = _digits.split(0)
    model = _digits.mlp([64, 20, 20, 10], None)
    seen = []
    stream = _digits.batches(data.train_x, data.train_y, 60, 0)
    curve = _digits.train(model, stream, 200, 1e20, seen.append)
    assert curve.diverged == len(curve.losses) < 200
    assert not math.isfinite(curve.losses[-1])
    assert seen == list(range(1, curve.diverged))
    assert _digits.accuracy(model, data.test_x, data.test_y) == 0.0


def test_batches_go_on_beyond_one_pass():
    x, y = np.arange(10.0, dtype=np.float32)[:, None], np.arange(10)
    taken = list(itertools.islice(_digits.batches(x, y, 4, 0), 5))
    assert [len(rows) for rows, _ in taken] == [4] * 5
    first, second = (
        np.concatenate([r.numpy() for r, _ in part]) for part in (taken[:2], taken[2:4])
    )
    assert not np.array_equal(first, second)


def test_accuracy_and_likelihood_leave_the_model_as_it_was():
    data = _digits.split(0)
    model = _digits.mlp([64, 20, 10])
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    for by_batch in (True, False):
        found = mg.tensor(_digits.logits(model, data.test_x, by_batch))
        right = (found.argmax(1) == mg.tensor(data.test_y)).float().mean().item()
        assert _digits.accuracy(model, data.test_x, data.test_y, by_batch) == pytest.approx(right)
        expected = nn.CrossEntropyLoss()(found, mg.tensor(data.test_y)).item()
        assert _digits.nll(model, data.test_x, data.test_y, by_batch) == expected
    after = model.state_dict()
    assert model.training
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)


# ---- pictures


def test_a_band_is_the_median_and_ends_where_training_did():
    figure = _pictures.new_figure()
    axis = figure.subplots()
    _pictures.band(axis, [1, 2, 3, 4], [[1, 2, 9], [3, 4, 5], [2]], "x", "none", marker=True)
    (line,) = axis.lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == [2, 3, 7]
    assert line.get_marker() == "s"
    _pictures.plt.close(figure)
