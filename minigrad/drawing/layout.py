"""Where everything stands: each box is laid out by itself, then as one item of the box around it.

A line that enters or leaves a box has a place on its border, and is laid out in each box that it
passes through.  All lines of a vertex share one stem, so a parameter that is used a thousand times
costs a thousand bends, not half a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .boxes import Box
from .layers import Cell, Tie, arrange, tied
from .vertices import Vertex

CHARACTER = 7.3  # the width of one, at LINE's size in any monospaced face
LINE = 15.0  # the height of a line of text
BETWEEN = 24.0  # layers
BORDER = 10.0  # inside a box
TITLE = 20.0  # the height of a box's label


@dataclass(slots=True)
class Rectangle:
    """x and y of the upper left corner, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Line:
    """From (x0, y0) straight down to `bend0`, over to x1 at `bend1`, and straight down to y1."""

    x0: float
    y0: float
    bend0: float
    x1: float
    bend1: float
    y1: float
    arrives: bool  # at a vertex: it has an arrowhead


@dataclass
class Layout:
    """Where the vertices and boxes stand, and the lines between them."""

    width: float = 0.0
    height: float = 0.0
    vertices: dict[Vertex, Rectangle] = field(default_factory=dict)
    boxes: dict[Box, Rectangle] = field(default_factory=dict)  # the outer before the inner
    lines: list[Line] = field(default_factory=list)


def laid_out(root: Box) -> Layout:
    """The layout of a picture."""
    frame = _Frame(root, _nets(root))
    found = Layout(frame.width, frame.height)
    frame.put(found, 0.0, 0.0)
    del found.boxes[root]
    return found


# ---- what runs where -----------------------------------------------------------------------------


@dataclass(slots=True)
class Net:
    """The lines of one vertex inside one box: where they begin, and to which items they lead."""

    source: Vertex | Box | None = None  # None: they enter through the border
    targets: dict[Vertex | Box, None] = field(default_factory=dict)
    leaves: bool = False  # whether some go on outside


Nets = dict[Box, dict[Vertex, Net]]


def _nets(root: Box) -> Nets:
    """Every line, cut at the borders that it passes."""
    inside = dict(_places(root, ()))
    nets: Nets = {}
    for vertex, path in inside.items():
        for parent in vertex.parents:
            _run(nets, parent, inside[parent], vertex, path)
    return nets


def _places(box: Box, around: tuple[Box, ...]) -> Iterator[tuple[Vertex, tuple[Box, ...]]]:
    """Each vertex with the boxes around it, the outermost first."""
    around = (*around, box)
    for item in box.items:
        if isinstance(item, Box):
            yield from _places(item, around)
        else:
            yield item, around


def _run(
    nets: Nets, source: Vertex, out: tuple[Box, ...], target: Vertex, into: tuple[Box, ...]
) -> None:
    """Note a line from the source, in the boxes `out`, to the target, in the boxes `into`."""
    pairs = enumerate(zip(out, into, strict=False))
    both = next((i for i, (a, b) in pairs if a is not b), min(len(out), len(into)))
    starts: list[Vertex | Box] = [*out[1:], source]  # in the box out[i] it starts at starts[i]
    ends: list[Vertex | Box] = [*into[1:], target]

    def net(box: Box) -> Net:
        return nets.setdefault(box, {}).setdefault(source, Net())

    for box, item in zip(out[both:], starts[both:], strict=True):
        net(box).source, net(box).leaves = item, True
    net(out[both - 1]).source = starts[both - 1]
    for box, item in zip(into[both - 1 :], ends[both - 1 :], strict=True):
        net(box).targets[item] = None


# ---- a box, and what it contains -----------------------------------------------------------------


