"""One table of sample calls, for the laws of test_ops.py and the comparisons of test_peer.py.

A sample's inputs are float64 and lie well inside the domain where the op is smooth: no ties, no
kinks, no poles within reach of a finite difference.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.op import registry
from minigrad.ops.conv import Geometry
from minigrad.ops.pool import Window

INSIDE = [name for name, op in registry.items() if op.forward.__module__.startswith("minigrad.")]


@dataclass
class Sample:
    """A call of an op: its array inputs in the forward's order, and its static arguments."""

    name: str
    arrays: tuple
    statics: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def op(self):
        return registry[self.name]

    @property
    def floating(self):
        """Positions of the inputs that can carry a gradient."""
        tracked = [i for i, name in enumerate(self.op.inputs) if name in self.op.differentiable]
        return [i for i in tracked if self.arrays[i].dtype.kind == "f"]

    @property
    def size(self):
        """No result sums over more values than all inputs have."""
        return sum(a.size for a in self.arrays)

    def call(self, *values):
        """The op's public function on tensors or on arrays."""
        if self.op.star:
            return self.op.call(*values, *self.statics[self.op.star])
        return self.op.call(**dict(zip(self.op.inputs, values, strict=True)), **self.statics)

    def outputs(self, *values):
        """The outputs that may carry a gradient, as a tuple."""
        y = self.call(*values)
        several = y if isinstance(y, tuple) else (y,)
        return tuple(each for i, each in enumerate(several) if i not in self.op.constant)

    def forward(self, *arrays):
        """The bare forward, without its hint."""
        y = self.op.forward(np, *arrays, **self.statics)
        return y[0] if isinstance(y, tuple) and isinstance(y[-1], mg.op.Hint) else y

    def __str__(self):
        return f"{self.name}-{self.note}" if self.note else self.name


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def positive(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2.0, shape)


def apart(*shape, offset=0.0, seed=0):
    """Values a quarter or more apart from each other and, for offset 0.125, from those of offset 0;
    none is within 0.05 of a whole number.
    """
    n = int(np.prod(shape))
    steps = np.random.default_rng([seed, *shape]).permutation(n) - n // 2
    return np.asarray(steps.reshape(shape) * 0.25 + 0.06 + offset)


def bits(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).random(shape) < 0.5


def _unary(names, array, note=""):
    return [Sample(name, (array,), {}, note) for name in names]


def _binary(names, a, b, note=""):
    return [Sample(name, (a, b), {}, note) for name in names]


def _reductions(names, make):
    forms = {
        "all": (make(2, 3), {}),
        "axis": (make(2, 3, 2), {"axis": 1}),
        "negative": (make(2, 3), {"axis": -1, "keepdims": True}),
        "axes": (make(2, 3, 2), {"axis": (0, -1)}),
        "0-d": (make(), {}),
    }
    skip_0d = ("var", "std")
    return [
        Sample(name, (x,), statics, note)
        for name in names
        for note, (x, statics) in forms.items()
        if not (note == "0-d" and name in skip_0d)
    ]


ARITHMETIC = ["add", "sub", "mul", "div"]
COMPARING = ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"]
ANYWHERE = ["neg", "exp", "sin", "cos", "tanh", "sigmoid", "clone"]
POSITIVE = ["sqrt", "rsqrt", "log"]
KINKED = ["abs", "sign", "relu"]
TESTS = ["logical_not", "isnan", "isinf", "isfinite"]

PLAIN = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
STRIDED = Geometry((2, 1), ((1, 0), (1, 2)), (1, 2), 2)
OVERLAP = Window((3, 2), (2, 1), (1, 1))
HALVES = Window((2, 2), (2, 2), (0, 0))
IMAGES = apart(2, 2, 4, 5)
WINNERS = registry["max_pool2d_winner"].forward(np, IMAGES, window=OVERLAP)
GATHERED = np.array([[0, 2, 0], [1, 1, 1]])
LABELS = np.array([2, 0, -100, 2])
CLASSES = {"ignore_index": -100}
BN2 = {"axes": (0,), "eps": 1e-5}
BN4 = {"axes": (0, 2, 3), "eps": 1e-3}

