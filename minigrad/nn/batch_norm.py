"""Batch normalisation as a module."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..tensor import Tensor
from .functional import norm_steps as steps
from .norm_base import RunningNorm


class BatchNorm(RunningNorm):
    """weight · (x - mean) / √(var + eps) + bias for each channel.

    In training, mean and biased variance of the batch normalise, and the running statistics move
    (also under `no_grad`; `nn.frozen_stats(model)` stops them).  In evaluation the running
    statistics normalise.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance inside the root, in training and evaluation alike; 0 or more.
        momentum: weight of the new batch in the running statistics; None for the exact average
            of all batches.
        affine: whether to learn weight (initially 1) and bias (initially 0).
        track_running_stats: False keeps no statistics and normalises by the batch in evaluation
            too.
        fused: one hand-written node (True), or composed of primitives; the same results and
            derivatives of every order.
        bias: False leaves the bias out.
        relu: whether max(·, 0) follows, in the same node.

    Raises:
        ShapeError: a wrong rank or number of channels, or one value per channel in training.
    """

    ranks: tuple[int, ...]
    layout: str

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        fused: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        relu: bool = False,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, fused, device, dtype,
            bias=bias,
        )  # fmt: skip
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """x and the result have the layout of the class."""
        if isinstance(x, Tensor) and (x.ndim not in self.ranks or x.shape[1] != self.num_features):
            raise ShapeError(
                f"{type(self).__name__}({self.num_features}) got x of shape {x.shape}: it must "
                f"be {self.layout} with C = {self.num_features}"
            )
        steps.check_input(type(self).__name__, x, [self.weight, self.bias], self.eps)
        y = self._by_running(x, self.relu)
        if y is not None:
            return y
        if self.training:
            steps.check_enough_values(type(self).__name__, x)
        y, mean, var = steps.normalise_by_batch(
            x, self.weight, self.bias, self.eps, self.fused, self.relu
        )
        if x.size:
            self._seen(mean, var, x.size // self.num_features)
        return y

    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        super()._move(mean, var, n)
        _, _, count = self._running()
        count.rebind(count.array + 1)

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return super().extra_repr() + ", relu=True" * self.relu


class BatchNorm1d(BatchNorm):
    """BatchNorm over (N, C) or (N, C, L)."""

    ranks, layout = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(BatchNorm):
    """BatchNorm over images (N, C, H, W)."""

    ranks, layout = (4,), "(N, C, H, W)"


class BatchNorm3d(BatchNorm):
    """BatchNorm over volumes (N, C, D, H, W)."""

    ranks, layout = (5,), "(N, C, D, H, W)"


for _kind in (BatchNorm1d, BatchNorm2d, BatchNorm3d):
    _kind.__doc__ = f"{_kind.__doc__}\n\n    {BatchNorm.__doc__}"
