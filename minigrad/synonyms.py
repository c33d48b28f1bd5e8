"""What PyTorch's and NumPy's users may type for what has another name here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
    "stack": "mg.stack(tensors)",
    "cat": "mg.cat(tensors)",
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
    "device": 'a string, "cpu" or "cuda"; x.device is one',
    "autograd": "mg.grad, mg.func, mg.detect_anomaly",
    "inference_mode": "mg.no_grad",
    "empty_cache": "mg.memory().empty_cache()",
    "memory_allocated": "mg.memory().used",
    "max_memory_allocated": "mg.memory().peak",
    "is_tensor": "isinstance(x, mg.Tensor)",
    "inf": "math.inf",
    "pi": "math.pi",
    "nan": "math.nan",
    "vstack": "cat(tensors, 0)",
    "hstack": "cat(tensors, 1)",
    "movedim": "moveaxis",
    "scatter": "scatter_add",
    "view_as": "reshape(other.shape)",
    "type_as": "to(other.dtype)",
    "contiguous": "x itself: any layout serves",
    "is_cuda": 'x.device != "cpu"',
    "add_": "x += y, on a leaf inside `with mg.no_grad():`",
    "sub_": "x -= y, on a leaf inside `with mg.no_grad():`",
    "mul_": "x *= y, on a leaf inside `with mg.no_grad():`",
    "clamp_": "x.copy_(x.clip(min, max)) inside `with mg.no_grad():`",
}

# the same by the room in which it is looked for
IN_ROOMS = {
    "minigrad.nn": {
        "utils": "optim.clip_grad_norm_, optim.clip_grad_value_",
        "BCELoss": "nn.BCEWithLogitsLoss, which takes logits",
        "MultiheadAttention": "the attention of examples/char_model.py",
        "Unflatten": "x.reshape(...) in a forward of your own",
    },
    "minigrad.nn.functional": {
        "binary_cross_entropy": "binary_cross_entropy_with_logits, which takes logits",
        "one_hot": "mg.eye(classes)[labels]",
        "normalize": "x / x.norm(2, axis, keepdims=True)",
        "scaled_dot_product_attention": "the attention of examples/char_model.py",
    },
    "minigrad.optim": {"swa_utils": "optim.EMA"},
    "minigrad.optim.lr_scheduler": {
        "ReduceLROnPlateau": 'optimizer.param_groups[0]["lr"] *= 0.1, where your loop sees it',
        "CosineAnnealingWarmRestarts": "LambdaLR(optimizer, factor_of_epoch)",
    },
    "minigrad.data": {
        "DataLoader": "mg.data.batches(x, y, batch_size=64)",
        "TensorDataset": "mg.data.batches(x, y, batch_size=64)",
        "Dataset": "anything with a length and an index, in mg.data.batches",
        "random_split": "mg.data.train_test_split",
    },
}


def advice(name: str) -> str:
    """What to type instead of a name that is not here; empty where nothing is known."""
    found = SYNONYMS.get(name)
    return f": use {found}" if found else ""


def absent(room: str, name: str, names: Iterable[str]) -> AttributeError:
    """The error for a name that a room does not have: what to type, or the nearest that it has."""
    found = IN_ROOMS.get(room, {}).get(name)
    near = difflib.get_close_matches(name, names, n=1)
    if found:
        hint = f": use {found}"
    elif near:
        hint = f": did you mean {near[0]!r}?"
    else:
        hint = f": dir({room.rpartition('.')[2]}) lists what it has"
    return AttributeError(f"{room} has no {name!r}{hint}", name=name)
