"""Every op against PyTorch's: values, first and second derivatives, shapes, dtypes.

Edge values are in test_peer_edges.py; what is decided otherwise, in test_peer_decisions.py too.
"""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peer_runs import attempt, host, kinds, our_gradients, their_gradients, theirs, words
from peers import PEERS, UNDIVIDED, WITHOUT_PEER, torch

import minigrad as mg
from minigrad.laws import Sample
from minigrad.laws.sample import close, listed, weights
from minigrad.op import registry
from minigrad.samples import Draw

CALLS = {"quick": 8, "thorough": 40}[os.environ.get("HYPOTHESIS_PROFILE", "quick")]
OURS = sorted(name for name, op in registry.items() if op.forward.__module__[:8] == "minigrad")
COMPARED = [name for name in OURS if name in PEERS]


def calls(test):
    """A test over calls that Hypothesis draws by the op's own sampler."""

    @settings(max_examples=CALLS)
    @given(data=st.data())
    def trial(name, data):
        draw = Draw(lambda low, high: data.draw(st.integers(low, high)))
        test(Sample.of(registry[name], draw))

    return trial


# ---- no op is forgotten --------------------------------------------------------------------------


def test_every_op_has_a_peer_or_a_reason():
    both = PEERS.keys() & WITHOUT_PEER.keys()
    assert not both, f"{sorted(both)} have a peer and a reason for having none"
    unknown = (PEERS.keys() | WITHOUT_PEER.keys()) ^ set(OURS)
    assert not unknown, f"{sorted(unknown)}: in the registry or in peers.py, but not in both"


# ---- values and two derivatives ------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPARED)
def test_values_and_two_derivatives_are_torchs(name):
    calls(compare)(name)


def compare(s):
    xs = s.tensors()
    zs, others = theirs(s, s.arrays, s.floating)
    level = listed(s.call(*xs))
    wanted, sought = [[t for t in each if t.requires_grad] for each in (xs, zs)]
    for order in (0, 1, 2):
        what = f"{s.op.name}{s.statics}, order {order}"
        close([y.numpy() for y in level], [host(z) for z in others], s.size, what)
        assert kinds(level) == kinds(others), what
        if order < 2:
            seeds = [weights(y, order) for y in level]
            if order == 0:
                tracked = [y.requires_grad for y in others]
                assert [y.requires_grad for y in level] == tracked, f"{what}: what is tracked"
                if s.op.name in UNDIVIDED:
                    others = [UNDIVIDED[s.op.name](*zs, **s.statics)]
            level = our_gradients(level, wanted, seeds, True)
            others = their_gradients(others, sought, seeds, True)


# ---- dtypes --------------------------------------------------------------------------------------

WITHOUT_HALF = {"inv", "solve", "cholesky", "det", "regular_det"}  # in PyTorch, on the CPU
SUMS_STAY_WIDE = {  # dgamma and dbeta of float16: the sweep rounds them
    "batch_norm_grad", "batch_norm_sums", "batch_norm_relu_grad", "layer_norm_grad",
}  # fmt: skip
OWN_KINDS = {  # see test_peer_decisions.py; PyTorch's einsum sums no axis of length 1
    ("sum_to", "int32"), ("sum_to", "bool"), ("einsum", "int32"), ("einsum", "bool"),
}  # fmt: skip
OWN_REFUSALS = {("pow", "int64"), ("pow", "int32"), ("index_add", "int64"), ("index_add", "int32"),
                ("index_add", "bool")}  # fmt: skip


def narrowed(s, dtypes):
    """The sample's arrays with the floating ones in other dtypes."""
    dtypes = iter(dtypes)
    return [
        a.astype(next(dtypes)) if a.dtype.kind == "f" else a
        for a in (np.asarray(a) for a in s.arrays)
    ]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", sorted(set(COMPARED) - SUMS_STAY_WIDE))
def test_narrow_floats_give_torchs_dtypes(name, dtype):
    if dtype == "float16" and name in WITHOUT_HALF:
        pytest.skip("PyTorch has none on the CPU")

    def check(s):
        arrays = narrowed(s, itertools.repeat(dtype))
        ys = listed(s.call(*[mg.tensor(a) for a in arrays]))
        assert kinds(ys) == kinds(theirs(s, arrays)[1])

    calls(check)(name)


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
@pytest.mark.parametrize("name", [n for n in COMPARED if registry[n].method or n == "sum_to"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of division by 0, and the like
def test_integers_and_booleans_give_torchs_dtypes(name, dtype):
    """Where PyTorch refuses them, ours may take them or not; of nothing it takes any."""

    def check(s):
        arrays = narrowed(s, itertools.repeat(dtype))
        if any(a.size == 0 for a in arrays):
            return
        truth = attempt(lambda: theirs(s, arrays)[1])
        found = attempt(lambda: listed(s.call(*[mg.tensor(a) for a in arrays])))
        if isinstance(truth, Exception) or (name, dtype) in OWN_KINDS:
            return
        if isinstance(found, Exception) and (name, dtype) in OWN_REFUSALS:
            return
        assert not isinstance(found, Exception), f"refused, but not by PyTorch: {found}"
        assert kinds(found) == kinds(truth)

    calls(check)(name)


MIXING = words("""
    add sub mul div pow maximum minimum where eq ne lt le gt ge logical_and logical_or cat stack
    outer
""")
DTYPES = ["float16", "float32", "float64", "int64", "int32", "bool"]


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unlike_dtypes_meet_as_in_torch(name):
    """Among tensors that have an axis: in PyTorch those without one are weak."""
    condition = [np.array([True, False])] * (name == "where")
    for pair in itertools.product(DTYPES, repeat=2):
        arrays = [*condition, *[np.ones(2, dtype) for dtype in pair]]
        s = Sample(registry[name], tuple(arrays), {}, Draw.seeded(0))
        truth = attempt(lambda s=s: theirs(s, s.arrays)[1])
        if not isinstance(truth, Exception):
            ys = listed(s.call(*[mg.tensor(a) for a in arrays]))
            assert kinds(ys) == kinds(truth), pair


NUMBERS = [2, 2.5, True]
OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "**": lambda a, b: a**b, "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
}  # fmt: skip


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_meet_tensors_as_in_torch(sign, dtype):
    f, a = OPERATORS[sign], np.ones(2, dtype)
    for number, turned in itertools.product(NUMBERS, (False, True)):
        if sign == "**" and number is True:
            continue  # PyTorch's power of booleans is boolean
        run = (lambda t, n=number: f(n, t)) if turned else (lambda t, n=number: f(t, n))
        truth = attempt(lambda run=run: run(torch.tensor(a)))
        if not isinstance(truth, Exception):
            assert kinds([run(mg.tensor(a))]) == kinds([truth]), (number, turned)
