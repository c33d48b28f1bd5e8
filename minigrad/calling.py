"""What surrounds a forward: operands on the way in, outputs on the way out, errors.

The generated `call` of an op handles the usual case inline and leaves the rest to these functions.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from . import backend, dtypes
from .backend import Array
from .errors import DTypeError, ShapeError
from .graph import Node, tick
from .hint import Hint, Sealed
from .modes import recording
from .tensor import Tensor, handle

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
        raise TypeError(f"{name}={given} and {alias}={other} name one argument twice: give one")
    return other


# ---- outputs -------------------------------------------------------------------------------------


def several(
    op: Any, outputs: tuple[Array, ...], saved: tuple[Any, ...], parents: tuple[Node | None, ...]
) -> tuple[Tensor, ...]:
    """Tensors for the outputs of an op that has more than one."""
    arrays = [backend.as_array(y) for y in outputs]
    differentiable = [y for i, y in enumerate(arrays) if i not in op.constant]
    needed = any(parent is not None for parent in parents)
    if not (differentiable and needed and recording.get()):
        return tuple([handle(y) for y in arrays])
    node = _node(op, parents, saved, differentiable[0])
    if len(differentiable) > 1:
        node.shape = tuple(y.shape for y in differentiable)
        node.dtype = tuple(y.dtype for y in differentiable)
    return outputs_of(node, tuple(arrays))


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
    node = Node()
    node.id, node.op = tick(), op
    node.parents, node.saved = parents, saved
    node.shape, node.dtype = y.shape, y.dtype
    return node


def without_constants(op: Any, outputs: Any) -> Any:
    """A reference's outputs with the constant ones detached, as the fused node has them."""
    if not op.constant:
        return outputs
    return tuple(
        [
            y.detach() if i in op.constant and isinstance(y, Tensor) else y
            for i, y in enumerate(outputs)
        ]
    )


def without_hint(y: Any) -> Any:
    """A forward's outputs without its hint."""
    return y[0] if type(y) is tuple and type(y[-1]) is Hint else y


# ---- errors --------------------------------------------------------------------------------------


def describe(values: tuple[Any, ...]) -> str:
    """Dtypes and shapes, as errors print them."""
    return ", ".join(
        f"{v.dtype} {tuple(v.shape)}" if hasattr(v, "shape") else repr(v) for v in values
    )


def reraise(op: Any, error: Exception, values: tuple[Any, ...]) -> NoReturn:
    """Raise what a forward raised, of the same kind, with the op and what it was given."""
    # a library's own message about devices is worse
    backend.check_same(*(v for v in values if hasattr(v, "shape")))
    if isinstance(error, IndexError) and not isinstance(error, ValueError):
        kind: type[Exception] = IndexError
    elif isinstance(error, ValueError | TypeError):
        kind = ShapeError if isinstance(error, ValueError) else DTypeError
    else:
        error.add_note(f"in {op.name}({describe(values)})")
        raise error
    meet = " (shapes meet from the right: each length equal, or 1; .unsqueeze(axis) adds one)"
    hint = meet if "broadcast" in str(error) and op.unified == op.inputs else ""
    raise kind(f"{op.name}({describe(values)}): {str(error).strip()}{hint}") from error
