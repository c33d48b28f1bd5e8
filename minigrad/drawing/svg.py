"""A layout as SVG: no script, no style sheet and no name, so that a page may hold several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from .boxes import Box
from .layout import BORDER, CHARACTER, LINE, Layout, Line, Rectangle, laid_out, width_of
from .vertices import Vertex

FACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
INK, PALE = "#1a1a1a", "#6b6b6b"
ARROW = 6.0  # the length of an arrowhead
# fill, border, its width, its dashes, the corners' radius: each kind differs from the others
# in lightness or in its border too, for whoever prints in grey
LOOKS = {
    "leaf": ("#ffffff", "#1f5fa8", 1.2, "5 3", 0),
    "parameter": ("#cfe2f5", "#1f5fa8", 1.2, "", 0),
    "op": ("#f4f4f4", "#6b6b6b", 1.0, "", 11),
    "fused": ("#f5a742", "#8a4b00", 2.2, "", 11),
    "freed": ("#ffffff", "#9a9a9a", 1.0, "2 3", 11),
    "module": ("#cdb9dd", "#5b3a78", 2.2, "", 4),
}
RESULT = 3.4  # the width of the border of what was asked for
HEAD = 30.0  # the height of a title
SHADES = ("#fbfaf6", "#f1eee4")  # of boxes, in turn


class Picture:
    """The parts of an SVG image, and its size in pixels."""

    def __init__(self, parts: list[str], width: float, height: float) -> None:
        self.parts, self.width, self.height = parts, width, height

    @property
    def text(self) -> str:
        """The whole image; its ground is light, also on a dark page."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}"'
        view = f'viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="{FACE}" '
            f'font-size="12" fill="{INK}">'
        )
        ground = f'<rect width="{self.width:.0f}" height="{self.height:.0f}" fill="#ffffff"/>'
        return "\n".join([head, ground, *self.parts, "</svg>"]) + "\n"


def picture(root: Box, title: str, foot: Sequence[str]) -> Picture:
    """The graph with a title above, and below it what the kinds look like, and some lines.

    Args:
        root: what is drawn.
        title: one line; empty for none.
        foot: lines.
    """
    found = laid_out(root)
    kinds = [kind for kind in LOOKS if any(v.kind == kind for v in found.vertices)]
    head = HEAD if title else 0.0
    widths = [found.width, CHARACTER * 1.25 * len(title), width_of(foot), _legend_width(kinds)]
    width = max(widths[0], max(widths[1:]) + 2 * BORDER)
    shift = (width - found.width) / 2
    parts = [_text(title, width / 2, 22.0, 'font-size="15" font-weight="bold"')] if title else []
    parts += [f'<g transform="translate({shift:.1f} {head:.1f})">', *_graph(found), "</g>"]
    y = head + found.height + LINE
    parts += [*_legend(kinds, y), *_lines(foot, y + 2 * LINE)]
    return Picture(parts, width, y + LINE * (len(foot) + 2))


def beside(pictures: Sequence[Picture]) -> Picture:
    """Pictures in a row, their upper edges level."""
    parts, x = [], 0.0
    for each in pictures:
        parts += [f'<g transform="translate({x:.1f} 0)">', *each.parts, "</g>"]
        x += each.width + 2 * BORDER
    return Picture(parts, x - 2 * BORDER, max(each.height for each in pictures))


def _graph(found: Layout) -> list[str]:
    """Boxes behind lines behind vertices."""
    parts = [_box(box, r, found) for box, r in found.boxes.items()]
    parts += [f'<g fill="none" stroke="{PALE}">', *map(_line, found.lines), "</g>"]
    heads = "".join(_head(line) for line in found.lines if line.arrives)
    parts.append(f'<path d="{heads}" fill="{PALE}"/>' if heads else "")
    parts += [_label(box, r) for box, r in found.boxes.items()]
    return [*filter(None, parts), *(_vertex(v, r) for v, r in found.vertices.items())]


