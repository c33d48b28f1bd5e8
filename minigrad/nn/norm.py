"""Normalisation of each sample by itself: layers, groups of channels, single channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from ..tensor import Tensor
from . import functional as F
from .checks import check_count, check_flag
from .functional import norm_steps as steps
from .norm_base import AffineNorm, RunningNorm, documented_with_base


class LayerNorm(AffineNorm):
    """weight · (x - mean) / √(var + eps) + bias over the last axes of each sample.

    Ba, Kiros and Hinton, 2016, arXiv 1607.06450.

    Args:
        normalized_shape: lengths of the axes that are normalised together; a number for one axis.
        eps: added to the biased variance inside the root; 0 or more.
        elementwise_affine: whether to learn weight (initially 1) and bias (initially 0), both of
            normalized_shape.
        bias: False leaves the bias out.
        fused: one node for the normalisation (True), or composed of primitives; the same results
            and derivatives of every order.

    Raises:
        ShapeError: normalized_shape holds no lengths.
        ValueError: a negative eps.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        fused: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = shape = steps.last_lengths(normalized_shape)
        steps.check_eps("LayerNorm", eps)
        check_flag("elementwise_affine", elementwise_affine)
        check_flag("bias", bias)
        check_flag("fused", fused)
        self.eps, self.elementwise_affine, self.fused = eps, elementwise_affine, fused
        self._make_parameters(shape, elementwise_affine, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(…, *normalized_shape) -> the same."""
        return F.layer_norm(
            x, self.normalized_shape, self.weight, self.bias, self.eps, fused=self.fused
        )

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}, "
            f"fused={self.fused}"
        )


class GroupNorm(AffineNorm):
    """weight · (x - mean) / √(var + eps) + bias, with statistics over each group of channels.

    Wu and He, 2018, arXiv 1803.08494.

    Args:
        num_groups: into how many groups of neighbours the channels are split; 1 normalises all
            together, num_channels each by itself.
        num_channels: C.
        eps: added to the biased variance inside the root; 0 or more.
        affine: whether to learn weight (initially 1) and bias (initially 0), both (C,).
        fused: one node for the normalisation (True), or composed of primitives.
        bias: False leaves the bias out.

    Raises:
        ShapeError: num_channels is not a multiple of num_groups.
        ValueError: a negative eps.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        fused: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_count("num_channels", num_channels)
        steps.check_groups("GroupNorm", num_groups, num_channels)
        steps.check_eps("GroupNorm", eps)
        check_flag("affine", affine)
        check_flag("fused", fused)
        check_flag("bias", bias)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine, self.fused = affine, fused
        self._make_parameters((num_channels,), affine, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_channels, …) -> the same."""
        if isinstance(x, Tensor) and (x.ndim < 2 or x.shape[1] != self.num_channels):
            raise ShapeError(
                f"GroupNorm({self.num_groups}, {self.num_channels}) got x of shape {x.shape}: it "
                f"must be (N, C) or (N, C, …) with C = {self.num_channels}"
            )
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps, fused=self.fused)

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"fused={self.fused}" + ", bias=False" * (self.affine and self.bias is None)
        )


class _InstanceNorm(RunningNorm):
    """weight · (x - mean) / √(var + eps) + bias, with statistics of each sample and channel.

    Ulyanov, Vedaldi and Lempitsky, 2016, arXiv 1607.08022.

    With track_running_stats the statistics move in training as BatchNorm's do, by the batch's mean
    of the samples' own, and normalise in evaluation; `num_batches_tracked` is there for state
    dicts and stays 0, as in PyTorch.

    Differs from PyTorch: another number of channels is an error, without weights too, and so is
    momentum=None, by which PyTorch's statistics would never move.

    Args:
        num_features: C, the number of channels.
        eps: added to the biased variance inside the root; 0 or more.
        momentum: weight of the new batch in the running statistics.
        affine: whether to learn weight (initially 1) and bias (initially 0).
        track_running_stats: whether to keep running statistics.
        fused: one node for the normalisation (True), or composed of primitives.
        bias: False leaves the bias out.

    Raises:
        ShapeError: a wrong rank or number of channels, or one value per sample and channel where
            the input's statistics normalise.
    """

    rank: int  # how many axes a batch has

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        fused: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if momentum is None:
            raise ValueError("InstanceNorm got momentum=None, but counts no batches: give 0 to 1")
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, fused, device, dtype, bias
        )

    def forward(self, x: Tensor) -> Tensor:
        """x and the result have the layout of the class."""
        self._check(x)
        if x.ndim < self.rank:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if not self.training and self.running_mean is not None:
            return self._by_running(x)
        affine = self.weight, self.bias
        y, mean, var = steps.normalise_by_instance(x, affine, self.eps, self.fused)
        if x.size:
            self._hand_on(mean, var, math.prod(x.shape[2:]))
        return y

    def _fits(self, x: Tensor) -> bool:
        axis = 1 - self.rank  # of the channels, from the end: x may be a single sample
        return x.ndim in (self.rank - 1, self.rank) and x.shape[axis] == self.num_features


@documented_with_base
class InstanceNorm1d(_InstanceNorm):
    """InstanceNorm over sequences (N, C, L) or (C, L)."""

    rank, layout = 3, "(N, C, L) or (C, L)"


@documented_with_base
class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm over images (N, C, H, W) or (C, H, W)."""

    rank, layout = 4, "(N, C, H, W) or (C, H, W)"


@documented_with_base
class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm over volumes (N, C, D, H, W) or (C, D, H, W)."""

    rank, layout = 5, "(N, C, D, H, W) or (C, D, H, W)"
