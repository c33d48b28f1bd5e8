"""Indexing as CuPy does it: out of range wraps, and duplicates are written in no order."""

import numpy as np

from .memory import hidden_copies, poison


def host_key(key, shape):
    """An index for NumPy, from arrays of the stand-in; integer arrays wrap, as in CuPy."""
    parts = [_host_part(part) for part in (key if isinstance(key, tuple) else (key,))]
    if sum(has_kind((part,), "b") for part in parts) > 1:
        raise NotImplementedError("CuPy takes one boolean array in an index")
    taken = sum(_axes_taken(part) for part in parts)
    axis, wrapped = 0, []
    for part in parts:
        is_integers = isinstance(part, np.ndarray) and part.dtype.kind in "iu"
        # an axis of length 0 has nowhere to wrap to
        fits = is_integers and shape[axis : axis + 1]  # a small dtype may not hold the length
        wrapped.append(part.astype(np.int64) % shape[axis] if fits else part)
        axis += len(shape) - taken if part is Ellipsis else _axes_taken(part)
    return tuple(wrapped)


def _host_part(part):
    part = getattr(part, "_host", part)
    return np.asarray(part, np.intp if part == [] else None) if isinstance(part, list) else part


def _axes_taken(part):
    """How many axes of the array one part of an index is for."""
    if part is None or part is Ellipsis or isinstance(part, bool | np.bool_):
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1


def has_kind(key, kinds):
    """Whether an index holds an array of these kinds."""
    return any(isinstance(part, np.ndarray) and part.dtype.kind in kinds for part in key)


def read(host, key):
    """host[key].  How many values a mask selects is only known on the device: that is a copy."""
    if has_kind(key, "b"):
        hidden_copies["mask"] += 1
    return host[key]


def write(host, key, values):
    """host[key] = values, with poison where the result depends on the order of the writes."""
    if has_kind(key, "b") and np.ndim(values):
        hidden_copies["mask"] += 1
    if not has_kind(key, "iu") or np.ndim(values) == 0:
        host[key] = values
        return
    places = np.arange(host.size).reshape(host.shape)[key]
    values = np.broadcast_to(values, places.shape).reshape(-1)
    forwards, backwards = host.copy("C"), host.copy("C")
    forwards.reshape(-1)[places.reshape(-1)] = values
    backwards.reshape(-1)[places.reshape(-1)[::-1]] = values[::-1]
    same = (forwards == backwards) | ((forwards != forwards) & (backwards != backwards))
    host[...] = np.where(same, forwards, np.asarray(poison(host.dtype), host.dtype))
