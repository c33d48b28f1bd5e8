"""What BatchNorm makes exactly true: a bias before it does nothing, and no scale of weights shows.

Ioffe and Szegedy (2015, arXiv 1502.03167, section 3.3): BN((aW)u) = BN(Wu), and the gradient by aW
is 1/a of that by W.  So ⟨W, dL/dW⟩ = 0: no step along W changes the loss (van Laarhoven, 2017,
arXiv 1706.05350, on what this does to weight decay).  A bias before BatchNorm is subtracted again
with the mean, so that its gradient is 0 and it may be left out ("use bias=False").  Measured in
float64 on a small CNN at its start: with eps=0 all this holds to rounding, with eps=1e-5 to
eps over the variance, and without BatchNorm not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from _claims import Claim
from _digits import CLASSES, split
from _pictures import STYLES, band

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

BATCH, TEN = 60, 10.0
FLOOR = 1e-18  # what is drawn of a 0 on a logarithmic axis
SCALES = (0.1, 0.3, 1.0, 3.0, TEN)  # of the first layer's weights
EPS = {"eps = 0": 0.0, "eps = 1e-5": 1e-5, "none": None}
STYLE_OF = dict(zip(EPS, ("BatchNorm", "third", "none"), strict=True))
LABELS = {case: "no BatchNorm" if case == "none" else f"BatchNorm, {case}" for case in EPS}


@dataclass
class Found:
    """For weights aW of the first layer, a in SCALES; the bias and the angle are for a = 1."""

    losses: list[float]
    gradients: list[float]  # norms of dL/d(aW)
    bias: float  # norm of dL/db over that of dL/dW
    along: float  # |⟨W, dL/dW⟩| over the product of the norms


def cases(quick: bool) -> list[str]:
    """Two eps, and no BatchNorm; quick and slow alike."""
    return list(EPS)


def net(eps: float | None) -> nn.Sequential:
    """Convolution, fully connected layer and output layer, in float64, all with biases."""

    def norm(kind, size: int) -> list[nn.Module]:
        return [] if eps is None else [kind(size, eps=eps)]

    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), *norm(nn.BatchNorm2d, 6), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(54, 30), *norm(nn.BatchNorm1d, 30), nn.Tanh(), nn.Linear(30, CLASSES),
    )  # fmt: skip
    return model.double()


def measure(case: str, seed: int, quick: bool) -> Found:
    """Loss and gradients of one batch, for each scale of the weights."""
    data, model = split(seed), net(EPS[case])
    x = mg.tensor(data.train_x[:BATCH].reshape(-1, 1, 8, 8).astype(np.float64))
    y = mg.tensor(data.train_y[:BATCH])
    weight, bias = model[0].weight, model[0].bias
    start = weight.numpy().copy()
    losses, gradients, by_bias, along = [], [], 0.0, 0.0
    for scale in SCALES:
        with mg.no_grad():
            weight.copy_(mg.tensor(scale * start))
        loss = F.cross_entropy(model(x), y)
        dw, db = (g.numpy() for g in mg.grad(loss, (weight, bias)))
        losses.append(loss.item())
        gradients.append(float(np.linalg.norm(dw)))
        if scale == 1:
            by_bias = float(np.linalg.norm(db)) / gradients[-1]
            along = abs(float((start * dw).sum())) / np.linalg.norm(start) / gradients[-1]
    return Found(losses, gradients, by_bias, float(along))


def picture(figure, results) -> None:
    """Loss and gradient by scale, and what should be 0."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    one = SCALES.index(1)
    for case, found in results.items():
        looks = {"label": LABELS[case], "style": STYLE_OF[case], "marker": True}
        band(left, SCALES, [np.subtract(f.losses, f.losses[one]) for f in found], **looks)
        norms = np.array([each.gradients for each in found])
        band(middle, SCALES, norms / norms[:, one, None], **looks)
        zeros = np.array([[each.bias, each.along] for each in found]).clip(FLOOR)
        style = {**STYLES[STYLE_OF[case]], "linestyle": "none"}
        for at, values in enumerate(zeros.T):
            right.plot(np.full(len(values), at), values, **style)
    left.set(xlabel="a", ylabel="relative to a = 1 (nats)", xscale="log")
    left.set_title("Loss with weights aW")
    middle.set(xlabel="a", ylabel="relative to a = 1", xscale="log", yscale="log")
    middle.set_title("Norm of dL/d(aW)")
    left.legend()
    right.set(yscale="log", xlim=(-0.5, 1.5), title="Relative to |dL/dW|")
    right.set_xticks([0, 1], ["dL/db", "⟨W, dL/dW⟩\n / |W|"])
    figure.suptitle("The layer before BatchNorm: scale a of its weights W, and its bias b")


def claims(results) -> list[Claim]:
    """All exact to rounding with eps=0, and to eps with eps=1e-5."""
    exact, usual, without = results.values()
    one, ten = SCALES.index(1), SCALES.index(TEN)

    def loss_moves(found: list[Found]) -> list[float]:
        return [abs(each.losses[ten] - each.losses[one]) for each in found]

    def off(found: list[Found]) -> list[float]:
        return [abs(TEN * f.gradients[ten] / f.gradients[one] - 1) for f in found]

    return [
        Claim("gradient of the bias over that of W, eps=0", [f.bias for f in exact], "<", 1e-12),
        Claim("gradient of the bias over that of W, eps=1e-5", [f.bias for f in usual], "<", 1e-12),
        Claim(
            "gradient of the bias over that of W, no BatchNorm",
            [f.bias for f in without],
            ">",
            0.01,
        ),
        Claim("loss moves from W to 10 W by, eps=0", loss_moves(exact), "<", 1e-12),
        Claim("loss moves from W to 10 W by, eps=1e-5", loss_moves(usual), "<", 3e-5),
        Claim("10 |dL/d(10 W)| / |dL/dW| is off 1 by, eps=0", off(exact), "<", 1e-12),
        Claim("cosine between W and dL/dW, eps=0", [f.along for f in exact], "<", 1e-12),
    ]
