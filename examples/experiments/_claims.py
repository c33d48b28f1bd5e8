"""Claims: what an experiment is expected to show, what was measured, and whether it holds."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
OVER = {"each": list, "median": np.median, "mean": np.mean}


@dataclass(frozen=True)
class Claim:
    """`text` sign bound, as in "accuracy with BatchNorm > 0.9", and one value for each seed.

    Args:
        text: what is measured.
        values: one for each seed; one that is not a number fails.
        sign: ">", ">=", "<" or "<=".
        bound: what the values are compared with.
        over: whether "each" seed must fulfil it, or their "median" or "mean".
        reproduces: False for what is known not to show on digits: it is measured and printed like
            the others, but is no failure.
    """

    text: str
    values: Sequence[float]
    sign: str
    bound: float
    over: str = "each"
    reproduces: bool = True

    @property
    def holds(self) -> bool:
        """Whether what was expected was found."""
        compared = np.atleast_1d(OVER[self.over](self.values))
        return len(compared) > 0 and bool(np.all(SIGNS[self.sign](compared, self.bound)))

    @property
    def wanted(self) -> str:
        """The sign and the bound, and what they are for unless it is each seed."""
        over = "" if self.over == "each" else f" ({self.over})"
        return f"{self.sign} {self.bound:g}{over}"

    @property
    def figure(self) -> str:
        """The median or mean over the seeds, and their range."""
        middle = (np.mean if self.over == "mean" else np.median)(self.values)
        if len(set(self.values)) == 1:
            return shown(middle)
        return f"{shown(middle)} ({shown(min(self.values))} to {shown(max(self.values))})"

    @property
    def verdict(self) -> str:
        """What is printed of it."""
        return "holds" if self.holds else "does not hold"


def shown(value: float) -> str:
    """A number in three digits, as tables show it."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def table(claims: dict[str, list[Claim]]) -> str:
    """A Markdown table of the claims of experiments, by their short names."""
    rows = [
        (name, claim.text, claim.wanted, claim.figure, claim.verdict)
        for name, those in claims.items()
        for claim in those
    ]
    lines = [("experiment", "claim", "wanted", "measured", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)
