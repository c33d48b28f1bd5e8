"""What the last layer sees: without BatchNorm it moves under it for a thousand steps.

Ioffe and Szegedy (2015, arXiv 1502.03167, section 4.1, figure 1) trained three hidden layers of 100
sigmoids on MNIST, in batches of 60, and drew the {15, 50, 85}th percentiles of one unit's input.
Here the same net learns the 8×8 digits at a learning rate of 0.5, from weights of deviation 0.1,
and the figures below are over all 100 units of the last hidden layer.  Without normalisation it
stays at chance for some 400 steps, and the inputs of that layer hardly depend on the image; then
they spread some seventyfold, and each unit's median travels.  With BatchNorm both keep their places
from the first step on, and 250 steps are enough to learn the digits.  Whether that stability is why
it trains faster is another question: see x06.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CLASSES, accuracy, batches, logits, mlp, split, train
from _pictures import STYLES, band, level

import minigrad as mg
from minigrad import nn

LEARNING_RATE, BATCH, WIDTH, STD = 0.5, 60, 100, 0.1
STEPS, QUICK_STEPS, EVERY, EARLY = 2000, 1000, 10, 250
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


class Trained(NamedTuple):
    """By recorded step: test accuracy (points,), and percentiles (points, 3, units).

    `final` is the accuracy by the statistics of the whole training set.
    """

    steps: np.ndarray
    accuracy: np.ndarray
    percentiles: np.ndarray
    final: float

    def travel(self) -> float:
        """How far the median of a unit went after step 250: the median over the units."""
        medians = self.percentiles[self.steps >= EARLY, 1]
        return float(np.median(np.ptp(medians, axis=0)))

    def growth(self) -> float:
        """The largest distance of the outer percentiles over the smallest, after step 250."""
        spread = np.ptp(self.percentiles[self.steps >= EARLY], axis=1).mean(1)
        return float(spread.max() / spread.min())


def cases(quick: bool) -> list[str]:
    """Without normalisation, and with."""
    return list(NORMS)


def measure(case: str, seed: int, quick: bool) -> Trained:
    """One net, recorded at every tenth step."""
    data = split(seed)
    sizes = [64, WIDTH, WIDTH, WIDTH, CLASSES]
    model = mlp(sizes, NORMS[case], nn.Sigmoid, lambda weight: nn.init.normal_(weight, std=STD))
    tested: list[float] = []
    before_the_last_sigmoid, percentiles = str(len(model) - 3), (15, 50, 85)
    stream, steps = (
        batches(data.train_x, data.train_y, BATCH, seed),
        QUICK_STEPS if quick else STEPS,
    )
    with mg.record(model, [before_the_last_sigmoid], percentiles, EVERY, channels=True) as recorder:

        def look(step: int) -> None:
            if step % EVERY == 1:
                tested.append(accuracy(model, data.test_x, data.test_y))
                logits(model, data.test_x, by_batch=True)  # what ran last is recorded
            recorder.step()

        train(model, stream, steps, LEARNING_RATE, look)
    nn.recompute_stats(model, np.array_split(data.train_x, 3))
    return Trained(
        np.array(recorder.steps),
        np.array(tested),
        recorder[before_the_last_sigmoid].percentiles,
        accuracy(model, data.test_x, data.test_y),
    )


def picture(figure, results) -> None:
    """Accuracy by step, and the percentiles of one unit of each net of the first seed."""
    left, *others = figure.subplots(1, 3)
    others[1].sharey(others[0])
    for case, found in results.items():
        label = "no normalisation" if case == "none" else case
        band(left, found[0].steps, [each.accuracy for each in found], label, case)
    level(left, 1 / CLASSES)
    left.set(xlabel="step", ylabel="test accuracy", ylim=(0, 1.02), title="Accuracy")
    left.legend(loc="center right")
    for axis, (case, found) in zip(others, results.items(), strict=True):
        low, middle, high = found[0].percentiles[:, :, 0].T
        colour = STYLES[case]["color"]
        axis.fill_between(found[0].steps, low, high, color=colour, alpha=0.25, linewidth=0)
        for values, line, name in ((high, "--", "85%"), (middle, "-", "50%"), (low, ":", "15%")):
            axis.plot(found[0].steps, values, line, color=colour, linewidth=1.2, label=name)
        label = "no normalisation" if case == "none" else case
        axis.set(xlabel="step", ylabel="input of the sigmoids", title=f"Percentiles: {label}")
        axis.legend(loc="upper left", fontsize=8, ncols=3, columnspacing=1)
    others[0].set_ylim(top=2.5)
    figure.suptitle(
        "3 hidden layers of 100 sigmoids; at the right one unit of the last, over the test images"
    )


def claims(results) -> list[Claim]:
    """BatchNorm learns sooner, to no worse an end, and its last layer sees the same throughout."""
    pairs = list(zip(results["BatchNorm"], results["none"], strict=True))
    early = [
        float(np.interp(EARLY, ours.steps, ours.accuracy - none.accuracy)) for ours, none in pairs
    ]
    final = [ours.final - none.final for ours, none in pairs]
    travel = [none.travel() / ours.travel() for ours, none in pairs]
    return [
        Claim("accuracy at step 250, with BatchNorm minus without", early, ">", 0.5),
        Claim("accuracy at the end, with BatchNorm minus without", final, ">=", 0.0),
        Claim("way of a unit's median after step 250, without over with", travel, ">", 3),
        Claim("growth of the spread, with BatchNorm", [o.growth() for o, _ in pairs], "<", 2),
        Claim("growth of the spread, without", [none.growth() for _, none in pairs], ">", 10),
    ]
