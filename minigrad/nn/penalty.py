"""Penalties on weights or on activations, to be added to a loss.

    loss = F.cross_entropy(y, labels) + 1e-4 * nn.l1_penalty(model)

A penalty λ/2·Σw² has the gradient λw: with plain SGD it is `weight_decay=λ`, so
`0.5 * λ * l2_penalty(model)`.  (With Adam it is not AdamW's decay, which leaves the gradient
alone.)  As priors, Σ|w| is a Laplacian one and Σw² a Gaussian.

Given the outputs of neurons instead of weights, they are penalties on activations: Σ|y| makes them
sparse, few neurons active at a time; Σy² makes them all small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import backend
from ..ops import join, reduce
from ..tensor import Tensor
from .checks import check_floating
from .module import Module


def l1_penalty(x: Module | Tensor | Iterable[Tensor]) -> Tensor:
    """Σ|w| as a number with a gradient, sign(w), which is 0 at 0.

    Args:
        x: a module (all its parameters), a tensor (weights, or the outputs of neurons), or
            several tensors.  Each counts once, however often it is shared or listed.  Frozen
            parameters count too, and have no gradient;
            `l1_penalty(p for p in model.parameters() if p.requires_grad)` leaves them out.

    Returns:
        A tensor of shape (): float32 for float16, else in the tensors' dtype.

    Raises:
        ValueError: a module without parameters, or no tensors at all.
        DTypeError: something that is not a floating tensor.
    """
    return _summed("l1_penalty", x, lambda w: w.abs().sum())


def l2_penalty(x: Module | Tensor | Iterable[Tensor]) -> Tensor:
    """Σw² as a number with a gradient, 2w; not halved and without a root.

    The arguments and errors are those of `l1_penalty`.
    """
    return _summed("l2_penalty", x, lambda w: (w * w).sum())


def _summed(name: str, x: Any, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    each = {id(w): w for w in _tensors(name, x)}.values()
    for w in each:
        check_floating(name, w)
    # the square of a small float16 would be 0
    parts = [penalty(reduce.wide(w)) for w in each]
    total: Tensor = join.stack(parts).sum()
    return total


def _tensors(name: str, x: Any) -> list[Any]:
    """What is penalised."""
    if isinstance(x, Tensor) or backend.find(x) is not None:
        return [x]
    if isinstance(x, Module):
        tensors: list[Any] = list(x.parameters())
        if not tensors:
            raise ValueError(f"{name} got {type(x).__name__}, a module without parameters")
        return tensors
    if not isinstance(x, Iterable):
        raise TypeError(f"{name} got a {type(x).__name__}: give a module, a tensor or several")
    tensors = list(x)
    if not tensors:
        raise ValueError(f"{name} got no tensors: give one at least")
    return tensors
