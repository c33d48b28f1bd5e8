"""A step of training: forward, cross-entropy, backward, SGD; two small models, batches of 64.

minigrad and PyTorch run their modules and their optim.SGD, the others the same step written by
hand without running averages; "NumPy by hand" is the floor of what is interpreted.  "Largest
difference" is that of the losses of the first 20 steps from those of the first row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import _models
import _peers
import numpy as np
from _cases import Candidate, Case, Subject
from _forms import minigrad_contexts, with_targets
from _harness import Stopwatch
from _report import Report

import minigrad as mg
from minigrad import nn, optim

BATCH, STEPS = 64, 20
Step = Callable[[], Any]  # gives the loss


@dataclass(frozen=True)
class Task:
    """A model, what it learns from, and how."""

    model: Callable[[Any], Any]
    layers: Sequence[str]
    image: tuple[int, ...]
    lr: float
    momentum: float
    targets: tuple[float, float]


TASKS = {
    "the MLP": Task(_models.mlp, _models.MLP, (64,), 0.1, 0.0, (0.70, 0.35)),
    "the digits CNN": Task(_models.cnn, _models.CNN, (1, 8, 8), 0.05, 0.9, (1.5, 0.6)),
}


def data(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels; what they are changes no time."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((BATCH, *task.image), "float32"), rng.integers(0, 10, BATCH)


def initial(task: Task) -> dict[str, np.ndarray]:
    """The parameters that all begin with, by PyTorch's names."""
    mg.manual_seed(0)
    state = task.model(nn).state_dict()
    return {name: value.numpy() for name, value in state.items()}


def parameters(task: Task) -> list[np.ndarray]:
    """The same in the layers' order, weight before bias."""
    return [v.copy() for n, v in initial(task).items() if n.endswith(("weight", "bias"))]


# ---- modules: minigrad and PyTorch


