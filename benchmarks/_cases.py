"""Candidates in cases: from what is to be called to the table of its times.

A candidate has a run for each phase (forward, backward, both); the last phase is what ratios are
taken of.  It is timed twice: with the C library's allocator as it is, and then with one that keeps
its memory.  The first is PyTorch as users get it ("default"), the second its best case ("best");
both hold for the whole process, so for all candidates alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import _machine
import _peers
import numpy as np
from _harness import Inside, Run, Stopwatch, Timing
from _report import Chart, Table

BASELINE = "PyTorch"
ABSENT = "–"


@dataclass
class Candidate:
    """One way to compute a case.

    Attributes:
        runs: what to call for each phase; what it cannot do alone is left out.
        results: gives the arrays by which it is compared with the first candidate of its case.
        inside: makes the context in which it runs.
        scale: what times are multiplied with, as where one call does the work a hundred times.
        cells: what the table says of it in the subject's own columns.
        target: the ratio to PyTorch's best that it should reach.
    """

    runs: dict[str, Run]
    results: Callable[[], list[np.ndarray]] | None = None
    inside: Inside = nullcontext
    scale: float = 1.0
    cells: dict[str, str] = field(default_factory=dict)
    target: float | None = None


Case = dict[str, Candidate]


@dataclass
class Subject:
    """Cases under names, each made when its turn comes, and what their table shows.

    Attributes:
        phases: in the order of the columns; ratios are taken of the last.
        unit: of a second, as it is written.
        columns: the subject's own, filled from `Candidate.cells`.
        large: whether its arrays are; else the allocator changes nothing, and one time is enough.
    """

    cases: dict[str, Callable[[], Case]]
    phases: Sequence[str]
    unit: str = "ms"
    columns: Sequence[str] = ()
    large: bool = True

    def measure(self, watch: Stopwatch) -> tuple[Table, Chart]:
        """Time all cases, as the allocator is and then with memory kept."""
        total = self.phases[-1]
        found = {name: self._first(name, make(), watch) for name, make in self.cases.items()}
        kept = {}
        if self.large and _peers.torch is not None and _machine.keep_memory():
            for name, make in self.cases.items():
                kept[name] = _times(f"{name}, memory kept", make(), [total], watch)[total]
        return self._table(found, kept), self._chart(found, kept)

    def _first(self, name: str, case: Case, watch: Stopwatch) -> Measured:
        return Measured(
            {n: Candidate({}, cells=c.cells, target=c.target) for n, c in case.items()},
            _times(name, case, self.phases, watch),
            _differences(case),
        )

    def _columns(self, found: dict[str, Measured]) -> list[str]:
        """Targets and differences only where there are any."""
        last = f"{self.phases[-1]} {self.unit}, memory kept"
        times = [f"{phase} {self.unit}" for phase in self.phases]
        targets = any(c.target for m in found.values() for c in m.candidates.values())
        differences = any(m.differences for m in found.values())
        more = ["target"] * targets + [*self.columns] + ["largest difference"] * differences
        ratios = ["×default", last, "×best"] if self.large else [f"×{BASELINE}"]
        return ["case", "form", *times, *ratios, *more]

    def _table(self, found: dict[str, Measured], kept: dict[str, Timings]) -> Table:
        per = {"ms": 1e3, "µs": 1e6}[self.unit]
        columns = self._columns(found)
        table = Table(columns)
        for case, measured in found.items():
            for name, candidate in measured.candidates.items():
                times = [measured.times[phase].get(name) for phase in self.phases]
                best = kept.get(case, {}).get(name)
                cells = [*(seconds_of(time, per) for time in times), ratio_of(times[-1])]
                more = candidate.cells | {
                    "target": text_of(candidate.target, "{:.2f}"),
                    "largest difference": text_of(measured.differences.get(name), "{:.1e}"),
                }
                cells += [seconds_of(best, per), ratio_of(best)] if self.large else []
                own = columns[2 + len(cells) :]
                table.add(case, name, *cells, *(more.get(column, ABSENT) for column in own))
        return table

    def _chart(self, found: dict[str, Measured], kept: dict[str, Timings]) -> Chart:
        total, best = self.phases[-1], "'s best" if kept else ""
        times = kept or {case: measured.times[total] for case, measured in found.items()}
        if all(BASELINE in timings for timings in times.values()):
            ratios = {
                case: {n: t.ratios[BASELINE] for n, t in timings.items() if n != BASELINE}
                for case, timings in times.items()
            }
            return Chart(f"{total}: time ÷ {BASELINE}{best} (less is faster)", ratios, line=1.0)
        seconds = {c: {n: time.seconds for n, time in t.items()} for c, t in times.items()}
        return Chart(f"{total}: seconds", seconds)


Timings = dict[str, Timing]


@dataclass
class Measured:
    """What is left of a case when its arrays are gone."""

    candidates: Case
    times: dict[str, Timings]
    differences: dict[str, float]


def _times(
    title: str, case: Case, phases: Sequence[str], watch: Stopwatch
) -> dict[str, dict[str, Timing]]:
    inside = {name: candidate.inside for name, candidate in case.items()}
    found = {}
    for phase in phases:
        print(f"{title}: {phase} ...", file=sys.stderr, flush=True)
        runs = {name: c.runs[phase] for name, c in case.items() if phase in c.runs}
        times = watch.compare(runs, inside)
        found[phase] = {name: scaled(time, name, case) for name, time in times.items()}
    return found


def scaled(time: Timing, name: str, case: Case) -> Timing:
    """Its own scale, and in ratios the other's too."""
    own = case[name].scale
    ratios = {other: ratio * own / case[other].scale for other, ratio in time.ratios.items()}
    return Timing(time.seconds * own, ratios)


def _differences(case: Case) -> dict[str, float]:
    """The largest differences from the first candidate's results, relative to their scale."""
    found: dict[str, float] = {}
    expected: list[np.ndarray] | None = None
    for name, candidate in case.items():
        if candidate.results is None:
            continue
        with candidate.inside():
            results = [np.asarray(each) for each in candidate.results()]
        expected = results if expected is None else expected
        found[name] = max(map(difference, results, expected))
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest, relative to the largest value."""
    if found.shape != expected.shape:
        raise ValueError(f"{found.shape} beside {expected.shape}: not the same case")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def seconds_of(time: Timing | None, per: float) -> str:
    """Three digits or more."""
    return ABSENT if time is None else f"{per * time.seconds:.3f}"


def ratio_of(time: Timing | None) -> str:
    """To PyTorch in the same rounds."""
    ratio = None if time is None else time.ratios.get(BASELINE)
    return text_of(ratio, "{:.2f}")


def text_of(value: float | None, form: str) -> str:
    """A figure, or a dash where there is none."""
    return ABSENT if value is None else form.format(value)
