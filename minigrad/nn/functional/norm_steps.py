"""What the normalisations share: checks of arguments, and the steps from them to the ops.

Two ops serve all: `batch_norm`, which has one weight for each statistic, and `layer_norm`, whose
weights differ within what is normalised together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ... import backend
from ...backend import Array
from ...backend.several import placed
from ...dtypes import is_number, is_whole
from ...errors import GraphError, ShapeError
from ...kernels import optimizer_steps
from ...modes import kernels_on
from ...ops.batch_norm import batch_norm, batch_norm_eval
from ...ops.batch_norm_relu import batch_norm_relu, batch_norm_relu_eval
from ...ops.layer_norm import layer_norm
from ...ops.shape import broadcast_to
from ...tensor import Tensor
from ..checks import check_flag, check_floating

Pair = tuple[Tensor | None, Tensor | None]  # weight and bias, or running mean and variance
Tensors = Mapping[str, Tensor | None]  # arguments by name

# ---- checks --------------------------------------------------------------------------------------


def check_input(name: str, x: Tensor, per_channel: Tensors, eps: float) -> None:
    """x has channels, these tensors have as many values, and eps is a number of 0 or more."""
    check_floating(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name} got x of shape {x.shape}: it must be (N, C) or (N, C, …)")
    check_shapes(name, x, per_channel, (x.shape[1],))
    check_eps(name, eps)


def named(running: Pair, affine: Pair) -> Tensors:
    """Running statistics, weight and bias by name."""
    (mean, var), (weight, bias) = running, affine
    return {"running_mean": mean, "running_var": var, "weight": weight, "bias": bias}


def check_shapes(name: str, x: Tensor, tensors: Tensors, shape: tuple[int, ...]) -> None:
    """Statistics and parameters, where there are any, are floating and of this shape."""
    for what, t in tensors.items():
        if t is None or (isinstance(t, Tensor) and t.shape == shape and t.dtype.kind == "f"):
            continue
        check_floating(f"{name} ({what})", t)
        raise ShapeError(
            f"{name} got x of shape {x.shape}, but {what} of shape {t.shape}: it must be {shape}"
        )


def check_eps(name: str, eps: Any) -> None:
    """eps is a number of 0 or more.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, infinite or NaN.
    """
    if not is_number(eps):
        raise TypeError(f"{name} got eps={eps!r}: give a number of 0 or more (1e-5 is usual)")
    if not 0 <= eps < math.inf:
        raise ValueError(f"{name} got eps={eps}: it must be 0 or more (1e-5 is usual)")


def check_momentum(name: str, momentum: Any, wanted: str = "from 0 to 1") -> None:
    """momentum is a number from 0 to 1; `wanted` tells what may be given.

    Raises:
        TypeError: it is no number.
        ValueError: it is not from 0 to 1.
    """
    if not is_number(momentum):
        raise TypeError(f"{name} got momentum={momentum!r}: give a number {wanted}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"{name} got momentum={momentum}: it must be {wanted}")


def check_movable(name: str, running: Pair) -> None:
    """Statistics that will move are two tensors without a graph.

    Raises:
        ValueError: one tensor was given twice.
        GraphError: one requires a gradient, which it would lose.
    """
    running_mean, running_var = running
    if running_mean is running_var is not None:
        raise ValueError(f"{name} got one tensor as running_mean and running_var: give two")
    for what, t in (("running_mean", running_mean), ("running_var", running_var)):
        if t is not None and t.requires_grad:
            raise GraphError(f"{name} moves {what}, which requires grad: give {what}.detach()")


def given_statistics(name: str, running: Pair, option: str) -> tuple[Tensor, Tensor]:
    """The running statistics that are to normalise because this option is False.

    Raises:
        ValueError: one is missing.
    """
    running_mean, running_var = running
    if running_mean is None or running_var is None:
        raise ValueError(
            f"{name} with {option}=False needs running_mean and running_var: give both, or "
            f"{option}=True"
        )
    return running_mean, running_var


def check_groups(name: str, num_groups: int, channels: int) -> None:
    """num_groups divides the channels.

    Raises:
        ShapeError: it does not.
    """
    if not is_whole(num_groups) or num_groups < 1 or channels % num_groups:
        raise ShapeError(
            f"{name} got {channels} channels for num_groups={num_groups!r}: give a number that "
            "divides them"
        )


def last_lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    """`normalized_shape` as a tuple: the lengths of the last axes.

    Raises:
        ShapeError: it holds something else than positive integers, or nothing.
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
    """A batch to train on has more than one value per channel; `instead` tells what else to type.

    Raises:
        ShapeError: it has one, whose variance says nothing.
    """
    if x.size and x.size == x.shape[1]:
        raise ShapeError(
            f"{name} got one value per channel in training (x of shape {x.shape}), whose variance "
            "says nothing: give a larger batch (drop_last=True leaves a last odd one out), or "
            f"{instead}"
        )


