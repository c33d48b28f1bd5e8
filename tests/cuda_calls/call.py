"""What is computed by kernels, and how it is computed in this process, on the stand-in."""

from collections.abc import Callable
from dataclasses import dataclass

import cupy_standin
import numpy as np
from cuda_on_cpu import launched
from cupy_replaced import cupy_replaced

import minigrad as mg
from minigrad import backend


@dataclass
class Call:
    """A function of the namespace and arrays that runs kernels where they are on.

        Call(lambda xp, x: softmax.op.body(xp, x, axis=-1), x, size=x.shape[-1])

    It gives an array or a tuple of arrays, and may change those that it is given.

    Args:
        function: what is computed.
        arrays: NumPy's, of which each run gets copies on the device.
        size: how many values each result sums over, for the tolerance.
        expected: a function of NumPy's arrays with the right result; None: `function` itself,
            with kernels off.
    """

    function: Callable
    arrays: tuple
    size: int
    expected: Callable | None

    def __init__(self, function, *arrays, size=1, expected=None):
        self.function, self.arrays, self.size = function, arrays, size
        self.expected = expected

    def run(self, kernels=True):
        """The results as NumPy's arrays; how many copies to the host were made; what was launched.

        Args:
            kernels: whether they are on.
        """
        with cupy_replaced(cupy_standin.modules), mg.kernels(kernels):
            xp = backend.named("cuda").xp
            arrays = [xp.asarray(array) for array in self.arrays]
            cupy_standin.hidden_copies.clear()
            launched.clear()
            found = self.function(xp, *arrays)
            copies = dict(cupy_standin.hidden_copies)
            return [each.get() for each in flat(found)], copies, dict(launched)

    def right(self):
        """What the results should be."""
        if self.expected is not None:
            return [*flat(self.expected(*self.arrays))]
        return self.run(kernels=False)[0]


def flat(found):
    """The arrays in a result, which may be nested in tuples."""
    if isinstance(found, tuple | list):
        for each in found:
            yield from flat(each)
    else:
        yield np.asarray(found) if isinstance(found, float | np.generic) else found


def agree(found, expected, size):
    """Raise AssertionError unless results are the same in shape, dtype and, to rounding, value."""
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"result {i}"
        if a.dtype.kind == "f":
            mg.testing.assert_close(a, b, size=size, what=f"result {i}")
        else:
            np.testing.assert_array_equal(a, b)


def same(found, expected):
    """Whether results agree bit for bit."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
