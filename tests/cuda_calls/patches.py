"""Convolutions and their adjoints, of kernels that stride, are dilated and reach beyond images."""

import numpy as np

from minigrad.ops.conv import Geometry, conv2d, conv2d_bias, conv2d_input, conv2d_weight

from .call import Call


def drawn(*shapes, dtype="float32"):
    """An array of each shape."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def calls(x_shape, w_shape, geometry, dtype="float32"):
    """Each of the ops on images and weights of these shapes."""
    size, kernel = x_shape[2:], w_shape[2:]
    out = x_shape[0], w_shape[0], *geometry.output_size(size, kernel)
    x, w, b, dy = drawn(x_shape, w_shape, w_shape[:1], out, dtype=dtype)

    def adjoint(xp, dy, w):
        return conv2d_input(dy, w, size=size, geometry=geometry)

    def weighed(xp, x, dy):
        return conv2d_weight(x, dy, kernel=kernel, geometry=geometry)

    plain = Call(lambda xp, x, w: conv2d(x, w, geometry=geometry), x, w, size=w[0].size)
    biased = Call(lambda xp, *a: conv2d_bias(*a, geometry=geometry), x, w, b, size=w[0].size)
    return {
        "conv2d": plain,
        "conv2d_bias": biased,
        "conv2d_input": Call(adjoint, dy, w, size=w[:, 0].size),
        "conv2d_weight": Call(weighed, x, dy, size=dy[:, 0].size),
    }


MOVES = {
    "padded": ((3, 2, 9, 12), (3, 2, 3, 3), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "strided": ((2, 2, 9, 8), (3, 2, 3, 2), Geometry((2, 3), ((1, 0), (0, 2)), (1, 1), 1)),
    "dilated": ((2, 4, 9, 9), (6, 2, 3, 2), Geometry((1, 2), ((2, 1), (1, 3)), (2, 3), 2)),
}
CALLS = {
    f"{op}, {name}": call for name, case in MOVES.items() for op, call in calls(*case).items()
} | {
    f"{op}, {dtype}": call
    for dtype in ("float16", "float64")
    for op, call in calls(*MOVES["strided"], dtype).items()
}
