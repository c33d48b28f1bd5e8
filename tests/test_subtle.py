"""Cases in which an earlier engine of ours was silently wrong, or refused what is right."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, op, optim
from minigrad.nn import functional as F
from minigrad.op import op as define
from minigrad.testing import check_grads

IMAGE = mg.ones(2, 3, 4, 4)


@pytest.fixture
def own_ops():
    before = set(op.registry)
    yield
    for name in set(op.registry) - before:
        del op.registry[name]


def leaf(values, dtype=np.float64):
    return mg.tensor(np.asarray(values, dtype), requires_grad=True)


def test_a_rule_may_use_y_of_an_op_with_a_constant_output(own_ops):
    @define(method=False, constant=(1,))
    def t_exp_and_sign(xp, x):
        """e, sign."""
        return xp.exp(x), xp.sign(x)

    @t_exp_and_sign.vjp
    def _(g, y):
        return (g * y[0],)

    check_grads(lambda x: t_exp_and_sign(x)[0] ** 2, leaf([0.5, 1.0]), order=3)


def test_a_rule_may_use_y_of_an_op_with_two_outputs(own_ops):
    @define(method=False)
    def t_exp_and_sine(xp, x):
        """e, sin."""
        return xp.exp(x), xp.sin(x)

    @t_exp_and_sine.vjp
    def _(g, x, y):
        return (g[0] * y[0] + g[1] * mg.cos(x),)

    def f(x):
        a, b = t_exp_and_sine(x)
        return a * b

    check_grads(f, leaf([0.5, 1.0]), order=3)


def test_create_graph_records_inside_no_grad():
    x = leaf([1.0, 2.0, 3.0])
    y = (x.reshape(3, 1) ** 3).sum()
    with mg.no_grad():
        g, again = mg.grad(y, [x, x], create_graph=True)
    assert again.requires_grad
    (second,) = mg.grad((g * x).sum(), x)
    np.testing.assert_allclose(second.numpy(), 9 * x.numpy() ** 2)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_may_change_what_it_is_given(create_graph):
    x, y, seed = leaf([1.0, 2.0]), leaf([3.0, 4.0]), mg.tensor(np.ones(2))

    def hook(g):
        g *= 10
        return g

    x.register_hook(hook)
    (x + y).backward(seed, create_graph=create_graph)
    assert x.grad.tolist() == [10, 10]
    assert y.grad.tolist() == seed.tolist() == [1, 1]


@pytest.mark.parametrize(
    "use",
    [
        lambda x, a: x * a,
        lambda x, a: a / x,
        lambda x, a: mg.where(a > 2.5, x, 0.0) * a,
        lambda x, a: x @ a,
    ],
)
def test_an_array_that_the_user_changes_later_changes_nothing(use):
    array = np.array([2.0, 3.0])
    x = leaf([1.0, 2.0])
    y = use(x, array).sum()
    (right,) = mg.grad(use(x, array.copy()).sum(), x)
    array[:] = 100
    (g,) = mg.grad(y, x)
    assert g.tolist() == right.tolist()


def test_an_index_that_the_user_changes_later_changes_nothing():
    x, index = leaf([[1.0, 2.0]]), np.array([[0, 1]])
    y = x.gather(1, index).sum()
    index[:] = 0
    y.backward()
    assert x.grad.tolist() == [[1, 1]]


@pytest.mark.pitfall("E4")
def test_a_seed_that_the_user_changes_later_changes_nothing():
    x, seed = leaf([1.0, 2.0]), np.ones(2)
    (g,) = mg.grad(x * x * x, x, seed, create_graph=True)
    seed[:] = 100
    (second,) = mg.grad(g.sum(), x)
    assert second.tolist() == [6, 12]


def test_requires_grad_off_and_on_keeps_the_gradient():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.requires_grad_(False)
    w.requires_grad_(True)
    loss.backward()
    assert w.grad.tolist() == [2, 4]


def test_requires_grad_off_gives_no_gradient():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.requires_grad_(False)
    loss.backward()
    assert w.grad is None


@pytest.mark.parametrize("recording", [True, False])
def test_an_integer_tensor_is_not_cut_silently(recording):
    t = mg.tensor([1, 2, 3])
    with mg.set_grad_enabled(recording), pytest.raises(mg.DTypeError, match="int64"):
        t += 0.5
    assert t.tolist() == [1, 2, 3]


def test_an_integer_tensor_cannot_take_a_gradient():
    t, w = mg.tensor([1, 2, 3]), leaf([1.5, 2.0, 3.0])
    with pytest.raises(mg.DTypeError, match="int64"):
        t *= w
    with pytest.raises(mg.DTypeError, match="requires grad"):
        t[0] = w[0]


def test_a_gradient_is_never_the_value_itself(own_ops):
    @define(lambda g, x: x, method=False)
    def t_half_square(xp, x):
        """Half a square, whose rule returns what it saved (right for a cotangent of 1 only)."""
        return x * x / 2

    x = leaf([1.0, 2.0])
    t_half_square(x).sum().backward()
    assert not np.shares_memory(x.grad.numpy(), x.numpy())


def test_a_value_with_more_leading_axes_can_be_assigned():
    check_grads(_assign_row, [np.ones((2, 3)), np.array([[1.0, 2.0, 3.0]])], order=2)


def _assign_row(x, v):
    y = x * 2
    y[0] = v
    return y * y


def test_a_leaf_made_of_a_view_can_be_stepped():
    a, w = mg.ones(2, requires_grad=True), mg.ones(4).reshape(2, 2).requires_grad_()
    ((w * w).sum() + a.sum()).backward()
    optim.SGD([a, w], 0.5).step()
    assert w.tolist() == [[0, 0], [0, 0]]


def test_a_hook_that_refers_to_its_tensor_does_not_leak():
    x = leaf([1.0])
    y = x * 2
    y.register_hook(lambda g, y=y: None)
    y.sum().backward()
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None


def test_grad_takes_any_iterable_of_parameters():
    model = nn.Linear(2, 1)
    assert len(mg.grad(model(mg.ones(3, 2)).sum(), model.parameters())) == 2


def test_linear_widens_with_its_bias_fused_as_composed():
    x, w, b = mg.ones(2, 3), mg.ones(4, 3), mg.ones(4, dtype=np.float64)
    with mg.unfused():
        composed = nn.functional.linear(x, w, b)
    assert nn.functional.linear(x, w, b).dtype == composed.dtype == np.float64


def test_clip_refuses_a_bound_that_it_could_not_differentiate():
    with pytest.raises(mg.DTypeError, match="maximum and minimum"):
        mg.ones(2).clip(min=mg.tensor(0.5, requires_grad=True))


def test_a_kept_gradient_follows_augmented_assignment():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y += 1
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]


def test_the_variance_survives_a_large_mean_in_float32():
    x = np.float32(1e6) + np.array([0, 0.0625, 0, 0], np.float32)
    right = x.astype(np.float64).var()
    np.testing.assert_allclose(mg.tensor(x).var(correction=0).item(), right, rtol=1e-6)


def test_two_names_of_one_argument_are_refused():
    with pytest.raises(TypeError, match=r"axis=0 and dim=1"):
        mg.ones(2, 3).sum(axis=0, dim=1)


def test_an_unknown_option_of_an_op_is_refused():
    with pytest.raises(TypeError, match="flaoting"):
        define(lambda g: g, flaoting=True)(lambda xp, x: x)


@pytest.mark.parametrize(
    ("mistake", "kind", "words"),
    [
        (lambda: mg.ones(2, 3)[0].__setitem__(1, 5.0), RuntimeError, r"x\[0, 1\] = v"),
        (
            lambda: F.conv2d(IMAGE, mg.ones(1, 3, 3, 3), mg.ones(5)),
            ValueError,
            r"bias of shape \(5,\)",
        ),
        (
            lambda: F.linear(mg.ones(2, 3), mg.ones(4, 3), mg.ones(2, 4)),
            ValueError,
            r"must be \(4,\)",
        ),
        (lambda: F.linear(mg.ones(2, 3), mg.ones(2, 4, 3)), ValueError, "must have 2 axes"),
        (lambda: mg.tensor([6]) & 3, TypeError, "for bool tensors"),
        (lambda: ~mg.tensor([6]), TypeError, "for bool tensors"),
        (lambda: mg.ones(2, 3).reshape(-7), ValueError, "one may be -1"),
        (
            lambda: F.cross_entropy(mg.ones(1, 2), [0], ignore_index=None),
            TypeError,
            "ignore_index was given as None",
        ),
        (lambda: nn.ReLU().train("eval"), TypeError, r"call .eval\(\)"),
        (
            lambda: mg.testing.check_grads(lambda t: t > 0, mg.ones(2, dtype=mg.float64)),
            TypeError,
            "nothing",
        ),
        (lambda: nn.Linear(-1, 2), ValueError, "in_features was given as -1"),
        (lambda: nn.Conv2d(3, 2.5, 3), ValueError, "out_channels was given as 2.5"),
        (lambda: nn.BatchNorm1d(0), ValueError, "num_features was given as 0"),
        (lambda: nn.BatchNorm1d(3, momentum=2.0), ValueError, "0 to 1, or None"),
        (lambda: optim.SGD(nn.Linear(2, 2), lr=0.1), TypeError, r"give its .parameters\(\)"),
        (lambda: optim.Adam([mg.ones(2)], lr="fast"), TypeError, "got lr as a str"),
        (lambda: mg.ones(2, 3).sum("rows"), TypeError, "axis was given as 'rows'"),
        (lambda: mg.ones(3) + mg.ones(4), ValueError, "shapes meet from the right"),
        (lambda: mg.ones(3).__setitem__(0, mg.ones(2)), ValueError, r"of shape \(2,\) do not fit"),
        (lambda: mg.ones(2).to("flot32"), RuntimeError, "nor is 'flot32' a dtype"),
        (lambda: mg.ones(2).to("cuda"), RuntimeError, "cuda.*: pip install"),
        (lambda: (mg.ones(2) * 2).sum().backward(), RuntimeError, "requires_grad=True"),
    ],
)
def test_a_mistake_is_told_with_what_to_type(mistake, kind, words):
    with pytest.raises(kind, match=words):
        mistake()


def test_an_optimiser_steps_all_or_nothing():
    a, w = leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0])
    a.grad, w.grad = mg.ones(2, dtype=mg.float64), mg.ones(1, dtype=mg.float64)
    with pytest.raises(mg.ShapeError, match=r"gradient of shape \(1,\)"):
        optim.SGD([a, w], lr=1.0).step()
    assert a.tolist() == [1, 2]
    assert w.tolist() == [1, 2, 3]


def test_a_state_that_holds_no_numbers_changes_nothing():
    model = nn.Linear(3, 2)
    before = model.weight.tolist()
    with pytest.raises(RuntimeError, match="numbers wanted"):
        model.load_state_dict({"weight": np.ones((2, 3)), "bias": np.array(["a", "b"])})
    assert model.weight.tolist() == before


def test_data_that_no_leaf_can_hold_changes_nothing():
    w = leaf([1.0, 2.0])
    with pytest.raises(mg.DTypeError, match="int64"):
        w.data = np.array([1, 2])
    assert w.requires_grad
    assert w.dtype == np.float64


def test_running_statistics_that_do_not_fit_are_as_before():
    mean = mg.zeros(3)
    with pytest.raises(TypeError, match="got a ndarray"):
        F.batch_norm(mg.randn(4, 3), mean, np.ones(3, np.float32), training=True)
    with pytest.raises(ValueError, match="give two"):
        F.batch_norm(mg.randn(4, 3), mean, mean, training=True)
    assert mean.tolist() == [0, 0, 0]


def test_a_view_that_keeps_its_gradient_can_be_stepped_under_no_grad():
    x = leaf([[1.0, 2.0]])
    y = (x * 2)[0]
    y.retain_grad()
    with mg.no_grad():
        y -= 1
    (y * 3).sum().backward()
    assert y.tolist() == [1, 3]
    assert y.grad.tolist() == [3, 3]


# ---- what an attack on the catalogue found -------------------------------------------------------


def test_the_deviation_of_float16_is_computed_in_float32():
    h = mg.tensor([250.0, -250.0, 250.0, -250.0], dtype=mg.float16, requires_grad=True)
    wide = h.double().detach().requires_grad_()
    (slope,) = mg.grad(h.std(), h)
    (true,) = mg.grad(wide.std(), wide)
    mg.testing.assert_close(h.std(), wide.std(), dtype=mg.float16)
    mg.testing.assert_close(slope, true, dtype=mg.float16)
    small = mg.tensor([1e-4, -1e-4, 3e-4], dtype=mg.float16)
    mg.testing.assert_close(small.std(), small.double().std(), dtype=mg.float16, size=64)


def test_a_checkpoint_is_differentiated_twice_in_a_fresh_process():
    """Where nothing has called `clone` before, whose nodes a checkpoint makes by hand."""
    script = (
        "import minigrad as mg; x = mg.ones(3, requires_grad=True); "
        "y = mg.func.checkpoint(lambda z: z**3, x); "
        "(g,) = mg.grad((y**2).sum(), x, create_graph=True); print(mg.grad(g.sum(), x)[0].tolist())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[30.0, 30.0, 30.0]"


@pytest.mark.parametrize(
    ("mistake", "kind", "words"),
    [
        (lambda: mg.rand(2, dtype=mg.int64), TypeError, "use randint"),
        (lambda: mg.randint(5, 5, (2,)), ValueError, "larger high"),
        (lambda: mg.grad(mg.ones(2, requires_grad=True).sum(), []), RuntimeError, "at least one"),
        (lambda: mg.tensor(float("nan"), dtype=mg.int64), ValueError, "NaN to integer$"),
        (lambda: mg.detect_anomaly(True), TypeError, "takes no argument"),
        (lambda: mg.zeros(2, -1), ValueError, r"\(2, -1\) has a negative length"),
        (lambda: mg.ones(2.5), TypeError, "give whole numbers"),
        (lambda: mg.full((2,), mg.ones(3)), ValueError, "exactly one element"),
        (lambda: mg.arange(0, 1, 0), ValueError, "the step is 0"),
        (lambda: mg.tensor(1.0, dtype="foo"), TypeError, "dtype was given as 'foo'"),
        (lambda: mg.clamp, AttributeError, r"use clip\(min, max\)"),
        (lambda: mg.ones(2).view(2, 1), AttributeError, r"use reshape"),
        (lambda: mg.laws.check_op("tanh"), TypeError, "check_op got 'tanh'"),
        (lambda: define(lambda xp, x: x), TypeError, r"write @op\(rule"),
        (lambda: mg.cat([1.0, mg.ones(2)]), TypeError, "give a tensor"),
    ],
)
def test_a_mistake_with_the_catalogue_is_told_with_what_to_type(mistake, kind, words):
    with pytest.raises(kind, match=words):
        mistake()


@pytest.mark.parametrize("result", [None, 3.0, [1.0]])
def test_a_forward_that_gives_no_array_is_named(result, own_ops):
    @define(None, method=False)
    def t_no_array(xp, x):
        """Wrong."""
        return result

    with pytest.raises(mg.DTypeError, match="the forward of t_no_array gave"):
        t_no_array(mg.ones(2))


def test_randint_takes_a_high_and_a_size():
    t = mg.randint(10, (3, 2))
    assert t.shape == (3, 2)
    assert 0 <= t.amin().item() <= t.amax().item() < 10
