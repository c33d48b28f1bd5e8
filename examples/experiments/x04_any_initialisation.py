"""With BatchNorm a net trains from weights of any size; without, from those of one decade.

F. Fleuret's lecture on batch normalisation (fleuret.org/dlc, AMMI, 2018) is the model of this
experiment: normal initial weights, whose one deviation is varied.  Here three hidden layers of 100
rectifiers learn the digits in 500 steps, and four of 32 learn in 600 steps whether a point of the
square lies in a disc of half its area, both at a learning rate of 0.1.  Without normalisation, too
small weights leave nothing of the image in the outputs, nor of the gradient in the first layer, and
too large ones diverge.  BatchNorm divides the size of its layer's weights away.  What is left of it
is the speed: the gradient of weights ten times as large is a tenth, so that they turn a hundred
times as slowly, which costs accuracy at deviations of 1 and more.
"""

from __future__ import annotations

import math

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, Split, accuracy, batches, mlp, split, train
from _pictures import band, diverged, level

from minigrad import nn

LEARNING_RATE, BATCH = 0.1, 60
DEVIATIONS = tuple(10 ** (k / 2) for k in range(-6, 3))  # 0.001 to 10
QUICK_DEVIATIONS = DEVIATIONS[::2]
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}
TASKS = {"digits": ([64, 100, 100, 100, CLASSES], 500), "disc": ([2, 32, 32, 32, 32, 2], 600)}
WORKS = 0.8  # accuracy


def disc(seed: int) -> Split:
    """Points of the square [-1, 1]², and whether they lie in a disc of half its area."""
    points = np.random.default_rng(seed).uniform(-1, 1, (2500, 2)).astype(np.float32)
    inside = ((points**2).sum(1) < 2 / math.pi).astype(np.int64)
    return Split(points[:1500], inside[:1500], points[1500:], inside[1500:])


def cases(quick: bool) -> list[tuple[str, str, float]]:
    """Each task, without normalisation and with, from each deviation."""
    tasks = ["digits"] if quick else list(TASKS)
    deviations = QUICK_DEVIATIONS if quick else DEVIATIONS
    return [(task, norm, std) for task in tasks for norm in NORMS for std in deviations]


def measure(case: tuple[str, str, float], seed: int, quick: bool) -> tuple[float, bool]:
    """The test accuracy, and whether training diverged."""
    task, norm, std = case
    sizes, steps = TASKS[task]
    data = split(seed) if task == "digits" else disc(seed)
    model = mlp(sizes, NORMS[norm], init=lambda weight: nn.init.normal_(weight, std=std))
    stream = batches(data.train_x, data.train_y, BATCH, seed)
    curve = train(model, stream, steps, LEARNING_RATE)
    return accuracy(model, data.test_x, data.test_y), curve.diverged is not None


def picture(figure, results) -> None:
    """Accuracy by deviation, for each task."""
    tasks = list(dict.fromkeys(task for task, _, _ in results))
    deviations = list(dict.fromkeys(std for _, _, std in results))
    for axis, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for norm in NORMS:
            rows = [results[task, norm, std] for std in deviations]
            label = "no normalisation" if norm == "none" else norm
            curves = np.transpose([[found for found, _ in row] for row in rows])
            band(axis, deviations, curves, label, norm, marker=True)
        gone = [std for std in deviations if any(away for _, away in results[task, "none", std])]
        if gone:
            diverged(axis, gone, 0.0, "diverged without")
        level(axis, CHANCE if task == "digits" else 0.5)
        axis.set(xscale="log", ylim=(0, 1.02), xlabel="deviation of the initial weights")
        axis.set(ylabel="test accuracy", title=task)
    axis.legend(loc="lower left", fontsize=8)


def decades(results, norm: str) -> list[float]:
    """For each seed how many decades of deviations learn the digits, from end to end."""
    deviations = list(dict.fromkeys(std for _, _, std in results))
    found = np.array([[a for a, _ in results["digits", norm, std]] for std in deviations])
    widths = []
    for column in (found > WORKS).T:
        works = [std for std, good in zip(deviations, column, strict=True) if good]
        widths.append(math.log10(max(works) / min(works)) if works else 0.0)
    return widths


def claims(results) -> list[Claim]:
    """Four decades with BatchNorm, and not even one and a half without."""
    return [
        Claim("decades that learn (> 0.8) with BatchNorm", decades(results, "BatchNorm"), ">=", 4),
        Claim("decades that learn (> 0.8) without", decades(results, "none"), "<", 1.5),
    ]
