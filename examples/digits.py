"""Train a small CNN on scikit-learn's digits, with BatchNorm and without, and draw what it does.

1,797 real 8×8 images of handwritten digits come with scikit-learn, so nothing is downloaded.  Three
seeds are trained with --norm, and again without normalisation; at the end the test accuracy is
given twice for the same weights: normalised by the running averages of training, and by the
statistics of the whole training set (`nn.recompute_stats`).
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field

import numpy as np
from common import options_of, parsed, plt
from tqdm import tqdm

import minigrad as mg
from minigrad import nn, optim

CLASSES = 10
BATCH = 64
LEARNING_RATE, MOMENTUM = 0.05, 0.9
EVALUATE_EVERY = 5  # steps between the points of the picture
SEEDS = 3


@dataclass
class Data:
    """Images (N, 1, 8, 8) in [0, 1] and labels (N,), split once for all seeds."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass
class Run:
    """What one training run measured."""

    norm: str
    seed: int
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tested_at: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    running: float = float("nan")  # final test accuracy by running averages
    population: float = float("nan")  # and by population statistics


def load(dtype=mg.float32) -> Data:
    """The digits, a fifth of them for testing."""
    images, labels = mg.data.load_digits()
    parts = mg.data.train_test_split(images.astype(dtype), labels, test_size=0.2, seed=0)
    train_x, test_x, train_y, test_y = parts
    return Data(train_x, train_y, test_x, test_y)


def make_model(norm: str, dtype=mg.float32) -> nn.Module:
    """Two convolutions and two fully connected layers, each but the last followed by `norm`."""

    def batch_norm(kind, channels):
        return [] if norm == "none" else [kind(channels, fused=norm == "fused", dtype=dtype)]

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, dtype=dtype),
        *batch_norm(nn.BatchNorm2d, 16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, dtype=dtype),
        *batch_norm(nn.BatchNorm2d, 32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64, dtype=dtype),
        *batch_norm(nn.BatchNorm1d, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES, dtype=dtype),
    )


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray, device: str) -> float:
    """The share of images whose largest logit is at their label, in evaluation mode."""
    model.eval()
    with mg.no_grad():
        logits = model(mg.tensor(x, device=device))
    model.train()
    return float(np.mean(logits.numpy().argmax(1) == y))


