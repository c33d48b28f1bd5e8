"""Five layers of sigmoids learn nothing at all, and with BatchNorm they learn the digits.

Ioffe and Szegedy (2015, arXiv 1502.03167, section 4.2.1) replaced the rectifiers of Inception by
sigmoids: without normalisation it stayed at chance, 1 in 1,000, and with it it reached 69.8%.
Here five hidden layers of 64 sigmoids with Xavier's initialisation, at a learning rate of 0.5, stay
at the loss ln 10 = 2.303 of equal probabilities: each sigmoid divides the gradient by 4 at least,
and what reaches the first layer moves nothing.  BatchNorm keeps the inputs of the sigmoids where
they are steep and divides by their small deviation, which multiplies the gradient.
"""

from __future__ import annotations

from _claims import Claim
from _digits import CHANCE, CHANCE_LOSS, CLASSES, accuracy, batches, mlp, split, train
from _pictures import band, level

from minigrad import nn

LEARNING_RATE, BATCH, WIDTH, DEPTH = 0.5, 60, 64, 5
STEPS, QUICK_STEPS, EVERY = 800, 300, 20
NORMS = {"none": None, "BatchNorm": nn.BatchNorm1d}


def cases(quick: bool) -> list[str]:
    """Without normalisation, and with."""
    return list(NORMS)


def measure(case: str, seed: int, quick: bool) -> tuple[list[float], list[float]]:
    """The loss of each batch, and the test accuracy at every 20th step."""
    data = split(seed)
    sizes = [64, *[WIDTH] * DEPTH, CLASSES]
    model = mlp(sizes, NORMS[case], nn.Sigmoid, nn.init.xavier_normal_)
    tested: list[float] = []

    def test(step: int) -> None:
        if step % EVERY == 0:
            tested.append(accuracy(model, data.test_x, data.test_y))

    stream = batches(data.train_x, data.train_y, BATCH, seed)
    curve = train(model, stream, QUICK_STEPS if quick else STEPS, LEARNING_RATE, test)
    return curve.losses, tested


def picture(figure, results) -> None:
    """Loss and accuracy by step."""
    left, right = figure.subplots(1, 2)
    for case, found in results.items():
        label = "no normalisation" if case == "none" else case
        steps = range(1, len(found[0][0]) + 1)
        band(left, steps, [losses for losses, _ in found], label, case)
        band(right, steps[EVERY - 1 :: EVERY], [tested for _, tested in found], label, case)
    left.set(xlabel="step", ylabel="loss of the batch (nats)", yscale="log", title="Training loss")
    level(left, CHANCE_LOSS, "ln 10")
    right.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02), title="Test accuracy")
    level(right, CHANCE)
    right.legend(loc="center right")
    figure.suptitle(f"{DEPTH} hidden layers of {WIDTH} sigmoids")


def claims(results) -> list[Claim]:
    """At chance without, and learnt with."""
    final = {case: [tested[-1] for _, tested in found] for case, found in results.items()}
    return [
        Claim("accuracy without normalisation", final["none"], "<", 0.2),
        Claim("accuracy with BatchNorm", final["BatchNorm"], ">", 0.9),
    ]
