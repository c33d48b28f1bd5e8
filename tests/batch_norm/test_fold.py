"""nn.fold_batch_norm: BatchNorm as a part of the layer before it (B54)."""

import copy
import itertools
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
from batch_norm_helpers import draw, module_for
from fold_helpers import cnn, distance, everything, fold_with_warning, images, lived_in, norms_in
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn as nn

TOLERANCE = {mg.float32: 1e-5, mg.float64: 1e-12}

# layers that make 6 channels of 3, by the rank of their outputs
BEFORE = {
    2: [lambda **o: nn.Linear(3, 6, **o)],
    3: [lambda **o: nn.Conv1d(3, 6, 2, padding=1, groups=3, **o)],
    4: [
        lambda **o: nn.Conv2d(3, 6, (2, 1), stride=2, padding=1, **o),
        lambda **o: nn.ConvTranspose2d(3, 6, 2, stride=2, groups=3, **o),
    ],
}
NORM_OPTIONS = [{}, {"affine": False}, {"bias": False, "eps": 0.1}, {"relu": True, "eps": 1e-3}]


# ---- equal in output


def test_B54_folding_keeps_the_output(shape, fused, device):
    rank = len(shape)
    kinds = itertools.product(BEFORE.get(rank, []), [True, False], NORM_OPTIONS, TOLERANCE)
    for make, bias, options, dtype in kinds:
        like = {"dtype": dtype, "device": device}
        norm = module_for((1, 6, *shape[2:]), fused=fused, **like, **options)
        model = lived_in(nn.Sequential(make(bias=bias, **like), norm))
        folded = nn.fold_batch_norm(model)
        assert norms_in(folded) == []
        x = mg.tensor(draw(shape), **like)
        assert distance(folded, model, x) < TOLERANCE[dtype]
    if rank == 5:
        assert_no_layer_before_batch_norm_3d(shape, fused, device)


def assert_no_layer_before_batch_norm_3d(shape, fused, device):
    """A Linear's outputs are the last axis, so BatchNorm3d stays, and says why."""
    norm = module_for(shape, fused=fused, device=device)
    linear = nn.Linear(shape[-1], shape[1], dtype=mg.float64, device=device)
    model = lived_in(nn.Sequential(linear, norm))
    folded = fold_with_warning(model, match="1: before it comes a Linear, whose 3 outputs are not")
    assert norms_in(folded) == ["1"]
    assert distance(folded, model, mg.tensor(draw(shape), device=device)) == 0


def test_B54_training_mode_and_missing_statistics_are_refused(shape, fused, device):
    make = BEFORE.get(len(shape), BEFORE[2])[0]
    like = {"dtype": mg.float64, "device": device}
    for options, match in (({}, "training mode"), ({"track_running_stats": False}, "statistics")):
        norm = module_for((1, 6, *shape[2:]), fused=fused, device=device, **options)
        model = nn.Sequential(make(**like), norm).train("track_running_stats" not in options)
        with pytest.raises(ValueError, match=match):
            nn.fold_batch_norm(model)


@st.composite
def stacks(draw):
    """A few layers of one family, each with a norm behind it, and an input."""
    rank = draw(st.sampled_from([2, 3, 4]))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    model, channels = [], draw(st.sampled_from([1, 2, 4]))
    shape = (draw(st.integers(2, 4)), channels, *[16] * (rank - 2))
    for _ in range(draw(st.integers(1, 3))):
        out = draw(st.sampled_from([2, 4]))
        model += [draw(layers(rank, channels, out, dtype)), draw(norms(rank, out, dtype))]
        model += draw(st.sampled_from([[], [nn.Tanh()], [nn.Sequential(nn.ReLU())]]))
        channels = out
    inner = draw(st.integers(0, len(model)))
    nested = nn.Sequential(nn.Sequential(*model[:inner]), *model[inner:])
    return lived_in(nested, draw(st.integers(0, 9))), shape, dtype


