"""States of optimisers: flat, exact, all or nothing; a run goes on as if it had never stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_optim import KINDS, every_kind, gradients, some_options, stepped
from values import normal

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim import SGD, Adam, AdamW, RMSprop

SHAPES = [(), (2, 3), (3,)]
FULL = {
    SGD: {"momentum": 0.9},
    RMSprop: {"momentum": 0.5, "centered": True},
    Adam: {"amsgrad": True},
}


def leaves(dtype="float64"):
    return [mg.tensor(normal(*s).astype(dtype), requires_grad=True) for s in SHAPES]


def grouped(params, options):
    return [{"params": params[:2], "lr": 0.125}, {"params": params[2:], **options}]


def a_run(kind, steps=3, dtype="float64"):
    """An optimiser of two groups that has stepped."""
    params = leaves(dtype)
    optimiser = kind(grouped(params, FULL.get(kind, {})), **FULL.get(kind, {}))
    stepped(params, optimiser, mg.tensor, gradients(SHAPES, dtype, steps))
    return optimiser


def params_of(optimiser):
    return [p for group in optimiser.param_groups for p in group["params"]]


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value.dtype == b[name].dtype, name
        np.testing.assert_array_equal(value.numpy(), b[name].numpy(), err_msg=name)


@every_kind
@given(data=st.data())
def test_a_run_goes_on_bit_for_bit(kind, data):
    options, dtype = (
        data.draw(some_options(kind)),
        data.draw(st.sampled_from(["float32", "float64"])),
    )
    if dtype == "float32" and options.get("centered"):
        options["alpha"] = 0.9
    stop, grads = data.draw(st.integers(0, 6)), gradients(SHAPES, dtype, 9)
    whole, first = leaves(dtype), leaves(dtype)
    stepped(whole, kind(grouped(whole, options), **options), mg.tensor, grads)
    before = kind(grouped(first, options), **options)
    stepped(first, before, mg.tensor, grads[:stop])
    second = [mg.tensor(p.numpy(), requires_grad=True) for p in first]
    after = kind(grouped(second, {}))  # the options come with the state
    after.load_state_dict(before.state_dict())
    stepped(second, after, mg.tensor, grads[stop:])
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_kind
@given(data=st.data())
def test_options_come_back_as_they_were(kind, data):
    options = data.draw(some_options(kind))
    optimiser, other = kind(leaves(), **options), kind(leaves())
    other.load_state_dict(optimiser.state_dict())
    ours, theirs = optimiser.param_groups[0], other.param_groups[0]
    for name in optimiser.defaults:
        assert ours[name] == theirs[name]
        assert type(ours[name]) is type(theirs[name])


def test_the_names_and_kinds_of_a_state():
    optimiser = a_run(Adam)
    state = optimiser.state_dict()
    assert [name for name in state if name.startswith("state.2.")] == [
        "state.2.step", "state.2.exp_avg", "state.2.exp_avg_sq", "state.2.max_exp_avg_sq",
    ]  # fmt: skip
    kinds = {name: (str(t.dtype), t.shape) for name, t in state.items()}
    assert kinds["state.1.exp_avg"] == ("float64", (2, 3))
    assert kinds["state.1.step"] == ("int64", ())
    assert kinds["param_groups.0.lr"] == ("float64", ())
    assert kinds["param_groups.0.betas"] == ("float64", (2,))
    assert kinds["param_groups.0.amsgrad"] == ("bool", ())
    assert state["param_groups.1.params"].tolist() == [2]
    assert state["param_groups.0.lr"].item() == 0.125


@every_kind
def test_a_state_is_a_copy(kind):
    optimiser = a_run(kind)
    state = optimiser.state_dict()
    before = {name: t.clone() for name, t in state.items()}
    for p in params_of(optimiser):
        p.grad = mg.ones(p.shape, dtype=p.dtype)
    optimiser.step()
    same(state, before)
    other = a_run(kind)
    other.load_state_dict(state)
    for p in params_of(other):
        p.grad = mg.ones(p.shape, dtype=p.dtype)
    other.step()
    same(state, before)
    assert all(t.is_leaf and not t.requires_grad for t in state.values())


def test_a_parameter_that_was_never_stepped_has_no_state():
    a, b = leaves()[:2]
    optimiser = Adam([a, b])
    a.grad = mg.ones((), dtype=mg.float64)
    optimiser.step()
    state = optimiser.state_dict()
    assert not any(name.startswith("state.1.") for name in state)
    both = leaves()[:2]
    other = Adam(both)
    stepped(both, other, mg.tensor, [[np.ones(p.shape) for p in both]])
    other.load_state_dict(state)
    same(other.state_dict(), state)


@every_kind
def test_arrays_and_numbers_load_as_tensors_do(kind):
    optimiser, other = a_run(kind), a_run(kind, 1)
    state = optimiser.state_dict()
    other.load_state_dict({n: t.item() if t.ndim == 0 else t.numpy() for n, t in state.items()})
    same(other.state_dict(), state)


@every_kind
def test_a_state_moves_to_the_parameters_device_and_dtype(kind, device):
    state = a_run(kind).state_dict()
    params = [mg.tensor(normal(*s).astype("float32"), device=device) for s in SHAPES]
    other = kind(grouped(params, {}))
    other.load_state_dict(state)
    for p in params:
        for name, kept in other.state[p].items():
            if name != "step":
                assert (kept.dtype, kept.device) == (p.dtype, p.device)


@every_kind
def test_each_entry_that_is_missing_or_unfit_is_told_and_nothing_changes(kind):
    state = a_run(kind).state_dict()
    required = {name for name in state if kind is not SGD or name.startswith("param_groups")}
    for name, value in state.items():
        faults = [
            {n: t for n, t in state.items() if n != name},
            state | {name: np.ones((7, *value.shape))},
            state | {name: np.full(value.shape, "text")},
            state | {name + "s": value},
        ]
        for fault in faults if name in required else faults[1:]:
            other = a_run(kind, 1)
            before = other.state_dict()
            with pytest.raises(RuntimeError, match=f"{kind.__name__}.load_state_dict changed not"):
                other.load_state_dict(fault)
            same(other.state_dict(), before)


def test_all_that_does_not_fit_is_listed_at_once():
    state = a_run(Adam).state_dict()
    del state["state.1.exp_avg"], state["param_groups.0.eps"]
    state["state.1.step"] = mg.tensor(1.5)
    state["state.2.exp_avg"] = mg.ones(4)
    state["param_groups.0.amsgrad"] = mg.tensor(1.0)
    state["param_groups.1.lr"] = mg.tensor(-1.0)
    state["param_groups.1.params"] = mg.tensor([3])
    state["other"] = mg.tensor(1)
    with pytest.raises(RuntimeError) as raised:
        a_run(Adam).load_state_dict(state)
    message = str(raised.value)
    for line in [
        "state.1.exp_avg: missing",
        "param_groups.0.eps: missing",
        "state.1.step: 1.5 given, a whole number wanted",
        "state.2.exp_avg: shape (4,) given, (3,) wanted",
        "param_groups.0.amsgrad: float32 given, True or False wanted",
        "param_groups.1: Adam got lr=-1.0: it must be 0 or more",
        "param_groups.1.params: [3] given, [2] wanted",
        "other: unexpected",
    ]:
        assert f"\n  {line}\n" in message
    assert message.endswith("Give the state of the same optimiser with the same groups.")


WHOLE = {"nan": float("nan"), "inf": float("inf"), "negative": -1}


@pytest.mark.parametrize("case", WHOLE)
def test_a_count_that_is_no_whole_number_is_told(case):
    state = a_run(Adam).state_dict() | {"state.0.step": mg.tensor(WHOLE[case])}
    with pytest.raises(RuntimeError, match=r"state\.0\.step: .* a whole number wanted"):
        a_run(Adam).load_state_dict(state)


def test_a_state_that_an_option_left_behind_loads():
    optimiser = a_run(Adam)
    for group in optimiser.param_groups:
        group["amsgrad"] = False
    other = a_run(Adam, 1)
    other.load_state_dict(optimiser.state_dict())
    same(other.state_dict(), optimiser.state_dict())


def test_a_state_of_other_groups_or_another_optimiser_is_told():
    optimiser = a_run(Adam)
    with pytest.raises(RuntimeError, match=r"param_groups\.1\.lr: unexpected"):
        Adam(leaves()).load_state_dict(optimiser.state_dict())
    with pytest.raises(RuntimeError, match=r"param_groups\.0\.momentum: missing"):
        a_run(SGD).load_state_dict(optimiser.state_dict())
    with pytest.raises(TypeError, match="a list: give a dict"):
        optimiser.load_state_dict([])


# ---- PyTorch's states ----------------------------------------------------------------------------


@every_kind
@given(data=st.data())
def test_a_run_of_torchs_goes_on_here(kind, data):
    torch = pytest.importorskip("torch")
    options, grads = data.draw(some_options(kind)), gradients(SHAPES, "float64", 8)
    theirs = [torch.tensor(p.numpy(), requires_grad=True) for p in leaves()]
    before = getattr(torch.optim, kind.__name__)(grouped(theirs, options), **options)
    stepped(theirs, before, torch.tensor, grads[:4])
    ours = [mg.tensor(p.detach().numpy(), requires_grad=True) for p in theirs]
    after = kind(grouped(ours, {}))
    after.load_state_dict(before.state_dict())
    stepped(theirs, before, torch.tensor, grads[4:])
    stepped(ours, after, mg.tensor, grads[4:])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_a_state_of_torchs_optimiser_with_a_schedule_loads():
    torch = pytest.importorskip("torch")
    theirs = torch.optim.AdamW([torch.ones(2, requires_grad=True)], fused=True)
    torch.optim.lr_scheduler.OneCycleLR(theirs, 0.5, total_steps=10)
    ours = AdamW([mg.ones(2, requires_grad=True)])
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]
    assert ours.param_groups[0]["initial_lr"] == 0.5 / 25


def test_a_model_that_learns_goes_on_bit_for_bit():
    def model():
        mg.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
        return net, optim.AdamW(optim.no_decay_groups(net), lr=0.01)

    def train(net, optimiser, steps):
        for seed in steps:
            optimiser.zero_grad()
            x = mg.tensor(normal(6, 4, seed=seed).astype("float32"))
            (net(x) ** 2).mean().backward()
            optim.clip_grad_norm_(net.parameters(), 0.1)
            optimiser.step()

    whole, optimiser = model()
    train(whole, optimiser, range(8))
    first, before = model()
    train(first, before, range(5))
    second, after = model()
    second.load_state_dict(first.state_dict())
    after.load_state_dict(before.state_dict())
    train(second, after, range(5, 8))
    same(second.state_dict(), whole.state_dict())
    same(after.state_dict(), optimiser.state_dict())


def test_every_optimiser_is_tried():
    public = {each for each in vars(optim).values() if isinstance(each, type)}
    assert {k for k in public if issubclass(k, optim.Optimizer)} - {optim.Optimizer} == set(KINDS)
