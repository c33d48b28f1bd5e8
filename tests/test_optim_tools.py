"""Clipping, groups for weight decay, and averages of weights."""

import copy
import math
import pickle

import numpy as np
import pytest
from cupy_standin import hidden_copies
from hypothesis import given
from hypothesis import strategies as st
from values import normal

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import GraphError

SHAPES = st.lists(
    st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4
)  # fmt: skip


def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


def with_grads(shapes, scale=1.0, dtype="float64", device="cpu"):
    params = [mg.zeros(s, dtype=dtype, device=device, requires_grad=True) for s in shapes]
    for i, p in enumerate(params):
        p.grad = mg.tensor((scale * normal(*p.shape, seed=i)).astype(dtype), device=device)
    return params


def grads_of(params):
    return [p.grad.cpu().numpy() for p in params]


# ---- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    shapes=SHAPES,
    scale=numbers(1e-3, 1e3),
    max_norm=numbers(0.0, 100.0),
    norm_type=st.one_of(st.sampled_from([1, 2, 2.0, math.inf]), numbers(0.5, 5.0)),
)
def test_the_norm_and_the_clipped_gradients_are_torchs(dtype, shapes, scale, max_norm, norm_type):
    torch = pytest.importorskip("torch")
    ours = with_grads(shapes, scale, dtype)
    theirs = [torch.zeros(s, dtype=getattr(torch, dtype), requires_grad=True) for s in shapes]
    for p, g in zip(theirs, grads_of(ours), strict=True):
        p.grad = torch.tensor(g)
    norm = optim.clip_grad_norm_(iter(ours), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    assert norm.shape == ()
    np.testing.assert_allclose(norm.numpy(), expected.numpy(), rtol=rtol)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad.dtype == dtype
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol)


@given(shapes=SHAPES, bound=numbers(0.0, 2.0))
def test_clipped_values_are_torchs(shapes, bound):
    torch = pytest.importorskip("torch")
    ours = with_grads(shapes)
    theirs = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in ours]
    for p, g in zip(theirs, grads_of(ours), strict=True):
        p.grad = torch.tensor(g)
    optim.clip_grad_value_(iter(ours), bound)
    torch.nn.utils.clip_grad_value_(theirs, bound)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())


CLIPS = {
    "norm": lambda params: optim.clip_grad_norm_(params, 0.1),
    "value": lambda params: optim.clip_grad_value_(params, 0.1),
}
every_clip = pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)


@every_clip
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_clipping_is_the_same_on_every_device_and_keeps_dtypes(clip, dtype, device):
    here, there = with_grads([(), (2, 3)], 1, dtype), with_grads([(), (2, 3)], 1, dtype, device)
    clip(here)
    clip(there)
    for a, b in zip(here, there, strict=True):
        assert (b.grad.dtype, b.grad.device[:4]) == (dtype, device[:4])
        np.testing.assert_allclose(a.grad.numpy(), b.grad.cpu().numpy(), rtol=1e-3)


@every_clip
def test_clipping_does_not_wait_for_the_device(clip, standin):
    params = with_grads([(), (2, 3)], 1, "float32", "cuda")
    hidden_copies.clear()
    clip(params)
    assert not hidden_copies


@every_clip
def test_gradients_are_clipped_in_place(clip):
    (p,) = with_grads([(2, 3)])
    grad, array = p.grad, p.grad.array
    clip(p)
    assert p.grad is grad
    assert grad.array is array
    assert abs(grad.numpy()).max() <= 0.1


@every_clip
def test_a_gradient_that_a_graph_needs_is_noticed(clip):
    (p,) = with_grads([(2, 3)])
    x = mg.ones(2, 3, dtype="float64", requires_grad=True)
    y = (x * p.grad).sum()
    clip(p)
    with pytest.raises(GraphError, match=r"mul.*clip_grad"):
        y.backward()


@every_clip
def test_a_gradient_in_a_graph_is_replaced_and_the_graph_stays_right(clip):
    x = mg.tensor([3.0], dtype="float64", requires_grad=True)
    (x**4).sum().backward(create_graph=True)
    recorded = x.grad
    clip(x)
    assert abs(x.grad.item()) <= 0.1
    assert not x.grad.requires_grad
    assert recorded.item() == 4 * 27
    assert mg.grad(recorded.sum(), x)[0].item() == 12 * 9


def test_parameters_without_gradients_have_norm_0():
    assert optim.clip_grad_norm_([mg.ones(2, requires_grad=True)], 1.0).item() == 0


