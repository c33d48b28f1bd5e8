"""Timing that can be trusted on a small, shared machine.

Candidates alternate in one process; what is compared are ratios within a round, and of those the
median.  Rounds in which other processes took much of a CPU are dropped and repeated.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:
    import torch
except ImportError:
    torch = None

SETTLE = 0.03  # seconds in which idle thread pools of the last candidate stop spinning
BLOCK = 0.02  # seconds that one timing of a candidate should at least take
MOST_ATTEMPTS = 3  # per round; when so many were disturbed, the last ones count all the same
FOREIGN = 0.12  # share of a CPU that other processes may take in a round


@dataclass(frozen=True)
class Timing:
    """A candidate's median seconds, and median ratios to the others in the same rounds."""

    seconds: float
    ratios: dict[str, float]


def compare(candidates: dict[str, Callable[[], object]], rounds: int = 7) -> dict[str, Timing]:
    """Time the candidates against each other."""
    repeats = {name: _repeats(run) for name, run in candidates.items()}
    done: list[dict[str, float]] = []
    gc.collect()
    gc.disable()
    try:
        for attempt in range(MOST_ATTEMPTS * rounds):
            foreign = _ForeignLoad()
            row = {name: _once(run, repeats[name]) for name, run in candidates.items()}
            if foreign.share() > FOREIGN and attempt < (MOST_ATTEMPTS - 1) * rounds:
                continue
            done.append(row)
            if len(done) == rounds:
                break
    finally:
        gc.enable()
    times = {name: [row[name] for row in done] for name in candidates}
    return {
        name: Timing(
            statistics.median(own),
            {
                other: statistics.median(a / b for a, b in zip(own, theirs, strict=True))
                for other, theirs in times.items()
            },
        )
        for name, own in times.items()
    }


def _repeats(run: Callable[[], object]) -> int:
    run()
    start = time.perf_counter()
    run()
    return max(1, int(BLOCK / max(time.perf_counter() - start, 1e-7)))


def _once(run: Callable[[], object], repeats: int) -> float:
    time.sleep(SETTLE)
    run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


class _ForeignLoad:
    """How much of a CPU other processes take, where the system tells (Linux)."""

    def __init__(self) -> None:
        self.start = self._busy(), time.process_time(), time.perf_counter()

    def share(self) -> float:
        """CPUs in use by others since the start."""
        busy, own, wall = self.start
        others = (self._busy() - busy) - (time.process_time() - own)
        return others / (time.perf_counter() - wall)

    @staticmethod
    def _busy() -> float:
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return 0.0
        ticks = [int(field) for field in fields]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def keep_memory() -> bool:
    """Let the C allocator keep large blocks: PyTorch's best case, without page faults.

    Returns:
        Whether the system has the switch (glibc); it holds until the process ends.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    return bool(mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, (1 << 31) - 1))


def environment() -> str:
    """What a reader must know to compare the figures with others."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(": ")[1] for x in lines if x.startswith("model name")), cpu)
    except OSError:
        pass
    parts = [
        cpu,
        f"{os.cpu_count()} CPUs",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__}",
        f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE', 'unset')}",
    ]
    if torch is not None:
        parts.append(f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads")
    return ", ".join(parts)
