"""The character model: it sees nothing that comes later, learns what held-out words ask, and ends
as it says."""

import itertools
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import char_model
from char_model import LENGTH, LINE, CharacterModel


def lines(seed=0):
    return char_model.make_lines(np.random.default_rng(seed))


def text_of(row):
    return "".join(char_model.CHARACTERS[each] for each in row)


@pytest.mark.parametrize(("sign", "right"), [(">", "dbca"), ("<", "acbd"), ("^", "abcd")])
def test_a_sign_says_what_to_write(sign, right):
    assert char_model.answer("dbca", sign) == right


def test_every_line_is_a_word_a_sign_and_the_answer():
    for row in lines()[1]:
        text = text_of(row)
        word, sign = text[1 : 1 + LENGTH], text[1 + LENGTH]
        assert text == f"\n{word}{sign}{char_model.answer(word, sign)}"


def test_no_held_out_word_is_learned_from():
    learned, held_out = ({text_of(row[: 1 + LENGTH]) for row in part} for part in lines())
    assert not learned & held_out
    assert len(learned) + len(held_out) == 8**4
    assert len(held_out) == 409


def test_what_comes_later_changes_nothing_before(device):
    model = CharacterModel().to(device)
    text = lines()[0][:3]
    logits = model(mg.tensor(text, device=device)).numpy()
    for place in range(1, LINE):
        other = text.copy()
        other[:, place] = (other[:, place] + 1) % len(char_model.CHARACTERS)
        changed = model(mg.tensor(other, device=device)).numpy()
        np.testing.assert_array_equal(changed[:, :place], logits[:, :place])
        assert (changed[:, place:] != logits[:, place:]).any((0, 2)).all()


def test_a_part_of_a_text_has_the_logits_that_it_has_in_the_whole():
    model, text = CharacterModel(), mg.tensor(lines()[0][:3])
    part = model(text[:, :4])
    mg.testing.assert_close(part, model(text)[:, :4], size=char_model.WIDTH)


def test_attention_is_shared_among_the_places_so_far():
    weights = char_model.attention_of(CharacterModel(), "\nbade<eda")
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.triu(weights, 1), 0)
    assert (np.tril(weights)[np.tril_indices(LINE - 1)] > 0).all()


def test_looking_at_the_attention_leaves_no_hook_behind():
    model = CharacterModel()
    char_model.attention_of(model, "\nbade<eda")
    with mg.no_grad():
        assert model(mg.tensor(lines()[0][:2])).shape == (2, LINE, len(char_model.CHARACTERS))
    assert not model.blocks[-1].attention.softmax._hooks.after


def losses(seed, steps):
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learned, _ = char_model.make_lines(rng)
    run = char_model.train_steps(CharacterModel(), learned, 100, rng)
    return list(itertools.islice(run, steps))


def test_one_seed_gives_one_run():
    assert losses(1, 4) == losses(1, 4)
    assert losses(1, 1) != losses(2, 1)


def test_it_learns_to_answer_what_it_never_read(capsys):
    rng = np.random.default_rng(0)
    learned, held_out = char_model.make_lines(rng)
    model = CharacterModel()
    before = char_model.right_answers(model, held_out)
    bits = char_model.train(model, learned, held_out, 300, rng)
    after = char_model.right_answers(model, held_out)
    assert before.max() < 0.01
    assert after[:2].min() > 0.7  # copied and reversed
    assert after[2] > 0.4  # sorting takes longer
    least = math.log2(len(learned)) / (LINE - 1)
    assert least - 0.02 < np.mean(bits[-25:]) < least + 0.2
    assert len(bits) == 300


def test_right_answers_are_counted_by_task():
    class Knows:
        """Copies whatever it is asked."""

        def parameters(self):
            return iter([mg.zeros(1)])

        def __call__(self, text):
            place = text.shape[1] - LENGTH - 1
            logits = np.zeros((*text.shape, len(char_model.CHARACTERS)), np.float32)
            logits[np.arange(len(text)), -1, text.numpy()[:, place]] = 1
            return mg.tensor(logits)

    shares = char_model.right_answers(Knows(), lines()[1])
    assert shares[0] == 1
    assert 0 < shares[1] < 0.1  # palindromes
    assert 0 < shares[2] < 0.2  # words that are sorted as they are


def test_a_sample_is_marked_right_or_wrong(capsys):
    char_model.report_samples(["\nbade<edab", "\nbade<bade", "\nbadeaedab"])
    marks = capsys.readouterr().out.split()[-6:]
    assert marks == ["bade<edab", "right", "bade<bade", "wrong", "badeaedab", "wrong"]


def test_it_prints_draws_and_saves(tmp_path, capsys, device):
    pytest.importorskip("safetensors")
    picture, weights = tmp_path / "c.png", tmp_path / "c.safetensors"
    options = ["--steps", "2", "--device", device, "--out", str(picture), "--model", str(weights)]
    assert char_model.main(options) == 0
    out = capsys.readouterr().out
    assert re.search(r"^11,061 lines to learn from, 1,227 of other words$", out, re.M)
    assert re.search(r"^at best 1\.493 bits per character$", out, re.M)
    assert re.search(r"^step +bits per character +copied +reversed +sorted$", out, re.M)
    assert re.search(r"^   2 +\d\.\d{3}( +0\.\d{3}){3}$", out, re.M)
    assert len(re.findall(r"(right|wrong)$", out, re.M)) == 8
    assert picture.read_bytes().startswith(b"\x89PNG")
    model = CharacterModel()
    model.load_state_dict(mg.load(weights))
    assert not any("later" in name for name in mg.load(weights))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "give at least 1"),
        (["--seed", "-1"], "give 0 or more"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "no/such/folder/c.png"], "no/such/folder"),
        (["--model", "no/such/folder/c.safetensors"], "no/such/folder"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        char_model.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
