"""examples/spirals.py: every kind of regularisation runs, is drawn, and does what it is for."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import spirals


class NoBar:
    def update(self):
        pass


def test_it_prints_a_line_for_each_method_and_draws(tmp_path, capsys):
    picture = tmp_path / "spirals.png"
    assert spirals.main(["--steps", "3", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if re.fullmatch(r"[A-Za-z].*?(\s+[01]\.\d{3}){3}", line)]
    assert len(rows) == len(spirals.METHODS) == 6
    assert lines[-1] == f"picture: {picture}"


def trained(method, steps=300):
    rng = np.random.default_rng(0)
    x, y = spirals.spirals(rng, spirals.POINTS, spirals.WRONG)
    mg.manual_seed(0)
    model = spirals.train(method, mg.tensor(x), mg.tensor(y), steps, NoBar())
    return model, x, y


def test_an_l1_penalty_makes_few_neurons_active():
    none, _, _, _, _, l1 = spirals.METHODS
    shares = [spirals.active_share(trained(m)[0], trained(m)[1], "cpu") for m in (none, l1)]
    assert shares[1] < 0.5 * shares[0]


def test_a_penalty_makes_weights_small():
    none, _, decay, l2, l1, _ = spirals.METHODS
    sizes = [mg.nn.l2_penalty(trained(m)[0]).item() for m in (none, decay, l2, l1)]
    assert max(sizes[1:]) < 0.7 * sizes[0]


def test_it_learns_the_spirals():
    model, x, y = trained(spirals.METHODS[0])
    assert spirals.accuracy(model, x, y, "cpu") > 0.85


def test_one_seed_gives_one_result():
    a, b = (trained(spirals.METHODS[1], 20)[0].state_dict() for _ in range(2))
    assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "--steps 0: give at least 1"),
        (["--seed", "-1"], "give 0 or more"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "picture"], "ends in .png"),
        (["--out", "no/such/folder/d.png"], "there is no folder no/such/folder"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        spirals.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
