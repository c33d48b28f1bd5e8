"""BatchNorm fails in batches of two, where LayerNorm does not notice how large the batch is.

Wu and He (2018, arXiv 1803.08494) report that BatchNorm's error rises as batches get small, and
that Group Normalization's is 10.6 % lower at a batch of 2, on ImageNet.  Here the inputs are
vectors, where GroupNorm with one group is LayerNorm, and this stands in for it.  The learning rate
is proportional to the batch, up to 64.  With two samples x̂ is +1 for one and -1 for the other,
whatever they are: a unit says only which of the two is larger, and no change of its input changes
that, so that no gradient passes below (by eps a little does, and a lot in the few units where the
two are within √eps of each other).  The layers below hardly learn.  From 16 on there is little
between the two.
"""

from __future__ import annotations

import numpy as np
from _claims import Claim
from _digits import CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, level

import minigrad as mg
from minigrad import nn

SIZES, QUICK_SIZES = (2, 4, 8, 16, 32, 64, 128), (2, 16, 64)  # of batches
LEARNING_RATE, MOST = 0.1, 64  # the rate at batches of 64 and more
EPOCHS, QUICK_EPOCHS = 12, 6
NORMS = {"BatchNorm": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm}
STYLES = dict(zip(NORMS, ("BatchNorm", "third"), strict=True))
LAYERS = [64, 64, 64, CLASSES]


def cases(quick: bool) -> list[tuple[str, int]]:
    """Each normalisation with each size of batch."""
    return [(norm, size) for size in (QUICK_SIZES if quick else SIZES) for norm in NORMS]


def measure(case: tuple[str, int], seed: int, quick: bool) -> tuple[float, float]:
    """The test error in percent, and before training the gradient of a unit of the first layer."""
    norm, size = case
    data = split(seed)
    model = mlp(LAYERS, NORMS[norm])
    before = first_gradient(model, data, size)
    steps = (QUICK_EPOCHS if quick else EPOCHS) * (len(data.train_x) // size)
    stream = batches(data.train_x, data.train_y, size, seed)
    train(model, stream, steps, LEARNING_RATE * min(size, MOST) / MOST)
    return 100 * (1 - accuracy(model, data.test_x, data.test_y)), before


def first_gradient(model: nn.Module, data, size: int) -> float:
    """The norm of a unit's dL/dW in the first layer: the median over units and eight batches."""
    weight, norms = model[0].weight, []
    with nn.frozen_stats(model):
        for start in range(0, 8 * size, size):
            rows = slice(start, start + size)
            outputs = model(mg.tensor(data.train_x[rows]))
            loss = nn.functional.cross_entropy(outputs, mg.tensor(data.train_y[rows]))
            norms.append(mg.grad(loss, weight)[0].norm(axis=1).numpy())
    return float(np.median(norms))


def picture(figure, results) -> None:
    """Error and gradient by size of batch."""
    left, right = figure.subplots(1, 2)
    sizes = sorted({size for _, size in results})
    for norm, style in STYLES.items():
        found = np.array([results[norm, size] for size in sizes])  # (sizes, seeds, 2)
        band(left, sizes, found[:, :, 0].T, norm, style, marker=True)
        band(right, sizes, found[:, :, 1].T, norm, style, marker=True)
    for axis in (left, right):
        axis.set(xscale="log", yscale="log", xlabel="samples in a batch")
        axis.set_xticks(sizes, map(str, sizes))
        axis.minorticks_off()
    left.set(ylabel="test error, %", title="Error after training", ylim=(1, 130))
    left.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    level(left, 90)
    left.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    right.set(ylabel="norm of dL/dW, median unit", title="Gradient of the first layer, at first")
    figure.suptitle("How many samples BatchNorm needs")


def claims(results) -> list[Claim]:
    """BatchNorm is bad at 2, LayerNorm the same everywhere, and neither much better at 64."""
    error = {case: np.array([each for each, _ in found]) for case, found in results.items()}
    gradient = {case: np.array([each for _, each in found]) for case, found in results.items()}
    small, large = "BatchNorm", "LayerNorm"
    to_64 = [error[large, size] for norm, size in error if norm == large and size <= 64]
    spread = np.max(to_64, axis=0) - np.min(to_64, axis=0)
    apart = np.abs(error[small, 64] - error[large, 64])
    lost = gradient[small, 2] / gradient[large, 2]
    times = error[small, 2] / error[small, 16]
    return [
        Claim("error of BatchNorm at 2, over that at 16", list(times), ">", 3),
        Claim("errors of LayerNorm from 2 to 64 differ by, % points", list(spread), "<", 2),
        Claim("errors of the two at 64 differ by, % points", list(apart), "<", 3),
        Claim("gradient of a unit at 2, BatchNorm over LayerNorm", list(lost), "<", 0.01),
    ]
