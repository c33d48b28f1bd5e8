"""Ghost batch normalisation: the parts of a large batch, each normalised by itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ShapeError
from ..ops.join import cat
from ..tensor import Tensor
from .batch_norm import BatchNorm
from .checks import check_count
from .functional import norm_steps as steps
from .norm_base import documented_with_base


class GhostBatchNorm(BatchNorm):
    """BatchNorm over virtual batches: parts, of `virtual_batch_size` samples, of one large batch.

    Hoffer, Hubara and Soudry, "Train longer, generalize better", 2017, arXiv 1705.08741.

    In training, the first virtual_batch_size samples are the first virtual batch, and so on; the
    last may be smaller.  Each is normalised by its own mean and biased variance: these are as noisy
    as those of small batches, while steps are those of a large one.  Evaluation is BatchNorm's: by
    the running statistics, or by the whole batch where none are tracked.

    The running statistics move once for each batch, by the averages of the virtual batches' means
    and of their unbiased variances, weighted by how many values each has.  So momentum means what
    it means in BatchNorm, and the order of virtual batches does not matter (the paper moves the
    statistics once for each).  The running variance is that within virtual batches, which the
    network was trained on; `nn.recompute_stats` pools all values, within and between.

    Args:
        num_features: C, the number of channels.
        virtual_batch_size: samples that are normalised together; it may be set later.
        eps, momentum, affine, track_running_stats, fused, bias, relu: as for BatchNorm.

    Raises:
        ShapeError: a virtual_batch_size that is no positive integer, a wrong rank or number of
            channels, or one value per channel in the last virtual batch.
    """

    family = "GhostBatchNorm"

    def __init__(
        self,
        num_features: int,
        virtual_batch_size: int,
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
            bias=bias, relu=relu,
        )  # fmt: skip
        self.virtual_batch_size = virtual_batch_size

    @property
    def virtual_batch_size(self) -> int:
        """Samples that are normalised together."""
        return self._virtual_batch_size

    @virtual_batch_size.setter
    def virtual_batch_size(self, size: int) -> None:
        check_count("virtual_batch_size", size)
        self._virtual_batch_size = int(size)

    def _by_batch(self, x: Tensor) -> Tensor:
        """x by its virtual batches in training, by itself in evaluation."""
        if not self.training:
            return super()._by_batch(x)
        self._check_enough_values(x)
        rest = x.shape[0] % self.virtual_batch_size
        full = x.shape[0] - rest
        pieces = x.split([full, rest]) if full and rest else (x,)
        ys, parts = zip(*(self._apart(piece) for piece in pieces), strict=True)
        if x.size:
            self._hand_on_parts(parts, x.size // self.num_features)
        return ys[0] if len(ys) == 1 else cat(ys)

    def _check_enough_values(self, x: Tensor) -> None:
        """Not the batch, but its last virtual batch must have them."""
        n, size = x.shape[0], self.virtual_batch_size
        last = n % size or min(n, size)
        if x.size and last * (x.size // n) == self.num_features:
            raise ShapeError(
                f"{type(self).__name__} got one value per channel in the last virtual batch (x of "
                f"shape {x.shape}, virtual_batch_size {size}: {n % size or size} in the last), "
                "whose variance says nothing: give a larger virtual_batch_size, or batches of a "
                f"multiple of it (drop_last=True leaves a last odd one out), or {self._instead()}"
            )

    def _apart(self, x: Tensor) -> tuple[Tensor, _Statistics]:
        """x, whole virtual batches or a smaller one, normalised by their own statistics."""
        groups = max(x.shape[0] // self.virtual_batch_size, 1)
        apart = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        shape, axes = (groups, self.num_features), (1, *range(3, apart.ndim))
        affine = self.weight, self.bias
        y, mean, var = steps.normalise_by_part(
            apart, affine, shape, axes, self.eps, self.fused, self.relu
        )
        return y.reshape(x.shape), _Statistics(mean, var, x.size // (groups * self.num_features))

    def _hand_on_parts(self, parts: tuple[_Statistics, ...], n: int) -> None:
        """Hand on the statistics of virtual batches as those of one batch with n values each."""
        start = parts[0].mean[0]  # what is added to it is exactly 0 where a channel is constant
        mean = start + _average([part.mean - start for part in parts], parts, n)
        if self._receiver() is None:  # the running variance is that within virtual batches
            unbiased = [part.var * (part.n / (part.n - 1)) for part in parts]
            var = _average(unbiased, parts, n) * ((n - 1) / n)  # `_move` multiplies by n / (n - 1)
        else:  # a receiver pools all values, within and between
            var = _average([part.var + (part.mean - mean) ** 2 for part in parts], parts, n)
        self._hand_on(mean, var, n)

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        features, others = super().extra_repr().split(", ", 1)
        return f"{features}, virtual_batch_size={self.virtual_batch_size}, {others}"


class _Statistics(NamedTuple):
    """Mean and biased variance (virtual batches, C), each over n values."""

    mean: Tensor
    var: Tensor
    n: int


def _average(values: list[Tensor], parts: tuple[_Statistics, ...], n: int) -> Tensor:
    """Values (virtual batches, C) of each part, averaged with the counts of n values: (C,)."""
    first, *others = (v.sum(0) * part.n for v, part in zip(values, parts, strict=True))
    return sum(others, start=first) / n


@documented_with_base
class GhostBatchNorm1d(GhostBatchNorm):
    """GhostBatchNorm over (N, C) or (N, C, L)."""

    ranks, layout = (2, 3), "(N, C) or (N, C, L)"


@documented_with_base
class GhostBatchNorm2d(GhostBatchNorm):
    """GhostBatchNorm over images (N, C, H, W)."""

    ranks, layout = (4,), "(N, C, H, W)"


@documented_with_base
class GhostBatchNorm3d(GhostBatchNorm):
    """GhostBatchNorm over volumes (N, C, D, H, W)."""

    ranks, layout = (5,), "(N, C, D, H, W)"
