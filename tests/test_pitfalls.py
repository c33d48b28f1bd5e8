"""A checklist of 84 items that other engines broke on: each is held by a test, or decided.

`@pytest.mark.pitfall("E12")` stands at every test of the suite that holds an item.  Here are the
items that no subject's own file holds, or not on every device, and the account of all of them.
"""

import ast
import gc
import math
import os
import pickle
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import backend, func, nn
from minigrad.errors import DeviceError, GraphError, ShapeError
from minigrad.laws import Sample
from minigrad.laws.sample import listed
from minigrad.nn import functional as F
from minigrad.op import registry
from minigrad.samples import Draw
from minigrad.testing import assert_close, check_grads

pitfall = pytest.mark.pitfall
TESTS = Path(__file__).parent

# ---- the account ---------------------------------------------------------------------------------

DECIDED = {  # items without a test, and why
    "E79": "minigrad makes and switches no stream; the stand-in has none to test with.",
    "E80": "The benchmarks time the CPU alone.",
    "E82": "Only a GPU runs out of its memory.",
}
IN_PART = {  # items of which a clause is decided otherwise; the tests hold what was decided
    "E12": "A floating gradient takes the output's dtype, as all gradients do; an "
    "integer one is refused, and nothing is broadcast.",
    "E15": "`stop_gradient` is called `detach`, as in PyTorch: one way to do it.",
    "E17": "A write through the bare array of a leaf, `leaf.data[...] = v`, passes no code of "
    "ours: `detect_anomaly` finds it by a fingerprint.",
    "E19": "On a result that is no leaf, `+=` rebinds the name.",
    "E39": "The suite runs with warnings as errors; `errstate(all='raise')`, which adds underflow, "
    "is put around every op's samples, and float16 may underflow there.",
    "E56": "NumPy's own functions are refused with a hint, not dispatched: one way to do it.",
    "E68": "A child may not use its parent's GPU. That it is told so is tested on the stand-in "
    "only: no CUDA context is there to be lost.",
    "E70": "Importing minigrad does not import CuPy, which says more than that no context exists.",
    "E75": "The ratio is asserted here; `./run bench batch_norm` prints the bytes of each form.",
    "E76": "The parity of every op is tested on the stand-in; sizes that cross a block's boundary "
    "mean something on a GPU alone.",
}


def marked_items():
    """Which tests hold which items: {"E1": ["test_graph.py::test_...", ...]}."""
    found = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for item in marks_of(function):
                    found.setdefault(item, []).append(f"{path.name}::{function.name}")
    return found


def marks_of(function):
    """The arguments of its decorators @pitfall(...) and @pytest.mark.pitfall(...)."""
    for each in function.decorator_list:
        if isinstance(each, ast.Call) and ast.unparse(each.func).split(".")[-1] == "pitfall":
            yield from map(ast.literal_eval, each.args)


ITEMS = {f"E{i}" for i in range(1, 85)}


def test_every_item_of_the_checklist_is_held_by_a_test_or_decided():
    missing = ITEMS - set(marked_items()) - set(DECIDED)
    assert not missing, f"no test is marked for {sorted(missing)}, and nothing is decided"


def test_what_is_marked_or_decided_is_an_item_and_stands_once():
    held = marked_items()
    assert set(held) | set(DECIDED) | set(IN_PART) <= ITEMS
    assert not set(DECIDED) & set(held), "what a test holds is not decided away"
    assert set(IN_PART) <= set(held), "what was decided of a clause is tested, as decided"
    for item, tests in held.items():
        assert len(tests) == len(set(tests)), f"{item} is marked twice at one of {tests}"


# ---- graph mechanics -----------------------------------------------------------------------------


def leaf(device, *shape, seed=1):
    """A float64 leaf of values in [0.5, 2), which every function here can take."""
    values = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
    return mg.tensor(values, device=device, requires_grad=True)


@pitfall("E1")
def test_a_diamond_counts_each_path_once(device):
    a = mg.tensor(1.0, device=device, requires_grad=True)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4.0
    x, y = leaf(device, 3), leaf(device, 3, seed=2)
    check_grads(lambda x, y: (x * y + x) * (x * y), [x, y])


SHARED = {
    "x / (x + x²)": lambda x: x / (x + x * x),
    "x + x": lambda x: x + x,
    "x - x": lambda x: x - x,
    "cat([x, x])": lambda x: mg.cat([x, x]) * 3,
    "cat([x, y, x])": lambda x: mg.cat([x, x * x, x], axis=1),
    "stack([x, x])": lambda x: mg.stack([x, x]),
    "stack, then sum": lambda x: mg.stack([x, x, -x], axis=1).sum(1) + x,
    "reshape": lambda x: x.reshape(-1).sum() + x.sum(),
    "transpose": lambda x: x.transpose(0, 1) @ x,
    "transpose and x": lambda x: x.T.T + x,
}


