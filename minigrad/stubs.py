"""Writes the type stubs that the registry implies: `python -m minigrad.stubs`.

Ops become functions of `mg` and methods of Tensor when they are defined, which no type checker can
follow.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minigrad

from . import codegen
from .op import Op, registry
from .tensor import Tensor

FOLDER = Path(__file__).parent
HEAD = '"""Written by `python -m minigrad.stubs` from the registry of ops; do not edit."""\n'
_AXIS, _KEEP = "int | Sequence[int] | None", "bool"
STATIC_TYPES = {
    "axis": _AXIS,
    "dim": _AXIS,
    "keepdims": _KEEP,
    "keepdim": f"{_KEEP} | None",
    "shape": "int | Sequence[int]",
    "axes": "int | Sequence[int]",
    "correction": "float",
    "min": "float | None",
    "max": "float | None",
    "start_dim": "int",
    "end_dim": "int",
    **dict.fromkeys(("axis0", "axis1", "dim0", "dim1"), "int"),
    "dims": "Any",
}


def function_stub(op: Op) -> str:
    """An op as a function of `mg`."""
    parameters = _parameters(op, method=False)
    return f"def {op.name}({parameters}) -> {_op_result(op)}:\n{_quoted(op.doc, 4)}\n"


def method_stub(name: str, value: Any) -> str:
    """Something attached to Tensor: an op, an operator, a property."""
    if isinstance(value, property):
        return f"    @property\n    def {name}(self) -> Tensor: ...\n"
    op = getattr(value, "op", None)
    if isinstance(op, Op) and op.name == name:
        parameters = _parameters(op, method=True)
        return f"    def {name}({parameters}) -> {_op_result(op)}:\n{_quoted(op.doc, 8)}\n"
    ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
    return f"    def {name}({_plain_parameters(value)}) -> {_result(value)}: ...{ignore}\n"


def methods_text() -> str:
    """`_methods.pyi`: the class that Tensor has for a base when types are checked."""
    attached = {
        n: v for n, v in vars(Tensor).items() if _module(v) not in (None, "minigrad.tensor")
    }
    body = "".join(method_stub(name, attached[name]) for name in sorted(attached))
    return (
        HEAD
        + "from collections.abc import Sequence\nfrom typing import Any\n\nfrom .tensor import "
        "Tensor\n\nclass Methods:\n" + body
    )


def init_text() -> str:
    """`__init__.pyi`: what `__init__.py` imports, and the ops."""
    lines = [HEAD, "from collections.abc import Sequence", "from typing import Any", ""]
    for node in ast.parse((FOLDER / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names = [
                (a.name, a.asname or a.name)
                for a in node.names
                if not (a.asname or a.name).startswith("_")
            ]
            if names:
                lines.append(
                    f"from .{node.module or ''} import "
                    + ", ".join(f"{name} as {alias}" for name, alias in names)
                )
    rooms = ", ".join(f"{name} as {name}" for name in vars(minigrad)["_ROOMS"])
    lazy = [
        f"from .{room} import {name} as {name}" for name, room in vars(minigrad)["_LAZY"].items()
    ]
    lines += [f"from . import {rooms}", *lazy, "", "__version__: str", ""]
    return (
        "\n".join(lines)
        + "\n"
        + "\n".join(
            function_stub(registry[name]) for name in sorted(registry) if registry[name].method
        )
    )


def _op_result(op: Op) -> str:
    """What an op returns: a forward with several outputs says so in its annotation."""
    found = inspect.signature(op.forward).return_annotation
    return found.replace("Array", "Tensor") if "tuple" in str(found) else "Tensor"


def _parameters(op: Op, method: bool) -> str:
    parts, keyword_only = [], False
    for i, (name, default) in enumerate(codegen.parameters(op).items()):
        given = "" if default is codegen.REQUIRED else " = ..."
        if i == 0 and method:
            parts.append("self")
        elif name == op.star:
            parts.append(f"*{name}: {STATIC_TYPES.get(name, 'Any')}")
            keyword_only = True
        else:
            parts.append(
                f"{name}: {STATIC_TYPES.get(name, 'Any') if name in op.statics else 'Any'}{given}"
            )
    aliases = [alias for _, alias in codegen.aliased(op)]
    if aliases and not keyword_only:
        parts.append("*")
    return ", ".join(parts + [f"{name}: {STATIC_TYPES.get(name, 'Any')} = ..." for name in aliases])


def _plain_parameters(function: Callable[..., Any]) -> str:
    parts = []
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        kind = p.annotation if isinstance(p.annotation, str) else "Any"
        parts.append(
            "self"
            if i == 0
            else f"{star}{p.name}: {kind}" + ("" if p.default is p.empty else " = ...")
        )
    return ", ".join(parts)


def _result(function: Callable[..., Any]) -> str:
    found = inspect.signature(function).return_annotation
    return found if isinstance(found, str) and found != "Any" else "Tensor"


def _module(value: Any) -> str | None:
    return getattr(value.fget if isinstance(value, property) else value, "__module__", None)


def _quoted(doc: str, depth: int) -> str:
    text = doc.replace("\\", "\\\\")
    return textwrap.indent(f'"""{text}"""', " " * depth)


STUBS = {"_methods.pyi": methods_text, "__init__.pyi": init_text}


def text_of(file: str) -> str:
    """What a stub file should hold; builtin types are spelt out, for `float` is a name of ours."""
    builtin = re.sub(r"(?<=[:|] )(int|float|bool)(?=[ ,)=|])", r"builtins.\1", STUBS[file]())
    return builtin.replace("from collections.abc", "import builtins\nfrom collections.abc", 1)


if __name__ == "__main__":
    for file in STUBS:
        (FOLDER / file).write_text(text_of(file))
