"""BatchNorm joined with its neighbours: with ReLU in one node, and folded into the layer before it.

Milliseconds joined and apart, and the median ratio of rounds in which they alternate; below 1,
joining is faster.  Training is forward and backward of F.batch_norm_relu against F.relu of
F.batch_norm; inference is the forward of a model before and after nn.fold_batch_norm.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from _harness import compare, environment

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

SHAPES = [(256, 512), (4096, 1024), (128, 256, 8, 8), (64, 64, 32, 32), (32, 64, 68, 68)]
Run = Callable[[], object]


def training(shape: Sequence[int]) -> dict[str, tuple[Run, Run]]:
    """Forward and backward: joined and apart."""
    mg.manual_seed(0)
    x = mg.randn(*shape, requires_grad=True)
    weight, bias = (mg.ones(shape[1], requires_grad=True) for _ in range(2))
    dy, inputs = mg.randn(*shape), [x, weight, bias]

    def joined() -> mg.Tensor:
        return F.batch_norm_relu(x, None, None, weight, bias, training=True)

    def apart() -> mg.Tensor:
        return F.relu(F.batch_norm(x, None, None, weight, bias, training=True))

    def backward(y: mg.Tensor) -> Run:
        return lambda: mg.grad(y, inputs, dy, retain_graph=True)

    return {"forward": (joined, apart), "backward": (backward(joined()), backward(apart()))}


def inference(batch: int) -> dict[str, tuple[Run, Run]]:
    """A small convolutional and a fully connected model: folded and as they are."""
    mg.manual_seed(0)
    images, rows = mg.randn(batch, 1, 8, 8), mg.randn(batch, 784)
    convolutional = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)),
    )
    connected = nn.Sequential(
        *(nn.Linear(784, 256), nn.BatchNorm1d(256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10)),
    )

    def pair(model: nn.Module, x: mg.Tensor) -> tuple[Run, Run]:
        folded = nn.fold_batch_norm(model.eval())
        return lambda: folded(x), lambda: model(x)

    return {"convolutional": pair(convolutional, images), "connected": pair(connected, rows)}


def print_rows(subject: str, runs: dict[str, tuple[Run, Run]], rounds: int) -> None:
    """One row for each pair."""
    for name, (joined, apart) in runs.items():
        timings = compare({"joined": joined, "apart": apart}, rounds)
        one, other = timings["joined"], timings["apart"]
        print(
            f"| {subject} | {name} | {1e3 * one.seconds:.3f} | {1e3 * other.seconds:.3f} "
            f"| {one.ratios['apart']:.2f} |",
            flush=True,
        )


def main() -> None:
    """Measure everything, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians of")
    parser.add_argument("--quick", action="store_true", help="the smallest cases, one round")
    options = parser.parse_args()
    shapes, rounds = (SHAPES[:1], 1) if options.quick else (SHAPES, options.rounds)
    print(environment(), end="\n\n")
    print("| subject | what | joined ms | apart ms | ratio |\n|---|---|--:|--:|--:|")
    for shape in shapes:
        print_rows(f"ReLU, {'×'.join(map(str, shape))}", training(shape), rounds)
    with mg.no_grad():
        for batch in (1, 64)[: 1 if options.quick else 2]:
            print_rows(f"folded, batch {batch}", inference(batch), rounds)


if __name__ == "__main__":
    main()
