"""Comparisons, logic and tests: Boolean results, which carry no gradient."""

from __future__ import annotations

from ..dtypes import NUMBER
from ..errors import DTypeError
from ..op import op
from ..samples import anything, bits, elementwise

_two = elementwise(anything, anything)


@op(None, None, samples=_two)
def eq(xp, a, b):
    """a = b elementwise; NaN equals nothing.

    >>> mg.eq(mg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """
    return xp.equal(a, b)


@op(None, None, samples=_two)
def ne(xp, a, b):
    """a ≠ b elementwise.

    >>> mg.ne(mg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """
    return xp.not_equal(a, b)


@op(None, None, samples=_two)
def lt(xp, a, b):
    """a < b elementwise.

    >>> mg.lt(mg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """
    return xp.less(a, b)


@op(None, None, samples=_two)
def le(xp, a, b):
    """a ≤ b elementwise.

    >>> mg.le(mg.tensor([1.0, 2.0]), 2)
    tensor([ True,  True])
    """
    return xp.less_equal(a, b)


@op(None, None, samples=_two)
def gt(xp, a, b):
    """a > b elementwise.

    >>> mg.gt(mg.tensor([1.0, 2.0]), 1)
    tensor([False,  True])
    """
    return xp.greater(a, b)


@op(None, None, samples=_two)
def ge(xp, a, b):
    """a ≥ b elementwise.

    >>> mg.ge(mg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """
    return xp.greater_equal(a, b)


@op(None, samples=elementwise(bits))
def logical_not(xp, x):
    """¬x: whether x is zero.

    >>> mg.logical_not(mg.tensor([0.0, 2.0]))
    tensor([ True, False])
    """
    return xp.logical_not(x)


@op(None, None, samples=elementwise(bits, bits))
def logical_and(xp, a, b):
    """a ∧ b: whether both are nonzero.

    >>> mg.logical_and(mg.tensor([True, True]), mg.tensor([True, False]))
    tensor([ True, False])
    """
    return xp.logical_and(a, b)


@op(None, None, samples=elementwise(bits, bits))
def logical_or(xp, a, b):
    """a ∨ b: whether one of them is nonzero.

    >>> mg.logical_or(mg.tensor([False, True]), mg.tensor([False, False]))
    tensor([False,  True])
    """
    return xp.logical_or(a, b)


@op(None, samples=elementwise(anything))
def isnan(xp, x):
    """Whether x is not a number: x ≠ x.

    >>> mg.isnan(mg.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return xp.isnan(x)


@op(None, samples=elementwise(anything))
def isinf(xp, x):
    """Whether |x| = ∞.

    >>> mg.isinf(mg.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return xp.isinf(x)


@op(None, samples=elementwise(anything))
def isfinite(xp, x):
    """Whether |x| < ∞, which NaN is not.

    >>> mg.isfinite(mg.tensor([1.0, float("nan"), float("inf")]))
    tensor([ True, False, False])
    """
    return xp.isfinite(x)


def _check_margin(name, value):
    if not isinstance(value, NUMBER) or not 0 <= value < float("inf"):
        raise DTypeError(f"{name} was given as {value!r}: give a finite number of 0 or more")


@op(None, None, samples=_two)
def allclose(xp, a, b, *, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |a - b| ≤ atol + rtol·|b| everywhere.

    Differs from PyTorch: the result is a 0-d tensor (true or false in an `if`), so that a GPU need
    not wait.

    >>> mg.allclose(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 2.000001]))
    tensor(True)
    """
    _check_margin("rtol", rtol)
    _check_margin("atol", atol)
    return xp.all(xp.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))
