"""The reference page of the ops, written from the registry: `python -m minigrad.ops [NAME ...]`."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from .. import codegen
from ..op import Op, registry

HEAD = """\
# The ops

{count} ops, written from the registry by `python -m minigrad.ops`. {named} are functions of `mg`
and, but for those of a list of tensors, methods of Tensor; the others are what derivatives and
`minigrad.nn` are made of. In a rule, g is the cotangent of the output and y the output; every op
obeys the laws of `minigrad/laws`.
"""
DIFFERS = "Differs from PyTorch: "
EVERYWHERE = {  # what holds of many ops at once
    "ops with an axis": "a number has no axis (PyTorch takes 0 and -1 for one), and an empty tuple "
    "names none, as in NumPy (PyTorch reads it as all)",
    "ops of several tensors": "a tensor without axes widens others as any tensor does; Python's "
    "and NumPy's numbers do not",
    "ops on arrays": "given bare arrays, and no tensor, an op gives a bare array",
}


def book() -> str:
    """The whole page: every op by its file, then the table of differences from PyTorch."""
    ops = sorted(registry.values(), key=lambda op: (op.forward.__module__, not op.method, op.name))
    named = sum(op.method for op in ops)
    parts, room = [HEAD.format(count=len(ops), named=named)], ""
    for op in ops:
        if op.forward.__module__ != room:
            room = op.forward.__module__
            parts.append(f"## {room.removeprefix('minigrad.')}\n\n{_first_line(room)}\n")
        parts.append(page(op))
    return "\n".join([*parts, differences()])


def page(op: Op) -> str:
    """One op: how it is called, its docstring, its rules as they are written."""
    where = "mg." if op.method else f"{op.forward.__module__}."
    facts = ["shares memory with its input, read-only"] if op.view else []
    facts += [f"output {i} carries no gradient" for i in op.constant]
    if op.reference:
        facts.append(f"fused: {op.reference.__name__} says what it means")
    if not op.differentiable:
        facts.append("not differentiable")
    lines = [f"### {where}{op.name}({codegen.signature(op)})", "", *_prose(op.doc), ""]
    lines += [f"{'; '.join(facts).capitalize()}.", ""] if facts else []
    lines += ["```python", *rules_of(op), "```", ""] if op.differentiable else []
    return "\n".join(lines)


def differences() -> str:
    """The table of what PyTorch does otherwise, from the docstrings."""
    lines = ["## Where the ops differ from PyTorch's", "", "| op | difference |", "|---|---|"]
    lines += [f"| {many} | {text} |" for many, text in EVERYWHERE.items()]
    for name in sorted(registry):
        paragraphs = registry[name].doc.split("\n\n")
        found = [p for p in paragraphs if p.startswith(DIFFERS)]
        text = " ".join(" ".join(found).removeprefix(DIFFERS).split())
        lines += [f"| {name} | {text.replace('|', chr(92) + '|')} |"] * bool(found)
    return "\n".join([*lines, ""])


def rules_of(op: Op) -> list[str]:
    """The rules as source: `dx = ...` for each input, or the joint rule."""
    if op.joint is not None:
        if op.joint.__module__ == "minigrad.reference":
            return [f"differentiated through {op.reference.__name__}"] if op.reference else []
        return _source(op.joint)
    named = zip(op.inputs, op.rules, strict=True)
    return [line for name, rule in named if rule for line in _rule(name, rule)]


def _rule(name: str, rule: Callable[..., Any]) -> list[str]:
    if rule.__name__ != "<lambda>":
        return [f"d{name}: {rule.__name__}", *_source(rule)]
    return [f"d{name} = {_lambda_body(rule)}"]


def _source(function: Callable[..., Any]) -> list[str]:
    return textwrap.dedent(inspect.getsource(function)).rstrip().splitlines()


def _lambda_body(rule: Callable[..., Any]) -> str:
    """The expression of a lambda, which stands among others in its op's decorator.

    Instructions know the line and the column that they come from.
    """
    places = {(line, column) for line, _, column, _ in rule.__code__.co_positions()}
    text = inspect.getsource(inspect.getmodule(rule) or rule)
    lambdas = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    bodies = [node.body for node in lambdas if _starts(node.body) in places]
    return ast.unparse(bodies[0]) if bodies else "..."


def _starts(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _prose(doc: str) -> list[str]:
    """A docstring as Markdown: its examples in fences."""
    before, arrow, example = doc.partition(">>>")
    prose = before.rstrip().splitlines()
    return (
        [*prose, "", "```pycon", *(arrow + example).rstrip().splitlines(), "```"]
        if arrow
        else prose
    )


def _first_line(module: str) -> str:
    doc = inspect.getdoc(importlib.import_module(module)) or ""
    return doc.partition("\n")[0]
