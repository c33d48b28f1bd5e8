"""What the normalisations share: checks of arguments, and the steps between them and the ops.

Two ops serve all: `batch_norm`, whose weights are one for each of its statistics, and `layer_norm`,
whose weights differ within what is normalised together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import backend
from ...backend import Array
from ...dtypes import is_number, is_whole
from ...errors import GraphError, ShapeError
from ...ops import batch_norm as ops
from ...ops import batch_norm_relu as relu_ops
from ...ops.layer_norm import layer_norm, layer_norm_reference
from ...ops.shape import broadcast_to
from ...tensor import Tensor
from ..checks import check_flag, check_floating

# ---- what is checked -----------------------------------------------------------------------------


def check_input(name: str, x: Tensor, channel_tensors: list[Tensor | None], eps: float) -> None:
    """Ranks and channels before anything is computed."""
    check_floating(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C) or (N, C, …)")
    check_shapes(name, x, channel_tensors, (x.shape[1],))
    check_eps(name, eps)


def check_shapes(
    name: str, x: Tensor, tensors: list[Tensor | None], shape: tuple[int, ...]
) -> None:
    """Statistics and parameters have the shape that x wants."""
    for t in tensors:
        if t is not None:
            check_floating(name, t)
        if t is not None and t.shape != shape:
            raise ShapeError(
                f"{name} got x of shape {x.shape}, but statistics or parameters of shape "
                f"{t.shape}: they must be {shape}"
            )


def check_eps(name: str, eps: Any) -> None:
    """What is added to a variance may not be negative.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, infinite or NaN.
    """
    if not is_number(eps):
        raise TypeError(f"{name} got eps={eps!r}: give a number of 0 or more (1e-5 is usual)")
    if not 0 <= eps < math.inf:
        raise ValueError(f"{name} got eps={eps}: it must be 0 or more (1e-5 is usual)")


def check_momentum(name: str, momentum: Any, wanted: str = "from 0 to 1") -> None:
    """The weight of the new batch is a share; `wanted` is what to give.

    Raises:
        TypeError: it is no number.
        ValueError: it is not from 0 to 1.
    """
    if not is_number(momentum):
        raise TypeError(f"{name} got momentum={momentum!r}: give a number {wanted}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"{name} got momentum={momentum}: it must be {wanted}")


def check_running(name: str, running_mean: Tensor | None, running_var: Tensor | None) -> None:
    """Statistics that will move are two tensors, outside of any graph.

    Raises:
        ValueError: one tensor was given twice.
        GraphError: one requires a gradient, which it would lose.
    """
    if running_mean is running_var is not None:
        raise ValueError(f"{name} got one tensor as running_mean and running_var: give two")
    for what, t in (("running_mean", running_mean), ("running_var", running_var)):
        if t is not None and t.requires_grad:
            raise GraphError(f"{name} moves {what}, which requires grad: give {what}.detach()")


def check_groups(name: str, num_groups: int, channels: int) -> None:
    """The channels can be split into so many groups."""
    if not is_whole(num_groups) or num_groups < 1 or channels % num_groups:
        raise ShapeError(
            f"{name} got {channels} channels for num_groups={num_groups!r}: give a number that "
            "divides them"
        )


def last_lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    """The lengths of the last axes, as a tuple.

    Raises:
        ShapeError: no lengths.
    """
    given: Any = (shape,) if is_whole(shape) else shape
    whole = isinstance(given, tuple | list) and all(map(is_whole, given))
    if not whole or not given or min(given) < 1:
        raise ShapeError(
            f"normalized_shape was given as {shape!r}: give the length of the last axis, or a "
            "tuple of the last axes' lengths"
        )
    return tuple([int(n) for n in given])


def check_enough_values(name: str, x: Tensor, instead: str) -> None:
    """In training, one value per channel has no variance to speak of; `instead` is what to type.

    Raises:
        ShapeError: there is one.
    """
    if x.size and x.size == x.shape[1]:
        raise ShapeError(
            f"{name} got one value per channel in training (x of shape {x.shape}), whose variance "
            "says nothing: give a larger batch (drop_last=True leaves a last odd one out), or "
            f"{instead}"
        )


# ---- the steps -----------------------------------------------------------------------------------


# (fused, relu) -> the op, and with given statistics
BY_BATCH = {
    (True, False): ops.batch_norm,
    (False, False): ops.batch_norm_reference,
    (True, True): relu_ops.batch_norm_relu,
    (False, True): relu_ops.batch_norm_relu_reference,
}
BY_GIVEN = {
    (True, False): ops.batch_norm_eval,
    (False, False): ops.batch_norm_eval_reference,
    (True, True): relu_ops.batch_norm_relu_eval,
    (False, True): relu_ops.batch_norm_relu_eval_reference,
}

BY_LAYER = {(True, False): layer_norm, (False, False): layer_norm_reference}


def chosen(table: dict[tuple[bool, bool], Any], fused: bool, relu: bool = False) -> Any:
    """The op of a form.

    Raises:
        TypeError: fused is neither True nor False.
    """
    check_flag("fused", fused)
    return table[fused, relu]


def normalise_by_batch(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    fused: bool,
    relu: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """y and the batch's mean and biased variance (C,), which carry no gradient."""
    axes = (0, *range(2, x.ndim))
    y, mean, var = chosen(BY_BATCH, fused, relu)(x, *_filled(weight, bias), axes=axes, eps=eps)
    return y, mean.detach(), var.detach()


