"""Finding mistakes: `detect_anomaly`, and what an error inside a rule says."""

import asyncio
import contextlib
import gc
import inspect
import math
import os
import re
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import anomaly, func, graph, nn
from minigrad.op import fused, op
from minigrad.testing import assert_close

# NumPy warns where it makes a NaN; who uses detect_anomaly has seen these warnings already
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")

INF, NAN = math.inf, math.nan
both_modes = pytest.mark.parametrize("create_graph", [False, True])
floats = pytest.mark.parametrize("dtype", [mg.float16, mg.float32, mg.float64])


@pytest.fixture(autouse=True)
def nothing_left():
    """Every test leaves the engine as it was: unwatched, uninspected, and in working order."""
    yield
    gc.collect()
    assert op_is_unwatched()
    assert graph.inspector is None
    assert not anomaly.detecting.get()
    assert len(graph.places) == len(anomaly._prints) == 0
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    assert_close(x.grad, 2 * x.numpy())


def op_is_unwatched():
    return "seen" not in mg.mul.__code__.co_names


def leaf(*values, dtype=mg.float64):
    return mg.tensor(list(values), dtype=dtype, requires_grad=True)


def here(offset=0):
    """`file:line` of the caller, or of a line near it."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset},"


def whole(caught):
    """All that a traceback shows of an error."""
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def raises(*patterns, kind=mg.GraphError):
    return pytest.raises(kind, match=".*".join(patterns))


# ---- a NaN in the forward ------------------------------------------------------------------------


@floats
def test_a_nan_of_an_op_raises_with_op_shape_dtype_and_line(dtype):
    x = leaf(-1.0, 2.0, 3.0, dtype=dtype)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError) as caught:
        x.log()
    given = re.escape(f"log({np.dtype(dtype)} (3,)) made NaN in 1 of 3 elements")
    assert re.match(given, str(caught.value))
    assert here(-3) in str(caught.value)
    assert f"in {inspect.currentframe().f_code.co_name}: x.log()" in str(caught.value)


def test_outside_a_nan_does_not_raise():
    assert np.isnan(leaf(-1.0).log().numpy()).all()


def test_a_nan_that_an_input_had_does_not_raise():
    with mg.detect_anomaly():
        for value in (leaf(NAN, 1.0), NAN, np.float32(NAN), np.array([NAN, 1.0])):
            assert np.isnan((leaf(1.0, 2.0) * value + 1).numpy()).any()


def test_a_nan_beside_integers_and_conditions():
    with mg.detect_anomaly():
        mg.where(mg.tensor([True, False]), leaf(NAN, 1.0), 0.0)
        with raises(r"div\(float32 \(2,\)"):
            mg.tensor([0, 1]) / mg.tensor([0, 1])


@pytest.mark.parametrize(
    "make",
    [lambda: mg.tensor([0.0]).log(), lambda: mg.tensor([1.0]) / 0.0, lambda: -mg.tensor([INF])],
    ids=["log", "div", "neg"],
)
def test_infinities_do_not_raise(make):
    with mg.detect_anomaly():
        assert np.isinf(make().numpy()).all()


def test_a_nan_made_of_infinities_raises_and_says_so():
    x = leaf(INF, 1.0)
    with mg.detect_anomaly(), raises("sub", "1 of 2", "one has infinities"):
        x - x


def test_a_result_without_elements_or_axes():
    with mg.detect_anomaly():
        mg.zeros(0).exp()
        with raises(r"mean\(float32 \(0,\)\) made NaN in 1 of 1"):
            mg.zeros(0).mean()
        with raises(r"log\(float64 \(\)\)"):
            mg.tensor(-1.0, dtype=mg.float64).log()


def test_what_is_not_recorded_is_looked_at_too():
    with mg.detect_anomaly():
        with raises("log", re.escape(here(1))), mg.no_grad():
            mg.log(leaf(-1.0))
        with raises("log", re.escape(here(1))):
            mg.log(np.array([-1.0]))  # bare arrays


def test_an_op_with_several_outputs():
    @op(None, method=False)
    def t_several(xp, x):
        return x * 1, xp.log(x)

    with mg.detect_anomaly():
        assert len(t_several(leaf(1.0, 2.0))) == 2
        with raises("t_several", "1 of 4 elements"):
            t_several(leaf(-1.0, 2.0))


def test_a_constant_output_is_looked_at_too():
    @op(lambda g: g, constant=(1,), method=False)
    def t_constant(xp, x):
        return x * 1, xp.log(x)

    with mg.detect_anomaly(), raises("t_constant"):
        t_constant(leaf(-1.0))


def test_an_op_of_any_number_of_inputs():
    with mg.detect_anomaly():
        mg.cat([leaf(NAN), leaf(1.0)])

    @op(method=False)
    def t_logs(xp, *xs):
        return xp.log(xs[0] * xs[1])

    with mg.detect_anomaly(), raises(r"t_logs\(float64 \(1,\), float64 \(1,\)\)"):
        t_logs([leaf(-1.0), leaf(1.0)])


def test_a_composed_op_is_told_by_its_primitive():
    with mg.detect_anomaly(), mg.unfused(), raises(r"^(?!batch_norm)\w+\(", re.escape(here(1))):
        nn.BatchNorm1d(2)(mg.full((3, 2), INF))


# ---- a NaN in backward ---------------------------------------------------------------------------


def nan_rule(name="t_nan", several=False):
    """An op whose rule makes NaN where its input is negative."""

    def gradient(g, x):
        return g * mg.where(x < 0, NAN, 1.0)

    def forward(xp, x):
        return x * 1

    forward.__name__ = name
    return op(gradient, method=False)(forward)


@floats
@both_modes
def test_a_nan_of_a_rule_names_op_shapes_and_the_forwards_line(dtype, create_graph):
    f = nan_rule()
    x = leaf(-1.0, 2.0, dtype=dtype)
    with mg.detect_anomaly():
        y = f(x)
        line = here(-1)
        loss = y.sum()
        with pytest.raises(mg.GraphError) as caught:
            loss.backward(create_graph=create_graph)
    text = str(caught.value)
    assert "the rule of t_nan made NaN in the gradient of x, in 1 of 2 elements" in text
    assert f"inputs (2,); output and cotangent {np.dtype(dtype)} (2,)" in text
    assert f"{line} in {inspect.currentframe().f_code.co_name}: y = f(x)" in text
    assert x.grad is None


@both_modes
def test_grad_finds_it_as_backward_does(create_graph):
    f = nan_rule()
    x = leaf(-1.0)
    with mg.detect_anomaly(), raises("t_nan made NaN"):
        mg.grad(f(x).sum(), x, create_graph=create_graph)


@both_modes
def test_a_nan_that_the_cotangent_had_does_not_raise(create_graph):
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        (x * x).backward(mg.tensor([NAN, 1.0], dtype=mg.float64), create_graph=create_graph)
    assert np.isnan(x.grad.numpy()).tolist() == [True, False]


@both_modes
def test_a_nan_that_comes_of_a_saved_one_raises_and_says_so(create_graph):
    w = leaf(1.0, 2.0)
    with mg.detect_anomaly(), raises("mul made NaN in the gradient of a", "its saved 'b' had"):
        y = w * mg.tensor([NAN, 1.0], dtype=mg.float64)  # data with a hole
        mg.where(mg.isnan(y), 0.0, y).sum().backward(create_graph=create_graph)


@both_modes
def test_a_gradient_that_nobody_wants_is_not_looked_at(create_graph):
    @op(lambda g: g, lambda g: g * NAN, method=False)
    def t_half(xp, a, b):
        return a + b

    x, b = leaf(1.0), leaf(2.0)
    with mg.detect_anomaly():
        (g,) = mg.grad(t_half(x, b).sum(), x, create_graph=create_graph)
        assert g.item() == 1
        with raises("gradient of b"):
            mg.grad(t_half(x, b).sum(), b, create_graph=create_graph)


@both_modes
def test_a_nan_that_a_rule_masks_does_not_raise(create_graph):
    @op(lambda g, x: mg.where(x > 0, g * mg.log(x), 0.0), method=False)
    def t_masked(xp, x):
        return x * 1

    x = leaf(-1.0, 1.0)
    with mg.detect_anomaly():
        t_masked(x).sum().backward(create_graph=create_graph)
    assert x.grad.tolist() == [0, 0]


@both_modes
def test_infinite_gradients_do_not_raise(create_graph):
    x = leaf(0.0)
    with mg.detect_anomaly():
        x.sqrt().sum().backward(create_graph=create_graph)
    assert x.grad.tolist() == [INF]


@both_modes
@pytest.mark.parametrize("of_a_result", [False, True])
def test_gradients_that_meet_as_infinities_of_both_signs_raise(create_graph, of_a_result):
    x = leaf(1.0)
    with mg.detect_anomaly():
        z = x * 1 if of_a_result else x
        line = here(-1)
        ys = [z * INF, z * -INF, z * 2]
        used = here(-1)
        one = mg.ones(1, dtype=mg.float64)
        with raises("meet at a (leaf|result)", r"\(1,\)", "add up to NaN") as caught:
            mg.grad(ys, x, [one, one, one], create_graph=create_graph)
    assert (line if of_a_result else used) in str(caught.value)


@both_modes
def test_a_gradient_summed_over_a_broadcast_axis_is_looked_at(create_graph):
    x = leaf(1.0)
    with mg.detect_anomaly():
        y = x + mg.zeros(2, dtype=mg.float64)
        line = here(-1)
        with pytest.raises(mg.GraphError) as caught:
            y.backward(mg.tensor([INF, -INF], dtype=mg.float64), create_graph=create_graph)
    assert "in the rule of add" in whole(caught)
    assert line in whole(caught)


@both_modes
def test_several_outputs_in_backward(create_graph):
    @op(method=False)
    def t_pair(xp, x):
        return x * 1, x * 2

    @t_pair.vjp
    def _(g, x):
        return (g[0] + 2 * g[1] + mg.where(x < 0, NAN, 0.0),)

    with mg.detect_anomaly():
        for sign in (1.0, -1.0):
            x = leaf(sign, 1.0)
            first, second = t_pair(x)
            if sign > 0:
                (first.sum() + second.sum()).backward(create_graph=create_graph)
                continue
            with raises("t_pair", r"inputs \(2,\)", r"float64 \(2,\), float64 \(2,\)"):
                second.sum().backward(create_graph=create_graph)


def test_a_nan_of_the_second_derivative_leads_back_to_the_forward():
    @op(lambda g: g * NAN, method=False)
    def t_inner(xp, x):
        return x * 1

    @op(lambda g, x: g * t_inner(x), method=False)
    def t_outer(xp, x):
        return x * 1

    x = leaf(1.0)
    with mg.detect_anomaly():
        y = t_outer(x).sum()
        line = here(-1)
        (g,) = mg.grad(y, x, create_graph=True)
        with raises("t_inner made NaN", "in the rule of t_outer, which ran at", re.escape(line)):
            g.sum().backward()


def test_a_fused_op_without_a_rule_is_told_by_its_references_op():
    bad = nan_rule("t_bad_inside")

    @fused(reference=lambda x: bad(x) * 2)
    def t_fused(xp, x):
        return x * 2

    x = leaf(-1.0)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError) as caught:
        t_fused(x).sum().backward()
    text = whole(caught)
    assert "t_bad_inside made NaN" in text
    assert "in the rule of t_fused" in text
    assert here(-4) in text


@both_modes
def test_a_checkpoint_is_looked_into(create_graph):
    f = nan_rule()
    x = leaf(-1.0)
    with mg.detect_anomaly(), raises("t_nan made NaN", "inside = f", kind=mg.GraphError):

        def inner(x):
            inside = f(x)
            return inside * 2

        func.checkpoint(inner, x).sum().backward(create_graph=create_graph)


def test_a_forward_outside_is_swept_inside_with_a_word_on_how_to_get_the_line():
    y = nan_rule()(leaf(-1.0)).sum()
    with mg.detect_anomaly(), raises("t_nan made NaN", "run the forward inside"):
        y.backward()


def test_a_sweep_outside_is_not_looked_at():
    x = leaf(-1.0)
    with mg.detect_anomaly():
        y = nan_rule()(x).sum()
    y.backward()
    assert np.isnan(x.grad.numpy()).all()
    del y


# ---- silent writes -------------------------------------------------------------------------------


@pytest.mark.pitfall("E17")
@both_modes
def test_a_write_through_the_bare_array_names_op_saved_value_and_line(create_graph):
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with mg.detect_anomaly():
        y = (x * w).sum()
        line = here(-1)
        w.data[0] = 1
        with raises("^mul: its saved 'b', float64", "written", re.escape(line), "x \\* w"):
            y.backward(create_graph=create_graph)
    assert x.grad is None
    assert w.grad is None


def test_a_write_through_a_view_of_the_bare_array():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    with mg.detect_anomaly():
        y = x.reshape(2, 2).exp() * x.reshape(2, 2)
        x.data[::2] = 0
        with raises("mul: its saved 'b'"):
            y.sum().backward()


def test_a_write_between_two_sweeps():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        y = (x * x).sum()
        y.backward(retain_graph=True)
        x.data[0] = 5
        with raises("mul: its saved"):
            y.backward()


def test_a_write_to_what_a_recorded_rule_saved():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        (g,) = mg.grad((x * x * x).sum(), x, create_graph=True)
        x.data[0] = 5
        with raises("its saved"):
            g.sum().backward()


def test_writes_that_harm_nothing_do_not_raise():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        y = (x + 1).sum()  # an addition saves nothing
        x.data[0] = 5
        y.backward()
        (x * x).sum().backward()
        x.data[0] = 6  # after backward
        z = (x * x).sum()
        x.data = np.array([7.0, 8.0])  # rebinds
        z.backward()
    assert_close(x.grad, np.array([1 + 10 + 12, 1 + 4 + 4.0]))


def test_a_write_that_the_clock_saw_keeps_its_own_message():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        y = (x * x).sum()
        line = here(-1)
        with mg.no_grad():
            x[0] = 5
        with raises("was overwritten by t\\[...\\]", re.escape(line)):
            y.backward()


def test_a_whole_training_step_passes():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimiser = mg.optim.Adam(model.parameters(), lr=0.01)
    x, labels = mg.randn(16, 4), mg.randint(0, 3, (16,))
    with mg.detect_anomaly():
        for _ in range(3):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimiser.step()


@both_modes
def test_results_are_the_same_inside(create_graph):
    def results():
        x = leaf(0.5, 1.5)
        (g,) = mg.grad((x.tanh() * x.exp()).sum(), x, create_graph=create_graph)
        return (x.exp() / x).tolist(), g.tolist()

    plain = results()
    with mg.detect_anomaly():
        assert results() == plain


# ---- elsewhere than on the CPU -------------------------------------------------------------------


def test_it_finds_the_same_on_every_device(device):
    x = mg.tensor([1.0, 2.0], device=device, requires_grad=True)
    one = mg.ones(2, device=device)
    with mg.detect_anomaly():
        (x * x).sum().backward()
        assert x.grad.tolist() == [2, 4]
        with raises(r"log\(float32 \(2,\)\) made NaN in 1 of 2"):
            (x - 1.5).log()
        with raises("add up to NaN"):
            mg.grad([x * INF, x * -INF], x, [one, one])
        y = (x * x).sum()
        x.data[0] = 5
        with raises("mul: its saved"):
            y.backward()
        with raises("t_nan made NaN in the gradient of x, in 1 of 2"):
            nan_rule()(x - 3 * one).sum().backward()


# ---- the user's line -----------------------------------------------------------------------------


def logarithm(x):
    return x.log()


def through(x):
    return logarithm(x) * 2


LOG_LINE = logarithm.__code__.co_firstlineno + 1


def test_the_line_is_the_innermost_of_nested_functions():
    with mg.detect_anomaly(), raises(rf"{re.escape(__file__)}:{LOG_LINE}, in logarithm: return"):
        through(leaf(-1.0))


def test_the_line_of_a_module_is_where_it_is_called():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].weight.data[...] = INF
    x = mg.tensor([[1.0, -1.0]])
    with mg.detect_anomaly(), raises("made NaN", re.escape(here(1)), "model\\(x\\)"):
        model(x)


def test_the_line_in_a_users_module_is_its_own():
    class Model(nn.Module):
        def forward(self, x):
            return logarithm(x)

    with mg.detect_anomaly(), raises(f":{LOG_LINE}, in logarithm"):
        Model()(leaf(-1.0))


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x / x,
        lambda x: 0.0 / x,
        lambda x: np.zeros(1) / x,
        lambda x: x.div(x),
        lambda x: mg.div(x, x),
        lambda x: sum([x / x]),
    ],
    ids=["operator", "reflected", "from NumPy", "method", "function", "in a C function"],
)
def test_the_line_of_operators_methods_and_functions(run):
    line = f"{__file__}:{run.__code__.co_firstlineno}, in <lambda>"
    with mg.detect_anomaly(), raises("div", re.escape(line)):
        run(leaf(0.0))


def test_code_without_a_file_has_a_line_without_text():
    names = {"x": leaf(-1.0)}
    with mg.detect_anomaly(), raises(r"it ran at <string>:2, in <module>$"):
        exec("\ny = x.log()", names)


def test_code_whose_file_is_gone_has_a_line_without_text(tmp_path):
    code = compile("y = x.log()", str(tmp_path / "gone.py"), "exec")
    with mg.detect_anomaly(), raises(r"gone\.py:1, in <module>$"):
        exec(code, {"x": leaf(-1.0)})


def test_text_of_a_notebooks_cell_is_shown():
    import linecache

    file, text = "<cell 3>", "y = x.log()\n"  # IPython does so
    linecache.cache[file] = len(text), None, [text], file
    try:
        with mg.detect_anomaly(), raises(r"<cell 3>:1, in <module>: y = x\.log\(\)"):
            exec(compile(text, file, "exec"), {"x": leaf(-1.0)})
    finally:
        del linecache.cache[file]


def test_a_line_of_this_package_is_not_the_users():
    assert os.path.dirname(mg.__file__) + os.sep == anomaly.PACKAGE


# ---- in and out ----------------------------------------------------------------------------------


def detects():
    try:
        leaf(-1.0).log()
    except mg.GraphError:
        return True
    return False


def test_it_holds_inside_and_is_restored():
    assert not detects()
    with mg.detect_anomaly():
        assert detects()
    assert not detects()
    assert op_is_unwatched()


def test_it_nests_and_one_instance_can_be_entered_again():
    same = mg.detect_anomaly()
    with same, mg.detect_anomaly():
        with same:
            assert detects()
        assert detects()
        with raises("^log"):  # told once
            leaf(-1.0).log()
    assert not detects()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_it_is_restored_after_an_exception(error):
    with pytest.raises(error), mg.detect_anomaly():
        raise error
    assert not detects()
    assert op_is_unwatched()


def test_it_decorates_functions_with_or_without_parentheses():
    assert mg.detect_anomaly(detects)()
    assert mg.detect_anomaly()(detects)()
    assert mg.detect_anomaly(detects).__name__ == "detects"
    assert not detects()


def test_it_decorates_generators_and_coroutines():
    @mg.detect_anomaly
    def generate():
        yield detects()
        yield detects()

    @mg.detect_anomaly
    async def run():
        await asyncio.sleep(0)
        return detects()

    found = []
    for inside in generate():
        found += [inside, detects()]
    assert found == [True, False, True, False]
    assert asyncio.run(run())


def test_it_does_not_decorate_a_class():
    with pytest.raises(TypeError, match="detect_anomaly"):
        mg.detect_anomaly(type("Model", (), {}))


def test_it_holds_for_its_thread_only():
    entered, checked, found = threading.Event(), threading.Event(), []

    def other():
        entered.wait(5)
        found.append(detects())
        x = leaf(1.0, 2.0)
        y = (x * x).sum()
        x.data[0] = 3
        y.backward()
        checked.set()

    thread = threading.Thread(target=other)
    thread.start()
    with mg.detect_anomaly():
        entered.set()
        checked.wait(5)
        assert detects()
    thread.join()
    assert found == [False]


def test_two_threads_inside_leave_one_after_the_other():
    first_left, found = threading.Event(), []

    def second(entered):
        with mg.detect_anomaly():
            entered.set()
            first_left.wait(5)
            found.append(detects())

    with mg.detect_anomaly():
        entered = threading.Event()
        thread = threading.Thread(target=second, args=[entered])
        thread.start()
        entered.wait(5)
    assert not detects()
    first_left.set()
    thread.join()
    assert found == [True]


def test_watch_works_inside_and_around():
    around, inside = [], []
    with mg.watch(around.append), mg.detect_anomaly():
        leaf(1.0).exp()
        with mg.watch(inside.append):
            leaf(1.0).log()
    assert [e.name for e in around] == ["exp", "log"]
    assert [e.name for e in inside] == ["log"]


def test_an_op_defined_inside_is_looked_at():
    with mg.detect_anomaly(), raises("t_late"):

        @op(lambda g: g, method=False)
        def t_late(xp, x):
            return xp.log(x)

        t_late(leaf(-1.0))


# ---- nothing is kept -----------------------------------------------------------------------------


@both_modes
def test_nothing_is_kept_after_the_block_and_del(create_graph):
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        with mg.detect_anomaly():
            h = x.exp()
            y = (h * x).sum()
            y.backward(create_graph=create_graph)
        node, values = weakref.ref(h.node), weakref.ref(h)
        x.grad = None  # with create_graph it holds the graph
        del h, y
        assert node() is None
        assert values() is None
        assert len(graph.places) == len(anomaly._prints) == 0
    finally:
        gc.enable()


def test_the_callers_variables_are_not_kept():
    class Big:
        pass

    def run(x):
        big = Big()
        seen.append(weakref.ref(big))
        return x.exp()

    seen = []
    with mg.detect_anomaly():
        y = run(leaf(1.0))
        assert seen[0]() is None
    del y


def test_a_long_chain_is_swept_and_destroyed():
    x = leaf(1.0)
    with mg.detect_anomaly():
        y = x
        for _ in range(5000):
            y = y * 1.0
        y.sum().backward()
        z = x
        for _ in range(5000):
            z = z * 1.0
        del y, z
    assert x.grad.tolist() == [1]


# ---- what an error inside a rule says ------------------------------------------------------------


def op_with_rule(*rules):
    @op(*rules, method=False)
    def t_rule(xp, a, b):
        return xp.matmul(a, b)

    return t_rule


def fails(g, a):
    raise KeyError("planted")


ADVICE = "run the forward inside `with mg.detect_anomaly():` to see its line"


@both_modes
def test_an_error_in_a_rule_says_op_shapes_and_how_to_get_the_line(create_graph):
    f = op_with_rule(lambda g, b: g @ b.mT, fails)
    a, b = mg.ones(2, 3, requires_grad=True), mg.ones(3, 4, requires_grad=True)
    with pytest.raises(KeyError, match="planted") as caught:
        f(a, b).sum().backward(create_graph=create_graph)
    shapes = "inputs (2, 3), (3, 4); output and cotangent float32 (2, 4)"
    assert caught.value.__notes__ == [f"in the rule of t_rule: {shapes}; {ADVICE}"]
    assert a.grad is None


@both_modes
def test_an_error_in_a_rule_says_the_line_inside(create_graph):
    f = op_with_rule(lambda g, b: g @ b.mT, fails)
    a, b = mg.ones(2, 3, requires_grad=True), mg.ones(3, 4, requires_grad=True)
    with mg.detect_anomaly():
        y = f(a, b).sum()
        line = here(-1)
        with pytest.raises(KeyError, match="planted") as caught:
            y.backward(create_graph=create_graph)
    (note,) = caught.value.__notes__
    assert f"it ran at {line}" in note
    assert note.endswith("y = f(a, b).sum()")


def test_an_input_without_a_gradient_is_told_as_such_unless_its_shape_is_kept():
    f = op_with_rule(fails, None)
    with raises(re.escape("inputs (2, 3), no gradient;"), kind=KeyError):
        f(mg.ones(2, 3, requires_grad=True), mg.ones(3, 4)).sum().backward()
    g = op_with_rule(lambda g, in_shapes: g / None, None)
    with raises(re.escape("inputs (2, 3), (3, 4);"), kind=TypeError):
        g(mg.ones(2, 3, requires_grad=True), mg.ones(3, 4)).sum().backward()


def one_input(rule):
    @op(rule, method=False)
    def t_one(xp, x):
        return x * 1

    return t_one


def joint(rule):
    @op(method=False)
    def t_joint(xp, a, b):
        return a * b

    t_joint.vjp(rule)
    return lambda x: t_joint(x, x)


WRONG = {
    "a list": (lambda: one_input(lambda g: [1.0, 2.0]), mg.DTypeError, r"gave \[1.0, 2.0\].*give"),
    "a string": (
        lambda: one_input(lambda g: "ab"),
        mg.DTypeError,
        r"gave 'ab' for an input of shape",
    ),
    "a number": (lambda: one_input(lambda g: 2.0), mg.DTypeError, r"gave 2\.0 .*give an array"),
    "a shape": (
        lambda: one_input(lambda g: g[:1].reshape(1, 1, 1)),
        mg.ShapeError,
        r"\(1, 1, 1\).*\(2,\)",
    ),
    "nothing": (lambda: joint(lambda g: None), mg.DTypeError, "returned None: return a tuple"),
    "one array": (
        lambda: joint(lambda g: g),
        mg.DTypeError,
        r"returned float64 \(2,\): return a tuple",
    ),
    "too few": (lambda: joint(lambda g: (g,)), mg.GraphError, "gave 1 gradients for 2 inputs"),
    "too many": (
        lambda: joint(lambda g: [g, g, g]),
        mg.GraphError,
        "gave 3 gradients for 2 inputs",
    ),
}


@both_modes
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("case", WRONG)
def test_a_rule_that_gives_something_wrong_is_told_so(case, inside, create_graph):
    make, kind, said = WRONG[case]
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly() if inside else contextlib.nullcontext():
        y = make()(x).sum()
        with pytest.raises(kind) as caught:
            y.backward(create_graph=create_graph)
    text = whole(caught)
    assert re.search(said, text)
    assert re.search(r"in the rule of t_\w+: inputs \(2,\)", text)
    assert (f"it ran at {__file__}:" in text) is inside
    assert (ADVICE in text) is not inside
    assert text.count("in the rule of") == 1
    assert x.grad is None


@both_modes
def test_a_numpy_scalar_is_a_gradient_without_axes(create_graph):
    for scalar in (np.float64(2), np.float32(2)):
        f = one_input(lambda g: scalar)  # noqa: B023
        x = mg.tensor(1.0, dtype=mg.float64, requires_grad=True)
        y = f(x)
        (y + y * 0.5).backward(create_graph=create_graph)
        assert x.grad.item() == 2
        assert x.grad.dtype == mg.float64


@both_modes
@pytest.mark.parametrize("case", WRONG)
def test_after_any_such_error_the_engine_works(case, create_graph):
    make, kind, _ = WRONG[case]
    x = leaf(1.0, 2.0)
    with pytest.raises(kind):
        (make()(x) + x).sum().backward(create_graph=create_graph)
    assert x.grad is None
    assert mg.is_grad_enabled()
    (x * x).sum().backward()
    assert_close(x.grad, 2 * x.numpy())


def test_after_an_anomaly_the_next_step_inside_is_right():
    x = leaf(-1.0, 2.0)
    with mg.detect_anomaly():
        for _ in range(2):
            with raises("log"):
                x.log()
            with raises("t_nan"):
                nan_rule()(x).sum().backward()
        (x * x).sum().backward()
    assert_close(x.grad, 2 * x.numpy())
