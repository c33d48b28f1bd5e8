"""Zeros, ties, infinities, NaN, huge and tiny values: values and slopes are PyTorch's.

Where they are not, that is decided: the tables here name the cases and what we have instead, and
the op's docstring says so.  A case that is listed but does not differ fails too.
"""

import numpy as np
import pytest
from peer_runs import attempt, both, host, theirs, words
from peers import torch

import minigrad as mg
from minigrad.laws import Sample
from minigrad.laws.sample import close, weights
from minigrad.op import registry
from minigrad.samples import Draw
from minigrad.testing import tolerance

inf, nan = np.inf, np.nan


def same(a, b):
    """Elementwise: NaN with NaN, the same infinities, and finite values to their own rounding."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= tolerance(np.float64) * np.abs(b)
    return (a == b) | (np.isnan(a) & np.isnan(b)) | (np.isfinite(a) & np.isfinite(b) & near)


def filled(number):
    """Cotangents that are one number."""
    return lambda y: mg.full(y.shape, number, dtype=mg.float64)


# ---- elementwise ---------------------------------------------------------------------------------

COMMON = [0.0, 0.5, 1.0, 2.0, 3.0, 1000.0, 1e-300, 1e300, inf]
MORE = [1.5, 2.5, 20.0, 50.0, 300.0, 1e-8]
POINTS = np.array([s * x for x in [*COMMON, *MORE] for s in (1, -1)] + [nan])
FEW = [s * x for x in COMMON for s in (1, -1)] + [nan]
PAIRS = np.array(np.meshgrid(FEW, FEW, indexing="ij")).reshape(2, -1)
BASES = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, inf, -inf, nan]
EXPONENTS = [0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, inf, -inf, nan]
UNARY = words("""
    neg sqrt rsqrt exp expm1 log log1p sin cos tan arcsin arccos arctan sinh cosh tanh sigmoid erf
    abs relu sign floor ceil round clone isnan isinf isfinite logical_not
""")
BINARY = words("add sub mul div pow maximum minimum eq ne lt le gt ge logical_and logical_or")
BOUNDS = [(-1.0, 1.0), (None, 1.0), (-1.0, None), (0.0, 0.0), (1.0, -1.0), (-inf, inf), (0, None),
          (None, -inf), (None, None)]  # fmt: skip
ELEMENTWISE = [
    *[(name, {}, cotangent) for name in UNARY for cotangent in (1.0, 0.0)],
    *[(name, {}, 1.0) for name in BINARY],
    *[("clip", {"min": low, "max": high}, -2.0) for low, high in BOUNDS],
    *[("round", {"decimals": n}, 1.0) for n in (-2, 1, 3)],
    *[("leaky_relu", {"negative_slope": a}, 1.0) for a in (0.01, 0.0, -2.0)],
    *[("elu", {"alpha": a}, 1.0) for a in (1.0, 0.0, -2.0)],
    *[("softplus", {"beta": b, "threshold": 20.0}, 1.0) for b in (1.0, 0.5, -2.0)],
    *[("smooth_abs", {"beta": b}, 1.0) for b in (1.0, 0.5)],
    ("silu", {}, 1.0),
    *[("gelu", {"approximate": how}, 1.0) for how in ("none", "tanh")],
]
DECIDED_POINTS = {  # (op, cotangent): where PyTorch differs, and our value and slope there
    ("abs", 1.0): (np.isnan, lambda x: (nan, nan)),
    ("abs", 0.0): (np.isnan, lambda x: (nan, nan)),
    ("sign", 1.0): (np.isnan, lambda x: (nan, 0.0)),
    ("sign", 0.0): (np.isnan, lambda x: (nan, 0.0)),
    ("sqrt", 0.0): (lambda x: ~(x > 0), lambda x: (np.sqrt(x), 0.0)),
}


def check_points(found, truth, points, decision=None):
    """Agreement everywhere but where it is decided otherwise, and there ours."""
    where, ours = decision or (lambda *x: np.zeros(x[0].shape, bool), None)
    agree = np.all([same(a, b) for a, b in zip(found, truth, strict=True)], axis=0)
    wrong = agree == where(*points)
    text = [(x, [float(a[i]) for a in found], [float(b[i]) for b in truth])
            for i, x in enumerate(zip(*points, strict=True)) if wrong[i]]  # fmt: skip
    assert not wrong.any(), f"(inputs, ours, PyTorch's): {text}"
    for i in np.flatnonzero(~agree):
        with np.errstate(all="ignore"):
            expected = ours(*[x[i] for x in points])
        assert same([a[i] for a in found], expected).all(), (points[0][i], expected)


@pytest.mark.parametrize(("name", "statics", "cotangent"), ELEMENTWISE)
def test_elementwise_ops_are_torchs_at_edges(name, statics, cotangent):
    points = list(PAIRS) if name in BINARY else [POINTS]
    found, truth = both(name, points, statics, filled(cotangent))
    check_points(found, truth, points, DECIDED_POINTS.get((name, cotangent)))


def test_where_blocks_nothing_that_its_branches_do():
    """NumPy's trap, which is PyTorch's too."""

    def trapped(space, x):
        return space.where(x > 0, space.log(x), 0.0)

    x, z = mg.tensor([0.0, 2.0], requires_grad=True), torch.tensor([0.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        trapped(mg, x).sum().backward()
    trapped(torch, z).sum().backward()
    assert same(x.grad.numpy(), z.grad.numpy()).all()
    assert np.isnan(x.grad.numpy()[0])


# ---- powers --------------------------------------------------------------------------------------


def power_pairs():
    return list(np.array(np.meshgrid(BASES, EXPONENTS, indexing="ij")).reshape(2, -1))


def test_powers_of_tensors_are_torchs_at_edges():
    points = power_pairs()
    check_points(*both("pow", points, {}, filled(1.0)), points)


def slopes(power, values):
    """Value and slope of a function of ours or of PyTorch's."""
    x = mg.tensor(np.array(values), requires_grad=True)
    z = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        y = power(x)
        (g,) = mg.grad(y, x, mg.ones_like(y))
    t = power(z)
    (h,) = torch.autograd.grad(t, z, torch.ones_like(t))
    return (y.numpy(), g.numpy()), (host(t), host(h))


