"""Running averages lag behind weights that still move; population statistics do not.

Wu and Johnson (2021, arXiv 2105.07576) evaluate BatchNorm by the statistics of the population under
the final weights (`nn.recompute_stats`) in place of the moving averages of training.  Here the same
weights are judged both ways while they train, with running averages that take 10 %, 1 % and 0.1 %
of each new batch; the net is that of X3, five layers of sigmoids.  The smaller that weight, the
longer the first values, mean 0 and variance 1, stay in: after t steps they have a share of
(1 - weight)^t, 37 % after 100 steps at 1 %.  Until that has gone, evaluation says that a net that
has learnt the digits is at chance.  With 10 %, the usual momentum=0.1, the two agree after 300
steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, level
from _population import by_population

from minigrad import nn

WIDTH, DEPTH = 64, 5
BATCH, LEARNING_RATE, STEPS = 60, 0.5, 300
MOMENTA = (0.1, 0.01, 0.001)
STYLES = dict(zip(MOMENTA, ("none", "third", "fourth"), strict=True))
LOOKS = (1, 2, 3, 5, 10, 20, 30, 50, 70, 100, 140, 200, 300)  # steps after which it is judged


def cases(quick: bool) -> tuple[float, ...]:
    """The weight of the new batch in the running averages; quick and slow alike."""
    return MOMENTA


def measure(case: float, seed: int, quick: bool) -> tuple[list[float], list[float], list[float]]:
    """Accuracies by running averages and population, and the ratio of variances, at LOOKS.

    The ratio is that of running to population variance in the last BatchNorm: the median over its
    channels.
    """
    data = split(seed)
    norm = partial(nn.BatchNorm1d, momentum=case)
    model = mlp([64, *[WIDTH] * DEPTH, CLASSES], norm, nn.Sigmoid, nn.init.xavier_normal_)
    running, population, ratios = [], [], []

    def judge(step: int) -> None:
        if step not in LOOKS:
            return
        precise = by_population(model, data.train_x)
        running.append(accuracy(model, data.test_x, data.test_y))
        population.append(accuracy(precise, data.test_x, data.test_y))
        mine, true = (last_norm(each).running_var.numpy() for each in (model, precise))
        ratios.append(float(np.median(mine / true)))

    stream = batches(data.train_x, data.train_y, BATCH, seed)
    train(model, stream, STEPS, LEARNING_RATE, judge)
    return running, population, ratios


def last_norm(model: nn.Module) -> nn.BatchNorm1d:
    """The one before the last layer."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)][-1]


def picture(figure, results) -> None:
    """Accuracy by step, and how far the running variance is off."""
    left, right = figure.subplots(1, 2)
    precise = [population for _, population, _ in results[MOMENTA[0]]]
    band(left, LOOKS, precise, "population", "BatchNorm", marker=True)
    for momentum, found in results.items():
        label, style = f"running, {100 * momentum:g} % new", STYLES[momentum]
        band(left, LOOKS, [running for running, _, _ in found], label, style, marker=True)
        band(right, LOOKS, [ratios for _, _, ratios in found], label, style, marker=True)
    left.set(xlabel="step", ylabel="test accuracy", xscale="log", ylim=(0, 1.02))
    left.set_title("The same weights, judged by")
    level(left, CHANCE, side="left")
    right.set(xlabel="step", ylabel="running variance / population's", xscale="log", yscale="log")
    right.set_title("Last BatchNorm, median over channels")
    level(right, 1, "equal", side="left")
    right.legend(*left.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0, 0.08))
    figure.suptitle("Statistics for evaluation: running averages, or of the population")


def claims(results) -> list[Claim]:
    """Far apart at 1 % after 100 steps, and together at 10 % after 300."""

    def gaps(momentum: float, step: int) -> list[float]:
        at = LOOKS.index(step)
        return [population[at] - running[at] for running, population, _ in results[momentum]]

    late = [abs(gap) for gap in gaps(0.1, 300)]
    return [
        Claim("accuracy, population less 1 % running, step 100", gaps(0.01, 100), ">", 0.3),
        Claim("accuracy, population less 0.1 % running, step 300", gaps(0.001, 300), ">", 0.3),
        Claim("accuracies apart, 10 % running, step 300", late, "<", 0.02),
    ]