SAMPLES = [
    *_unary(ANYWHERE, normal(2, 3)),
    *_unary(ANYWHERE, normal(), "0-d"),
    *_unary(POSITIVE, positive(2, 3)),
    *_unary(KINKED, apart(3, 4)),
    *_unary([*POSITIVE, *KINKED], np.array(0.7), "0-d"),
    *_binary([*ARITHMETIC, "pow", "maximum", "minimum"], np.array(0.7), np.array(1.2), "0-d"),
    Sample("clip", (np.array(0.7),), {"min": 0.0, "max": 1.0}, "0-d"),
    Sample("where", (np.array(True), np.array(0.7), np.array(1.2)), {}, "0-d"),
    *_unary(TESTS, normal(2, 3)),
    *_binary([*ARITHMETIC, *COMPARING], normal(2, 3), positive(2, 3, seed=1)),
    *_binary([*ARITHMETIC, *COMPARING], normal(3, 1), positive(2, 1, 4, seed=1), "broadcast"),
    *_binary(["pow"], positive(2, 3), normal(2, 3)),
    *_binary(["pow"], positive(3, 1), normal(2, 1, 2), "broadcast"),
    *_binary(["maximum", "minimum"], apart(2, 3), apart(2, 3, offset=0.125, seed=1)),
    *_binary(["maximum", "minimum"], apart(3, 1), apart(2, 1, 2, offset=0.125), "broadcast"),
    Sample("cast", (normal(2, 3),), {"dtype": np.dtype("float64")}),
    Sample("move", (normal(2, 3),), {"device": "cpu", "home": "cpu"}),
    Sample("clip", (apart(3, 4),), {"min": -1.0, "max": 1.0}),
    Sample("clip", (apart(3, 4),), {"min": None, "max": 1.0}, "max"),
    Sample("clip", (apart(3, 4),), {"min": -1.0, "max": None}, "min"),
    Sample("where", (bits(2, 3), normal(2, 3), normal(2, 3, seed=1))),
    Sample("where", (bits(3, 1), normal(2, 1, 2), normal(2)), {}, "broadcast"),
    *[Sample("reshape", (normal(2, 6),), {"shape": s}, str(s)) for s in [(3, 4), (-1,), (4, -1)]],
    Sample("transpose", (normal(2, 3, 4),), {"axis0": 0, "axis1": -1}),
    Sample("permute", (normal(2, 3, 4),), {"axes": (2, 0, 1)}),
    Sample("permute", (normal(2, 3, 4),), {"axes": (-1, 0, -2)}, "negative"),
    Sample("broadcast_to", (normal(3, 1),), {"shape": (2, 3, 4)}),
    Sample("expand", (normal(3, 1),), {"shape": (2, -1, 4)}),
    Sample("flatten", (normal(2, 3, 2, 2),), {"start_dim": 1, "end_dim": -2}),
    Sample("flatten", (normal(),), {}, "0-d"),
    Sample("squeeze", (normal(2, 1, 3, 1),)),
    Sample("squeeze", (normal(2, 1, 3, 1),), {"axis": -1}, "axis"),
    Sample("squeeze", (normal(2, 1, 3, 1),), {"axis": (1, 3)}, "axes"),
    Sample("unsqueeze", (normal(2, 3),), {"axis": -2}),
    Sample("getitem", (normal(4, 3),), {"key": (slice(None, None, -2), 1)}, "basic"),
    Sample("getitem", (normal(4, 3),), {"key": np.array([0, 2, 0])}, "repeated"),
    Sample("unindex", (normal(2, 3),), {"shape": (4, 3), "key": slice(0, 4, 2)}, "basic"),
    Sample("unindex", (normal(3, 3),), {"shape": (4, 3), "key": np.array([0, 2, 0])}, "repeated"),
    Sample("setitem", (normal(4, 3), normal(2, 3)), {"key": slice(0, 4, 2)}, "basic"),
    Sample("setitem", (normal(4, 3), normal(3, 3)), {"key": np.array([0, 2, 0])}, "repeated"),
    Sample("setitem", (normal(4, 3), normal(3)), {"key": slice(1, 3)}, "broadcast"),
    Sample("gather", (normal(3, 3), GATHERED), {"axis": 0}),
    Sample("gather", (normal(2, 4), GATHERED), {"axis": -1}, "negative"),
    Sample("ungather", (normal(2, 3), GATHERED), {"shape": (3, 3), "axis": 0}),
    *_reductions(["sum", "mean", "var", "std", "logsumexp"], normal),
    *_reductions(["amax", "amin"], apart),
    Sample("var", (normal(3, 2),), {"axis": 0, "correction": 0}, "biased"),
    Sample("std", (apart(3, 2),), {"axis": 0, "correction": 0}, "biased"),
    Sample("sum_to", (normal(2, 3, 4),), {"shape": (3, 1)}),
    Sample("sum_to", (normal(2, 3),), {"shape": ()}, "0-d"),
    *[
        Sample(name, (x,), statics, note)
        for name in ["argmax", "argmin", "all", "any"]
        for note, x, statics in [
            ("all", apart(2, 3), {}),
            ("axis", apart(2, 3), {"axis": -1, "keepdims": True}),
        ]
    ],
    *[
        Sample(name, (normal(2, 3, 2),), {"axis": axis}, str(axis))
        for name in ["softmax", "log_softmax"]
        for axis in (-1, 1)
    ],
    Sample("matmul", (normal(2, 3), normal(3, 4, seed=1))),
    Sample("matmul", (normal(3), normal(3, seed=1)), {}, "vectors"),
    Sample("matmul", (normal(3), normal(2, 3, 2, seed=1)), {}, "vector-batch"),
    Sample("matmul", (normal(2, 1, 2, 3), normal(3, 3, 2, seed=1)), {}, "batches"),
    Sample("linear", (normal(4, 3), normal(2, 3, seed=1), normal(2))),
    Sample("linear", (normal(2, 2, 3), normal(2, 3, seed=1), normal(2)), {}, "3-d"),
    Sample("linear", (normal(3), normal(2, 3, seed=1), normal(2)), {}, "1-d"),
    Sample("batch_norm", (normal(5, 2), normal(2), normal(2, seed=1)), BN2),
    Sample("batch_norm", (normal(2, 2, 2, 3), normal(2), normal(2, seed=1)), BN4, "images"),
    Sample("batch_norm_grad", (normal(5, 2), normal(2), normal(5, 2, seed=1)), BN2),
    Sample("batch_norm_eval", (normal(5, 2), normal(2), positive(2), positive(2, seed=2),
                               normal(2, seed=3)), BN2),
    Sample("conv2d", (normal(2, 2, 3, 4), normal(3, 2, 2, 2)), {"geometry": PLAIN}),
    Sample("conv2d", (normal(2, 2, 4, 3), normal(4, 1, 2, 2)), {"geometry": STRIDED}, "strided"),
    Sample("conv2d_input", (normal(2, 4, 2, 4), normal(4, 1, 2, 2)),
           {"size": (4, 3), "geometry": STRIDED}),
    Sample("conv2d_weight", (normal(2, 2, 4, 3), normal(2, 4, 2, 4)),
           {"kernel": (2, 2), "geometry": STRIDED}),
    Sample("max_pool2d_winner", (IMAGES,), {"window": OVERLAP}),
    Sample("pick", (IMAGES, WINNERS), {"window": OVERLAP}),
    Sample("unpick", (normal(*WINNERS.shape), WINNERS), {"size": (4, 5), "window": OVERLAP}),
    Sample("avg_pool2d", (normal(1, 2, 4, 4),), {"window": HALVES}),
    Sample("avg_pool2d", (normal(1, 2, 4, 5),), {"window": OVERLAP}, "overlapping"),
    Sample("avg_unpool2d", (normal(*WINNERS.shape),), {"size": (4, 5), "window": OVERLAP}),
    *[
        Sample("cross_entropy", (normal(4, 3), LABELS), {**CLASSES, "reduction": r}, r)
        for r in ("mean", "sum", "none")
    ],
    Sample("cross_entropy_grad", (normal(4, 3), positive(), LABELS),
           {**CLASSES, "reduction": "mean"}, "mean"),
    Sample("cross_entropy_grad", (normal(4, 3), positive(4), LABELS),
           {**CLASSES, "reduction": "none"}, "none"),
]  # fmt: skip
