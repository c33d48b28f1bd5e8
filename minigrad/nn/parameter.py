"""What a module owns besides other modules: parameters, which it learns, and buffers."""

from __future__ import annotations

from typing import Any, TypeVar

from ..errors import GraphError
from ..tensor import Tensor

Self = TypeVar("Self", bound="Buffer")


class Parameter(Tensor):
    """A Tensor that a module learns: it requires grad unless told otherwise.

    Args:
        data, dtype, device: as for `mg.tensor`; the data is copied.
        requires_grad: second here, as in PyTorch.
    """

    __slots__ = ()

    def __init__(
        self, data: Any, requires_grad: bool = True, dtype: Any = None, device: str | None = None
    ) -> None:
        super().__init__(data, dtype, device, requires_grad)


class Buffer(Tensor):
    """A Tensor that belongs to a module but is not learned, such as a running mean.

    Args:
        data, dtype, device: as for `mg.tensor`; the data is copied.
        persistent: whether it is part of the state dict.
    """

    __slots__ = ("persistent",)

    def __init__(
        self, data: Any, dtype: Any = None, device: str | None = None, persistent: bool = True
    ) -> None:
        super().__init__(data, dtype, device)
        self.persistent = persistent

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        new = super().__deepcopy__(memo)
        new.persistent = self.persistent
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), (None, {"persistent": self.persistent}))


def in_place_of(held: Parameter | Buffer, name: str, value: Any) -> Any:
    """What an attribute becomes that holds a parameter or a buffer, and is assigned to.

    Raises:
        TypeError: something else than a Parameter or None for a parameter.
        GraphError: a result with a graph for a buffer.
    """
    if value is None or isinstance(value, Parameter):
        return value
    if isinstance(held, Parameter):
        raise TypeError(
            f"{name} is a parameter and was given a {type(value).__name__}: give nn.Parameter(t), "
            "or write its values, `with mg.no_grad(): parameter.copy_(t)`"
        )
    if not isinstance(value, Tensor) or isinstance(value, Buffer):
        return value
    if value.requires_grad:
        raise GraphError(
            f"{name} is a buffer and was given a tensor with a graph, which would grow from step "
            "to step: give its .detach()"
        )
    return Buffer(value, persistent=held.persistent)
