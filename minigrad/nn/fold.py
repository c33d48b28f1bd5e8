"""BatchNorm merged into the layer before it, for inference."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import ShapeError
from ..modes import no_grad
from ..tensor import Tensor
from . import functional as F
from . import walk
from .batch_norm import BatchNorm
from .fold_order import Run, Sequentials, UnfoldableError, as_written, channel_ranks, hooked
from .linear import Linear
from .module import Module
from .norm_base import RunningNorm, check_model
from .parameter import Parameter
from .shape import Identity

Model = TypeVar("Model", bound=Module)


@dataclass(frozen=True)
class Folding:
    """What `fold_batch_norm` did; its text says it.

    `folded` are the names (layer, norm) of each pair, `left` why each other norm was left.
    """

    folded: tuple[tuple[str, str], ...]
    left: dict[str, str]

    def __repr__(self) -> str:
        if not self.folded and not self.left:
            return "nothing to fold: the model has no BatchNorm"
        lines = [f"{len(self.folded)} of {len(self.folded) + len(self.left)} norms folded"]
        lines += [f"  {norm} into {layer}" for layer, norm in self.folded]
        for why in dict.fromkeys(self.left.values()):
            names = [name or "the model" for name, reason in self.left.items() if reason == why]
            lines.append(f"  not {', '.join(names)}: {why}")
        return "\n".join(lines)


class Folded(Identity):
    """Where a norm was that is folded into the layer before it: x itself, or max(x, 0).

    An input of another rank than the fold is right for raises a ShapeError.
    """

    def __init__(self, norm: Any, ranks: tuple[int, ...]) -> None:
        self.norm = f"{type(norm).__name__}({norm.num_features})"
        self.num_features, self.eps, self.momentum = norm.num_features, norm.eps, norm.momentum
        self.affine, self.track_running_stats = norm.affine, norm.track_running_stats
        self.ranks, self.relu = ranks, getattr(norm, "relu", False)
        self.training, self.frozen = norm.training, norm.frozen

    def forward(self, x: Tensor) -> Tensor:
        """x, or its positive part."""
        if x.ndim not in self.ranks:
            raise ShapeError(
                f"{self.norm} was folded for inputs of {self.ranks[-1]} axes and got x of shape "
                f"{x.shape}, whose channels are elsewhere: fold the model anew with such an "
                "example, nn.fold_batch_norm(model, x)"
            )
        return F.relu(x) if self.relu else x

    def extra_repr(self) -> str:
        """What it was."""
        return self.norm + ", relu=True" * self.relu


def fold_batch_norm(model: Model, *inputs: Any) -> Model:
    """A copy of the model in which each BatchNorm is part of the layer before it.

    In evaluation BatchNorm multiplies each channel by s = weight / √(running_var + eps), so that

        BatchNorm(W x + b) = (s W) x + (s (b - running_mean) + bias)

    is one Linear, Conv1d, Conv2d or ConvTranspose2d: the same outputs to rounding, in less time.
    In place of the norm stands an `nn.Identity` (which takes the positive part, if the norm had
    relu=True), so all other names stay as they are.  InstanceNorm with running statistics is
    folded alike.  (Jacob et al., 2018, arXiv 1712.05877, section 3.2.)

    What comes before a norm is certain in a `Sequential`, which is taken to be called as a whole.
    Elsewhere only a run shows it: with an example input, a copy of the model runs once, and a norm
    is folded if it takes a layer's output itself and nobody else does.  The result holds for inputs
    that take the same way through the model, and for a model that does not look at the types or
    parameters of its modules.  What is shared with another place, has forward hooks, or has a
    `forward` of its own is left.

    The copy is for evaluation: trained, it is a model without BatchNorm.  BatchNorm1d is folded
    into a Linear for (N, C) and into a Conv1d for (N, C, L); the copy refuses inputs of another
    rank.

    Args:
        model: a model in evaluation mode; it is left as it is.
        inputs: an example of the model's inputs, for norms that are not in a Sequential.

    Returns:
        A new model without gradients, whose attribute `folding` says what was folded, and what was
        not, and why: `print(folded.folding)`.  What was not folded is there as before.

    Raises:
        ValueError: the model or one of its norms is in training mode, or keeps no statistics; or
            the model has an attribute `folding` of its own.

    Warns:
        UserWarning: with the text of `folding`, if a norm could not be folded, or there is none.
    """
    check_model("fold_batch_norm", model)
    norms = {name: module for name, module in model.named_modules() if _is_norm(module)}
    _check(model, norms)
    order = Run(model, inputs) if inputs else Sequentials(model)
    folding, replaced = _folded(model, norms, order)
    new = copy.deepcopy(model, replaced)  # an object in `replaced`, by id, is not copied anew
    new.zero_grad()
    new.folding = folding
    if folding.left or not folding.folded:
        warnings.warn(str(folding), stacklevel=2)
    return new


def _is_norm(module: Module) -> bool:
    """Whether it is to be folded: every BatchNorm, and any other norm that keeps statistics."""
    return isinstance(module, BatchNorm) or (
        isinstance(module, RunningNorm) and module.track_running_stats
    )


def _check(model: Module, norms: dict[str, Any]) -> None:
    """The model is in evaluation mode, has statistics, and no attribute `folding` of its own.

    Raises:
        ValueError: it is not so.
    """
    for name, module in {"": model, **norms}.items():
        if module.training:
            raise ValueError(
                f"fold_batch_norm: {_title(name, module)} is in training mode, in which a batch's "
                "own statistics normalise: call model.eval() first"
            )
    for name, norm in norms.items():
        if not norm.track_running_stats:
            raise ValueError(
                f"fold_batch_norm: {_title(name, norm)} has no running statistics, so there is "
                "nothing fixed to fold: make it with track_running_stats=True, train it, and call "
                "model.eval()"
            )
    if not isinstance(getattr(model, "folding", Folding((), {})), Folding):
        raise ValueError(
            f"fold_batch_norm says what it did in an attribute `folding`, which the "
            f"{type(model).__name__} has for something else: rename that"
        )


def _title(name: str, module: Module) -> str:
    kind = type(module).__name__
    return f"{name!r}, a {kind}," if name else f"the {kind}"


def _folded(
    model: Module, norms: dict[str, Any], order: Run | Sequentials
) -> tuple[Folding, dict[int, Any]]:
    """The report, and by id what takes the places of layers and norms in the copy."""
    modules: dict[str, Any] = dict(model.named_modules())
    owned = (p for module in modules.values() for _, p in walk.state(module, recurse=False))
    owners = Counter(map(id, owned))
    pairs, left, replaced = [], {}, {}
    for name, norm in norms.items():
        try:
            before = order.before(name)
            layer = modules[before]
            _check_pair(layer, norm, owners)
            new = _merged(layer, norm)
        except UnfoldableError as why:
            left[name] = str(why)
            continue
        pairs.append((before, name))
        replaced[id(layer)] = new
        replaced[id(norm)] = Folded(norm, channel_ranks(layer, norm))
    return Folding(tuple(pairs), left), replaced


def _check_pair(layer: Any, norm: Any, owners: Counter[int]) -> None:
    """The norm can be folded into the layer; `owners` counts the modules of a parameter, by id.

    Raises:
        UnfoldableError: it cannot.
    """
    kind = type(layer).__name__
    for module in (layer, norm):
        name = type(module).__name__
        if hooked(module):
            raise UnfoldableError(f"the {name} has forward hooks, which would see other values")
        if not as_written(module):
            raise UnfoldableError(f"the {name} has a forward of its own")
    if any(owners[id(p)] > 1 for p in (layer.weight, layer.bias)):
        raise UnfoldableError(f"the {kind} before it shares its weight or bias with another module")
    outputs = layer.out_features if isinstance(layer, Linear) else layer.out_channels
    if outputs != norm.num_features or not channel_ranks(layer, norm):
        raise UnfoldableError(
            f"before it comes a {kind}, whose {outputs} outputs are not its channels"
        )
    regular = norm.running_mean.isfinite() & (norm.running_var.double() + norm.eps > 0)
    if not regular.all():
        raise UnfoldableError(
            "its running mean is not finite, or its running variance plus eps not positive"
        )


# ---- weights -------------------------------------------------------------------------------------


@no_grad
def _merged(layer: Any, norm: Any) -> Any:
    """A copy of the layer with weight s W and bias s (b - mean) + β.

    They are computed in float64 and rounded once.

    Raises:
        UnfoldableError: the layer's dtype cannot hold them.
    """
    s = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        s = s * norm.weight.double()
    b = -norm.running_mean.double()
    if layer.bias is not None:
        b = b + layer.bias.double()
    b = s * b
    if norm.bias is not None:
        b = b + norm.bias.double()
    w, dtype = _scaled(layer, s), layer.weight.dtype
    largest = float(np.finfo(dtype).max)
    if not all(t.abs().amax().item() <= largest for t in (w, b)):  # NaN is not either
        raise UnfoldableError(
            f"with it the {type(layer).__name__} before it would not be finite in {dtype}"
        )
    new, learns = copy.deepcopy(layer), layer.weight.requires_grad
    new.weight = Parameter(w, requires_grad=learns, dtype=dtype)
    new.bias = Parameter(b, requires_grad=learns, dtype=dtype)
    return new


def _scaled(layer: Any, s: Tensor) -> Tensor:
    """The weight with s of each output channel."""
    w = layer.weight.double()
    if not getattr(layer, "transposed", False):
        return w * s.reshape(-1, *[1] * (w.ndim - 1))
    # (in, out / groups, …): the inputs of a group meet the outputs of that group only
    groups = w.reshape(layer.groups, -1, *w.shape[1:])
    return (groups * s.reshape(layer.groups, 1, -1, *[1] * (w.ndim - 2))).reshape(w.shape)
