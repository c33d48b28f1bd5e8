"""What `mg.draw` is given: each refusal says what to type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..dtypes import is_whole
from ..errors import GraphError
from ..nn.module import Module
from ..tensor import Tensor


def is_function(given: Any) -> bool:
    """Whether a tensor is to be computed first."""
    return callable(given) and not isinstance(given, Tensor)


def options(tensor: Any, model: Any, depth: Any, limit: Any) -> None:
    """Raise unless the arguments are of the right kinds."""
    if isinstance(tensor, Module):
        name = type(tensor).__name__
        raise TypeError(
            f"draw got a module, {name}: give what it computes, and then the module: "
            "mg.draw(model(x), model)"
        )
    if model is not None and not isinstance(model, Module):
        raise TypeError(
            f"draw got model={type(model).__name__}: give a module, or leave it out; several "
            "tensors stand in a list, mg.draw([a, b])"
        )
    for what, value, least in (("depth", depth, 0), ("limit", limit, 1)):
        if not (what == "depth" and value is None) and not (is_whole(value) and value >= least):
            raise ValueError(f"draw got {what}={value!r}: give {least} or more")
    if depth is not None and model is None:
        raise ValueError(
            f"draw got depth={depth} without a model, whose modules it counts: "
            "mg.draw(y, model, depth=1)"
        )


def results(given: Any) -> list[Tensor]:
    """The tensors to draw, each with a graph."""
    tensors = list(given) if isinstance(given, tuple | list) else [given]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(
                f"draw got a {type(t).__name__}: give a tensor that was computed from others, or a "
                "function that computes it: mg.draw(lambda: model(x), model)"
            )
        if t.node is None:
            raise GraphError(
                f"draw got a constant of shape {t.shape}, which has no graph: nothing that it was "
                "computed from requires grad, or no_grad() was on. Make a leaf, "
                "mg.tensor(..., requires_grad=True), or use a model's parameters"
            )
    if not tensors:
        raise ValueError("draw got no tensor: give at least one")
    return tensors


def names_by_id(names: Mapping[str, Any] | None) -> dict[int, str]:
    """The names of leaves by the id of their tensor."""
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise TypeError(f"draw got names={names!r}: give a dict, such as names={{'x': x}}")
    for name, t in names.items():
        if not isinstance(t, Tensor) or not t.is_leaf or t.node is None:
            raise GraphError(
                f"draw got a name, {name!r}, for what is no leaf: name tensors that were made with "
                "requires_grad=True"
            )
    return {id(t): str(name) for name, t in names.items()}


def few_enough(count: int, limit: int, collapsed: bool) -> None:
    """Raise if there is more to draw than anybody reads; `collapsed` if modules are one vertex."""
    if count <= limit:
        return
    ways = [
        "modules as one vertex each, mg.draw(lambda: model(x), model, depth=1)",
        "fewer steps or layers, whose graph looks alike",
        f"or all, mg.draw(..., limit={count})",
    ]
    raise ValueError(
        f"this graph has {count:,} vertices, and draw stops at limit={limit:,}: draw "
        + "; ".join(ways[collapsed:])
    )
