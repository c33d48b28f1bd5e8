"""The gradient penalty: its gradient is right through BatchNorm, and it buys what is claimed."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import gradient_penalty as example
from tqdm import tqdm

OPTIONS = SimpleNamespace(device="cpu", seed=0, epochs=6)


@pytest.fixture(scope="module")
def data():
    """Images and labels: 1437 to learn from, 360 unseen."""
    x, unseen_x, y, unseen_y = mg.data.train_test_split(*mg.data.load_digits(), seed=0)
    return SimpleNamespace(x=x, y=y, unseen_x=mg.tensor(unseen_x), unseen_y=mg.tensor(unseen_y))


@pytest.fixture(scope="module")
def trained(data):
    """A model by each method."""
    x, y = mg.tensor(data.x), mg.tensor(data.y)
    return {
        method: example.train(strength, 0, x, y, OPTIONS, tqdm(disable=True))
        for method, strength in example.METHODS.items()
    }


def torch_model(torch, state):
    """PyTorch's form of the model, with this state."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    ).double()
    model.load_state_dict({name: torch.tensor(value.numpy()) for name, value in state.items()})
    return model


@pytest.mark.parametrize("fused", [True, False])
def test_the_penalty_and_its_gradient_are_those_of_pytorch(fused, data):
    torch = pytest.importorskip("torch")
    images, labels = data.x[:32].astype(np.float64), data.y[:32]
    model = example.make_model(fused, mg.float64)
    peer = torch_model(torch, model.state_dict())
    loss, penalty = example.loss_and_penalty(model, mg.tensor(images), mg.tensor(labels))
    x = torch.tensor(images, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(peer(x), torch.tensor(labels), reduction="sum")
    (slope,) = torch.autograd.grad(losses, x, create_graph=True)
    expected = (slope**2).sum(dim=(1, 2, 3)).mean()
    assert loss.item() == pytest.approx(losses.item() / 32, rel=1e-12)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-12)
    expected.backward()
    penalty.backward()
    for (name, ours), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        scale = theirs.grad.abs().max().item()
        np.testing.assert_allclose(
            ours.grad.numpy(), theirs.grad.numpy(), rtol=0, atol=1e-10 * scale, err_msg=name
        )


def test_fused_and_composed_agree_to_rounding(data):
    assert example.apart(data.x[:64], data.y[:64], OPTIONS) < 1e-13


def test_a_difference_between_them_would_be_seen(data, monkeypatch):
    make = example.make_model

    def other_eps(fused, dtype):
        model = make(fused, dtype)
        model[1].eps = 1e-5 if fused else 1.01e-5
        return model

    monkeypatch.setattr(example, "make_model", other_eps)
    assert example.apart(data.x[:64], data.y[:64], OPTIONS) > 1e-9


@pytest.mark.parametrize("training", [True, False])
def test_an_image_moves_the_losses_of_others_only_in_training(training, data):
    model = example.make_model(dtype=mg.float64).train(training)
    x = mg.tensor(data.x[:8].astype(np.float64), requires_grad=True)
    losses = F.cross_entropy(model(x), mg.tensor(data.y[:8]), reduction="none")
    (slope,) = mg.grad(losses[0], x)
    moved_by_others = np.abs(slope.numpy()[1:]).max()
    assert (moved_by_others > 1e-6) == training
    assert training or moved_by_others == 0


@pytest.mark.parametrize("steps", [1, 10])
def test_moves_stay_in_reach_and_raise_the_loss(steps, trained, data):
    model = trained["loss alone"]
    x, y = data.unseen_x, data.unseen_y
    before = model.state_dict()["1.running_mean"].numpy().copy()
    moved = example.moved(model, x, y, 0.1, steps)
    assert np.abs((moved - x).numpy()).max() <= 0.1 + 1e-6
    assert moved.numpy().min() >= 0
    assert moved.numpy().max() <= 1
    assert not moved.requires_grad
    assert F.cross_entropy(model(moved), y).item() > 2 * F.cross_entropy(model(x), y).item()
    np.testing.assert_array_equal(model.state_dict()["1.running_mean"].numpy(), before)


def test_ten_steps_find_more_than_one(trained, data):
    model, x, y = trained["loss alone"], data.unseen_x, data.unseen_y
    one, ten = (
        F.cross_entropy(model(example.moved(model, x, y, 0.15, steps)), y).item()
        for steps in (1, 10)
    )
    assert ten > one


def test_the_penalty_keeps_more_moved_digits_right(trained, data):
    _, ten_steps, _ = example.MOVES
    found = {
        method: example.accuracies(model, data.unseen_x, data.unseen_y, ten_steps)
        for method, model in trained.items()
    }
    alone, penalised = found["loss alone"], found["with penalty"]
    assert min(alone[0], penalised[0]) > 0.95  # unmoved
    assert penalised[2] > alone[2] + 0.08  # moved by 0.1
    assert alone == sorted(alone, reverse=True)


def test_it_prints_draws_and_ends_with_the_picture(device, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(example, "SEEDS", 1)
    monkeypatch.setattr(example, "MOVES", [moves for moves in example.MOVES if moves.steps < 2])
    picture = tmp_path / "penalty.png"
    arguments = ["--epochs", "1", "--device", device, "--out", str(picture)]
    assert example.main(arguments) == 0
    out = capsys.readouterr().out
    assert re.search(r"^gradient of the penalty: .* \de-1[4-9] apart \(float64\)$", out, re.M)
    line = r"^(gradient sign, 1 step|noise) +0\.\d\d( +0\.\d{3} \(0\.\d{3}-0\.\d{3}\)){2}$"
    assert len(re.findall(line, out, re.M)) == 11
    assert out.endswith(f"picture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_seed_gives_one_model(data):
    x, y = mg.tensor(data.x[:128]), mg.tensor(data.y[:128])
    first, again, other = (
        example.train(1.0, seed, x, y, OPTIONS, tqdm(disable=True)).state_dict()
        for seed in (3, 3, 4)
    )
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), again[name].numpy(), err_msg=name)
    assert (first["0.weight"].numpy() != other["0.weight"].numpy()).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "give at least 1"),
        (["--seed", "-1"], "give 0 or more"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--out", "penalty.txt"], "give a file name that ends in .png"),
        (["--out", "no/such/folder/p.png"], "no/such/folder"),
    ],
)
def test_bad_options_say_what_to_type(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        example.main(options)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