class _Frame:
    """A box laid out: cells at places that are counted from its own corner."""

    def __init__(self, box: Box, nets: Nets) -> None:
        self.box, self.nets = box, nets.get(box, {})
        self.frames: dict[Box, _Frame] = {
            item: _Frame(item, nets) for item in box.items if isinstance(item, Box)
        }
        self.cells: dict[Vertex | Box, Cell] = {item: self._cell(item) for item in box.items}
        self.entries = {v: Cell(0.0, 0.0) for v, net in self.nets.items() if net.source is None}
        self.exits = {v: Cell(0.0, 0.0) for v, net in self.nets.items() if net.leaves}
        self.edges: dict[int, tuple[float, float]] = {}  # upper and lower, of each layer
        self._set_layers()
        ends = (*self.entries.values(), *self.cells.values(), *self.exits.values())
        self.every = [*ends, *(bend for source in self.nets for bend in self._tie(source))]
        self.layers = arrange(self.every)
        self._measure()

    def _cell(self, item: Vertex | Box) -> Cell:
        """An item with its size."""
        if isinstance(item, Box):
            return Cell(self.frames[item].width, self.frames[item].height, item)
        lines = item.lines
        return Cell(width_of(lines) + 2 * BORDER, len(lines) * LINE + 10.0, item)

    def _set_layers(self) -> None:
        """Each item below all that lead to it, and as near as can be above what it leads to.

        Lines enter above the first layer, and leave below the last.
        """
        leads: dict[Vertex | Box, list[Cell]] = {item: [] for item in self.cells}
        for net in self.nets.values():
            if net.source is not None:
                leads[net.source] += [self.cells[target] for target in net.targets]
        for item, cell in self.cells.items():  # each comes after what it was computed from
            for target in leads[item]:
                target.layer = max(target.layer, cell.layer + 1)
        for item, cell in reversed(self.cells.items()):
            if leads[item]:
                cell.layer = min(target.layer for target in leads[item]) - 1
        layers = [cell.layer for cell in self.cells.values()]
        self.first, self.last = min(layers, default=0), max(layers, default=0)
        for layer, ports in ((self.first - 1, self.entries), (self.last + 1, self.exits)):
            for cell in ports.values():
                cell.layer = layer

    def _tie(self, source: Vertex) -> list[Cell]:
        """The lines of one vertex."""
        net = self.nets[source]
        begin = self.entries[source] if net.source is None else self.cells[net.source]
        targets = [(self.cells[item], self._border(item, source, True)) for item in net.targets]
        if net.leaves:
            targets.append((self.exits[source], 0.0))
        leaves = 0.0 if net.source is None else self._border(net.source, source, False)
        return tied(begin, targets, leaves)

    def _border(self, item: Vertex | Box, source: Vertex, above: bool) -> float:
        """Where a line meets an item, counted from its centre."""
        if isinstance(item, Vertex):
            return 0.0
        frame = self.frames[item]
        return (frame.entries if above else frame.exits)[source].x - frame.width / 2

    def _measure(self) -> None:
        """Give each cell its y, and the box its size, with the upper left corner at (0, 0)."""
        label = width_of([self.box.label])
        left = min((cell.x - cell.width / 2 for cell in self.every), default=0.0)
        right = max((cell.x + cell.width / 2 for cell in self.every), default=0.0)
        side = BORDER + max(0.0, label - (right - left)) / 2
        for cell in self.every:
            cell.x += side - left
        self.width = right - left + 2 * side
        y = BORDER + TITLE * bool(label)
        for layer in self.layers:
            height = max(cell.height for cell in layer)
            number = layer[0].layer
            if self.first <= number <= self.last:
                self.edges[number] = y, y + height
                y += height + BETWEEN
            for cell in layer:
                cell.y = y - BETWEEN - (height + cell.height) / 2
        self.height = y - BETWEEN + BORDER
        self.edges |= {self.first - 1: (0.0, 0.0), self.last + 1: (self.height, self.height)}

    def put(self, found: Layout, x: float, y: float) -> None:
        """Add all inside to a layout, with the corner at (x, y)."""
        found.boxes[self.box] = Rectangle(x, y, self.width, self.height)
        for cell in self.every:
            left, top = x + cell.x - cell.width / 2, y + cell.y
            if isinstance(cell.item, Box):
                self.frames[cell.item].put(found, left, top)
            elif cell.item is not None:
                found.vertices[cell.item] = Rectangle(left, top, cell.width, cell.height)
            found.lines += [self._line(tie, x, y) for tie in cell.below]

    def _line(self, tie: Tie, x: float, y: float) -> Line:
        upper, lower = tie.upper, tie.lower
        top, bend0 = self.edges[upper.layer]
        bend1, _ = self.edges[lower.layer]
        begin = top if upper.item is None else upper.y + upper.height
        end = bend1 if lower.item is None else lower.y
        arrives = isinstance(lower.item, Vertex)
        x0, x1 = x + upper.x + tie.leaves, x + lower.x + tie.enters
        return Line(x0, y + begin, y + bend0, x1, y + bend1, y + end, arrives)


def width_of(lines: Sequence[str]) -> float:
    """The width of the longest line."""
    return CHARACTER * max(map(len, lines), default=0)
