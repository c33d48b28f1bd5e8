"""Along the gradient the loss of a net with BatchNorm changes slowly, and so does the gradient.

Santurkar, Tsipras, Ilyas and Madry (2018, arXiv 1805.11604) ask of each step of training how far
the gradient can be trusted: they walk along it and see how the loss varies, how far the gradient
there is from that at the start, and by how much per length walked (the effective smoothness β).
Here six hidden layers of 64 rectifiers learn the digits at 0.05; at every fifth of the first 200
steps the walk is η = 0.05 to 0.4 times the gradient of a batch of 128.  Without BatchNorm the loss
varies on the way by more than all that there is to learn (ln 10 = 2.3); with it, it hardly moves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from _claims import Claim
from _digits import CLASSES, batches, mlp, split, train
from _pictures import band

import minigrad as mg
from minigrad import nn

LEARNING_RATE, BATCH, WIDTH, DEPTH = 0.05, 128, 64, 6
STEPS, EVERY = 200, 5
WALK = np.linspace(0.05, 0.4, 8)
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


class Landscape(NamedTuple):
    """By step of training: range of the loss, largest change of the gradient, and largest β."""

    loss_range: list[float]
    change: list[float]
    beta: list[float]


def cases(quick: bool) -> list[str]:
    """Without normalisation, and with."""
    return list(NORMS)


def measure(case: str, seed: int, quick: bool) -> Landscape:
    """The landscape along the way of training."""
    data = split(seed)
    model = mlp([64, *[WIDTH] * DEPTH, CLASSES], NORMS[case])
    stream = batches(data.train_x, data.train_y, BATCH, seed)
    found = Landscape([], [], [])

    def look(step: int) -> None:
        if step % EVERY == 0:
            for values, value in zip(found, walked(model, *next(stream)), strict=True):
                values.append(value)

    train(model, stream, STEPS // 2 if quick else STEPS, LEARNING_RATE, look)
    return found


def walked(model: nn.Module, x: mg.Tensor, y: mg.Tensor) -> tuple[float, float, float]:
    """Loss range, largest change of the gradient, and largest β, walking along the gradient."""
    parameters = list(model.parameters())
    start = [p.detach().clone() for p in parameters]

    def at(eta: float, direction: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
        with mg.no_grad():
            for p, origin, g in zip(parameters, start, direction, strict=True):
                p.copy_(origin - eta * mg.tensor(g))
        loss = nn.CrossEntropyLoss()(model(x), y)
        gradients = [g.numpy() for g in mg.grad(loss, parameters)]
        return loss.item(), gradients

    with nn.frozen_stats(model), np.errstate(all="ignore"):
        loss, here = at(0.0, [np.zeros(p.shape, np.float32) for p in parameters])
        seen = [at(eta, here) for eta in WALK]
        at(0.0, here)  # back
    losses = [loss, *(each for each, _ in seen)]
    changes = [distance(there, here) for _, there in seen]
    length = distance(here, [np.zeros_like(g) for g in here])
    betas = [change / (eta * length) for eta, change in zip(WALK, changes, strict=True)]
    return max(losses) - min(losses), max(changes), max(betas)


def distance(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """The L2 distance of two lists of arrays."""
    pairs = zip(a, b, strict=True)
    return float(np.sqrt(sum(((p - q).astype(np.float64) ** 2).sum() for p, q in pairs)))


def picture(figure, results) -> None:
    """The three by step."""
    titles = ("Range of the loss", "Largest change of the gradient", "Smoothness β")
    units = ("nats", "L2 norm", "change per length")
    for i, axis in enumerate(figure.subplots(1, 3)):
        for case, found in results.items():
            label = "no normalisation" if case == "none" else case
            steps = range(EVERY, EVERY * len(found[0][i]) + 1, EVERY)
            band(axis, steps, [each[i] for each in found], label, case)
        axis.set(yscale="log", xlabel="step", ylabel=units[i], title=titles[i])
    axis.legend(loc="best", fontsize=8)
    figure.suptitle("What a walk of 0.05 to 0.4 gradients meets")


def claims(results) -> list[Claim]:
    """Ratios of the medians over the steps."""

    def ratios(i: int) -> list[float]:
        pairs = zip(results["none"], results["BatchNorm"], strict=True)
        return [float(np.median(none[i]) / np.median(ours[i])) for none, ours in pairs]

    return [
        Claim("range of the loss, without over with (medians of steps)", ratios(0), ">=", 10),
        Claim("change of the gradient, without over with", ratios(1), ">=", 10),
        Claim("smoothness β, without over with", ratios(2), ">=", 3),
    ]
