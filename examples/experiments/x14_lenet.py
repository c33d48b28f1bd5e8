"""A LeNet of sigmoids learns with BatchNorm only, and better than its running averages say.

The book "Dive into Deep Learning" (d2l.ai, chapter on batch normalization) trains a LeNet of
sigmoids with BatchNorm after each layer, for 10 epochs at a learning rate of 0.1, on
Fashion-MNIST.  Here it learns 8×8 digits in batches of 64, with Xavier's initialisation.  Without
BatchNorm it stays at chance, at 0.1 and at 1.0.  With it, it learns at both; but the running
averages lag behind weights that still move, and accuracies by them jump by tenths from step to
step, so that means over an epoch are given.  The population statistics of the same weights
(`nn.recompute_stats`; Wu and Johnson, 2021, arXiv 2105.07576) give more at once, and smoothly.
γ of the first BatchNorm leaves its initial 1, the more the larger the rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, split, train
from _pictures import STYLES, band, level
from _population import by_population

from minigrad import nn

BATCH, EPOCHS, QUICK_EPOCHS, JUDGED = 64, 20, 10, 10
RATES = (0.1, 1.0)
EVERY = 2  # steps between the evaluations of which an epoch's mean is made; an epoch has 21


@dataclass
class Found:
    """Test accuracies of each epoch, and γ (6,) of the first BatchNorm at the end."""

    running: list[float] = field(default_factory=list)
    population: list[float] = field(default_factory=list)
    gamma: list[float] = field(default_factory=list)


def lenet(norm: bool) -> nn.Sequential:
    """LeNet for 8×8 pixels; Xavier's weights, and no biases at first."""

    def after(kind, size: int) -> list[nn.Module]:
        return [kind(size), nn.Sigmoid()] if norm else [nn.Sigmoid()]

    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), *after(nn.BatchNorm2d, 6), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), *after(nn.BatchNorm2d, 16), nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 120), *after(nn.BatchNorm1d, 120),
        nn.Linear(120, 84), *after(nn.BatchNorm1d, 84),
        nn.Linear(84, CLASSES),
    )  # fmt: skip
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def cases(quick: bool) -> list[tuple[str, float]]:
    """Without and with BatchNorm, at each learning rate."""
    return [(norm, rate) for norm in ("none", "BatchNorm") for rate in RATES]


def measure(case: tuple[str, float], seed: int, quick: bool) -> Found:
    """Train, judging in each epoch by running averages, and at its end by the population."""
    norm, rate = case
    data, found = split(seed), Found()
    train_x, test_x = (x.reshape(-1, 1, 8, 8) for x in (data.train_x, data.test_x))
    model = lenet(norm == "BatchNorm")
    per_epoch, lately = len(train_x) // BATCH, []

    def judge(step: int) -> None:
        if norm == "BatchNorm" and step % EVERY == 0:
            lately.append(accuracy(model, test_x, data.test_y))
        if step % per_epoch == 0:
            lately.append(accuracy(model, test_x, data.test_y))
            found.running.append(float(np.mean(lately)))
            lately.clear()
            precise = by_population(model, train_x)
            found.population.append(accuracy(precise, test_x, data.test_y))

    epochs = QUICK_EPOCHS if quick else EPOCHS
    train(model, batches(train_x, data.train_y, BATCH, seed), epochs * per_epoch, rate, judge)
    norms = [module for module in model if isinstance(module, nn.BatchNorm2d)]
    found.gamma = norms[0].weight.tolist() if norms else []
    return found


def picture(figure, results) -> None:
    """Accuracies by epoch for each rate, and what was learnt of γ."""
    *axes, right = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    for axis, rate in zip(axes, RATES, strict=True):
        found = results["BatchNorm", rate]
        epochs = range(1, len(found[0].running) + 1)
        band(axis, epochs, [each.population for each in found], "population", "BatchNorm")
        band(axis, epochs, [each.running for each in found], "running averages", "third")
        without = [each.running for each in results["none", rate]]
        band(axis, epochs, without, "no BatchNorm", "none")
        axis.set(xlabel="epoch", ylim=(0, 1.02), title=f"Learning rate {rate}")
        level(axis, CHANCE)
    axes[0].set_ylabel("test accuracy")
    axes[1].legend(loc="center right")
    for i, rate in enumerate(RATES):
        for shift, each in enumerate(results["BatchNorm", rate]):
            at = np.full(len(each.gamma), i + 0.15 * (shift - 1))
            right.plot(at, each.gamma, "o", color=STYLES["BatchNorm"]["color"], alpha=0.6)
    right.set_xticks(range(len(RATES)), map(str, RATES))
    right.set(xlabel="learning rate", xlim=(-0.5, 1.5), title="γ, first BatchNorm")
    level(right, 1, "at first")
    figure.suptitle("LeNet of sigmoids on 8×8 digits")


def claims(results) -> list[Claim]:
    """At chance without; learnt with, and judged too low by running averages."""
    at = JUDGED - 1
    without = [each.running[at] for rate in RATES for each in results["none", rate]]
    with_it = results["BatchNorm", 0.1]
    learnt = [each.population[at] for each in with_it]
    lag = [each.population[at] - each.running[at] for each in with_it]
    return [
        Claim("accuracy without BatchNorm, epoch 10", without, "<", 0.2),
        Claim("accuracy by population, epoch 10, rate 0.1", learnt, ">", 0.93),
        Claim("accuracy, population less running, epoch 10, rate 0.1", lag, ">", 0.05),
    ]
