"""Losses as modules.  As everywhere here, PyTorch's `size_average` and `reduce` are left out."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .checks import REDUCTIONS, check_choice, check_floating, number
from .module import Module
from .parameter import Buffer


class _Loss(Module):
    """What becomes of the losses of a batch: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        check_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"

    def _buffer(self, weight: Tensor | None) -> Buffer | None:
        """A copy of a weight as part of the state: it moves and is saved with the module."""
        if weight is None:
            return None
        check_floating(type(self).__name__, weight)
        return Buffer(weight)


class MSELoss(_Loss):
    """(x - target)²; see `F.mse_loss`."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or x's shape with reduction="none"."""
        return F.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """|x - target|; see `F.l1_loss`."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or x's shape with reduction="none"."""
        return F.l1_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """(x - target)² near 0, |x - target| beyond ±beta; see `F.smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("beta", beta)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or x's shape with reduction="none"."""
        return F.smooth_l1_loss(x, target, self.reduction, self.beta)

    def extra_repr(self) -> str:
        """The reduction, and where the lines begin."""
        return f"{super().extra_repr()}, beta={self.beta}"


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of yes and no, from logits; see `F.binary_cross_entropy_with_logits`.

    weight and pos_weight are part of the state.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = self._buffer(weight), self._buffer(pos_weight)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or x's shape with reduction="none"."""
        return F.binary_cross_entropy_with_logits(
            x, target, self.weight, self.reduction, self.pos_weight
        )


class NLLLoss(_Loss):
    """Minus the log-probability of the right class, from log-probabilities; see `F.nll_loss`.

    weight is part of the state.
    """

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index = self._buffer(weight), ignore_index

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or the labels' shape with reduction="none"."""
        return F.nll_loss(x, target, self.weight, self.ignore_index, self.reduction)

    def extra_repr(self) -> str:
        """The reduction, and the label that counts for nothing."""
        return f"ignore_index={self.ignore_index}, {super().extra_repr()}"


class CrossEntropyLoss(_Loss):
    """Minus the log-probability of the right class, from logits; see `F.cross_entropy`.

    weight is part of the state.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index = self._buffer(weight), ignore_index
        self.label_smoothing = number("label_smoothing", label_smoothing)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """A single number, or the labels' shape with reduction="none"."""
        return F.cross_entropy(
            x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )

    def extra_repr(self) -> str:
        """The options, but for the weights."""
        return (
            f"ignore_index={self.ignore_index}, {super().extra_repr()}, "
            f"label_smoothing={self.label_smoothing}"
        )
