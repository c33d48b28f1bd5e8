"""Walking over a model: what a module owns is found among its attributes, nothing is registered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module

Named = Iterator[tuple[str, Any]]


def owned(attributes: Iterable[tuple[str, Any]], kinds: tuple[type, ...]) -> Named:
    """What is of these kinds among named attributes, inside lists, tuples and dicts too."""
    for name, value in attributes:
        if isinstance(value, kinds):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from owned(((f"{name}.{i}", each) for i, each in enumerate(value)), kinds)
        elif isinstance(value, dict):
            yield from owned(((f"{name}.{key}", each) for key, each in value.items()), kinds)


def tree(module: Module, prefix: str = "") -> Named:
    """The module and all below, as often as they occur, with dotted names."""
    yield prefix, module
    for name, child in module.named_children():
        yield from tree(child, joined(prefix, name))


def state(module: Module, prefix: str = "", recurse: bool = True) -> Named:
    """Every name of every parameter and buffer: a module's parameters, its buffers, its children's.

    That is the order of PyTorch's state dicts.
    """
    for path, each in tree(module, prefix) if recurse else [(prefix, module)]:
        for kind in (Parameter, Buffer):
            for name, value in owned(vars(each).items(), (kind,)):
                yield joined(path, name), value


def once(pairs: Named) -> Named:
    """The first of the names of each object."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def joined(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name