# ---- steps ---------------------------------------------------------------------------------------


def form(op: Any, fused: bool) -> Any:
    """A fused op itself, or the composition of primitives that says what it means.

    Raises:
        TypeError: fused is neither True nor False.
    """
    check_flag("fused", fused)
    return op if fused else op.reference


def normalise_by_batch(
    x: Tensor, affine: Pair, eps: float, fused: bool, relu: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """y, and the batch's mean and biased variance (C,), which carry no gradient."""
    op, axes = batch_norm_relu if relu else batch_norm, (0, *range(2, x.ndim))
    y, mean, var = form(op, fused)(x, *_filled(affine), axes=axes, eps=eps)
    return y, mean.detach(), var.detach()


def normalise_by_part(
    x: Tensor,
    affine: Pair,
    parts: tuple[int, ...],
    axes: tuple[int, ...],
    eps: float,
    fused: bool,
    relu: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and biased variance, where weight and bias (C,) serve several parts of x alike.

    Args:
        x: of any shape whose axes beside `axes` are `parts`.
        affine: weight and bias.
        parts: (…, C), the shape of the statistics.
        axes: those that the statistics are taken over.
        eps, fused, relu: as for `BatchNorm`.
    """
    repeated = [t if t is None else broadcast_to(t, parts).reshape(-1) for t in affine]
    op = batch_norm_relu if relu else batch_norm
    y, mean, var = form(op, fused)(x, *_filled(repeated), axes=axes, eps=eps)
    return y, mean.detach().reshape(parts), var.detach().reshape(parts)


def normalise_by_instance(
    x: Tensor, affine: Pair, eps: float, fused: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y, and the averages over the samples of mean and biased variance (C,), without gradient.

    Raises:
        ShapeError: one value per sample and channel.
    """
    if math.prod(x.shape[2:]) == 1:
        raise ShapeError(
            f"instance_norm got one value per sample and channel (x of shape {x.shape}), whose "
            "variance says nothing: give (N, C, …) with more after the channels, or normalise by "
            "running statistics (use_input_stats=False; .eval() with track_running_stats=True)"
        )
    samples, channels, axes = x.shape[0], x.shape[1], tuple(range(2, x.ndim))
    y, mean, var = normalise_by_part(x, affine, (samples, channels), axes, eps, fused)
    return y, mean.sum(0) / max(samples, 1), var.sum(0) / max(samples, 1)


def normalise_layers(
    x: Tensor,
    affine: Pair,
    axes: tuple[int, ...],
    along: tuple[int, ...],
    eps: float,
    fused: bool,
) -> Tensor:
    """x normalised over `axes`, with weight and bias, flattened, along `along`."""
    y, _, _ = form(layer_norm, fused)(x, *_filled(affine), axes=axes, along=along, eps=eps)
    return y


def normalise_with(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    affine: Pair,
    eps: float,
    fused: bool,
    relu: bool = False,
) -> Tensor:
    """x normalised by given statistics (C,), through which gradients flow."""
    op, axes = batch_norm_relu_eval if relu else batch_norm_eval, (0, *range(2, x.ndim))
    return form(op, fused)(x, mean, var, *_filled(affine), axes=axes, eps=eps)


def _filled(affine: Sequence[Tensor | None]) -> tuple[Tensor | float, Tensor | float]:
    """Weight and bias, or 1 and 0 where they are None."""
    weight, bias = affine
    return 1.0 if weight is None else weight, 0.0 if bias is None else bias


def unbiased(n: int) -> float:
    """What makes a biased variance over n values one with n - 1 in place of n."""
    return n / max(n - 1, 1)


def move_both(running: Pair, mean: Tensor, var: Tensor, n: int, momentum: float) -> None:
    """Running statistics take in the mean and biased variance of a batch with n values for each."""
    running_mean, running_var = running
    batch = (running_mean, mean.array, 1.0), (running_var, var.array, unbiased(n))
    moved = [(old, average(old, new, momentum, by)) for old, new, by in batch if old is not None]
    for old, value in moved:  # now that nothing can fail any more
        old.rebind(value)  # whoever saved the old array keeps it


@placed
def average(running: Tensor, batch: Array, momentum: float, by: float = 1.0) -> Array:
    """(1 - momentum)·running + momentum·by·batch, in the dtype of the running statistic."""
    old = running.array
    if backend.PLACES.get(type(old)) == "cpu" and kernels_on.get():  # a GPU's loads no Numba
        steps = optimizer_steps("cpu")
        if steps is not None and steps.served(old, batch):
            return steps.average(old, batch, float(momentum), by)
    try:
        moved = (1 - momentum) * old + momentum * (batch * by if by != 1 else batch)
        return moved.astype(old.dtype, copy=False)
    except Exception:
        backend.check_same(old, batch)
        raise
