"""Checkpoints: the plain run's gradients to any order, with less memory, or an error."""

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import GraphError
from minigrad.func import checkpoint
from minigrad.nn import functional as F
from minigrad.testing import assert_close, check_grads


def tensor(*shape, seed=1, requires_grad=False):
    values = np.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return mg.tensor(values, requires_grad=requires_grad)


def plain(f, *args, **kwargs):
    return f(*args, **kwargs)


def small_net(seed=0, p=0.0):
    mg.manual_seed(seed)
    layers = [nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(p), nn.Linear(4, 2)]
    return nn.Sequential(*layers).double()


def state_of(model):
    return {name: t.numpy().copy() for name, t in model.state_dict().items()}


def assert_identical(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.tolist() == b.tolist()


# ---- the plain run, bit for bit ------------------------------------------------------------------


def towers(run, f, xs, order):
    """The gradients at each order up to `order`, of what came before."""
    y, found = run(f, *xs), []
    for _ in range(order):
        loss = sum((t * t).sum() for t in (y if isinstance(y, tuple | list) else (y,)))
        y = mg.grad(loss, xs, create_graph=True)
        found += y
    return found


FUNCTIONS = {
    "one output": lambda x, w: (x @ w).tanh() * x,
    "two outputs": lambda x, w: ((x * w).exp(), x.sum() * w),
    "in steps": lambda x, w: (x * w + x).sin() * (x * w),
    "a gradient inside": lambda x, w: mg.func.grad(lambda x: (x * w).exp().sum())(x) * w,
    "nested": lambda x, w: checkpoint(lambda y: (y * w).sin(), (x * w).exp()) * x,
    "twice nested": lambda x, w: checkpoint(lambda y: checkpoint(mg.tanh, y * w) * x, x),
}


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_gradients_are_those_of_the_plain_run_to_order_3(f):
    xs = [tensor(3, 3, seed=i, requires_grad=True) for i in (1, 2)]
    found, expected = (towers(run, f, xs, 3) for run in (checkpoint, plain))
    assert_identical(found[:2], expected[:2])  # above, equal sums may be taken in another order
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, size=64)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_gradients_are_numeric_derivatives_to_order_3(f):
    inputs = [tensor(2, 2, seed=3), tensor(2, 2, seed=4)]
    check_grads(lambda x, w: checkpoint(f, x, w), inputs, order=3)


@pytest.mark.parametrize("fused", [True, False])
def test_batch_norm_in_a_checkpoint_is_differentiable_to_order_3(fused):
    def f(x, gamma, beta):
        return F.batch_norm(x, None, None, gamma, beta, training=True, fused=fused).tanh()

    inputs = [tensor(4, 2), tensor(2, seed=2), tensor(2, seed=3)]
    check_grads(lambda *xs: checkpoint(f, *xs), inputs, order=3)


def test_an_argument_that_depends_on_another_gets_its_own_gradient():
    x = tensor(3, requires_grad=True)
    h = x.exp()
    y = checkpoint(lambda x, h: x * h, x, h)
    dx, dh = mg.grad(y.sum(), [x, h])
    assert_close(dx, (1 + x) * x.exp(), size=8)  # through h as well, once
    assert_close(dh, x)


def test_a_result_closed_over_has_its_path_too():
    x = tensor(3, requires_grad=True)
    h = x.exp()
    y = checkpoint(lambda x: x * h, x)
    y.sum().backward()
    assert_close(x.grad, (1 + x) * x.exp(), size=8)


def test_a_gradient_that_only_some_need_keeps_the_history_of_all():
    x, w = tensor(3, requires_grad=True), tensor(3, seed=2, requires_grad=True)
    (dx,) = mg.grad(checkpoint(lambda x: x * x * w, x).sum(), x, create_graph=True)
    (dxdw,) = mg.grad(dx.sum(), w)
    assert_close(dxdw, 2 * x)


# ---- arguments and outputs -----------------------------------------------------------------------


def test_arguments_may_be_nested_and_outputs_of_any_kind():
    x, w = tensor(3, requires_grad=True), tensor(3, seed=2, requires_grad=True)
    constant = tensor(3)

    def f(p, *, scale):
        y = p["x"] * p["more"][0] * scale
        return {"y": y, "same": y}, y.argmax(), "text", constant, p["x"]

    out, index, text, passed, argument = checkpoint(f, {"x": x, "more": [w, None]}, scale=2.0)
    assert (index.item(), text) == ((x * w).argmax().item(), "text")
    assert passed is constant
    assert argument is x
    assert not index.requires_grad
    (out["y"] + out["same"]).sum().backward()
    assert_close(x.grad, 4 * w)
    assert_close(w.grad, 4 * x)


def test_outputs_of_which_some_get_no_gradient():
    x = tensor(3, requires_grad=True)
    first, _ = checkpoint(lambda x: (x.exp(), x.sin()), x)
    (g,) = mg.grad(first.sum(), x)
    assert_close(g, x.exp())


