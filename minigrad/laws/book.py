"""The book of laws: each is entered under its function's name."""

from __future__ import annotations

from collections.abc import Callable

from .sample import Sample

Law = Callable[[Sample], None]
LAWS: dict[str, Law] = {}


def law(function: Law) -> Law:
    """Enter a law."""
    LAWS[function.__name__] = function
    return function