def normalise_by_instance(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, fused: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y, and the samples' mean and biased variance averaged, (C,), which carry no gradient.

    Raises:
        ShapeError: one value per sample and channel.
    """
    if math.prod(x.shape[2:]) == 1:
        raise ShapeError(
            f"instance_norm got one value per sample and channel (x of shape {x.shape}), whose "
            "variance says nothing: give (N, C, …) with more after the channels, or normalise by "
            "running statistics (use_input_stats=False; .eval() with track_running_stats=True)"
        )
    own = x.shape[:2]  # one statistic for each sample and channel, so weights as well
    each = [t if t is None else broadcast_to(t, own).reshape(-1) for t in (weight, bias)]
    axes = tuple(range(2, x.ndim))
    y, *statistics = chosen(BY_BATCH, fused)(x, *_filled(*each), axes=axes, eps=eps)
    mean, var = (s.detach().reshape(own).sum(0) / max(own[0], 1) for s in statistics)
    return y, mean, var


def normalise_layers(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    axes: tuple[int, ...],
    along: tuple[int, ...],
    eps: float,
    fused: bool,
) -> Tensor:
    """x normalised over `axes`, with weight and bias (flat) along others."""
    y, _, _ = chosen(BY_LAYER, fused)(x, *_filled(weight, bias), axes=axes, along=along, eps=eps)
    return y


def normalise_with(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    fused: bool,
    relu: bool = False,
) -> Tensor:
    """The affine map by given statistics."""
    axes = (0, *range(2, x.ndim))
    return chosen(BY_GIVEN, fused, relu)(x, mean, var, *_filled(weight, bias), axes=axes, eps=eps)


def _filled(weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    """What None stands for: weight 1, bias 0."""
    return 1.0 if weight is None else weight, 0.0 if bias is None else bias


def unbiased(var: Array, n: int) -> Array:
    """A variance over n values with n - 1 in place of n."""
    return var * (n / max(n - 1, 1))


def move_both(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    var: Tensor,
    n: int,
    momentum: float,
) -> None:
    """Those that are given take in the mean, and the variance over n values, of a batch."""
    pairs = (running_mean, mean.array), (running_var, unbiased(var.array, n))
    moved = [(old, average(old, new, momentum)) for old, new in pairs if old is not None]
    for running, value in moved:  # now that nothing can fail any more
        running.rebind(value)  # whoever saved the old array keeps it


def average(running: Tensor, batch: Array, momentum: float) -> Array:
    """(1 - momentum)·running + momentum·batch."""
    backend.check_same(running.array, batch)
    return ((1 - momentum) * running.array + momentum * batch).astype(running.dtype)
