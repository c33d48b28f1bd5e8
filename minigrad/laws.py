"""The laws: what holds of every op, tried on sample calls.

A law takes an op, a `Draw` and the device to run on, and raises AssertionError where it does not
hold.  `mg.testing.check_op(op)` tries them all on an op of yours; in the tests Hypothesis draws
calls for every op of the registry.
"""

from __future__ import annotations

import doctest
import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import backend, dtypes
from .errors import GraphError
from .gradient import grad
from .modes import kernels, no_grad, unfused
from .op import Op
from .samples import Draw
from .tensor import Tensor, handle
from .testing import assert_close, check_grads, tolerance
from .watching import node_of, saved_arrays

Law = Callable[["Sample"], None]
LAWS: dict[str, Law] = {}
NARROW = (dtypes.float16, dtypes.float32)


def law(function: Law) -> Law:
    """Add a law under its function's name."""
    LAWS[function.__name__] = function
    return function


@dataclass
class Sample:
    """A call of an op: array inputs in float64, static arguments; and what a law may still draw."""

    op: Op
    arrays: tuple[Any, ...]
    statics: dict[str, Any]
    draw: Draw
    device: str = "cpu"

    @classmethod
    def of(cls, op: Op, draw: Draw, device: str = "cpu") -> Sample:
        """A sample that the op's own sampler draws."""
        if op.samples is None:
            raise AssertionError(
                f"op {op.name} gives no samples: write samples=... (see minigrad/samples.py), "
                "so that the laws can try it"
            )
        arrays, statics = op.samples(draw)
        return cls(op, tuple(arrays), statics, draw, device)

    @property
    def floating(self) -> list[int]:
        """Positions of the inputs that can carry a gradient."""
        every = self.op.variadic and bool(self.op.differentiable)
        names = self.op.inputs * (len(self.arrays) if self.op.variadic else 1)
        tracked = [i for i, n in enumerate(names) if every or n in self.op.differentiable]
        return [i for i in tracked if self.arrays[i].dtype.kind == "f"]

    @property
    def size(self) -> int:
        """No result sums over more products than this."""
        return max(sum(a.size for a in self.arrays), 1)

    def tensors(self, dtype: Any = None, only: Sequence[int] | None = None) -> list[Tensor]:
        """Leaves on the device for the inputs that can carry a gradient, constants for others."""
        wanted = self.floating if only is None else only
        return [
            Tensor(
                a,
                dtype=dtype if a.dtype.kind == "f" else None,
                device=self.device,
                requires_grad=i in wanted,
            )
            for i, a in enumerate(self.arrays)
        ]

    def call(self, *values: Any) -> Any:
        """The op's public function on tensors or on arrays."""
        op, statics = self.op, dict(self.statics)
        if op.variadic:
            if op.star:
                return op.call(*[statics.pop(name) for name in op.order[:-1]], *values, **statics)
            return op.call(list(values), **statics)
        if op.star:
            starred = statics.pop(op.star)
            return op.call(*values, *starred, **statics)
        return op.call(**dict(zip(op.inputs, values, strict=True)), **statics)

    def outputs(self, *values: Any) -> list[Any]:
        """The outputs that may carry a gradient."""
        return [y for i, y in enumerate(_listed(self.call(*values))) if i not in self.op.constant]

    def forward(self, *arrays: Any) -> list[Any]:
        """The bare forward's outputs, without its hint."""
        xp = backend.of(arrays[0]).xp
        y = self.op.forward(xp, *arrays, **self.statics)
        return _listed(y[0] if isinstance(y, tuple) and type(y[-1]).__name__ == "Hint" else y)

    def gradients(self, tensors: list[Tensor], **options: Any) -> list[Tensor | None]:
        """Gradients of weighted outputs with respect to the floating inputs."""
        ys = [y for y in self.outputs(*tensors) if y.requires_grad]
        xs = [t for t in tensors if t.requires_grad]
        if not ys or not xs:
            return [None] * len(xs)
        return list(grad(ys, xs, [weights(y) for y in ys], allow_unused=True, **options))


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple) else [y]


