"""minigrad: reverse-mode autograd that reads in an afternoon, right to any order of derivative.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

import importlib as _importlib

from . import kernels as _kernels  # now, so that no later import hides `mg.kernels` behind it
from . import ops as _ops  # fills the registry
from .anomaly import detect_anomaly
from .create import (
    arange,
    empty,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .dlpack import from_dlpack
from .dtypes import bool_ as bool
from .dtypes import default_dtype, float16, float32, float64, int32, int64, set_default_dtype
from .errors import (
    DeviceError,
    DTypeError,
    GraphError,
    OutOfMemoryError,
    OutOfRangeError,
    ShapeError,
)
from .files import load, save
from .gradient import grad
from .memory_report import memory
from .modes import enable_grad, is_grad_enabled, kernels, no_grad, set_grad_enabled, unfused
from .op import registry as _registry
from .random import (
    get_rng_state,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)
from .synonyms import advice as _advice
from .tensor import Tensor
from .watching import watch

__version__ = "0.1.0"
# imported when they are first named: `import minigrad` stays quick
_ROOMS = ("cuda", "data", "func", "laws", "nn", "optim", "testing")
_LAZY = {"draw": "drawing", "record": "recorder"}  # functions, by the room that has them


def __getattr__(name: str) -> object:
    """Every op of the registry is a name here too: `mg.exp` is `tensor.exp` as a function."""
    if name in _ROOMS:
        return _importlib.import_module(f".{name}", __name__)
    if name in _LAZY:
        return getattr(_importlib.import_module(f".{_LAZY[name]}", __name__), name)
    found = _registry.get(name)
    if found is None:
        hint = _advice(name) or ": dir(minigrad) lists what it has"
        raise AttributeError(f"minigrad has no {name!r}{hint}")
    if not found.method:
        room = found.forward.__module__
        raise AttributeError(f"{name} is not a name of mg: write `from {room} import {name}`")
    return found.call


def __dir__() -> list[str]:
    return sorted(
        {*globals(), *_ROOMS, *_LAZY, *(name for name, each in _registry.items() if each.method)}
    )
