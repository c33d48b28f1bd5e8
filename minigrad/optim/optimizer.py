"""What every optimiser shares: parameter groups, and steps in place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import backend, graph
from ..backend import Array
from ..backend.several import are_there, placed, where_they_are
from ..dtypes import is_number
from ..modes import enable_grad, kernels_on
from ..tensor import Tensor, handle
from . import state as flat
from .checks import check_number, check_parameter, listed
from .fit import check_device, check_fit
from .rules import compiled

Prepared = tuple[tuple[Any, ...], tuple[Any, ...]]


class Optimizer:
    """Updates parameters from their gradients.

    Subclasses define `update`, say in `slots` what it keeps, and name in `flags`, `pairs` and
    `signed` the options that are something else than a number of 0 or more.

    Args:
        params: floating leaves, such as `model.parameters()`, or groups: dicts with "params" and
            the options that differ from the defaults.  A group may be an empty list.
        defaults: the options of a group that does not say otherwise.

    Raises:
        ValueError: no parameters, a parameter twice, or an option out of range.
        TypeError: an unknown option, or something that is not a tensor.
        DTypeError: a parameter of integers.
        GraphError: a parameter that is the result of an op.
    """

    flags: tuple[str, ...] = ()  # True or False
    pairs: tuple[str, ...] = ()  # two numbers
    signed: tuple[str, ...] = ()  # a number that may be negative
    # what `update` leaves in a parameter's state, each with the option that it is for ("": always)
    slots: Mapping[str, str] = MappingProxyType({})

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = {name: _plain(value) for name, value in defaults.items()}
        self.state: dict[Tensor, dict[str, Any]] = {}
        # of a group: its values when they were last checked, and the options that they gave
        self._options: dict[int, tuple[Sequence[Any], dict[str, Any]]] = {}
        self.param_groups: list[dict[str, Any]] = []
        self._compiled: dict[type, Any] = {}  # its compiled steps, by type of arrays
        self.moved_by: object = None  # the schedule that set the learning rates last
        self.stepped = False  # a schedule asks: it should move after the first step
        if isinstance(params, Tensor):
            raise TypeError(
                f"{self.name} got one tensor: give a list, such as [w] or model.parameters()"
            )
        given = listed(self.name, params)
        if not given:
            raise ValueError(f"{self.name} got no parameters: give model.parameters()")
        grouped = [isinstance(each, dict) for each in given]
        if any(grouped) and not all(grouped):
            raise TypeError(
                f"{self.name} got groups and tensors in one list: write each tensor as a group, "
                '{"params": [w]}'
            )
        for group in given if grouped[0] else [{"params": given}]:
            self.add_param_group(group)
        if not any(group["params"] for group in self.param_groups):
            raise ValueError(f"{self.name} got groups without any parameter: give one at least")

    @property
    def name(self) -> str:
        """The class, as errors say it."""
        return type(self).__name__

    # ---- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: `{"params": layer.parameters(), "lr": 0.1}`."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{self.name} got a {type(param_group).__name__} as a group: give a dict such as "
                '{"params": [w], "lr": 0.1}'
            )
        unknown = set(param_group) - set(self.defaults) - {"params", *flat.NOTES}
        if unknown:
            raise TypeError(
                f"{self.name} does not know {sorted(unknown)}; its options are "
                f"{sorted(self.defaults)}"
            )
        given = param_group["params"]
        params = [given] if isinstance(given, Tensor) else listed(self.name, given)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            check_parameter(self.name, p)
            if id(p) in known:
                raise ValueError(
                    f"{self.name} got a parameter of shape {p.shape} twice: give each once"
                )
            known.add(id(p))
        options = {name: _plain(value) for name, value in param_group.items() if name != "params"}
        group = {"params": params, **self.defaults, **options}
        self.options_of(group)
        self.param_groups.append(group)

    def options_of(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """A group's options as Python numbers, once they are found right."""
        options = {name: _plain(group[name]) for name in self.defaults}
        self.check(options)
        return options

    def check(self, options: dict[str, Any]) -> None:
        """Raise if an option is of the wrong kind or out of range; subclasses may want more."""
        for name in self.defaults:
            value = options[name]
            if name in self.flags:
                if not isinstance(value, bool):
                    raise TypeError(f"{self.name} got {name}={value!r}: give True or False")
            elif name in self.pairs:
                if not isinstance(value, tuple) or len(value) != 2:
                    wanted = "give two numbers, such as (0.9, 0.999)"
                    raise ValueError(f"{self.name} got {name}={value!r}: {wanted}")
                for each in value:
                    self._check_number(name, each)
            else:
                self._check_number(name, value)

    def _check_number(self, name: str, value: Any) -> None:
        if not (name in self.signed and is_number(value) and value < 0):
            check_number(self.name, name, value)

    # ---- stepping

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every parameter's `.grad` to None, or to zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:  # a new one: the old may be part of a graph
                    p.grad = handle(_zeros_like(p.array))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient, in place.

        As in PyTorch, a parameter whose `.grad` is None is passed over, and its state stays as it
        is: a step straight after `zero_grad()` changes nothing.

        Args:
            closure: computes the loss anew, with its gradients, before the step.

        Returns:
            What the closure returned; None without one.

        Raises:
            ShapeError: a gradient does not fit its parameter; nothing has changed then.
            DTypeError: its dtype, or the state's, is another than the parameter's.
            DeviceError: it, or the state, is on another device.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        ready = []
        for group in self.param_groups:
            options = self._checked_options(group)
            for p in group["params"]:
                if p.grad is not None:
                    check_fit(self.name, p, p.grad, self.state.get(p))
                    ready.append((p, options))
        if are_there():
            for p, _ in ready:
                check_device(self.name, p, self.state.get(p, {}))
        self.stepped = True
        try:
            self._update_all(ready)
        except MemoryError as error:
            backend.explain(error, f"{self.name}.step")
            raise
        finally:
            graph.wrote(f"{self.name}.step", *[p.array for p, _ in ready])
        return loss

    def _update_all(self, ready: Sequence[tuple[Tensor, dict[str, Any]]]) -> None:
        """Update parameters, each with its options: compiled where that can be, else plainly."""
        update, prepared = where_they_are(self.update), where_they_are(self.prepared)
        on, kind, steps, last, name = kernels_on.get(), None, None, None, ""
        try:
            for p, options in ready:
                grad: Any = p.grad
                array, g, state = p.array, grad.array, self.state.setdefault(p, {})
                if options is not last or type(array) is not kind:
                    last, kind, name = options, type(array), self.step_name(options)
                    steps = compiled(self._compiled, kind) if on and name else None
                kept = [each.array for each in state.values() if type(each) is Tensor]
                if steps is not None and steps.serves(name, array, g, *kept):
                    steps.take(name, array, g, *prepared(array, state, options))
                else:
                    update(array, g, state, options)
        finally:
            for steps in self._compiled.values():
                if steps is not None:
                    steps.finish()

    def _checked_options(self, group: dict[str, Any]) -> dict[str, Any]:
        """`options_of`, which looks again only where an option is another object than last time."""
        values = [group[name] for name in self.defaults]
        known, options = self._options.get(id(group), ((), {}))
        if len(known) != len(values) or not all(map(operator.is_, known, values)):
            options = self.options_of(group)
            lists = any(isinstance(value, list) for value in values)  # which may change unnoticed
            self._options[id(group)] = [] if lists else values, options
        return options

    def __init_subclass__(cls) -> None:
        """Compiled steps are those of the `update` that they stand beside: not of a new one."""
        super().__init_subclass__()
        update, name = (
            next(i for i, each in enumerate(cls.__mro__) if method in vars(each))
            for method in ("update", "step_name")
        )
        if update < name:
            cls.step_name = Optimizer.step_name  # type: ignore[method-assign]

    def step_name(self, options: dict[str, Any]) -> str:
        """What compiled steps call `update` with these options; "" if none stand for it."""
        return ""

    def prepared(self, p: Array, state: dict[str, Any], options: dict[str, Any]) -> Prepared:
        """What a compiled step takes beside p and its gradient (see kernels/cpu/updates.py).

        Returns:
            The arrays that are kept beside p, None where there is none, and numbers.  The state is
            what `update` would leave, but for these arrays' values.
        """
        raise NotImplementedError(
            f"{self.name} has a step_name: define `def prepared(self, p, ...)`"
        )

    def update(self, p: Array, g: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """Change the array p by its gradient g, which stays as it is.

        Args:
            state: this parameter's own, empty at first: Tensors like p (see `buffer`), and the
                number of steps as "step".
            options: those of its group, as Python numbers, so that they promote nothing.
        """
        raise NotImplementedError(
            f"{self.name} has no update: define `def update(self, p, g, ...)`"
        )

    # ---- state

    def state_dict(self) -> dict[str, Tensor]:
        """All that a run needs to go on, as copies by name: `mg.save` takes it.

        "state.0.exp_avg" belongs to the first parameter, counted through all groups;
        "param_groups.0.lr" is a number as a 0-d tensor, and "param_groups.0.params" are the
        numbers of the group's parameters.  A parameter that was never stepped has no state.
        """
        return flat.state_of(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state, on each parameter's device and in its dtype.  All or nothing.

        Args:
            state_dict: what `state_dict()` gave, or that of PyTorch's optimiser of this name.

        Raises:
            RuntimeError: lists every missing, unexpected and unfit entry at once; nothing has
                changed then.
        """
        flat.load(self, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: compiled steps remember where this optimiser's arrays lie."""
        return {**vars(self), "_compiled": {}}

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            count = _counted(len(group["params"]), "parameter")
            size = _counted(sum(p.size for p in group["params"]), "number")
            options = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {count} of {size}, {options}")
        return "\n".join([f"{self.name}(", *lines, ")"])


@placed
def _zeros_like(array: Array) -> Array:
    return backend.of(array).xp.zeros_like(array)


def buffer(state: dict[str, Any], name: str, p: Array, value: float = 0.0) -> Array:
    """The array of this name in a parameter's state; at first it holds one value."""
    if name not in state:
        state[name] = handle(backend.of(p).xp.full_like(p, value))
    return state[name].array


def _plain(value: Any) -> Any:
    """A NumPy scalar as a Python number, which promotes no array; a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple([_plain(each) for each in value])
    return value.item() if isinstance(value, np.generic) else value


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