def weights(y: Tensor, seed: int = 0) -> Tensor:
    """A fixed cotangent of y's shape, dtype and device, none of whose entries is near zero."""
    rng = np.random.default_rng([seed, y.size])
    values = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    return Tensor(values, dtype=y.dtype, device=y.device)


def close(
    actual: Sequence[Any], expected: Sequence[Any], size: int, what: str, dtype: Any = None
) -> None:
    """Assert that tensors are equal up to rounding, on one scale.

    One scale for all, and at least 1, because a derivative may vanish up to rounding.
    """
    assert len(actual) == len(expected), f"{what}: {len(actual)} results, not {len(expected)}"
    pairs = [(_host(a), _host(b)) for a, b in zip(actual, expected, strict=True)]
    finite = [np.abs(b[np.isfinite(b)]) for _, b in pairs]
    scale = max([float(f.max()) for f in finite if f.size] + [1.0])
    for a, b in pairs:
        assert a.shape == b.shape, f"{what}: shape {a.shape} is not {b.shape}"
        end = np.array([scale])
        assert_close(np.append(a, end.astype(a.dtype)), np.append(b, end.astype(b.dtype)),
                     size=size, what=what, dtype=dtype)  # fmt: skip


def _host(value: Any) -> Any:
    if value is None:
        return np.zeros(())
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value)


# ---- values --------------------------------------------------------------------------------------


@law
def narrow_values_are_the_wide_ones_rounded(s: Sample) -> None:
    """In float16 and float32 the results are those of float64, and keep dtype and device."""
    dtype = s.draw.one_of(*NARROW)
    narrow = s.tensors(dtype)
    wide = [_widened(t) for t in narrow]
    got, exact = s.outputs(*narrow), s.outputs(*wide)
    for y, z in zip(got, exact, strict=True):
        kept = dtype if z.dtype == dtypes.float64 and s.op.name != "cast" else z.dtype
        assert y.device == narrow[0].device, f"{s.op.name}: the result is on {y.device}"
        assert y.dtype == kept or (dtype == dtypes.float16 and y.dtype == dtypes.float32
                                   and not s.op.method), f"{s.op.name}: {dtype} gave {y.dtype}"  # fmt: skip
    found, true = s.gradients(narrow), s.gradients(wide)
    close(got, exact, s.size, f"{s.op.name} in {dtype}", dtype)
    close(found, true, s.size, f"gradients of {s.op.name} in {dtype}", dtype)


def _widened(t: Tensor) -> Tensor:
    dtype = dtypes.float64 if dtypes.is_floating(t.dtype) else None
    return Tensor(t.array, dtype=dtype, requires_grad=t.requires_grad)


@law
def arrays_in_arrays_out(s: Sample) -> None:
    """Without a Tensor an op is its forward: what rules run on at first order."""
    tensors = s.tensors()
    bare = _listed(s.call(*[t.array for t in tensors]))
    for y, t in zip(bare, _listed(s.call(*tensors)), strict=True):
        assert not isinstance(y, Tensor), f"{s.op.name} of arrays gave a Tensor"
        _same(handle(backend.as_array(y)), t, f"{s.op.name} of arrays")


@law
def kernels_change_nothing(s: Sample) -> None:
    """Without kernels, values and gradients are the same up to rounding."""
    fast, gs = s.outputs(*s.tensors()), s.gradients(s.tensors())
    with kernels(False):
        plain, hs = s.outputs(*s.tensors()), s.gradients(s.tensors())
    close(fast, plain, s.size, f"{s.op.name} with kernels")
    close(gs, hs, s.size, f"gradients of {s.op.name} with kernels")


@law
def memory_layout_changes_nothing(s: Sample) -> None:
    """Transposed, negatively strided and read-only inputs give the same as contiguous ones."""
    plain = s.tensors()
    odd = [t.detach().requires_grad_(t.requires_grad) for t in plain]
    for t in odd:
        t.array = _laid_out(backend.of(t.array).xp, t.array, s.draw)
    close(_listed(s.call(*odd)), _listed(s.call(*plain)), s.size, f"{s.op.name} of odd layouts")
    close(s.gradients(odd), s.gradients(plain), s.size, f"gradients of {s.op.name}, odd layouts")


