"""A device's memory for one launch: each array in a copy of its own, with a guard around it.

So a kernel that reads beyond an array finds NaN, and one that writes there is told.  Under
AddressSanitizer each copy is allocated at its exact size, and any access beyond it ends the
process.
"""

import ctypes
from contextlib import contextmanager

GUARD = 256  # bytes before and behind
POISON = b"\xff" * GUARD  # NaN in every dtype
ALIGNED = 16  # bytes that one load may need; how a view lies in its owner's memory is kept

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]


class Span:
    """Bytes of the host that some arrays lie in, and their copy."""

    def __init__(self, start, stop, sanitize):
        self.start, self.stop = start, stop
        self.guard = 0 if sanitize else GUARD
        self.lead = start % ALIGNED
        self.size = stop - start
        self._memory = libc.malloc(self.lead + self.size + 2 * self.guard)
        self.copy = self._memory + self.lead + self.guard
        ctypes.memset(self._memory, 0xFF, self.lead + self.guard)
        ctypes.memset(self.copy + self.size, 0xFF, self.guard)
        ctypes.memmove(self.copy, start, self.size)

    def check(self):
        """Raise IndexError if something was written around it."""
        before = ctypes.string_at(self.copy - self.guard, self.guard)
        behind = ctypes.string_at(self.copy + self.size, self.guard)
        if self.guard and (before != POISON or behind != POISON):
            where = "before" if before != POISON else "behind"
            raise IndexError(f"a kernel wrote {where} an array of {self.size} bytes")

    def back(self):
        """Write what the kernel left to the host's arrays."""
        ctypes.memmove(self.start, self.copy, self.size)

    def free(self):
        """Give the copy's memory back."""
        libc.free(self._memory)


@contextmanager
def device_memory(arrays, sanitize):
    """The addresses of the arrays' copies; what a kernel wrote there is copied back at the end.

    Arrays that overlap share a copy, as they share memory.
    """
    starts = [array.__array_interface__["data"][0] for array in arrays]
    places = [(start, start + a.nbytes) for start, a in zip(starts, arrays, strict=True)]
    spans = [Span(*place, sanitize) for place in _merged(places)]
    owners = [_owner(spans, place) for place in places]
    try:
        yield [o.copy + start - o.start for o, start in zip(owners, starts, strict=True)]
        for span in spans:
            span.check()
            span.back()
    finally:
        for span in spans:
            span.free()


def _merged(places):
    """The places, those that overlap in one."""
    found = []
    for start, stop in sorted(set(places)):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def _owner(spans, place):
    return next(s for s in spans if s.start <= place[0] and place[1] <= s.stop)
