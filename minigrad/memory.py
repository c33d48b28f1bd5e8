"""Memory for large arrays on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An array of unspecified values."""
    return np.empty(shape, dtype)
