"""Softmax and cross-entropy, with rows of a warp's and of a block's."""

import numpy as np

from minigrad.ops.loss import cross_entropy, cross_entropy_grad
from minigrad.ops.reduce import log_softmax, softmax

from .call import Call

WIDTHS = [1, 31, 33, 1023, 1025]  # 1025 is a block's


def logits(shape, dtype="float32", scale=3.0):
    return (np.random.default_rng([*shape]).normal(size=shape) * scale).astype(dtype)


def labels(rows, classes, dtype="int64"):
    """Two of three rows count, if there are three."""
    found = np.random.default_rng(rows).integers(0, classes, rows).astype(dtype)
    found[1::3] = -100
    return found


def along_rows(op, x):
    return Call(lambda xp, x: op.op.body(xp, x, axis=-1), x, size=x.shape[-1])


def loss(reduction, x, target, ignore_index=-100):
    """The losses and, through their hint, the gradient."""
    options = {"ignore_index": ignore_index, "reduction": reduction}
    dy = logits((len(x),) if reduction == "none" else (), x.dtype)

    def run(xp, x, target, dy):
        losses, hint = cross_entropy.op.body(xp, x, target, **options)
        return losses, cross_entropy_grad.op.body(xp, x, dy, target, **options, hint=hint)

    return Call(run, x, target, dy, size=x.shape[1])


def wild(value):
    """Rows with a value that is not finite, or near it: in one place, in two, and everywhere."""
    x = logits((5, 40))
    x[1, 2] = x[2, 0] = x[2, 39] = x[3] = value
    return x


def out_of_range():
    x, target = logits((6, 9)), labels(6, 9)
    target[:4] = [9, -1, 3, -101]
    return x, target


CALLS = (
    {
        f"{op.__name__} of {width}, {dtype}": along_rows(op, logits((3, width), dtype))
        for op in (softmax, log_softmax)
        for width in WIDTHS
        for dtype in ("float16", "float32", "float64")
    }
    | {
        "softmax of one vector": along_rows(softmax, logits((40,))),
        "softmax of three axes": along_rows(softmax, logits((2, 3, 5))),
        "softmax of columns": along_rows(softmax, np.asfortranarray(logits((5, 7)))),
        "softmax of many classes": along_rows(softmax, logits((1, 9001))),
    }
    | {
        f"cross_entropy, {reduction}, {width}, {dtype}": loss(
            reduction, logits((5, width), dtype), labels(5, width)
        )
        for reduction, dtype in [("mean", "float32"), ("none", "float16"), ("sum", "float64")]
        for width in WIDTHS
    }
    | {
        f"labels of {dtype}": loss("mean", logits((6, 9)), labels(6, 9, dtype))
        for dtype in ("int8", "int32", "int64")
    }
    | {
        "unsigned labels": loss("mean", logits((6, 9)), labels(6, 9).clip(0).astype("uint8")),
        "many rows": loss("mean", logits((1031, 3)), labels(1031, 3)),
        "no label ignored": loss("mean", logits((6, 9)), labels(6, 9), 1000),
        "all labels ignored": loss("mean", logits((6, 9)), np.full(6, -100)),
        "all labels ignored, sum": loss("sum", logits((6, 9)), np.full(6, -100)),
    }
    | {
        f"labels out of range, {reduction}": loss(reduction, *out_of_range())
        for reduction in ("mean", "sum", "none")
    }
    | {
        f"{op.__name__} beside {value}": along_rows(op, wild(value))
        for op in (softmax, log_softmax)
        for value in (np.nan, np.inf, -np.inf, 1e30, -1e30)
    }
    | {
        f"cross_entropy beside {value}": loss("none", wild(value), np.array([3, 2, 39, 5, 7]))
        for value in (np.nan, np.inf, -np.inf, 1e30, -1e30)
    }
)
