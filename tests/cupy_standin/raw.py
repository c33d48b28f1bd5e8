"""`RawModule` and its kernels: the very CUDA C++ text, run on the CPU (tests/cuda_on_cpu)."""

from pathlib import Path

import numpy as np
from cuda_on_cpu import compiled

from .array import ndarray, same_device


class RawModule:
    """Kernels of a text in CUDA C++; it is compiled when a kernel is first launched.

    What a program must not leave to chance is refused: a bare Python number, whose width CuPy
    chooses; an array whose dtype is not the pointer's, or that is not contiguous; a launch of
    nothing, of which CuPy makes one block.
    """

    def __init__(
        self,
        *,
        code=None,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=False,
    ):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        unserved = translate_cucomplex or enable_cooperative_groups or name_expressions or jitify
        if unserved or backend != "nvrtc":
            raise NotImplementedError("the stand-in's RawModule takes code and options alone")
        self.code = Path(path).read_text() if code is None else code
        self._program = compiled(self.code, tuple(options))

    def get_function(self, name):
        """The kernel of this name, which is an `extern "C" __global__` function of the text."""
        if name not in self._program.entries:
            raise AttributeError(
                f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name!r} among "
                f"{sorted(self._program.entries)}"
            )
        return RawKernel(self._program, name)


class RawKernel:
    """A kernel of a module's."""

    def __init__(self, program, name):
        self._program, self.name = program, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        """Launch it: `grid` and `block` are tuples of up to three numbers."""
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError(f"grid and block are tuples, got {grid!r} and {block!r}")
        same_device(self.name, args)
        self._program.launch(self.name, grid, block, [_host(a) for a in args], shared_mem)


def _host(argument):
    if isinstance(argument, np.ndarray):
        if argument.size != 1 or argument.dtype.fields is None:
            raise TypeError("a kernel was given a NumPy array: CuPy passes its bytes by value")
        return argument.reshape(())[()].copy()  # a struct
    return argument._host if isinstance(argument, ndarray) else argument
