"""The rule of a fused op that has none: differentiate its reference, which says what it means."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .modes import Switch, recording
from .tensor import Tensor, handle

if TYPE_CHECKING:
    from .op import Op


def through_reference(op: Op) -> Callable[..., Any]:
    """A joint rule that runs `op.reference` anew, recorded, and sweeps it."""
    statics = [name for name in op.statics if name != "hint"]
    arity = len(op.inputs)

    def rule(g: Any, needs: tuple[bool, ...], *values: Any) -> list[Any]:
        from .gradient import grad  # the one import that runs upwards: such a rule is a sweep

        given, options = values[:arity], dict(zip(statics, values[arity:], strict=True))
        recorded = any(isinstance(value, Tensor) for value in given)
        inputs = [_fresh(value, need) for value, need in zip(given, needs, strict=True)]
        seeds = list(g) if isinstance(g, tuple) else [g]
        outputs = zip(_differentiable_outputs(op, inputs, options), seeds, strict=True)
        pairs = [(y, s) for y, s in outputs if isinstance(y, Tensor) and y.requires_grad]
        if not pairs:
            return [None] * arity
        ys, gs = zip(*pairs, strict=True)
        wanted = [t for t, need in zip(inputs, needs, strict=True) if need]
        found = iter(grad(ys, wanted, gs, create_graph=recorded, allow_unused=True))
        gradients = [next(found) if need else None for need in needs]
        return gradients if recorded else [g if g is None else g.array for g in gradients]

    names = ["g", "needs", *op.inputs, *statics]
    rule.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return rule


def _fresh(value: Any, wanted: bool) -> Any:
    """A handle to differentiate to: recorded values keep their history, arrays become leaves."""
    if not wanted:
        return value
    if isinstance(value, Tensor) and value.node is not None:
        return value.clone()
    return handle(value.array if isinstance(value, Tensor) else value).requires_grad_()


def _differentiable_outputs(op: Op, inputs: list[Any], statics: dict[str, Any]) -> list[Any]:
    assert op.reference is not None
    with Switch(recording, True):
        outputs = op.reference(*inputs, **statics)
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    return [y for i, y in enumerate(several) if i not in op.constant]
