"""Which arrays the kernels have entries for, and how many blocks of threads share some places."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

# the end of an entry's name
FLOATS: dict[Any, str] = {np.dtype(kind): kind for kind in ("float16", "float32", "float64")}
THREADS = 256  # of a block: a multiple of a warp that any GPU can hold several blocks of
MOST_BLOCKS = 1 << 20  # beyond, threads take several places each; a grid has room for 2³¹ - 1


def alike(xp: ModuleType, *arrays: Any) -> bool:
    """Whether these are CuPy's arrays of one floating dtype; NumPy's must not be copied unasked."""
    kind = getattr(arrays[0], "dtype", None)
    return kind in FLOATS and all(type(a) is xp.ndarray and a.dtype == kind for a in arrays)


def blocks_for(places: int) -> int:
    """How many blocks take a place with each thread."""
    return min(-(-places // THREADS), MOST_BLOCKS)
