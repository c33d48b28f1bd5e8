"""Memory for large arrays on the CPU: blocks that are used again.

The system hands out memory page by page, when each page is first touched, and takes it back when
the array dies.  For an array of many megabytes that costs more than the arithmetic on it.  So the
memory of large arrays comes from a pool: what one array leaves, the next one of about its size
gets.  `mg.memory()` shows the pool, bounds it and empties it; the process's own allocator stays as
it is.

An array from the pool has a `Lease` for its base.  NumPy keeps an array's base alive as long as
the array or a view of it lives; the death of the lease gives the block back.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

SMALLEST = 1 << 20  # bytes; the pool's 2 µs are a tenth of the fastest pass over so many
FEW = SMALLEST // 16  # so few numbers of any dtype need no closer look
STEPS = 8  # size classes between a power of two and the next: a block is at most 1/8 too large
ALIGNMENT = 64  # a cache line, and the widest SIMD register
LIMIT = 1 << 30  # kept free: 28 activations of 36 MiB, and a small share of most machines
PLAIN = "biufc"  # kinds of dtype: what else there is may hold references


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An array of unspecified values: `np.empty`, with memory from the pool if it is large.

    It is C-contiguous and writeable; from 1 MiB on it starts at a multiple of 64 bytes.
    """
    size = math.prod(shape)
    if size < FEW:
        return np.empty(shape, dtype)
    dtype = np.dtype(dtype)
    nbytes = size * dtype.itemsize
    if nbytes < SMALLEST or dtype.kind not in PLAIN:
        return np.empty(shape, dtype)
    return pool.array(shape, dtype, nbytes)


class Lease:
    """The base of an array from the pool, as a buffer that the array is made in.

    It dies with the last view of the array, and gives the block back.
    """

    block: Block
    nbytes: int  # of the array, not of the block
    give_back: Callable[[Block], None]

    def __del__(self) -> None:
        self.give_back(self.block)


class Block:
    """A piece of memory of one of the pool's sizes."""

    __slots__ = ("address", "age", "lease", "memory", "nbytes")

    def __init__(self, nbytes: int) -> None:
        self.memory = np.empty(nbytes + ALIGNMENT, np.uint8)
        start = self.memory.ctypes.data
        self.address: int = start + -start % ALIGNMENT
        self.nbytes, self.age = nbytes, 0
        self.lease = lease_type(nbytes).from_address


@functools.cache
def lease_type(nbytes: int) -> Any:
    """Leases of blocks of one size: `ctypes` has a type for each."""
    return type("Lease", (Lease, ctypes.c_char * nbytes), {})


class Pool:
    """Blocks of memory, in use and kept free.

    A block may come back at any moment: in any thread, and wherever Python collects garbage, also
    between the lines of this class.  So it never waits for the lock, but lies in `_returned` until
    whoever holds the lock lets go, and looks there.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.used = self.kept = self.peak = self.hits = self.misses = 0
        # by size; what came back last, which may still be in the CPU's cache, goes first
        self._free: defaultdict[int, list[Block]] = defaultdict(list)
        self._returned: deque[Block] = deque()
        self.renew_lock()

    def renew_lock(self) -> None:
        """In the child of a fork: the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> Any:
        """An array in a block of the pool."""
        lock = self._lock
        if not lock.acquire(blocking=False):  # by another thread, or in this one, see above
            return np.empty(shape, dtype)
        try:
            self._put_away()
            block = self._take(block_size(nbytes))
        finally:
            lock.release()
        if self._returned:
            self._settle()
        lease = block.lease(block.address)
        lease.block, lease.nbytes, lease.give_back = block, nbytes, self.give_back
        return np.ndarray(shape, dtype, lease)

    def give_back(self, block: Block) -> None:
        """Take a block back, to be used again."""
        self._returned.append(block)
        self._settle()

    def empty(self) -> None:
        """Return all that is kept free to the system."""
        with self._lock:
            self._put_away()
            self._forget()
        self._settle()

    def set_limit(self, nbytes: int) -> None:
        """Bound the bytes that are kept free, from now on."""
        with self._lock:
            self.limit = nbytes
            self._put_away()
            self._shrink()
        self._settle()

    def reset_peak(self) -> None:
        """Count the peak anew, from what is in use now."""
        self.peak = self.used

    def _take(self, size: int) -> Block:
        blocks = self._free[size]
        if blocks:
            block = blocks.pop()
            self.kept -= size
            self.hits += 1
        else:
            block = self._new(size)
            self.misses += 1
        self.used += size
        if self.used > self.peak:
            self.peak = self.used
        return block

    def _new(self, size: int) -> Block:
        try:
            return Block(size)
        except MemoryError:  # what is kept for others may be what is missing
            self._forget()
            return Block(size)

    def _settle(self) -> None:
        """Put away what came back, unless somebody else is about to."""
        while self._returned and self._lock.acquire(blocking=False):
            try:
                self._put_away()
            finally:
                self._lock.release()

    def _put_away(self) -> None:
        while self._returned:
            block = self._returned.popleft()
            self.used -= block.nbytes
            self.kept += block.nbytes
            block.age = self.hits + self.misses
            self._free[block.nbytes].append(block)
            if self.kept > self.limit:
                self._shrink()

    def _shrink(self) -> None:
        """Let go what has been free for longest, until the limit is kept."""
        while self.kept > self.limit:
            oldest = min((blocks for blocks in self._free.values() if blocks), key=_age)
            self.kept -= oldest.pop(0).nbytes

    def _forget(self) -> None:
        self._free.clear()
        self.kept = 0


def _age(blocks: list[Block]) -> int:
    return blocks[0].age


def block_size(nbytes: int) -> int:
    """The smallest of the pool's sizes for so many bytes: STEPS of them to each doubling."""
    step = max(1, (1 << (nbytes - 1).bit_length() - 1) // STEPS)
    return -(-nbytes // step) * step


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.renew_lock)
