"""LayerNorm, GroupNorm and InstanceNorm: formulas, derivatives, numerics, running statistics."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import DTypeError, ShapeError, nn
from minigrad.func import checkpoint
from minigrad.nn import functional as F
from minigrad.samples import Draw, anything
from minigrad.testing import check_grads

FORMS = pytest.mark.parametrize("fused", [True, False], ids=["fused", "composed"])


def formula(x, axes, eps):
    """(x - mean) / √(var + eps) in float64."""
    x = np.asarray(x, np.float64)
    c = x - x.mean(axes, keepdims=True)
    c -= c.mean(axes, keepdims=True)
    return c / np.sqrt((c * c).mean(axes, keepdims=True) + eps)


def layer(x, weight, bias, **options):
    return F.layer_norm(x, x.shape[1:], weight, bias, **options)


def group(x, weight, bias, **options):
    return F.group_norm(x, 2, weight, bias, **options)


def instance(x, weight, bias, **options):
    return F.instance_norm(x, None, None, weight, bias, **options)


# the call, the shape of weight and bias for x, and the formula with weight 1 and bias 0
KINDS = {
    "layer": (layer, lambda s: s[1:], lambda x, e: formula(x, tuple(range(1, x.ndim)), e)),
    "group": (
        group,
        lambda s: s[1:2],
        lambda x, e: formula(x.reshape(len(x), 2, -1), 2, e).reshape(x.shape),
    ),
    "instance": (
        instance, lambda s: s[1:2], lambda x, e: formula(x, tuple(range(2, x.ndim)), e),
    ),
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", KINDS)


def arguments(kind, draw):
    """x of 2 or more axes (3 for instance) with an even number of channels, weight and bias."""
    axes = draw.integer(1 if kind == "instance" else 0, 3)
    lengths = [draw.integer(1, 3) for _ in range(axes)]
    if kind == "instance":
        lengths[0] = draw.integer(2, 4)
    shape = (draw.integer(1, 3), 2 * draw.integer(1, 2), *lengths)
    own = KINDS[kind][1](shape)
    return anything(draw, shape), anything(draw, own), anything(draw, own)


def beside(kind, value, x):
    """A weight in a shape that meets x."""
    return value if kind == "layer" else value.reshape(-1, *[1] * (x.ndim - 2))


def drawn(data):
    return Draw(lambda low, high: data.draw(st.integers(low, high)))


# ---- values and derivatives ----------------------------------------------------------------------


@FORMS
@kinds
@given(data=st.data())
def test_values_are_the_formulas(kind, fused, data):
    draw = drawn(data)
    x, weight, bias = arguments(kind, draw)
    eps, affine = draw.one_of(1e-5, 0.1), draw.flag()
    call, _, exact = KINDS[kind]
    given = [mg.tensor(weight), mg.tensor(bias)] if affine else [None, None]
    y = call(mg.tensor(x), *given, eps=eps, fused=fused)
    expected = exact(x, eps)
    if affine:
        expected = beside(kind, weight, x) * expected + beside(kind, bias, x)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10, atol=1e-10)


@FORMS
@kinds
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_order_three(kind, fused, seed):
    x, weight, bias = arguments(kind, Draw.seeded(seed))
    inputs = [mg.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    check_grads(lambda *each: KINDS[kind][0](*each, eps=0.1, fused=fused), inputs, order=3)


def test_one_group_is_layer_norm_and_as_many_as_channels_instance_norm():
    x = mg.randn(3, 4, 5, dtype=mg.float64)
    one, each = F.group_norm(x, 1).numpy(), F.group_norm(x, 4).numpy()
    np.testing.assert_allclose(one, F.layer_norm(x, (4, 5)).numpy(), atol=1e-14)
    np.testing.assert_allclose(each, F.instance_norm(x).numpy(), atol=1e-14)


@kinds
@pytest.mark.parametrize("affine", [True, False])
def test_the_fused_form_is_one_op_each_way(kind, affine):
    x, *weights = (mg.tensor(a, requires_grad=True) for a in arguments(kind, Draw.seeded(0)))
    given = weights if affine else [None, None]
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        y = KINDS[kind][0](x, *given)
        mg.grad((y * y).sum(), x)
    op = "batch_norm" if kind == "instance" else "layer_norm"
    assert [name for name in names if "norm" in name] == [op, f"{op}_grad"]


@kinds
def test_the_composed_form_is_primitives(kind):
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        x, *weights = (mg.tensor(a, requires_grad=True) for a in arguments(kind, Draw.seeded(0)))
        mg.grad(KINDS[kind][0](x, *weights, fused=False).sum(), x)
    assert not [name for name in names if "norm" in name]


@kinds
def test_samples_do_not_meet(kind):
    """What one sample holds changes no other's result, NaN included."""
    x, weight, bias = arguments(kind, Draw.seeded(5))
    x = np.concatenate([x, x])
    call = KINDS[kind][0]
    before = call(mg.tensor(x), mg.tensor(weight), mg.tensor(bias)).numpy()
    x[0] = np.nan
    after = call(mg.tensor(x), mg.tensor(weight), mg.tensor(bias)).numpy()
    assert np.isnan(after[0]).all()
    np.testing.assert_array_equal(after[1:], before[1:])