def test_a_parameter_given_twice_counts_once():
    (p,) = with_grads([(3,)])
    once = float(np.linalg.norm(p.grad.numpy()))
    assert optim.clip_grad_norm_([p, p], once / 2).item() == pytest.approx(once)
    assert np.linalg.norm(p.grad.numpy()) == pytest.approx(once / 2, rel=1e-5)


def test_a_float16_norm_does_not_overflow():
    p = mg.zeros(100, dtype="float16", requires_grad=True)
    p.grad = mg.full(100, 6e4, dtype="float16")
    assert optim.clip_grad_norm_(p, 1.0).item() == pytest.approx(6e5, rel=1e-3)
    np.testing.assert_allclose(p.grad.numpy(), 0.1, rtol=1e-2)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_raises_if_asked_and_changes_nothing(bad):
    a, b = with_grads([(2,), (2,)])
    b.grad = mg.tensor([bad, 1.0])
    before = grads_of([a, b])
    with pytest.raises(RuntimeError, match=r"norm.*detect_anomaly"):
        optim.clip_grad_norm_([a, b], 1.0, error_if_nonfinite=True)
    for now, then in zip(grads_of([a, b]), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_nan_norm_shows_in_every_gradient():
    a, b = with_grads([(2,), (2,)])
    b.grad = mg.tensor([math.nan, 1.0])
    optim.clip_grad_norm_([a, b], 1.0)
    assert np.isnan(a.grad.numpy()).all()


CLIP_ERRORS = {
    "no parameters": (lambda p: optim.clip_grad_norm_([], 1.0), ValueError, "no parameters"),
    "a used-up generator": (lambda p: optim.clip_grad_norm_(iter([]), 1), ValueError, "used up"),
    "a model": (
        lambda p: optim.clip_grad_norm_(nn.Linear(2, 2), 1), TypeError, r"its \.parameters\(\)",
    ),
    "named": (
        lambda p: optim.clip_grad_norm_(nn.Linear(2, 2).named_parameters(), 1), TypeError,
        r"model\.parameters\(\), not",
    ),
    "an array": (lambda p: optim.clip_grad_value_([np.ones(2)], 1), TypeError, "ndarray"),
    "negative": (lambda p: optim.clip_grad_norm_(p, -1), ValueError, "max_norm=-1.*0 or more"),
    "nan": (lambda p: optim.clip_grad_norm_(p, math.nan), ValueError, "max_norm=nan"),
    "no number": (lambda p: optim.clip_grad_norm_(p, "1"), TypeError, "max_norm as a str"),
    "order": (lambda p: optim.clip_grad_norm_(p, 1, 0), ValueError, "norm_type=0.*above 0"),
    "bound": (lambda p: optim.clip_grad_value_(p, -1), ValueError, "clip_value=-1"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CLIP_ERRORS.values(), ids=CLIP_ERRORS)
def test_clip_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call(with_grads([(2,)]))


# ---- groups for weight decay ---------------------------------------------------------------------


class PlaneNorm(nn.Module):
    """A norm whose weights have several axes."""

    def __init__(self):
        self.weight = nn.Parameter(np.ones((2, 3)))
        self.inner = nn.Linear(2, 2)


class MyNorm2(PlaneNorm):
    """Derived from one, under a name that does not say so."""


class Normal(nn.Module):
    """No norm."""

    def __init__(self):
        self.weight = nn.Parameter(np.ones((2, 3)))


def a_model():
    net = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Conv2d(1, 2, 3), PlaneNorm(), MyNorm2(), Normal()
    )
    net.scale = nn.Parameter(2.0)
    net.tied = net[0].weight
    return net


def test_weights_decay_and_biases_norms_and_numbers_do_not():
    net = a_model()
    names = {id(p): name for name, p in net.named_parameters()}
    decay, rest = optim.no_decay_groups(net)
    assert rest["weight_decay"] == 0
    assert "weight_decay" not in decay
    ndim = {name: p.ndim for name, p in net.named_parameters()}
    decaying = {names[id(p)] for p in decay["params"]}
    left_alone = {names[id(p)] for p in rest["params"]}
    assert decaying | left_alone == set(ndim)
    assert not decaying & left_alone
    assert {name for name in left_alone if ndim[name] > 1} == {
        name for name, p in net.named_parameters() if p is net[3].weight or p is net[4].weight
    }
    assert all(ndim[name] > 1 for name in decaying)
    assert len(decay["params"]) + len(rest["params"]) == len(list(net.parameters()))


def test_the_decaying_group_takes_the_optimisers_weight_decay_or_ones_own():
    net = nn.Linear(2, 3)
    for own, expected in [(None, 0.25), (0.5, 0.5)]:
        optimiser = optim.AdamW(optim.no_decay_groups(net, own), weight_decay=0.25)
        assert [g["weight_decay"] for g in optimiser.param_groups] == [expected, 0.0]


@pytest.mark.parametrize("kind", [optim.SGD, optim.AdamW])
def test_norms_stay_at_1_when_nothing_but_decay_is_left(kind):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = abs(net[0].weight.numpy()).sum()
    optimiser = kind(optim.no_decay_groups(net), lr=0.1, weight_decay=0.1)
    for _ in range(100):
        for p in net.parameters():
            p.grad = mg.zeros_like(p)
        optimiser.step()
    assert net[1].weight.tolist() == [1] * 4
    assert abs(net[0].weight.numpy()).sum() < before / 2


def test_frozen_parameters_are_in_their_group():
    net = nn.Linear(2, 3).freeze()
    assert [len(g["params"]) for g in optim.no_decay_groups(net)] == [1, 1]


def test_groups_are_made_of_a_model():
    with pytest.raises(TypeError, match="the model itself"):
        optim.no_decay_groups(nn.Linear(2, 3).parameters())


# ---- averages ------------------------------------------------------------------------------------


def net_of(dtype="float64", device="cpu", seed=0):
    mg.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return net.to(getattr(mg, dtype)).to(device)


def moved(net, seed):
    """Other weights, as after a step."""
    for i, p in enumerate(net.parameters()):
        with mg.no_grad():
            p.copy_(mg.tensor(normal(*p.shape, seed=seed + i), dtype=p.dtype, device=p.device))
    net(mg.tensor(normal(5, 3, seed=seed), dtype=p.dtype, device=p.device))


def values(state):
    return {name: t.cpu().numpy().copy() for name, t in state.items()}


@given(decay=numbers(0.0, 1.0), warmup=st.booleans())
def test_the_averages_are_those_of_the_formula(decay, warmup):
    net = net_of()
    ema = optim.EMA(net, decay, warmup)
    expected = values(net.state_dict())
    buffers = {name for name, _ in net.named_buffers()}
    for n in range(1, 5):
        moved(net, seed=10 * n)
        ema.update()
        keep = min(decay, (1 + n) / (10 + n)) if warmup else decay
        for name, now in values(net.state_dict()).items():
            own = now if name in buffers else keep * expected[name] + (1 - keep) * now
            expected[name] = own
    for name, average in ema.averages.items():
        np.testing.assert_allclose(average.numpy(), expected[name], rtol=1e-12, atol=1e-12)


def test_the_averages_are_torchs():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    net, theirs = nn.Linear(3, 2).double(), torch.nn.Linear(3, 2).double()
    ema = optim.EMA(net, 0.9)
    averaged = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for n in range(5):
        if n:  # PyTorch's first update takes the weights as they are
            moved_weights = [normal(*p.shape, seed=n) for p in net.parameters()]
            for p, value in zip(net.parameters(), moved_weights, strict=True):
                p.data = value
            ema.update()
        with torch.no_grad():
            for p, q in zip(theirs.parameters(), net.parameters(), strict=True):
                p.copy_(torch.tensor(q.numpy()))
        averaged.update_parameters(theirs)
    for a, b in zip(ema.averages.values(), averaged.module.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12)


def test_the_model_holds_the_averages_inside_only(device):
    net = net_of(device=device)
    ema = optim.EMA(net, 0.5)
    moved(net, 1)
    ema.update()
    moved(net, 2)
    arrays = [t.array for t in (*net.parameters(), *net.buffers())]
    own, averages = values(net.state_dict()), values(ema.averages)

    def fails_inside():
        with ema.average_parameters():
            np.testing.assert_equal(values(net.state_dict()), averages)
            moved(net, 3)  # what is written inside reaches neither
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_inside()
    np.testing.assert_equal(values(net.state_dict()), own)
    np.testing.assert_equal(values(ema.averages), averages)
    after = [t.array for t in (*net.parameters(), *net.buffers())]
    assert all(a is b for a, b in zip(arrays, after, strict=True))


def test_gradients_of_before_stay_right():
    net = nn.Linear(2, 1)
    ema = optim.EMA(net, 0.5)
    loss = (net(mg.ones(1, 2)) ** 2).sum()
    with ema.average_parameters():
        pass
    loss.backward()
    assert net.weight.grad is not None


def test_averages_can_be_copied_to_another_model_of_another_dtype():
    net = net_of()
    ema = optim.EMA(net, 0.5)
    moved(net, 1)
    ema.update()
    other = net_of("float32", seed=1)
    arrays = [p.array for p in other.parameters()]
    ema.copy_to(other)
    assert all(p.array is a for p, a in zip(other.parameters(), arrays, strict=True))
    for name, t in other.state_dict().items():
        np.testing.assert_allclose(t.numpy(), ema.averages[name].numpy(), rtol=1e-6)
        assert t.dtype == (mg.int64 if name.endswith("tracked") else mg.float32)


def test_small_steps_of_float16_are_not_lost():
    net = nn.Linear(1, 1).half()
    net.weight.data = np.zeros((1, 1), np.float16)
    ema = optim.EMA(net, 0.999)
    net.weight.data = np.ones((1, 1), np.float16)
    for _ in range(1000):
        ema.update()
    with ema.average_parameters():
        assert net.weight.dtype == mg.float16
        assert net.weight.item() == pytest.approx(1 - 0.999**1000, rel=1e-3)


def test_tied_weights_are_averaged_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(optim.EMA(net).averages) == 3


def test_averages_go_on_bit_for_bit():
    net = net_of("float32")
    whole, first = optim.EMA(net, 0.9, warmup=True), optim.EMA(net, 0.9, warmup=True)
    for n in range(6):
        moved(net, n)
        whole.update()
        if n == 3:
            state, first = first.state_dict(), optim.EMA(net, 0.9, warmup=True)
            first.load_state_dict(state)
        first.update()
    np.testing.assert_equal(values(first.state_dict()), values(whole.state_dict()))
    assert first.num_updates == 6


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_averages_its_own_model(copied):
    ema = optim.EMA(nn.Linear(2, 1), 0.5)
    other = copied(ema)
    moved_weight = np.ones((1, 2), np.float32)
    other.model.weight.data = moved_weight
    other.update()
    assert not np.allclose(other.averages["weight"].numpy(), ema.averages["weight"].numpy())


def test_a_state_that_does_not_fit_changes_nothing():
    ema = optim.EMA(nn.Linear(2, 1))
    before = values(ema.state_dict())
    state = ema.state_dict()
    del state["averages.bias"]
    state |= {"averages.weight": mg.ones(3), "other": mg.ones(1), "num_updates": mg.tensor(-1)}
    with pytest.raises(RuntimeError) as raised:
        ema.load_state_dict(state)
    for line in [
        "averages.bias: missing",
        "averages.weight: shape (3,) given, (1, 2) wanted",
        "other: unexpected",
        "num_updates: -1 given, a whole number wanted",
    ]:
        assert f"\n  {line}\n" in str(raised.value)
    np.testing.assert_equal(values(ema.state_dict()), before)


def test_another_model_is_told_and_nothing_changes():
    ema, other = optim.EMA(nn.Linear(2, 1)), nn.Linear(3, 1)
    before = other.weight.tolist()
    with pytest.raises(RuntimeError, match=r"weight: shape \(1, 3\) given, shape \(1, 2\) wanted"):
        ema.copy_to(other)
    assert other.weight.tolist() == before
    with pytest.raises(RuntimeError, match=r"0\.weight: unexpected"):
        ema.copy_to(nn.Sequential(nn.Linear(2, 1)))
    with pytest.raises(TypeError, match="the model itself"):
        ema.copy_to([other])


def test_a_model_that_was_converted_since_is_told():
    ema = optim.EMA(nn.Linear(2, 1))
    ema.model.double()
    with pytest.raises(RuntimeError, match=r"weight: float64 .* given, float32 .* wanted"):
        ema.update()
    with pytest.raises(RuntimeError, match="converted"), ema.average_parameters():
        pass
    assert ema.num_updates == 0


@pytest.mark.parametrize("decay", [-0.1, 1.1, math.nan])
def test_a_decay_out_of_range_is_told(decay):
    with pytest.raises(ValueError, match=rf"decay={decay}.*from 0 to 1"):
        optim.EMA(nn.Linear(2, 1), decay)


def test_a_decay_that_is_no_number_is_told():
    with pytest.raises(TypeError, match="decay as a str"):
        optim.EMA(nn.Linear(2, 1), "0.9")


def test_the_room_offers_what_it_names():
    assert set(optim.__all__) == {n for n in optim.__all__ if hasattr(optim, n)}


def test_averages_cannot_move_while_the_model_holds_them():
    ema = optim.EMA(nn.Linear(1, 1))
    with ema.average_parameters(), pytest.raises(RuntimeError, match="update outside"):
        ema.update()
    ema.update()
    assert ema.num_updates == 1
