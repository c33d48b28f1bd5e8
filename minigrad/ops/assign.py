"""Changing a Tensor: item and augmented assignment, and the in-place writes.

While recording, `x[i] = v` and `x += v` are functional: a new value is made, and this Tensor
becomes it, so every name of it sees the change, while earlier views and what the graph saved keep
the old value.  Under `no_grad` they write into memory, and say so to the clock, so that a sweep
which needs the old value raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backend, graph, random
from ..backend import several
from ..calling import unify
from ..errors import DTypeError, GraphError, ShapeError
from ..modes import recording
from ..tensor import Tensor
from . import elementwise as e
from .index import bare_key, setitem, write


def _refuse_leaf(t: Tensor, what: str) -> None:
    if t.requires_grad and t.is_leaf:
        raise GraphError(
            f"{what} on a leaf that requires grad would change it behind the graph: write `with "
            f"mg.no_grad(): {what}`, or work on t.clone()"
        )


def _become(t: Tensor, new: Tensor, what: str) -> Tensor:
    """Let t be another value of its own shape and dtype."""
    if new.shape != t.shape:
        raise ShapeError(
            f"{what} would change the shape {t.shape} to {new.shape}: write t = t ... instead"
        )
    if new.dtype.kind == "f" and t.dtype.kind != "f":
        raise DTypeError(f"{what} would cut {new.dtype} to {t.dtype}: write t = t.float() first")
    if new.dtype != t.dtype:
        new = new.to(t.dtype)
    old = t.node
    t.array, t.node = new.array, new.node
    if old is not None and t.node is not None and old in graph.retained:
        del graph.retained[old]
        t.retain_grad()  # what was asked of the old value is asked of the new one
    return t


def _value(t: Tensor, v: Any) -> Any:
    """v as an array or number that can be written into t."""
    if isinstance(v, Tensor):
        v = v.array
    elif not isinstance(v, int | float) and backend.find(v) is None:
        v = Tensor(v).array
    return unify(t.array, v)[1]


def _augmented(op: Any, ufunc: str, sign: str) -> Callable[[Tensor, Any], Tensor]:
    what = f"t {sign} v"

    def assign(self: Tensor, other: Any) -> Tensor:
        place = backend.of(self.array)
        if recording.get():
            _refuse_leaf(self, what)
            return _become(self, op(self, other), what)
        if place.writeable(self.array):
            value = _value(self, other)
            try:
                getattr(place.xp, ufunc)(self.array, value, out=self.array, casting="same_kind")
            except (TypeError, ValueError) as error:
                kind = DTypeError if isinstance(error, TypeError) else ShapeError
                raise kind(f"{what} in place, t {self.dtype} {self.shape}: {error}") from error
            graph.wrote(what, self.array)
        else:  # a view: a new value, so that `w[0] -= 0.1`, which assigns it to w[0], works
            _rebind(self, op(self, other), what)
        return self

    return assign


def _rebind(t: Tensor, new: Tensor, what: str) -> None:
    """Another value for t, which stays the leaf or the result that it is."""
    node = t.node
    _become(t, new, what)
    t.node = node


def _setitem(self: Tensor, key: Any, v: Any) -> None:
    """x[key] = v: functional while recording, in place under `no_grad`."""
    what = "t[...] = v"
    if self.dtype.kind != "f" and getattr(v, "requires_grad", False):
        raise DTypeError(f"{what}: v requires grad, which a tensor of {self.dtype} cannot carry")
    if recording.get():
        _refuse_leaf(self, what)
        if self.node is None:
            _check_writeable(self, what)  # x[0][1] = v would change a passing view only
        _become(self, setitem(self, v, key=bare_key(key)), what)
        return
    _check_writeable(self, what)
    write(self.array, bare_key(key), _value(self, v))
    graph.wrote(what, self.array)


def _check_writeable(t: Tensor, what: str) -> None:
    if not backend.of(t.array).writeable(t.array):
        raise GraphError(
            f"{what} on a view that shares another tensor's memory: write to that tensor "
            "(x[0, 1] = v, not x[0][1] = v), or to a .clone()"
        )


def _fill(t: Tensor, v: Any, what: str) -> Tensor:
    """Write values into t's memory."""
    if recording.get():
        _refuse_leaf(t, what)
        if not t.is_leaf:
            raise GraphError(
                f"{what} on a result would corrupt its graph: work on t.detach().clone()"
            )
    _check_writeable(t, what)
    value = _value(t, v)
    if hasattr(value, "shape") and value.shape != t.shape:
        raise ShapeError(
            f"{what}: values of shape {value.shape} for a tensor of shape {t.shape}: they must "
            "be equal"
        )
    t.array[...] = value
    graph.wrote(what, t.array)
    return t


def copy_(self: Tensor, source: Any) -> Tensor:
    """Copy the values of an array or tensor of the same shape into this tensor's memory."""
    return _fill(self, source, "t.copy_(a)")


def fill_(self: Tensor, value: float) -> Tensor:
    """Set every element to one number."""
    return _fill(self, value, "t.fill_(v)")


def zero_(self: Tensor) -> Tensor:
    """Set every element to zero."""
    return _fill(self, 0, "t.zero_()")


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill with draws from N(mean, std²), made on the host by the seeded generator."""
    values = random.draw("normal", self.shape, mean, std, dtype=self.dtype)
    return _fill(self, Tensor(values, device=self.device), "t.normal_()")


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Fill with draws from [low, high), made on the host by the seeded generator."""
    values = random.draw("uniform", self.shape, low, high, dtype=self.dtype)
    return _fill(self, Tensor(values, device=self.device), "t.uniform_()")


_ASSIGNMENTS = {
    "__iadd__": _augmented(e.add, "add", "+="),
    "__isub__": _augmented(e.sub, "subtract", "-="),
    "__imul__": _augmented(e.mul, "multiply", "*="),
    "__itruediv__": _augmented(e.div, "divide", "/="),
    "__ipow__": _augmented(e.pow, "power", "**="),
    "__setitem__": _setitem,
    **{each.__name__: each for each in (copy_, fill_, zero_, normal_, uniform_)},
}

for _name, _function in _ASSIGNMENTS.items():
    several.attach(Tensor, _name, _function)