@st.composite
def layers(draw, rank, channels, out, dtype):
    options = {"bias": draw(st.booleans()), "dtype": dtype}
    if rank == 2:
        return nn.Linear(channels, out, **options)
    groups = draw(st.sampled_from([g for g in (1, 2, 4) if not channels % g and not out % g]))
    options |= {"groups": groups, "dilation": draw(st.integers(1, 2))}
    options["stride"] = draw(st.integers(1, 2))
    if rank == 4 and draw(st.booleans()):
        extra = draw(st.integers(0, options["stride"] - 1))
        return nn.ConvTranspose2d(channels, out, 2, output_padding=extra, **options)
    modes = ["zeros", "reflect", "replicate", "circular"]
    options |= {"padding": 2, "padding_mode": draw(st.sampled_from(modes))}
    return (nn.Conv1d if rank == 3 else nn.Conv2d)(channels, out, 3, **options)


@st.composite
def norms(draw, rank, channels, dtype):
    names = ["BatchNorm", "GhostBatchNorm", "BatchRenorm", *["InstanceNorm"] * (rank > 2)]
    name = draw(st.sampled_from(names))
    flags = {n: draw(st.booleans()) for n in ("affine", "bias", "fused")}
    eps = draw(st.sampled_from([1e-5, 0.0, 0.5]))
    flags |= {"relu": draw(st.booleans())} if name == "BatchNorm" else {}
    size = (3,) if name == "GhostBatchNorm" else ()
    kind = getattr(nn, f"{name}{max(rank - 2, 1)}d")
    return kind(channels, *size, eps=eps, track_running_stats=True, dtype=dtype, **flags)


@given(stacks(), st.booleans())
def test_B54_drawn_stacks_keep_their_outputs(stack, with_example):
    model, shape, dtype = stack
    x = mg.tensor(draw(shape, 3), dtype)
    folded = nn.fold_batch_norm(model, *[x] * with_example)
    assert norms_in(folded) == []
    assert len(folded.folding.folded) == len(norms_in(model))
    assert distance(folded, model, x) < TOLERANCE[dtype]


