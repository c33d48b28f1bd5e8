"""Batch renormalisation: by the batch, and corrected towards the running statistics."""

from __future__ import annotations

from typing import Any

from ..modes import recomputing
from ..ops.elementwise import sqrt
from ..ops.piecewise import clip
from ..ops.reduce import wide
from ..tensor import Tensor
from .batch_norm import BatchNorm
from .checks import check_flag, number
from .functional import norm_steps as steps
from .norm_base import documented_with_base, ignore, running_stats


class BatchRenorm(BatchNorm):
    """weight · ((x - μ_B)/σ_B · r + d) + bias: what a sample gives depends little on its batch.

    Ioffe, "Batch Renormalization", 2017, arXiv 1702.03275.

        r = clip(σ_B/σ, 1/r_max, r_max)        d = clip((μ_B - μ)/σ, -d_max, d_max)

    In training, μ_B and σ_B = √(var + eps) are of the batch, μ and σ of the running statistics
    before they move.  No gradient flows through r and d.  Evaluation is BatchNorm's, and where r
    and d are inside their bounds, training gives just that: it is for small batches, and for
    batches whose samples are alike.

    With r_max=1 and d_max=0 this is BatchNorm.  Start there, until the running statistics are of
    use, and relax (the paper does so from step 5,000, to r_max=3 at 40,000 and d_max=5 at 25,000;
    with momentum=0.01):

        for step, (x, labels) in enumerate(batches):
            grown = min(max(step - 100, 0) / 400, 1)  # 0 until step 100, 1 from step 500 on
            for norm in model.modules():
                if isinstance(norm, nn.BatchRenorm2d):
                    norm.r_max, norm.d_max = 1 + 2 * grown, 5 * grown

    Differs from the paper, whose moving average is of σ_B: the running variance is BatchNorm's, of
    the unbiased variance, so that state dicts load both ways.  σ_B is of the biased one, which
    normalises; so r is about √((n - 1)/n) for n values of the running distribution, and it has to
    be for training to give what evaluation will.

    While `nn.recompute_stats` measures statistics, r = 1 and d = 0: they are not to depend on the
    old ones.  In `mg.func.checkpoint`, the second run compares the batch with the statistics of
    the last forward in training; if that was another one, `backward` raises.

    Args:
        num_features: C, the number of channels.
        eps, momentum, affine, fused, bias, relu: as for BatchNorm.
        track_running_stats: True; there is nothing to correct towards otherwise.
        r_max: 1 or more, or infinity; it may be set later.
        d_max: 0 or more, or infinity; it may be set later.

    Raises:
        ShapeError: a wrong rank or number of channels, or one value per channel in training.
        ValueError: r_max or d_max out of range, or track_running_stats=False.
    """

    family = "BatchRenorm"
    # the running mean and variance that the last batch was compared with
    _compared: tuple[Tensor, Tensor] | None = None

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
        r_max: float = 3.0,
        d_max: float = 5.0,
        relu: bool = False,
    ) -> None:
        check_flag("track_running_stats", track_running_stats)
        if not track_running_stats:
            raise ValueError(
                f"{type(self).__name__} got track_running_stats=False, but corrects towards the "
                "running statistics: leave it out, or use BatchNorm"
            )
        super().__init__(
            num_features, eps, momentum, affine, True, fused, device, dtype, bias=bias, relu=relu
        )
        self.r_max, self.d_max = r_max, d_max

    @property
    def r_max(self) -> float:
        """The largest r, whose smallest is 1/r_max."""
        return self._r_max

    @r_max.setter
    def r_max(self, value: float) -> None:
        self._r_max = _at_least(1, "r_max", value)

    @property
    def d_max(self) -> float:
        """The largest |d|."""
        return self._d_max

    @d_max.setter
    def d_max(self, value: float) -> None:
        self._d_max = _at_least(0, "d_max", value)

    def _by_batch(self, x: Tensor) -> Tensor:
        """x by the batch and, in its correction, by the running statistics."""
        self._check_enough_values(x)
        measured = self._receiver() not in (None, ignore)
        affine = (self.weight, self.bias) if measured else self._corrected(x.detach())
        y, mean, var = steps.normalise_by_batch(x, affine, self.eps, self.fused, self.relu)
        if x.size:
            self._hand_on(mean, var, x.size // self.num_features)
        return y

    def _corrected(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """weight · r and weight · d + bias: what follows (x - μ_B)/σ_B."""
        if self._compared is None or not recomputing.get():
            running_mean, running_var, _ = running_stats(self)
            self._compared = running_mean.detach(), running_var.detach()
        mu, var = self._compared
        # from x - μ, so that μ_B - μ is as exact as x is, however far from 0 both are
        off = wide(x) - mu.reshape((-1,) + (1,) * (x.ndim - 2))
        _, mean, batch_var = steps.normalise_by_batch(off, (None, None), self.eps, self.fused)
        sigma = sqrt(var + self.eps)
        r = clip(sqrt(batch_var + self.eps) / sigma, 1 / self.r_max, self.r_max)
        d = clip(mean / sigma, -self.d_max, self.d_max)
        if self.weight is not None:
            r, d = self.weight * r, self.weight * d
        return r, d if self.bias is None else d + self.bias

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}"


def _at_least(least: float, name: str, value: Any) -> float:
    bound = number(name, value)
    if bound < least:
        raise ValueError(f"{name} was given as {value}: give {least} or more")
    return bound


@documented_with_base
class BatchRenorm1d(BatchRenorm):
    """BatchRenorm over (N, C) or (N, C, L)."""

    ranks, layout = (2, 3), "(N, C) or (N, C, L)"


@documented_with_base
class BatchRenorm2d(BatchRenorm):
    """BatchRenorm over images (N, C, H, W)."""

    ranks, layout = (4,), "(N, C, H, W)"


@documented_with_base
class BatchRenorm3d(BatchRenorm):
    """BatchRenorm over volumes (N, C, D, H, W)."""

    ranks, layout = (5,), "(N, C, D, H, W)"
