"""Two spirals with wrong labels among them: what each kind of regularisation makes of them.

An MLP that is large for 160 points, of which some have the wrong label, learns them by heart.  The
picture shows where it decides between the classes: without regularisation, with Dropout, with L2 as
the optimiser's weight decay, with L1 and L2 penalties on the weights, and with an L1 penalty on the
activations.  The table gives the accuracy on the points that it learned from and on clean ones that
it has not seen, and the share of active hidden neurons, which an L1 penalty on them makes small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from common import options_of, parsed, plt
from tqdm import tqdm

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F

POINTS, WRONG = 160, 0.15  # points to learn from, and the share of them with the wrong label
WIDTH = 64
LEARNING_RATE = 0.01
REACH = 1.3  # the picture shows -1.3 to 1.3


@dataclass
class Method:
    """A way to regularise: dropout probability, weight decay, and what is added to the loss.

    `penalty(model, activations)` gives a number to add.
    """

    name: str
    dropout: float = 0.0
    weight_decay: float = 0.0
    penalty: Callable[[nn.Module, list[mg.Tensor]], mg.Tensor | float] = lambda model, hidden: 0.0


METHODS = [
    Method("none"),
    Method("Dropout 0.3", dropout=0.3),
    Method("weight decay 0.5", weight_decay=0.5),
    Method("L2 of weights", penalty=lambda model, hidden: 2e-3 * nn.l2_penalty(model)),
    Method("L1 of weights", penalty=lambda model, hidden: 5e-4 * nn.l1_penalty(model)),
    Method("L1 of activations", penalty=lambda model, hidden: 5e-5 * nn.l1_penalty(hidden)),
]


def spirals(rng: np.random.Generator, n: int, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) on two spirals and labels (n,), a share of them wrong."""
    labels = np.arange(n) % 2
    turn = np.sqrt(rng.uniform(0.02, 1, n))
    angle = 3.5 * np.pi * turn + np.pi * labels
    x = turn[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.02, (n, 2))
    return x.astype(np.float32), np.where(rng.random(n) < wrong, 1 - labels, labels)


def make_model(dropout: float) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(2, WIDTH),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(WIDTH, 2),
    )


def watch_hidden(model: nn.Sequential) -> list[mg.Tensor]:
    """A list that will hold what the ReLUs gave, until it is cleared."""
    hidden: list[mg.Tensor] = []
    for module in model:
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    return hidden


def train(method: Method, x: mg.Tensor, y: mg.Tensor, steps: int, bar: tqdm) -> nn.Sequential:
    """The model after so many steps on all points at once."""
    model = make_model(method.dropout).to(x.device)
    optimizer = optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=method.weight_decay)
    hidden, criterion = watch_hidden(model), nn.CrossEntropyLoss()
    for _ in range(steps):
        hidden.clear()
        loss = criterion(model(x), y) + method.penalty(model, hidden)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.update()
    return model.eval()


def probability(model: nn.Module, x: np.ndarray, device: str) -> np.ndarray:
    """The model's probability of class 1 at each point."""
    with mg.no_grad():
        logits = model(mg.tensor(x, device=device))
    return F.softmax(logits, 1)[:, 1].numpy()


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray, device: str) -> float:
    """The share of points that the model gives the right class."""
    return float(np.mean((probability(model, x, device) > 0.5) == y))


def active_share(model: nn.Sequential, x: np.ndarray, device: str) -> float:
    """The share of hidden neurons with an output above 0, over all points."""
    hidden = watch_hidden(model)
    probability(model, x, device)
    return float(np.mean([(h > 0).float().mean().item() for h in hidden]))


def panel(axis: plt.Axes, model: nn.Module, x: np.ndarray, y: np.ndarray, device: str) -> object:
    """The model's decision over the plane, and the points that it learned from."""
    line = np.linspace(-REACH, REACH, 200, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    height = probability(model, grid, device).reshape(200, 200)
    filled = axis.contourf(line, line, height, levels=np.linspace(0, 1, 11), cmap="cividis")
    axis.contour(line, line, height, levels=[0.5], colors="black", linewidths=1.2)
    for label, marker in ((0, "o"), (1, "^")):
        points, name = x[y == label], f"label {label}"
        style = {"marker": marker, "c": "white", "edgecolors": "black", "linewidths": 0.7}
        axis.scatter(*points.T, s=16, label=name, **style)
    axis.set(xticks=[], yticks=[], aspect="equal")
    return filled


def main(arguments: list[str] | None = None) -> int:
    """Train each way, print the table, draw the picture."""
    parser = options_of(__doc__, "spirals.png", steps=(800, "steps of each of the six models"))
    options = parsed(parser, arguments)
    rng = np.random.default_rng(options.seed)
    x, y = spirals(rng, POINTS, WRONG)
    test_x, test_y = spirals(rng, 2000, 0.0)
    inputs, labels = mg.tensor(x, device=options.device), mg.tensor(y, device=options.device)
    figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
    print(f"{'regularisation':<20}{'learned points':>16}{'unseen points':>16}{'active':>12}")
    with tqdm(total=len(METHODS) * options.steps, unit="step", leave=False, disable=None) as bar:
        for method, axis in zip(METHODS, axes.flat, strict=True):
            mg.manual_seed(options.seed)
            model = train(method, inputs, labels, options.steps, bar)
            learned = accuracy(model, x, y, options.device)
            unseen = accuracy(model, test_x, test_y, options.device)
            share = active_share(model, x, options.device)
            bar.write(f"{method.name:<20}{learned:>16.3f}{unseen:>16.3f}{share:>12.3f}")
            filled = panel(axis, model, x, y, options.device)
            axis.set_title(f"{method.name}: {unseen:.1%} of unseen points", fontsize=11)
    figure.suptitle(f"Two spirals, {WRONG:.0%} of the labels wrong: where an MLP changes its mind")
    figure.colorbar(filled, ax=axes, label="probability of class 1", shrink=0.6, ticks=[0, 0.5, 1])
    axes[0, 0].legend(loc="upper left", framealpha=0.9)
    figure.savefig(options.out, dpi=110)
    plt.close(figure)
    print(f"\npicture: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