# ---- numerics ------------------------------------------------------------------------------------


@FORMS
@kinds
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [0.1, 100.1, 1e4 + 0.1])
def test_a_constant_sample_gives_exactly_bias(kind, fused, dtype, value, device):
    x = mg.full((2, 64, 28, 28), value, dtype=dtype, device=device)
    own = KINDS[kind][1](x.shape)
    weight = mg.full(own, 3.0, dtype=dtype, device=device)
    bias = mg.full(own, 0.7, dtype=dtype, device=device)
    y = KINDS[kind][0](x, weight, bias, fused=fused)
    assert y.dtype == x.dtype
    assert y.device == x.device
    assert bool((y == bias[(0,) * bias.ndim]).all())


def exact_gradients(kind, x, weight, dy, eps=1e-5):
    """dx, dweight and dbias in float64, by the formulas."""
    x, weight, dy = (np.asarray(a, np.float64) for a in (x, weight, dy))
    xhat, groups = KINDS[kind][2](x, eps), {"layer": 1, "group": 2}.get(kind, x.shape[1])
    rows, xs, h = (
        each.reshape(len(x) * groups, -1) for each in (xhat, x, beside(kind, weight, x) * dy)
    )
    others = 0 if kind == "layer" else (0, *range(2, x.ndim))
    slope, shift = ((h * each).mean(1, keepdims=True) for each in (rows, 1))
    dx = (h - shift - rows * slope) / np.sqrt(xs.var(1, keepdims=True) + eps)
    return dx.reshape(x.shape), (dy * xhat).sum(others), dy.sum(others)


@FORMS
@kinds
def test_float32_far_from_zero_is_as_exact_as_near(kind, fused, device):
    rng, shape = np.random.default_rng(0), (4, 16, 30, 30)
    own = KINDS[kind][1](shape)
    x, dy = (rng.normal(mean, 1, shape).astype(np.float32) for mean in (1e4, 0))
    weight, bias = (rng.normal(size=own).astype(np.float32) for _ in range(2))
    inputs = [mg.tensor(a, device=device, requires_grad=True) for a in (x, weight, bias)]
    y = KINDS[kind][0](*inputs, fused=fused)
    found = mg.grad(y, inputs, mg.tensor(dy, device=device))
    exact = beside(kind, weight, x) * KINDS[kind][2](x, 1e-5) + beside(kind, bias, x)
    expected = exact, *exact_gradients(kind, x, weight, dy)
    apart = []
    for t, value in zip((y, *found), expected, strict=True):
        assert t.dtype == np.float32
        apart.append(np.abs(t.detach().cpu().numpy() - value).max())
        assert apart[-1] <= 6e-7 * np.abs(value).max()
    assert max(apart[:2]) <= 3e-6  # of y and dx, absolute


@kinds
def test_float16_keeps_its_dtype_beside_float32_weights_and_rounds_once(kind):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(3, 4, 40)) * 100 + 3000).astype(np.float16)
    own = KINDS[kind][1](x.shape)
    weight, bias = (rng.normal(size=own).astype(np.float32) for _ in range(2))
    y = KINDS[kind][0](mg.tensor(x), mg.tensor(weight), mg.tensor(bias)).numpy()
    exact = beside(kind, weight, x) * KINDS[kind][2](x, 1e-5) + beside(kind, bias, x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, exact, rtol=2**-11 * 1.01, atol=2e-6)


