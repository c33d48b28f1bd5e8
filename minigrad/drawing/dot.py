"""The graph as text for Graphviz, which some programs and editors show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .boxes import Box
from .svg import LOOKS
from .vertices import Vertex


def dot(root: Box, title: str) -> str:
    """A directed graph in Graphviz's language, modules as clusters."""
    vertices = list(root.vertices())
    numbers = {v: i for i, v in enumerate(vertices)}
    lines = ["digraph minigrad {", '  node [fontname="monospace" fontsize=10 shape=box];']
    lines += [f"  label={_quoted(title)};"] * bool(title)
    lines += _inside(root, numbers, {box: i for i, box in enumerate(root.boxes())}, "  ")
    lines += [f"  n{numbers[parent]} -> n{numbers[v]};" for v in vertices for parent in v.parents]
    return "\n".join([*lines, "}"]) + "\n"


def _inside(
    box: Box, numbers: Mapping[Vertex, int], clusters: Mapping[Box, int], indent: str
) -> Iterator[str]:
    """The vertices of a box, and the boxes in it."""
    for item in box.items:
        if isinstance(item, Vertex):
            yield f"{indent}n{numbers[item]} [{_look(item)}];"
        else:
            yield f"{indent}subgraph cluster_{clusters[item]} {{"
            yield f"{indent}  label={_quoted(item.label)};"
            yield from _inside(item, numbers, clusters, indent + "  ")
            yield f"{indent}}}"


def _look(v: Vertex) -> str:
    fill, border, width, dashes, radius = LOOKS[v.kind]
    styles = ["filled", *["rounded"] * bool(radius), *["dashed"] * bool(dashes)]
    looks = {
        "label": "\n".join(v.lines),
        "style": ",".join(styles),
        "fillcolor": fill,
        "color": border,
        "penwidth": f"{3.4 if v.is_result else width:g}",
    }
    return " ".join(f"{name}={_quoted(value)}" for name, value in looks.items())


def _quoted(text: str) -> str:
    """A string of Graphviz's."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
