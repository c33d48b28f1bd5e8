"""Modules that hold others.

A container keeps its modules as attributes, under the names that they have in the state dict: so
the walk over attributes finds them once, in their order, and `model.conv1` reads them.
"""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, NoReturn, TypeVar

from ..errors import OutOfRangeError
from .module import Module

Listed = TypeVar("Listed", bound="_Listed")


class _Container(Module):
    def _named(self) -> dict[str, Module]:
        """The modules that it holds, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def _hold(self, named: Iterable[tuple[str, Module]]) -> None:
        """Hold these and no others, in this order."""
        new = dict(named)
        for name, module in new.items():
            self._check(name, module)
        for name in self._named():
            del vars(self)[name]
        vars(self).update(new)

    def _check(self, name: Any, module: Any) -> None:
        """A name that can be one of an attribute, and a module.

        Raises:
            TypeError: the name is no string, or the module none.
            ValueError: the name cannot stand in a state dict, or is another attribute's.
        """
        kind = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{kind} got the name {name!r}: give a string, such as {str(name)!r}")
        if not name or "." in name:
            raise ValueError(
                f"{kind} got the name {name!r}, which cannot stand in a state dict: give one with "
                f"letters and no dot, such as {name.replace('.', '_') or 'head'!r}"
            )
        if hasattr(self, name) and not isinstance(vars(self).get(name), Module):
            raise ValueError(
                f"{kind} got the name {name!r}, which is an attribute of its own: give another, "
                f"such as {name + '_'!r}"
            )
        if isinstance(module, type) and issubclass(module, Module):
            raise TypeError(
                f"{kind} got the class {module.__name__} for {_place(name)}: give a module of it, "
                f"nn.{module.__name__}(...)"
            )
        if not isinstance(module, Module):
            raise TypeError(
                f"{kind} got a {type(module).__name__} for {_place(name)}: give modules, such as "
                "nn.ReLU()"
            )

    def __len__(self) -> int:
        return len(self._named())


def _place(name: str) -> str:
    return f"position {name}" if name.isdecimal() else repr(name)


class _Listed(_Container):
    """A container that is used like a list."""

    def _hold_all(self: Listed, modules: Iterable[Module]) -> Listed:
        """Hold these, named by their positions."""
        self._hold((str(i), module) for i, module in enumerate(modules))
        return self

    def _name_at(self, i: int) -> str:
        try:
            return list(self._named())[operator.index(i)]
        except IndexError as error:
            raise OutOfRangeError(
                f"{type(self).__name__} of {len(self)} modules has none at {i}"
            ) from error

    def __iter__(self) -> Iterator[Module]:
        return iter(self._named().values())

    def __setitem__(self, i: int, module: Module) -> None:
        name = self._name_at(i)
        self._check(name, module)
        vars(self)[name] = module

    def __delitem__(self, i: int | slice) -> None:
        modules = list(self)
        if not isinstance(i, slice):
            self._name_at(i)
        del modules[i]
        self._hold_all(modules)

    def append(self: Listed, module: Module) -> Listed:
        """Add a module at the end."""
        return self.extend([module])

    def extend(self: Listed, modules: Iterable[Module]) -> Listed:
        """Add modules at the end."""
        named = self._named()
        for i, module in enumerate(modules, len(named)):
            if str(i) in named:
                raise ValueError(
                    f"{type(self).__name__} has a module named {str(i)!r} at another position: "
                    f"number them anew, nn.{type(self).__name__}(*modules, module)"
                )
            named[str(i)] = module
        self._hold(named.items())
        return self

    def insert(self: Listed, i: int, module: Module) -> Listed:
        """Add a module before position i; all are then named by their positions.

        Raises:
            OutOfRangeError: there is no such position.
        """
        modules = list(self)
        if not -len(modules) <= i <= len(modules):
            raise OutOfRangeError(
                f"{type(self).__name__} of {len(modules)} modules has no position {i} to insert at"
            )
        modules.insert(i, module)
        return self._hold_all(modules)

    def pop(self, i: int | slice = -1) -> Any:
        """Take out the module at a position, or those of a slice; the rest is named anew."""
        taken = self[i]
        del self[i]
        return taken

    def __getitem__(self, i: int | slice) -> Any:
        raise NotImplementedError

    def __iadd__(self: Listed, other: Iterable[Module]) -> Listed:
        return self.extend(other)


class Sequential(_Listed):
    """Modules applied one after the other.

    They are named by their positions, or as a dict names them: `model.conv1` reads one then.
    A list method that moves modules names all by their positions; a slice keeps the names.

    Args:
        modules: modules, or one dict of modules by name.

    Raises:
        TypeError: something else than modules.
        ValueError: a name with a dot, or of an attribute that every module has.
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._hold(modules[0].items())
            return
        if len(modules) == 1 and isinstance(modules[0], list | tuple | ModuleList | Iterator):
            raise TypeError(
                f"Sequential got a {type(modules[0]).__name__}: unpack it, nn.Sequential(*layers)"
            )
        self._hold_all(modules)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return type(self)(dict(list(self._named().items())[i]))
        return self._named()[self._name_at(i)]

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Listed):
    """Modules in a list, named by their positions; what is done with them is the owner's `forward`.

    Args:
        modules: an iterable of modules; None for an empty list.

    Raises:
        TypeError: something else than modules.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        if isinstance(modules, Module) and not isinstance(modules, _Listed):
            raise TypeError(
                f"ModuleList got one {type(modules).__name__}: give a list, nn.ModuleList([layer])"
            )
        self._hold_all(() if modules is None else modules)

    def forward(self, *inputs: Any, **kwargs: Any) -> NoReturn:
        """A list has none."""
        raise TypeError(
            "a ModuleList has no forward: loop over it, `for layer in layers: x = layer(x)`, or "
            "use nn.Sequential(*layers)"
        )

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._named()[self._name_at(i)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleDict(_Container):
    """Modules by name; what is done with them is the owner's `forward`.

    Args:
        modules: a mapping from names to modules, or pairs of them; None for an empty dict.

    Raises:
        TypeError: names that are no strings, or values that are no modules.
        ValueError: a name with a dot, or of an attribute that every ModuleDict has.
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        self.update({} if modules is None else modules)

    def forward(self, *inputs: Any, **kwargs: Any) -> NoReturn:
        """A dict has none."""
        raise TypeError("a ModuleDict has no forward: call one of its modules, `heads[name](x)`")

    def __getitem__(self, name: str) -> Module:
        named = self._named()
        if name not in named:
            raise KeyError(f"ModuleDict has no {name!r}, but {', '.join(named) or 'nothing'}")
        return named[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __contains__(self, name: object) -> bool:
        return name in self._named()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._named().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._named().values()

    def items(self) -> ItemsView[str, Module]:
        """Names and modules."""
        return self._named().items()

    def update(
        self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]
    ) -> None:
        """Add modules, or replace those of the same names; all or nothing."""
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        self._hold({**self._named(), **dict(pairs)}.items())

    def pop(self, name: str) -> Module:
        """Take out the module of this name."""
        module = self[name]
        del vars(self)[name]
        return module

    def clear(self) -> None:
        """Take out all."""
        self._hold(())
