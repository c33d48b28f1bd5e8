"""BatchNorm with noise behind it drifts like no normalisation at all, and trains as well as ever.

Santurkar, Tsipras, Ilyas and Madry (2018, arXiv 1805.11604, figure 2) put noise behind each
BatchNorm, whose mean and deviation change at every step, so that the layers after it see a
distribution that shifts more than without BatchNorm; it trained as well as before.  So stable
distributions are not what makes BatchNorm work.  Here, in three hidden layers of 100 rectifiers,
each unit draws at every step a mean from ±0.5 and a deviation from 1 to 1.25, and each image a
shift and a factor around them, of 0.1.  The drift is how far the mean and the deviation of the
units of the last hidden layer, measured on the same 256 images before and after the step, moved, in
deviations.  Test accuracy is without noise, by the training set's statistics.  The noise multiplies
and shifts.  Noise added to each value by itself is another matter for a net this small: with a
deviation of 1 it ended at 0.94 to 0.97 (3 seeds, rate 0.1), and with 2 at 0.67 to 0.74.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, diverged, level

import minigrad as mg
from minigrad import nn

RATES, BATCH, WIDTH = (0.1, 0.3), 60, 100
STEPS, QUICK_STEPS, EVERY, PROBE = 300, 150, 5, 256
MEAN, DEVIATION, EACH = 0.5, 1.25, 0.1  # n_µ, n_σ, r


class Noise(nn.Module):
    """x · s + m in training, with s and m around values that each unit draws anew at every call."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """(N, C) -> (N, C)."""
        if not self.training:
            return x
        m = MEAN * (2 * mg.rand(1, x.shape[1]) - 1) + EACH * (2 * mg.rand(*x.shape) - 1)
        s = 1 + (DEVIATION - 1) * mg.rand(1, x.shape[1]) + EACH * mg.randn(*x.shape)
        return x * s + m


def noisy(features: int) -> nn.Module:
    """BatchNorm, and noise after it."""
    return nn.Sequential(nn.BatchNorm1d(features), Noise())


NORMS = {"BatchNorm": nn.BatchNorm1d, "noisy": noisy, "none": None}
LABELS = {"BatchNorm": "BatchNorm", "noisy": "BatchNorm and noise", "none": "no normalisation"}
STYLE = {"BatchNorm": "BatchNorm", "noisy": "third", "none": "none"}


class Trained(NamedTuple):
    """Accuracies and drifts by recorded step, and whether training diverged."""

    accuracy: list[float]
    drift: list[float]
    diverged: bool


def cases(quick: bool) -> list[tuple[str, float]]:
    """Each net at each learning rate."""
    return [(norm, rate) for rate in (RATES[:1] if quick else RATES) for norm in NORMS]


def measure(case: tuple[str, float], seed: int, quick: bool) -> Trained:
    """One net; the layer that is looked at is the input of the last rectifiers."""
    norm, rate = case
    data = split(seed)
    model = mlp([64, WIDTH, WIDTH, WIDTH, CLASSES], NORMS[norm])
    last, probe = str(len(model) - 3), mg.tensor(data.train_x[:PROBE])
    found = Trained([], [], False)
    with mg.record(model, [last], (50,), channels=True) as recorder:

        def look(step: int) -> None:
            if step % EVERY in (0, EVERY - 1):
                with mg.no_grad(), nn.frozen_stats(model):
                    model(probe)
                recorder.step(at=step)
            if step % EVERY == 0:
                nn.recompute_stats(model, np.array_split(data.train_x, 3))
                found.accuracy.append(accuracy(model, data.test_x, data.test_y))

        stream = batches(data.train_x, data.train_y, BATCH, seed)
        curve = train(model, stream, QUICK_STEPS if quick else STEPS, rate, look)
    mean, std = recorder[last].mean, recorder[last].std
    return found._replace(drift=drifts(mean, std), diverged=curve.diverged is not None)


def drifts(mean: np.ndarray, std: np.ndarray) -> list[float]:
    """From (steps, C) before and after in turn: how far a unit moved, on average, in deviations."""
    before, after = slice(0, len(mean) // 2 * 2, 2), slice(1, None, 2)
    moved = abs(mean[after] - mean[before]) + abs(std[after] - std[before])
    return list((moved / (std[before] + 1e-6)).mean(1))


def picture(figure, results) -> None:
    """Accuracy at each learning rate, and the drift at the first."""
    rates = list(dict.fromkeys(rate for _, rate in results))
    axes = figure.subplots(1, len(rates) + 1)
    for axis, rate in zip(axes, rates, strict=False):
        for norm in NORMS:
            found = results[norm, rate]
            steps = range(EVERY, EVERY * max(len(each.accuracy) for each in found) + 1, EVERY)
            band(axis, steps, [each.accuracy for each in found], LABELS[norm], STYLE[norm])
            gone = [EVERY * len(each.accuracy) for each in found if each.diverged]
            if gone:
                diverged(axis, gone, CHANCE, "diverged without")
        level(axis, CHANCE)
        axis.set(xlabel="step", ylim=(0, 1.02), title=f"Test accuracy, learning rate {rate}")
        axis.legend(loc="center right", fontsize=8)
    for norm in NORMS:
        found = results[norm, rates[0]]
        steps = range(EVERY, EVERY * len(found[0].drift) + 1, EVERY)
        band(axes[-1], steps, [each.drift for each in found], LABELS[norm], STYLE[norm])
    axes[-1].set(yscale="log", xlabel="step", ylabel="deviations per step")
    axes[-1].set_title(f"Drift, learning rate {rates[0]}")


def claims(results) -> list[Claim]:
    """The drift is there, and does no harm."""
    found = []
    for rate in dict.fromkeys(rate for _, rate in results):
        pairs = list(zip(results["noisy", rate], results["BatchNorm", rate], strict=True))
        drift = [float(np.median(a.drift) / np.median(b.drift)) for a, b in pairs]
        accuracy = [a.accuracy[-1] - b.accuracy[-1] for a, b in pairs]
        found += [
            Claim(f"drift at {rate}, with noise over BatchNorm alone", drift, ">", 10),
            Claim(f"accuracy at {rate}, with noise minus BatchNorm alone", accuracy, ">=", -0.02),
        ]
    return found
