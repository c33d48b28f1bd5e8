"""Nested structures: tuples, lists and dicts, with anything else as their leaves.

A dict of parameters is an argument like any tensor; a named tuple stays one, a dict's subclass
becomes a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .errors import ShapeError


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with f of each leaf."""
    if isinstance(tree, dict):
        return {key: mapped(f, branch) for key, branch in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(mapped(f, branch) for branch in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(f, branch) for branch in tree)
    return f(tree)


def leaves(tree: Any) -> list[Any]:
    """The leaves from left to right."""
    found: list[Any] = []
    mapped(found.append, tree)
    return found


def filled(tree: Any, new: Iterable[Any]) -> Any:
    """The same structure with other leaves."""
    following = iter(new)
    return mapped(lambda _: next(following), tree)


def leaves_like(wanted: Any, given: Any, what: str) -> list[Any]:
    """The leaves of `given` in the order of `wanted`, whose structure it must have.

    Raises:
        ShapeError: it has another; `what` says what was given.
    """
    if isinstance(wanted, dict):
        if not isinstance(given, dict) or given.keys() != wanted.keys():
            raise ShapeError(f"{what} is {_shown(given)}, which must be {_shown(wanted)}")
        pairs = [(branch, given[key]) for key, branch in wanted.items()]
    elif isinstance(wanted, tuple | list):
        if not isinstance(given, tuple | list) or len(given) != len(wanted):
            raise ShapeError(f"{what} is {_shown(given)}, which must be {_shown(wanted)}")
        pairs = list(zip(wanted, given, strict=True))
    else:
        return [given]
    return [leaf for pair in pairs for leaf in leaves_like(*pair, what)]


def _shown(tree: Any) -> str:
    """The outermost structure, for errors."""
    if isinstance(tree, dict):
        return f"a dict with the keys {list(tree)}"
    if isinstance(tree, tuple | list):
        return f"a {type(tree).__name__} of length {len(tree)}"
    return f"a {type(tree).__name__}"