def _laid_out(xp: Any, array: Any, draw: Draw) -> Any:
    """The same values with other strides."""
    form = draw.one_of("transposed", "reversed", "strided")
    if array.ndim == 0:
        return array
    if form == "transposed":
        return xp.ascontiguousarray(array.T).T
    turned = tuple([slice(None, None, -1 if form == "reversed" else 2)] * array.ndim)
    if form == "reversed":
        return xp.ascontiguousarray(array[turned])[turned]
    wide = xp.zeros(tuple([2 * n for n in array.shape]), array.dtype)
    wide[turned] = array
    return wide[turned]


@law
def devices_agree(s: Sample) -> None:
    """Values and gradients are those of the CPU, and live where the inputs live."""
    there, here = s.tensors(), Sample(s.op, s.arrays, s.statics, s.draw).tensors()
    results = _listed(s.call(*there))
    home = s.device if "device" not in s.statics else s.statics["device"]
    assert all(y.device.startswith(home) for y in results), f"{s.op.name} left {home}"
    close(results, _listed(s.call(*here)), s.size, f"{s.op.name} on {s.device}")
    found = s.gradients(there)
    assert all(g is None or g.device.startswith(s.device) for g in found)
    close(found, s.gradients(here), s.size, f"gradients of {s.op.name} on {s.device}")


# ---- derivatives ---------------------------------------------------------------------------------


@law
def derivatives_are_the_numeric_ones(s: Sample) -> None:
    """To third order, in float64, in random directions through all inputs at once."""
    if s.floating and any(y.requires_grad for y in s.outputs(*s.tensors())):
        order = 1 if s.op.name == "cast" else 3  # which changes nothing here
        inputs = [t.detach() for t in s.tensors()]
        check_grads(lambda *t: s.outputs(*t), inputs, order, seed=s.draw.integer(0, 99))


@law
def the_pullback_is_linear(s: Sample) -> None:
    """J*(3a - 2b) = 3 J*a - 2 J*b."""
    tensors = s.tensors()
    ys = [y for y in s.outputs(*tensors) if y.requires_grad]
    xs = [t for t in tensors if t.requires_grad]
    if not ys:
        return

    def pull(gs: list[Tensor]) -> list[Any]:
        return list(grad(ys, xs, gs, retain_graph=True, allow_unused=True))

    first, second = ([weights(y, seed) for y in ys] for seed in (1, 2))
    mixed = pull([3.0 * a - 2.0 * b for a, b in zip(first, second, strict=True)])
    parts = zip(pull(first), pull(second), strict=True)
    apart = [None if a is None else 3.0 * a - 2.0 * b for a, b in parts]
    close(mixed, apart, s.size, f"pull-back of {s.op.name}")


@law
def gradients_keep_the_dtype_of_their_tensors(s: Sample) -> None:
    """In float16 and float32, at two orders."""
    dtype = s.draw.one_of(*NARROW)
    tensors = s.tensors(dtype)
    first = [g for g in s.gradients(tensors, create_graph=True) if g is not None]
    tracked = [g for g in first if g.requires_grad]
    xs = [t for t in tensors if t.requires_grad]
    second = grad(tracked, xs, [weights(g) for g in tracked], allow_unused=True) if tracked else ()
    for g in (*first, *second):
        assert g is None or g.dtype == dtype, f"a gradient of {s.op.name} in {dtype} is {g.dtype}"


@law
def each_input_alone_has_the_gradient_that_it_has_among_all(s: Sample) -> None:
    """At two orders: what one input's derivative is does not depend on who else asks."""
    if not s.floating:
        return
    position = s.draw.one_of(*s.floating)
    alone, among = s.tensors(only=[position]), s.tensors()
    place = s.floating.index(position)
    first = [s.gradients(alone, create_graph=True)[0], s.gradients(among, create_graph=True)[place]]
    second = []
    for g, leaves in zip(first, (alone, among), strict=True):
        tracked = g is not None and g.requires_grad
        again = tracked and grad(g, leaves[position], [weights(g)], allow_unused=True)[0]
        second.append(again if isinstance(again, Tensor) else None)
    for one, other in (first, second):
        if one is not None or other is not None:
            filled = [leaves_zero(alone[position]) if g is None else g for g in (one, other)]
            close(filled[:1], filled[1:], s.size, f"input {position} of {s.op.name} alone")


