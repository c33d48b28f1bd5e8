"""At small learning rates BatchNorm gains nothing: what it gives is that large ones work.

Bjorck, Gomes, Selman and Weinberger (2018, arXiv 1806.02375) find that nets without BatchNorm can
only be trained at small learning rates, since after a large step the activations explode with
depth, and that at such rates BatchNorm gains little.  Here three hidden layers of 100 rectifiers
learn the digits, 1,000 steps of 60.  At 0.03 and 0.1 both end alike; at 1 only BatchNorm learns.
The right picture is why: one step at that rate from the same start, and without normalisation each
layer gives larger numbers than the one before, and the last many times what it gave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CHANCE, CLASSES, accuracy, batches, mlp, split, train
from _pictures import STYLES, band, diverged, level

import minigrad as mg
from minigrad import nn

RATES, BATCH, WIDTH, DEPTH, STEPS = (0.03, 0.1, 0.3, 1.0), 60, 100, 3, 1000
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


class Trained(NamedTuple):
    """Accuracy at the end, and root mean squares of each activation input, (layers,)."""

    accuracy: float
    diverged: bool
    at_start: np.ndarray
    after_a_step: np.ndarray


def cases(quick: bool) -> list[tuple[str, float]]:
    """Each learning rate, without normalisation and with."""
    rates = [rate for rate in RATES if rate != 0.3] if quick else RATES
    return [(norm, rate) for norm in NORMS for rate in rates]


def measure(case: tuple[str, float], seed: int, quick: bool) -> Trained:
    """One net; its activations before and after the first step."""
    norm, rate = case
    data = split(seed)
    model = mlp([64, *[WIDTH] * DEPTH, CLASSES], NORMS[norm])
    x, stream = mg.tensor(data.train_x[:256]), batches(data.train_x, data.train_y, BATCH, seed)
    at_start = sizes_in(model, x)
    first = train(model, stream, 1, rate)
    after_a_step = sizes_in(model, x)
    curve = first if first.diverged else train(model, stream, STEPS - 1, rate)
    reached = accuracy(model, data.test_x, data.test_y)
    return Trained(reached, curve.diverged is not None, at_start, after_a_step)


def sizes_in(model: nn.Sequential, x: mg.Tensor) -> np.ndarray:
    """The root mean square of what each rectifier gets, and of the outputs."""
    last_of_a_layer = [
        str(i - 1) for i, layer in enumerate(model) if isinstance(layer, nn.ReLU)
    ] + [str(len(model) - 1)]
    with mg.record(model, last_of_a_layer) as recorder, mg.no_grad(), nn.frozen_stats(model):
        model(x)
        recorder.step()
    found = [recorder[name] for name in last_of_a_layer]
    return np.array([np.hypot(each.mean[0], each.std[0]) for each in found])


def picture(figure, results) -> None:
    """Accuracy by learning rate, and the size of activations by depth."""
    left, right = figure.subplots(1, 2)
    rates = list(dict.fromkeys(rate for _, rate in results))
    layers = range(1, DEPTH + 2)
    for norm in NORMS:
        label = "no normalisation" if norm == "none" else norm
        rows = [[each.accuracy for each in results[norm, rate]] for rate in rates]
        band(left, rates, np.transpose(rows), label, norm, marker=True)
        found = results[norm, 1.0]
        start = np.median([each.at_start for each in found], 0)
        look = {"color": STYLES[norm]["color"], "linestyle": ":", "linewidth": 1}
        right.plot(layers, start, label=f"{label}, at the start", **look)
        after = [each.after_a_step for each in found]
        band(right, layers, after, f"{label}, after a step", norm, marker=True)
    gone = [rate for rate in rates if any(each.diverged for each in results["none", rate])]
    if gone:
        diverged(left, gone, 0.0)
    level(left, CHANCE, side="left")
    left.set(xscale="log", ylim=(0, 1.02), xlabel="learning rate", ylabel="test accuracy")
    left.set_title(f"After {STEPS:,} steps")
    left.legend(loc="center left")
    right.set(yscale="log", xticks=list(layers), xlabel="layer", ylabel="root mean square")
    right.set_title("What each layer gives, around one step at rate 1")
    right.legend(fontsize=8)


def claims(results) -> list[Claim]:
    """Alike at small rates, and far apart at 1."""

    def gaps(rate: float) -> list[float]:
        pairs = zip(results["BatchNorm", rate], results["none", rate], strict=True)
        return [ours.accuracy - none.accuracy for ours, none in pairs]

    return [
        Claim("|difference of accuracies| at 0.03", [abs(gap) for gap in gaps(0.03)], "<", 0.03),
        Claim("|difference of accuracies| at 0.1", [abs(gap) for gap in gaps(0.1)], "<", 0.03),
        Claim("accuracy at 1, with BatchNorm minus without", gaps(1.0), ">", 0.4),
    ]
