"""The main job: the demo learns, both forms of BatchNorm train alike, and it ends as it says."""

import itertools
import re
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import digits


class NoBar:
    """A progress bar that shows nothing, and can be interrupted."""

    def __init__(self, interrupt_at=None, **_):
        self.lines, self.steps, self.interrupt_at = [], 0, interrupt_at

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def write(self, line):
        self.lines.append(line)

    def update(self):
        self.steps += 1
        if self.steps == self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def data():
    return digits.load()


def losses(norm, steps, dtype):
    run = digits.Run(norm, seed=3)
    data = digits.load(dtype)
    for _ in itertools.islice(digits.train_steps(run, data, 10, dtype=dtype), steps):
        pass
    return np.array(run.losses)


def test_the_digits_are_split_without_overlap(data):
    assert len(data.train_x) + len(data.test_x) == 1797
    images = {x.tobytes() for x in data.train_x} & {x.tobytes() for x in data.test_x}
    assert not images


def test_fused_and_composed_train_alike_in_float64():
    fused, composed = (losses(norm, 50, mg.float64) for norm in ("fused", "composed"))
    assert len(fused) == 50
    np.testing.assert_allclose(fused, composed, rtol=1e-10, atol=0)


def test_fused_and_composed_start_alike_in_float32():
    fused, composed = (losses(norm, 5, mg.float32) for norm in ("fused", "composed"))
    np.testing.assert_allclose(fused, composed, rtol=1e-4, atol=0)


def test_one_seed_gives_one_run():
    np.testing.assert_array_equal(losses("fused", 5, mg.float32), losses("fused", 5, mg.float32))


def test_accuracy_with_batch_norm_is_at_least_98_percent(data):
    runs = [digits.Run("fused", seed) for seed in range(3)]
    for run in runs:
        digits.train(run, data, epochs=8, device="cpu", bar=NoBar())
    assert statistics.median(run.running for run in runs) >= 0.98
    assert statistics.median(run.population for run in runs) >= 0.98


def test_it_draws_and_ends_with_both_accuracies(tmp_path, capsys):
    picture = tmp_path / "digits.png"
    assert digits.main(["--epochs", "1", "--norm", "composed", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.fullmatch(
        r"test accuracy: 0\.\d{3} \(running averages\) 0\.\d{3} \(population statistics\)", last
    )


def test_without_normalisation_it_trains_once(tmp_path, capsys):
    assert digits.main(["--epochs", "1", "--norm", "none", "--out", str(tmp_path / "d.png")]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.strip().startswith("none")]) == 3
    assert "without normalisation" not in out


def test_interrupted_it_says_what_was_reached(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(digits, "tqdm", lambda **_: NoBar(interrupt_at=12))
    picture = tmp_path / "digits.png"
    assert digits.main(["--epochs", "1", "--out", str(picture)]) == 130
    out = capsys.readouterr().out
    assert "stopped in run 1 of 6 (fused, seed 0) at step 12" in out
    assert "test accuracy" in out
    assert picture.exists()


def test_interrupted_at_once_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(digits, "tqdm", lambda **_: NoBar(interrupt_at=1))
    picture = tmp_path / "digits.png"
    assert digits.main(["--out", str(picture)]) == 130
    assert "at step 1, loss" in capsys.readouterr().out
    assert not picture.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "give at least 1"),
        (["--seed", "-1"], "give 0 or more"),
        (["--norm", "layer"], "invalid choice"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "no/such/folder/d.png"], "no/such/folder"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        digits.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
