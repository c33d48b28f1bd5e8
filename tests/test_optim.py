"""Optimisers: PyTorch's arithmetic, parameter groups, errors."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import normal

import minigrad as mg
from minigrad import nn
from minigrad.errors import DeviceError, DTypeError, GraphError, ShapeError
from minigrad.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

KINDS = [SGD, Adam, AdamW, RMSprop, Adagrad]
every_kind = pytest.mark.parametrize("kind", KINDS)


def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


RATES, DECAYS = numbers(1e-3, 0.3), st.one_of(st.just(0.0), numbers(0.01, 0.5))
SHARES, EPS = st.one_of(st.just(0.0), numbers(0.05, 0.95)), numbers(1e-6, 0.1)
BOTH = {"lr": RATES, "weight_decay": DECAYS, "maximize": st.booleans()}
OPTIONS = {
    SGD: {"momentum": SHARES, "dampening": numbers(-0.5, 0.9), "nesterov": st.booleans()},
    Adam: {"betas": st.tuples(SHARES, SHARES), "eps": EPS, "amsgrad": st.booleans()},
    AdamW: {"betas": st.tuples(SHARES, SHARES), "eps": EPS, "amsgrad": st.booleans()},
    RMSprop: {"alpha": SHARES, "eps": EPS, "momentum": SHARES, "centered": st.booleans()},
    Adagrad: {
        "lr_decay": DECAYS, "initial_accumulator_value": DECAYS, "eps": EPS,
    },
}  # fmt: skip
SHAPES = st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=3)


@st.composite
def some_options(draw, kind):
    """Options of an optimiser, each drawn or left at its default."""
    offered = BOTH | OPTIONS[kind]
    chosen = [name for name in offered if draw(st.integers(0, 3))]
    options = {name: draw(offered[name]) for name in chosen}
    if options.get("nesterov"):
        options |= {"dampening": 0.0, "momentum": options.get("momentum") or 0.5}
    if kind is RMSprop and options.get("centered"):
        # or its root of a small difference makes more of rounding errors
        options |= {"eps": 0.1, "alpha": draw(numbers(0.5, 0.95))}
    return {"lr": 0.05} | options if kind is SGD else options


def gradients(shapes, dtype, steps):
    """A gradient for each parameter at each step; now and then there is none."""
    drawn = np.random.default_rng(len(shapes))
    return [
        [None if drawn.random() < 0.15 else drawn.normal(size=s).astype(dtype) for s in shapes]
        for _ in range(steps)
    ]


def stepped(params, optimiser, tensor, grads):
    for each in grads:
        for p, g in zip(params, each, strict=True):
            p.grad = None if g is None else tensor(g)
        optimiser.step()


def beside_torch(kind, options, shapes, dtype, steps=20):
    """Parameters after so many steps, ours and PyTorch's."""
    torch = pytest.importorskip("torch")
    grads = gradients(shapes, dtype, steps)
    starts = [normal(*shape).astype(dtype) for shape in shapes]
    ours = [mg.tensor(a, requires_grad=True) for a in starts]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    stepped(ours, kind(ours, **options), mg.tensor, grads)
    stepped(theirs, getattr(torch.optim, kind.__name__)(theirs, **options), torch.tensor, grads)
    return [(a.numpy(), b.detach().numpy()) for a, b in zip(ours, theirs, strict=True)]