def of_modules(model: Any, optimizer: Any, criterion: Any, x: Any, labels: Any) -> Step:
    """As users of either library write it."""

    def step() -> Any:
        loss = criterion(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def of_minigrad(task: Task, device: str = "cpu") -> Step:
    x, labels = (mg.tensor(each, device=device) for each in data(task))
    model = task.model(nn).to(device)
    model.load_state_dict(initial(task))
    optimizer = optim.SGD(model.parameters(), lr=task.lr, momentum=task.momentum)
    return of_modules(model, optimizer, nn.CrossEntropyLoss(), x, labels)


def of_torch(task: Task, compiled: bool = False, device: str = "cpu") -> Step:
    torch = _peers.torch
    x, labels = (torch.tensor(each, device=device) for each in data(task))
    model = task.model(torch.nn).to(device)
    model.load_state_dict({name: torch.tensor(v) for name, v in initial(task).items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=task.lr, momentum=task.momentum)
    if compiled:
        model = torch.compile(model)
    return of_modules(model, optimizer, torch.nn.CrossEntropyLoss(), x, labels)


# ---- by hand


def of_jax(task: Task) -> Step:
    jax, (x, labels) = _peers.jax, map(_peers.jax.numpy.asarray, data(task))
    ops = _models.JaxFormulas(jax.numpy)

    def loss_of(weights: Any) -> Any:
        return ops.loss(_models.by_hand(ops, task.layers, weights, x), labels)

    @jax.jit
    def update(weights: Any, speeds: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(weights)
        speeds = [task.momentum * v + g for v, g in zip(speeds, grads, strict=True)]
        return [w - task.lr * v for w, v in zip(weights, speeds, strict=True)], speeds, loss

    weights = [jax.numpy.asarray(w) for w in parameters(task)]
    now = [weights, [jax.numpy.zeros_like(w) for w in weights]]

    def step() -> Any:
        *now[:], loss = jax.block_until_ready(update(*now))
        return loss

    return step


class Descent:
    """SGD on bare arrays, in place."""

    def __init__(self, task: Task, weights: list[np.ndarray]) -> None:
        self.task, self.weights = task, weights
        self.speeds = [np.zeros_like(w) for w in weights]

    def step(self, grads: Sequence[np.ndarray]) -> None:
        """One update."""
        for i, (w, g) in enumerate(zip(self.weights, grads, strict=True)):
            if self.task.momentum:
                self.speeds[i] *= self.task.momentum
                self.speeds[i] += g
                g = self.speeds[i]
            w -= self.task.lr * g


def of_mygrad(task: Task) -> Step:
    (x, labels), ops = data(task), _models.MyGradLayers()
    weights = [_peers.mygrad.tensor(w, copy=False) for w in parameters(task)]
    descent = Descent(task, [w.data for w in weights])

    def step() -> Any:
        loss = ops.loss(_models.by_hand(ops, task.layers, weights, x), labels)
        loss.backward()
        descent.step([w.grad for w in weights])
        return loss

    return step


def of_autograd(task: Task) -> Step:
    (x, labels), ops = data(task), _models.Formulas(_peers.autograd.numpy)
    descent = Descent(task, parameters(task))

    def loss_of(weights: Any) -> Any:
        return ops.loss(_models.by_hand(ops, task.layers, weights, x), labels)

    with_grads = _peers.autograd.value_and_grad(loss_of)

    def step() -> Any:
        loss, grads = with_grads(descent.weights)
        descent.step(grads)
        return loss

    return step


def of_numpy(task: Task) -> Step:
    (x, labels), ops = data(task), _models.Derivatives()
    descent = Descent(task, parameters(task))

    def step() -> Any:
        own, y, backs = iter(descent.weights), x, []
        for layer in task.layers:
            given = (next(own), next(own)) if layer in _models.WITH_PARAMETERS else ()
            y, back = getattr(ops, layer)(y, *given)
            backs.append(back)
        loss, g = ops.loss(y, labels)
        grads: list[np.ndarray] = []
        for back in reversed(backs):
            g, *more = back(g)
            grads[:0] = more
        descent.step(grads)
        return loss

    return step


# ---- the cases


def candidate(make: Callable[[], Step], **options: Any) -> Candidate:
    """A step to time, and the losses of another that begins anew."""

    def losses() -> list[np.ndarray]:
        step = make()
        return [np.array([step().item() for _ in range(STEPS)])]

    return Candidate({"step": make()}, losses, **options)


def case(task: Task, compile: bool, notes: list[str]) -> Case:
    """All that can take the step; what cannot be compiled here is noted."""
    found = {
        name: candidate(partial(of_minigrad, task), inside=inside)
        for name, inside in minigrad_contexts().items()
    }
    with_targets(found, *task.targets)
    if "conv" not in task.layers:  # and no convolution by hand, or in autograd
        found["NumPy by hand"] = candidate(partial(of_numpy, task))
        if _peers.autograd is not None:
            found["autograd"] = candidate(partial(of_autograd, task))
    if _peers.mygrad is not None:
        found["MyGrad"] = candidate(partial(of_mygrad, task))
    if _peers.torch is not None:
        found["PyTorch"] = candidate(partial(of_torch, task))
        if compile:
            found |= compiled(task, notes)
    if _peers.jax is not None:
        found["JAX"] = candidate(partial(of_jax, task))
    return found


def compiled(task: Task, notes: list[str], device: str = "cpu") -> Case:
    """torch.compile, which needs a C++ compiler and much else."""
    try:
        made = candidate(partial(of_torch, task, compiled=True, device=device))
        made.runs["step"]()  # only now it compiles
    except Exception as error:
        note = f"torch.compile does not work here ({type(error).__name__}): left out"
        notes += [note] * (note not in notes)
        return {}
    return {"PyTorch compiled": made}


def measure(watch: Stopwatch, quick: bool) -> Report:
    """Both models, or the smaller."""
    notes: list[str] = []
    tasks = list(TASKS.items())[: 1 if quick else None]
    cases = {name: partial(case, task, not quick, notes) for name, task in tasks}
    table, chart = Subject(cases, ["step"]).measure(watch)
    return Report(__doc__, [table], chart, notes)
