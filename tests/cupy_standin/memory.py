"""What crosses from device to host unseen, and what nobody has written yet."""

import weakref
from collections import Counter
from contextlib import contextmanager

import numpy as np

# The copies to the host that the program made, by what made them ("float", "bool", "get", ...).
# On a GPU each one waits until all kernels have finished.  Tests read it and `clear()` it.
hidden_copies = Counter()


class OutOfMemoryError(MemoryError):
    """CuPy's `cupy.cuda.memory.OutOfMemoryError`."""

    def __init__(self, size, total, limit=0):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, limit "
            f"set to: {limit:,} bytes)."
        )


class Room:
    """How much memory the devices have for new arrays: `with room.of(1000):`."""

    def __init__(self):
        self.limit, self.used = None, 0

    @contextmanager
    def of(self, nbytes):
        """Inside, arrays made from here on find so many bytes."""
        self.limit, self.used = nbytes, 0
        try:
            yield
        finally:
            self.limit = None

    def take(self, array, nbytes):
        """Room for an array that owns its memory, as long as it lives."""
        if self.limit is None:
            return
        if self.used + nbytes > self.limit:
            raise OutOfMemoryError(nbytes, self.used, self.limit)
        self.used += nbytes
        weakref.finalize(array, self._give, nbytes)

    def _give(self, nbytes):
        self.used -= nbytes

    def info(self):
        """Free and all bytes, as `cudaMemGetInfo` tells them."""
        total = 1 << 34 if self.limit is None else self.limit
        return total - self.used, total


room = Room()


def poison(dtype):
    """A value that no right program reads: NaN, or a number that stands out."""
    return np.nan if dtype.kind in "fc" else True if dtype.kind == "b" else 113


def check_dtype(dtype):
    """CuPy has booleans, integers, and real and complex numbers of up to 64 bits a part."""
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise ValueError(f"Unsupported dtype {dtype}")
