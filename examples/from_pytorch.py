"""Carry a model over from PyTorch, check that it computes the same, and carry it back.

Two small networks, one for images and one for text, are each written once, as a function of either
library's `nn`.  PyTorch trains them for a moment; minigrad loads the state dicts of the network and
of the optimiser.  The table gives the largest difference of what follows: outputs, loss, the
gradient of each parameter, and ten further steps of training in both libraries.  At last minigrad's
weights go back through a file in safetensors format.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import options_of, parsed

import minigrad as mg
from minigrad import nn, optim

try:
    import torch
    from safetensors.torch import load_file
except ImportError:
    torch = None  # main says what to type

CLASSES, BATCH, WORDS, LENGTH = 10, 64, 50, 8
BEFORE, AFTER = 20, 10  # steps of training before the model is carried over, and after
ADAMW = {"lr": 1e-3, "weight_decay": 0.01}
DTYPES = ("float32", "float64")
Rows = dict[str, float]  # a quantity, and its largest difference


def image_net(layers: Any) -> Any:
    """For images (N, 1, 8, 8); `layers` is minigrad.nn or torch.nn."""
    return layers.Sequential(
        layers.Conv2d(1, 8, 3, padding=1, bias=False),
        layers.BatchNorm2d(8),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Flatten(),
        layers.Linear(128, CLASSES),
    )


def text_net(layers: Any) -> Any:
    """For numbers of words (N, LENGTH)."""
    return layers.Sequential(
        layers.Embedding(WORDS, 16),
        layers.LayerNorm(16),
        layers.GELU(),
        layers.Flatten(),
        layers.Linear(16 * LENGTH, CLASSES),
    )


def data(make: Callable[[Any], Any], dtype: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs for a network, and labels (BATCH,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, BATCH)
    if make is text_net:
        return rng.integers(0, WORDS, (BATCH, LENGTH)), labels
    return rng.normal(size=(BATCH, 1, 8, 8)).astype(dtype), labels


@dataclass
class Side:
    """A network in one library, and what it is trained with."""

    model: Any
    adamw: Any
    criterion: Any
    x: Any
    y: Any

    def train(self, steps: int) -> list[float]:
        """The loss of each step; the code is the same for both libraries."""
        losses = []
        for _ in range(steps):
            loss = self.criterion(self.model(self.x), self.y)
            self.adamw.zero_grad()
            loss.backward()
            self.adamw.step()
            losses.append(loss.item())
        return losses


def sides(make: Callable[[Any], Any], dtype: str, device: str, seed: int) -> tuple[Side, Side]:
    """PyTorch's network after some steps, and minigrad's with its weights and AdamW's averages."""
    x, y = data(make, dtype, seed)
    torch.manual_seed(seed)
    model = make(torch.nn).to(getattr(torch, dtype))
    adamw = torch.optim.AdamW(model.parameters(), **ADAMW)
    criterion = torch.nn.CrossEntropyLoss()
    theirs = Side(model, adamw, criterion, torch.tensor(x), torch.tensor(y))
    theirs.train(BEFORE)

    model = make(nn).to(device, dtype=dtype)
    model.load_state_dict(theirs.model.state_dict())
    adamw = optim.AdamW(model.parameters(), **ADAMW)
    adamw.load_state_dict(theirs.adamw.state_dict())
    criterion = nn.CrossEntropyLoss()
    x, y = mg.tensor(x, device=device), mg.tensor(y, device=device)
    return theirs, Side(model, adamw, criterion, x, y)


def difference(theirs: Any, ours: Any) -> float:
    """The largest difference of any two elements."""
    values = [
        each.detach().cpu().numpy() if hasattr(each, "detach") else np.asarray(each)
        for each in (theirs, ours)
    ]
    return float(np.abs(values[0] - values[1]).max())


def difference_of_states(theirs: Side, ours: Side) -> float:
    """The largest difference of any two weights or running statistics of the same name."""
    state = ours.model.state_dict()
    return max(difference(each, state[name]) for name, each in theirs.model.state_dict().items())


def compare(theirs: Side, ours: Side) -> Rows:
    """Every row of the table but the last."""
    rows = {"weights, as loaded": difference_of_states(theirs, ours)}
    for side in (theirs, ours):
        side.model.eval()
    rows["output in evaluation"] = difference(theirs.model(theirs.x), ours.model(ours.x))
    for side in (theirs, ours):
        side.model.train()
    outputs = theirs.model(theirs.x), ours.model(ours.x)
    rows["output in training"] = difference(*outputs)
    losses = theirs.criterion(outputs[0], theirs.y), ours.criterion(outputs[1], ours.y)
    rows["loss"] = difference(*losses)
    theirs.model.zero_grad()
    for loss in losses:
        loss.backward()
    gradients = {name: each.grad for name, each in theirs.model.named_parameters()}
    for name, parameter in ours.model.named_parameters():
        rows[f"gradient of {name}"] = difference(gradients[name], parameter.grad)
    rows[f"losses of {AFTER} more steps"] = difference(theirs.train(AFTER), ours.train(AFTER))
    rows["weights after them"] = difference_of_states(theirs, ours)
    return rows


def way_back(theirs: Side, ours: Side) -> str:
    """Whether PyTorch's network has minigrad's weights, bit for bit, after reading their file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        mg.save(ours.model.state_dict(), path)
        theirs.model.load_state_dict(load_file(path))
    state = ours.model.state_dict()
    same = all(
        each.numpy().tobytes() == state[name].numpy().tobytes()
        for name, each in theirs.model.state_dict().items()
    )
    return "same bits" if same else "differs"


def main(arguments: list[str] | None = None) -> int:
    """Print a table for each network."""
    parser = options_of(__doc__)
    options = parsed(parser, arguments)
    if torch is None:
        parser.error("this needs PyTorch and safetensors: pip install torch safetensors")
    for make in (image_net, text_net):
        columns = []
        for dtype in DTYPES:
            pair = sides(make, dtype, options.device, options.seed)
            rows = {name: f"{value:.1e}" for name, value in compare(*pair).items()}
            columns.append({**rows, "back by a file": way_back(*pair)})
        print(f"{make.__name__ + ', largest difference':<34}" + "".join(f"{d:>12}" for d in DTYPES))
        for name in columns[0]:
            print(f"  {name:<32}" + "".join(f"{column[name]:>12}" for column in columns))
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
