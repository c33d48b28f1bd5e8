"""A module as text: its tree, modes and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import walk

if TYPE_CHECKING:
    from .module import Module


def text(module: Module, mode_above: str = "") -> str:
    """The tree of modules; what stands after # is its mode, where it differs, and shapes."""
    mode = "frozen" if module.frozen else "training" if module.training else "evaluation"
    notes = [mode] * (mode != mode_above)
    notes += [f"{name} {value.shape}" for name, value in walk.state(module, recurse=False)]
    note = f"  # {', '.join(notes)}" if notes else ""
    lines = [
        f"({name}): " + text(child, mode).replace("\n", "\n  ")
        for name, child in module.named_children()
    ]
    head = f"{type(module).__name__}({module.extra_repr()}"
    return "\n  ".join([head + note, *lines]) + "\n)" if lines else f"{head}){note}"
