"""The autoencoder: it learns more than a linear code holds, and draws what it says."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import autoencoder


def run(tmp_path, capsys, *arguments):
    """What it prints, and its picture's path."""
    picture = tmp_path / "codes.png"
    assert autoencoder.main([*arguments, "--out", str(picture)]) == 0
    return capsys.readouterr().out, picture


def errors(out):
    """The errors at the end, by name."""
    return {
        name: float(error)
        for name, error in re.findall(
            r"^(mean image|8 p\w+ c\w+|autoencoder) +(0\.\d{4})$", out, re.M
        )
    }


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the picture, which takes longer than a few epochs."""
    monkeypatch.setattr(autoencoder, "draw", lambda rows, title, path: None)


@pytest.fixture(scope="module")
def split():
    images, _ = mg.data.load_digits()
    return mg.data.train_test_split(images, seed=0)


def test_images_become_codes_and_codes_images():
    model = autoencoder.Autoencoder()
    codes = model.encode(mg.rand(5, 1, 8, 8))
    assert codes.shape == (5, autoencoder.CODE)
    assert model.decode(codes).shape == (5, 1, 8, 8)


def test_principal_components_are_those_of_scikit_learn(split):
    from sklearn import decomposition

    learned, unseen = (part.astype(np.float64) for part in split)
    pca = decomposition.PCA(autoencoder.CODE, svd_solver="full").fit(learned.reshape(-1, 64))
    expected = pca.inverse_transform(pca.transform(unseen.reshape(-1, 64)))
    rebuilt = autoencoder.principal_components(learned, unseen)
    np.testing.assert_allclose(rebuilt.reshape(-1, 64), expected, rtol=0, atol=1e-10)


def test_mixtures_lead_from_one_image_to_the_other(split):
    model = autoencoder.Autoencoder()
    pair = mg.tensor(split[1][:2])
    ends = autoencoder.rebuild(model, pair)
    codes, pixels = autoencoder.mixed(model, pair)
    assert codes.shape == pixels.shape == (autoencoder.SHOWN, 1, 8, 8)
    np.testing.assert_allclose(codes[[0, -1]], ends, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(pixels[[0, -1]], pair.numpy())


def test_every_step_trains_on_the_statistics_of_its_batch(split):
    model = autoencoder.Autoencoder()
    x, unseen = mg.tensor(split[0][:128]), mg.tensor(split[1])
    autoencoder.train(model, x, unseen, SimpleNamespace(epochs=3, seed=0))
    assert model.state_dict()["up.3.num_batches_tracked"].item() == 3 * 2


def test_with_few_epochs_it_beats_the_linear_code(undrawn, tmp_path, capsys):
    out, _ = run(tmp_path, capsys, "--epochs", "15")
    found = errors(out)
    assert found["autoencoder"] < found["8 principal components"] < found["mean image"] / 2


def test_it_prints_draws_and_ends_with_the_picture(device, tmp_path, capsys):
    out, picture = run(tmp_path, capsys, "--epochs", "2", "--device", device)
    assert re.search(r"^epoch +train loss +test loss$", out, re.M)
    assert len(re.findall(r"^ +[12]( +0\.\d{4}){2}$", out, re.M)) == 2
    assert len(errors(out)) == 3
    assert out.endswith(f"picture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_last_test_loss_is_the_error_at_the_end(undrawn, tmp_path, capsys):
    out, _ = run(tmp_path, capsys, "--epochs", "1")
    last = re.findall(r"^ +1 +0\.\d{4} +(0\.\d{4})$", out, re.M)
    assert float(*last) == errors(out)["autoencoder"]


def test_one_seed_gives_one_result_and_another_another(undrawn, tmp_path, capsys):
    outs = [run(tmp_path, capsys, "--epochs", "1", "--seed", seed)[0] for seed in "334"]
    assert outs[0] == outs[1] != outs[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "give at least 1"),
        (["--seed", "-1"], "give 0 or more"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "codes.txt"], "give a file name that ends in .png"),
        (["--out", "no/such/folder/a.png"], "no/such/folder"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        autoencoder.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
