"""What the subscripts of an einsum mean for operands of given shapes."""

from __future__ import annotations

import functools
import string
from typing import NamedTuple

from ..errors import DTypeError, ShapeError

DOTS = "…"  # stands for "..." once subscripts are read: one character, as a letter is


class Plan(NamedTuple):
    """What subscripts mean for operands of some shapes; strings have one letter an axis."""

    terms: list[str]  # the operands, with letters for what "..." stands for
    out: str  # the result
    lengths: dict[str, int]  # of each letter
    real: list[str]  # an operand's letters that are as long as they can be, each once
    kept: list[str]  # of these, those that the result or another operand has


@functools.lru_cache(maxsize=512)
def planned(subscripts, shapes):
    """The plan for subscripts and operands of these shapes.

    Raises:
        ShapeError: the subscripts are malformed, or do not fit the shapes.
    """
    terms, out = _split(subscripts)
    if len(terms) != len(shapes):
        raise ShapeError(
            f"the subscripts {subscripts!r} have {len(terms)} terms, for {len(shapes)} operands: "
            "give one term, between commas, for each operand"
        )
    ranks = [
        _rank_of_dots(i, term, shape)
        for i, (term, shape) in enumerate(zip(terms, shapes, strict=True))
    ]
    unused = [c for c in string.ascii_letters if c not in subscripts]
    dots = "".join(unused[: max(ranks)])
    if len(dots) < max(ranks):
        raise ShapeError(f"{subscripts!r} needs more than the 52 letters for indices that exist")
    terms = [t.replace(DOTS, dots[len(dots) - n :]) for t, n in zip(terms, ranks, strict=True)]
    if out is None:
        every = "".join(terms)
        out = DOTS + "".join(sorted(c for c in set(every) - set(dots) if every.count(c) == 1))
    out = out.replace(DOTS, dots)
    lengths = _lengths(terms, shapes, dots)
    real = [
        once(c for c, n in zip(t, s, strict=True) if n == lengths[c])
        for t, s in zip(terms, shapes, strict=True)
    ]
    kept = [
        "".join(c for c in r if c in out or any(c in o for j, o in enumerate(real) if j != i))
        for i, r in enumerate(real)
    ]
    return Plan(terms, out, lengths, real, kept)


def _split(subscripts):
    """The operands' terms, and the result's or None."""
    if not isinstance(subscripts, str):
        raise DTypeError(
            f"subscripts were given as {subscripts!r}: give a string first, then the operands, as "
            "in einsum('ij,jk->ik', a, b)"
        )
    left, arrow, right = subscripts.replace("...", DOTS).partition("->")
    terms, right = left.replace(" ", "").split(","), right.replace(" ", "")
    for term in [*terms, right]:
        wrong = sorted(set(term) - set(string.ascii_letters + DOTS))
        if wrong or term.count(DOTS) > 1:
            raise ShapeError(
                f"the subscripts {subscripts!r} have "
                f"{f'{wrong[0]!r} in a term' if wrong else '... twice in one term'}: a term has "
                "letters and at most one '...', as in 'ij,jk->ik' or '...ij->...ji'"
            )
    for c in right:
        if right.count(c) > 1 or (c != DOTS and c not in left):
            why = "twice" if right.count(c) > 1 else "but no operand has it"
            raise ShapeError(f"the result of {subscripts!r} has index {c!r} {why}")
    return terms, right if arrow else None


def _rank_of_dots(i, term, shape):
    """How many axes of operand i "..." stands for."""
    named = len(term.replace(DOTS, ""))
    if len(shape) < named or (DOTS not in term and len(shape) > named):
        raise ShapeError(
            f"operand {i} of shape {shape} has {len(shape)} axes, for which "
            f"{term.replace(DOTS, '...')!r} has {named} letters"
            + ("" if DOTS in term else " (... stands for any others)")
        )
    return len(shape) - named


def _lengths(terms, shapes, dots):
    """The length of each letter; lengths of 1 broadcast, but not to another axis of one operand."""
    found: dict[str, tuple[int, int]] = {}
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, int] = {}
        for c, n in zip(term, shape, strict=True):
            m, j = found.get(c, (1, i))
            if own.setdefault(c, n) != n:
                _refuse(c, dots, own[c], n, f"in operand {i}")
            if m not in (1, n) and n != 1:
                _refuse(c, dots, m, n, f"in operands {j} and {i}")
            if m == 1:
                found[c] = n, i
    return {c: n for c, (n, _) in found.items()}


def _refuse(c, dots, n, m, where):
    what = f"axis {dots.index(c)} of '...'" if c in dots else f"index {c!r}"
    raise ShapeError(f"{what} has the lengths {n} and {m} {where}: they must be equal")


def once(letters):
    """Each letter once, in the order of their first places."""
    return "".join(dict.fromkeys(letters))
