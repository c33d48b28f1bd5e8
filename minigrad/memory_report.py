"""`mg.memory()`: what the pool of large arrays holds, and how to bound and to empty it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import backend
from .errors import DeviceError
from .memory import pool


@dataclass(frozen=True, repr=False)
class Memory:
    """What the pool of a device held when it was asked, in bytes.

    Attributes:
        device: "cpu" or "cuda".
        used: memory of living arrays; on the CPU of those that minigrad made, from 1 MiB on.
        kept: memory that no array uses, kept for the next ones.
        limit: "cpu": the most that is kept; "cuda": the most that arrays and pool may take
            together, None where there is no limit.
        peak: the most that was in use at once; None where the pool does not count it (CuPy's).
        hits: how many arrays got memory that was kept; None where that is not counted.
        misses: how many got new memory.
    """

    device: str
    used: int
    kept: int
    limit: int | None
    peak: int | None = None
    hits: int | None = None
    misses: int | None = None

    def __repr__(self) -> str:
        parts = [f"{_size(self.used)} in use", f"{_size(self.kept)} kept"]
        if self.limit is not None:
            parts.append(f"limit {_size(self.limit)}")
        if self.peak is not None:
            parts.append(f"peak {_size(self.peak)}")
        if self.hits is not None and self.misses is not None:
            parts.append(f"{self.hits} of {self.hits + self.misses} arrays reused memory")
        return f"<memory of {self.device}: {', '.join(parts)}>"

    def empty_cache(self) -> None:
        """Give what is kept back to the system, or to the GPU."""
        _pool_of(self.device).empty()

    def set_limit(self, nbytes: int) -> None:
        """Bound the pool (see `limit`); what is kept beyond goes at once.  0 keeps nothing.

        Raises:
            ValueError: a negative number.
        """
        if nbytes < 0:
            raise ValueError(f"a limit of {nbytes} bytes: give 0 or more, such as 512 * 2**20")
        _pool_of(self.device).set_limit(int(nbytes))

    def reset_peak(self) -> None:
        """Count the peak anew, from what is in use now.

        Raises:
            DeviceError: the pool counts no peak.
        """
        _pool_of(self.device).reset_peak()


def memory(device: str = "cpu") -> Memory:
    """What the pool of large arrays holds: bytes in use, kept for the next arrays, and their peak.

    The memory of arrays from 1 MiB on is used again, because fresh memory is slow.  What is kept is
    bounded; `mg.memory().set_limit(nbytes)` changes the bound, `mg.memory().empty_cache()` gives
    everything kept back to the system, `mg.memory().reset_peak()` starts the peak anew.

    Args:
        device: "cpu", or "cuda" for CuPy's own pool.

    Raises:
        DeviceError: there is no such device here, or it has no pool.

    >>> mg.memory().set_limit(512 * 2**20)
    >>> mg.memory().limit
    536870912
    >>> mg.memory().set_limit(2**30)  # as it was
    """
    return _pool_of(device).report()


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f} MiB" if nbytes < 1 << 30 else f"{nbytes / 2**30:.2f} GiB"


class _CPU:
    """minigrad's own pool."""

    empty, set_limit, reset_peak = pool.empty, pool.set_limit, pool.reset_peak

    @staticmethod
    def report() -> Memory:
        return Memory("cpu", pool.used, pool.kept, pool.limit, pool.peak, pool.hits, pool.misses)


class _CuPy:
    """CuPy's pool, as it is set up."""

    def __init__(self, xp: Any) -> None:
        self.pool = xp.get_default_memory_pool()

    def report(self) -> Memory:
        limit = self.pool.get_limit() or None  # CuPy's 0 is: none
        return Memory("cuda", self.pool.used_bytes(), self.pool.free_bytes(), limit)

    def empty(self) -> None:
        self.pool.free_all_blocks()

    def set_limit(self, nbytes: int) -> None:
        self.pool.set_limit(size=nbytes)

    def reset_peak(self) -> None:
        raise DeviceError(
            "CuPy's pool counts no peak: look at mg.memory('cuda').used where it matters"
        )


def _pool_of(device: str) -> Any:
    place = backend.named(device)
    if place.name == "cpu":
        return _CPU
    if hasattr(place.xp, "get_default_memory_pool"):
        return _CuPy(place.xp)
    raise DeviceError(f"device {device!r} has no pool that minigrad knows: ask {place.xp.__name__}")
