"""Hints: what a fused forward leaves for its backward, to save work."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import GraphError


class Hint(tuple[Any, ...]):
    """Arrays that a forward leaves for its backward: they save work, and never carry meaning.

    Saved arrays may speed a derivative up; a derivative that depended on them would be silently
    wrong at the next order. So only forwards and kernels open a hint, and a rule passes it on.
    """

    __slots__ = ()

    def __new__(cls, *arrays: Any) -> Hint:  # noqa: D102  Hint(mean, deviation), not Hint([..])
        return super().__new__(cls, arrays)


class Sealed:
    """A Hint while derivatives are recorded: it refuses to be opened.

    A rule that opened it would be right at order 1 and wrong above.
    """

    __slots__ = ("opened_by_forward",)

    def __init__(self, hint: Hint) -> None:
        self.opened_by_forward = hint

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise GraphError(
            "a rule may not open a hint, because its arrays have no derivative: pass it on to a "
            "fused op, or ask for the inputs by name"
        )

    __iter__ = __getitem__ = __len__ = __array__ = _refuse