@pitfall("E2")
@pytest.mark.parametrize("name", SHARED)
def test_one_gradient_that_goes_to_several_places(name, device):
    check_grads(SHARED[name], leaf(device, 2, 3))


@pitfall("E2")
def test_a_sum_divided_into_its_own_operand(device):
    x, y = leaf(device, 3), leaf(device, 3, seed=2)
    z = x + y
    (x / z).sum().backward()
    assert_close(x.grad, (y / (z * z)).detach())
    assert_close(y.grad, (-x / (z * z)).detach())


HANDED_ON = {
    "add": lambda x, y: x + y,
    "cat": lambda x, y: mg.cat([x, y])[:2] + mg.cat([x, y])[2:],
    "stack": lambda x, y: mg.stack([x, y]).sum(0),
    "views": lambda x, y: x.reshape(3, 2).T.T.reshape(2, 3) + y.T.T,
    "sum": lambda x, y: (x.sum() + y.sum()).expand(2, 3),
    "mean": lambda x, y: (x.mean(0) + y.mean(0)).expand(2, 3),
    "clone": lambda x, y: x.clone() + y.clone(),
}


@pitfall("E3", "E4")
@pytest.mark.parametrize("name", HANDED_ON)
def test_no_two_gradients_share_memory(name, device):
    x, y, seed = leaf(device, 2, 3), leaf(device, 2, 3, seed=2), mg.ones(2, 3, device=device)
    xp = backend.of(x.array).xp
    HANDED_ON[name](x, y).backward(seed)
    arrays = [t.array for t in (x.grad, y.grad, x, y, seed)]
    for g, others in ((arrays[0], arrays[1:]), (arrays[1], arrays[2:])):
        assert not any(xp.shares_memory(g, other) for other in others)
        assert 0 not in g.strides
        assert backend.of(g).writeable(g)
    before = y.grad.tolist()
    with mg.no_grad():
        x.grad *= 0
    assert y.grad.tolist() == before


@pitfall("E12")
def test_a_gradient_of_another_device_is_refused(cuda):
    y = leaf(cuda, 3) * 2
    with pytest.raises(DeviceError, match=r"cpu.*cuda:0"):
        y.backward(mg.ones(3))


# ---- in-place, views -----------------------------------------------------------------------------

SAVING = {
    "mul": (lambda x: x * x, False),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), False),
    "exp": (lambda x: x.exp(), True),
    "sigmoid": (lambda x: x.sigmoid(), True),
}


@pitfall("E17")
@pytest.mark.parametrize("name", SAVING)
def test_a_saved_array_written_through_data_is_never_silently_wrong(name):
    f, saves_output = SAVING[name]
    x = leaf("cpu", 4, 3)
    with mg.detect_anomaly():
        y = f(x)
        with pytest.raises(ValueError, match="read-only"):
            y.data[...] = 7.0
        x.data[0] = 7.0
        if saves_output:  # then its input may change
            y.sum().backward()
            assert_close(x.grad[1:], mg.grad(f(x).sum(), x)[0][1:])
        else:
            with pytest.raises(GraphError, match=name):
                y.sum().backward()


# ---- broadcasting, shapes ------------------------------------------------------------------------

SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
BROADCASTING = ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "where")


@pitfall("E23")
@pytest.mark.parametrize("name", BROADCASTING)
@given(left=SHAPES, right=SHAPES)
def test_any_two_shapes_broadcast_as_in_numpy_or_are_refused(name, left, right):
    a, b = leaf("cpu", *left), leaf("cpu", *right, seed=2)
    f = getattr(mg, name) if name != "where" else lambda a, b: mg.where(a > 1, a, b)
    try:
        shape = np.broadcast_shapes(left, right)
    except ValueError:
        with pytest.raises(ShapeError, match=name):
            f(a, b)
        return
    y = f(a, b)
    y.sum().backward()
    assert (y.shape, a.grad.shape, b.grad.shape) == (shape, left, right)
    assert type(a.grad.array) is type(b.grad.array) is np.ndarray


@pitfall("E24")
@pytest.mark.parametrize(
    ("left", "right"), [((5, 1), (1, 4)), ((1,), (5, 4)), ((5, 1, 1), (1, 1, 3)), ((1, 1), (1, 1))]
)
@pytest.mark.parametrize("name", ["mul", "add"])
def test_axes_of_length_one_are_summed_over_and_kept(name, left, right, device):
    a, b = leaf(device, *left), leaf(device, *right, seed=2)
    y = getattr(mg, name)(a, b)
    y.sum().backward()
    other = (np.broadcast_to(t.numpy(), y.shape) for t in (b, a))
    for t, values in zip((a, b), other, strict=True):
        weights = values if name == "mul" else np.ones(y.shape)
        axes = tuple(range(y.ndim - t.ndim))
        summed = weights.sum(axes)
        kept = tuple(i for i, n in enumerate(t.shape) if n == 1)
        assert t.grad.shape == t.shape
        assert_close(t.grad, summed.sum(kept, keepdims=True), size=y.size)


