"""What every schedule shares: where it is, and how it sets the learning rates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ...tensor import Tensor
from ..checks import check_whole
from ..optimizer import Optimizer
from ..state import Reader, as_tensor


class LRScheduler:
    """Sets the learning rate of each group, at once and by each `step()`.

    Subclasses define `factor`, or `lr_at`.

    Args:
        optimizer: the learning rates of its groups are what the schedule starts from, unless a
            group has an "initial_lr", as an earlier schedule leaves it.
        last_epoch: the last epoch of the run that goes on; -1 at its start.
        base_lrs: what the groups start from, where a schedule says so itself.

    Raises:
        TypeError: not an optimiser, or an option of another type.
        ValueError: an option out of range, or nothing says what a run that goes on started from.
    """

    def __init__(
        self, optimizer: Optimizer, last_epoch: int = -1, base_lrs: list[float] | None = None
    ) -> None:
        check_optimizer(self.name, optimizer)
        check_whole(self.name, "last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if base_lrs is None and last_epoch != -1 and "initial_lr" not in group:
                raise ValueError(
                    f"{self.name} got last_epoch={last_epoch}, but group {i} has no "
                    "'initial_lr': load the optimiser's state first, or leave last_epoch out and "
                    "load the schedule's state"
                )
        self.optimizer = optimizer
        started = [float(g.get("initial_lr", g["lr"])) for g in optimizer.param_groups]
        self.base_lrs = started if base_lrs is None else base_lrs
        self._begun = False
        self._mark = object()  # by which the optimiser knows who moved it last
        self._move(last_epoch + 1)

    @property
    def name(self) -> str:
        """The class, as errors say it."""
        return type(self).__name__

    def factor(self, epoch: int) -> float:
        """What the first learning rates are multiplied by at an epoch."""
        raise NotImplementedError(f"{self.name}: define `def factor(self, epoch): ...`")

    def lr_at(self, epoch: int, group: int) -> float:
        """The learning rate of a group, by its number, at an epoch."""
        return self.base_lrs[group] * self.factor(epoch)

    def step(self) -> None:
        """Move on by one epoch; call it after the optimiser's step.

        Raises:
            ValueError: groups were added since, or the schedule is at its end; nothing has
                changed then.
            RuntimeError: another schedule of the optimiser stepped in between.
        """
        groups = len(self.optimizer.param_groups)
        if groups != len(self.base_lrs):
            raise ValueError(
                f"{self.name} was made for {len(self.base_lrs)} groups, and now there are "
                f"{groups}: make the schedule after the last add_param_group"
            )
        if not self._begun and not self.optimizer.stepped:
            warnings.warn(
                f"{self.name}.step() came before the first {self.optimizer.name}.step(), so the "
                "first learning rate is never used: call the optimiser's first",
                stacklevel=2,
            )
        if self._begun and self.optimizer.moved_by is not self._mark:
            raise RuntimeError(
                f"{self.name}.step() after the step of another schedule of the same optimiser, "
                "which would undo it: for one after the other, use "
                "lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[epoch])"
            )
        self._move(self.last_epoch + 1)
        self._begun = True

    def get_last_lr(self) -> list[float]:
        """The learning rate that it last set, for each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Tensor]:
        """Where it is: "last_epoch", "base_lrs" and "last_lr", as tensors.

        What the constructor was given is not there: a run goes on with a schedule made alike.
        """
        numbers = {"base_lrs": self.base_lrs, "last_lr": self._last_lr}
        return {
            "last_epoch": as_tensor(self.last_epoch),
            **{name: as_tensor([float(x) for x in each]) for name, each in numbers.items()},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to where another schedule was, and set the learning rates.  All or nothing.

        A learning rate that was changed by hand comes back with the optimiser's state, if that is
        loaded after this.

        Raises:
            RuntimeError: lists every missing, unexpected and unfit entry at once; or this
                schedule, made with other options, has other learning rates there.
        """
        reader = Reader(state_dict)
        count = (len(self.base_lrs),)
        epoch = reader.count("last_epoch")
        base, last = (reader.take(name, count) for name in ("base_lrs", "last_lr"))
        hint = "Give the state of the same schedule, made with the same options."
        if base is None or last is None:
            reader.finish(self.name, hint)
            return
        before, self.base_lrs = self.base_lrs, base.tolist()
        try:
            self._compare(reader, epoch, last.tolist())
            reader.finish(self.name, hint)
            self._move(epoch)
        except BaseException:
            self.base_lrs = before
            raise

    def _compare(self, reader: Reader, epoch: int, last: list[float]) -> None:
        """Note learning rates that this schedule would not have given."""
        try:
            own = self._lrs(epoch)
        except ValueError as error:
            reader.refuse("last_epoch", str(error))
            return
        pairs = zip(own, last, strict=True)
        if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15) for a, b in pairs):
            reader.refuse("last_lr", f"{last} given, this schedule has {own} at epoch {epoch}")

    def _lrs(self, epoch: int) -> list[float]:
        return [float(self.lr_at(epoch, i)) for i in range(len(self.base_lrs))]

    def _move(self, epoch: int) -> None:
        """Be at an epoch: nothing changes if there is none."""
        lrs = self._lrs(epoch)
        groups = self.optimizer.param_groups
        for group, base, lr in zip(groups, self.base_lrs, lrs, strict=True):
            group["initial_lr"], group["lr"] = base, lr
        self.last_epoch, self._last_lr, self.optimizer.moved_by = epoch, lrs, self._mark


def check_optimizer(name: str, optimizer: Any) -> None:
    """A schedule moves an optimiser."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{name} got a {type(optimizer).__name__}: give an optimiser, such as "
            "optim.SGD(model.parameters())"
        )


def each_group(name: str, optimizer: Optimizer, option: str, value: Any) -> list[Any]:
    """One value for every group, or a list of one for each."""
    check_optimizer(name, optimizer)
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, Sequence) else [value] * groups
    if len(values) != groups:
        raise ValueError(
            f"{name} got {len(values)} of {option} for {groups} groups: give one for each, or a "
            "single one for all"
        )
    return values
