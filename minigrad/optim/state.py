"""States as flat dicts of tensors: how they are written, and read all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..tensor import Tensor, handle, on_host

if TYPE_CHECKING:
    from .optimizer import Optimizer

HostArray = np.ndarray[Any, Any]
NUMBERS = "iuf"  # the kinds of dtype that hold a number
STEP = "step"  # the one slot of a state that is a count, and no tensor like its parameter
NOTES = ("initial_lr",)  # what a schedule leaves in a group beside the options, as in PyTorch
# what PyTorch's groups hold beside the options: how it computes, what the class says already, the
# parameters' names, and what its schedules leave
THEIRS = {
    "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay", "param_names",
    "max_lr", "min_lr", "max_momentum", "base_momentum",
}  # fmt: skip


def as_tensor(value: Any) -> Tensor:
    """A Python number as a 0-d tensor that holds it exactly, or numbers as a 1-d one."""
    return Tensor(np.asarray(value))


class Reader:
    """Takes entries out of a state one by one, and notes what is wrong with each.

    Args:
        state: tensors, arrays or numbers by name.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"a state was given as a {type(state).__name__}: give a dict by name")
        self.left = {name: on_host(value) for name, value in state.items()}
        self.problems: list[str] = []

    def take(self, name: str, shape: tuple[int, ...], kinds: str = NUMBERS) -> HostArray | None:
        """An entry; None, with a note, if it is missing or does not fit."""
        value = self.left.pop(name, None)
        if value is None:
            self.refuse(name, "missing")
        elif value.shape != shape:
            self.refuse(name, f"shape {value.shape} given, {shape} wanted")
        elif value.dtype.kind not in kinds:
            wanted = "True or False" if kinds == "b" else "numbers"
            self.refuse(name, f"{value.dtype} given, {wanted} wanted")
        else:
            return value
        return None

    def count(self, name: str) -> int:
        """A whole number, 0 or more."""
        value = self.take(name, ())
        if value is None:
            return 0
        if not (np.isfinite(value) and value >= 0 and value == np.floor(value)):
            self.refuse(name, f"{value} given, a whole number wanted")
            return 0
        return int(value)

    def refuse(self, name: str, why: str) -> None:
        """Note that an entry does not fit."""
        self.problems.append(f"{name}: {why}")

    def finish(self, what: str, hint: str) -> None:
        """Raise a RuntimeError that lists all notes, and what nobody took, if there are any."""
        problems = self.problems + [f"{name}: unexpected" for name in self.left]
        if problems:
            raise RuntimeError(
                "\n  ".join([f"{what}.load_state_dict changed nothing:", *problems]) + f"\n{hint}"
            )


def state_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """See `Optimizer.state_dict`."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    found = {}
    for i, p in enumerate(params):
        for name, value in optimizer.state.get(p, {}).items():
            kept = value.detach().clone() if isinstance(value, Tensor) else as_tensor(value)
            found[f"state.{i}.{name}"] = kept
    for g, (group, numbers) in enumerate(_numbered(optimizer)):
        for name, value in group.items():
            kept = Tensor(np.asarray(numbers, np.int64)) if name == "params" else as_tensor(value)
            found[f"param_groups.{g}.{name}"] = kept
    return found


def load(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """See `Optimizer.load_state_dict`."""
    nested = isinstance(state, Mapping) and "param_groups" in state
    reader = Reader(_flat(state) if nested else state)
    options, kept = [], {}
    for g, (group, numbers) in enumerate(_numbered(optimizer)):
        options.append(_options(optimizer, reader, f"param_groups.{g}", numbers))
        for i, p in zip(numbers, group["params"], strict=True):
            kept[p] = _kept(reader, f"state.{i}", p, optimizer.slots, options[-1])
    reader.finish(optimizer.name, "Give the state of the same optimiser with the same groups.")
    for group, new in zip(optimizer.param_groups, options, strict=True):
        group.update(new)
    optimizer.state.clear()
    optimizer.state.update({p: each for p, each in kept.items() if each})


def _numbered(optimizer: Optimizer) -> list[tuple[dict[str, Any], list[int]]]:
    """The groups, each with the numbers of its parameters."""
    pairs, start = [], 0
    for group in optimizer.param_groups:
        end = start + len(group["params"])
        pairs.append((group, list(range(start, end))))
        start = end
    return pairs


def _options(optimizer: Optimizer, reader: Reader, name: str, numbers: list[int]) -> dict[str, Any]:
    """What a state says of a group's options."""
    given = reader.left.pop(f"{name}.params", None)
    if given is None:
        reader.refuse(f"{name}.params", "missing")
    elif given.tolist() != numbers:
        reader.refuse(f"{name}.params", f"{given.tolist()} given, {numbers} wanted")
    # a schedule may be made before the state is loaded, or after
    notes = [note for note in NOTES if f"{name}.{note}" in reader.left]
    before, found = len(reader.problems), {}
    for option in [*optimizer.defaults, *notes]:
        shape = (2,) if option in optimizer.pairs else ()
        kinds = "b" if option in optimizer.flags else NUMBERS
        value = reader.take(f"{name}.{option}", shape, kinds)
        if value is not None:
            found[option] = tuple(value.tolist()) if shape else value.item()
    if len(reader.problems) == before:
        try:
            optimizer.check(found)
        except (ValueError, TypeError) as error:
            reader.refuse(name, str(error))
    return found


def _kept(
    reader: Reader, name: str, p: Tensor, slots: Mapping[str, str], options: dict[str, Any]
) -> dict[str, Any]:
    """What a state says of one parameter: nothing, or all that a step leaves behind."""
    if not any(key.startswith(f"{name}.") for key in reader.left):
        return {}
    found: dict[str, Any] = {}
    for slot, option in slots.items():
        # an option may have been on when the slot was filled, and off when it was saved
        if option and not options.get(option) and f"{name}.{slot}" not in reader.left:
            continue
        if slot == STEP:
            found[slot] = reader.count(f"{name}.{slot}")
            continue
        value = reader.take(f"{name}.{slot}", p.shape)
        if value is not None:
            array = backend.of(p.array).asarray(value, p.dtype, p.device, copy=True)
            found[slot] = handle(array)
    return found


def _flat(state: Mapping[str, Any]) -> dict[str, Any]:
    """PyTorch's nested state as a flat one."""
    found = {
        f"state.{i}.{name}": value
        for i, each in state.get("state", {}).items()
        for name, value in each.items()
        if value is not None
    }
    for g, group in enumerate(state["param_groups"]):
        found |= {f"param_groups.{g}.{k}": v for k, v in group.items() if k not in THEIRS}
    return found
