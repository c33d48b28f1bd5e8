"""Calls of norms_columns.cu: batch norm of matrices and of channels-last images."""

from .norms_drawn import both_ways, evaluated

CALLS = {
    "one tile": both_ways((37, 32), (0,)),
    "tiles, the last not full": both_ways((9, 70), (0,), relu=True),
    "few channels, several rows as one": both_ways((1000, 3), (0,)),
    "fewer columns than a tile": both_ways((260, 3), (0,), relu=True),
    "channels that fill no loads": both_ways((512, 33), (0,)),
    "parts": both_ways((1100, 36), (0,), relu=True),
    "parts of few channels": both_ways((16384, 2), (0,)),
    "channels last": both_ways((3, 6, 5, 5), (0, 2, 3), relu=True, last=True),
    "ghost batches, channels last": both_ways((2, 4, 6, 9), (1, 3), last=True),
    "half": both_ways((300, 40), (0,), "float16", relu=True),
    "double": both_ways((300, 40), (0,), "float64"),
    "given statistics": evaluated((70, 37), (0,), relu=True),
    "not aligned": both_ways((40, 32), (0,), aligned=False),
}
