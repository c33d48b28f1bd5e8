"""State dicts: what a module knows, by name; loading is all or nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import backend
from ..modes import no_grad
from ..tensor import Tensor, on_host
from . import walk
from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module

KINDS = {"f": "floating numbers", "i": "integers", "u": "unsigned integers", "b": "booleans"}


class IncompatibleKeys(NamedTuple):
    """The names that a load with strict=False passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def named(module: Module) -> Iterator[tuple[str, Parameter | Buffer]]:
    """The members of a state dict.

    Raises:
        ValueError: two have one name, as the keys 1 and "1" of a dict give it.
    """
    seen: set[str] = set()
    for name, value in walk.state(module):
        if not isinstance(value, Buffer) or value.persistent:
            if name in seen:
                raise ValueError(
                    f"{type(module).__name__} has two parameters or buffers named {name!r}: rename "
                    "the attribute or the key of one"
                )
            seen.add(name)
            yield name, value


def load(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """See `Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict got a {type(state).__name__}: give a dict of tensors by name, such "
            "as mg.load(path)"
        )
    own = dict(named(module))
    counters = [n for n in own if n not in state and n.endswith("num_batches_tracked")]
    missing = [n for n in own if n not in state and n not in counters]
    unexpected = [n for n in state if n not in own]
    problems = [problem for n in own if n in state for problem in _misfits(n, state[n], own[n])]
    if strict:
        problems += [f"{n}: missing" for n in missing]
        problems += [f"{n}: unexpected" + _inside(state[n]) for n in unexpected]
    if problems:
        raise RuntimeError(
            "\n  ".join([f"{type(module).__name__}.load_state_dict changed nothing:", *problems])
            + "\nGive the same architecture's state, or strict=False for what fits by name."
        )
    if counters:
        warnings.warn(f"the state has no {', '.join(counters)}: kept as is", stacklevel=3)
    fresh = [(own[n], _beside(own[n], state[n])) for n in own if n in state]
    for target, array in fresh:
        _write(target, array)
    return IncompatibleKeys([*missing, *counters], unexpected)


def _misfits(name: str, given: Any, target: Tensor) -> Iterator[str]:
    """Why a value cannot be loaded: another shape, or another kind of number."""
    try:
        value = on_host(given)
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch's bfloat16, a ragged list
        yield f"{name}: {error}"
        return
    if value.shape != target.shape:
        yield f"{name}: shape {value.shape} given, {target.shape} wanted"
    if value.dtype.kind != target.dtype.kind:
        yield f"{name}: {value.dtype} given, {KINDS[target.dtype.kind]} wanted"


def _inside(value: Any) -> str:
    """A hint for a checkpoint that holds several state dicts."""
    return " (it is a dict itself: give that one)" if isinstance(value, Mapping) else ""


def _beside(target: Tensor, value: Any) -> Any:
    """A fresh array of the value, in the target's dtype and on its device."""
    place = backend.of(target.array)
    return place.asarray(on_host(value), target.dtype, target.device, copy=True)


def _write(target: Tensor, fresh: Any) -> None:
    if isinstance(target, Parameter):
        with no_grad():
            target.copy_(fresh)  # written, so that a sweep which needs the old value notices
    else:
        target.rebind(fresh)  # statistics are rebound
