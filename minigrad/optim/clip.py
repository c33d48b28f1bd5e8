"""Gradients held within bounds, between `backward()` and `step()`."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import backend, dtypes, graph
from ..backend import Array
from ..backend.several import placed
from ..create import zeros
from ..modes import no_grad
from ..ops.join import stack
from ..tensor import Tensor, handle
from .checks import check_number, check_tensor, listed


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """g ← g · min(1, max_norm / (‖all g‖ + 1e-6)), with one norm over all gradients together.

    Gradients change in place, except one that is part of a graph (`create_graph=True`), which is
    replaced, so that the graph stays right.  A GPU is not waited for.  A norm that is infinite
    or NaN makes gradients 0 or NaN, as in PyTorch.  (Pascanu, Mikolov and Bengio, 2013,
    arXiv 1211.5063.)

    Differs from PyTorch: the norm of float16 is float32, which does not overflow; one parameter
    given twice counts once; no parameters at all are an error.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: a number, 0 or more.
        norm_type: p of the norm, above 0; `math.inf` for the largest |g|.
        error_if_nonfinite: raise if the norm is infinite or NaN; this waits for a GPU.

    Returns:
        The norm before clipping, a 0-d tensor; 0 where there are no gradients.

    Raises:
        RuntimeError: see `error_if_nonfinite`; nothing has changed then.
        ValueError: no parameters, or a max_norm or norm_type out of range.
    """
    check_number("clip_grad_norm_", "max_norm", max_norm)
    norm_type = float(norm_type)
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_ got norm_type={norm_type}: give a number above 0")
    grads = _grads("clip_grad_norm_", parameters)
    if not grads:
        return zeros()
    with no_grad():
        norms = [_wide(g).norm(norm_type) for _, g in grads]
        total = stack([norm.to(norms[0].device) for norm in norms]).norm(norm_type)
        scale = (max_norm / (total + 1e-6)).clip(max=1.0)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"the gradients' norm of order {norm_type} is {total.item()}, so they cannot be "
            "clipped: run the step inside `with mg.detect_anomaly():` to see where it arose, or "
            "leave error_if_nonfinite out"
        )
    for p, grad in grads:
        g = _writeable(p, grad)
        _scale(g, scale.to(grad.device).array)
        graph.wrote("clip_grad_norm_", g)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Hold every element of every gradient within ±clip_value.

    Gradients change in place, except one that is part of a graph, as in `clip_grad_norm_`.

    Raises:
        ValueError: no parameters, or a negative clip_value.
    """
    check_number("clip_grad_value_", "clip_value", clip_value)
    for p, grad in _grads("clip_grad_value_", parameters):
        g = _writeable(p, grad)
        _hold(g, float(clip_value))
        graph.wrote("clip_grad_value_", g)


@placed
def _scale(g: Array, factor: Array) -> None:
    backend.of(g).xp.multiply(g, factor, out=g, casting="same_kind")


@placed
def _hold(g: Array, bound: float) -> None:
    backend.of(g).xp.clip(g, -bound, bound, out=g)


def _grads(function: str, parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The parameters that have a gradient, each once, with it."""
    params = [parameters] if isinstance(parameters, Tensor) else listed(function, parameters)
    if not params:
        raise ValueError(f"{function} got no parameters: give model.parameters()")
    for p in params:
        check_tensor(function, p)
    return [(p, p.grad) for p in {id(p): p for p in params}.values() if p.grad is not None]


def _wide(g: Tensor) -> Tensor:
    return g.float() if g.dtype == dtypes.float16 else g


@placed
def _writeable(p: Tensor, grad: Tensor) -> Array:
    """The array of a gradient that may be written: a new one for one in a graph, or a view."""
    if grad.node is not None or not backend.of(grad.array).writeable(grad.array):
        p.grad = grad = handle(grad.array.copy())
    return grad.array
