"""What surrounds a forward: operands on the way in, outputs on the way out, errors.

The generated `call` of an op handles the usual case inline and leaves the rest to these functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from . import backend, dtypes
from .backend import Array
from .errors import DeviceError, DTypeError, OutOfRangeError, ShapeError
from .graph import Node, tick
from .hint import Hint, Sealed
from .modes import recording
from .tensor import Tensor, handle

# what the generated text calls
HELPERS = (
    *("operand", "each_operand", "flat", "one_of", "missing", "unify", "floats", "floated"),
    *("shape_of", "space_of", "outcome", "several"),  # on the way out
    *("without_constants", "without_hint", "reraise"),
)

# ---- operands ------------------------------------------------------------------------------------


def operand(value: Any) -> Any:
    """An operand that meets a Tensor: an array, or a Python number.

    NumPy scalars and 0-d NumPy arrays become Python numbers: they must not widen float32 (NumPy
    alone would).
    """
    if isinstance(value, np.generic):
        dtypes.checked(value.dtype)
        return value.item()
    if isinstance(value, int | float):
        return value
    if backend.find(value) is not None:
        dtypes.checked(value.dtype)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return value.item()
        # the graph may keep it, and nobody would see the user write into it
        return value.copy() if recording.get() else value
    if isinstance(value, Hint | Sealed):
        raise DTypeError(
            "a hint may not meet a tensor: its arrays have no history; pass it on to a fused op"
        )
    if isinstance(value, list | tuple | np.ndarray):
        return Tensor(value).array
    raise DTypeError(
        f"{value!r} of type {type(value).__name__} cannot meet a tensor: give a number, an "
        "array, or mg.tensor(...) of it"
    )


def each_operand(values: Any) -> tuple[list[Any], list[Node | None] | None]:
    """The arrays of several operands, and their nodes; None for these if there is no Tensor."""
    if isinstance(values, Tensor) or not isinstance(values, list | tuple):
        raise DTypeError("give a list or a tuple of tensors, as in [a, b]")
    if not any(isinstance(v, Tensor) for v in values):
        return list(values), None
    arrays = [v.array if isinstance(v, Tensor) else operand(v) for v in values]
    return arrays, [v.node if isinstance(v, Tensor) else None for v in values]


def flat(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """`*values` as given: `f(a, b)` and `f([a, b])` mean the same."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], list | tuple) else values


def unify(*values: Any) -> list[Any]:
    """Operands of unlike type or dtype, brought together.

    They must be on one device, and integers take the floating dtype that they meet.

    Floating dtypes among themselves follow NumPy: float32 with float64 gives float64.
    """
    arrays = [v for v in values if hasattr(v, "dtype")]
    if len(arrays) > 1:
        backend.check_same(*arrays)
    if not arrays:  # numbers only, beside a condition or an index that is a tensor
        return [dtypes.default_dtype().type(v) if type(v) is float else v for v in values]
    kinds = {a.dtype for a in arrays}
    floating = [d for d in kinds if d.kind == "f"]
    if floating and len(floating) < len(kinds):
        target = np.result_type(*floating)
    elif not floating and any(type(v) is float for v in values):
        target = dtypes.default_dtype()
    else:
        return list(values)
    return [v.astype(target) if hasattr(v, "dtype") and v.dtype.kind != "f" else v for v in values]


def floats(*values: Any) -> list[Any]:
    """Operands of an op that has floating results only: integers become the default dtype."""
    return [dtypes.as_floating(v) if hasattr(v, "dtype") else v for v in values]


def floated(value: Any) -> Any:
    """What such an op hands to its reference: `floats`, of a tensor."""
    if isinstance(value, Tensor) and value.dtype.kind != "f":
        return handle(dtypes.as_floating(value.array))
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array, () for a number."""
    return getattr(value, "shape", ())


def space_of(*values: Any) -> ModuleType:
    """The namespace of arrays whose type `XP` does not know yet; NumPy's for numbers."""
    found = [backend.find(value) for value in values]
    return next((b.xp for b in found if b is not None), np)


def one_of(name: str, given: Any, default: Any, alias: str, other: Any) -> Any:
    """The value of an argument that has two names, of which one was used."""
    if given is not default and given != default:
        raise DTypeError(f"{name}={given} and {alias}={other} name one argument twice: give one")
    return other


def missing(name: str, alias: str) -> NoReturn:
    """Refuse a call without an argument that has two names."""
    raise DTypeError(f"{name} is missing: give {name}=... (or {alias}=...)")


# ---- outputs -------------------------------------------------------------------------------------


def outcome(op: Any, y: Any) -> Array:
    """A 0-d array of the scalar that NumPy gives for one; anything else is no result."""
    if not isinstance(y, np.generic):
        raise DTypeError(
            f"the forward of {op.name} gave {_described(y)} of type {type(y).__name__}: return an "
            "array, or a tuple of arrays for several outputs"
        )
    return backend.as_array(y)


