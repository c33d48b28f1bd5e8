"""Laws of values: the same in every dtype, memory layout and device, with and without kernels."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import backend, dtypes
from ..modes import kernels, unfused
from ..samples import Draw
from ..tensor import Tensor, handle
from .book import law
from .sample import OURS, Sample, close, listed

NARROW = (dtypes.float16, dtypes.float32)


@law
def narrow_values_are_the_wide_ones_rounded(s: Sample) -> None:
    """In float16 and float32 the results are those of float64, and keep dtype and device."""
    dtype = s.draw.one_of(*NARROW)
    narrow = s.tensors(dtype)
    wide = [_widened(t) for t in narrow]
    got, exact = s.outputs(*narrow), s.outputs(*wide)
    # several gradients of one op may leave rounding to the sweep, which casts to tensors' dtypes
    inside = {dtypes.float32} if dtype == dtypes.float16 and len(got) > 1 else set()
    for y, z in zip(got, exact, strict=True):
        kept = dtype if z.dtype == dtypes.float64 and s.op.name != "cast" else z.dtype
        assert y.device.startswith(s.home), f"{s.op.name}: the result is on {y.device}"
        assert y.dtype in {kept} | inside, f"{s.op.name}: {dtype} gave {y.dtype}"
    found, true = s.gradients(narrow), s.gradients(wide)
    close(got, exact, s.size, f"{s.op.name} in {dtype}", dtype)
    close(found, true, s.size, f"gradients of {s.op.name} in {dtype}", dtype)


def _widened(t: Tensor) -> Tensor:
    dtype = dtypes.float64 if dtypes.is_floating(t.dtype) else None
    return Tensor(t.array, dtype=dtype, requires_grad=t.requires_grad)


@law
def arrays_in_arrays_out(s: Sample) -> None:
    """Without a Tensor an op is its forward: what rules run on at first order."""
    tensors = s.tensors()
    bare = listed(s.call(*[t.array for t in tensors]))
    for y, t in zip(bare, listed(s.call(*tensors)), strict=True):
        assert not isinstance(y, Tensor), f"{s.op.name} of arrays gave a Tensor"
        _same(handle(backend.as_array(y)), t, f"{s.op.name} of arrays")


@law
def kernels_change_nothing(s: Sample) -> None:
    """Without kernels, values and gradients are the same up to rounding."""
    fast, gs = s.outputs(*s.tensors()), s.gradients(s.tensors())
    with kernels(False):
        plain, hs = s.outputs(*s.tensors()), s.gradients(s.tensors())
    close(fast, plain, s.size, f"{s.op.name} with kernels")
    close(gs, hs, s.size, f"gradients of {s.op.name} with kernels")


@law
def a_number_is_as_good_as_a_tensor(s: Sample) -> None:
    """A Python number in the place of an input, where one is taken, is a tensor full of it."""
    if len(s.floating) < 2:
        return
    position = s.draw.one_of(*s.floating)
    number = s.draw.one_of(0.0, 1.0, 2, -1.5)
    full, plain = s.tensors(), s.tensors()
    full[position] = Tensor(np.full(s.arrays[position].shape, float(number)), device=s.device)
    plain[position] = number  # type: ignore[call-overload]
    with np.errstate(all="ignore"):
        try:
            ys = s.outputs(*plain)
        except OURS:
            return  # no number may stand there
        zs = s.outputs(*full)
        if [y.shape for y in ys] != [z.shape for z in zs]:
            return  # the tensor's shape counted
        close(ys, zs, s.size, f"{s.op.name} of a number")
        true = s.gradients(full)
        for how in (nullcontext, unfused):
            with how():
                close(s.gradients(plain), true, s.size, f"gradients of {s.op.name} by a number")


@law
def memory_layout_changes_nothing(s: Sample) -> None:
    """Transposed, negatively strided and read-only inputs give the same as contiguous ones."""
    plain = s.tensors()
    odd = [t.detach().requires_grad_(t.requires_grad) for t in plain]
    for t in odd:
        t.array = _laid_out(backend.of(t.array).xp, t.array, s.draw)
    close(listed(s.call(*odd)), listed(s.call(*plain)), s.size, f"{s.op.name} of odd layouts")
    close(s.gradients(odd), s.gradients(plain), s.size, f"gradients of {s.op.name}, odd layouts")


def _laid_out(xp: Any, array: Any, draw: Draw) -> Any:
    """The same values with other strides."""
    form = draw.one_of("transposed", "reversed", "strided")
    if array.ndim == 0:
        return array
    if form == "transposed":
        return xp.ascontiguousarray(array.T).T
    turned = tuple([slice(None, None, -1 if form == "reversed" else 2)] * array.ndim)
    if form == "reversed":
        return xp.ascontiguousarray(array[turned])[turned]
    wide = xp.zeros(tuple([2 * n for n in array.shape]), array.dtype)
    wide[turned] = array
    return wide[turned]


@law
def devices_agree(s: Sample) -> None:
    """Values and gradients are those of the CPU, and live where the inputs live."""
    there, here = s.tensors(), Sample(s.op, s.arrays, s.statics, s.draw).tensors()
    results = listed(s.call(*there))
    assert all(y.device.startswith(s.home) for y in results), f"{s.op.name} left {s.home}"
    close(results, listed(s.call(*here)), s.size, f"{s.op.name} on {s.device}")
    found = s.gradients(there)
    back = str(s.statics.get("home", s.device))
    assert all(g is None or g.device.startswith(back) for g in found), f"gradients left {back}"
    close(found, s.gradients(here), s.size, f"gradients of {s.op.name} on {s.device}")


def _same(a: Tensor, b: Tensor, what: str) -> None:
    assert (a.dtype, a.device) == (b.dtype, b.device), f"{what}: {a.dtype} on {a.device}"
    np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=what)
