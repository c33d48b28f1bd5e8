"""Cells in layers: in which layer each stands, in which order, and where.

The method is Sugiyama's (Sugiyama, Tagawa and Toda, "Methods for visual understanding of
hierarchical system structures", 1981): layers by the longest way, order by barycentres.  Places
are those of least squares: each cell is drawn to its neighbours, none overlaps the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

ORDERINGS = 8  # passes over the layers, down and up in turn; more change little
PLACINGS = 12
SPACE = 16.0  # between cells of a layer
STRAIGHT = 16.0  # how much more a line's bends pull at each other: long lines are vertical
LOOSE = 0.01  # the pull of a cell without neighbours towards where it is


@dataclass(eq=False, slots=True)
class Cell:
    """What has a place in a layer: an item, or a bend of a line that passes (`item` is None).

    `x` is its centre, `y` its upper edge.
    """

    width: float
    height: float
    item: Any = None
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    above: list[Tie] = field(default_factory=list)
    below: list[Tie] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Tie:
    """A line from a cell to one of the next layer, with the places where it meets them.

    `leaves` and `enters` are counted from the centres of `upper` and `lower`.
    """

    upper: Cell
    lower: Cell
    leaves: float
    enters: float


def tied(source: Cell, targets: Iterable[tuple[Cell, float]], leaves: float) -> list[Cell]:
    """Lines from a cell to others in lower layers; they share one stem, whose bends are returned.

    Args:
        source: where the lines begin, `leaves` from its centre.
        targets: cells, each with the place where its line enters.
        leaves: see there.
    """
    stem: list[Cell] = []
    for target, enters in sorted(targets, key=lambda pair: pair[0].layer):
        while source.layer + len(stem) + 1 < target.layer:
            bend = Cell(0.0, 0.0, layer=source.layer + len(stem) + 1)
            _tie(stem[-1] if stem else source, bend, 0.0 if stem else leaves, 0.0)
            stem.append(bend)
        begin = target.layer - source.layer - 2
        upper = stem[begin] if begin >= 0 else source
        _tie(upper, target, 0.0 if begin >= 0 else leaves, enters)
    return stem


def _tie(upper: Cell, lower: Cell, leaves: float, enters: float) -> None:
    tie = Tie(upper, lower, leaves, enters)
    upper.below.append(tie)
    lower.above.append(tie)


def arrange(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Order the cells of each layer, and give each its x; the layers are returned."""
    by_layer: dict[int, list[Cell]] = {}
    for cell in cells:
        by_layer.setdefault(cell.layer, []).append(cell)
    layers = [by_layer[i] for i in sorted(by_layer)]
    for layer in layers:
        _pack(layer)
    for i in range(ORDERINGS):
        _order(layers, downwards=i % 2 == 0)
    for i in range(PLACINGS):
        _place(layers, downwards=i % 2 == 1)
    return layers


def _pack(layer: Sequence[Cell]) -> None:
    """Side by side, around 0."""
    x = -sum(cell.width + SPACE for cell in layer) / 2
    for cell in layer:
        cell.x = x + cell.width / 2
        x += cell.width + SPACE


def _order(layers: Sequence[list[Cell]], downwards: bool) -> None:
    """Sort each layer by the mean place of its neighbours in the layer before."""
    for layer in layers if downwards else reversed(layers):
        means = {cell: _mean(cell, downwards)[0] for cell in layer}
        layer.sort(key=lambda cell: means[cell])
        _pack(layer)


def _mean(cell: Cell, downwards: bool) -> tuple[float, float]:
    """Where its neighbours want a cell, and how strongly; where it is, if it has none.

    A bend stands right below or above where its line begins or ends.  An item is centred: in line
    with the borders' places, a chain of boxes would drift to one side.
    """
    ties = cell.above if downwards else cell.below
    if not ties:
        return cell.x, LOOSE
    others = [(tie.upper.x, tie.leaves) if downwards else (tie.lower.x, tie.enters) for tie in ties]
    strengths = [_strength(tie) for tie in ties]
    shift = 1.0 if cell.item is None else 0.0
    total = sum((x + shift * d) * s for (x, d), s in zip(others, strengths, strict=True))
    return total / sum(strengths), sum(strengths)


def _strength(tie: Tie) -> float:
    return STRAIGHT if tie.upper.item is None and tie.lower.item is None else 1.0


def _place(layers: Sequence[list[Cell]], downwards: bool) -> None:
    """Draw each cell to its neighbours in the layer before, and keep the order."""
    for layer in layers if downwards else reversed(layers):
        wanted = [_mean(cell, downwards) for cell in layer]
        for cell, x in zip(layer, apart(wanted, [cell.width for cell in layer]), strict=True):
            cell.x = x


def apart(wanted: Sequence[tuple[float, float]], widths: Sequence[float]) -> list[float]:
    """The centres nearest to what is wanted, by weighted least squares, so that none overlap.

    Without the widths this is isotonic regression, which pooling adjacent violators solves.

    Args:
        wanted: (x, weight) of each, from left to right.
        widths: theirs; SPACE stands between two.

    Returns:
        The centres, in the same order.
    """
    offsets, at = [], 0.0
    for width in widths:
        offsets.append(at + width / 2)
        at += width + SPACE
    blocks: list[tuple[float, float, int]] = []  # x of the block's beginning, weight, cells in it
    for (x, weight), offset in zip(wanted, offsets, strict=True):
        block = (x - offset, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            (x0, w0, n0), (x1, w1, n1) = blocks.pop(), block
            block = ((x0 * w0 + x1 * w1) / (w0 + w1), w0 + w1, n0 + n1)
        blocks.append(block)
    begins = [begin for begin, _, count in blocks for _ in range(count)]
    return [begin + offset for begin, offset in zip(begins, offsets, strict=True)]
