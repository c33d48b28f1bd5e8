"""Values added up at indices: few of them, and so many that they are sorted first."""

import numpy as np

from minigrad.kernels.cuda import adding
from minigrad.kernels.cuda.launching import kernel, launch
from minigrad.ops.index import unindex

from .call import Call


def added(shape, index, axis=0):
    """Values of an axis to where an index names."""

    def run(xp, x):
        return unindex(x, shape=shape, key=(*[slice(None)] * axis, index))

    return run


def call(shape, n, axis=0, dtype="float32"):
    """Of n indices, some of them counted from the end."""
    rng = np.random.default_rng(n)
    index = rng.integers(-shape[axis], shape[axis], n)
    x = rng.normal(size=(*shape[:axis], n, *shape[axis + 1 :])).astype(dtype)
    return Call(added(shape, index, axis), x, size=max(n // shape[axis], 1))


def by_one_block(xp, x, index):
    """Values (slabs, n, columns) added to slabs of five rows by a block that takes all in turn."""
    begins, order = adding._by_key(xp, index, 5)
    y = xp.empty((len(x), 5, x.shape[2]), x.dtype)
    run = kernel(xp, "indexing", "add_sorted_float32")
    launch(run, (1, 1, 1), (4, 2, 8), x, begins, order, y, len(x), len(index), 5, x.shape[2], 0)
    return y


def plain(x, index):
    """The same by NumPy."""
    y = np.zeros((len(x), 5, x.shape[2]), x.dtype)
    np.add.at(y, (slice(None), index), x)
    return y


IN_TURN = Call(
    by_one_block,
    np.random.default_rng(0).normal(size=(3, 60, 9)).astype(np.float32),
    np.random.default_rng(0).integers(0, 5, 60).astype(np.uint32),
    size=12,
    expected=plain,
)
CALLS = {
    "few": call((7, 5), 40),
    "few, of another axis": call((2, 7, 5), 40, axis=1),
    "sorted, one number a row": call((300,), 2100),
    "sorted, many lanes": call((3, 2), 2049),
    "sorted, wide rows": call((5, 70), 1030),
    "sorted, of another axis": call((3, 20, 2), 1025, axis=1),
    "sorted, by one block": IN_TURN,
    "few, half": call((7, 5), 40, dtype="float16"),
    "few, double": call((7, 5), 40, dtype="float64"),
    "sorted, half": call((9, 3), 1030, dtype="float16"),
    "sorted, double": call((9, 3), 1030, dtype="float64"),
}
