"""The laws: what holds of every op, tried on sample calls.

A law takes a `Sample`, which is a call that the op's own sampler drew, and raises AssertionError
where it does not hold.  `check_op(op)` tries them all on an op of yours; in the tests Hypothesis
draws the calls, for every op of the registry and every device.
"""

from __future__ import annotations

from typing import Any

from ..samples import Draw
from . import derivatives, memory, refusals, values
from .book import LAWS as LAWS
from .sample import Sample as Sample


def check_op(op: Any, calls: int = 20, seed: int = 0, device: str = "cpu") -> None:
    """Try every law on sample calls of an op.

    Args:
        op: a function that `@op` or `@fused` made, with `samples=...`.
        calls: how many calls are drawn for each law.
        seed: of the draws.
        device: where the calls run.

    Raises:
        AssertionError: a law does not hold; says which, and how.
        TypeError: op is not an op.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.laws import check_op
        >>> check_op(mg.tanh, calls=3)
    """
    if not hasattr(op, "op"):
        raise TypeError(f"check_op got {op!r}: give a function that @op or @fused made")
    for name, law in LAWS.items():
        for k in range(calls):
            try:
                law(Sample.of(op.op, Draw.seeded(seed + k), device))
            except AssertionError as error:
                error.add_note(f"law {name} of op {op.op.name}, seed {seed + k}")
                raise
