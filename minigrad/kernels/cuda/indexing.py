"""What reading at indices does backward: values added up where they were read."""

from __future__ import annotations

import numpy as np

from ...ops.index import unindex
from .adding import add, places_of
from .floats import alike


@unindex.kernel("cuda")
def _(xp, x, *, shape, key):
    parts = key if isinstance(key, tuple) else (key,)
    if not alike(xp, x) or not any(map(_is_index, parts)) or any(map(_is_mask, parts)):
        return NotImplemented
    places = places_of(xp, shape, tuple([_there(xp, k) for k in parts]))
    if places is None or x.shape != places.shape:
        return NotImplemented
    y = xp.empty(shape, x.dtype)
    add(xp, xp.ascontiguousarray(x), places, y, more=False)
    return y


def _is_index(k):
    return getattr(k, "ndim", 0) > 0 and k.dtype.kind in "iu"


def _is_mask(k):
    return isinstance(k, bool) or (hasattr(k, "dtype") and k.dtype.kind == "b")


def _there(xp, k):
    """An array of the host's, on the device."""
    return xp.asarray(k) if isinstance(k, np.ndarray) else k