def train_steps(run: Run, data: Data, epochs: int, device: str = "cpu", dtype=mg.float32):
    """Train `run.norm` from `run.seed`, yielding (epoch, model) after every step."""
    mg.manual_seed(run.seed)
    model = make_model(run.norm, dtype).to(device)
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    batches = mg.data.batches(
        data.train_x, data.train_y, batch_size=BATCH, seed=run.seed, drop_last=True
    )
    for epoch in range(1, epochs + 1):
        for x, y in batches:
            loss = criterion(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.steps.append(len(run.steps) + 1)
            run.losses.append(loss.item())
            yield epoch, model


def train(run: Run, data: Data, epochs: int, device: str, bar: tqdm) -> None:
    """One run to its end, with a line of the table for every epoch."""
    per_epoch = len(data.train_x) // BATCH
    start = time.perf_counter()
    for epoch, model in train_steps(run, data, epochs, device):
        step = run.steps[-1]
        if step % EVALUATE_EVERY == 0 or step % per_epoch == 0:
            run.tested_at.append(step)
            run.accuracies.append(accuracy(model, data.test_x, data.test_y, device))
        if step % per_epoch == 0:
            loss = statistics.fmean(run.losses[-per_epoch:])
            seconds = time.perf_counter() - start
            bar.write(
                f"{run.norm:>9} {run.seed:>5} {epoch:>6} {loss:>11.4f} "
                f"{run.accuracies[-1]:>14.3f} {seconds:>8.1f}"
            )
        bar.update()
    run.running = run.accuracies[-1]
    nn.recompute_stats(model, (mg.tensor(part, device=device) for part in thirds(data.train_x)))
    run.population = accuracy(model, data.test_x, data.test_y, device)


def thirds(x: np.ndarray) -> list[np.ndarray]:
    """The training images in three large batches."""
    return np.array_split(x, 3)


def draw(runs: list[Run], path: str) -> None:
    """Loss and test accuracy by step: the median over the seeds, and their range."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for norm in dict.fromkeys(run.norm for run in runs):
        done = [run for run in runs if run.norm == norm]
        label = "no normalisation" if norm == "none" else f"BatchNorm ({norm})"
        for axis, steps, curves in (
            (left, done[0].steps, [run.losses for run in done]),
            (right, done[0].tested_at, [run.accuracies for run in done]),
        ):
            length = min(map(len, curves))
            values = np.array([curve[:length] for curve in curves])
            (line,) = axis.plot(steps[:length], np.median(values, axis=0), label=label)
            axis.fill_between(
                steps[:length], values.min(0), values.max(0), alpha=0.2, color=line.get_color()
            )
    left.set(xlabel="step", ylabel="training loss", yscale="log", title="Loss of each batch")
    right.axhline(1 / CLASSES, color="grey", linestyle="--", label="chance")
    right.set(
        xlabel="step", ylabel="test accuracy", ylim=(0, 1.02), title="Accuracy on unseen digits"
    )
    right.legend(loc="lower right")
    count = len({run.seed for run in runs})
    figure.suptitle(f"A small CNN on 8×8 digits: median and range of {count} seed(s)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; --seed is the first of three in a row."""
    parser = options_of(__doc__, "digits.png", epochs=(8, "passes over the data"))
    parser.add_argument(
        "--norm",
        choices=["fused", "composed", "none"],
        default="fused",
        help="BatchNorm as one hand-written node, composed of primitive ops, or none (%(default)s)",
    )
    return parsed(parser, arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train, print, draw.  Returns the exit status."""
    options = parse(arguments)
    data = load()
    norms = list(dict.fromkeys([options.norm, "none"]))
    seeds = range(options.seed, options.seed + SEEDS)
    runs: list[Run] = []
    print(f"{len(data.train_x)} digits to learn from, {len(data.test_x)} to test on\n")
    print("     norm  seed  epoch  train loss  test accuracy  seconds")
    total = len(norms) * SEEDS * options.epochs * (len(data.train_x) // BATCH)
    try:
        with tqdm(total=total, unit="step", leave=False, disable=None) as bar:
            for norm in norms:
                for seed in seeds:
                    runs.append(Run(norm, seed))
                    train(runs[-1], data, options.epochs, options.device, bar)
    except KeyboardInterrupt:
        return interrupted(runs, norms, options)
    draw(runs, options.out)
    print(f"\npicture: {options.out}")
    report(runs, norms)
    return 0


def report(runs: list[Run], norms: list[str]) -> None:
    """Median accuracies; those of the chosen normalisation come last."""
    for norm in reversed(norms):
        done = [run for run in runs if run.norm == norm]
        running = statistics.median(run.running for run in done)
        population = statistics.median(run.population for run in done)
        if norm == norms[0]:
            print(
                f"test accuracy: {running:.3f} (running averages) "
                f"{population:.3f} (population statistics)"
            )
        else:
            print(f"without normalisation: {running:.3f}")


def interrupted(runs: list[Run], norms: list[str], options: argparse.Namespace) -> int:
    """Say what was reached, and keep it as a picture if there is something to draw."""
    last = runs[-1] if runs else None
    reached = "before the first step"
    if last is not None and last.steps:
        tested = f", test accuracy {last.accuracies[-1]:.3f}" if last.accuracies else ""
        reached = (
            f"in run {len(runs)} of {len(norms) * SEEDS} ({last.norm}, seed {last.seed}) at step "
            f"{last.steps[-1]}, loss {last.losses[-1]:.4f}{tested}"
        )
    print(f"\nstopped {reached}")
    drawable = [run for run in runs if run.accuracies]
    if drawable:
        draw(drawable, options.out)
        print(f"picture of what there is: {options.out}")
    return 130


if __name__ == "__main__":
    raise SystemExit(main())
