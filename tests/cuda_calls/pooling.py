"""Pooling by windows that overlap, reach beyond images, and leave gaps."""

import numpy as np

from minigrad.ops.pool import Window, avg_pool2d, avg_unpool2d, max_pool2d, unpick

from .call import Call

WINDOWS = {
    "halves": Window((2, 2), (2, 2)),
    "overlapping": Window((3, 3), (2, 2), (1, 1)),
    "with gaps, ceil": Window((2, 2), (3, 4), ceil=True),
    "of many offsets": Window((16, 16), (1, 1), (8, 8)),
}
SHAPE = (2, 3, 9, 11)


def largest(window):
    """The largest values and their offsets, and these values back."""

    def run(xp, x):
        y, winner = max_pool2d(x, window=window)
        return y, winner, unpick(y, winner, size=x.shape[-2:], window=window)

    return run


def mean(window):
    """The means, and these back."""

    def run(xp, x):
        y = avg_pool2d(x, window=window, include_pad=False)
        return y, avg_unpool2d(y, size=x.shape[-2:], window=window, include_pad=False)

    return run


def images(dtype="float32"):
    """With equal values among them."""
    return np.round(np.random.default_rng(0).normal(size=SHAPE) * 3).astype(dtype)


def terms(window):
    """How many values a window sees."""
    return window.kernel[0] * window.kernel[1]


CALLS = {
    f"{what}, {name}": Call(run(window), images(), size=terms(window))
    for name, window in WINDOWS.items()
    for what, run in {"the largest": largest, "the mean": mean}.items()
} | {
    f"{what}, {dtype}": Call(run(WINDOWS["overlapping"]), images(dtype), size=9)
    for dtype in ("float16", "float64")
    for what, run in {"the largest": largest, "the mean": mean}.items()
}
