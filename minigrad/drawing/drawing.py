"""A drawing: what `mg.draw` returns."""

from __future__ import annotations

import os
from collections import Counter
from functools import cached_property
from pathlib import Path

from ..nn.summary import size_text
from .boxes import Box
from .dot import dot
from .svg import Picture, beside, picture
from .vertices import Vertex, counted


class Drawing:
    """A picture of a graph; it keeps nothing of the graph alive.

    The last line of a notebook's cell shows it.  Text is laid out when it is first asked for.

    Attributes:
        root: the vertices in their boxes.
        title: what stands above.
        remarks: lines that stand below.
    """

    def __init__(self, root: Box, title: str, remarks: list[str]) -> None:
        self.root, self.title, self.remarks = root, title, remarks

    @property
    def vertices(self) -> list[Vertex]:
        """All vertices, each after those that it was computed from."""
        return list(self.root.vertices())

    @cached_property
    def picture(self) -> Picture:
        """The image's parts."""
        kept = f"{size_text(self.kept)} kept for backward"
        return picture(self.root, self.title, [self._counts(), kept, *self.remarks])

    def _repr_svg_(self) -> str:
        return self.picture.text

    def to_svg(self) -> str:
        """The picture as an SVG document."""
        return self.picture.text

    def to_dot(self) -> str:
        """The graph in Graphviz's language, modules as clusters."""
        return dot(self.root, self.title)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, which browsers, editors and web pages show.

        Args:
            path: it ends in .svg.

        Raises:
            ValueError: another ending.
            OSError: the file cannot be written.
        """
        save(self.to_svg(), path)

    def beside(self, *others: Drawing) -> SideBySide:
        """The drawing and others in one picture, from left to right."""
        return SideBySide([self, *others])

    def _counts(self) -> str:
        numbers = Counter(v.kind for v in self.root.vertices())
        fused = numbers["fused"]
        ops = fused + numbers["op"]
        parts = [counted(ops, "op") + (f" ({fused} fused)" if fused else "")] if ops else []
        order = ("freed", "module", "parameter", "leaf")
        parts += [counted(numbers[kind], kind) for kind in order if numbers[kind]]
        *first, last = parts
        return f"{', '.join(first)} and {last}" if first else last

    @property
    def kept(self) -> int:
        """Bytes that the graph keeps alive for its backward, beside leaves and buffers."""
        return sum(v.kept for v in self.root.vertices())

    def __repr__(self) -> str:
        kept = f"{size_text(self.kept)} kept for backward"
        return f'<drawing of {self._counts()}; {kept}; .save("graph.svg") writes it>'


class SideBySide:
    """Drawings in one picture: `a.beside(b)`."""

    def __init__(self, drawings: list[Drawing]) -> None:
        for each in drawings:
            if not isinstance(each, Drawing):
                raise TypeError(f"beside got a {type(each).__name__}: give drawings, mg.draw(y)")
        self.drawings = drawings

    def to_svg(self) -> str:
        """The picture as an SVG document."""
        return beside([each.picture for each in self.drawings]).text

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file; see `Drawing.save`."""
        save(self.to_svg(), path)

    def __repr__(self) -> str:
        return f"<{len(self.drawings)} drawings side by side: {self.drawings}>"


def save(text: str, path: str | os.PathLike[str]) -> None:
    """Write an SVG document to a file whose name says so."""
    file = Path(path)
    if file.suffix.lower() != ".svg":
        raise ValueError(
            f"draw writes SVG, and was given the file name {file.name!r}: write "
            f'.save("{file.stem or "graph"}.svg"), which a browser shows and can print as PDF; '
            ".to_dot() is text for Graphviz, which makes other kinds"
        )
    file.write_text(text, encoding="utf-8")
