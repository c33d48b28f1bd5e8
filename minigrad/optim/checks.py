"""What may be given as parameters, and as an option of an optimiser or a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .. import dtypes
from ..dtypes import is_number, is_whole
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


def check_number(name: str, option: str, value: Any, highest: float = math.inf) -> None:
    """An option must be a number from 0 to the highest; `name` is who got it."""
    if not is_number(value):
        raise TypeError(f"{name} got {option} as a {type(value).__name__}: give a number")
    if not 0 <= value <= highest:
        wanted = "0 or more" if highest == math.inf else f"from 0 to {highest}"
        raise ValueError(f"{name} got {option}={value}: it must be {wanted}")


def check_whole(name: str, option: str, value: Any, lowest: int) -> None:
    """An option must be a whole number, from the lowest on."""
    if not is_whole(value):
        raise TypeError(f"{name} got {option} as a {type(value).__name__}: give a whole number")
    if value < lowest:
        raise ValueError(f"{name} got {option}={value}: it must be {lowest} or more")