def several(
    op: Any,
    outputs: tuple[Array, ...],
    saved: tuple[Any, ...],
    parents: tuple[Node | None, ...],
) -> tuple[Tensor, ...]:
    """Tensors for the outputs of an op that has more than one."""
    arrays = tuple([backend.as_array(y) for y in outputs])
    needed = any(parents) and recording.get()
    differentiable = [y for i, y in enumerate(arrays) if needed and i not in op.constant]
    if not differentiable:
        return _named(op, tuple([handle(y) for y in arrays]))
    node = _node(op, parents, saved, differentiable[0])
    if len(differentiable) > 1:
        node.shape = tuple(y.shape for y in differentiable)
        node.dtype = tuple(y.dtype for y in differentiable)
        return _named(op, outputs_of(node, arrays))
    tensors = [handle(y, None if i in op.constant else node) for i, y in enumerate(arrays)]
    return _named(op, tuple(tensors))


def _named(op: Any, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The outputs by the names that the op gives them, if it does."""
    return outputs if op.outputs is None else op.outputs(*outputs)


def outputs_of(node: Node, arrays: tuple[Array, ...]) -> tuple[Tensor, ...]:
    """An op's outputs as Tensors of its node.

    With one differentiable output, that output's node is the op's.  With more, each has a small
    node of its own whose `op` is its position; its one parent is the op's node.
    """
    places = [i for i in range(len(arrays)) if i not in node.op.constant]
    nodes = {places[0]: node}
    if len(places) > 1:
        nodes = {i: _node(place, (node,), (), arrays[i]) for place, i in enumerate(places)}
    return tuple([handle(y, nodes.get(i)) for i, y in enumerate(arrays)])


def _node(op: Any, parents: tuple[Node | None, ...], saved: tuple[Any, ...], y: Array) -> Node:
    node = Node.__new__(Node)
    node.id, node.op = tick(), op
    node.parents, node.saved = parents, saved
    node.shape, node.dtype = y.shape, y.dtype
    return node


def without_constants(op: Any, outputs: Any) -> Any:
    """A reference's outputs with the constant ones detached, as the fused node has them."""
    if not isinstance(outputs, tuple):
        return outputs
    detached = [
        y.detach() if i in op.constant and isinstance(y, Tensor) else y
        for i, y in enumerate(outputs)
    ]
    return _named(op, tuple(detached))


def without_hint(y: Any) -> Any:
    """A forward's outputs without its hint."""
    return y[0] if type(y) is tuple and y and type(y[-1]) is Hint else y


# ---- errors --------------------------------------------------------------------------------------


def describe(values: Iterable[Any]) -> str:
    """Dtypes and shapes, as errors print them."""
    return ", ".join(_described(v) for v in values)


def _described(value: Any) -> str:
    if isinstance(value, Tensor) or backend.find(value) is not None:
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, list | tuple) and any(hasattr(v, "dtype") for v in value):
        return f"[{describe(value)}]"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_KINDS = {IndexError: OutOfRangeError, ValueError: ShapeError, TypeError: DTypeError}


def reraise(op: Any, error: Exception, given: tuple[Any, ...], statics: dict[str, Any]) -> NoReturn:
    """Raise what a call ran into, as one of our kinds, with the op and what it was given."""
    arrays = [getattr(v, "array", v) for v in given]
    statics = {name: v for name, v in statics.items() if v is not op.statics[name].default}
    options = "".join(f", {name}={_described(v)}" for name, v in statics.items())
    what = f"{op.name}({describe(given)}{options})"
    backend.explain(error, what)
    try:  # a library's own message about devices is worse
        backend.check_same(*(a for a in arrays if backend.find(a) is not None))
    except DeviceError as mixed:
        raise DeviceError(f"{what}: {mixed}") from error
    if isinstance(error, AttributeError) and not all(hasattr(a, "shape") for a in arrays):
        raise DTypeError(f"{what}: a number cannot stand here, give a tensor") from error
    if isinstance(error, np.linalg.LinAlgError | DeviceError | DTypeError | ShapeError):
        kind: Any = type(error)
    else:
        kind = next((ours for theirs, ours in _KINDS.items() if isinstance(error, theirs)), None)
    if kind is None:
        error.add_note(f"in {what}")
        raise error
    meet = " (shapes meet from the right: each length equal, or 1; .unsqueeze(axis) adds one)"
    several_meet = len(op.inputs) > 1 and op.unified == op.inputs
    hint = meet if several_meet and "broadcast" in str(error) else ""
    raise kind(f"{what}: {str(error).strip()}{hint}") from error
