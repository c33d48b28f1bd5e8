"""What a benchmark found, as a table for the terminal and for Markdown, and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _machine
import _peers
from _harness import BLOCK, FOREIGN, Stopwatch

RESULTS = Path(__file__).parent / "results"
COLOURS = {  # of each library's own forms, alike in all pictures
    "minigrad composed": "#9ecae1",
    "minigrad NumPy": "#4292c6",
    "minigrad kernels": "#08306b",
    "NumPy by hand": "#969696",
    "PyTorch": "#e6550d",
    "PyTorch composed": "#fdae6b",
    "PyTorch compiled": "#a63603",
    "JAX": "#31a354",
    "MyGrad": "#9e9ac8",
    "autograd": "#c994c7",
    "composed": "#9ecae1",
    "NumPy": "#4292c6",
    "kernels": "#08306b",
}


@dataclass
class Table:
    """Cells of text under names; the first `left` columns are words, the others figures."""

    columns: Sequence[str]
    left: int = 2
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """One more row."""
        if len(cells) != len(self.columns):
            raise ValueError(
                f"{len(cells)} cells for the {len(self.columns)} columns {self.columns}"
            )
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        """Padded, so that it reads as well in a terminal."""
        lines = [list(self.columns), *self.rows]
        widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
        marks = ["-" * (w - 1) + "-:"[i >= self.left] for i, w in enumerate(widths)]
        return "\n".join(self._line(cells, widths) for cells in (lines[0], marks, *self.rows))

    def _line(self, cells: Iterable[str], widths: Iterable[int]) -> str:
        padded = (
            cell.ljust(width) if i < self.left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"


@dataclass
class Chart:
    """Bars on a logarithmic scale: for each case, a figure for each candidate."""

    label: str
    bars: dict[str, dict[str, float]]
    line: float | None = None  # where the scale has a meaning, as 1 in a ratio


@dataclass
class Report:
    """What is printed and saved."""

    about: str
    tables: list[Table]
    chart: Chart | None = None
    notes: list[str] = field(default_factory=list)
    name: str = ""  # of the files, where it is not the subject's


def text_of(report: Report, watch: Stopwatch) -> str:
    """The whole report in Markdown."""
    lines = [*_machine.settings()]
    if watch.counted:
        lines.append(
            f"rounds for each comparison: {watch.rounds}, a candidate running {1e3 * BLOCK:.0f} ms "
            "or more in each, begun when the last one's threads are idle; rounds in which other "
            f"processes took more than {FOREIGN:.0%} of a CPU are dropped ({watch})"
        )
    if missing := _peers.missing():
        lines.append(f"not installed, so left out: {', '.join(missing)}")
    lines += report.notes
    blocks = [
        report.about.strip(),
        "\n".join(f"- {line}" for line in lines),
        *(table.markdown() for table in report.tables),
    ]
    return "\n\n".join(blocks)


def save(subject: str, report: Report, text: str) -> None:
    """Write the subject's Markdown file, and its picture."""
    RESULTS.mkdir(exist_ok=True)
    subject = report.name or subject
    picture = ""
    if report.chart is not None:
        draw(report.chart, subject, RESULTS / f"{subject}.png")
        picture = f"\n![{report.chart.label}]({subject}.png)\n"
    (RESULTS / f"{subject}.md").write_text(f"# {subject}\n\n{text}\n{picture}")


def draw(chart: Chart, title: str, path: Path) -> None:
    """One group of horizontal bars for each case, the first on top.

    Where the scale has a line, bars go from there to the left and to the right.
    """
    import matplotlib

    matplotlib.use("Agg")  # it writes a file and needs no display
    from matplotlib import pyplot

    count = sum(map(len, chart.bars.values())) + len(chart.bars)
    figure, axis = pyplot.subplots(figsize=(9, 1.2 + 0.15 * count), layout="constrained")
    names = dict.fromkeys(name for bars in chart.bars.values() for name in bars)
    others = iter(pyplot.get_cmap("Set2").colors)
    colours = {name: COLOURS.get(name) or next(others) for name in names}
    from_line = {} if chart.line is None else {"left": chart.line}
    place, ticks = 0, {}
    for case, bars in chart.bars.items():
        shown = {name: value for name, value in bars.items() if value > 0}
        ticks[case] = place + (len(shown) - 1) / 2
        for name, value in shown.items():
            width = value - (chart.line or 0)
            axis.barh(place, width, color=colours[name], height=0.9, **from_line)
            place += 1
        place += 1
    if chart.line is not None:
        axis.axvline(chart.line, color="black", linewidth=0.8)
    axis.set(xscale="log", xlabel=chart.label, title=title)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_yticks(list(ticks.values()), list(ticks))
    axis.margins(y=0.01)
    axis.invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colours[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
