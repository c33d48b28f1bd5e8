"""What PyTorch's and NumPy's users may type for what has another name here."""

from __future__ import annotations

SYNONYMS = {
    "view": "reshape(*shape)",
    "clamp": "clip(min, max)",
    "asin": "arcsin()",
    "acos": "arccos()",
    "atan": "arctan()",
    "square": "x * x",
    "reciprocal": "1 / x",
    "multiply": "mul",
    "subtract": "sub",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "power": "pow",
    "absolute": "abs",
    "mm": "matmul, or a @ b",
    "bmm": "matmul, or a @ b",
    "mv": "matmul, or a @ b",
    "t": "x.T",
    "repeat": "tile(*reps)",
    "concat": "cat",
    "concatenate": "cat",
    "index_select": "take(index, axis)",
    "take_along_dim": "gather(axis, index)",
    "take_along_axis": "gather(axis, index)",
    "select": "indexing, x[:, i]",
    "narrow": "indexing, x[:, a:b]",
    "unbind": "iteration, or indexing",
    "dim": "x.ndim",
    "nelement": "x.numel()",
    "long": "to(mg.int64)",
    "int": "to(mg.int32)",
    "bool": "to(mg.bool)",
    "type": "to(dtype)",
    "astype": "to(dtype)",
    "copy": "clone()",
    "as_tensor": "mg.tensor(data)",
    "from_numpy": "mg.tensor(array)",
    "equal": "eq, and .all()",
    "isclose": "allclose",
    "detach_": "detach()",
    "linalg": "mg.inv, mg.solve, mg.cholesky, mg.det, mg.norm",
}


def advice(name: str) -> str:
    """What to type instead of a name that is not here; empty where nothing is known."""
    found = SYNONYMS.get(name)
    return f": use {found}" if found else ""
