"""Switches: recording or not, composed or fused, kernels or none, first run or recomputation.

Each holds for its thread and its async task.

A switch is a `ContextVar`, and every switch is used in one way: as a context manager, or as a
decorator of functions, generators and coroutines.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

OFF = ("off", "0", "false", "no")  # what MINIGRAD_KERNELS may say

recording: ContextVar[bool] = ContextVar("recording", default=True)
composed: ContextVar[bool] = ContextVar("composed", default=False)
kernels_on: ContextVar[bool] = ContextVar(
    "kernels_on", default=os.environ.get("MINIGRAD_KERNELS", "on").lower() not in OFF
)

# whether a checkpoint runs its function anew: what moves once a call must not move again
recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)

# who entered which switch here, and what it had been: for one thread or task
_entered: ContextVar[tuple[tuple[Switch, bool], ...]] = ContextVar("entered", default=())

F = TypeVar("F", bound=Callable[..., Any])


class Switch:
    """Sets a ContextVar to a value and back, nested, re-entered, through any exception.

    It is set back by value, not by token: a token is void in another context, and generators move
    between contexts.
    """

    def __init__(self, variable: ContextVar[bool], value: bool, name: str = "a switch") -> None:
        self._variable, self._value, self._name = variable, bool(value), name

    def __enter__(self) -> None:
        # one instance may be entered by several threads and tasks, and more than once by each
        _entered.set((*_entered.get(), (self, self._variable.get())))
        self._variable.set(self._value)

    def __exit__(self, *exception: object) -> None:
        entries = _entered.get()
        for i in reversed(range(len(entries))):
            if entries[i][0] is self:
                self._variable.set(entries[i][1])
                _entered.set(entries[:i] + entries[i + 1 :])
                return

    def __call__(self, function: F) -> F:
        """Decorate a function, a generator function or an `async def` function."""
        if inspect.isclass(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{self._name} decorates functions, generators and coroutines, not {function!r}: "
                f"write `with {self._name}:` inside its methods"
            )
        if inspect.isgeneratorfunction(function):
            wrapper = self._around_generator(function)
        elif inspect.iscoroutinefunction(function):
            wrapper = self._around_coroutine(function)
        else:
            wrapper = self._around_function(function)
        return functools.wraps(function)(wrapper)  # type: ignore[return-value]

    def _fresh(self) -> Switch:
        return Switch(self._variable, self._value, self._name)

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return inside

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def inside(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return await function(*args, **kwargs)

        return inside

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    # switched only while it runs: a suspended generator must not reach its caller
                    with self._fresh():
                        value = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield value
                except GeneratorExit:
                    with self._fresh():
                        generator.close()
                    raise
                except BaseException as thrown:
                    resume = functools.partial(generator.throw, thrown)
                else:
                    resume = functools.partial(generator.send, sent)

        return inside


def no_grad(function: F | None = None) -> Any:
    """Inside, nothing is recorded: results require no grad and keep nothing alive.

    A context manager, and a decorator with or without parentheses.  In training mode BatchNorm's
    running statistics still move (`model.eval()` or `nn.frozen_stats(model)` stops them).  A
    `with` written inside a generator's body holds in its caller too while the generator is
    suspended; the decorator does not.
    """
    return _switch(recording, False, "mg.no_grad()", function)


def enable_grad(function: F | None = None) -> Any:
    """Inside, recording is on, also within `no_grad`; used as `no_grad` is."""
    return _switch(recording, True, "mg.enable_grad()", function)


def unfused(function: F | None = None) -> Any:
    """Inside, every fused op runs its reference: the composed form of everything, to compare."""
    return _switch(composed, True, "mg.unfused()", function)


def kernels(on: bool = True) -> Switch:
    """`mg.kernels(False)`: inside, every op runs its own forward instead of a kernel.

    The environment variable `MINIGRAD_KERNELS=off` (or 0, false, no) sets the default.
    """
    return Switch(kernels_on, on, f"mg.kernels({on})")


def _switch(variable: ContextVar[bool], value: bool, name: str, function: F | None) -> Any:
    switch = Switch(variable, value, name)
    return switch if function is None else switch(function)


class set_grad_enabled(Switch):
    """Recording on or off by a value: at once, or as a context manager or decorator only inside."""

    def __init__(self, mode: bool) -> None:
        super().__init__(recording, mode, f"mg.set_grad_enabled({mode})")
        self._before: bool | None = recording.get()
        recording.set(self._value)

    def _take_back(self) -> None:
        """What the constructor did at once, when it turns out to be meant for a block."""
        if self._before is not None:
            recording.set(self._before)
            self._before = None

    def __enter__(self) -> None:
        self._take_back()
        super().__enter__()

    def __call__(self, function: F) -> F:
        """Decorate; recording here stays as it was."""
        self._take_back()
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now, in this thread."""
    return recording.get()
