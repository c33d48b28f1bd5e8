"""At small learning rates BatchNorm gains nothing: what it gives is that large ones work.

Bjorck, Gomes, Selman and Weinberger (2018, arXiv 1806.02375) find that nets without BatchNorm can
only be trained at small learning rates, since after a large step the activations explode with
depth, and that at such rates BatchNorm gains little.  Here three hidden layers of 100 rectifiers
learn the digits, 1,000 steps of 60.  At 0.03 and 0.1 both end alike (after 300 steps the net
without BatchNorm lags behind at 0.03); at 1 only BatchNorm learns.  The right picture is why, in
ten such layers: three steps at a rate of 1, and without normalisation each layer gives several
times what the one before it gives, so that the outputs are millions of times too large.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import STYLES, band, diverged, level

import minigrad as mg
from minigrad import nn

RATES, BATCH, WIDTH = (0.03, 0.1, 0.3, 1.0), 60, 100
DEPTH, STEPS, QUICK_STEPS = 3, 1000, 600
DEEP, FIRST_STEPS = 10, 3  # for the activations at the largest rate
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


class Trained(NamedTuple):
    """Accuracy at the end, and root mean squares of what each layer gives, (layers,)."""

    accuracy: float
    diverged: bool
    at_start: np.ndarray
    at_end: np.ndarray


def cases(quick: bool) -> list[tuple[int, str, float]]:
    """The depth, the norm and the learning rate."""
    rates = [rate for rate in RATES if rate != 0.3] if quick else RATES
    deep = [(DEEP, norm, RATES[-1]) for norm in NORMS]
    return [(DEPTH, norm, rate) for norm in NORMS for rate in rates] + deep


def measure(case: tuple[int, str, float], seed: int, quick: bool) -> Trained:
    """One net, of which the deep one makes three steps only."""
    depth, norm, rate = case
    data = split(seed)
    model = mlp([64, *[WIDTH] * depth, CLASSES], NORMS[norm])
    x, stream = mg.tensor(data.train_x[:256]), batches(data.train_x, data.train_y, BATCH, seed)
    at_start = sizes_in(model, x)
    steps = FIRST_STEPS if depth == DEEP else QUICK_STEPS if quick else STEPS
    curve = train(model, stream, steps, rate)
    reached = accuracy(model, data.test_x, data.test_y)
    return Trained(reached, curve.diverged is not None, at_start, sizes_in(model, x))


def sizes_in(model: nn.Sequential, x: mg.Tensor) -> np.ndarray:
    """The root mean square of what each rectifier gets, and of the outputs."""
    before = [i - 1 for i, layer in enumerate(model) if isinstance(layer, nn.ReLU)]
    names = [str(i) for i in (*before, len(model) - 1)]
    with (
        mg.record(model, names) as recorder,
        mg.no_grad(),
        nn.frozen_stats(model),
        np.errstate(all="ignore"),
    ):
        model(x)
        recorder.step()
    return np.array([np.hypot(recorder[name].mean[0], recorder[name].std[0]) for name in names])


def picture(figure, results) -> None:
    """Accuracy by learning rate, and the size of activations by depth."""
    left, right = figure.subplots(1, 2)
    rates = list(dict.fromkeys(rate for _, _, rate in results))
    layers = range(1, DEEP + 2)
    for norm in NORMS:
        label = "no normalisation" if norm == "none" else norm
        rows = [[each.accuracy for each in results[DEPTH, norm, rate]] for rate in rates]
        band(left, rates, np.transpose(rows), label, norm, marker=True)
        found = results[DEEP, norm, RATES[-1]]
        start = np.median([each.at_start for each in found], 0)
        look = {"color": STYLES[norm]["color"], "linestyle": ":", "linewidth": 1}
        after = [each.at_end for each in found]
        band(right, layers, after, f"{label}, after {FIRST_STEPS} steps", norm, marker=True)
        right.plot(layers, start, label=f"{label}, at the start", **look)
    gone = [rate for rate in rates if any(each.diverged for each in results[DEPTH, "none", rate])]
    if gone:
        diverged(left, gone, 0.0, "diverged without")
    level(left, CHANCE, side="left")
    left.set(xscale="log", ylim=(0, 1.02), xlabel="learning rate", ylabel="test accuracy")
    left.set_title(f"{DEPTH} hidden layers, trained")
    left.legend(loc="center left")
    right.set(yscale="log", xlabel="layer", ylabel="root mean square of what it gives")
    right.set_title(f"{DEEP} hidden layers, learning rate {RATES[-1]:g}")
    right.legend(fontsize=8)


def claims(results) -> list[Claim]:
    """Alike at small rates, far apart at 1, and why."""

    def gaps(rate: float) -> list[float]:
        pairs = zip(results[DEPTH, "BatchNorm", rate], results[DEPTH, "none", rate], strict=True)
        return [ours.accuracy - none.accuracy for ours, none in pairs]

    deep = zip(results[DEEP, "none", 1.0], results[DEEP, "BatchNorm", 1.0], strict=True)
    sizes = [float(none.at_end[-1] / ours.at_end[-1]) for none, ours in deep]
    return [
        Claim(
            "difference of accuracies at 0.03, either way", list(map(abs, gaps(0.03))), "<", 0.03
        ),
        Claim("difference of accuracies at 0.1, either way", list(map(abs, gaps(0.1))), "<", 0.03),
        Claim("accuracy at 1, with BatchNorm minus without", gaps(1.0), ">", 0.4),
        Claim("outputs of 10 layers after 3 steps at 1, without over with", sizes, ">", 1000),
    ]
