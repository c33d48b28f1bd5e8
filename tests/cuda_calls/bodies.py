"""Runs an op's kernel for CuPy's arrays and its forward, on the stand-in or on a GPU."""

import cupy_standin
import numpy as np
from cuda_on_cpu import ORDERS, running

import minigrad as mg
from minigrad import backend
from minigrad.kernels import load_kernels


def bodies(function):
    """The kernels that an op has for CuPy's arrays, loaded if they were not yet."""
    load_kernels("cuda", function.op.name)
    return function.op.kernels["cuda"]


def by_kernel(function, *arrays, **statics):
    """What the kernel makes of the host's arrays.

    It must serve them, give the same bits whatever the order of threads, leave its inputs alone and
    never look at the device from the host.
    """
    xp, found = backend.named("cuda").xp, []
    (body,) = bodies(function)
    for order in ORDERS:
        inputs = [_there(xp, a) for a in arrays]
        cupy_standin.hidden_copies.clear()
        with running(order=order):
            result = body(xp, *inputs, **statics)
        assert not cupy_standin.hidden_copies, dict(cupy_standin.hidden_copies)
        assert result is not NotImplemented, "the kernel does not serve these arrays"
        found.append(_to_host(result))
        for given, kept in zip(arrays, inputs, strict=True):
            np.testing.assert_array_equal(kept.get(), given)
    for other in found[1:]:
        for one, again in zip(found[0], other, strict=True):
            assert one.tobytes() == again.tobytes(), "the order of threads moved a bit"
    return found[0] if isinstance(result, tuple) else found[0][0]


def by_forward(function, *arrays, **statics):
    """What the op's own forward makes of them, and without kernels what is below it."""
    xp = backend.named("cuda").xp
    with mg.kernels(False):
        result = function.op.forward(xp, *[_there(xp, a) for a in arrays], **statics)
    return _to_host(result) if isinstance(result, tuple) else _to_host(result)[0]


def leaves_to_forward(function, *arrays, **statics):
    """Whether the kernel passes such a call on."""
    xp = backend.named("cuda").xp
    results = [body(xp, *[_there(xp, a) for a in arrays], **statics) for body in bodies(function)]
    return all(result is NotImplemented for result in results)


def _there(xp, array):
    """An array on the device, laid out as the host's."""
    if array.flags.c_contiguous or array.ndim == 0:
        return xp.asarray(array)
    if array.flags.f_contiguous:
        return xp.asarray(np.ascontiguousarray(array.T)).T
    wider = xp.asarray(np.repeat(array, 2, axis=-1))  # a view of every other value
    return wider[..., ::2]


def _to_host(result):
    return [array.get() for array in (result if isinstance(result, tuple) else (result,))]
