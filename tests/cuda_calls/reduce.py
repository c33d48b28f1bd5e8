"""Sums and largest values over blocks of any shape."""

from pathlib import Path

import numpy as np

from minigrad.kernels.cuda.launching import OPTIONS, launch

from .call import Call

TEXT = Path(__file__).with_suffix(".cu").read_text()


def through(threads):
    """The results of each row, as its block's first thread and its last one have them."""

    def run(xp, x):
        kernel = xp.RawModule(code=TEXT, options=OPTIONS).get_function(f"over_rows_{x.dtype}")
        results = xp.empty((len(x), 2, 8), x.dtype)
        launch(kernel, (2,), threads, x, results, *x.shape)
        return results

    return run


def plain(x):
    """The same by NumPy."""
    wide = x.astype(np.float64)
    count, total, squares = np.full(len(x), x.shape[1]), wide.sum(1), (wide * wide).sum(1)
    found = [total, squares, count, total, total, squares, wide.max(1), wide.min(1)]
    return np.stack([np.stack(found, 1)] * 2, 1).astype(x.dtype)


def drawn(n, dtype="float32"):
    """Six rows, so that each of two blocks has three."""
    return np.random.default_rng(n).normal(size=(6, n)).astype(dtype)


def with_nan():
    """A NaN in one row."""
    x = drawn(70)
    x[3, 40] = np.nan
    return x


SHAPES = [(1,), (31,), (33,), (64,), (8, 4), (5, 3, 7), (1023,), (1024,)]
CALLS = {
    f"{shape} threads": Call(through(shape), drawn(100), size=100, expected=plain)
    for shape in SHAPES
} | {
    "half": Call(through((96,)), drawn(300, "float16"), size=300, expected=plain),
    "double": Call(through((96,)), drawn(300, "float64"), size=300, expected=plain),
    "a NaN": Call(through((64,)), with_nan(), size=70, expected=plain),
}
