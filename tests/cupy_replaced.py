"""Puts other modules in CuPy's place, and makes minigrad meet them anew."""

import sys
from contextlib import contextmanager, nullcontext

import cuda_on_cpu
import cupy_standin

import minigrad as mg
from minigrad import backend


@contextmanager
def cupy_replaced(modules):
    """Inside, `import cupy` finds these modules, and minigrad has not met CuPy yet.

    The stand-in runs kernels only where there is g++: elsewhere they are off.
    """
    known = backend._by_name.copy(), backend._by_type.copy(), backend.XP.copy()
    tables = backend._by_name, backend._by_type, backend.XP
    before = cupy_standin.install(modules)
    loaded = forget_backend()
    runs = modules is not cupy_standin.modules or cuda_on_cpu.available()
    try:
        with nullcontext() if runs else mg.kernels(False):
            yield
    finally:
        cupy_standin.restore(before)
        forget_backend()
        if loaded is not None:
            sys.modules["minigrad.backend.cupy"] = loaded
        for table, entries in zip(tables, known, strict=True):
            table.clear()
            table.update(entries)


def forget_backend():
    """Make minigrad load its CuPy backend anew when it is next asked for."""
    old = backend._by_name.pop("cuda", None)
    if old is not None:
        del backend._by_type[old.array_type], backend.XP[old.array_type]
        backend.several.forget(old.array_type)
    return sys.modules.pop("minigrad.backend.cupy", None)
