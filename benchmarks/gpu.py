"""On a GPU: BatchNorm, Conv2d and a training step, beside PyTorch; without a GPU it says so.

Each timing begins and ends when the GPU has done all that it was given; arrays lie on the GPU from
the start.  The limit of BatchNorm is what the least traffic takes (forward reads x and writes y,
backward reads x and dy and writes dx) at the rate of copying an array of that size.  PyTorch's
BatchNorm is there by its own kernels and by cuDNN's, its convolutions are cuDNN's; rows marked TF32
round the factors of float32 products to 10 bits of fraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import _peers
import batch_norm
import conv
import step
from _cases import Case, Subject
from _forms import copy_limit, eager_form, within
from _harness import Inside, Run, Stopwatch
from _report import Report

import minigrad as mg
import minigrad.nn.functional as F

LARGE = (256, 256, 56, 56)
CUDA = "cuda"
OURS = {
    "minigrad composed": within(composed=True),
    "minigrad forwards": within(),
    "minigrad kernels": within(kernels=True),
}


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    try:
        mg.zeros(1, device=CUDA)
    except mg.DeviceError as error:
        return str(error)
    return None


def torch_on_gpu() -> Any:
    """PyTorch, if it is there and sees the GPU."""
    torch = _peers.torch
    return torch if torch is not None and torch.cuda.is_available() else None


def cudnn(enabled: bool = True, tf32: bool = False) -> Inside:
    """Makes the context in which PyTorch uses cuDNN or not, and rounds to TF32 or not."""

    @contextmanager
    def inside() -> Iterator[None]:
        backends = _peers.torch.backends
        before = backends.cuda.matmul.allow_tf32
        backends.cuda.matmul.allow_tf32 = tf32
        try:
            with backends.cudnn.flags(enabled=enabled, allow_tf32=tf32):
                yield
        finally:
            backends.cuda.matmul.allow_tf32 = before

    return inside


def rounded() -> ExitStack:
    """minigrad's kernels, with TF32."""
    stack = ExitStack()
    stack.enter_context(within(kernels=True)())
    stack.enter_context(mg.cuda.tf32(True))
    return stack


def norm_case(shape: tuple[int, ...]) -> Case:
    """BatchNorm's forms on the same data."""
    given, ours = batch_norm.problem(shape), batch_norm.function(F.batch_norm)
    found = {n: eager_form(mg, mg.grad, given, ours, i, CUDA) for n, i in OURS.items()}
    if (torch := torch_on_gpu()) is not None:
        theirs = batch_norm.function(torch.nn.functional.batch_norm)
        form = partial(eager_form, torch, torch.autograd.grad, given, theirs)
        found["PyTorch"] = form(cudnn(enabled=False), CUDA)
        found["PyTorch, cuDNN"] = form(cudnn(), CUDA)
    return found | copy_limit(given.total, given.arrays[0], batch_norm.PASSES, copying)


def copying(array: Any) -> Run:
    """A copy from one place on the GPU to another."""
    x = mg.tensor(array, device=CUDA).array
    out = x.copy()
    return lambda: mg.backend.of(x).xp.copyto(out, x)


def conv_case(layer: conv.Layer) -> Case:
    """A convolution's forms on the same data."""
    given = conv.problem(layer)

    def ours(x: Any, w: Any) -> Any:
        return F.conv2d(x, w, stride=layer.stride, padding=layer.padding)

    forms = {**OURS, "minigrad kernels, TF32": rounded}
    found = {n: eager_form(mg, mg.grad, given, ours, i, CUDA) for n, i in forms.items()}
    if (torch := torch_on_gpu()) is not None:
        theirs = conv.functions(layer)["torch"]
        form = partial(eager_form, torch, torch.autograd.grad, given, theirs)
        found["PyTorch"] = form(cudnn(), CUDA)
        found["PyTorch, TF32"] = form(cudnn(tf32=True), CUDA)
    return found


def step_case(task: step.Task, compile: bool, notes: list[str]) -> Case:
    """A training step's forms."""
    make = partial(step.of_minigrad, task, CUDA)
    found = {name: step.candidate(make, inside=inside) for name, inside in OURS.items()}
    if torch_on_gpu() is not None:
        found["PyTorch"] = step.candidate(partial(step.of_torch, task, device=CUDA))
        if compile:
            found |= step.compiled(task, notes, CUDA)
    return found


def synchronize() -> None:
    """Wait for all that either library gave the GPU."""
    mg.cuda.synchronize()
    if (torch := torch_on_gpu()) is not None:
        torch.cuda.synchronize()


def card() -> str:
    """The GPU's name, as a part of a file's."""
    properties = mg.backend.named(CUDA).xp.cuda.runtime.getDeviceProperties(0)
    name = properties["name"]
    words = (name.decode() if isinstance(name, bytes) else name).lower().split()
    return "-".join(word for word in words if word != "nvidia")


def measure(watch: Stopwatch, quick: bool) -> Report:
    """All cases, or the smallest of each kind."""
    watch.finish = synchronize
    notes = [f"GPU: {card()}"]
    if torch_on_gpu() is None:
        notes.append("PyTorch is not installed, or sees no GPU: left out")
    shapes = [*batch_norm.TARGETS, LARGE][: 1 if quick else None]
    norms = {"×".join(map(str, shape)): partial(norm_case, shape) for shape in shapes}
    layers = list(conv.LAYERS.items())[: 1 if quick else None]
    convs = {name: partial(conv_case, layer) for name, layer in layers}
    tasks = list(step.TASKS.items())[: 1 if quick else None]
    steps = {name: partial(step_case, task, not quick, notes) for name, task in tasks}
    several = [
        Subject(norms, ["forward", "backward", "both"], large=False),
        Subject(convs, ["forward", "dX", "dW", "all"], large=False),
        Subject(steps, ["step"], large=False),
    ]
    tables = [subject.measure(watch)[0] for subject in several]
    return Report(__doc__, tables, notes=notes, name=f"gpu-{card()}")
