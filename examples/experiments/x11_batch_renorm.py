"""Batches of a single class ruin BatchNorm; Batch Renormalization saves most, LayerNorm all.

Ioffe (2017, arXiv 1702.03275) made each batch of few classes, so that its statistics say which, and
are not those of evaluation; correcting them towards the running statistics (r and d, from a step
on, within bounds) brought most of the accuracy back.  Here every batch of 60 digits is of one
class.  With BatchNorm the net learns what is of no use in evaluation and stays at chance.
BatchRenorm is BatchNorm until step 200, then r ≤ 3 and |d| ≤ 5, and the accuracy jumps.  LayerNorm,
which looks at no other sample, is above both.  With two classes in a batch, BatchNorm does well.
The accuracy is the mean over the last 100 steps: it moves a lot from step to step, since each step
is about one class only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, Split, accuracy, mlp, split, train
from _pictures import band, level

import minigrad as mg
from minigrad import nn

BATCH, LEARNING_RATE, MOMENTUM = 60, 0.05, 0.02
STEPS, QUICK_STEPS, EVERY, LAST = 800, 400, 10, 100
RELAXED, R_MAX, D_MAX = 200, 3.0, 5.0  # the step from which r and d may differ from 1 and 0
NORMS = {
    "BatchNorm": lambda size: nn.BatchNorm1d(size, momentum=MOMENTUM),
    "BatchRenorm": lambda size: nn.BatchRenorm1d(size, momentum=MOMENTUM, r_max=1, d_max=0),
    "LayerNorm": nn.LayerNorm,
}
STYLES = dict(zip(NORMS, ("BatchNorm", "none", "third"), strict=True))


def cases(quick: bool) -> list[tuple[str, int]]:
    """Each normalisation with so many classes in a batch."""
    return [(norm, classes) for classes in ((1,) if quick else (1, 2)) for norm in NORMS]


def of_few_classes(
    data: Split, classes: int, rng: np.random.Generator
) -> Iterator[tuple[mg.Tensor, mg.Tensor]]:
    """Batches without end, each with as many digits of each of a few random classes."""
    rows_of = [np.flatnonzero(data.train_y == label) for label in range(CLASSES)]
    while True:
        chosen = rng.choice(CLASSES, classes, replace=False)
        parts = [rng.choice(rows_of[label], BATCH // classes, replace=False) for label in chosen]
        rows = np.concatenate(parts)
        yield mg.tensor(data.train_x[rows]), mg.tensor(data.train_y[rows])


def measure(case: tuple[str, int], seed: int, quick: bool) -> list[float]:
    """The test accuracy at every 10th step."""
    norm, classes = case
    data, tested = split(seed), []
    model = mlp([64, 100, 100, 100, CLASSES], NORMS[norm])

    def after(step: int) -> None:
        if step == RELAXED:
            for module in model.modules():
                if isinstance(module, nn.BatchRenorm1d):
                    module.r_max, module.d_max = R_MAX, D_MAX
        if step % EVERY == 0:
            tested.append(accuracy(model, data.test_x, data.test_y))

    stream = of_few_classes(data, classes, np.random.default_rng(seed))
    train(model, stream, QUICK_STEPS if quick else STEPS, LEARNING_RATE, after)
    return tested


def picture(figure, results) -> None:
    """Accuracy by step, for one class in a batch and for two."""
    numbers = sorted({classes for _, classes in results})
    axes = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for axis, classes in zip(axes, numbers, strict=True):
        for norm, style in STYLES.items():
            found = results[norm, classes]
            band(axis, EVERY * np.arange(1, len(found[0]) + 1), found, norm, style)
        axis.axvline(RELAXED, color="#555555", linestyle=":", linewidth=1)
        axis.text(RELAXED + 6, 0.02, "r ≤ 3, |d| ≤ 5 from here", fontsize=8, color="#555555")
        words = "one class" if classes == 1 else f"{classes} classes"
        axis.set(xlabel="step", ylim=(0, 1.02), title=f"Each batch of {words}")
        level(axis, CHANCE)
    axes[0].set_ylabel("test accuracy")
    axes[0].legend(loc="center right")
    figure.suptitle(f"Batches of {BATCH} digits that are alike")


def claims(results) -> list[Claim]:
    """BatchRenorm is far above BatchNorm, and below LayerNorm."""
    last = LAST // EVERY
    final = {case: [np.mean(tested[-last:]) for tested in results[case]] for case in results}
    batch, renorm, layer = (np.array(final[norm, 1]) for norm in NORMS)
    made = [
        Claim("accuracy, BatchRenorm less BatchNorm, one class", list(renorm - batch), ">", 0.5),
        Claim("accuracy, LayerNorm less BatchRenorm, one class", list(layer - renorm), ">", 0),
    ]
    if ("BatchNorm", 2) in final:
        made.append(Claim("accuracy of BatchNorm, two classes", final["BatchNorm", 2], ">", 0.85))
    return made
