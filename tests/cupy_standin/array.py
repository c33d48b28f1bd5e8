"""The stand-in's array: CuPy's contract on memory that NumPy holds.

It is no subclass of `numpy.ndarray`, as CuPy's is none: a forgotten `np.` fails.
"""

from dataclasses import dataclass

import numpy as np

from . import indexing
from .api import METHODS, check_call
from .cuda import Device
from .memory import check_dtype, hidden_copies, poison, room

SCALARS = (bool, int, float, complex, np.generic)
# Methods whose result has as many values as the data says, so that CuPy must look.
DATA_DEPENDENT = {"nonzero", "compress"}


class Flags:
    """CuPy's flags: there is no `writeable`."""

    def __init__(self, array):
        self.c_contiguous = array._host.flags.c_contiguous
        self.f_contiguous = array._host.flags.f_contiguous
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous
        self.owndata = array.base is None


@dataclass(frozen=True)
class Pointer:
    """CuPy's MemoryPointer, as far as one may look at it."""

    ptr: int


class ndarray:
    """An array on a device that NumPy cannot see into."""

    __slots__ = ("__weakref__", "_host", "base", "device")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._become(np.empty(shape, dtype), None)
        self._host.fill(poison(self._host.dtype))

    def _become(self, host, base):
        check_dtype(host.dtype)
        if base is None:
            room.take(self, host.nbytes)
        self._host, self.base = host, base
        self.device = Device() if base is None else base.device
        return self

    # ---- NumPy's protocols: no implicit conversion; NumPy's functions come back to CuPy's

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        from .functions import lookup

        found = lookup(ufunc.__name__)
        if found is None or method not in ("__call__", "reduce", "at"):
            return NotImplemented
        if "out" in keywords:
            (keywords["out"],) = keywords["out"]
        return (found if method == "__call__" else getattr(found, method))(*inputs, **keywords)

    def __array_function__(self, function, types, arguments, keywords):
        from .functions import lookup

        path = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
        found = lookup(path)
        if found is None or not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return found(*arguments, **keywords)

    # ---- to the host, each time counted

    def get(self, stream=None, order="C", out=None, blocking=True):
        """A copy on the host: the explicit way."""
        return self._seen("get").copy(order)

    def item(self):
        """The only value, as a Python number."""
        return self._seen("item").item()

    def tolist(self):
        """The values as nested lists."""
        return self._seen("tolist").tolist()

    def __float__(self):
        return float(self._seen("float"))

    def __int__(self):
        return int(self._seen("int"))

    def __complex__(self):
        return complex(self._seen("complex"))

    def __bool__(self):
        return bool(self._seen("bool"))

    def __repr__(self):
        return repr(self._seen("repr"))

    def __str__(self):
        return str(self._seen("str"))

    def __format__(self, spec):
        return format(self._seen("format"), spec)

    def _seen(self, how):
        hidden_copies[how] += 1
        return self._host

    def __dlpack__(self, **options):
        raise BufferError("the stand-in's memory is on no device that others could read")

    def __dlpack_device__(self):
        return 2, self.device.id  # kDLCUDA

    # ---- what Python asks

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __getitem__(self, key):
        return wrap(indexing.read(self._host, indexing.host_key(key, self.shape)), [self])

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        same_device("__setitem__", [self, value])
        indexing.write(self._host, indexing.host_key(key, self.shape), unwrap(value, "__setitem__"))

    # ---- the rest is NumPy's, where CuPy has it

    @property
    def data(self):
        """Where the memory is: kernels that follow pointers find it on the host."""
        return Pointer(self._host.__array_interface__["data"][0])

    @property
    def flags(self):
        """How the memory is laid out."""
        return Flags(self)

    def set(self, array, stream=None):
        """Copy from the host."""
        self._host[...] = array

    def copy(self, order="C"):
        """A copy on the current device, also of an array of another."""
        return wrap(self._host.copy(order))

    def take(self, indices, axis=None, out=None):
        """The values at indices, which wrap."""
        found = np.take(self._host, unwrap(indices, "take"), axis, mode="wrap")
        return into(out, wrap(found))

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self._host, name)
        return self._method(name, found) if METHODS[name] is not None else wrap(found, [self])

    def _method(self, name, method):
        def call(*arguments, **keywords):
            check_call(name, METHODS[name], len(arguments), keywords)
            same_device(name, [self, *arguments, *keywords.values()])
            if name in DATA_DEPENDENT:
                hidden_copies[name] += 1
            out = keywords.pop("out", None)
            with np.errstate(all="ignore"):  # a GPU gives no warnings
                result = method(*unwrap(arguments, name), **unwrap(keywords, name))
            return into(out, wrap(result, [self]))

        return call


ndarray.__module__ = "cupy"  # as CuPy's own says: by this a backend knows it


def wrap(result, inputs=()):
    """NumPy's result as CuPy gives it: 0-d arrays for scalars, views that know their owner."""
    if isinstance(result, tuple | list):
        parts = [wrap(each, inputs) for each in result]
        return result._make(parts) if hasattr(result, "_make") else type(result)(parts)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    for each in inputs:
        if each._host is result:
            return each
    host = np.asarray(result)
    owners = (each.base if each.base is not None else each for each in inputs)
    base = next((each for each in owners if _root(each._host) is _root(host)), None)
    return ndarray.__new__(ndarray)._become(host, base)


def _root(host):
    """What owns the memory: views, strided ones too, know it by their bases."""
    while getattr(host, "base", None) is not None:
        host = host.base
    return host


def unwrap(value, where):
    """What NumPy computes with; NumPy's own arrays are refused, as CuPy refuses them."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)} (in {where})")
    if isinstance(value, tuple | list):
        return type(value)(unwrap(each, where) for each in value)
    if isinstance(value, dict):
        return {name: unwrap(each, where) for name, each in value.items()}
    return value


def arrays_in(values):
    """The stand-in's arrays among values, in lists and tuples too."""
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, tuple | list):
            yield from arrays_in(value)


def same_device(name, values):
    """A kernel runs on the current device, and its arrays must be there."""
    for array in arrays_in(values):
        if array.device.id != Device.current:
            raise ValueError(
                "Array device must be same as the current device: array device = "
                f"{array.device.id} while current = {Device.current} (in {name})"
            )


def into(out, result):
    """The result, written to `out` if one was given."""
    if out is None:
        return result
    if not isinstance(out, ndarray):
        raise TypeError(f"Unsupported type {type(out)} (out=)")
    np.copyto(out._host, result._host, casting="same_kind")
    return out