@kinds
def test_one_value_alone_is_bias_or_refused(kind):
    x = mg.randn(3, 2, 1) if kind == "instance" else mg.randn(3, 2)
    if kind == "instance":
        with pytest.raises(ShapeError, match=r"\(3, 2, 1\)"):
            instance(x, None, None)
    elif kind == "group":
        assert group(x[:1], None, mg.tensor([5.0, 6.0])).tolist() == [[5.0, 6.0]]
    else:
        x.requires_grad = True
        y = F.layer_norm(x.unsqueeze(-1), 1, None, mg.tensor([5.0]))
        assert np.unique(y.numpy()).tolist() == [5.0]
        assert not mg.grad(y.sum(), x)[0].numpy().any()


@kinds
@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)])
@FORMS
def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(kind, fused, shape):
    if kind == "layer" and shape[-1] == 0:
        return  # no lengths of 0
    own = KINDS[kind][1](shape)
    inputs = [mg.zeros(*s, requires_grad=True) for s in (shape, own, own)]
    y = KINDS[kind][0](*inputs, fused=fused)
    assert y.shape == shape
    for gradient, each in zip(mg.grad(y.sum(), inputs), inputs, strict=True):
        assert gradient.shape == each.shape
        assert not gradient.numpy().any()


# ---- the modules ---------------------------------------------------------------------------------

MODULES = {
    "LayerNorm": (lambda **o: nn.LayerNorm((4, 3), **o), (2, 4, 3)),
    "GroupNorm": (lambda **o: nn.GroupNorm(2, 4, **o), (2, 4, 3)),
    "InstanceNorm1d": (lambda **o: nn.InstanceNorm1d(4, affine=True, **o), (2, 4, 3)),
    "InstanceNorm2d": (lambda **o: nn.InstanceNorm2d(4, affine=True, **o), (2, 4, 3, 2)),
    "InstanceNorm3d": (lambda **o: nn.InstanceNorm3d(4, affine=True, **o), (2, 4, 3, 2, 2)),
}
modules = pytest.mark.parametrize("name", MODULES)


@modules
def test_both_forms_of_a_module_agree_on_every_device(name, device):
    make, shape = MODULES[name]
    x = mg.randn(*shape, dtype=mg.float64, device=device, requires_grad=True)
    results = []
    for fused in (True, False):
        module = make(fused=fused, device=device, dtype=mg.float64)
        assert f"fused={fused}" in repr(module)
        y = module(x)
        (gradient,) = mg.grad((y * y * y).sum(), x)
        results += [y.cpu().numpy(), gradient.cpu().numpy()]
    np.testing.assert_allclose(results[0], results[2], atol=1e-12)
    np.testing.assert_allclose(results[1], results[3], atol=1e-11)


FAMILY = {  # over (6, 4, 3)
    "LayerNorm": lambda **o: nn.LayerNorm((4, 3), **o),
    "GroupNorm": lambda **o: nn.GroupNorm(2, 4, **o),
    "InstanceNorm1d": lambda **o: nn.InstanceNorm1d(4, affine=True, track_running_stats=True, **o),
    "BatchNorm1d with relu": lambda **o: nn.BatchNorm1d(4, relu=True, **o),
    "GhostBatchNorm1d": lambda **o: nn.GhostBatchNorm1d(4, 4, **o),
    "BatchRenorm1d": lambda **o: nn.BatchRenorm1d(4, **o),
}


def passed(module, x, dy):
    """The values of a forward and a backward and of the statistics after them, and the ops run."""
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        y = module(x)
        found = mg.grad(y, [x, *module.parameters()], dy)
    return [t.cpu().numpy() for t in (y.detach(), *found, *module.buffers())], names


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_unfused_runs_every_member_of_the_family_composed(name, training, device):
    place = {"dtype": mg.float64, "device": device}
    x, dy = mg.randn(6, 4, 3, **place, requires_grad=True), mg.randn(6, 4, 3, **place)
    results = []
    for switch, fused in ((mg.unfused, True), (nullcontext, False), (nullcontext, True)):
        with switch():
            results.append(passed(FAMILY[name](fused=fused, **place).train(training), x, dy))
    (unfused, its_names), (composed, same_names), (fused, names) = results
    assert [each for each in names if "norm" in each]
    assert its_names == same_names
    assert not [each for each in its_names if "norm" in each]
    for a, b, c in zip(unfused, composed, fused, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-11, atol=1e-12)


@modules
def test_the_start_is_weight_one_and_bias_zero_and_comes_back(name):
    module = MODULES[name][0](dtype=mg.float64)
    start = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    assert {key: set(value.ravel()) for key, value in start.items()} == {"weight": {1}, "bias": {0}}
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    module.reset_parameters()
    for key, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), start[key])