def negative_end(x):
    """-0 and -∞."""
    return np.signbit(x) & ((x == 0) | np.isinf(x))


HALF_POWERS = {  # where PyTorch takes roots instead of powers
    0.5: (negative_end, lambda x: (np.sqrt(x), 0.5 * x**-0.5)),
    -0.5: (negative_end, lambda x: (x**-0.5, -0.5 * x**-1.5)),
}


@pytest.mark.parametrize("exponent", [0, 1, -1, 2, -2, 3, *EXPONENTS])
def test_powers_to_a_number_are_torchs_at_edges(exponent):
    found, truth = slopes(lambda x: x**exponent, BASES)
    check_points(found, truth, [np.array(BASES)], HALF_POWERS.get(exponent))


@pytest.mark.parametrize("base", [0, 1, -1, 2, -2, *BASES])
def test_powers_of_a_number_are_torchs_at_edges(base):
    found, truth = slopes(lambda x: base**x, EXPONENTS)
    check_points(found, truth, [np.array(EXPONENTS)])


# ---- along an axis -------------------------------------------------------------------------------

ROWS = {
    "distinct": [1, 2, 3], "tie": [2, 2, 1], "low tie": [1, 2, 1], "equal": [2, 2, 2], "one": [3],
    "zeros": [0, 0, 0], "signed zeros": [0.0, -0.0, 1], "negative zero first": [-0.0, 0.0],
    "one zero": [2, 0, 3], "two zeros": [0, 2, 0], "only zero": [0],
    "one -inf": [1, -inf, 2], "all -inf": [-inf, -inf], "only -inf": [-inf],
    "one inf": [1, inf, 2], "all inf": [inf, inf], "both infs": [inf, -inf, 1],
    "inf and zero": [inf, 0], "inf tie": [inf, inf, 0],
    "nan": [1, nan, 2], "nan first": [nan, 1], "two nans": [nan, 2, nan], "all nan": [nan, nan],
    "nan and inf": [nan, inf],
    "large": [1000, -1000, 999], "huge": [1e300, 1e300, 1], "squares overflow": [1e200, -1e200],
    "tiny": [1e-300, 2e-300],
}  # fmt: skip
NANS = {"nan", "nan first", "two nans", "all nan", "nan and inf"}
INFS = {"one -inf", "one inf", "inf and zero", "inf tie"}
EXTREME = {"huge", "squares overflow", "tiny"}
REDUCING = words("sum mean prod amax amin max min argmax argmin logsumexp all any norm var std")
ALONG = [
    *[(name, {"axis": axis}) for name in REDUCING for axis in (None, 0)],
    *[(name, {"axis": 0, "correction": c}) for name in ("var", "std") for c in (0, 2)],
    *[("norm", {"axis": 0, "p": p}) for p in (0, 0.5, 1, 1.5, 3, inf, -inf, -1, -2)],
    *[(name, {"axis": 0}) for name in ("softmax", "log_softmax", "cumsum", "cumprod")],
    *[(name, {"descending": d}) for name in ("sort", "argsort") for d in (False, True)],
    *[("topk", {"k": 1, "largest": largest}) for largest in (True, False)],
]


def others_multiplied(x, w):
    """Each slope is the product of the others: nothing is divided."""
    return np.prod(x), [w * np.prod(np.delete(x, i)) for i in range(len(x))]


def others_multiplied_up_to(x, w):
    n = len(x)
    each = [[w[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, n)] for i in range(n)]
    return np.cumprod(x), [sum(terms) for terms in each]


def to_the_nans(pick):
    return lambda x, w: (pick(x), w * np.isnan(x) / np.isnan(x).sum())


