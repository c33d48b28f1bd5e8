"""Normalisations as functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import ShapeError
from ...modes import recomputing
from ...tensor import Tensor
from ..checks import check_flag, check_floating
from . import norm_steps as steps


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """Batch normalisation over all axes but the second: weight · x̂ + bias.

    x̂ = (x - mean) / √(var + eps), with the biased variance (Ioffe and Szegedy, 2015).

    Args:
        x: (N, C) or (N, C, …).
        running_mean, running_var: (C,).  In training those that are given are rebound to
            `(1 - momentum)·old + momentum·batch`, with the unbiased variance; also under `no_grad`,
            but not while a checkpoint recomputes.  Otherwise they normalise, and gradients flow to
            them.
        weight, bias: (C,), or None for 1 and 0.
        training: normalise by the batch's own statistics.
        momentum: weight of the new batch.
        eps: added to the variance inside the root; 0 or more.
        fused: one node; False composes primitives.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: ranks and lengths that do not fit, or one value per channel in training.
            Statistics are as before then.
        ValueError: a negative eps, or no statistics to evaluate with.
        DTypeError: x holds integers.
    """
    running, affine = (running_mean, running_var), (weight, bias)
    return _batch_norm(x, running, affine, training, momentum, eps, fused, relu=False)


def batch_norm_relu(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """`relu(batch_norm(x, ...))` as one node, with one pass over the memory fewer each way.

    Arguments, result and errors are those of `batch_norm`.
    """
    running, affine = (running_mean, running_var), (weight, bias)
    return _batch_norm(x, running, affine, training, momentum, eps, fused, relu=True)


def _batch_norm(
    x: Tensor,
    running: steps.Pair,
    affine: steps.Pair,
    training: bool,
    momentum: float,
    eps: float,
    fused: bool,
    relu: bool,
) -> Tensor:
    name = "batch_norm_relu" if relu else "batch_norm"
    steps.check_input(name, x, steps.named(running, affine), eps)
    steps.check_momentum(name, momentum)
    check_flag("training", training)
    if not training:
        mean, var = steps.given_statistics(name, running, "training")
        return steps.normalise_with(x, mean, var, affine, eps, fused, relu)
    steps.check_movable(name, running)
    steps.check_enough_values(name, x, "training=False to use running statistics")
    y, mean, var = steps.normalise_by_batch(x, affine, eps, fused, relu)
    if x.size and not recomputing.get():
        steps.move_both(running, mean, var, x.size // x.shape[1], momentum)
    return y


def layer_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """weight · (x - mean) / √(var + eps) + bias over the last axes of each sample.

    Ba, Kiros and Hinton, 2016, arXiv 1607.06450.

    Args:
        x: (…, *normalized_shape).
        normalized_shape: lengths of the axes that are normalised together; a number for one axis.
        weight, bias: of this shape, or None for 1 and 0.
        eps: added to the biased variance inside the root; 0 or more.
        fused: one node for the normalisation; False composes primitives.

    Returns:
        A tensor of x's shape and dtype.  Where one value is normalised alone, it is bias.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: a negative eps.
        DTypeError: x holds integers.
    """
    check_floating("layer_norm", x)
    steps.check_eps("layer_norm", eps)
    shape = steps.last_lengths(normalized_shape)
    first = x.ndim - len(shape)
    if first < 0 or x.shape[first:] != shape:
        raise ShapeError(
            f"layer_norm got x of shape {x.shape} for normalized_shape {shape}: x must end in it"
        )
    steps.check_shapes("layer_norm", x, {"weight": weight, "bias": bias}, shape)
    gamma, beta = (t if t is None or t.ndim == 1 else t.reshape(-1) for t in (weight, bias))
    axes = tuple(range(first, x.ndim))
    return steps.normalise_layers(x, (gamma, beta), axes, axes, eps, fused)


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """weight · (x - mean) / √(var + eps) + bias, with statistics over each group of channels.

    Wu and He, 2018, arXiv 1803.08494.

    Differs from PyTorch: one value per group gives bias for a batch of one too, which PyTorch
    refuses.

    Args:
        x: (N, C, …).
        num_groups: into how many groups of neighbours the C channels are split.
        weight, bias: (C,), or None for 1 and 0.
        eps, fused: as for `layer_norm`.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: ranks and lengths that do not fit, or C is not a multiple of num_groups.
        ValueError: a negative eps.
        DTypeError: x holds integers.
    """
    steps.check_input("group_norm", x, {"weight": weight, "bias": bias}, eps)
    steps.check_groups("group_norm", num_groups, x.shape[1])
    n, channels, *lengths = x.shape
    groups = x.reshape(n, num_groups, channels // num_groups, math.prod(lengths))
    y = steps.normalise_layers(groups, (weight, bias), (2, 3), (1, 2), eps, fused)
    return y.reshape(x.shape)


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    fused: bool = True,
) -> Tensor:
    """weight · (x - mean) / √(var + eps) + bias, with statistics of each sample and channel.

    Ulyanov, Vedaldi and Lempitsky, 2016, arXiv 1607.08022.

    Args:
        x: (N, C, …), with one or more axes after the channels.
        running_mean, running_var: (C,).  Where they are given and use_input_stats, they are
            rebound to `(1 - momentum)·old + momentum·new`, new the batch's mean of the samples'
            statistics, with unbiased variances.
        weight, bias: (C,), or None for 1 and 0.
        use_input_stats: False normalises by the running statistics, as `batch_norm` does.
        momentum: weight of the new statistics.
        eps, fused: as for `layer_norm`.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: ranks and lengths that do not fit, or one value per sample and channel, whose
            variance says nothing.  Statistics are as before then.
        ValueError: a negative eps, or no statistics to normalise with.
        DTypeError: x holds integers.
    """
    name, running, affine = "instance_norm", (running_mean, running_var), (weight, bias)
    steps.check_input(name, x, steps.named(running, affine), eps)
    steps.check_momentum(name, momentum)
    check_flag("use_input_stats", use_input_stats)
    if not use_input_stats:
        mean, var = steps.given_statistics(name, running, "use_input_stats")
        return steps.normalise_with(x, mean, var, affine, eps, fused)
    steps.check_movable(name, running)
    y, mean, var = steps.normalise_by_instance(x, affine, eps, fused)
    if x.size and not recomputing.get():
        steps.move_both(running, mean, var, math.prod(x.shape[2:]), momentum)
    return y
