"""Functions that a module calls around its `forward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[..., Any]


class ForwardHooks:
    """The hooks of one module, in the order of their registration."""

    def __init__(self) -> None:
        self.before: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}
        self.count = 0

    def add(self, hooks: dict[int, Hook], hook: Hook) -> HookHandle:
        """Add to `before` or to `after`."""
        if not callable(hook):
            raise TypeError(f"a hook was given as {hook!r}: give a function")
        self.count += 1
        hooks[self.count] = hook
        return HookHandle(hooks, self.count)

    def run(self, module: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`forward` between the hooks; what a hook returns, if anything, replaces what it saw."""
        for hook in list(self.before.values()):
            changed = hook(module, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        output = module.forward(*inputs, **kwargs)
        for hook in list(self.after.values()):
            changed = hook(module, inputs, output)
            if changed is not None:
                output = changed
        return output


class HookHandle:
    """What a registration returns: `.remove()`, or the end of a `with`, takes the hook back."""

    def __init__(self, hooks: dict[int, Hook], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook back; once is enough, more is harmless."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