@modules
def test_bias_can_be_left_out(name):
    module = MODULES[name][0](bias=False)
    assert list(module.state_dict()) == ["weight"]
    assert "bias=False" in repr(module)
    assert module(mg.randn(*MODULES[name][1])).shape == MODULES[name][1]


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_batch_norms_bias_can_be_left_out_too(kind):
    assert "bias" not in kind(3, bias=False).state_dict()


# ---- InstanceNorm's running statistics -----------------------------------------------------------

SHAPES = {1: (3, 2, 5), 2: (3, 2, 4, 2), 3: (2, 2, 2, 3, 2)}
ranks = pytest.mark.parametrize("rank", SHAPES)


def tracking(rank, **options):
    kind = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[rank]
    return kind(2, **{"track_running_stats": True, "dtype": mg.float64, **options})


def state_of(module):
    return [b.numpy().copy() for b in module.buffers()]


@ranks
@FORMS
@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0])
def test_statistics_move_by_the_samples_average(rank, fused, momentum):
    module, x = tracking(rank, momentum=momentum, fused=fused), mg.randn(*SHAPES[rank])
    x = x.double() * 3 + 1
    mean, var = np.zeros(2), np.ones(2)
    for _ in range(2):
        module(x)
        flat = x.numpy().reshape(*x.shape[:2], -1)
        mean = (1 - momentum) * mean + momentum * flat.mean(2).mean(0)
        var = (1 - momentum) * var + momentum * flat.var(2, ddof=1).mean(0)
    np.testing.assert_allclose(module.running_mean.numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(module.running_var.numpy(), var, atol=1e-12)
    assert module.num_batches_tracked.item() == 0  # as in PyTorch


@ranks
def test_evaluation_uses_the_statistics_and_leaves_them(rank):
    module, x = tracking(rank, affine=True), mg.randn(*SHAPES[rank], dtype=mg.float64)
    module(x)
    before = state_of(module.eval())
    expected = F.batch_norm(x, module.running_mean, module.running_var)
    np.testing.assert_allclose(module(x).numpy(), expected.numpy(), atol=1e-14)
    for old, new in zip(before, state_of(module), strict=True):
        np.testing.assert_array_equal(old, new)
    assert module(x[:, :, :1]).shape == x[:, :, :1].shape


@ranks
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_without_a_batch_axis_it_is_a_batch_of_one(rank, tracked, training):
    x = mg.randn(*SHAPES[rank][1:], dtype=mg.float64)
    one, other = (tracking(rank, track_running_stats=tracked).train(training) for _ in range(2))
    np.testing.assert_array_equal(one(x).numpy(), other(x.unsqueeze(0)).numpy()[0])
    for mine, its in zip(state_of(one), state_of(other), strict=True):
        np.testing.assert_array_equal(mine, its)


def moved(module, run):
    """Whether the statistics moved, and by rebinding."""
    held = module.running_mean.array
    values = held.tolist()
    run(module)
    assert held.tolist() == values
    return module.running_mean.array is not held


def test_statistics_stay_where_they_should(device):
    module = tracking(1, device=device)
    x = mg.randn(3, 2, 5, dtype=mg.float64, device=device, requires_grad=True)
    assert moved(module, lambda m: m(x))

    def held(m):
        with nn.frozen_stats(nn.Sequential(m)):
            m(x)

    def unrecorded(m):
        with mg.no_grad():
            m(x)

    assert not moved(module, held)
    assert moved(module, unrecorded)
    assert not moved(module, lambda m: m(x[:0]))
    assert not moved(module.eval(), lambda m: m(x))
    assert not moved(module.freeze(), lambda m: m.train()(x))


def test_a_checkpoint_moves_statistics_once():
    module, x = tracking(1), mg.randn(3, 2, 5, dtype=mg.float64, requires_grad=True)
    y = checkpoint(module, x)
    seen = state_of(module)
    y.sum().backward()
    for old, new in zip(seen, state_of(module), strict=True):
        np.testing.assert_array_equal(old, new)
    other = tracking(1)
    other(x)
    np.testing.assert_array_equal(state_of(other)[0], seen[0])


def test_a_checkpoint_of_the_function_moves_statistics_once():
    mean, var = mg.zeros(2, dtype=mg.float64), mg.ones(2, dtype=mg.float64)
    x = mg.randn(3, 2, 5, dtype=mg.float64, requires_grad=True)
    y = checkpoint(lambda x: F.instance_norm(x, mean, var), x)
    seen = mean.tolist(), var.tolist()
    y.sum().backward()
    assert (mean.tolist(), var.tolist()) == seen


def test_the_function_moves_the_given_statistics():
    x = mg.randn(3, 2, 5, dtype=mg.float64)
    module = tracking(1, momentum=0.4)
    mean, var = mg.zeros(2, dtype=mg.float64), mg.ones(2, dtype=mg.float64)
    y = F.instance_norm(x, mean, var, momentum=0.4)
    np.testing.assert_array_equal(y.numpy(), module(x).numpy())
    np.testing.assert_array_equal(mean.numpy(), module.running_mean.numpy())
    np.testing.assert_array_equal(var.numpy(), module.running_var.numpy())
    y = F.instance_norm(x, mean, var, use_input_stats=False)
    np.testing.assert_array_equal(y.numpy(), module.eval()(x).numpy())


def test_a_refused_call_leaves_the_statistics():
    module = tracking(1)
    for wrong in (mg.ones(2, 2, 1), mg.ones(2, 3, 4), mg.ones(2), mg.ones(1, 2, 3, 4)):
        with pytest.raises(ShapeError):
            module(wrong.double())
    assert state_of(module)[0].tolist() == [0, 0]


def test_recompute_stats_leaves_instance_norm_alone():
    module = nn.Sequential(tracking(1), nn.BatchNorm1d(2, dtype=mg.float64))
    nn.recompute_stats(module, [mg.randn(4, 2, 5, dtype=mg.float64)])
    assert module[0].running_mean.tolist() == [0, 0]
    assert module[1].running_mean.numpy().any()


# ---- refusals ------------------------------------------------------------------------------------

X = mg.ones(2, 4, 3)
WRONG = {
    "no lengths": (lambda: nn.LayerNorm(()), ShapeError, r"\(\).*length of the last axis"),
    "a length of 0": (lambda: nn.LayerNorm(0), ShapeError, "given as 0"),
    "lengths of another kind": (lambda: nn.LayerNorm(2.5), ShapeError, "2.5"),
    "other lengths": (lambda: nn.LayerNorm(4)(X), ShapeError, r"\(2, 4, 3\).*\(4,\)"),
    "too many lengths": (lambda: F.layer_norm(X[0, 0], (4, 3)), ShapeError, r"\(3,\).*\(4, 3\)"),
    "layer's weight": (
        lambda: F.layer_norm(X, (4, 3), mg.ones(3)), ShapeError, r"\(3,\).*must be \(4, 3\)",
    ),
    "layer's eps": (lambda: nn.LayerNorm(3, eps=-1), ValueError, "eps=-1"),
    "nan eps": (lambda: F.layer_norm(X, 3, eps=math.nan), ValueError, "eps=nan"),
    "integers": (lambda: F.layer_norm(mg.tensor([1, 2]), 2), DTypeError, "int64"),
    "groups": (lambda: nn.GroupNorm(3, 4), ShapeError, "4 channels for num_groups=3"),
    "no groups": (lambda: F.group_norm(X, 0), ShapeError, "num_groups=0"),
    "group's rank": (lambda: F.group_norm(X[0, 0], 1), ShapeError, r"\(3,\).*\(N, C\)"),
    "group's channels": (lambda: nn.GroupNorm(2, 6)(X), ShapeError, r"\(2, 4, 3\).*C = 6"),
    "instance's channels": (lambda: nn.InstanceNorm1d(3)(X), ShapeError, r"\(2, 4, 3\).*C = 3"),
    "instance's rank": (lambda: nn.InstanceNorm2d(4)(X[0]), ShapeError, r"\(4, 3\).*\(C, H, W\)"),
    "an instance's momentum": (lambda: nn.InstanceNorm1d(3, momentum=None), ValueError, "0 to 1"),
    "an instance's array": (lambda: nn.InstanceNorm1d(3)(X.numpy()), DTypeError, "mg.tensor"),
    "no statistics": (
        lambda: F.instance_norm(X, use_input_stats=False), ValueError, "running_mean",
    ),
    "one value": (lambda: nn.InstanceNorm1d(4).eval()(X[:, :, :1]), ShapeError, r"\(2, 4, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_one_tensor_as_both_statistics_is_refused():
    both = mg.zeros(4)
    with pytest.raises(ValueError, match="give two"):
        F.instance_norm(X, both, both)
    assert not both.numpy().any()
