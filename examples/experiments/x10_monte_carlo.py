"""What a net is unsure of shows when random batches normalise it: Monte-Carlo BatchNorm.

Teye, Azizpour and Smith (2018, arXiv 1802.06455) predict many times, each time by the statistics of
another random batch of the training data, and take the deviation σ of the predictions for
uncertainty.  Here a net of two hidden layers of 50 learns from 400 digits, and 64 passes with
batches of 32 predict the others.  σ separates wrong predictions from right ones, as well as the
plain softmax probability does: the error among the digits that the net is surest of is near zero.
Images of uniform noise mostly have a larger σ than digits.  The accuracy stays what it was.
Whether the labels become more likely depends on the training.  After 400 steps at a learning rate
of 0.1 they do not: this did not reproduce.  Averaging makes probabilities less sharp, and such a
net is less sure than it is right already.  After 2,000 steps at 0.5 it is surer than it is right,
and they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from _claims import Claim
from _digits import CLASSES, batches, logits, mlp, split, train
from _pictures import STYLES, band, level

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

LEARN_FROM, BATCH, PASSES = 400, 32, 64
TRAINED = {"brief": (400, 0.1), "long": (2000, 0.5)}  # steps and learning rate
LABELS = {case: f"{steps:,} steps at {lr}" for case, (steps, lr) in TRAINED.items()}
STYLE_OF = dict(zip(TRAINED, ("BatchNorm", "none"), strict=True))
SHARES = np.linspace(0.05, 1, 39)  # of the test images, the surest first


@dataclass
class Found:
    """What one seed gave, over the test images: σ and whether wrong (n,), and single figures."""

    sigma: np.ndarray
    wrong: np.ndarray
    noise: np.ndarray  # σ of images of uniform noise
    softmax: float  # AUC of 1 - the largest probability, by running averages
    sure: float  # the mean of the largest probability less the accuracy, by running averages
    accuracies: tuple[float, float]  # by running averages, by the mean of the passes
    nlls: tuple[float, float]


def cases(quick: bool) -> list[str]:
    """The same net, trained for short or for long; quick and slow alike."""
    return list(TRAINED)


def auc(low: np.ndarray, high: np.ndarray) -> float:
    """The chance that one of `high` is above one of `low`; ties count half."""
    low = np.sort(low)
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def likelihood(p: np.ndarray, y: np.ndarray) -> float:
    """The mean NLL of labels under probabilities (n, classes), in nats."""
    return float(-np.log(p[np.arange(len(y)), y]).mean())


def measure(case: str, seed: int, quick: bool) -> Found:
    """Train, then predict by running averages and by random batches."""
    data = split(seed).first(LEARN_FROM)
    model = mlp([64, 50, 50, CLASSES])
    stream = batches(data.train_x, data.train_y, BATCH, seed)
    train(model, stream, *TRAINED[case])
    single = F.softmax(mg.tensor(logits(model, data.test_x)), 1).numpy()

    def passes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = mg.data.batches(data.train_x, batch_size=BATCH, seed=seed, drop_last=True)
        with_softmax = nn.Sequential(model, nn.Softmax(1))
        mean, std = nn.mc_batch_norm(with_softmax, mg.tensor(x), drawn, passes=PASSES)
        mean, std = mean.numpy(), std.numpy()
        return mean, std[np.arange(len(x)), mean.argmax(1)]  # σ of what is predicted

    mean, sigma = passes(data.test_x)
    y = data.test_y
    wrong, wrong_alone = mean.argmax(1) != y, single.argmax(1) != y
    unsure = 1 - single.max(1)
    return Found(
        sigma, wrong, passes(mg.rand(*data.test_x.shape).numpy())[1],
        auc(unsure[~wrong_alone], unsure[wrong_alone]),
        float(wrong_alone.mean() - unsure.mean()),
        (float(1 - wrong_alone.mean()), float(1 - wrong.mean())),
        (likelihood(single, y), likelihood(mean, y)),
    )  # fmt: skip


def errors(found: Found) -> np.ndarray:
    """The error in percent among the surest, for each of SHARES."""
    wrong = found.wrong[np.argsort(found.sigma, kind="stable")]
    counts = np.round(SHARES * len(wrong)).astype(int)
    return 100 * np.cumsum(wrong)[counts - 1] / counts


def picture(figure, results) -> None:
    """Error by share of the surest; σ of right, wrong and noise; the likelihoods."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    for case, found in results.items():
        band(left, 100 * SHARES, [errors(each) for each in found], LABELS[case], STYLE_OF[case])
    whole = np.median([errors(each)[-1] for found in results.values() for each in found])
    level(left, whole, "in any order (median)")
    left.set(xlabel="the surest, % of the test images", ylabel="error among them, %")
    left.set(title="Errors by σ", ylim=(-0.2, None))
    left.legend(loc="center left")
    draw_sigma(middle, results["brief"])
    for case, found in results.items():
        colour, line = (STYLES[STYLE_OF[case]][key] for key in ("color", "linestyle"))
        nlls = np.transpose([each.nlls for each in found])
        lines = right.plot(nlls, color=colour, linestyle=line, marker="o", linewidth=1)
        lines[0].set_label(case)
    right.set(title="Each seed's likelihood", ylabel="NLL of unseen digits (nats)")
    right.set(xlim=(-0.4, 1.4), ylim=(0, None))
    right.set_xticks([0, 1], ["running\naverages", f"{PASSES}\npasses"])
    right.legend(loc="lower center")
    figure.suptitle(f"{PASSES} passes, each by the statistics of {BATCH} random digits")


def draw_sigma(axis, found: list[Found]) -> None:
    """How σ is distributed."""
    points = np.linspace(0, 0.4, 81)
    parts = {
        "right": ("BatchNorm", [each.sigma[~each.wrong] for each in found]),
        "wrong": ("none", [each.sigma[each.wrong] for each in found]),
        "noise images": ("third", [each.noise for each in found]),
    }
    for label, (style, values) in parts.items():
        shares = [np.searchsorted(np.sort(v), points, "right") / len(v) for v in values]
        band(axis, points, shares, label, style)
    axis.set(xlabel="σ of the predicted probability", ylabel="share of images with less")
    axis.set(title=LABELS["brief"], ylim=(0, 1.02))
    axis.legend(loc="lower right")


def claims(results) -> list[Claim]:
    """σ separates wrong from right; the accuracy stays; the likelihood was to improve."""
    every = [f for found in results.values() for f in found]
    made = [
        Claim(
            "AUC of σ, wrong above right",
            [auc(f.sigma[~f.wrong], f.sigma[f.wrong]) for f in every], ">", 0.85,
        ),
        Claim(
            "AUC of σ less that of the softmax probability",
            [auc(f.sigma[~f.wrong], f.sigma[f.wrong]) - f.softmax for f in every], ">", -0.05,
        ),
        Claim("AUC of σ, noise above digits", [auc(f.sigma, f.noise) for f in every], ">", 0.5),
        Claim("accuracy moves by", [abs(np.subtract(*f.accuracies)) for f in every], "<", 0.02),
    ]  # fmt: skip
    for case, found in results.items():
        surer = [f.sure for f in found]
        sign = ">" if case == "long" else "<"
        text = f"mean probability of what is predicted less accuracy, {LABELS[case]}"
        made.append(Claim(text, surer, sign, 0))
        gain = [alone - passes for alone, passes in (each.nlls for each in found)]
        text = f"test NLL falls by the passes, {LABELS[case]}, nats"
        made.append(Claim(text, gain, ">", 0, reproduces=case == "long"))
    return made
