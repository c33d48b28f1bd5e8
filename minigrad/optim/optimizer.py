"""What every optimiser shares: parameter groups, and steps in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import graph
from ..backend import Array
from ..errors import GraphError, ShapeError
from ..tensor import Tensor


class Optimizer:
    """Updates parameters from their gradients.  Subclasses define `update`.

    Args:
        params: tensors that require grad, or groups: dicts with "params" and options that
            differ from the defaults.
        defaults: the options of a group that does not say otherwise.

    Raises:
        ValueError: no parameters, a parameter twice, or an option out of range.
        TypeError: an unknown option, or something that is not a tensor.
        GraphError: a parameter that is the result of an op.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, Tensor):
            raise TypeError(
                f"{type(self).__name__} got one tensor: give a list, such as [w] or "
                "model.parameters()"
            )
        if not isinstance(params, Iterable):
            raise TypeError(
                f"{type(self).__name__} got a {type(params).__name__}: give its .parameters()"
            )
        given = list(params)
        if not given:
            raise ValueError(
                f"{type(self).__name__} got no parameters: model.parameters() may have been used "
                "up, or the model has none"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own."""
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise TypeError(
                f"{type(self).__name__} does not know {sorted(unknown)}; its options are "
                f"{sorted(self.defaults)}"
            )
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{type(self).__name__} got a {type(p).__name__} as a parameter: give tensors"
                )
            if not p.is_leaf:
                raise GraphError(
                    f"{type(self).__name__} got the result of an op, of shape {p.shape}, as a "
                    "parameter: give leaves, as model.parameters() does"
                )
            if id(p) in known:
                raise ValueError(
                    f"{type(self).__name__} got a parameter of shape {p.shape} twice: give each "
                    "once"
                )
            known.add(id(p))
        options = {**self.defaults, **group, "params": params}
        self.check(options)
        self.param_groups.append(options)

    def check(self, options: dict[str, Any]) -> None:
        """Raise ValueError if an option is out of range."""
        for name in ("lr", "weight_decay", "eps"):
            value = options.get(name, 0)
            if not isinstance(value, int | float):
                kind = type(value).__name__
                raise TypeError(f"{type(self).__name__} got {name} as a {kind}: give a number")
            if not value >= 0:
                raise ValueError(
                    f"{type(self).__name__} got {name}={options[name]}: it must be 0 or more"
                )

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """One update of every parameter that has a gradient, in place.

        Raises:
            ShapeError: a gradient does not fit its parameter; nothing has changed then.
        """
        ready = [(p, group) for group in self.param_groups for p in group["params"]]
        ready = [(p, group) for p, group in ready if p.grad is not None]
        for p, group in ready:
            self.check(group)
            if p.grad.shape != p.shape:
                raise ShapeError(f"a gradient of shape {p.grad.shape} for one of shape {p.shape}")
        for p, group in ready:
            self.update(p.array, p.grad.array, self.state.setdefault(p, {}), group)
            graph.wrote(p.array, f"{type(self).__name__}.step")

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """Change the array p by its gradient g; state is this parameter's own."""
        raise NotImplementedError
