"""Batch normalisation as a module: what it computes, and what others mean by the name.

Ioffe and Szegedy, 2015 (arXiv 1502.03167).  For each channel, over the n values that a batch has in
it (n = N·H·W for images):

    mean = Σ x / n,  var = Σ (x - mean)² / n,  x̂ = (x - mean) / √(var + eps),  y = weight · x̂ + bias
    running_mean ← (1 - momentum) · running_mean + momentum · mean
    running_var  ← (1 - momentum) · running_var  + momentum · var · n / (n - 1)

So the biased variance normalises and the unbiased one is stored; eps stands inside the root and
nowhere else; weight and bias have the shape of the channels, (C,).  In evaluation the running
statistics take the place of mean and var.

The statistics are robust: a constant channel gives exactly bias, at any magnitude (to 1e30 in
float32 and 1e300 in float64, where sums overflow), and far from zero no digits are lost.  The same
seed gives the same bits on the CPU; the tests allow a GPU 4 units in the last place.  Any order of
derivative is right through both forms, fused and composed.

A lecture's example (F. Fleuret, AMMI, 2018): the standard deviations exceed weight because `std`
divides by n - 1, a factor of √(1000/999).

    >>> from minigrad import nn
    >>> x = mg.randn(1000, 3) * mg.tensor([2.0, 5.0, 10.0]) + mg.tensor([-10.0, 25.0, 3.0])
    >>> bn = nn.BatchNorm1d(3)
    >>> with mg.no_grad():
    ...     _ = bn.bias.copy_(mg.tensor([2.0, 4.0, 8.0]))
    ...     _ = bn.weight.copy_(mg.tensor([1.0, 2.0, 3.0]))
    >>> y = bn(x).detach()
    >>> y.mean(0).round(decimals=4)
    tensor([2., 4., 8.])
    >>> y.std(0).round(decimals=4)
    tensor([1.0005, 2.001 , 3.0015])

An introduction's: the standard deviation falls short of 1 because of eps.  Values from 0 to 1 have
a variance of 1/12, which makes it 1 / √(1 + 12 · 1e-5).

    >>> m = nn.BatchNorm2d(64)
    >>> out = m(mg.rand(32, 64, 68, 68))
    >>> out.shape
    (32, 64, 68, 68)
    >>> abs(out.mean().item()) < 1e-6, round(out.std().item(), 5)
    (True, 0.99994)

What is right where introductions, these two among them, are wrong:

- momentum = 0.1 keeps 90 % of the running statistics at every step; "running = momentum · running
  + (1 - momentum) · sample" would keep 10 %.
- eps is added where the root is taken, and is no part of the running statistics.
- x - mean is divided by √(var + eps), and not by var + eps, which is at times called σ̂.
- weight and bias have the shape of the channels, not that of x.
- A batch of one gives bias everywhere, not 0, and its dx is 0.  Here it is an error in training.
- Σ dx = 0 and Σ dx x̂ = 0 (but for eps), whatever the loss.  So dx = 0 where dy is 1 everywhere, or
  a channel has two values: checks on these are no evidence that a backward is right.

What others compute; a momentum "of the old" (decay) is 1 - ours:

    system             momentum, default    eps         running var  divides by   kept by     alone
    ─────────────────  ───────────────────  ──────────  ───────────  ───────────  ──────────  ─────
    minigrad           of the new, 0.1 (1)  1e-5        unbiased     biased       the module  error
    PyTorch            of the new, 0.1 (1)  1e-5        unbiased     biased       the op      error
    Chainer            of the old, 0.9 (2)  2e-5 (3)    unbiased(4)  biased       the op      warns
    DeZero             of the old, 0.9      2e-5        unbiased     biased       the op      –
    MyGrad             nothing is kept      must be     –            biased       –           –
    tinygrad           of the new, 0.1      1e-5        unbiased     biased       the module  error
    flax linen, nnx    of the old, 0.99     1e-5        biased       biased (5)   the caller  –
    equinox "ema"      of the old, 0.99     1e-5        biased       running (6)  the caller  –
    equinox "batch"    of the old, 0.99     1e-5        biased (7)   biased       the caller  –
    mlx                of the new, 0.1      1e-5 (8)    unbiased(9)  biased       the module  error
    numpy-ml           of the old, 0.9      1e-5        biased (10)  biased       forward     –
    thinc, 2017–2019   of the new, 0.1      twice (11)  biased+eps   renorm r, d  forward     –
    NumPyNet           nothing is kept      1e-8        –            biased (12)  –           –
    darknet, CPU       of the new, 0.1      1e-5 (13)   unbiased     unbiased     the layer   ∞
    darknet, CUDA      of the new, 0.01     1e-5 (14)   biased       biased       the layer   ?
    needle             of the new, 0.1      1e-5        biased (15)  biased       the module  ?

"alone": one value per channel in training; – is silent.  "The caller": new statistics are returned.

(1) None: the average of all batches.  (2) `finetune`: that average.  (3) At least 1e-5 with cuDNN.
(4) m / max(m - 1, 1); one value warns and gives bias.  (5) From E[x²] - E[x]², by default.  (6) And
differentiates through them.  (7) Its docstring says unbiased.  (8) Above 0 enforced.  (9) Since
August 2026, #3817.  (10) `ddof=1` is commented out.  (11) 1e-8 and 1e-5; its momentum is `alpha`.
(12) Each pixel by itself.  (13) Beside the root in one place; momentum is fixed.  (14) 1e-6
backward.  (15) By the course's tests.
"""

