"""Laws of memory and of words: constants, what is written and kept, what the docstring says."""

from __future__ import annotations

import doctest
import gc
import weakref

import numpy as np

from .. import dtypes
from ..errors import GraphError
from ..gradient import grad
from ..graph import saved_arrays
from ..modes import no_grad
from ..watching import node_of
from .book import law
from .sample import Sample, listed, weights


@law
def constants_carry_no_gradient(s: Sample) -> None:
    """Integer outputs, and those that the op calls constant; nothing at all under no_grad."""
    tensors = s.tensors()
    for i, y in enumerate(listed(s.call(*tensors))):
        wanted = bool(s.floating) and i not in s.op.constant and dtypes.is_floating(y.dtype)
        assert y.requires_grad <= wanted, f"output {i} of {s.op.name} requires grad"
        if not y.requires_grad and s.floating:
            try:
                grad(y, tensors[s.floating[0]], weights(y) if y.dtype.kind == "f" else None)
            except GraphError:
                continue
            raise AssertionError(f"output {i} of {s.op.name} is constant, but grad() gave one")
    with no_grad():
        assert not any(y.requires_grad for y in listed(s.call(*tensors)))


@law
def inputs_stay_as_they_are(s: Sample) -> None:
    """Forward and backward write into nothing that they are given."""
    tensors = s.tensors()
    before = [t.numpy().copy() for t in tensors]
    s.gradients(tensors, create_graph=True)
    s.gradients(tensors)
    for t, old in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(t.numpy(), old, err_msg=f"{s.op.name} wrote into an input")


@law
def a_rule_writes_into_nothing_that_it_is_given(s: Sample) -> None:
    """Not into the cotangent, which others get too, nor into what was saved."""
    ys = [y for y in s.outputs(*s.tensors()) if y.requires_grad]
    node = node_of(tuple(ys))
    if node is None:
        return
    gs = tuple([weights(y).array for y in ys])
    given = [*gs, *[array for _, array in saved_arrays(node)]]
    before = [array.copy() for array in given]
    s.op.pull(gs if len(gs) > 1 else gs[0], node.saved, node.parents)
    for array, old in zip(given, before, strict=True):
        same = bool((array == old).all())
        assert same, f"a rule of {s.op.name} wrote into its cotangent or into what was saved"


@law
def results_own_their_memory_or_are_read_only(s: Sample) -> None:
    """Only an op that says `view=True` shares memory with its input, and nobody writes there."""
    tensors = s.tensors()
    if s.device != "cpu":
        return
    for y in listed(s.call(*tensors)):
        shared = any(np.shares_memory(y.array, t.array) for t in tensors)
        assert not shared or s.op.view, f"{s.op.name} shares memory with its input"
        assert not shared or not y.array.flags.writeable, f"{s.op.name} gives a view to write to"
    assert all(t.array.flags.writeable for t in tensors), f"{s.op.name} made an input read-only"


@law
def nothing_is_kept_but_what_the_rules_name(s: Sample) -> None:
    """An input that no rule asks for dies with its last handle, before any backward."""
    if s.op.view or not s.floating:
        return
    named = set(s.op.kept)
    tensors = s.tensors()
    names = s.op.inputs * (len(tensors) if s.op.variadic else 1)
    y = s.call(*tensors)
    unnamed = [weakref.ref(t.array) for t, name in zip(tensors, names, strict=True)
               if name not in named]  # fmt: skip
    node = node_of(y)
    kept = {id(array) for _, array in saved_arrays(node)} if node is not None else set()
    allowed = {id(t.array) for t, name in zip(tensors, names, strict=True) if name in named}
    ours = {id(t.array) for t in tensors}
    assert kept & ours <= allowed, f"{s.op.name} keeps an input that no rule names"
    del tensors
    gc.collect(0)
    assert all(ref() is None for ref in unnamed), f"{s.op.name} keeps an unnamed input alive"
    del y  # which had to live until here: its graph is what could have kept them


# ---- words ---------------------------------------------------------------------------------------


@law
def the_docstring_holds_a_formula_and_an_example_that_runs(s: Sample) -> None:
    """What it is; its differential where it has one; an example in doctest's form."""
    import minigrad as mg

    doc = s.op.doc
    assert len(doc.split(">>>")[0].strip()) > 3, f"op {s.op.name} says nothing of itself"
    if s.op.differentiable:
        assert "=" in doc.split(">>>")[0], f"op {s.op.name}: write its differential, d f = ..."
    names = {"mg": mg, "np": np}
    test = doctest.DocTestParser().get_doctest(doc, names, s.op.name, None, None)
    assert test.examples, f"op {s.op.name} shows no example"
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)
