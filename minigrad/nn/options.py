"""The options of a layer in its repr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


def unusual(module: Module, usual: Mapping[str, Any]) -> list[str]:
    """`name=value` of each option, kept as an attribute, that is not as usual."""
    values = {name: getattr(module, name, value) for name, value in usual.items()}
    return [f"{name}={value!r}" for name, value in values.items() if value != usual[name]]