@pytest.mark.parametrize("weight", [0.0, -2.0])
@pytest.mark.parametrize("variance", [0.0, 1e-12, 1e8])
def test_B54_extreme_weights_and_variances_fold_too(weight, variance):
    model = lived_in(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    filled = {"weight": np.full(3, weight), "running_var": np.full(3, variance)}
    model[1].load_state_dict({**model[1].state_dict(), **filled})
    x = mg.tensor(draw((8, 4), dtype=np.float32))
    assert distance(nn.fold_batch_norm(model), model, x) < 1e-5


def test_B54_the_layer_s_dtype_stays():
    """A float32 BatchNorm serves a float16 network, whose outputs stay float16."""
    model = nn.Sequential(nn.Linear(4, 3, dtype=mg.float16), nn.BatchNorm1d(3))
    folded = nn.fold_batch_norm(lived_in(model))
    assert {p.dtype for p in folded.parameters()} == {mg.float16}
    assert distance(folded, model, mg.tensor(draw((8, 4), dtype=np.float16))) < 5e-3


def test_B54_it_computes_in_float64_and_rounds_once():
    model = lived_in(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    folded, exact = nn.fold_batch_norm(model), nn.fold_batch_norm(copy.deepcopy(model).double())
    for rounded, full in zip(folded.parameters(), exact.parameters(), strict=True):
        np.testing.assert_array_equal(rounded.numpy(), full.numpy().astype(np.float32))


def ops_run(model, x):
    """The names of the ops that a forward runs."""
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        model(x)
    return names


@pytest.mark.parametrize("switch", [nullcontext, mg.unfused])
def test_B54_the_folded_model_runs_the_same_ops_without_batch_norm_s(switch):
    x = images(3, 1, 8, 8)
    layers = nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5), nn.Linear(5, 2)
    conv, flat, *linear = layers
    model = nn.Sequential(
        conv, nn.BatchNorm2d(4), nn.ReLU(), flat, linear[0], nn.BatchNorm1d(5), linear[1]
    )
    with switch():
        folded, whole = (ops_run(each, x) for each in (nn.fold_batch_norm(lived_in(model)), model))
        alone = ops_run(nn.Sequential(conv, nn.ReLU(), flat, *linear), x)
    assert folded == alone
    assert len(folded) <= len(whole) - 2
    assert "rsqrt" in whole if switch is mg.unfused else "batch_norm_eval" in whole


def test_B54_the_folded_model_runs_no_batch_norm_where_it_adds_a_bias_or_relu():
    model, x = lived_in(cnn()), images(3, 1, 8, 8)
    norms = [name for name in ops_run(model, x) if "norm" in name]
    assert norms == ["batch_norm_eval", "batch_norm_relu_eval"]
    folded = ops_run(nn.fold_batch_norm(model), x)
    assert not [name for name in folded if "norm" in name]
    assert folded.count("conv2d_bias") == 1  # the convolution had none
    assert folded.count("relu") == 2  # the other one was batch_norm_relu's


# ---- a new model


@pytest.mark.parametrize("example", [False, True])
def test_B54_the_model_stays_as_it_was(example):
    model, x = lived_in(cnn()), images(3, 1, 8, 8)
    model(x).sum().backward()
    model.conv.weight.requires_grad = False
    before, state = everything(model), mg.get_rng_state()
    folded = nn.fold_batch_norm(model, *[x] * example)
    assert everything(model) == before
    assert (mg.get_rng_state() == state).all()
    for p in folded.parameters():
        with mg.no_grad():
            p.fill_(7.0)
    assert everything(model) == before


def test_B54_names_stay_but_those_of_the_norms():
    model = lived_in(cnn())
    folded = nn.fold_batch_norm(model)
    kept = [name for name in model.state_dict() if not name.startswith("norm")]
    assert sorted(folded.state_dict()) == sorted([*kept, "conv.bias"])
    assert isinstance(folded.norm, nn.Identity)
    assert len(folded) == len(model)
    assert "Folded(BatchNorm1d(5), relu=True)" in repr(folded)


def test_B54_the_new_model_has_no_gradients():
    model, x = lived_in(cnn()), images(3, 1, 8, 8)
    model(x).sum().backward()
    assert all(p.grad is None for p in nn.fold_batch_norm(model).parameters())


def test_B54_what_learns_learns_on():
    model, x = lived_in(cnn()), images(3, 1, 8, 8)
    folded = nn.fold_batch_norm(model)
    folded(x).sum().backward()
    assert all(p.grad is not None for p in folded.parameters())
    model.conv.weight.requires_grad = False
    folded = nn.fold_batch_norm(model)
    learn = [name for name, p in folded.named_parameters() if p.requires_grad]
    assert learn == ["fc.weight", "fc.bias", "out.weight", "out.bias"]


def test_B54_frozen_stays_frozen():
    folded = nn.fold_batch_norm(lived_in(cnn()).freeze())
    assert not any(m.training for m in folded.train().modules())
    assert not any(p.requires_grad for p in folded.parameters())


def test_B54_modes_and_classes_stay():
    class Net(nn.Sequential):
        pass

    model = lived_in(Net(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    folded = nn.fold_batch_norm(model)
    assert type(folded) is Net
    assert not any(m.training for m in folded.modules())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_B54_the_new_model_can_be_copied_pickled_and_folded_again(copied):
    model, x = lived_in(cnn()), images(3, 1, 8, 8)
    folded = nn.fold_batch_norm(model)
    twin = copied(folded)
    assert twin.folding == folded.folding
    assert distance(twin, folded, x) == 0
    twin.load_state_dict(folded.state_dict())
    again = fold_with_warning(twin, match="no BatchNorm")
    assert distance(again, folded, x) == 0


def test_B54_norms_in_lists_and_dicts_are_replaced_too():
    class Net(nn.Module):
        def __init__(self):
            self.pairs = [(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)]
            self.heads = {"a": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))}

        def forward(self, x):
            for linear, norm in self.pairs:
                x = norm(linear(x))
            return self.heads["a"](x)

    model, x = lived_in(Net()), images(5, 4)
    folded = nn.fold_batch_norm(model, x)
    assert norms_in(folded) == []
    assert distance(folded, model, x) < 1e-5
    assert folded.folding.folded == (
        ("pairs.0.0", "pairs.0.1"),
        ("pairs.1.0", "pairs.1.1"),
        ("heads.a.0", "heads.a.1"),
    )