def test_nothing_is_recorded_where_nobody_asks():
    assert not checkpoint(mg.exp, tensor(3)).requires_grad
    x = tensor(3, requires_grad=True)
    with mg.no_grad():
        assert not checkpoint(mg.exp, x).requires_grad
        assert checkpoint(mg.enable_grad()(mg.exp), x).requires_grad  # as in the plain run
    assert not checkpoint(mg.no_grad()(mg.exp), x).requires_grad


def test_f_may_make_leaves_of_its_own():
    x = tensor(3, requires_grad=True)
    y = checkpoint(lambda x: x * mg.ones_like(x).requires_grad_(), x)
    (g,) = mg.grad(y.sum(), x)
    assert_close(g, mg.ones_like(x))


def test_f_may_assign_to_its_argument():
    def f(x):
        x *= x
        return x * x

    x = tensor(3, requires_grad=True)
    y = checkpoint(f, x * 1.0)
    for _ in range(2):
        (g,) = mg.grad(y.sum(), x, retain_graph=True)
        assert_close(g, 4 * x**3, size=8)


def test_it_may_be_swept_twice_only_if_retained():
    x = tensor(3, requires_grad=True)
    y = checkpoint(mg.exp, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_close(x.grad, 2 * x.exp())
    with pytest.raises(GraphError, match="retain_graph"):
        y.backward()


# ---- parameters that f closes over ---------------------------------------------------------------


def losses(run, model, x):
    hidden = run(model[:3] if isinstance(model, list) else model, x)
    return (hidden**2).sum()


def test_parameters_closed_over_get_gradients_from_backward_and_from_grad():
    x = tensor(5, 3, requires_grad=True)
    expected = None
    for run in (plain, checkpoint):
        model = small_net()
        parameters = list(model.parameters())
        found = mg.grad(losses(run, model, x), [x, *parameters])
        model2 = small_net()
        x.grad = None
        losses(run, model2, x).backward()
        assert_identical([x.grad, *(p.grad for p in model2.parameters())], found)
        expected = expected or found
        assert_identical(found, expected)


def test_parameters_closed_over_have_derivatives_to_order_3():
    model, x = small_net(), tensor(5, 3, requires_grad=True)
    parameters = [p for name, p in model.named_parameters() if name != "0.bias"]

    def penalties(run):
        loss, found = losses(run, model, x), []
        for _ in range(3):
            gs = mg.grad(loss, [x, *parameters], create_graph=True)
            loss = sum((g * g).sum() for g in gs)
            found += gs
        return found

    for a, b in zip(penalties(checkpoint), penalties(plain), strict=True):
        assert_close(a, b, size=10_000)


def test_a_parameter_made_in_the_first_call_is_found():
    class Lazy(nn.Module):
        weight = None

        def forward(self, x):
            if self.weight is None:
                self.weight = nn.Parameter(2.0, dtype=mg.float64)
            return self.weight * x

    model = Lazy()
    checkpoint(model, tensor(3)).sum().backward()
    assert_close(model.weight.grad, tensor(3).sum(), size=3)


def test_training_with_checkpoints_is_training():
    def trained(run):
        model = small_net(p=0.5)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for step in range(5):
            optimizer.zero_grad()
            losses(run, model, tensor(5, 3, seed=step)).backward()
            optimizer.step()
        return state_of(model)

    found, expected = trained(checkpoint), trained(plain)
    for name, value in expected.items():
        assert found[name].tolist() == value.tolist(), name


# ---- state: randomness, running statistics, modes ------------------------------------------------


def test_dropout_draws_the_same_mask_and_the_generator_goes_on_as_it_was():
    dropout = nn.Dropout(0.5)
    x = mg.ones(50, requires_grad=True)
    y = checkpoint(dropout, x)
    mg.rand(3)
    before = mg.get_rng_state()
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()
    assert mg.get_rng_state().tolist() == before.tolist()


def stats_after(run, train=True):
    model = small_net().train(train)
    losses(run, model, tensor(5, 3)).backward()
    return {name: t for name, t in state_of(model).items() if "running" in name or "num" in name}


def moves_as_in_the_plain_run(run):
    found, expected = stats_after(run), stats_after(plain)
    return all(found[name].tolist() == expected[name].tolist() for name in expected)


def test_running_statistics_move_once():
    assert moves_as_in_the_plain_run(checkpoint)
    assert moves_as_in_the_plain_run(lambda f, x: checkpoint(checkpoint, f, x))
    assert stats_after(checkpoint)["1.num_batches_tracked"] == 1


def test_planted_fault_statistics_that_move_in_the_recomputation_too_are_seen(monkeypatch):
    from minigrad.nn import norm_base

    never = type("Never", (), {"get": staticmethod(lambda: False)})
    monkeypatch.setattr(norm_base, "recomputing", never)
    assert not moves_as_in_the_plain_run(checkpoint)


def test_planted_fault_a_mask_drawn_anew_is_an_error(monkeypatch):
    monkeypatch.setattr(mg.random, "set_rng_state", lambda state: None)
    y = checkpoint(nn.Dropout(0.5), mg.ones(50, requires_grad=True))
    with pytest.raises(GraphError, match="other values"):
        y.sum().backward()


def test_modes_of_the_call_hold_in_the_recomputation():
    seen = []

    def modes(x):
        seen.append((mg.modes.composed.get(), mg.modes.kernels_on.get(), mg.is_grad_enabled()))
        return x.exp()

    x = tensor(3, requires_grad=True)
    with mg.unfused(), mg.kernels(False):
        y = checkpoint(modes, x).sum()
    with mg.no_grad():
        y.backward()
    assert seen == [(True, False, True)] * 2
    assert mg.is_grad_enabled()


def test_it_works_inside_transforms():
    def f(x):
        return (x.sin() * x.sum()).sum()

    x = tensor(3)
    assert_close(mg.func.hessian(lambda x: checkpoint(f, x))(x), mg.func.hessian(f)(x), size=16)
    with mg.no_grad():
        g = mg.func.grad(lambda x: checkpoint(f, x))(x)
    assert g.tolist() == mg.func.grad(f)(x).tolist()
    y = checkpoint(lambda x: mg.func.grad(f)(x), x.requires_grad_())
    assert_close(mg.grad(y.sum(), x)[0], mg.func.hessian(f)(x.detach()).sum(0), size=16)


# ---- memory --------------------------------------------------------------------------------------


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_intermediates_are_dead_after_forward_and_after_backward(no_collector):
    alive, nodes = [], []

    def f(x):
        h = x.exp()
        alive.append(weakref.ref(h.array))
        nodes.append(h.node)
        return h.sin() * 2

    x = tensor(100, requires_grad=True)
    assert plain(f, x) is not None
    y = checkpoint(f, x)
    nodes.clear()
    assert [ref() for ref in alive] == [None, None]
    y.sum().backward()
    assert len(alive) == 3
    assert nodes[0].saved is None  # the recomputation's sweep frees as it passes
    assert alive[2]() is None


def test_what_it_keeps_dies_with_the_sweep_and_with_the_handle(no_collector):
    x = tensor(3, requires_grad=True)
    argument = x * 2.0
    array = weakref.ref(argument.array)
    y = checkpoint(lambda h: h.exp().sin(), argument)
    del argument
    assert array() is not None
    y.sum().backward()
    assert array() is None
    y = checkpoint(mg.exp, x)
    node = weakref.ref(y.node)
    del y
    assert node() is None


# ---- what would be silently wrong ----------------------------------------------------------------


def test_exceptions_leave_the_engine_usable():
    calls = []

    def f(x):
        calls.append(x)
        mg.rand(3)
        if len(calls) > 1:
            raise KeyError("second run")
        return x.exp()

    x = tensor(3, requires_grad=True)
    y = checkpoint(f, x)
    state = mg.get_rng_state()
    with pytest.raises(KeyError):
        y.sum().backward()
    assert mg.get_rng_state().tolist() == state.tolist()
    assert mg.is_grad_enabled()
    assert not mg.modes.recomputing.get()
    with pytest.raises(ZeroDivisionError):
        checkpoint(lambda x: 1 // 0, x)
    checkpoint(mg.exp, x).sum().backward()
    assert_close(x.grad, x.exp())


class Changes:
    """What somebody may do between forward and backward."""

    def __init__(self):
        self.w, self.x = nn.Parameter([2.0, 3.0]), mg.tensor([1.0, 2.0], requires_grad=True)
        self.constant, self.dropout = mg.tensor([1.0, 1.0]), nn.Dropout(0.5)
        self.other, self.numpy = nn.Parameter([2.0, 3.0]), np.random.default_rng(0)

    def f(self, x):
        noise = mg.tensor(self.numpy.normal(size=2)).float() if self.noisy else 0.0
        return self.dropout(self.w * self.w * x * x * self.constant) + noise

    noisy = False

    def in_place(self):
        with mg.no_grad():
            self.w *= -1.0  # f is even: its values do not tell

    def argument_in_place(self):
        with mg.no_grad():
            self.x *= -1.0

    def rebound(self):
        self.w.data = -self.w.data

    def another(self):
        self.w = self.other

    def frozen(self):
        self.w.requires_grad = False

    def constant_rebound(self):
        self.constant = self.constant * 2

    def mode(self):
        self.dropout.training = False


CHANGES = [
    "in_place",
    "argument_in_place",
    "rebound",
    "another",
    "frozen",
    "constant_rebound",
    "mode",
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_before_backward_is_an_error(change):
    case = Changes()
    y = checkpoint(case.f, case.x)
    getattr(case, change)()
    with pytest.raises(GraphError, match=r"overwritten|did not do what it did before"):
        y.sum().backward()


def test_draws_from_another_generator_are_an_error():
    case = Changes()
    case.noisy = True
    y = checkpoint(case.f, case.x)
    with pytest.raises(GraphError, match="draw with mg's generator"):
        y.sum().backward()


def test_nan_and_infinity_are_values_like_others():
    x = mg.tensor([0.0, 1.0, np.inf], requires_grad=True)
    with np.errstate(all="ignore"):
        y = checkpoint(lambda x: x.log() * x, x)
        y.sum().backward()
    assert np.isfinite(x.grad.numpy()[1])
