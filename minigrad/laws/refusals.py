"""Laws of bad input: an error of our own kind, which names the op and shows what was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import DeviceError, DTypeError, ShapeError
from ..modes import unfused
from ..tensor import Tensor
from .book import law
from .sample import OURS, Sample

AXES = {"axis", "axis0", "axis1", "source", "start_dim", "end_dim"}
JUNK: tuple[Any, ...] = (np.nan, np.inf, -np.inf, 1.5, -7, "x", None, (0, 0), (-9,), object())


def refused(s: Sample, call: Callable[[], Any], kind: Any = OURS, must: bool = True) -> str:
    """Assert that a call raises one of `kind` with the op's name, or, unless it must, works."""
    try:
        with np.errstate(all="ignore"):  # infinities may come of odd numbers
            call()
    except kind as error:
        text = str(error)
        assert f"{s.op.name}(" in text, f"the error does not name {s.op.name}: {text}"
        return text
    except Exception as error:
        raise AssertionError(
            f"{s.op.name} raised {type(error).__name__} ({error}), not one of ours"
        ) from error
    assert not must, f"{s.op.name} took what it cannot take"
    return ""


@law
def an_axis_that_is_not_there_is_refused(s: Sample) -> None:
    """Out of range, named twice, or no integer at all."""
    rank = s.arrays[0].ndim
    for name in AXES & set(s.op.statics):
        beyond = rank + 3 if s.statics.get(name) is None or s.draw.flag() else -rank - 3
        wrong = [beyond, 1.5, np.nan, "x"] + [(0, 0)] * bool(rank)
        bad = s.draw.one_of(*wrong)
        if bad == (0, 0) and isinstance(s.statics.get("shifts"), tuple):
            continue  # rolling twice along one axis is legal
        refused(s, lambda name=name, bad=bad: _with(s, name, bad), (ShapeError, DTypeError))  # type: ignore[misc]


def _with(s: Sample, name: str, value: Any) -> Any:
    """The call with another static argument."""
    return Sample(s.op, s.arrays, {**s.statics, name: value}, s.draw, s.device).call(*s.tensors())


@law
def what_no_tensor_can_hold_is_refused(s: Sample) -> None:
    """Complex numbers, text, nothing at all."""
    position = s.draw.integer(0, len(s.arrays) - 1)
    values: list[Any] = list(s.tensors())
    values[position] = s.draw.one_of(1j, "text", None, object(), np.ones(2, np.complex128))
    if any(isinstance(v, Tensor) for v in values):
        refused(s, lambda: s.call(*values), (DTypeError, DeviceError))  # NumPy's are on the CPU


@law
def shapes_that_do_not_meet_are_refused(s: Sample) -> None:
    """Where inputs broadcast together, lengths that are neither equal nor 1."""
    if len(s.arrays) < 2 or s.op.reference is not None or not _broadcasts(s):
        return
    shapes: Iterable[int] = (2, 3, *[1] * len(s.arrays))
    values = [Tensor(np.ones(n, a.dtype), device=s.device)
              for n, a in zip(shapes, s.arrays, strict=False)]  # fmt: skip
    refused(s, lambda: s.call(*values), ShapeError)


def _broadcasts(s: Sample) -> bool:
    shapes = [np.empty(2), *[np.empty((3, 1))] * (len(s.arrays) - 1)]
    try:
        y = s.call(*[Tensor(np.ones(a.shape, b.dtype), device=s.device)
                     for a, b in zip(shapes, s.arrays, strict=True)])  # fmt: skip
    except OURS:
        return False
    return isinstance(y, Tensor) and y.shape == (3, 2)


@law
def inputs_of_other_ranks_and_dtypes_work_or_are_refused(s: Sample) -> None:
    """No input of any shape or dtype ends in an error that is not ours."""
    values = s.tensors()
    position = s.draw.integer(0, len(values) - 1)
    shape = s.draw.one_of((), (0,), (1,), (7,), (2, 5), (2, 1), (1, 2, 3, 1, 2))
    dtype = s.draw.one_of(np.float64, np.float32, np.int64, np.bool_)
    values[position] = Tensor(np.ones(shape, dtype), device=s.device)
    text = refused(s, lambda: s.call(*values), must=False)
    if s.op.reference is not None:
        with unfused():
            refused(s, lambda: s.call(*values), must=bool(text) and s.op.method)


@law
def odd_static_arguments_work_or_are_refused(s: Sample) -> None:
    """Numbers that are not finite, text, nothing: no error that is not ours."""
    if not s.op.method or not s.statics:
        return
    name = s.draw.one_of(*s.statics)
    junk = s.draw.one_of(*JUNK)
    if name == s.op.star:
        junk = junk if isinstance(junk, tuple) else (junk,)
    refused(s, lambda: _with(s, name, junk), must=False)


@law
def devices_do_not_mix(s: Sample) -> None:
    """The error names both devices, and nothing is copied."""
    if s.device == "cpu" or len(s.arrays) < 2:
        return
    values = s.tensors()
    position = s.draw.integer(0, len(values) - 1)
    values[position] = Tensor(s.arrays[position])
    if len({t.device for t in values}) < 2:
        return
    text = refused(s, lambda: s.call(*values), DeviceError)
    assert {"cpu", s.device} <= set(re.findall(r"cpu|cuda", text)), f"{text}: name both devices"