def leaves_zero(t: Tensor) -> Tensor:
    """Zeros like t."""
    return handle(backend.of(t.array).xp.zeros_like(t.array))


@law
def gradients_that_nobody_needs_are_not_computed(s: Sample) -> None:
    """A rule runs only for an input that wants its gradient."""
    op, ran = s.op, []
    if op.joint is not None or len(s.floating) < 2:
        return
    position = s.draw.one_of(*s.floating)
    space, rules = op._space, list(op.rules)
    try:
        for i, rule in enumerate(rules):
            if rule is not None:
                space[f"rule{i}"] = _counted(rule, i, ran)
        s.gradients(s.tensors(only=[position]))
    finally:
        space.update({f"rule{i}": rule for i, rule in enumerate(rules)})
    assert set(ran) <= {position}, f"{op.name}: rules {ran} ran for input {position}"


def _counted(rule: Callable[..., Any], i: int, ran: list[int]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        ran.append(i)
        return rule(*args)

    return run


@law
def a_fused_op_is_its_reference(s: Sample) -> None:
    """At orders 0 to 3."""
    if s.op.reference is None:
        return
    fused = _tower(s)
    with unfused():
        composed = _tower(s)
    for k, (some, others) in enumerate(zip(fused, composed, strict=True)):
        close(some, others, s.size, f"{s.op.name} and its reference, order {k}")


def _tower(s: Sample) -> list[list[Any]]:
    """Outputs, then the gradients of a weighted sum of them, and so on to order 3."""
    tensors = s.tensors()
    xs = [t for t in tensors if t.requires_grad]
    level = s.outputs(*tensors)
    levels = [level]
    for k in (1, 2, 3):
        tracked = [y for y in level if y is not None and y.requires_grad]
        if not tracked:
            break
        seeds = [weights(y, k) for y in tracked]
        found = grad(tracked, xs, seeds, create_graph=True, allow_unused=True)
        level = [x * 0.0 if g is None else g for x, g in zip(xs, found, strict=True)]
        levels.append(level)
    return levels


# ---- constants, memory ---------------------------------------------------------------------------


@law
def constants_carry_no_gradient(s: Sample) -> None:
    """Integer outputs, and those that the op calls constant; nothing at all under no_grad."""
    tensors = s.tensors()
    for i, y in enumerate(_listed(s.call(*tensors))):
        wanted = bool(s.floating) and i not in s.op.constant and dtypes.is_floating(y.dtype)
        assert y.requires_grad <= wanted, f"output {i} of {s.op.name} requires grad"
        if not y.requires_grad and s.floating:
            try:
                grad(y, tensors[s.floating[0]], weights(y) if y.dtype.kind == "f" else None)
            except GraphError:
                continue
            raise AssertionError(f"output {i} of {s.op.name} is constant, but grad() gave one")
    with no_grad():
        assert not any(y.requires_grad for y in _listed(s.call(*tensors)))


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
def results_own_their_memory_or_are_read_only(s: Sample) -> None:
    """Only an op that says `view=True` shares memory with its input, and nobody writes there."""
    tensors = s.tensors()
    if s.device != "cpu":
        return
    for y in _listed(s.call(*tensors)):
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
    kept = {id(a) for a in saved_arrays(node_of(y))}
    allowed = {id(t.array) for t, name in zip(tensors, names, strict=True) if name in named}
    ours = {id(t.array) for t in tensors}
    assert kept & ours <= allowed, f"{s.op.name} keeps an input that no rule names"
    del tensors
    gc.collect(0)
    assert all(ref() is None for ref in unnamed), f"{s.op.name} keeps an unnamed input alive"
    del y


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


def _same(a: Tensor, b: Tensor, what: str) -> None:
    assert (a.dtype, a.device) == (b.dtype, b.device), f"{what}: {a.dtype} on {a.device}"
    np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=what)
