"""Which parameters a weight decay is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..nn.module import Module

# LayerNorm, BatchNorm2d, and whatever is derived from one
_NORM = re.compile(r"Norm(\dd)?$")


def no_decay_groups(model: Module, weight_decay: float | None = None) -> list[dict[str, Any]]:
    """Two groups for an optimiser: the weights, which decay, and the rest, which does not.

    Biases, single numbers and the weights of normalisation layers are left alone: these have at
    most one axis, or belong to a module whose class (or a base of it) is named ...Norm.  Decay
    of such a weight only changes its scale, which the layer after it makes up for (van Laarhoven,
    2017, arXiv 1706.05350).

        optim.AdamW(optim.no_decay_groups(model), lr=1e-3, weight_decay=0.05)

    Args:
        model: each parameter is in one group, once, as in `model.parameters()`: frozen ones
            too, which an optimiser passes over until they are unfrozen.
        weight_decay: of the first group; by default the optimiser's own.

    Returns:
        [{"params": weights}, {"params": the rest, "weight_decay": 0.0}]; a list of parameters
        may be empty.
    """
    if not hasattr(model, "named_parameters"):
        raise TypeError(
            f"no_decay_groups got a {type(model).__name__}: give the model itself, not its "
            "parameters"
        )
    norms = [each for each in model.modules() if _is_norm(each)]
    spared = {id(p) for norm in norms for name, p in norm.named_parameters() if "." not in name}
    params = list(model.parameters())
    rest = [p for p in params if p.ndim <= 1 or id(p) in spared]
    known = {id(p) for p in rest}
    weights: dict[str, Any] = {"params": [p for p in params if id(p) not in known]}
    if weight_decay is not None:
        weights["weight_decay"] = weight_decay
    return [weights, {"params": rest, "weight_decay": 0.0}]


def _is_norm(module: Module) -> bool:
    return any(_NORM.search(kind.__name__) for kind in type(module).__mro__)
