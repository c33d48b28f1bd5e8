"""Calls of norms.cu: batch norm of images and of other rows of neighbours."""

from .norms_drawn import both_ways, evaluated

AXES = 0, 2, 3
CALLS = {
    "a warp for each channel": both_ways((3, 5, 7, 9), AXES),
    "a block for each channel": both_ways((9, 2, 16, 9), AXES, relu=True),
    "parts of a channel": both_ways((3, 2, 43, 77), AXES),
    "parts in loads of 16 bytes": both_ways((3, 1, 48, 64), AXES, relu=True),
    "half": both_ways((3, 5, 8, 8), AXES, "float16"),
    "half in loads of 8 bytes": both_ways((3, 5, 2, 6), AXES, "float16", relu=True),
    "half in parts, with relu": both_ways((2, 1, 72, 72), AXES, "float16", relu=True),
    "double": both_ways((2, 3, 5, 6), AXES, "float64", relu=True),
    "double in parts": both_ways((2, 1, 64, 72), AXES, "float64"),
    "instances": both_ways((3, 5, 6, 6), (2, 3)),
    "given statistics": evaluated((3, 5, 6, 6), AXES),
    "given statistics of long rows, with relu": evaluated((2, 1, 9000), (0, 2), relu=True),
    "not aligned": both_ways((3, 2, 8, 8), AXES, relu=True, aligned=False),
}
