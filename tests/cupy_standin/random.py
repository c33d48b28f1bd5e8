"""`cupy.random`: a Generator with fewer distributions than NumPy's."""

import numpy as np

from .api import GENERATOR
from .array import unwrap, wrap


class Generator:
    """Draws on the device."""

    def __init__(self, seed=None):
        self._numpy = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name not in GENERATOR:
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        draw = getattr(self._numpy, name)
        return lambda *arguments, **keywords: wrap(
            draw(*unwrap(arguments, name), **unwrap(keywords, name))
        )
