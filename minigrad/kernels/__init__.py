"""Faster bodies for ops that exist, never new meaning: each is tested equal to its op's forward.

`minigrad/kernels/cpu/` is for NumPy's arrays, `minigrad/kernels/cuda/` for CuPy's, with the CUDA
C++ in the `.cu` files here.  `import minigrad` loads none of them: a module is imported when the
first of its ops runs on such an array, and without what compiles it everything runs on the
forwards.

`MINIGRAD_KERNELS=off` turns all of them off, `with mg.kernels(False)` for a while.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

from . import cpu, cuda

PACKAGES: dict[str, Any] = {"cpu": cpu, "cuda": cuda}  # by the name of the arrays' backend

_loaded: set[tuple[str, str]] = set()


def waits_for_kernels(place: str, op_name: str) -> bool:
    """Whether an op has kernels for a backend that could be loaded, and are not yet."""
    module = PACKAGES[place].MODULES.get(op_name)
    return module is not None and (place, module) not in _loaded and PACKAGES[place].usable()


def load_kernels(place: str, op_name: str) -> None:
    """Import the module with an op's kernels, which gives them to their ops."""
    module = PACKAGES[place].MODULES[op_name]
    _loaded.add((place, module))
    _imported(place, module)


@functools.cache
def optimizer_steps(place: str) -> Any:
    """The module with the steps of optimisers, which are no ops; None if there is none to use."""
    usable = place in PACKAGES and PACKAGES[place].usable()
    return _imported(place, "updates") if usable else None


def _imported(place: str, module: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{place}.{module}")
    except Exception as error:  # a broken Numba may raise anything, and nothing depends on it
        warnings.warn(
            f"the kernels for {place!r} cannot be used ({type(error).__name__}: {error}): ops run "
            "without them, which is slower; MINIGRAD_KERNELS=off silences this",
            stacklevel=3,
        )
        return None
