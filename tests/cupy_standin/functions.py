"""CuPy's functions: NumPy's, for the names and keywords that CuPy has."""

import operator

import numpy as np

from .api import NAMES, check_call
from .array import SCALARS, arrays_in, into, ndarray, same_device, unwrap, wrap
from .memory import hidden_copies, poison

# Functions that take data from the host: nobody is surprised by these copies.
FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
# The size of their result depends on the values, so that CuPy must look.
DATA_DEPENDENT = {"nonzero", "flatnonzero", "argwhere", "unique", "compress", "extract"}
# What `ufunc.at` has atomic operations for; float16 goes through float32.
ATOMIC = {np.dtype(kind) for kind in "iIfdQ"}
# Names of first parameters that CuPy calls methods of: numbers and lists have none.
NEEDS_ARRAY = {"a", "array", "condition", "m", "prototype", "v", "x"}
NEEDS_ARRAYS = {"tup"}
# Solvers that CuPy does not ask whether they succeeded (unless `cupyx.errstate(linalg="raise")`
# says so), and the argument that has the result's shape.
UNCHECKED = {"linalg.inv": 0, "linalg.cholesky": 0, "linalg.solve": 1}
IGNORED = {"blocking", "stream"}  # keywords about streams, which NumPy has no use for


class Function:
    """A function by its dotted name, with CuPy's keywords."""

    def __init__(self, name):
        self.__name__ = name
        self._numpy = operator.attrgetter(name)(np)
        self._parameters = NAMES[name].get("args")

    def __call__(self, *arguments, **keywords):
        name = self.__name__
        self._check(arguments, keywords)
        same_device(name, [*arguments, *keywords.values()])
        if name in DATA_DEPENDENT or (name == "where" and len(arguments) == 1):
            hidden_copies[name] += 1
        out = keywords.pop("out", None)
        keywords = {key: value for key, value in keywords.items() if key not in IGNORED}
        if name in FROM_HOST:
            return _from_host(self._numpy, arguments, keywords)
        inputs = list(arrays_in([*arguments, *keywords.values()]))
        with np.errstate(all="ignore"):  # a GPU gives no warnings
            result = self._compute(*unwrap(arguments, name), **unwrap(keywords, name))
        if name.startswith("empty"):
            result.fill(poison(result.dtype))
        return into(out, wrap(result, inputs))

    def _compute(self, *arguments, **keywords):
        try:
            return self._numpy(*arguments, **keywords)
        except np.linalg.LinAlgError as error:
            shapes_do_not_fit = "dimension" in str(error)
            if shapes_do_not_fit or self.__name__ not in UNCHECKED:
                raise
            like = arguments[UNCHECKED[self.__name__]]
            return np.full(like.shape, poison(like.dtype), like.dtype)

    def _check(self, arguments, keywords):
        check_call(self.__name__, self._parameters, len(arguments), keywords)
        first = self._parameters[0] if self._parameters else None
        if self.__name__ in FROM_HOST or not arguments:
            return
        given = [arguments[0]] if first in NEEDS_ARRAY else []
        for value in arguments[0] if first in NEEDS_ARRAYS else given:
            if not isinstance(value, ndarray):
                kind = type(value)
                raise TypeError(f"cupy.{self.__name__} needs a cupy.ndarray, got {kind}")

    def __repr__(self):
        return f"<stand-in for cupy.{self.__name__}>"


def _from_host(function, arguments, keywords):
    """An array from data on the host or the device; never one that shares the host's memory."""
    data, *rest = arguments
    if isinstance(data, ndarray):
        result = function(data._host, *rest, **keywords)
        return data if result is data._host else wrap(result, [data])
    return wrap(function(_bare(data), *rest, **keywords).copy())


def _bare(data):
    """Nested lists with the stand-in's arrays in them, which `cupy.array` takes."""
    if isinstance(data, list | tuple):
        return [_bare(each) for each in data]
    return getattr(data, "_host", data)


class UFunc(Function):
    """An elementwise function: it broadcasts, writes to `out`, and has fewer methods than NumPy's.

    `where=` is refused, as CuPy does.
    """

    def _check(self, arguments, keywords):
        unknown = {k: v for k, v in keywords.items() if k not in ("out", "dtype", "casting")}
        if unknown:
            raise TypeError(f"Wrong arguments {unknown}")
        for argument in arguments:
            scalar = isinstance(argument, SCALARS) or getattr(argument, "shape", None) == ()
            if not scalar and not isinstance(argument, ndarray):
                raise TypeError(f"Unsupported type {type(argument)} (in {self.__name__})")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        """The sum or the product."""
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        same_device(self.__name__, [array])
        found = self._numpy.reduce(unwrap(array, "reduce"), axis, dtype, keepdims=keepdims)
        return into(out, wrap(found))

    def at(self, array, key, values=None):
        """array[key] = op(array[key], values), one after the other."""
        name = self.__name__
        if not NAMES[name]["at"]:
            raise NotImplementedError(f"`cupy_{name}.at` is not supported yet")
        if array.dtype not in ATOMIC:
            raise TypeError(f"cupy.{name}.at does not support {array.dtype} as data type")
        same_device(name, [array, values])
        from .indexing import host_key

        self._numpy.at(array._host, host_key(key, array.shape), unwrap(values, name))


class Grid:
    """`ogrid` and `mgrid`."""

    def __init__(self, name):
        self._numpy = getattr(np, name)

    def __getitem__(self, key):
        return wrap(self._numpy[key])


_found = {}


def lookup(name):
    """The stand-in for `cupy.name`, or None where CuPy, or the stand-in, has no such thing."""
    if name not in _found:
        _found[name] = _make(name)
    return _found[name]


def _make(name):
    if name not in NAMES:
        return None
    try:
        found = operator.attrgetter(name)(np)
    except AttributeError:
        return None
    if name in ("ogrid", "mgrid"):
        return Grid(name)
    if NAMES[name].get("ufunc"):
        return UFunc(name)
    return Function(name) if callable(found) and not isinstance(found, type) else found


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARING = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _operator(name, form):
    """A method such as `__add__`, in one of its forms: plain, "reversed", "in place"."""

    def method(self, *others):
        if not all(isinstance(other, (ndarray, np.ndarray, *SCALARS)) for other in others):
            return NotImplemented
        arguments = (*others, self) if form == "reversed" else (self, *others)
        return lookup(name)(*arguments, **({"out": self} if form == "in place" else {}))

    return method


def _give_operators():
    """Python's operators, for the array.  CuPy has no in-place `@=`."""
    for short, name in {**_BINARY, "matmul": "matmul"}.items():
        setattr(ndarray, f"__{short}__", _operator(name, "plain"))
        setattr(ndarray, f"__r{short}__", _operator(name, "reversed"))
        if short != "matmul":
            setattr(ndarray, f"__i{short}__", _operator(name, "in place"))
    for short, name in {**_COMPARING, **_UNARY}.items():
        setattr(ndarray, f"__{short}__", _operator(name, "plain"))


_give_operators()
