"""A module as text and as HTML: its tree, modes and shapes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from . import walk

if TYPE_CHECKING:
    from .module import Module

OPEN = 2  # how many levels of a tree in HTML are open before the first click


def text(module: Module, mode_above: str = "") -> str:
    """The tree of modules; what stands after # is its mode, where it differs, and shapes."""
    mode = _mode(module)
    note = _note(module, mode_above)
    lines = [
        f"({name}): " + text(child, mode).replace("\n", "\n  ")
        for name, child in module.named_children()
    ]
    head = f"{type(module).__name__}({module.extra_repr()}"
    return "\n  ".join([head + note, *lines]) + "\n)" if lines else f"{head}){note}"


def _mode(module: Module) -> str:
    return "frozen" if module.frozen else "training" if module.training else "evaluation"


def _note(module: Module, mode_above: str) -> str:
    """The mode, if it is not that of the module around, and the shapes of what it owns itself."""
    mode = _mode(module)
    notes = [mode] * (mode != mode_above)
    notes += [f"{name} {value.shape}" for name, value in walk.state(module, recurse=False)]
    return f"  # {', '.join(notes)}" if notes else ""


def html(module: Module) -> str:
    """The same tree for a notebook: what has modules in it opens and closes by a click."""
    count = sum(parameter.size for parameter in module.parameters())
    return (
        f'<div style="font-family:monospace;color:inherit">{_branch("", module, "", 0)}'
        f'<div style="opacity:0.75">{count:,} parameters</div></div>'
    )


def _branch(name: str, module: Module, mode_above: str, depth: int) -> str:
    head = f"{type(module).__name__}({module.extra_repr()}){_note(module, mode_above)}"
    line = escape(f"({name}): {head}" if name else head)
    inner = [
        _branch(each, child, _mode(module), depth + 1) for each, child in module.named_children()
    ]
    indent = ' style="margin-left:1.5em"' if depth else ""
    if not inner:
        return f"<div{indent}>{line}</div>"
    is_open = " open" if depth < OPEN else ""
    return f"<details{indent}{is_open}><summary>{line}</summary>{''.join(inner)}</details>"
