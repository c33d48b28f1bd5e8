"""Whole models against PyTorch's: the same weights in, the same losses out, step after step."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

torch = pytest.importorskip("torch")


def lenet(n):
    """Convolutions, pooling and fully connected layers, after LeCun et al., 1998."""
    return n.Sequential(
        n.Conv2d(1, 6, 5, padding=2),
        n.Tanh(),
        n.AvgPool2d(2),
        n.Conv2d(6, 16, 3),
        n.Tanh(),
        n.MaxPool2d(2),
        n.Flatten(),
        n.Linear(16, 24),
        n.Tanh(),
        n.Linear(24, 10),
    )


def resnet(n):
    """Residual blocks with BatchNorm, one of them with a stride, after He et al., 2016."""

    class Block(n.Module):
        def __init__(self, channels, out, stride):
            super().__init__()
            self.conv1 = n.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.bn1 = n.BatchNorm2d(out)
            self.conv2 = n.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = n.BatchNorm2d(out)
            self.relu = n.ReLU()
            self.shortcut = n.Sequential()
            if stride != 1 or channels != out:
                self.shortcut = n.Sequential(
                    n.Conv2d(channels, out, 1, stride, bias=False), n.BatchNorm2d(out)
                )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1, bias=False),
        n.BatchNorm2d(4),
        n.ReLU(),
        Block(4, 4, 1),
        Block(4, 8, 2),
        n.AdaptiveAvgPool2d(1),
        n.Flatten(),
        n.Linear(8, 10),
    )


def data(dtype):
    """Noisy images of ten patterns."""
    rng = np.random.default_rng(0)
    patterns, labels = rng.normal(size=(10, 1, 8, 8)), rng.integers(0, 10, 160)
    x = patterns[labels] + 0.5 * rng.normal(size=(160, 1, 8, 8))
    return x.astype(dtype), labels


def losses(make, optimiser, options, dtype, steps):
    """The losses of our run and of PyTorch's, from the same weights, on the same batches."""
    torch.manual_seed(0)
    theirs, ours = make(torch.nn), make(nn)
    theirs, ours = theirs.to(getattr(torch, dtype)), ours.to(dtype)
    ours.load_state_dict(theirs.state_dict())
    x, labels = data(dtype)
    results = []
    for library, model, loss, room in (
        (mg, ours, nn.CrossEntropyLoss(), optim),
        (torch, theirs, torch.nn.CrossEntropyLoss(), torch.optim),
    ):
        steps_of = getattr(room, optimiser)(model.parameters(), **options)
        run = []
        for step in range(steps):
            rows = slice(32 * (step % 5), 32 * (step % 5 + 1))
            value = loss(model(library.tensor(x[rows])), library.tensor(labels[rows]))
            steps_of.zero_grad()
            value.backward()
            steps_of.step()
            run.append(value.item())
        results.append(np.array(run))
    return results


RUNS = {
    "LeNet, SGD": (lenet, "SGD", {"lr": 0.05, "momentum": 0.9}),
    "LeNet, AdamW": (lenet, "AdamW", {"lr": 3e-3}),
    "ResNet, SGD": (resnet, "SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}),
    "ResNet, Adam": (resnet, "Adam", {"lr": 1e-2}),
}
every_run = pytest.mark.parametrize(("make", "optimiser", "options"), RUNS.values(), ids=RUNS)


@every_run
def test_fifty_losses_are_torchs_in_float64(make, optimiser, options):
    ours, theirs = losses(make, optimiser, options, "float64", 50)
    assert ours[-5:].mean() < 0.5 * ours[0]  # it learns
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


@every_run
def test_the_first_five_losses_are_torchs_in_float32(make, optimiser, options):
    ours, theirs = losses(make, optimiser, options, "float32", 5)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