@pitfall("E25")
def test_numbers_stay_arrays_of_no_axes_on_every_device(device):
    t = leaf(device)
    kind = backend.of(t.array).array_type
    total = t.sum()
    assert total is not t
    assert total.node is not t.node
    for y in (t * 2, total, t.exp(), t.mean(), t.amax()):
        t.grad = None
        y.backward()
        assert (type(y.array), y.shape) == (kind, ())
        assert (type(t.grad.array), t.grad.shape, t.grad.dtype) == (kind, (), mg.float64)


@pitfall("E26")
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "var", "std", "logsumexp"])
def test_reductions_of_vectors_and_of_axes_of_length_one(name):
    f = getattr(mg, name)
    options = {"correction": 0} if name in ("var", "std") else {}
    vector, column = mg.tensor([3.0, 1.0, 7.0]).double(), leaf("cpu", 3, 1)
    assert f(vector, 0, **options).shape == f(vector, -1, **options).shape == ()
    check_grads(lambda x: f(x, 0, **options), vector)
    assert f(column, 1, **options).shape == (3,)
    assert f(column, (0, 1), keepdims=True, **options).shape == (1, 1)
    if name != "std":  # of one value it stands at its kink
        check_grads(lambda x: f(x, 1, **options), column)


@pitfall("E26", "E51")
@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("name", ["var", "std"])
def test_derivatives_of_the_spread_for_either_divisor(name, correction):
    x = mg.tensor([[3.0, 1.0, 7.0], [2.0, -4.0, 6.0]]).double()
    for axis in (None, 1, -2, (0, 1)):
        if not (name == "std" and axis == -2):  # of two values it is linear
            check_grads(lambda x, a=axis: getattr(mg, name)(x, a, correction=correction), x)


@pitfall("E51")
def test_the_spread_of_one_value_has_no_unbiased_estimate():
    x = mg.tensor([3.0], requires_grad=True)
    y = x.var()
    y.backward()
    assert np.isnan([y.item(), x.grad.item()]).all()
    assert "NaN unless n > correction" in mg.var.__doc__
    x.grad = None
    y = x.var(correction=0)
    y.backward()
    assert (y.item(), x.grad.tolist()) == (0.0, [0.0])


@pitfall("E28")
def test_empty_arrays(device):
    x = mg.zeros(0, 3, device=device, requires_grad=True)
    x.sum().backward()
    assert x.sum().item() == 0.0
    assert x.grad.shape == (0, 3)
    x.grad = None
    mean = x.mean()
    mean.backward()
    assert np.isnan(mean.item())
    assert "NaN over nothing" in mg.mean.__doc__
    assert x.grad.shape == (0, 3)
    for name in ("amax", "amin", "max", "min"):
        with pytest.raises(ShapeError, match=name):
            getattr(x, name)()


@pitfall("E28")
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "composed"])
def test_layers_on_a_batch_of_none(fused, device):
    layers = {
        (0, 3): nn.Linear(3, 2),
        (0, 3, 5, 5): nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2)),
    }
    for shape, layer in layers.items():
        layer = layer.to(device)
        x = mg.zeros(*shape, device=device, requires_grad=True)
        with mg.unfused() if not fused else mg.kernels():
            y = layer(x)
            y.sum().backward()
        assert (y.shape[0], x.grad.shape) == (0, shape)
        assert all((p.grad.numpy() == 0).all() for p in layer.parameters())


REARRANGED = {
    "reshape(-1)": lambda x: x.reshape(-1),
    "transpose(-1, -2)": lambda x: x.transpose(-1, -2),
    "transpose(-3, 1)": lambda x: x.transpose(-3, 1),
    "permute(-1, 0, -2)": lambda x: x.permute(-1, 0, -2),
    "flip": lambda x: x.flip((0, -1)),
    "x[::-1]": lambda x: x[::-1],
    "x[::-2]": lambda x: x[::-2],
    "x[..., None]": lambda x: x[..., None],
    "x[..., 1]": lambda x: x[..., 1],
    "x[0, ..., 1:]": lambda x: x[0, ..., 1:],
    "x[mask]": lambda x: x[np.arange(4) % 2 == 0],
    "x[whole mask]": lambda x: x[np.arange(24).reshape(4, 3, 2) % 3 == 0],
    "x[[]]": lambda x: x[[]],
    "slice and array": lambda x: x[1:, [0, 2, 0]],
    "array, slice, array": lambda x: x[[0, 1, 1], :, [1, 0, 0]],
    "array and number": lambda x: x[[0, 1], 1],
    "tuple": lambda x: x[(0, 2)],
    "list": lambda x: x[[0, 2]],
    "0-d index": lambda x: x[np.array(2)],
}


