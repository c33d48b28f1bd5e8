"""Small batches make BatchNorm a regulariser: a higher loss in training, and no worse a test.

Luo, Wang, Shao and Peng (2018, arXiv 1809.00846) take BatchNorm apart into normalisation by the
statistics of the population, and a decay of γ that comes from the noise of the batch's statistics:
less of it with larger batches.  Here 600 digits are learnt in 600 steps, with batches of 64 and of
512.  The noise of the smaller batch keeps the training loss up, and costs nothing on unseen digits.
The effect is a hundredth of a nat, so what is claimed is the average over four seeds and not what
one of them shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CLASSES, accuracy, batches, mlp, nll, split, train
from _pictures import STYLES

from minigrad import nn

SEEDS, QUICK_SEEDS = 4, 2
SAMPLES, LEARNING_RATE, WIDTH, STEPS, LAST = 600, 0.1, 100, 600, 50
SIZES = (64, 512)


class Trained(NamedTuple):
    """Loss of the last 50 batches, and negative log-likelihood and accuracy of unseen digits."""

    loss: float
    nll: float
    accuracy: float


def cases(quick: bool) -> list[int]:
    """The batch sizes."""
    return list(SIZES)


def measure(case: int, seed: int, quick: bool) -> Trained:
    """One net."""
    data = split(seed).first(SAMPLES)
    model = mlp([64, WIDTH, WIDTH, CLASSES])
    stream = batches(data.train_x, data.train_y, case, seed)
    curve = train(model, stream, STEPS, LEARNING_RATE)
    nn.recompute_stats(model, [data.train_x])
    test = data.test_x, data.test_y
    return Trained(float(np.mean(curve.losses[-LAST:])), nll(model, *test), accuracy(model, *test))


def picture(figure, results) -> None:
    """Each seed's two nets, joined."""
    for axis, field, title, unit in zip(
        figure.subplots(1, 2),
        ("loss", "nll"),
        ("Training loss, last 50 batches", "Negative log-likelihood of unseen digits"),
        ("nats", "nats"),
        strict=True,
    ):
        rows = np.array([[getattr(each, field) for each in results[size]] for size in SIZES])
        axis.plot([0, 1], rows, "o:", color=STYLES["fifth"]["color"], linewidth=1)
        axis.plot([0, 1], rows.mean(1), "s-", color=STYLES["BatchNorm"]["color"], label="mean")
        axis.set(xticks=[0, 1], xticklabels=[f"batches of {size}" for size in SIZES])
        axis.set(xlim=(-0.3, 1.3), ylabel=unit, title=title)
    axis.plot([], [], "o:", color=STYLES["fifth"]["color"], linewidth=1, label="one seed")
    axis.legend(loc="lower right")


def claims(results) -> list[Claim]:
    """Means over the seeds."""
    small, large = (results[size] for size in SIZES)
    pairs = list(zip(small, large, strict=True))
    loss = [a.loss - b.loss for a, b in pairs]
    likelihood = [a.nll - b.nll for a, b in pairs]
    return [
        Claim("training loss, batches of 64 minus 512", loss, ">", 0.0, over="mean"),
        Claim("NLL of unseen digits, batches of 64 minus 512", likelihood, "<=", 0.01, over="mean"),
    ]
