"""The libraries to compare with, where they are installed; None where they are not.

`load` comes before minigrad's kernels are loaded.  PyTorch brings its own OpenMP and minigrad loads
the system's, with a shorter time of waiting; loaded first, that one would serve PyTorch too, which
would then not be PyTorch as its users have it.
"""

from __future__ import annotations

import importlib
from typing import Any

from _threads import starting_free

NAMES = {"torch": "PyTorch", "jax": "JAX", "mygrad": "MyGrad", "autograd": "autograd"}

torch: Any = None
jax: Any = None
mygrad: Any = None
autograd: Any = None


def load(*names: str) -> None:
    """Import these, or all that are installed."""
    for name in names or NAMES:
        try:
            globals()[name] = importlib.import_module(name)
            if name == "autograd":  # it does not import this by itself
                importlib.import_module("autograd.numpy")
            if name == "jax":
                with starting_free():  # XLA's pools do the work while the main thread waits
                    jax.devices()
        except ImportError:
            globals()[name] = None


def missing() -> list[str]:
    """The names of those that are not there."""
    return [title for name, title in NAMES.items() if globals()[name] is None]


def numpy_like() -> dict[str, Any]:
    """The namespaces with NumPy's names, of those that are there and have one."""
    found = {"jax": jax and jax.numpy, "mygrad": mygrad, "autograd": autograd and autograd.numpy}
    return {name: space for name, space in found.items() if space is not None}
