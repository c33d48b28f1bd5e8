"""Faster bodies for ops that exist, never new meaning: each is tested equal to its op's forward.

`minigrad/kernels/*.py` are compiled by Numba, for NumPy's arrays (the extra `fast`; without Numba
everything runs on the forwards).  `import minigrad` loads none of them: a module is imported when
the first of its ops runs, and each kernel is compiled when it is first needed, once for a machine:
Numba keeps it on disk, beside its module or in `NUMBA_CACHE_DIR`.

`MINIGRAD_KERNELS=off` turns all of them off, `with mg.kernels(False)` for a while.  A process that
is forked from one whose kernels have run has none: their threads do not come along.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from typing import Any

from .. import backend

# which module has the kernels of an op
MODULES: dict[str, str] = {
    "batch_norm": "norms",
    "batch_norm_eval": "norms",
    "batch_norm_grad": "norms",
    "batch_norm_relu": "norms",
    "batch_norm_relu_eval": "norms",
    "batch_norm_relu_grad": "norms",
    "batch_norm_sums": "norms",
    "conv2d": "conv",
    "conv2d_bias": "conv",
    "conv2d_input": "conv",
    "conv2d_weight": "conv",
    "cross_entropy": "losses",
    "dot": "products",
    "gelu": "elementwise",
    "gelu_grad": "elementwise",
    "layer_norm": "norms",
    "layer_norm_grad": "norms",
    "linear": "products",
    "linear_grad": "products",
    "linear_weight_grad": "products",
    "log_softmax": "losses",
    "matmul": "products",
    "max_pool2d": "pooling",
    "mean": "sums",
    "relu": "elementwise",
    "relu_grad": "elementwise",
    "sigmoid": "elementwise",
    "silu": "elementwise",
    "silu_grad": "elementwise",
    "softmax": "losses",
    "sum": "sums",
    "sum_to": "sums",
    "unindex": "indexing",
    "unpick": "pooling",
}

_loaded: set[str] = set()

# whether this process was forked from one whose kernels had run: it has none (see threads.py)
forked = False


def waits_for_kernels(op_name: str) -> bool:
    """Whether an op has kernels that could be loaded, and are not yet."""
    module = MODULES.get(op_name)
    return module is not None and module not in _loaded and _can_compile()


def _can_compile() -> bool:
    """Whether there is Numba, and it may compile: interpreted, kernels would be no use."""
    disabled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
    return not forked and not disabled and backend.installed("numba")


def load_kernels(op_name: str) -> None:
    """Import the module with an op's kernels, which gives them to their ops."""
    module = MODULES[op_name]
    _loaded.add(module)
    _imported(module)


@functools.cache
def optimizer_steps() -> Any:
    """The module with the steps of optimisers, which are no ops; None without Numba."""
    return _imported("updates") if _can_compile() else None


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{module}")
    except Exception as error:  # a broken Numba may raise anything, and nothing depends on it
        warnings.warn(
            f"Numba is installed but cannot be used ({type(error).__name__}: {error}): ops run "
            "without kernels, which is slower; MINIGRAD_KERNELS=off silences this",
            stacklevel=3,
        )
        return None
