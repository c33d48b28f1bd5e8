"""Which CPU a thread may run on, while something is timed.

A small virtual machine often leaves both threads of a pool on one of its two CPUs for a while, and
times are then multiples of the scheduler's 4 ms.  So there the main thread is kept on one CPU and
the workers of pools on the other: every pool has one worker, and they take turns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PINNED = len(CPUS) == 2  # with more, the scheduler finds a place for each
_free: set[int] = set()


@contextmanager
def starting_free() -> Iterator[None]:
    """Threads that start inside are never pinned: those of a library that works beside main."""
    before = set(_threads())
    yield
    _free.update(set(_threads()) - before)


def pin_threads() -> None:
    """On two CPUs: the main thread on one, workers on the other."""
    if PINNED:
        first, second = CPUS
        for thread in _threads():
            if thread not in _free:
                _allow(thread, {first if thread == os.getpid() else second})


def free_threads() -> None:
    """All threads on all CPUs again: what counts CPUs when it is loaded must find them."""
    if PINNED:
        for thread in _threads():
            _allow(thread, set(CPUS))


def _threads() -> list[int]:
    tasks = Path("/proc/self/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.exists() else []


def _allow(thread: int, cpus: set[int]) -> None:
    try:
        os.sched_setaffinity(thread, cpus)
    except OSError:  # it has just ended
        return
