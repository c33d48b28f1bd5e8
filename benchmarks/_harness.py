"""Timing that can be trusted on a small, shared machine.

Candidates alternate in one process; what is compared are ratios within a round, and of those the
median.  Rounds in which other processes took much of a CPU are dropped and repeated.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import _threads

# After its work a pool's thread spins for a while, OpenBLAS's for 0.1 s, on the CPU that the next
# candidate needs: so that one starts when the process has come to rest, or after the longest wait.
LONGEST_WAIT = 0.3  # seconds
LOOK = 0.01  # seconds between two looks
RESTING = 0.1  # share of a CPU below which it is at rest
BLOCK = 0.02  # seconds that one timing of a candidate should at least take
MOST_ATTEMPTS = 3  # per round; when so many were disturbed, the last ones count all the same
FOREIGN = 0.12  # share of a CPU that other processes may take in a round

Run = Callable[[], object]
Inside = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Timing:
    """A candidate's median seconds, and median ratios to the others in the same rounds."""

    seconds: float
    ratios: dict[str, float]


@dataclass
class Stopwatch:
    """Times candidates against each other, and counts the rounds that were disturbed."""

    rounds: int = 7
    pinned: bool = True  # its threads, where the machine asks for that
    finish: Run = lambda: None  # waits until what was begun is done, as on a GPU
    counted: int = 0
    dropped: int = 0
    disturbed: int = 0  # counted all the same

    def compare(
        self, runs: Mapping[str, Run], inside: Mapping[str, Inside] | None = None
    ) -> dict[str, Timing]:
        """Time the candidates against each other.

        Args:
            runs: what to call, by the candidate's name.
            inside: for some names, makes the context that holds around all of its calls.
        """
        within = {name: (inside or {}).get(name, nullcontext) for name in runs}
        repeats = {name: _repeats(self._whole(run), within[name]) for name, run in runs.items()}
        rows: list[dict[str, float]] = []
        gc.collect()
        gc.freeze()  # what is there by now need not be looked at again between candidates
        gc.disable()
        try:
            for attempt in range(MOST_ATTEMPTS * self.rounds):
                if self.pinned:
                    _threads.pin_threads()  # in each round: some threads start late
                foreign = ForeignLoad()
                row = {
                    name: self._once(run, repeats[name], within[name]) for name, run in runs.items()
                }
                disturbed = foreign.share() > FOREIGN
                if disturbed and attempt < (MOST_ATTEMPTS - 1) * self.rounds:
                    self.dropped += 1
                    continue
                self.counted, self.disturbed = self.counted + 1, self.disturbed + disturbed
                rows.append(row)
                if len(rows) == self.rounds:
                    break
        finally:
            gc.enable()
            gc.unfreeze()
            _threads.free_threads()
        return medians(rows)

    def _whole(self, run: Run) -> Run:
        def whole() -> None:
            run()
            self.finish()

        return whole

    def _once(self, run: Run, repeats: int, inside: Inside) -> float:
        gc.collect()
        come_to_rest()
        with inside():
            run()
            self.finish()
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            self.finish()
            return (time.perf_counter() - start) / repeats

    def __str__(self) -> str:
        told = f"{self.counted} rounds, {self.dropped} more dropped"
        return told + (f", {self.disturbed} counted though disturbed" if self.disturbed else "")


def medians(rows: list[dict[str, float]]) -> dict[str, Timing]:
    """Of each round's seconds by candidate: median seconds, and medians of the rounds' ratios."""
    return {
        name: Timing(
            statistics.median(row[name] for row in rows),
            {other: statistics.median(row[name] / row[other] for row in rows) for other in rows[0]},
        )
        for name in rows[0]
    }


def come_to_rest() -> None:
    """Wait until no thread of this process is busy."""
    for _ in range(round(LONGEST_WAIT / LOOK)):
        used, start = time.process_time(), time.perf_counter()
        time.sleep(LOOK)
        if time.process_time() - used < RESTING * (time.perf_counter() - start):
            return


def _repeats(run: Run, inside: Inside) -> int:
    with inside():
        run()
        start = time.perf_counter()
        run()
        return max(1, int(BLOCK / max(time.perf_counter() - start, 1e-7)))


class ForeignLoad:
    """How much of a CPU other processes take, where the system tells (Linux)."""

    def __init__(self) -> None:
        self.start = self._busy(), self._own(), time.perf_counter()

    def share(self) -> float:
        """CPUs in use by others since the start."""
        busy, own, wall = self.start
        others = (self._busy() - busy) - (self._own() - own)
        return others / (time.perf_counter() - wall)

    @staticmethod
    def _own() -> float:
        return sum(os.times()[:4])  # with processes that it started and waited for

    @staticmethod
    def _busy() -> float:
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return 0.0
        ticks = [int(field) for field in fields]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