@pitfall("E29", "E31")
@pytest.mark.parametrize("name", REARRANGED)
def test_rearranged_values_carry_their_gradients_back(name, device):
    f, x = REARRANGED[name], leaf(device, 4, 3, 2)
    place = np.arange(24.0).reshape(4, 3, 2)
    taken = f(mg.tensor(place, device=device)).numpy()  # which values f takes
    y = f(x)
    weights = np.random.default_rng(3).uniform(1, 2, y.shape)
    y.backward(mg.tensor(weights, device=device))
    expected = np.bincount(taken.astype(int).ravel(), weights.ravel(), 24).reshape(4, 3, 2)
    np.testing.assert_array_equal(y.numpy().ravel(), x.numpy().ravel()[taken.astype(int).ravel()])
    assert_close(x.grad, expected)


@pitfall("E30")
def test_what_is_read_twice_counts_twice_on_every_device(device):
    for index in ([0, 0, 1], np.array([0, 0, 1]), mg.tensor([0, 0, 1], device=device)):
        x = mg.zeros(4, device=device, requires_grad=True)
        x[index].sum().backward()
        assert x.grad.tolist() == [2.0, 1.0, 0.0, 0.0]


@pitfall("E31", "E83")
def test_an_index_out_of_range_is_an_error_on_the_cpu_and_documented_on_the_gpu():
    for key in (4, [0, -5], (slice(None), 3), np.array([[9]])):
        with pytest.raises(IndexError, match="out of bounds"):
            leaf("cpu", 4, 3)[key]
    for name in ("getitem", "gather"):
        assert "out of range" in " ".join(registry[name].doc.split())
        assert "wrap" in registry[name].doc


JOINED = {
    "cat": lambda a, b: mg.cat([a, b, a], axis=1),
    "stack": lambda a, b: mg.stack([a, b], axis=-1),
    "split": lambda a, b: sum(part * b for part in mg.split(a, 1, axis=0)),
    "split of a sum": lambda a, b: mg.cat(list(mg.split(a + b, [1, 2], axis=1)), axis=1),
    "pad": lambda a, b: mg.pad(a, (1, 2)) * mg.pad(b, (1, 2)),
    "where": lambda a, b: mg.where(mg.tensor(MASK, device=a.device), a, b),
}
MASK = np.array([[True, False, True], [False, True, True]])


@pitfall("E32")
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("name", JOINED)
def test_inputs_of_which_some_require_grad(name, wanted, device):
    both = leaf(device, 2, 3), leaf(device, 2, 3, seed=2)
    JOINED[name](*both).sum().backward()
    some = [t.detach().requires_grad_(w) for t, w in zip(both, wanted, strict=True)]
    y = JOINED[name](*some).sum()
    assert y.requires_grad == any(wanted)
    if any(wanted):
        y.backward()
    for t, w, whole in zip(some, wanted, both, strict=True):
        if w:
            assert_close(t.grad, whole.grad)
        else:
            assert t.grad is None


# ---- dtypes --------------------------------------------------------------------------------------

SAMPLED = [name for name, each in registry.items() if each.samples]
PARTNERS = {
    "int": 1,
    "float": 0.5,
    "bool": True,
    "np.float32": np.float32(0.5),
    "np.float64": np.float64(0.5),
    "np.int64": np.int64(1),
    "0-d float64 array": np.array(0.5),
    "0-d int array": np.array(1),
}


@pitfall("E33", "E37")
@pytest.mark.parametrize("name", sorted(set(SAMPLED) - {"cast"}))  # which is there to widen
def test_float32_stays_float32_in_value_and_gradient(name):
    for seed in range(4):
        s = Sample.of(registry[name], Draw.seeded(seed))
        wide, narrow = (s.tensors(dtype) for dtype in (np.float64, np.float32))
        for y, z in zip(listed(s.call(*narrow)), listed(s.call(*wide)), strict=True):
            assert y.dtype == (np.float32 if z.dtype == np.float64 else z.dtype)
        assert {g.dtype for g in s.gradients(narrow) if g is not None} <= {mg.float32}


def meets_numbers(op):
    """Whether an op takes two numbers or arrays that broadcast, of which one learns at least."""
    if len(op.inputs) != 2 or not op.method or not op.differentiable:
        return False
    try:
        y = op.call(np.ones(2), np.ones((3, 1)))
    except Exception:
        return False
    return getattr(y, "shape", None) == (3, 2)


