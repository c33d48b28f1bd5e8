"""What notebooks show: small tables in HTML, without scripts.

Colours are the page's own, and greys that let it shine through: so they are legible on light and
on dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from .tensor import Tensor, op_name

MOST_ROWS, MOST_COLUMNS = 10, 10  # of a tensor; what is between the first and the last is left out
CELL = (
    "border:1px solid rgba(128,128,128,0.4);padding:2px 8px;white-space:pre;color:inherit;"
    "background:transparent"
)
MONO = "font-family:monospace;color:inherit"
Cells = Sequence[str]


def table(head: Cells, rows: Iterable[Cells], left: int = 0) -> str:
    """A table of texts, which are escaped; the first `left` columns begin at the left."""
    parts = [f'<table style="border-collapse:collapse;{MONO}">']
    if head:
        parts.append(f"<thead>{_row('th', head, left)}</thead>")
    return "".join(
        [*parts, "<tbody>", *(_row("td", row, left) for row in rows), "</tbody></table>"]
    )


def _row(tag: str, cells: Cells, left: int) -> str:
    sides = ["left" if i < left else "right" for i in range(len(cells))]
    row = "".join(
        f'<{tag} style="{CELL};text-align:{side}">{escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{row}</tr>"


def note(text: str) -> str:
    """A pale line."""
    return f'<div style="{MONO};opacity:0.75">{escape(text)}</div>'


def tensor_html(t: Any) -> str:
    """A tensor: dtype, shape, place and origin, and below them its values.

    Vectors and matrices are tables; more axes are NumPy's text.  Values on another device are not
    shown, for to fetch them would wait for it.
    """
    head = note(_facts(t))
    if t.device != "cpu" or t.size == 0:
        return head
    values = t.numpy()
    if values.ndim == 0:
        return f'{head}<div style="{MONO}">{escape(_number(values[()]))}</div>'
    if values.ndim <= 2:
        return head + table((), _cells(values))
    text = np.array2string(values, separator=", ", threshold=200)
    return f'{head}<pre style="{MONO};background:transparent">{escape(text)}</pre>'


def _facts(t: Tensor) -> str:
    facts = [type(t).__name__, str(t.dtype), str(t.shape)]
    facts += [f"on {t.device}"] * (t.device != "cpu")
    if not t.is_leaf:
        facts.append(f"computed by {op_name(t)}")
    elif t.requires_grad:
        facts.append("requires grad")
    return " · ".join(facts)


def _cells(values: Any) -> list[list[str]]:
    """The numbers of a vector (one row) or a matrix; … stands for what is left out."""
    matrix = values.reshape(1, -1) if values.ndim == 1 else values
    found = []
    for i in _shown(matrix.shape[0], MOST_ROWS):
        columns = _shown(matrix.shape[1], MOST_COLUMNS)
        found.append(["…" if None in (i, j) else _number(matrix[i, j]) for j in columns])
    return found


def _shown(length: int, most: int) -> list[int | None]:
    """Which of so many are shown; None is where some are left out."""
    if length <= most:
        return list(range(length))
    half = most // 2
    return [*range(half), None, *range(length - half, length)]


def _number(value: Any) -> str:
    """Six digits; a tensor's text has eight."""
    return f"{value:.6g}" if value.dtype.kind == "f" else str(value)