@every_kind
@given(data=st.data())
def test_twenty_steps_are_torchs_in_float64(kind, data):
    options, shapes = data.draw(some_options(kind)), data.draw(SHAPES)
    for ours, theirs in beside_torch(kind, options, shapes, "float64"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@every_kind
@given(data=st.data())
def test_twenty_steps_are_torchs_in_float32(kind, data):
    options, shapes = data.draw(some_options(kind)), data.draw(SHAPES)
    if kind is not SGD:
        options["eps"] = 0.1  # a gradient that nearly vanishes is divided by itself without it
    for ours, theirs in beside_torch(kind, options, shapes, "float32"):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


@every_kind
def test_names_order_and_defaults_are_torchs(kind):
    import inspect

    torch = pytest.importorskip("torch")
    ours = inspect.signature(kind).parameters
    theirs = inspect.signature(getattr(torch.optim, kind.__name__)).parameters
    speed = {"foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
    expected = {name: p for name, p in theirs.items() if name not in speed}
    assert list(ours) == list(expected)
    for name, p in expected.items():
        assert ours[name].default == p.default
        assert ours[name].kind == p.kind or name == "maximize"  # keyword only, everywhere


@every_kind
@given(data=st.data())
def test_dtypes_arrays_and_gradients_stay(kind, data):
    options = data.draw(some_options(kind))
    dtype = data.draw(st.sampled_from(["float16", "float32", "float64"]))
    options = {n: np.float64(v) if type(v) is float else v for n, v in options.items()}
    if dtype == "float16" and kind is not SGD:
        options["eps"] = 0.1
    params = [mg.tensor(normal(*s).astype(dtype), requires_grad=True) for s in [(), (2, 3)]]
    arrays, grads = [p.array for p in params], [normal(*p.shape).astype(dtype) for p in params]
    optimiser = kind(params, **options)
    stepped(params, optimiser, mg.tensor, [grads] * 3)
    for p, array, g in zip(params, arrays, grads, strict=True):
        assert p.array is array
        assert p.array.dtype == dtype
        np.testing.assert_array_equal(p.grad.numpy(), g)
        for kept in optimiser.state[p].values():
            assert isinstance(kept, int) or (kept.dtype == dtype and kept.shape == p.shape)


@every_kind
def test_a_step_is_the_same_on_every_device(kind, device):
    options = {SGD: {"lr": 0.1, "momentum": 0.9}, RMSprop: {"centered": True, "momentum": 0.5}}
    results = []
    for place in ("cpu", device):
        params = [mg.tensor(normal(*s), device=place, requires_grad=True) for s in [(), (2, 3)]]
        grads = gradients([(), (2, 3)], "float64", 5)
        optimiser = kind(params, **options.get(kind, {"weight_decay": 0.1}))
        stepped(params, optimiser, lambda g, at=place: mg.tensor(g, device=at), grads)
        results.append([p.cpu().numpy() for p in params])
    for here, there in zip(*results, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-12)


def leaf(*values):
    return mg.tensor(list(values), requires_grad=True)


def with_grads(*tensors):
    for t in tensors:
        t.grad = mg.ones(t.shape)
    return tensors


def test_groups_have_options_of_their_own():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25).step()
    assert (a.item(), b.item()) == (0.75, 0.5)


def test_a_group_may_be_one_tensor():
    (a,) = with_grads(leaf(1.0))
    SGD([{"params": a}], lr=0.25).step()
    assert a.item() == 0.75


def test_groups_show_their_options():
    a, b = leaf(1.0), leaf(1.0)
    groups = Adam([{"params": [a]}, {"params": [b], "eps": 1e-3}], lr=0.5).param_groups
    assert [(g["lr"], g["eps"]) for g in groups] == [(0.5, 1e-8), (0.5, 1e-3)]


def test_a_changed_learning_rate_holds_from_the_next_step():
    (a,) = with_grads(leaf(1.0))
    optimiser = SGD([a], lr=0.25)
    optimiser.param_groups[0]["lr"] = 0.5
    optimiser.step()
    assert a.item() == 0.5


def test_groups_can_be_added_later():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    optimiser = SGD([a], lr=0.25)
    optimiser.add_param_group({"params": [b], "lr": 1.0})
    optimiser.step()
    assert (a.item(), b.item()) == (0.75, 0.0)


def test_parameters_may_come_from_a_generator():
    model = mg.nn.Linear(2, 3)
    assert len(SGD(model.parameters(), lr=0.1).param_groups[0]["params"]) == 2


def test_a_parameter_without_gradient_stays():
    a, b = leaf(1.0), leaf(1.0)
    with_grads(a)
    SGD([a, b], lr=0.5).step()
    assert (a.item(), b.item()) == (0.5, 1.0)


def test_zero_grad_takes_the_gradients_away():
    (a,) = with_grads(leaf(1.0))
    SGD([a], lr=0.5).zero_grad()
    assert a.grad is None


@every_kind
def test_a_step_leaves_the_gradient_as_it_is(kind):
    (a,) = with_grads(leaf(1.0, 2.0))
    options = {"momentum": 0.9} if kind is SGD else {}
    optimiser = kind([a], lr=0.5, weight_decay=0.5, **options)
    optimiser.step()
    optimiser.step()
    assert a.grad.tolist() == [1.0, 1.0]


@every_kind
def test_a_step_works_in_place_and_keeps_the_leaf(kind):
    (a,) = with_grads(leaf(1.0))
    memory = a.array
    kind([a], lr=0.5).step()
    assert a.array is memory
    assert a.is_leaf
    assert a.requires_grad


@pytest.mark.pitfall("E18")
@every_kind
def test_a_step_between_forward_and_backward_is_noticed(kind):
    (a,) = with_grads(leaf(1.0))
    loss = (a * a).sum()
    kind([a], lr=0.5).step()
    with pytest.raises(GraphError, match=rf"mul.*{kind.__name__}\.step"):
        loss.backward()


@every_kind
def test_a_step_records_nothing(kind):
    (a,) = with_grads(leaf(1.0))
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        kind([a], lr=0.5).step()
    assert names == []


def with_options(**options):
    return lambda: SGD([leaf(1.0)], **{"lr": 0.1, **options})


def adam(**options):
    return lambda: Adam([leaf(1.0)], **options)


def twice():
    a = leaf(1.0)
    return SGD([a, a], lr=0.1)


def twice_in_groups():
    a = leaf(1.0)
    return SGD([{"params": [a]}, {"params": [a]}], lr=0.1)


ERRORS = {
    "no parameters": (lambda: SGD([], lr=0.1), ValueError, "no parameters"),
    "a used-up generator": (lambda: Adam(iter([])), ValueError, "no parameters"),
    "twice": (twice, ValueError, "twice"),
    "twice in groups": (twice_in_groups, ValueError, "twice"),
    "unknown option": (
        lambda: SGD([{"params": [leaf(1.0)], "beta": 1}], lr=0.1), TypeError, "beta.*momentum",
    ),
    "unknown keyword": (with_options(beta=1), TypeError, "beta"),
    "negative lr": (with_options(lr=-0.1), ValueError, r"lr=-0\.1"),
    "lr that is no number": (with_options(lr=float("nan")), ValueError, "lr=nan"),
    "negative weight decay": (with_options(weight_decay=-1), ValueError, "weight_decay=-1"),
    "negative momentum": (with_options(momentum=-1), ValueError, "momentum=-1"),
    "nesterov without momentum": (with_options(nesterov=True), ValueError, "momentum"),
    "nesterov with dampening": (
        with_options(nesterov=True, momentum=0.9, dampening=0.1), ValueError, "dampening",
    ),
    "negative lr of a group": (
        lambda: SGD([{"params": [leaf(1.0)], "lr": -1}], lr=0.1), ValueError, "lr=-1",
    ),
    "beta of 1": (adam(betas=(0.9, 1.0)), ValueError, "betas"),
    "negative beta": (adam(betas=(-0.1, 0.9)), ValueError, "betas"),
    "negative eps": (adam(eps=-1e-8), ValueError, "eps"),
    "result of an op": (lambda: SGD([leaf(1.0) * 2], lr=0.1), GraphError, "result of an op"),
    "betas of one": (adam(betas=(0.9,)), ValueError, "give two numbers"),
    "betas that are a number": (adam(betas=0.9), ValueError, "give two numbers"),
    "betas that are texts": (adam(betas=("a", "b")), TypeError, "give a number"),
    "amsgrad that is no flag": (adam(amsgrad="yes"), TypeError, "give True or False"),
    "lr that is a flag": (with_options(lr=True), TypeError, "lr as a bool"),
    "lr that is a tensor": (with_options(lr=mg.tensor(0.1)), TypeError, "lr as a Tensor"),
    "alpha beyond 1": (
        lambda: RMSprop([leaf(1.0)], alpha=1.1), ValueError, r"alpha=1\.1.*from 0 to 1",
    ),
    "negative lr_decay": (lambda: Adagrad([leaf(1.0)], lr_decay=-1), ValueError, "lr_decay=-1"),
    "a switch of PyTorch's": (with_options(foreach=True), TypeError, "foreach"),
    "integers": (lambda: SGD([mg.tensor([1, 2])]), DTypeError, r"int64.*\.float\(\)"),
    "named parameters": (
        lambda: SGD(nn.Linear(2, 2).named_parameters()), TypeError, r"model\.parameters\(\), not",
    ),
    "a model": (lambda: SGD(nn.Sequential(nn.Linear(2, 2))), TypeError, r"its \.parameters"),
    "a state dict": (lambda: SGD(nn.Linear(2, 2).state_dict()), TypeError, "a list of groups"),
    "a set": (lambda: SGD({leaf(1.0)}), TypeError, "order.*list"),
    "a number": (lambda: SGD(3), TypeError, "parameters"),
    "groups and tensors": (
        lambda: SGD([{"params": [leaf(1.0)]}, leaf(2.0)]), TypeError, "as a group",
    ),
    "a group without params": (lambda: SGD([{"lr": 0.1}]), TypeError, "give a dict such as"),
    "empty groups": (lambda: SGD([{"params": []}]), ValueError, "without any parameter"),
    "a used-up generator in a group": (
        lambda: SGD([{"params": iter([])}]), ValueError, "used up",
    ),
    "one tensor": (lambda: SGD(leaf(1.0), lr=0.1), TypeError, "list"),
    "an array": (lambda: SGD([np.ones(2)], lr=0.1), TypeError, "ndarray"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_group_that_is_refused_is_not_added():
    optimiser = SGD([leaf(1.0)], lr=0.1)
    with pytest.raises(ValueError, match="lr=-1"):
        optimiser.add_param_group({"params": [leaf(2.0)], "lr": -1})
    with pytest.raises(TypeError, match="give a dict such as"):
        optimiser.add_param_group([leaf(2.0)])
    assert len(optimiser.param_groups) == 1


def test_a_group_may_be_empty_beside_others():
    a = leaf(1.0)
    optimiser = SGD([{"params": [a]}, {"params": []}], lr=0.1)
    assert [len(group["params"]) for group in optimiser.param_groups] == [1, 0]


# ---- closures, gradients, steps that cannot be ---------------------------------------------------


def test_a_closure_is_run_with_recording_on_and_its_loss_is_returned():
    a = leaf(3.0)
    optimiser = SGD([a], lr=0.5)

    def closure():
        optimiser.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimiser.step(closure).item() == 9
    assert a.tolist() == [0]
    assert optimiser.step() is None


@every_kind
def test_a_step_after_zero_grad_changes_nothing(kind):
    (a,) = with_grads(leaf(1.0, 2.0))
    optimiser = kind([a], lr=0.5, weight_decay=0.5)
    optimiser.step()
    before = {name: value.tolist() for name, value in optimiser.state_dict().items()}, a.tolist()
    optimiser.zero_grad()
    optimiser.step()
    after = {name: value.tolist() for name, value in optimiser.state_dict().items()}, a.tolist()
    assert after == before


def test_gradients_can_be_set_to_zeros():
    a, b = leaf(1.0, 2.0), leaf(3.0)
    with_grads(a)
    old = a.grad
    SGD([a, b]).zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0, 0]
    assert old.tolist() == [1, 1]
    assert b.grad is None


WRONG_GRADIENTS = {
    "shape": (mg.ones(2), ShapeError, r"shape \(2,\).*\(1,\).*backward"),
    "dtype": (mg.ones(1, dtype=mg.float64), DTypeError, "float64.*float32"),
}


@every_kind
@pytest.mark.parametrize("case", WRONG_GRADIENTS)
def test_a_gradient_that_does_not_fit_changes_nothing(kind, case):
    grad, error, message = WRONG_GRADIENTS[case]
    a, b = with_grads(leaf(1.0), leaf(1.0))
    b.grad = grad
    optimiser = kind([a, b])
    with pytest.raises(error, match=message):
        optimiser.step()
    assert a.tolist() == [1]
    assert not optimiser.state
    assert not optimiser.stepped


def test_a_gradient_on_another_device_is_told(standin):
    a = leaf(1.0)
    a.grad = mg.ones(1, device="cuda")
    with pytest.raises(DeviceError, match=r"cuda.*cpu"):
        SGD([a]).step()


def test_an_option_that_was_set_wrong_changes_nothing():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    optimiser = SGD([{"params": [a]}, {"params": [b]}], lr=0.5)
    optimiser.param_groups[1]["lr"] = float("nan")
    with pytest.raises(ValueError, match="lr=nan"):
        optimiser.step()
    assert a.tolist() == [1]


@every_kind
def test_a_state_of_a_model_since_converted_is_told_and_can_be_moved(kind):
    model = nn.Linear(2, 1)
    options = {"momentum": 0.9} if kind is SGD else {}
    optimiser = kind(model.parameters(), **options)
    model(mg.ones(1, 2)).sum().backward()
    optimiser.step()
    model.double()
    with pytest.raises(DTypeError, match=r"float32.*float64.*load_state_dict"):
        optimiser.step()
    optimiser.load_state_dict(optimiser.state_dict())
    optimiser.step()


@every_kind
def test_a_nan_gradient_is_no_error(kind):
    a = leaf(1.0)
    a.grad = mg.tensor([float("nan")])
    kind([a]).step()
    assert np.isnan(a.numpy()).all()


def test_a_rate_set_as_a_numpy_number_keeps_float32():
    (a,) = with_grads(leaf(1.0))
    optimiser = Adam([a])
    optimiser.param_groups[0]["lr"] = np.cos(0.5)
    optimiser.step()
    assert a.dtype == np.float32


def test_an_average_that_keeps_nothing_is_the_newest_gradient():
    a = leaf(1.0)
    optimiser = Adam([a], betas=(0.0, 0.9))
    stepped([a], optimiser, mg.tensor, [[np.float32([1e8])], [np.float32([1.0])]])
    assert optimiser.state[a]["exp_avg"].tolist() == [1.0]


# ---- an optimiser of one's own, repr, copies -----------------------------------------------------


class Sign(Optimizer):
    def __init__(self, params, lr=0.5):
        super().__init__(params, {"lr": lr})

    def update(self, p, g, state, options):
        p -= options["lr"] * np.sign(g)


def test_an_optimiser_of_ones_own_needs_only_an_update():
    (a,) = with_grads(leaf(1.0, 2.0))
    optimiser = Sign([a])
    optimiser.step()
    assert a.tolist() == [0.5, 1.5]
    optimiser.load_state_dict(optimiser.state_dict())


def test_an_optimiser_without_update_is_told():
    (a,) = with_grads(leaf(1.0))
    with pytest.raises(NotImplementedError, match="define"):
        Optimizer([a], {}).step()


def test_the_repr_lists_groups_and_options():
    optimiser = SGD([{"params": nn.Linear(2, 3).parameters()}, {"params": leaf(1.0), "lr": 0.5}])
    lines = repr(optimiser).splitlines()
    assert lines[0] == "SGD("
    assert lines[1].startswith("  group 0: 2 parameters of 9 numbers, lr=0.001, momentum=0.0")
    assert lines[2].startswith("  group 1: 1 parameter of 1 number, lr=0.5")


@every_kind
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_as_the_original(kind, copied):
    (a,) = with_grads(leaf(1.0, 2.0))
    optimiser = kind([a], lr=0.1, **({"momentum": 0.9} if kind is SGD else {}))
    optimiser.step()
    other = copied(optimiser)
    (b,) = other.param_groups[0]["params"]
    assert b is not a
    optimiser.step()
    other.step()
    assert b.tolist() == a.tolist()


def test_two_parameters_that_are_equal_are_two():
    a, b = with_grads(leaf(1.0), leaf(1.0))
    optimiser = SGD([a, b], lr=0.5, momentum=0.5)
    b.grad = None
    optimiser.step()
    assert (a.item(), b.item()) == (0.5, 1.0)