@pitfall("E33")
@pytest.mark.parametrize("partner", PARTNERS)
@pytest.mark.parametrize("name", [n for n in registry if meets_numbers(registry[n])])
def test_a_number_beside_a_float32_tensor_does_not_widen_it(name, partner):
    op, number = registry[name], PARTNERS[partner]
    for values in ((None, number), (number, None)):
        x = mg.tensor([0.25, 0.75], requires_grad=True)
        y = op.call(*[x if v is None else v for v in values])
        y.sum().backward()
        assert (y.dtype, x.grad.dtype) == (mg.float32, mg.float32)


@pitfall("E33")
def test_the_ops_that_meet_numbers_are_found():
    found = {name for name in registry if meets_numbers(registry[name])}
    assert {"add", "sub", "mul", "div", "pow", "maximum", "minimum"} <= found


@pitfall("E36")
def test_float16_leaves_its_range_with_a_warning_and_goes_on(device):
    x = mg.ones(2, dtype=mg.float16, device=device, requires_grad=True)
    with np.errstate(over="ignore"):
        y = x * 65536.0
        y.sum().backward()
    assert y.tolist() == [np.inf, np.inf]
    assert (y.dtype, x.grad.dtype, x.grad.tolist()) == (mg.float16, mg.float16, [np.inf, np.inf])
    assert "65504" in mg.dtypes.__doc__


@pitfall("E36")
def test_float16_is_summed_in_a_wider_dtype(device):
    x = mg.full((70_000,), 2.0, dtype=mg.float16, device=device)
    ones = mg.full((4096,), 0.25, dtype=mg.float16, device=device)
    assert x.mean().item() == 2.0
    assert x.var().item() == 0.0
    assert ones.sum().item() == 1024.0  # added up in float16 it ends at 512
    assert ones.dtype == ones.sum().dtype == mg.float16


@pitfall("E39")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", sorted(SAMPLED))
def test_no_op_raises_a_floating_point_error_inside_its_domain(name, dtype):
    under = "ignore" if dtype == "float16" else "raise"  # 6e-8 is float16's smallest number
    with np.errstate(all="raise", under=under):
        for seed in range(3):
            s = Sample.of(registry[name], Draw.seeded(seed))
            s.gradients(s.tensors(dtype), create_graph=True)
            s.gradients(s.tensors(dtype))


# ---- numerics of ops -----------------------------------------------------------------------------


def slopes(f, *values):
    """f's value and its gradients at float64 numbers."""
    leaves = [mg.tensor(v, dtype=mg.float64, requires_grad=True) for v in values]
    y = f(*leaves)
    return y.item(), [g.item() for g in mg.grad(y, leaves)]


