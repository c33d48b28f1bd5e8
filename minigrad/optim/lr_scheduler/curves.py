"""Schedules that are one formula each."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from ..checks import check_number, check_whole
from ..optimizer import Optimizer
from .base import LRScheduler, each_group


class StepLR(LRScheduler):
    """lr = base · gamma^⌊epoch / step_size⌋.

    Args:
        optimizer, last_epoch: as for LRScheduler.
        step_size: how many epochs a learning rate lasts, 1 or more.
        gamma: 0 or more.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_whole(self.name, "step_size", step_size, 1)
        check_number(self.name, "gamma", gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        """See the class."""
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = base · gamma^n, where n of the milestones are reached.

    Args:
        optimizer, last_epoch: as for LRScheduler.
        milestones: epochs.
        gamma: 0 or more.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise TypeError(f"{self.name} got milestones={milestones!r}: give a list, [30, 80]")
        self.milestones = list(milestones)
        for each in self.milestones:
            check_whole(self.name, "a milestone", each, 0)
        check_number(self.name, "gamma", gamma)
        self.milestones.sort()
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        """See the class."""
        return self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """lr = base · gamma^epoch.

    Args:
        optimizer, last_epoch: as for LRScheduler.
        gamma: 0 or more.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_number(self.name, "gamma", gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        """See the class."""
        return self.gamma**epoch


class LinearLR(LRScheduler):
    """lr = base · (start_factor + (end_factor - start_factor) · min(1, epoch / total_iters)).

    Args:
        optimizer, last_epoch: as for LRScheduler.
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: when the end is reached, 1 or more.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_number(self.name, "start_factor", start_factor, 1)
        check_number(self.name, "end_factor", end_factor, 1)
        if start_factor == 0:
            raise ValueError(f"{self.name} got start_factor=0: give a number above 0, up to 1")
        check_whole(self.name, "total_iters", total_iters, 1)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        """See the class."""
        part = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class LambdaLR(LRScheduler):
    """lr = base · lr_lambda(epoch).

    Args:
        optimizer, last_epoch: as for LRScheduler.
        lr_lambda: a function of the epoch, or a list of one for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = each_group(self.name, optimizer, "lr_lambda", lr_lambda)
        for each in self.lr_lambdas:
            if not callable(each):
                raise TypeError(
                    f"{self.name} got lr_lambda as a {type(each).__name__}: give a function of "
                    "the epoch, such as lambda epoch: 0.95**epoch"
                )
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, group: int) -> float:
        """See the class."""
        return self.base_lrs[group] * self.lr_lambdas[group](epoch)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base - eta_min) · (1 + cos(π · epoch / T_max)) / 2.

    After T_max it rises again, as in PyTorch.  (Loshchilov and Hutter, 2017, arXiv 1608.03983,
    without the restarts.)

    Args:
        optimizer, last_epoch: as for LRScheduler.
        T_max: when eta_min is reached, above 0.
        eta_min: 0 or more.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: float, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_number(self.name, "T_max", T_max)
        if T_max == 0:
            raise ValueError(f"{self.name} got T_max=0: give the number of epochs, above 0")
        check_number(self.name, "eta_min", eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, group: int) -> float:
        """See the class."""
        swing = self.base_lrs[group] - self.eta_min
        return self.eta_min + swing * (1 + math.cos(math.pi * epoch / self.T_max)) / 2
