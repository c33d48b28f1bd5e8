"""The learning rate in one cycle."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from ..checks import check_number, check_whole
from ..optimizer import Optimizer
from .base import LRScheduler, each_group

# from a start to an end, as a part goes from 0 to 1
_ANNEALED: dict[str, Callable[[float, float, float], float]] = {
    "cos": lambda start, end, part: end + (start - end) / 2 * (math.cos(math.pi * part) + 1),
    "linear": lambda start, end, part: (end - start) * part + start,
}


class OneCycleLR(LRScheduler):
    """Up to max_lr, and down to nearly nothing, once; momentum goes the other way.

    From max_lr / div_factor to max_lr in the first pct_start of the steps, then to
    max_lr / (div_factor · final_div_factor).  `step()` is called after each batch; after the last
    one it goes a step past the end of the curve, as in PyTorch, but not below 0.  (Smith and Topin,
    2019, arXiv 1708.07120; their three phases with three_phase=True.)

    Args:
        optimizer, last_epoch: as for LRScheduler; the optimiser's own lr is not used.
        max_lr: a number, or one for each group.
        total_steps: or epochs and steps_per_epoch, whose product it is.
        pct_start: a part of the steps, in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: between max_momentum and base_momentum (numbers, or one for each group):
            the optimiser's momentum, or the first of its betas.
        div_factor, final_div_factor: above 0.
        three_phase: down to the first learning rate as fast as up, then to the last.

    Raises:
        ValueError: also when the optimiser has no momentum to cycle, and from `step()` after
            total_steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.total_steps = _total_steps(self.name, total_steps, epochs, steps_per_epoch)
        check_number(self.name, "pct_start", pct_start, 1)
        if anneal_strategy not in _ANNEALED:
            raise ValueError(
                f"{self.name} got anneal_strategy={anneal_strategy!r}: give 'cos' or 'linear'"
            )
        for option, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            check_number(self.name, option, value)
            if value == 0:
                raise ValueError(f"{self.name} got {option}=0: give a number above 0")
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        self.phases = _phases(self.total_steps, pct_start, three_phase)
        top = self._checked(optimizer, "max_lr", max_lr)
        first = [lr / div_factor for lr in top]
        self.lrs = {"top": top, "first": first, "last": [lr / final_div_factor for lr in first]}
        if cycle_momentum:
            if not {"momentum", "betas"} & optimizer.defaults.keys():
                raise ValueError(
                    f"{self.name} cannot cycle a momentum that {optimizer.name} does not have: "
                    "give cycle_momentum=False"
                )
            highest = self._checked(optimizer, "max_momentum", max_momentum, 1)
            lowest = self._checked(optimizer, "base_momentum", base_momentum, 1)
            self.momenta = {"top": lowest, "first": highest, "last": highest}
        super().__init__(optimizer, last_epoch, first)

    def _checked(
        self, optimizer: Optimizer, option: str, value: Any, highest: float = math.inf
    ) -> list[float]:
        """One number for each group."""
        values = each_group(self.name, optimizer, option, value)
        for each in values:
            check_number(self.name, option, each, highest)
        return [float(each) for each in values]

    def lr_at(self, epoch: int, group: int) -> float:
        """See the class; here an epoch is a step."""
        # the last call of step() goes past the end of a line, where PyTorch's may be negative
        return max(0.0, self._between(self.lrs, epoch, group))

    def _between(self, levels: dict[str, list[float]], step: int, group: int) -> float:
        """The level of a group at a step."""
        if step > self.total_steps:
            raise ValueError(
                f"{self.name} was made for {self.total_steps} steps, and step {step} was asked "
                "for: call step() once after each batch, or give total_steps for them all"
            )
        number = bisect_left([end for end, _, _ in self.phases[:-1]], step)
        begin = self.phases[number - 1][0] if number else 0.0
        end, start_level, end_level = self.phases[number]
        part = (step - begin) / (end - begin) if end != begin else 1.0
        start, goal = levels[start_level][group], levels[end_level][group]
        return _ANNEALED[self.anneal_strategy](start, goal, part)

    def _move(self, epoch: int) -> None:
        """The momentum moves, too."""
        super()._move(epoch)
        if not self.cycle_momentum:
            return
        for i, group in enumerate(self.optimizer.param_groups):
            momentum = self._between(self.momenta, epoch, i)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def _phases(total: int, part: float, three: bool) -> list[tuple[float, str, str]]:
    """The last step of each phase, and the levels that it goes between."""
    up = (part * total - 1, "first", "top")
    if three:
        return [up, (2 * part * total - 2, "top", "first"), (total - 1, "first", "last")]
    return [up, (total - 1, "top", "last")]


def _total_steps(name: str, total: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total is not None:
        check_whole(name, "total_steps", total, 1)
        return int(total)
    if epochs is None or steps_per_epoch is None:
        raise ValueError(
            f"{name} got no number of steps: give total_steps, or epochs and steps_per_epoch"
        )
    check_whole(name, "epochs", epochs, 1)
    check_whole(name, "steps_per_epoch", steps_per_epoch, 1)
    return int(epochs * steps_per_epoch)