def _box(box: Box, r: Rectangle, found: Layout) -> str:
    around = sum(_contains(other, r) for other in found.boxes.values())
    return (
        f'<rect {_size(r)} rx="6" fill="{SHADES[around % 2]}" stroke="#b5ad99" '
        f'class="box"><title>{legal(box.label)}</title></rect>'
    )


def _contains(outer: Rectangle, r: Rectangle) -> bool:
    across = outer.x <= r.x and r.x + r.width <= outer.x + outer.width
    return across and outer.y <= r.y and r.y + r.height <= outer.y + outer.height


def _label(box: Box, r: Rectangle) -> str:
    """A box's name, over the lines that pass there."""
    x, y, width = r.x + 6, r.y + 3, width_of([box.label]) + 8
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="16" rx="3" fill="#ffffff" '
        f'fill-opacity="0.8"/><text x="{x + 4:.1f}" y="{y + 12:.1f}" font-style="italic">'
        f"{legal(box.label)}</text>"
    )


def _line(line: Line) -> str:
    middle = (line.bend0 + line.bend1) / 2
    end = line.y1 - (ARROW if line.arrives else 0.0)
    bend1 = min(line.bend1, end)
    curve = f"C{line.x0:.1f} {middle:.1f} {line.x1:.1f} {middle:.1f} {line.x1:.1f} {bend1:.1f}"
    return f'<path d="M{line.x0:.1f} {line.y0:.1f}V{line.bend0:.1f}{curve}V{end:.1f}"/>'


def _head(line: Line) -> str:
    x, y = line.x1, line.y1
    return f"M{x:.1f} {y:.1f}l-3.5 -{ARROW:g}h7z"


def _vertex(v: Vertex, r: Rectangle) -> str:
    """A vertex with its label, and with notes for the mouse."""
    middle = r.x + r.width / 2
    first = r.y + 5.0 + LINE * 0.78
    lines = [
        _text(line, middle, first + i * LINE, 'font-weight="bold"' if i == 0 else f'fill="{INK}"')
        for i, line in enumerate(v.lines)
    ]
    head = f"{v.name}: {' '.join(map(str, v.shapes))} {v.dtype}"
    title = legal("\n".join([head, *v.notes]))
    shape = _shape(v.kind, r, v.is_result)
    return f'<g class="vertex {v.kind}"><title>{title}</title>{shape}{"".join(lines)}</g>'


def _shape(kind: str, r: Rectangle, is_result: bool = False) -> str:
    fill, border, width, dashes, radius = LOOKS[kind]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    width = RESULT if is_result else width
    return (
        f'<rect {_size(r)} rx="{radius}" fill="{fill}" stroke="{border}" '
        f'stroke-width="{width}"{dashed}/>'
    )


def _size(r: Rectangle) -> str:
    return f'x="{r.x:.1f}" y="{r.y:.1f}" width="{r.width:.1f}" height="{r.height:.1f}"'


def legal(text: str) -> str:
    """A text in XML, which has no control characters."""
    return escape(re.sub(r"[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))


def _text(text: str, x: float, y: float, look: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" {look}>{legal(text)}</text>'


# ---- below the graph -----------------------------------------------------------------------------


def _legend_width(kinds: Sequence[str]) -> float:
    return sum(30.0 + CHARACTER * (len(kind) + 2) for kind in kinds)


def _legend(kinds: Sequence[str], y: float) -> list[str]:
    """A sample of each kind."""
    parts, x = [], BORDER
    for kind in kinds:
        parts.append(_shape(kind, Rectangle(x, y, 24.0, 14.0)))
        parts.append(f'<text x="{x + 30:.1f}" y="{y + 11:.1f}">{kind}</text>')
        x += _legend_width([kind])
    return parts


def _lines(lines: Iterable[str], y: float) -> list[str]:
    return [
        f'<text x="{BORDER}" y="{y + i * LINE:.1f}">{legal(line)}</text>'
        for i, line in enumerate(lines)
    ]
