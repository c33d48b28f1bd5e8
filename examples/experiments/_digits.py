"""What the experiments share: digits split by seed, small nets, training, accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F

CLASSES = 10
CHANCE = 1 / CLASSES  # accuracy of a guess
CHANCE_LOSS = math.log(CLASSES)  # cross entropy of equal probabilities
HELD_OUT = 450  # images to test on
NAN = float("nan")

# a layer of so many features, or None for no normalisation at all
Norm = Callable[[int], nn.Module] | None


@dataclass(frozen=True)
class Split:
    """Images as rows (n, 64) float32 in [0, 1] and labels (n,), to learn from and to test on."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def first(self, n: int) -> Split:
        """The same with only the first n images to learn from."""
        return Split(self.train_x[:n], self.train_y[:n], self.test_x, self.test_y)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = mg.data.load_digits()
    return images.reshape(len(images), -1), labels


def split(seed: int) -> Split:
    """All digits in an order of their own for each seed; the last 450 are held out."""
    images, labels = _digits()
    order = np.random.default_rng(seed).permutation(len(images))
    learn, test = order[:-HELD_OUT], order[-HELD_OUT:]
    return Split(images[learn], labels[learn], images[test], labels[test])


def mlp(
    sizes: list[int],
    norm: Norm = nn.BatchNorm1d,
    activation: Callable[[], nn.Module] = nn.ReLU,
    init: Callable[[mg.Tensor], object] = nn.init.kaiming_normal_,
) -> nn.Sequential:
    """Linear, norm, activation for each hidden size, and a last Linear.

    Args:
        sizes: inputs, hidden layers, outputs.
        norm: makes the normalisation of a hidden layer; None for none.
        activation: makes what follows it.
        init: fills the weights, the last layer's too; biases begin at 0.  What a norm follows has
            no bias: the norm would take it away.
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        layers.append(nn.Linear(inputs, outputs, bias=last or norm is None))
        init(layers[-1].weight)
        if layers[-1].bias is not None:
            nn.init.zeros_(layers[-1].bias)
        if not last:
            layers += [] if norm is None else [norm(outputs)]
            layers.append(activation())
    return nn.Sequential(*layers)


def batches(
    x: np.ndarray, y: np.ndarray, size: int, seed: int
) -> Iterator[tuple[mg.Tensor, mg.Tensor]]:
    """Minibatches without end, each pass over the data in a new order."""
    passes = mg.data.batches(x, y, batch_size=size, seed=seed, drop_last=True)
    while True:
        yield from passes


@dataclass
class Curve:
    """What training went through: the loss of each batch, and the step that it diverged at."""

    losses: list[float] = field(default_factory=list)
    diverged: int | None = None


def train(
    model: nn.Module,
    stream: Iterator[tuple[mg.Tensor, mg.Tensor]],
    steps: int,
    lr: float,
    after: Callable[[int], object] | None = None,
) -> Curve:
    """Plain SGD on the cross entropy, until `steps` or until the loss is no number any more.

    Args:
        model: trained in the mode that it is in.
        stream: gives minibatches, such as `batches(...)`.
        steps: how many.
        lr: the learning rate.
        after: called with the number of steps done, after each, the gradients still there.
    """
    curve, criterion = Curve(), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    with np.errstate(all="ignore"):  # what diverges overflows
        for step in range(1, steps + 1):
            x, y = next(stream)
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.losses.append(loss.item())
            if not math.isfinite(curve.losses[-1]):
                curve.diverged = step
                break
            if after is not None:
                after(step)
    return curve


def logits(model: nn.Module, x: np.ndarray, by_batch: bool = False) -> np.ndarray:
    """The model's outputs in evaluation, or normalised by these images themselves (by_batch)."""
    training = model.training
    model.train(by_batch)
    with mg.no_grad(), nn.frozen_stats(model), np.errstate(all="ignore"):
        found = model(mg.tensor(x)).numpy()
    model.train(training)
    return found


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray, by_batch: bool = False) -> float:
    """The share of images whose largest logit is at their label; not a number counts as wrong."""
    found = logits(model, x, by_batch)
    right = (found.argmax(1) == y) & np.isfinite(found).all(1)
    return float(right.mean())


def nll(model: nn.Module, x: np.ndarray, y: np.ndarray, by_batch: bool = False) -> float:
    """The mean negative log-likelihood of the labels, in nats."""
    found = mg.tensor(logits(model, x, by_batch))
    return F.cross_entropy(found, mg.tensor(y)).item()
