"""Every law of minigrad/laws, for every op of the registry, on the CPU and on the other devices.

An op comes under them by existing: one that gives no samples fails here.
"""

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.laws import LAWS, Sample, check_op
from minigrad.op import op, registry
from minigrad.ops import catalogue
from minigrad.samples import Draw, anything, elementwise

OPS = sorted(name for name, each in registry.items() if each.forward.__module__[:8] == "minigrad")
CALLS = {"quick": 6, "thorough": 15}[os.environ.get("HYPOTHESIS_PROFILE", "quick")]
ELSEWHERE = [  # what another device could change
    "narrow_values_are_the_wide_ones_rounded",
    "devices_agree",
    "memory_layout_changes_nothing",
    "derivatives_are_the_numeric_ones",
    "gradients_keep_the_dtype_of_their_tensors",
    "inputs_of_other_ranks_and_dtypes_work_or_are_refused",
    "devices_do_not_mix",
]
NAMED_IN_THE_DESIGN = """
    add sub mul div pow neg abs sign sqrt rsqrt exp expm1 log log1p sin cos tan arcsin arccos arctan
    sinh cosh tanh sigmoid relu erf floor ceil round clip where maximum minimum
    sum mean var std prod max min amax amin argmax argmin logsumexp softmax log_softmax cumsum
    cumprod all any norm
    eq ne lt le gt ge logical_not logical_and logical_or isnan isinf isfinite allclose
    reshape flatten squeeze unsqueeze transpose permute moveaxis swapaxes expand broadcast_to cat
    stack split chunk pad flip roll tile repeat_interleave
    getitem setitem take gather scatter_add index_add masked_fill sort argsort topk tril triu diag
    matmul dot outer einsum tensordot inv solve cholesky det
""".split()  # noqa: SIM905  a list of strings reads worse

cases = Counter()  # by device; conftest.py prints them


def hold(law, name, device, calls):
    """Try a law on calls that Hypothesis draws."""

    @settings(max_examples=calls)
    @given(st.data())
    def trial(data):
        cases[device] += 1
        draw = Draw(lambda low, high: data.draw(st.integers(low, high)))
        LAWS[law](Sample.of(registry[name], draw, device))

    trial()


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("law", LAWS)
def test_law(law, name):
    hold(law, name, "cpu", 1 if "docstring" in law else CALLS)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("law", ELSEWHERE)
def test_law_elsewhere(law, name, cuda):
    hold(law, name, cuda, CALLS // 3)


def test_the_registry_holds_every_op_that_the_design_names():
    assert sorted(set(NAMED_IN_THE_DESIGN) - set(registry)) == []


@pytest.mark.parametrize("name", sorted(set(NAMED_IN_THE_DESIGN) - {"getitem", "setitem"}))
def test_every_named_op_is_a_function_of_the_package_and_a_method(name):
    assert getattr(mg, name) is registry[name].call
    assert registry[name].variadic or callable(getattr(mg.Tensor, name))


@pytest.fixture
def registry_restored():
    before, methods = dict(registry), set(vars(mg.Tensor))
    yield
    registry.clear()
    registry.update(before)
    for name in set(vars(mg.Tensor)) - methods:
        delattr(mg.Tensor, name)


def test_an_op_of_ten_lines_has_a_method_the_laws_and_a_page(registry_restored):
    @op(lambda g, y: g * (1 - abs(y)) ** 2, samples=elementwise(anything))
    def softsign(xp, x):
        """x / (1 + |x|).        d softsign x = (1 - |y|)² dx

        >>> mg.tensor([1.0, -3.0]).softsign()
        tensor([ 0.5 , -0.75])
        """
        return x / (1 + xp.abs(x))

    assert mg.softsign(mg.tensor([1.0])).tolist() == mg.tensor([1.0]).softsign().tolist() == [0.5]
    check_op(softsign, calls=5)
    assert "d softsign x = (1 - |y|)² dx" in catalogue.page(registry["softsign"])


def test_an_op_without_samples_is_refused_by_the_laws(registry_restored):
    @op(lambda g: g * 2)
    def twice(xp, x):
        """2x.        d twice x = 2 dx"""
        return x * 2

    with pytest.raises(AssertionError, match="op twice gives no samples"):
        check_op(twice)


def test_a_law_notices_a_wrong_rule(registry_restored):
    """Each fault by the law that is there for it, among the laws that a right rule obeys."""

    def squared(xp, x):
        """x².        d squared x = 2x dx

        >>> mg.tensor([3.0]).squared()
        tensor([9.])
        """
        return x * x

    check_op(op(lambda g, x: 2 * g * x, samples=elementwise(anything))(squared), calls=3)
    faults = {
        "derivatives_are_the_numeric_ones": lambda g, x: g * x,
        "the_pullback_is_linear": lambda g, x: g * g * x,
    }
    for law, rule in faults.items():
        wrong = op(rule, samples=elementwise(anything))(squared)
        sample = Sample.of(wrong.op, Draw.seeded(1))
        with pytest.raises(AssertionError):
            LAWS[law](sample)


def test_a_forward_that_writes_into_its_input_is_noticed(registry_restored):
    @op(lambda g: g, samples=elementwise(anything))
    def shifted(xp, x):
        """x + 1, wrongly.        d shifted x = dx"""
        x += 1
        return x

    with pytest.raises(AssertionError):
        check_op(shifted)


def test_a_seeded_draw_is_the_same_again():
    first, second = (registry["conv2d"].samples(Draw.seeded(3)) for _ in range(2))
    assert first[1] == second[1]
    for a, b in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(a, b)
