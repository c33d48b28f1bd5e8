"""A strict stand-in for CuPy 14.2, so that code for the GPU is tested where there is none.

    with installed():
        import cupy  # the stand-in

It computes with NumPy, and holds a program to CuPy's contract, at its strictest where CuPy leaves
something undefined:

- its array is its own class: NumPy arrays neither become it unasked nor mix with it;
- names and keywords are those of CuPy 14.2 (`cupy_api.json`, frozen by `dump_api.py`);
- reductions and indexing give 0-d arrays, never scalars;
- memory from `empty` is poisoned, and so is `a[index] = v` where `index` names a place twice and
  the order of the writes would matter;
- integer indices out of range wrap silently;
- `hidden_copies` counts each look at the device from the host.

`RawModule` is there where g++ is: it runs the text of CUDA kernels on the CPU (cuda_on_cpu/).

What it cannot show: kernels of which CuPy writes the text (`ElementwiseKernel` and its kin are not
there), timing, and CuPy's own mistakes.
"""

import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

import cuda_on_cpu
import numpy as np

from . import cublas
from . import cuda as _cuda
from .api import NAMES, VERSION
from .array import ndarray
from .functions import UFunc, lookup
from .memory import hidden_copies
from .random import Generator
from .raw import RawModule


def _namespace(path):
    """The module `cupy` or one below it, which offers what CuPy's does."""
    prefix = path.removeprefix("cupy").removeprefix(".")
    module = ModuleType(path)
    module.__spec__ = ModuleSpec(path, None)
    module.__path__ = []

    def find(name):
        dotted = f"{prefix}.{name}" if prefix else name
        found = lookup(dotted)
        if found is None:
            why = "; CuPy has it, the stand-in does not yet" if dotted in NAMES else ""
            raise AttributeError(f"module {path!r} has no attribute {name!r}{why}")
        return found

    module.__getattr__ = find
    return module


def asnumpy(a, stream=None, order="C", out=None, blocking=True):
    """The host's copy of an array of the device."""
    return a.get(order=order) if isinstance(a, ndarray) else np.asarray(a, order=order)


def get_array_module(*args):
    """`cupy` if one of the arguments is its array, else `numpy`."""
    return modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np


def _make_modules():
    """All modules of the stand-in, by the names that they are imported under."""
    paths = ["cupy", "cupy.linalg", "cupy.random", "cupy.lib", "cupy.lib.stride_tricks"]
    made = {path: _namespace(path) for path in paths}
    made["cupy.cuda"] = _cuda.make_module()
    made["cupy._core"] = cublas.make_core()
    for path, module in made.items():
        parent, _, name = path.rpartition(".")
        if parent:
            setattr(made[parent], name, module)
    own = {"ndarray": ndarray, "ufunc": UFunc, "newaxis": None, "__version__": VERSION}
    vars(made["cupy"]).update(own, asnumpy=asnumpy, get_array_module=get_array_module)
    if cuda_on_cpu.available():
        vars(made["cupy"]).update(RawModule=RawModule)
    vars(made["cupy.random"]).update(Generator=Generator, default_rng=Generator)
    return made


modules = _make_modules()


def install(instead=None):
    """Make `import cupy` give the stand-in; returns what was there before, for `restore`.

    Args:
        instead: other modules by name, such as a broken CuPy.
    """
    before = {name: module for name, module in sys.modules.items() if _is_cupy(name)}
    restore(modules if instead is None else instead)
    hidden_copies.clear()
    return before


def restore(before):
    """Make `import cupy` give other modules: those that `install` found, or none."""
    for name in [name for name in sys.modules if _is_cupy(name)]:
        del sys.modules[name]
    sys.modules.update(before)


def _is_cupy(name):
    return name.partition(".")[0] == "cupy"


@contextmanager
def installed():
    """Inside, `import cupy` gives the stand-in."""
    before = install()
    try:
        yield modules["cupy"]
    finally:
        restore(before)