from __future__ import annotations

from typing import Any

from ..backend.several import placed
from ..tensor import Tensor
from .checks import check_flag
from .functional import norm_steps as steps
from .norm_base import RunningNorm, documented_with_base, running_stats


class BatchNorm(RunningNorm):
    """weight · (x - mean) / √(var + eps) + bias for each channel.

    In training, mean and biased variance of the batch normalise, and the running statistics move
    (also under `no_grad`, and where weight and bias do not require grad).  `nn.frozen_stats(model)`
    stops them, and so does recomputation in a checkpoint.  In evaluation the running statistics
    normalise, until the next `train()`, also of a model around it; `freeze()` stays.

    An empty batch gives an empty result, and moves nothing.  NaN or infinity spoils the outputs of
    its channel, and its running statistics until `reset_running_stats()`; other channels keep every
    bit.

    What other libraries mean by the same words: `help(minigrad.nn.batch_norm)`.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance inside the root, in training and evaluation alike; 0 or more.
            With 0, a channel that is constant in the batch is 0/0: its y, and the gradients of x
            and weight, are NaN (PyTorch refuses eps=0 in training).
        momentum: weight of the new batch in the running statistics; None for the average of all
            batches' means and unbiased variances, without the variance between them (which
            `nn.recompute_stats` has).
        affine: whether to learn weight (initially 1) and bias (initially 0).
        track_running_stats: False keeps no statistics and normalises by the batch in evaluation
            too, where one value per channel gives bias (PyTorch refuses it).
        fused: one hand-written node (True), or composed of primitives; the same results and
            derivatives of every order.
        bias: False leaves the bias out.
        relu: whether max(·, 0) follows, in the same node.

    Raises:
        ShapeError: a wrong rank or number of channels, or one value per channel in training.
    """

    family = "BatchNorm"  # the name of the class without its rank
    momenta = "from 0 to 1, or None to average all batches"
    ranks: tuple[int, ...]  # how many axes x may have

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
            num_features, eps, momentum, affine, track_running_stats, fused, device, dtype, bias
        )
        check_flag("relu", relu)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """x and the result have the layout of the class."""
        self._check(x)
        check_flag("relu", self.relu)  # as all above, it may have been set since
        if self.training or self.running_mean is None:
            return self._by_batch(x)
        return self._by_running(x, self.relu)

    def _fits(self, x: Tensor) -> bool:
        return x.ndim in self.ranks and x.shape[1] == self.num_features

    def _alternative(self, x: Tensor) -> str:
        """The module of this family that takes x."""
        if not 2 <= x.ndim <= 5 or not x.shape[1]:
            return ""
        return f"; nn.{self.family}{max(x.ndim - 2, 1)}d({x.shape[1]}) takes this one"

    def _by_batch(self, x: Tensor) -> Tensor:
        """x normalised by its own statistics, which are handed on."""
        if self.training:
            self._check_enough_values(x)
        affine = self.weight, self.bias
        y, mean, var = steps.normalise_by_batch(x, affine, self.eps, self.fused, self.relu)
        if x.size:
            self._hand_on(mean, var, x.size // self.num_features)
        return y

    def _check_enough_values(self, x: Tensor) -> None:
        if x.size == self.num_features:  # one each
            steps.check_enough_values(type(self).__name__, x, self._instead())

    def _instead(self) -> str:
        """What else to type, where a batch has too few values."""
        if self.track_running_stats:
            return "call .eval() to use the running statistics"
        return "call .eval(), which gives bias then"

    @placed
    def _move(self, mean: Tensor, var: Tensor, n: int) -> None:
        super()._move(mean, var, n)
        _, _, count = running_stats(self)
        count.rebind(count.array + 1)

    def extra_repr(self) -> str:
        """Options, as the constructor takes them."""
        return super().extra_repr() + ", relu=True" * self.relu


@documented_with_base
class BatchNorm1d(BatchNorm):
    """BatchNorm over (N, C) or (N, C, L)."""

    ranks, layout = (2, 3), "(N, C) or (N, C, L)"


@documented_with_base
class BatchNorm2d(BatchNorm):
    """BatchNorm over images (N, C, H, W)."""

    ranks, layout = (4,), "(N, C, H, W)"


@documented_with_base
class BatchNorm3d(BatchNorm):
    """BatchNorm over volumes (N, C, D, H, W)."""

    ranks, layout = (5,), "(N, C, D, H, W)"
