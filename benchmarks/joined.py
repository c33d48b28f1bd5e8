"""BatchNorm joined with its neighbours: with ReLU in one node, and folded into the layer before it.

Milliseconds joined and apart, and the median ratio of rounds in which they alternate; below 1,
joining is faster.  Training is forward and backward of F.batch_norm_relu against F.relu of
F.batch_norm; inference is the forward of a model before and after nn.fold_batch_norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from _forms import minigrad_contexts
from _harness import Inside, Run, Stopwatch
from _report import Chart, Report, Table

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn

SHAPES = [(256, 512), (4096, 1024), (128, 256, 8, 8), (64, 64, 32, 32), (32, 64, 68, 68)]
BATCHES = [1, 64]
Pairs = dict[str, tuple[Run, Run]]  # joined and apart


def training(shape: Sequence[int]) -> Pairs:
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


def inference(batch: int) -> Pairs:
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


def cases(quick: bool) -> Iterator[tuple[str, Callable[[], Pairs], bool]]:
    """Names, what makes the pairs, and whether their calls are recorded."""
    for shape in SHAPES[: 1 if quick else None]:
        yield f"ReLU, {'×'.join(map(str, shape))}", partial(training, shape), True
    for batch in BATCHES[: 1 if quick else None]:
        yield f"folded, batch {batch}", partial(inference, batch), False


def unrecorded(context: Inside) -> Inside:
    """The context with `no_grad` in it."""

    def inside() -> ExitStack:
        stack = ExitStack()
        stack.enter_context(context())
        stack.enter_context(mg.no_grad())
        return stack

    return inside


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All cases, or the smallest."""
    table = Table(["subject", "what", "form", "joined ms", "apart ms", "ratio"], left=3)
    chart = Chart("joined ÷ apart (less is faster)", {}, line=1.0)
    forms = {n: inside for n, inside in minigrad_contexts().items() if n != "minigrad composed"}
    for subject, make, recorded in cases(quick):
        for form, context in forms.items():
            inside = context if recorded else unrecorded(context)
            with inside():
                pairs = make()
            for what, (joined, apart) in pairs.items():
                runs = {"joined": joined, "apart": apart}
                times = watch.compare(runs, dict.fromkeys(runs, inside))
                ratio = times["joined"].ratios["apart"]
                seconds = (f"{1e3 * times[name].seconds:.3f}" for name in runs)
                table.add(subject, what, form, *seconds, f"{ratio:.2f}")
                chart.bars.setdefault(f"{subject}, {what}", {})[form] = ratio
    return Report(__doc__, [table], chart)
