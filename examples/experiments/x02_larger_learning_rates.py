"""BatchNorm trains at learning rates ten times as large as the largest that works without.

Ioffe and Szegedy (2015, arXiv 1502.03167, section 4.2) trained Inception on ImageNet at 0.0015, and
with BatchNorm at 5 and at 30 times that: at 5 times the rate it needed 14 times fewer steps for the
72.2% that Inception reached after 31.0 million, at 30 times the rate it ended higher, at 74.8%, and
without BatchNorm 5 times the rate diverged.  ImageNet is out of reach here.  A net of three hidden
layers of 100 rectifiers, 300 steps of 60 digits, shows the same limit: with BatchNorm and without,
it goes from learning everything to learning nothing within a factor of ten, and with BatchNorm it
does so at a rate that is ten times as large.
"""

from __future__ import annotations

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, diverged, level

from minigrad import nn

RATES, BATCH, WIDTH, STEPS = (0.1, 0.3, 1.0, 3.0, 10.0), 60, 100, 300
WORKS = 0.95  # accuracy
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


def cases(quick: bool) -> list[tuple[str, float]]:
    """Each learning rate, without normalisation and with."""
    return [(norm, rate) for norm in NORMS for rate in RATES]


def measure(case: tuple[str, float], seed: int, quick: bool) -> tuple[float, bool]:
    """The test accuracy at the end, and whether training diverged: then it is 0."""
    norm, rate = case
    data = split(seed)
    model = mlp([64, WIDTH, WIDTH, WIDTH, CLASSES], NORMS[norm])
    curve = train(model, batches(data.train_x, data.train_y, BATCH, seed), STEPS, rate)
    return accuracy(model, data.test_x, data.test_y), curve.diverged is not None


def picture(figure, results) -> None:
    """Accuracy by learning rate."""
    axis = figure.subplots()
    for norm in NORMS:
        curves = np.transpose([accuracies(results, norm, rate) for rate in RATES])
        label = "no normalisation" if norm == "none" else norm
        band(axis, RATES, curves, label, norm, marker=True)
    gone = [rate for rate in RATES if any(away for _, away in results["none", rate])]
    diverged(axis, gone, 0.0, "diverged without normalisation")
    level(axis, CHANCE, side="left")
    axis.set(xscale="log", ylim=(0, 1.02), xlabel="learning rate", ylabel="test accuracy")
    axis.set_title(f"3 hidden layers of 100 rectifiers after {STEPS} steps")
    axis.legend(loc="center left")


def accuracies(results, norm: str, rate: float) -> list[float]:
    """One for each seed."""
    return [found for found, _ in results[norm, rate]]


def largest(results, norm: str) -> list[float]:
    """For each seed the largest learning rate that works."""
    by_seed = np.transpose([accuracies(results, norm, rate) for rate in RATES])
    return [
        max((rate for rate, found in zip(RATES, row, strict=True) if found > WORKS), default=0.0)
        for row in by_seed
    ]


def claims(results) -> list[Claim]:
    """The largest rates that work, and what 3 does without BatchNorm."""
    pairs = zip(largest(results, "BatchNorm"), largest(results, "none"), strict=True)
    ratios = [ours / none if none else float("nan") for ours, none in pairs]
    return [
        Claim("largest rate that learns (> 0.95), with BatchNorm over without", ratios, ">=", 5),
        Claim("accuracy without BatchNorm at 3", accuracies(results, "none", 3.0), "<", 0.2),
    ]
