"""Tensor: a light handle on an array and on where it came from.

Operators and methods come from the ops (see op.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import backend, dtypes, graph
from .arrays import new_array
from .backend import Array
from .backend.several import placed
from .errors import DTypeError, GraphError, ShapeError
from .graph import HookHandle, Leaf, Node, hooks_of
from .protocols import Protocols

if TYPE_CHECKING:
    from ._methods import Methods  # a stub written from the registry: the ops as methods
else:
    Methods = object

Self = TypeVar("Self", bound="Tensor")


class Tensor(Protocols, Methods):
    """An n-dimensional array that remembers how it was computed.

    Args:
        data: numbers, nested lists, an array or a Tensor; it is copied.
        dtype: the element type; by default an array keeps its own, Python floats become the
            default dtype.
        device: "cpu", "cuda", "cuda:1"; by default where the data is.
        requires_grad: whether `backward()` shall collect a gradient in `.grad`; floating dtypes
            only.

    Raises:
        DTypeError: no tensor dtype fits, or an integer tensor is to require grad.
        ShapeError: a ragged list.
    """

    __slots__ = ("__weakref__", "array", "grad", "node")
    array: Array  # the values; `.data` is the public way to them
    node: Node | None  # where it came from; None for a constant
    grad: Tensor | None

    def __init__(
        self, data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
    ) -> None:
        self.array = new_array(_bare(data), dtype, device)
        self.node = self.grad = None
        if requires_grad:
            self.requires_grad = True

    # ---- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of elements, as in NumPy."""
        return self.array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type: one of NumPy's dtypes."""
        return self.array.dtype

    @property
    def device(self) -> str:
        """Where its array lives: "cpu", "cuda:0"."""
        return backend.of(self.array).device_of(self.array)

    def numel(self) -> int:
        """The number of elements, under PyTorch's name."""
        return self.size

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through it; may be set on a leaf."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not self.is_leaf:
            if not wanted:
                raise GraphError(
                    f"a result of {op_name(self)} requires grad because its inputs do: use "
                    ".detach() for one that does not"
                )
        elif not wanted:
            self.node = None
        elif not dtypes.is_floating(self.dtype):
            raise DTypeError(
                f"only floating tensors can require grad, not {self.dtype}: convert first, with "
                ".float() or .double()"
            )
        elif self.node is None:
            if not backend.of(self.array).writeable(self.array):
                self.array = self.array.copy()  # a leaf is stepped in place: it owns its memory
            self.node = Leaf(self)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded op."""
        return self.node is None or self.node.op is None

    @property
    def data(self) -> Array:
        """The bare array: a leaf's may be written, a result's is a read-only view.

        Setting it rebinds: graphs built before keep the old array and stay right.  Writing *into*
        it (`t.data[0] = 1`) cannot be noticed: write `with mg.no_grad(): t[0] = 1` instead, which
        is.
        """
        return self.array if self.is_leaf else backend.of(self.array).freeze(self.array.view())

    @data.setter
    def data(self, value: Any) -> None:
        if value is self.array:  # `t.data -= step` has written in place already
            graph.wrote("t.data = ...", self.array)
        elif not self.is_leaf:
            raise GraphError(
                f"the data of a result of {op_name(self)} cannot be replaced: take .detach() or "
                ".clone() and change that"
            )
        else:
            array = new_array(_bare(value), None, None, copy=False)
            place = backend.of(array)
            self.rebind(array if place.writeable(array) else place.asarray(array, copy=True))

    def rebind(self, array: Array) -> None:
        """Make a leaf hold another array; graphs built before keep the old one."""
        array = backend.as_array(array)
        if self.requires_grad and not dtypes.is_floating(array.dtype):
            raise DTypeError(f"a leaf that requires grad cannot hold {array.dtype}: give floats")
        before, self.array = self.node, array
        if before is not None and (array.shape, array.dtype) != (before.shape, before.dtype):
            self.node = self.grad = None  # a gradient of another shape or dtype is none of its own
            self.requires_grad = True
            for hook in hooks_of(before).values():
                self.register_hook(hook)

    # ---- out of minigrad

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.size != 1:
            raise ShapeError(
                f"item() needs exactly one element, but the shape is {self.shape}: use "
                ".tolist(), or index first"
            )
        return self.array.item()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A read-only host array (shared memory on the CPU): it cannot corrupt the graph."""
        return backend.of(self.array).to_numpy(self.array)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.array.tolist()

    # ---- gradients

    def detach(self) -> Tensor:
        """The same values (shared memory) outside the graph."""
        return handle(self.array)

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) to the `.grad` of every leaf that requires grad.

        Args:
            gradient: the cotangent, of this tensor's shape; may be left out for a single number.
            retain_graph: keep what the graph saved, for another sweep; by default `create_graph`.
            create_graph: record the derivative itself, so that it can be differentiated again.

        Raises:
            GraphError: nothing to differentiate, swept twice, or a saved value was written to.
            ShapeError: a gradient of another shape, or none for more than one number.
        """
        from .gradient import backward

        backward(self, gradient, retain_graph, create_graph)

    def zero_grad(self) -> None:
        """Set `.grad` to None."""
        self.grad = None

    def retain_grad(self) -> None:
        """Let `backward()` fill `.grad` of this result too; a leaf's is filled anyway."""
        if self.node is None:
            raise GraphError(
                "retain_grad() on a tensor that does not require grad: nothing will flow to it"
            )
        if not self.is_leaf:
            graph.retained[self.node] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call `hook(gradient)` when this tensor's gradient is complete.

        What the hook returns, if anything, replaces it.

        Returns:
            A handle whose `.remove()` takes the hook back.
        """
        if self.node is None:
            raise GraphError(
                "register_hook() on a tensor that does not require grad: no gradient will reach it"
            )
        return HookHandle(self.node, hook)

    # ---- copies and repr

    __hash__ = object.__hash__  # by identity: `==` is elementwise

    @placed
    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        """The values without the graph; a leaf's gradient comes along."""
        memo[id(self)] = new = _rebuild(type(self), self.array.copy(), self.requires_grad, None)
        if self.is_leaf and self.grad is not None:
            new.grad = handle(self.grad.array.copy())
        return new

    def __copy__(self: Self) -> Self:
        return self.__deepcopy__({})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as a host array without any graph; it comes back on the CPU."""
        grad = self.grad.numpy().copy() if self.is_leaf and self.grad is not None else None
        return _rebuild, (type(self), self.numpy().copy(), self.requires_grad, grad)

    def __repr__(self) -> str:
        notes = []
        if self.device == "cpu":
            body = np.array2string(self.array, separator=", ", prefix="tensor(")
            if self.size == 0:
                notes.append(f"shape={self.shape}")
        else:
            body = f"<shape {self.shape}>"  # printing values would wait for the device
            notes.append(f"device='{self.device}'")
        if self.dtype not in (dtypes.default_dtype(), dtypes.int64, dtypes.bool_):
            notes.append(f"dtype={self.dtype}")
        if not self.is_leaf:
            notes.append(f"grad_fn=<{op_name(self)}>")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join([body, *notes])})"


def handle(array: Array, node: Node | None = None) -> Tensor:
    """A Tensor on an array that is ours already: no copy, no checks."""
    t = object.__new__(Tensor)
    t.array = array
    t.node = node
    t.grad = None
    return t


def on_host(data: Any) -> np.ndarray[Any, Any]:
    """A host array of a tensor, of an array of any backend, or of what NumPy makes one of."""
    data = _bare(data)
    home = backend.find(data)
    return np.asarray(data) if home is None else home.to_numpy(data)


def _rebuild(kind: type, array: Array, requires_grad: bool, grad: Array | None) -> Any:
    t: Any = object.__new__(kind)
    t.array, t.node, t.grad = array, None, None if grad is None else handle(grad)
    t.requires_grad = requires_grad
    return t


def _bare(data: Any) -> Any:
    return data.array if isinstance(data, Tensor) else data


def op_name(t: Tensor) -> str:
    """The op whose result t is."""
    node: Any = t.node
    while isinstance(node.op, int):
        (node,) = node.parents
    return str(node.op.name)
