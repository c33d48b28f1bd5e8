"""Batch normalisation as functions: `F.batch_norm`, and the steps that it and the modules share."""

from __future__ import annotations

from ...backend import Array
from ...errors import ShapeError
from ...modes import recomputing
from ...ops import batch_norm as ops
from ...tensor import Tensor
from ..checks import check_floating


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
        running_mean, running_var: (C,).  In training they are rebound, where they are given, to
            `(1 - momentum)·old + momentum·batch`, with the unbiased variance.  Otherwise they are
            the statistics used, and gradients flow to them.
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
    check_input(x, [running_mean, running_var, weight, bias], eps)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "batch_norm with training=False needs running_mean and running_var: give both, "
                "or training=True"
            )
        return normalise_with(x, running_mean, running_var, weight, bias, eps, fused)
    if running_mean is running_var is not None:
        raise ValueError("batch_norm got one tensor as running_mean and running_var: give two")
    check_enough_values(x)
    y, mean, var = normalise_by_batch(x, weight, bias, eps, fused)
    values = unbiased(var.array, x.size // max(x.shape[1], 1))
    for running, batch in ((running_mean, mean.array), (running_var, values)):
        if running is not None and x.size and not recomputing.get():
            move_average(running, batch, momentum)
    return y


def check_input(x: Tensor, channel_tensors: list[Tensor | None], eps: float) -> None:
    """Ranks and channels before anything is computed."""
    check_floating("batch_norm", x)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm got x of shape {x.shape}: it must be (N, C) or (N, C, …)")
    for t in channel_tensors:
        if t is not None:
            check_floating("batch_norm", t)
        if t is not None and t.shape != (x.shape[1],):
            raise ShapeError(
                f"batch_norm got x of shape {x.shape} with {x.shape[1]} channels, but statistics "
                f"or parameters of shape {t.shape}: they must be ({x.shape[1]},)"
            )
    if not eps >= 0:
        raise ValueError(f"batch_norm got eps={eps}: it must be 0 or more (1e-5 is usual)")


def check_enough_values(x: Tensor) -> None:
    """In training, one value per channel has no variance to speak of."""
    if x.size and x.size == x.shape[1]:
        raise ShapeError(
            f"batch_norm got one value per channel in training (x of shape {x.shape}), whose "
            "variance says nothing: give a larger batch (drop_last=True leaves a last odd one "
            "out), or call .eval() to use the running statistics"
        )


def normalise_by_batch(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, fused: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y and the batch's mean and biased variance (C,), which carry no gradient."""
    axes = (0, *range(2, x.ndim))
    gamma, beta = 1.0 if weight is None else weight, 0.0 if bias is None else bias
    op = ops.batch_norm if fused else ops.batch_norm_reference
    y, mean, var = op(x, gamma, beta, axes=axes, eps=eps)
    return y, mean.detach(), var.detach()


def normalise_with(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    fused: bool,
) -> Tensor:
    """The affine map by given statistics."""
    op = ops.batch_norm_eval if fused else ops.batch_norm_eval_reference
    gamma, beta = 1.0 if weight is None else weight, 0.0 if bias is None else bias
    y: Tensor = op(x, mean, var, gamma, beta, axes=(0, *range(2, x.ndim)), eps=eps)
    return y


def unbiased(var: Array, n: int) -> Array:
    """A variance over n values with n - 1 in place of n."""
    return var * (n / max(n - 1, 1))


def move_average(running: Tensor, batch: Array, momentum: float) -> None:
    """running ← (1 - momentum)·running + momentum·batch.

    By rebinding: whoever saved the old array keeps it.
    """
    new = (1 - momentum) * running.array + momentum * batch
    running.rebind(new.astype(running.dtype))
