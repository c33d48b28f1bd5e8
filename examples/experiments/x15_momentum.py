"""A momentum of 0.1 means two things, and the wrong one makes evaluation noisy.

An introduction that this project starts from writes running_mean = momentum · running_mean +
(1 - momentum) · sample_mean with a momentum of 0.1: 90 % come from the last batch.  In PyTorch, and
here, momentum=0.1 is the weight of the new batch, and 10 % do (`help(minigrad.nn.batch_norm)` lists
what else the word means).  Training is the same, bit for bit; only evaluation is not.  With the
introduction's formula it is normalised by little more than the last batch, and its statistics are
as noisy as that is small.  The accuracy is the mean over ten evaluations in the last 100 steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, level

from minigrad import nn

SIZES, QUICK_SIZES = (4, 8, 16, 60), (4, 60)  # of batches
LEARNING_RATE, STEPS, QUICK_STEPS, EVERY, LAST = 0.05, 1000, 600, 10, 10
WEIGHTS = {0.1: "10 % of the new batch (PyTorch)", 0.9: "90 % of the new batch (the formula)"}
STYLES = dict(zip(WEIGHTS, ("BatchNorm", "none"), strict=True))


def cases(quick: bool) -> list[tuple[int, float]]:
    """Each size of batch with each weight of the new batch."""
    return [(size, weight) for size in (QUICK_SIZES if quick else SIZES) for weight in WEIGHTS]


def measure(case: tuple[int, float], seed: int, quick: bool) -> tuple[list[float], list[float]]:
    """The test accuracy at every tenth step, and the loss of each batch."""
    size, weight = case
    data, tested = split(seed), []
    model = mlp([64, 100, 100, CLASSES], partial(nn.BatchNorm1d, momentum=weight))

    def test(step: int) -> None:
        if step % EVERY == 0:
            tested.append(accuracy(model, data.test_x, data.test_y))

    stream = batches(data.train_x, data.train_y, size, seed)
    curve = train(model, stream, QUICK_STEPS if quick else STEPS, LEARNING_RATE, test)
    return tested, curve.losses


def final(found) -> list[float]:
    """Each seed's accuracy in the end."""
    return [float(np.mean(tested[-LAST:])) for tested, _ in found]


def picture(figure, results) -> None:
    """Accuracy by step for the smallest batch, and in the end by size of batch."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    sizes = sorted({size for size, _ in results})
    for weight, label in WEIGHTS.items():
        curves = [tested for tested, _ in results[sizes[0], weight]]
        steps = EVERY * np.arange(1, len(curves[0]) + 1)
        band(left, steps, curves, label, STYLES[weight])
        ends = np.transpose([final(results[size, weight]) for size in sizes])
        band(right, sizes, ends, label, STYLES[weight], marker=True)
    left.set(xlabel="step", ylabel="test accuracy", ylim=(0, 1.02), title=f"Batches of {sizes[0]}")
    level(left, CHANCE)
    left.legend(loc="center right")
    right.set(xlabel="samples in a batch", xscale="log", title="In the end")
    right.set_xticks(sizes, map(str, sizes))
    right.minorticks_off()
    figure.suptitle("momentum = 0.1: the weight of the new batch, or of the old average")


def claims(results) -> list[Claim]:
    """Apart at small batches, for the same training."""
    sizes = sorted({size for size, _ in results})
    gaps = {
        size: np.subtract(final(results[size, 0.1]), final(results[size, 0.9])).tolist()
        for size in sizes
    }
    losses = [[each for _, each in results[sizes[0], weight]] for weight in WEIGHTS]
    apart = np.abs(np.subtract(*losses)).max(1).tolist()
    largest = sizes[-1]
    return [
        Claim("accuracy lost by the formula, batches of 4", gaps[4], ">", 0.05),
        Claim(f"accuracy lost by the formula, batches of {largest}", gaps[largest], "<", 0.05),
        Claim("training losses of the two differ by", apart, "<=", 0),
    ]
