"""One schedule after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..checks import check_whole
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer


class SequentialLR(LRScheduler):
    """Each schedule for its epochs, counted anew from 0 at its milestone.

    A warm-up: `SequentialLR(optimizer, [LinearLR(optimizer, 0.1), CosineAnnealingLR(optimizer,
    90)], milestones=[10])`.  Only this schedule's `step()` is called then.

    Args:
        optimizer, last_epoch: as for LRScheduler.
        schedulers: schedules of this optimiser.
        milestones: the epoch at which each but the first begins, in increasing order.

    Raises:
        TypeError: something else than schedules.
        ValueError: schedules of another optimiser, or milestones that do not fit.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self.name, optimizer)
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        for each in self.schedulers:
            if not isinstance(each, LRScheduler):
                raise TypeError(f"{self.name} got a {type(each).__name__}: give schedules")
            if each.optimizer is not optimizer:
                raise ValueError(f"{self.name} got a {each.name} of another optimiser")
        for milestone in self.milestones:
            check_whole(self.name, "a milestone", milestone, 1)
        increasing = sorted(set(self.milestones)) == self.milestones
        if not increasing or len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"{self.name} got milestones={self.milestones} for {len(self.schedulers)} "
                "schedules: give the epoch at which each but the first begins, in order"
            )
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, group: int) -> float:
        """See the class."""
        schedule, since = self._at(epoch)
        return schedule.lr_at(epoch - since, group)

    def _at(self, epoch: int) -> tuple[LRScheduler, int]:
        """The schedule of an epoch, and the epoch at which it begins."""
        i = bisect_right(self.milestones, epoch)
        return self.schedulers[i], self.milestones[i - 1] if i else 0

    def _move(self, epoch: int) -> None:
        schedule, since = self._at(epoch)
        schedule._move(epoch - since)  # which may set more than the learning rate
        super()._move(epoch)
