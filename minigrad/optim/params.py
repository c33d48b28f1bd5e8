"""What may be given as parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import dtypes
from ..errors import DTypeError, GraphError
from ..tensor import Tensor


def listed(name: str, params: Any) -> list[Any]:
    """Several parameters, or groups of them, as a list; `name` is who got them."""
    if hasattr(params, "parameters") or not isinstance(params, Iterable):
        raise TypeError(f"{name} got a {type(params).__name__}: give its .parameters()")
    if isinstance(params, Mapping):
        raise TypeError(
            f"{name} got a dict: give model.parameters(), or a list of groups, "
            '[{"params": ...}, ...]'
        )
    if isinstance(params, set | frozenset):
        raise TypeError(f"{name} got a set, whose order changes from run to run: give a list")
    found = list(params)
    if not found and not isinstance(params, list | tuple):
        raise ValueError(
            f"{name} got no parameters: model.parameters() may have been used up, or there are none"
        )
    return found


def check_tensor(name: str, p: Any) -> None:
    """A parameter must be a tensor."""
    if isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str):
        raise TypeError(
            f"{name} got a pair of the name {p[0]!r} and a tensor: give model.parameters(), not "
            "model.named_parameters()"
        )
    if not isinstance(p, Tensor):
        raise TypeError(
            f"{name} got a {type(p).__name__} as a parameter: give tensors, such as "
            "model.parameters()"
        )


def check_parameter(name: str, p: Any) -> None:
    """A parameter to be stepped must be a floating leaf."""
    check_tensor(name, p)
    if not p.is_leaf:
        raise GraphError(
            f"{name} got the result of an op, of shape {p.shape}, as a parameter: give leaves, "
            "as model.parameters() does"
        )
    if not dtypes.is_floating(p.dtype):
        raise DTypeError(
            f"{name} got a parameter of {p.dtype}, shape {p.shape}, which can have no gradient: "
            "convert it first, with .float()"
        )
