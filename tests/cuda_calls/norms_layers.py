"""Calls of norms_layers.cu: layer norm, and group norm of images and of vectors."""

from .norms_drawn import layers

CALLS = {
    "short rows": layers((5, 7), (1,)),
    "rows in loads of 16 bytes": layers((9, 300), (1,)),
    "rows for a block": layers((3, 2060), (1,)),
    "rows in parts, too long for shared memory": layers((2, 8200), (1,)),
    "pictures": layers((3, 3, 5, 5), (1, 2, 3)),
    "groups": layers((3, 2, 5, 49), (2, 3), (1, 2)),
    "groups in loads of 16 bytes": layers((2, 2, 3, 64), (2, 3), (1, 2)),
    "groups in parts": layers((2, 1, 2, 8200), (2, 3), (1, 2)),
    "groups of vectors": layers((9, 4, 5, 1), (2, 3), (1, 2)),
    "half": layers((5, 136), (1,), dtype="float16"),
    "half groups": layers((3, 2, 3, 40), (2, 3), (1, 2), dtype="float16"),
    "double": layers((5, 66), (1,), dtype="float64"),
    "not aligned": layers((5, 64), (1,), aligned=False),
    "groups, not aligned": layers((2, 2, 3, 64), (2, 3), (1, 2), aligned=False),
}
