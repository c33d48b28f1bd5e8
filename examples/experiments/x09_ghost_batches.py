"""A large batch generalises better when small parts of it are normalised by themselves.

Hoffer, Hubara and Soudry (2017, arXiv 1705.08741) trained with large batches whose parts, virtual
batches, are normalised each by its own statistics ("ghost batch normalisation"); with a larger
learning rate and more steps, this closed the gap to small batches.  Here only the virtual batches
differ: 600 digits to learn from, batches of 512, and the same number of steps at the same learning
rate.  The smaller the virtual batch, the noisier are the statistics: the training loss rises, and
the likelihood of unseen digits improves.  Seeds differ more from each other than the sizes do, so
that the same seeds are compared, and the claims on the likelihood are about the mean.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from _claims import Claim
from _digits import CHANCE_LOSS, CLASSES, batches, mlp, nll, split, train
from _pictures import band, level

from minigrad import nn

SEEDS, QUICK_SEEDS = 4, 2
SIZE = (9.0, 3.8)
LEARN_FROM, BATCH, LEARNING_RATE = 600, 512, 0.1
STEPS, QUICK_STEPS, EVERY = 600, 160, 20
VIRTUAL = (512, 32, 16)  # samples that are normalised together; the first is plain BatchNorm
STYLES = dict(zip(VIRTUAL, ("BatchNorm", "none", "third"), strict=True))


def cases(quick: bool) -> tuple[int, ...]:
    """How many samples are normalised together."""
    return VIRTUAL


def measure(case: int, seed: int, quick: bool) -> tuple[list[float], list[float]]:
    """The mean loss of each 20 batches, and the test NLL at every 20th step."""
    data = split(seed).first(LEARN_FROM)
    model = mlp([64, 100, 100, 100, CLASSES], lambda size: nn.GhostBatchNorm1d(size, case))
    tested: list[float] = []

    def test(step: int) -> None:
        if step % EVERY == 0:
            tested.append(nll(model, data.test_x, data.test_y))

    stream = batches(data.train_x, data.train_y, BATCH, seed)
    curve = train(model, stream, QUICK_STEPS if quick else STEPS, LEARNING_RATE, test)
    return np.reshape(curve.losses, (-1, EVERY)).mean(1).tolist(), tested


def picture(figure, results) -> None:
    """Training loss and test NLL by step, and where they end for each seed."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    for case, found in results.items():
        label = f"{case} (plain)" if case == BATCH else str(case)
        steps = EVERY * np.arange(1, len(found[0][0]) + 1)
        band(left, steps, [losses for losses, _ in found], label, STYLES[case])
        band(middle, steps, [tested for _, tested in found], label, STYLES[case])
    ends = np.array([[tested[-1] for _, tested in found] for found in results.values()])
    right.plot(ends, "o-", color="#8c8c8c", linewidth=1)
    right.plot(ends.mean(1), "_", color="black", markersize=22, label="mean")
    left.set(xlabel="step", ylabel="loss of the batch (nats)", yscale="log", title="Training loss")
    middle.set(xlabel="step", ylabel="NLL (nats)", yscale="log", title="Unseen digits")
    right.set(xlabel="normalised together", title="At the end, each seed", xlim=(-0.4, 2.4))
    right.set_xticks(range(len(VIRTUAL)), map(str, VIRTUAL))
    for axis in (left, middle):
        level(axis, CHANCE_LOSS, "ln 10")
    middle.legend(title="normalised together")
    right.legend()
    figure.suptitle(f"Batches of {BATCH}: how many samples are normalised together")


def claims(results) -> list[Claim]:
    """Noisier statistics: a higher training loss, and a better likelihood of what is unseen."""
    learnt = {case: [losses[-1] for losses, _ in found] for case, found in results.items()}
    unseen = {case: [tested[-1] for _, tested in found] for case, found in results.items()}
    made = []
    for large, small in pairwise(VIRTUAL):
        gain = [a - b for a, b in zip(unseen[large], unseen[small], strict=True)]
        ratio = [b / a for a, b in zip(learnt[large], learnt[small], strict=True)]
        made += [
            Claim(f"test NLL of {large} less that of {small}, nats", gain, ">", 0, "mean"),
            Claim(f"training loss of {small} over that of {large}", ratio, ">", 1),
        ]
    return made
