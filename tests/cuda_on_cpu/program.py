"""A compiled `.cu` text: its entries, and how they are launched on NumPy's arrays."""

import ctypes
import functools
from dataclasses import dataclass

import numpy as np

from . import building, text
from .memory import device_memory
from .settings import ORDERS, launched, settings


@dataclass(frozen=True)
class Entry:
    """A kernel: its name and its parameters."""

    name: str
    parameters: list

    def check(self, arguments):
        """Raise TypeError or ValueError unless the arguments are what the kernel's text takes."""
        if len(arguments) != len(self.parameters):
            raise TypeError(
                f"{self.name} takes {len(self.parameters)} arguments, {len(arguments)} were given"
            )
        for given, parameter in zip(arguments, self.parameters, strict=True):
            self._check(given, parameter)

    def _check(self, given, parameter):
        name = f"{self.name}'s {parameter.name}"
        if not isinstance(given, np.ndarray | np.generic):
            raise TypeError(
                f"{name} was given {given!r}: CuPy passes a Python int as int64 and a float as "
                "float64, so say which is meant: np.int64(...), np.float64(...)"
            )
        if parameter.dtype is None or isinstance(given, np.void):
            if parameter.dtype is not None or not isinstance(given, np.void):
                raise TypeError(f"{name} is passed by value, and was given {given!r}")
        elif parameter.pointer and isinstance(given, np.generic):
            if given != 0 or given.dtype.itemsize != 8:
                raise TypeError(f"{name} is a pointer, and was given the number {given!r}")
        elif parameter.pointer != isinstance(given, np.ndarray):
            raise TypeError(f"{name} is {parameter.dtype}, and was given an array")
        elif given.dtype != parameter.dtype:
            raise TypeError(f"{name} is {parameter.dtype}, and was given {given.dtype}")
        elif parameter.pointer and not given.flags.c_contiguous:
            raise ValueError(
                f"{name} was given an array that is not contiguous: a kernel sees only where it "
                "starts"
            )


class Program:
    """The kernels of one text."""

    def __init__(self, code, options=()):
        self.code = code
        expanded = text.expanded(code, options)
        self._cpp, self.barriers = text.as_cpp(expanded)  # barriers: (file, line) by number
        found = text.entries(expanded)
        self.entries = {name: Entry(name, parameters) for name, parameters in found.items()}

    @functools.cache  # noqa: B019  programs stay
    def library(self, sanitize):
        """The loaded library."""
        wrappers = [f"CUDA_ON_CPU_ENTRY({name})" for name in self.entries]
        cpp = "\n".join(['#include "cuda.h"', self._cpp, *wrappers, ""])
        loaded = ctypes.CDLL(str(building.library(cpp, sanitize)))
        loaded.cuda_on_cpu_launch.restype = ctypes.c_char_p
        return loaded

    def launch(self, name, blocks, threads, arguments, shared=0):
        """Run a kernel on NumPy's arrays and numbers, which must be of its parameters' dtypes.

        Raises:
            TypeError, ValueError: the arguments are not what the kernel's text takes.
            RuntimeError: a launch that CUDA refuses, or a barrier that not all threads reach.
            IndexError: something was written beside an array.
        """
        entry = self.entries[name]
        entry.check(arguments)
        launched[name] += 1
        library = self.library(settings.sanitize)
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        with device_memory(arrays, settings.sanitize) as addresses:
            places = iter(addresses)
            values = [np.intp(next(places)) if isinstance(a, np.ndarray) else a for a in arguments]
            error = library.cuda_on_cpu_launch(
                getattr(library, f"call_{name}"),
                _pointers(values),
                _sides(blocks),
                _sides(threads),
                ctypes.c_size_t(shared),
                ORDERS.index(settings.order),
                ctypes.c_ulonglong(settings.seed),
                self._removed(),
            )
            if error is not None:
                raise RuntimeError(f"{name}: {error.decode()}")

    def _removed(self):
        program, number = settings.removed or (None, -1)
        return number if program is self else -1


def _sides(given):
    return (ctypes.c_uint * 3)(*given, *[1] * (3 - len(given)))


def _pointers(values):
    """The address of each value, as the driver takes them."""
    kept = [ctypes.create_string_buffer(value.tobytes(), value.itemsize) for value in values]
    pointers = (ctypes.c_void_p * len(kept))(*map(ctypes.addressof, kept))
    pointers.kept = kept  # as long as the pointers
    return pointers


@functools.cache
def compiled(code, options=()):
    """The program of a text, which is compiled when it is first launched."""
    return Program(code, options)
