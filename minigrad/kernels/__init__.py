"""Faster bodies for ops that exist, never new meaning: each is tested equal to its op's forward.

`minigrad/kernels/*.py` are compiled by Numba, for NumPy's arrays (the extra `fast`; without Numba
everything runs on the forwards).  `import minigrad` loads none of them: a module is imported when
the first of its ops runs, and each kernel is compiled when it is first needed, once for a machine:
Numba keeps it on disk, beside its module or in `NUMBA_CACHE_DIR`.

`MINIGRAD_KERNELS=off` turns all of them off, `with mg.kernels(False)` for a while.
"""

from __future__ import annotations

import importlib
import warnings

from .. import backend

# which module has the kernels of an op
MODULES: dict[str, str] = {}

_loaded: set[str] = set()


def waits_for_kernels(op_name: str) -> bool:
    """Whether an op has kernels that could be loaded, and are not yet."""
    module = MODULES.get(op_name)
    return module is not None and module not in _loaded and backend.installed("numba")


def load_kernels(op_name: str) -> None:
    """Import the module with an op's kernels, which gives them to their ops."""
    module = MODULES[op_name]
    _loaded.add(module)
    try:
        importlib.import_module(f"{__name__}.{module}")
    except ImportError as error:
        warnings.warn(
            f"Numba is installed but cannot be used ({error}): ops run without kernels, which is "
            "slower; MINIGRAD_KERNELS=off silences this",
            stacklevel=2,
        )