@pitfall("E40")
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("g", "expected"),
    [([1, 1], [np.inf, 0.25]), ([-2, 4], [-np.inf, 1]), ([0, 1], [0, 0.25]), ([0, 0], [0, 0])],
)
def test_the_root_of_zero_has_an_infinite_slope_that_nothing_passes(
    g, expected, create_graph, device
):
    x = mg.tensor([0.0, 4.0], device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x.sqrt().backward(mg.tensor(g, device=device).float(), create_graph=create_graph)
    assert x.grad.tolist() == expected
    assert "slope at 0 is infinite" in mg.sqrt.__doc__


@pitfall("E40")
def test_the_push_through_a_root_of_zero_is_infinite_not_zero():
    x = mg.tensor([0.0, 4.0], dtype=mg.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        _, pushed = func.jvp(mg.sqrt, (x,), (mg.ones_like(x),))
        jacobian = func.jacobian(mg.sqrt)(x)
    assert pushed.tolist() == [np.inf, 0.25]
    assert jacobian.tolist() == [[np.inf, 0.0], [0.0, 0.25]]


@pitfall("E41")
def test_kinks_have_the_slopes_that_are_documented(device):
    x = mg.tensor([-1.0, 0.0, 1.0], device=device, requires_grad=True)
    documented = {
        "abs": ([-1, 0, 1], "0 at 0"),
        "sign": ([0, 0, 0], "0"),
        "relu": ([0, 0, 1], "0 at 0"),
    }
    for name, (expected, words) in documented.items():
        assert mg.grad(getattr(x, name)().sum(), x)[0].tolist() == expected
        assert words in registry[name].doc
    assert mg.grad(x.clip(-1.0, 0.0).sum(), x)[0].tolist() == [1, 1, 0]
    assert "1 at the bounds" in registry["clip"].doc
    assert mg.grad(mg.maximum(x, x).sum(), x)[0].tolist() == [1, 1, 1]
    assert mg.grad(mg.minimum(x, x).sum(), x)[0].tolist() == [1, 1, 1]


@pitfall("E42")
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_norm_at_zero_has_slope_zero(create_graph, device):
    for f in (lambda x: x.norm(), lambda x: x.norm() ** 2, lambda x: x.norm(axis=0)):
        x = mg.zeros(3, device=device, requires_grad=True)
        y = f(x)
        y.backward(create_graph=create_graph)
        assert y.item() == 0.0
        assert x.grad.tolist() == [0.0, 0.0, 0.0]


@pitfall("E42")
def test_a_row_of_zeros_leaves_the_norms_of_other_rows_alone(device):
    x = mg.tensor([[0.0, 0.0], [3.0, 4.0]], device=device, requires_grad=True)
    y = x.norm(axis=1)
    y.sum().backward()
    assert y.tolist() == [0.0, 5.0]
    assert_close(x.grad, np.array([[0, 0], [0.6, 0.8]], np.float32))


NAN = np.nan
POWERS = {  # base, exponent: value, slope of the base, slope of the exponent
    (0, 0): (1, 0, 0),
    (0, 1): (0, 1, 0),
    (0, 2): (0, 0, 0),
    (0, 0.5): (0, np.inf, 0),
    (0, 1.5): (0, 0, 0),
    (0, 3): (0, 0, 0),
    (0, -1): (np.inf, -np.inf, -np.inf),
    (-2, 2): (4, -4, NAN),
    (-2, 0.5): (NAN, NAN, NAN),
    (2, 3): (8, 12, 8 * np.log(2)),
}


@pitfall("E43")
@pytest.mark.parametrize(("base", "exponent"), POWERS)
def test_powers_and_their_slopes(base, exponent):
    value, of_base, of_exponent = POWERS[base, exponent]
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = slopes(lambda a: a**exponent, base)
        both = slopes(lambda a, b: a**b, base, exponent)
    np.testing.assert_allclose([alone[0], *alone[1]], [value, of_base], rtol=1e-15)
    np.testing.assert_allclose([both[0], *both[1]], [value, of_base, of_exponent], rtol=1e-15)


@pitfall("E43")
@pytest.mark.parametrize("exponent", [2, 2.0, mg.tensor(2.0).double()], ids=["int", "float", "mg"])
def test_no_logarithm_is_taken_for_an_exponent_that_does_not_learn(exponent):
    with np.errstate(all="raise"):
        assert slopes(lambda a: a**exponent, -2.0) == (4.0, [-4.0])


@pitfall("E44")
def test_where_computes_both_branches_and_the_recipe_avoids_it(device):
    x = mg.tensor([-1.0, 0.0, 4.0], device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        (trapped,) = mg.grad(mg.where(x > 0, mg.log(x), 0).sum(), x)
    np.testing.assert_array_equal(trapped.numpy(), [0, NAN, 0.25])
    safe = mg.where(x > 0, mg.log(mg.where(x > 0, x, 1)), 0).sum()
    assert mg.grad(safe, x)[0].tolist() == [0, 0, 0.25]
    assert "where(x > 0, log(where(x > 0, x, 1)), 0)" in mg.where.__doc__


@pitfall("E44")
def test_a_root_in_a_where_needs_no_recipe_for_its_gradient(device):
    x = mg.tensor([-1.0, 0.0, 4.0], device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        mg.where(x > 0, mg.sqrt(x), 0).sum().backward()
    assert x.grad.tolist() == [0, 0, 0.25]


@pitfall("E45")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saturated_functions_raise_no_warning(dtype):
    x = mg.tensor([-1000.0, 0.0, 1000.0], dtype=dtype, requires_grad=True)
    expected = {"tanh": [-1, 0, 1], "sigmoid": [0, 0.5, 1]}
    slope = {"tanh": [0, 1, 0], "sigmoid": [0, 0.25, 0]}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for name, values in expected.items():
            y = getattr(x, name)()
            assert y.tolist() == values
            assert mg.grad(y.sum(), x)[0].tolist() == slope[name]
        low = x[:2].expm1()
        assert low.tolist() == [-1, 0]
        assert mg.grad(low.sum(), x)[0].tolist() == [0, 1, 0]


@pitfall("E45")
@pytest.mark.parametrize("x", [1e-300, 1e-17, -1e-9, 1e-5, 1000.0])
def test_logarithms_and_exponentials_near_one_keep_their_digits(x):
    value, (slope,) = slopes(mg.log1p, x)
    np.testing.assert_allclose([value, slope], [math.log1p(x), 1 / (1 + x)], rtol=1e-15)
    if x < 1:
        value, (slope,) = slopes(mg.expm1, x)
        np.testing.assert_allclose([value, slope], [math.expm1(x), math.exp(x)], rtol=1e-15)


@pitfall("E45")
def test_the_logarithm_at_zero_is_minus_infinity_with_an_infinite_slope():
    with np.errstate(divide="ignore"):
        assert slopes(mg.log, 0.0) == (-np.inf, [np.inf])
        assert slopes(mg.log1p, -1.0) == (-np.inf, [np.inf])


@pitfall("E46")
@pytest.mark.parametrize("row", [[1000.0, -1000, 0], [5.0, 5, 5], [0.0, -np.inf, 1], [7.0]])
def test_softmax_and_its_relatives_at_extremes(row, device):
    x = mg.tensor(row, dtype=mg.float64, device=device, requires_grad=True)
    g = mg.tensor(np.arange(1.0, len(row) + 1), device=device)
    for y in (x.softmax(0), x.log_softmax(0)):
        (gradient,) = mg.grad(y, x, g)
        assert abs(gradient.sum().item()) < 1e-15 * len(row) * 4
        assert np.isfinite(gradient.numpy()).all()
    assert abs(x.softmax(0).sum().item() - 1) < 1e-15
    assert abs(x.log_softmax(0).exp().sum().item() - 1) < 1e-15
    assert_close(mg.grad(x.logsumexp(), x)[0], x.softmax(0).detach(), size=len(row))


@pitfall("E46")
def test_of_nothing_but_minus_infinity_softmax_is_nan_as_in_pytorch(device):
    x = mg.full((3,), -np.inf, device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(x.softmax(0).numpy()).all()
        assert np.isnan(x.log_softmax(0).numpy()).all()
        total = x.logsumexp()
        assert total.item() == -np.inf
        assert np.isnan(mg.grad(total, x)[0].numpy()).all()


@pitfall("E48")
@pytest.mark.parametrize("name", ["amax", "amin", "max", "min"])
@pytest.mark.parametrize("row", [[3.0, 1, 3, 3], [1.0, 1, 1, 1], [0.0, -0.0, 0, 0], [np.inf] * 4])
def test_ties_share_a_gradient_whose_weights_sum_to_one(name, row, device):
    x = mg.tensor([row, row[::-1]], device=device, requires_grad=True)
    total = getattr(x, name)()
    hit = x.numpy() == total.item()
    assert_close(mg.grad(total, x)[0], (hit / hit.sum()).astype(np.float32))
    along = getattr(x, name)(axis=1)
    values = along if isinstance(along, mg.Tensor) else along[0]
    (gradient,) = mg.grad(values.sum(), x)
    assert_close(gradient.sum(1), np.ones(2, np.float32))
    best = x.numpy() == values.numpy()[:, None]
    if name in ("amax", "amin"):  # shared evenly
        assert_close(gradient, (best / best.sum(1, keepdims=True)).astype(np.float32))
    else:  # the index that was returned
        chosen = np.arange(4) == along[1].numpy()[:, None]
        assert (best & chosen).any(1).all()
        np.testing.assert_array_equal(gradient.numpy(), chosen)


@pitfall("E48")
@pytest.mark.parametrize("name", ["amax", "amin", "max", "min"])
def test_nan_wins_an_extreme_and_gets_its_gradient(name, device):
    x = mg.tensor([1.0, np.nan, 3.0, 0.0], device=device, requires_grad=True)
    y = getattr(x, name)()
    y.backward()
    assert np.isnan(y.item())
    assert x.grad.tolist() == [0, 1, 0, 0]
    along = getattr(x, name)(axis=0)
    assert np.isnan((along if isinstance(along, mg.Tensor) else along[0]).item())


@pitfall("E49")
def test_the_gradient_of_pooling_goes_to_one_winner_and_is_lost_nowhere(device):
    x = mg.ones(2, 1, 4, 6, device=device, requires_grad=True)
    y = F.max_pool2d(x, 2)
    g = np.random.default_rng(0).integers(1, 9, y.shape).astype(np.float32)
    y.backward(mg.tensor(g, device=device))
    assert x.grad.sum().item() == g.sum()
    assert (x.grad.numpy() != 0).sum() == y.size


@pitfall("E50")
def test_division_by_zero_follows_ieee_in_value_and_gradient(device):
    a = mg.tensor([1.0, -1.0, 0.0], device=device, requires_grad=True)
    b = mg.zeros(3, device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = a / b
        y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), [np.inf, -np.inf, NAN])
    assert a.grad.tolist() == [np.inf] * 3
    np.testing.assert_array_equal(b.grad.numpy(), [-np.inf, np.inf, NAN])
    x = mg.zeros(1, device=device, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        (x / x).backward()
    assert np.isnan(x.grad.item())


# ---- Python protocol -----------------------------------------------------------------------------


@pitfall("E55", "E77")
@pytest.mark.parametrize("left", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0)])
def test_a_number_on_the_left_makes_one_node_where_the_tensor_lives(left, device):
    t = mg.tensor([0.5, 1.0], device=device, requires_grad=True)
    for y, g in ((left * t, 2), (left - t, -1), (left + t, 1), (left / t, None), (left**t, None)):
        assert type(y) is mg.Tensor
        assert (y.shape, y.dtype, y.device) == ((2,), mg.float32, t.device)
        assert t.node in y.node.parents
        gradient = mg.grad(y.sum(), t)[0]
        assert g is None or gradient.tolist() == [g, g]


@pitfall("E57")
def test_an_array_of_tensors_is_made_or_refused_at_once(device):
    tensors = [mg.zeros(200, 200, device=device, requires_grad=True) for _ in range(2)]

    def seconds():
        start = time.perf_counter()
        if device == "cpu":
            assert np.array(tensors).shape == (2, 200, 200)
        else:
            with pytest.raises(TypeError, match=r"\.cpu\(\)"):
                np.array(tensors)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.01


@pitfall("E60")
def test_a_pickle_holds_the_values_of_a_gpu_and_no_pointer(cuda):
    t = leaf(cuda, 3)
    (t * t).sum().backward()
    text = pickle.dumps(t)
    assert b"cupy" not in text
    again = pickle.loads(text)
    assert again.device == "cpu"
    assert (again.tolist(), again.grad.tolist()) == (t.tolist(), t.grad.tolist())
    model = nn.Linear(3, 2).to(cuda)
    model(mg.ones(1, 3, device=cuda)).sum().backward()
    assert b"cupy" not in pickle.dumps(model)


@pitfall("E60")
def test_a_trip_through_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    x = mg.randn(5, 3)
    y = model(x).exp()
    y.sum().backward()
    joblib.dump({"model": model, "leaf": x, "result": y}, tmp_path / "all.joblib")
    again = joblib.load(tmp_path / "all.joblib")
    old, new = model.state_dict(), again["model"].state_dict()
    assert {name: t.tolist() for name, t in old.items()} == {n: t.tolist() for n, t in new.items()}
    assert again["leaf"].tolist() == x.tolist()
    assert again["result"].is_leaf
    again["model"](x).sum().backward()


# ---- processes -----------------------------------------------------------------------------------

FORKED = """
import os, sys
import numpy as np
import minigrad as mg
from minigrad import nn, optim

def train():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 2))
    step = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(mg.randn(256, 64)), np.arange(256) % 2)
        step.zero_grad()
        loss.backward()
        step.step()
    return loss.item()

before = train()
child = os.fork()
if child == 0:
    os._exit(0 if train() == before else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, "the child computed something else"
assert train() == before
"""
FORKED_GPU = """
import os
import cupy_standin
cupy_standin.install(cupy_standin.modules)
import minigrad as mg

t = mg.ones(2, device="cuda")
child = os.fork()
if child == 0:
    try:
        mg.zeros(1, device="cuda")
    except mg.DeviceError as error:
        print(error, flush=True)
        print((mg.ones(2) + 1).tolist(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print((t + 1).tolist())
"""
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def ran(code):
    """What a fresh Python prints."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
                          capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@forking
@pitfall("E68")
def test_a_child_process_goes_on_where_its_parent_used_the_cpu():
    assert ran(FORKED) == []


@forking
@pitfall("E68")
def test_a_child_of_a_process_that_used_the_gpu_is_told_what_to_do():
    message, on_the_cpu, in_the_parent = ran(FORKED_GPU)
    assert re.search("fork.*spawn", message)
    assert on_the_cpu == in_the_parent == "[2.0, 2.0]"


# ---- memory --------------------------------------------------------------------------------------


def kept_by(f):
    """The bytes that each op of f keeps for its backward."""
    events = []
    with mg.watch(events.append):
        f()
    return [(event.name, event.kept) for event in events]


@pitfall("E74")
def test_ops_keep_the_bytes_that_their_rules_need():
    x = mg.tensor(np.ones((1000, 10)), requires_grad=True)  # 80 kB
    y = mg.tensor(np.ones((1000, 10)), requires_grad=True)
    weight, bias = (mg.tensor(np.ones(10), requires_grad=True) for _ in range(2))
    assert kept_by(lambda: x + y) == [("add", 0)]
    assert kept_by(lambda: x - y) == [("sub", 0)]
    assert kept_by(lambda: x.sum()) == [("sum", 0)]
    assert kept_by(lambda: x.reshape(-1)) == [("reshape", 0)]
    assert kept_by(lambda: x * y) == [("mul", 160_000)]
    assert kept_by(lambda: x.relu()) == [("relu", 80_000)]  # its output, which lives anyway
    ((name, kept),) = kept_by(lambda: F.batch_norm(x, None, None, weight, bias, training=True))
    assert name == "batch_norm"
    assert kept <= 80_000 + 4 * 80  # x for x̂; of each channel mean, 1/σ, weight and bias


@pitfall("E74", "E75")
def test_fused_batch_norm_keeps_far_less_than_the_composed():
    x = mg.tensor(np.random.default_rng(0).normal(size=(2000, 10)), requires_grad=True)

    def peak(fused):
        gc.collect()
        tracemalloc.start()
        F.batch_norm(x, None, None, training=True, fused=fused).sum().backward()
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        x.grad = None
        return top

    assert peak(fused=True) < 0.6 * peak(fused=False)