def softly(x, w):
    e = np.exp(x - x.max())
    return np.logaddexp.reduce(x), w * e / e.sum()


def all_nan(x, w):
    return nan, np.full(len(x), nan)


def scaled_norm(p):
    def ours(x, w):
        scale = np.abs(x).max()
        y = np.linalg.norm(x / scale, p) * scale
        return y, w * np.sign(x) * (np.abs(x) / y) ** (p - 1)

    return ours


def nan_slopes(x, w):
    """A norm whose slope is sign(x) where it is not 0: NaN at NaN."""
    return nan, [nan if np.isnan(v) else 0.0 for v in x]


NEVER_DIVIDED = {"nan", "nan first", "nan and inf", "one -inf", "all -inf", "one inf", "all inf"}
NEVER_DIVIDED |= EXTREME
DECIDED_ROWS = {  # the call: the rows where PyTorch differs, and our values and slopes there
    "prod": (NEVER_DIVIDED | {"only -inf", "both infs"}, others_multiplied),
    "cumprod": (NEVER_DIVIDED | {"inf and zero"}, others_multiplied_up_to),
    "amax": (NANS, to_the_nans(np.max)),
    "amin": (NANS, to_the_nans(np.min)),
    "logsumexp": ({"large", "huge", "one inf", "both infs", "inf and zero", "inf tie"}, softly),
    "var": (INFS, all_nan),
    "var correction=0": (INFS, all_nan),
    "var correction=2": (INFS | {"one", "only zero", "squares overflow", "tiny"}, all_nan),
    "std correction=2": ({"squares overflow"}, all_nan),
    "norm": (EXTREME, scaled_norm(2)),
    **{f"norm p={p}": (EXTREME, scaled_norm(p)) for p in (1.5, 3)},
    **{f"norm p={p}": ({"squares overflow", "tiny"}, scaled_norm(p)) for p in (-1, -2)},
    "norm p=0.5": ({"inf and zero", "inf tie"},
                   lambda x, w: (inf, [nan if np.isinf(v) else 0.0 for v in x])),
    "norm p=1": (NANS, lambda x, w: (nan, w * np.sign(x))),
    **{f"norm p={p}": (NANS, nan_slopes) for p in (inf, -inf)},
}  # fmt: skip


def called(name, statics):
    """The op and its options but for the axis, as the table above has them."""
    return " ".join([name, *[f"{k}={v}" for k, v in statics.items() if k != "axis"]])


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(("name", "statics"), ALONG)
def test_ops_along_an_axis_are_torchs_at_edges(name, statics, row):
    x = np.array(ROWS[row], np.float64)
    found, truth = both(name, [x], statics, weights)
    rows, ours = DECIDED_ROWS.get(called(name, statics), ((), None))
    agree = all(a.shape == b.shape and same(a, b).all() for a, b in zip(found, truth, strict=True))
    assert agree == (row not in rows), f"ours {found}, PyTorch's {truth}"
    if not agree:
        with np.errstate(all="ignore"):
            w = weights(mg.tensor(found[0])).numpy()
            expected = ours(x, w)
        assert all(same(a, b).all() for a, b in zip(found, expected, strict=True)), (
            found,
            expected,
        )


@pytest.mark.parametrize("row", [name for name, x in ROWS.items() if len(x) > 1])
@pytest.mark.parametrize("label", [0, 1])
def test_cross_entropy_is_torchs_at_edges(label, row):
    options = {"ignore_index": -100, "reduction": "none"}
    x = np.array([ROWS[row]], np.float64)
    found, truth = both("cross_entropy", [x, [label]], options, weights)
    close(found, truth, x.size, row)  # on one scale: a probability less 1 cancels


# ---- nothing -------------------------------------------------------------------------------------

EMPTY = [((0,), None), ((0,), 0), ((0, 3), None), ((0, 3), 0), ((0, 3), 1), ((3, 0), 1)]
KEEPING = ["softmax", "log_softmax", "cumsum", "cumprod", "sort", "argsort"]
FROM_NOTHING = [
    *[(name, shape, axis) for name in REDUCING for shape, axis in EMPTY],
    *[(name, shape, axis) for name in KEEPING for shape, axis in EMPTY if axis is not None],
]


@pytest.mark.parametrize(("name", "shape", "axis"), FROM_NOTHING)
def test_of_nothing_comes_what_comes_in_torch(name, shape, axis):
    """The same values and slopes, or an error from both."""
    x = np.ones(shape)
    s = Sample(registry[name], (x,), {"axis": axis}, Draw.seeded(0))
    truth = attempt(lambda: theirs(s, s.arrays))
    if isinstance(truth, Exception):
        assert isinstance(attempt(lambda: s.call(mg.tensor(x))), mg.ShapeError)
        return
    found, expected = both(name, [x], {"axis": axis}, weights)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert same(a, b).all(), (a, b)
