"""Memory shared with other libraries by DLPack; the way out is `Tensor.__dlpack__`."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend, dtypes
from .errors import DTypeError
from .tensor import Tensor, handle


def from_dlpack(array: Any) -> Tensor:
    """A tensor on the memory of another library's array (PyTorch's, JAX's, CuPy's), not copied.

    What either side writes, the other one sees, and the graph does not notice it: write before
    the tensor is used, or give `mg.tensor(array)`, which copies.

    Raises:
        DTypeError: it has no `__dlpack__`, or a dtype that no tensor can have.
        DeviceError: it is on a GPU, and CuPy is not there.

    Example:
        >>> import numpy as np
        >>> memory = np.zeros(2)
        >>> t = mg.from_dlpack(memory)
        >>> memory[0] = 7
        >>> t
        tensor([7., 0.], dtype=float64)
    """
    if isinstance(array, Tensor):
        return array.detach()
    if not hasattr(array, "__dlpack__") or not hasattr(array, "__dlpack_device__"):
        raise DTypeError(
            f"from_dlpack got a {type(array).__name__}, which has no __dlpack__: mg.tensor(data) "
            "copies what it is given"
        )
    place = backend.named(backend.home_of(array))
    if not isinstance(array, place.array_type):
        array = np.from_dlpack(array) if place.name == "cpu" else place.asarray(array)
    dtypes.checked(array.dtype)
    return handle(array)
