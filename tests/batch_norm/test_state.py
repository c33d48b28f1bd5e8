"""BatchNorm's running statistics, modes and state."""

import copy
import gc
import pickle
import tracemalloc

import numpy as np
import pytest
from batch_norm_cases import (
    EPS,
    SHAPES,
    axes_of,
    draw,
    forms,
    layouts,
    leaf,
    module_for,
    normalise,
    parameters,
    per_channel,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, ShapeError


def stats_of(module):
    return tuple(
        t.numpy().copy()
        for t in (module.running_mean, module.running_var, module.num_batches_tracked)
    )


def assert_same_stats(module, before):
    for a, b in zip(stats_of(module), before, strict=True):
        assert a.tobytes() == b.tobytes()


def batch(shape, seed=0):
    return mg.tensor(draw(shape, seed, mean=2.0, std=1.5))


# ---- how they move


@forms
@layouts
def test_B15_one_step_moves_by_a_tenth(shape, fused):
    module = module_for(shape, fused=fused)
    x = batch(shape)
    module(x)
    mean, var = x.numpy().mean(axes_of(x)), x.numpy().var(axes_of(x), ddof=1)
    np.testing.assert_allclose(module.running_mean.numpy(), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(module.running_var.numpy(), 0.9 + 0.1 * var, rtol=1e-12)


def test_B15_momentum_0_moves_nothing():
    module = module_for((6, 3), momentum=0.0)
    module(batch((6, 3)))
    np.testing.assert_array_equal(module.running_mean.numpy(), 0)
    np.testing.assert_array_equal(module.running_var.numpy(), 1)


def test_B15_momentum_1_is_exactly_the_batch():
    module = module_for((6, 3), momentum=1.0)
    module(batch((6, 3), 1))
    x = batch((6, 3), 2)
    module(x)
    np.testing.assert_allclose(module.running_mean.numpy(), x.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(module.running_var.numpy(), x.numpy().var(0, ddof=1), rtol=1e-14)


@forms
@layouts
def test_B16_momentum_none_is_the_exact_average_of_batches(shape, fused):
    module = module_for(shape, momentum=None, fused=fused)
    batches = [batch(shape, seed) for seed in range(7)]
    for x in batches:
        module(x)
    means = [x.numpy().mean(axes_of(x)) for x in batches]
    variances = [x.numpy().var(axes_of(x), ddof=1) for x in batches]
    assert np.abs(module.running_mean.numpy() - np.mean(means, 0)).max() < 1e-12
    assert np.abs(module.running_var.numpy() - np.mean(variances, 0)).max() < 1e-12
    assert module.num_batches_tracked.item() == 7


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (4, 5, 1, 3)])
def test_B17_n_counts_batch_and_positions_not_channels(shape):
    module = module_for(shape, momentum=1.0)
    x = batch(shape)
    module(x)
    n = shape[0] * shape[2] * shape[3]
    biased = x.numpy().var((0, 2, 3))
    np.testing.assert_allclose(module.running_var.numpy(), biased * n / (n - 1), rtol=1e-13)


def test_B18_running_mean_is_not_scaled():
    module = module_for((2, 3), momentum=1.0)
    x = batch((2, 3))
    module(x)
    np.testing.assert_allclose(module.running_mean.numpy(), x.numpy().mean(0), rtol=1e-14)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_B19_running_variance_is_the_population_s_for_small_batches(n):
    module = module_for((n, 60), momentum=0.02, affine=False)
    data = np.random.default_rng(n).normal(3.0, 2.0, (3000, n, 60))
    with mg.no_grad():
        for x in data:
            module(mg.tensor(x))
    ratio = np.median(module.running_var.numpy()) / 4.0
    assert 0.9 <= ratio <= 1.1


@forms
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (1, 3, 1, 1, 1)])
def test_B20_one_value_per_channel_raises_and_moves_nothing(shape, fused):
    module = module_for(shape, fused=fused)
    before = stats_of(module)
    with pytest.raises(ValueError, match=r"one value per channel") as raised:
        module(mg.tensor(draw(shape)))
    assert str(shape) in str(raised.value)
    assert ".eval()" in str(raised.value)
    assert_same_stats(module, before)


@forms
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 3, 2), (2, 3), (1, 3, 1, 2, 1)])
def test_B20_one_sample_with_several_positions_is_fine(shape, fused):
    module = module_for(shape, fused=fused)
    y = module(mg.tensor(draw(shape)))
    assert np.isfinite(y.numpy()).all()
    assert module.num_batches_tracked.item() == 1


@forms
def test_B21_one_value_per_channel_works_in_evaluation(fused):
    module = module_for((1, 3), fused=fused).eval()
    x = draw((1, 3))
    np.testing.assert_allclose(module(mg.tensor(x)).numpy(), x / np.sqrt(1 + EPS), rtol=1e-12)


@forms
def test_B21_one_value_per_channel_works_in_evaluation_without_statistics(fused):
    module = module_for((1, 3), track_running_stats=False, fused=fused).eval()
    np.testing.assert_array_equal(module(mg.tensor(draw((1, 3)))).numpy(), 0)


EMPTY = [(0, 3), (0, 3, 5), (0, 3, 4, 2), (2, 3, 0, 2), (0, 3, 2, 3, 2)]


@forms
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", EMPTY)
def test_B22_empty_batch_gives_empty_output_and_zero_gradients(shape, training, fused):
    module = module_for(shape, fused=fused).train(training)
    before = stats_of(module)
    x = leaf(np.zeros(shape))
    y = module(x)
    assert y.shape == shape
    y.sum().backward()
    np.testing.assert_array_equal(module.weight.grad.numpy(), np.zeros(3))
    np.testing.assert_array_equal(module.bias.grad.numpy(), np.zeros(3))
    assert x.grad.shape == shape
    assert_same_stats(module, before)


@forms
def test_B22_empty_batch_has_recorded_derivatives_too(fused):
    x, w, b = leaf(np.zeros((0, 3))), leaf(np.ones(3)), leaf(np.zeros(3))
    y = F.batch_norm(x, None, None, w, b, training=True, fused=fused)
    found = mg.grad((y * y).sum(), [x, w, b], create_graph=True)
    again = mg.grad(sum((t * t).sum() for t in found), [x, w, b], allow_unused=True)
    assert found[1].shape == (3,)
    assert all(t is None or np.isfinite(t.numpy()).all() for t in again)


@forms
def test_B22_empty_batch_leaves_the_function_s_running_tensors_alone(fused):
    mean, var = mg.tensor(np.full(3, 2.0)), mg.tensor(np.full(3, 3.0))
    F.batch_norm(mg.tensor(np.zeros((0, 3))), mean, var, training=True, fused=fused)
    np.testing.assert_array_equal(mean.numpy(), 2)
    np.testing.assert_array_equal(var.numpy(), 3)


def test_B23_odd_last_batch_raises_our_error_and_not_nan():
    module, data = module_for((10, 3)), draw((101, 3))
    for start in range(0, 100, 10):
        module(mg.tensor(data[start : start + 10]))
    before = stats_of(module)
    with pytest.raises(ValueError, match="drop_last"):
        module(mg.tensor(data[100:]))
    assert_same_stats(module, before)
    assert np.isfinite(before[0]).all()


@forms
@layouts
def test_B24_without_statistics_evaluation_normalises_by_the_batch(shape, fused):
    module = module_for(shape, track_running_stats=False, fused=fused)
    assert list(module.buffers()) == []
    x = batch(shape)
    trained, evaluated = module.train()(x).numpy(), module.eval()(x).numpy()
    np.testing.assert_array_equal(trained, evaluated)
    expected, *_ = normalise(x.numpy(), np.ones(3), np.zeros(3), x.numpy())
    np.testing.assert_allclose(evaluated, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("tracked", [True, False])
def test_B24_toggling_track_running_stats_later_is_rejected(tracked):
    module = nn.BatchNorm1d(3, track_running_stats=tracked)
    with pytest.raises((AttributeError, ValueError, TypeError, RuntimeError)):
        module.track_running_stats = not tracked
    assert module.track_running_stats is tracked


@forms
@layouts
def test_B25_evaluation_never_moves_them(shape, fused):
    module = module_for(shape, fused=fused)
    module(batch(shape))
    before = stats_of(module)
    module.eval()
    for seed in range(3):
        y = module(leaf(draw(shape, seed, mean=9.0)))
        y.sum().backward()
    assert_same_stats(module, before)


def test_B26_initial_values():
    module = nn.BatchNorm2d(4)
    np.testing.assert_array_equal(module.weight.numpy(), np.ones(4))
    np.testing.assert_array_equal(module.bias.numpy(), np.zeros(4))
    np.testing.assert_array_equal(module.running_mean.numpy(), np.zeros(4))
    np.testing.assert_array_equal(module.running_var.numpy(), np.ones(4))
    assert module.num_batches_tracked.item() == 0


def test_B26_reset_restores_them():
    module = module_for((6, 3))
    fresh = stats_of(module)
    module(batch((6, 3)))
    module.reset_running_stats()
    assert_same_stats(module, fresh)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_B26_reset_restores_poisoned_ones(bad):
    module = module_for((6, 3))
    fresh = stats_of(module)
    state = module.state_dict()
    state["running_mean"], state["running_var"] = np.full(3, bad), np.full(3, bad)
    module.load_state_dict(state)
    module.reset_running_stats()
    assert_same_stats(module, fresh)


@forms
def test_B27_eps_stands_inside_the_root(fused):
    """v = 0 and x - mean = δ: y = δ/√eps, where √v + eps would give δ/eps."""
    delta, eps = 1e-3, 1e-4
    x = mg.tensor(np.full((1, 2), 1 + delta))
    one, zero = mg.tensor(np.ones(2)), mg.tensor(np.zeros(2))
    y = F.batch_norm(x, one, zero, eps=eps, fused=fused)
    np.testing.assert_allclose(y.numpy(), delta / np.sqrt(eps), rtol=1e-10)


@forms
def test_B27_eps_is_the_same_number_backward(fused):
    x, dy, gamma = draw((6, 3)) * 1e-3, draw((6, 3), 1), np.array([2.0, -1.0, 0.5])
    t = leaf(x)
    y = F.batch_norm(t, None, None, mg.tensor(gamma), None, training=True, eps=1e-2, fused=fused)
    expected = normalise(x, gamma, np.zeros(3), dy, 1e-2)
    np.testing.assert_allclose(mg.grad(y, t, mg.tensor(dy))[0].numpy(), expected[1], rtol=1e-10)


@pytest.mark.parametrize("eps", [-1e-5, float("nan"), -float("inf")])
def test_B28_bad_eps_is_refused(eps):
    with pytest.raises(ValueError, match="eps"):
        nn.BatchNorm1d(3, eps=eps)
    mean, var = mg.tensor(np.zeros(3)), mg.tensor(np.ones(3))
    with pytest.raises(ValueError, match="eps"):
        F.batch_norm(batch((6, 3)), mean, var, training=True, eps=eps)
    np.testing.assert_array_equal(mean.numpy(), 0)
    np.testing.assert_array_equal(var.numpy(), 1)


@forms
def test_B28_eps_0_is_allowed(fused):
    module = module_for((6, 3), eps=0.0, fused=fused)
    x = batch((6, 3)).numpy()
    np.testing.assert_allclose(
        module(mg.tensor(x)).numpy(), (x - x.mean(0)) / x.std(0), rtol=1e-12, atol=1e-13
    )


@forms
def test_B29_eps_is_not_added_to_the_running_variance(fused):
    module = module_for((6, 3), eps=0.5, momentum=1.0, fused=fused)
    x = batch((6, 3))
    module(x)
    np.testing.assert_allclose(module.running_var.numpy(), x.numpy().var(0, ddof=1), rtol=1e-13)


@forms
def test_a_constant_channel_has_running_variance_0(fused):
    module = module_for((6, 3), momentum=1.0, fused=fused, dtype=mg.float32)
    module(mg.tensor(np.full((6, 3), 100.1, np.float32)))
    np.testing.assert_array_equal(module.running_var.numpy(), 0)
    np.testing.assert_array_equal(module.running_mean.numpy(), np.float32(100.1))


# ---- bad values


@forms
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_B45_a_bad_value_stays_in_its_channel(bad, fused):
    x = draw((64, 3, 5), dtype=np.float32)
    spoilt = x.copy()
    spoilt[7, 1, 2] = bad
    results = []
    for each in (x, spoilt):
        module = nn.BatchNorm1d(3, fused=fused)
        t = leaf(each)
        with np.errstate(invalid="ignore" if np.isinf(bad) else "warn"):  # ∞ - ∞ is NumPy's to say
            y = module(t)
            y.backward(mg.tensor(draw(x.shape, 2, np.float32)))
        results.append([y.numpy(), t.grad.numpy(), *stats_of(module)[:2]])
    for clean, dirty in zip(*results, strict=True):
        axis = 0 if clean.ndim == 1 else 1
        for channel in (0, 2):
            kept = np.take(clean, channel, axis).tobytes()
            assert np.take(dirty, channel, axis).tobytes() == kept
        assert not np.isfinite(np.take(dirty, 1, axis)).all()


@forms
def test_B45_a_bad_value_stays_in_its_column_in_two_dimensions(fused):
    x = draw((300, 4), dtype=np.float32)
    spoilt = x.copy()
    spoilt[7, 1] = np.nan
    clean, dirty = (nn.BatchNorm1d(4, fused=fused)(mg.tensor(each)).numpy() for each in (x, spoilt))
    assert clean[:, [0, 2, 3]].tobytes() == dirty[:, [0, 2, 3]].tobytes()
    assert np.isnan(dirty[:, 1]).all()


@forms
def test_B45_running_statistics_keep_the_nan(fused):
    module = module_for((6, 3), fused=fused)
    x = draw((6, 3))
    x[0, 1] = np.nan
    module(mg.tensor(x))
    module(batch((6, 3)))
    np.testing.assert_array_equal(np.isnan(module.running_mean.numpy()), [False, True, False])
    np.testing.assert_array_equal(np.isnan(module.running_var.numpy()), [False, True, False])


@forms
def test_B46_in_evaluation_a_nan_sample_spoils_itself_alone(fused):
    module = module_for((6, 3), fused=fused)
    module(batch((6, 3)))
    x = draw((6, 3))
    x[2] = np.nan
    y = module.eval()(mg.tensor(x)).numpy()
    np.testing.assert_array_equal(np.isnan(y).all(1), np.arange(6) == 2)
    assert np.isfinite(np.delete(y, 2, 0)).all()


# ---- frozen statistics, recomputation, no_grad


def test_B47_a_second_forward_moves_them_twice():
    module = module_for((6, 3))
    x = batch((6, 3))
    module(x)
    module(x)
    np.testing.assert_allclose(module.running_mean.numpy(), 0.19 * x.numpy().mean(0), rtol=1e-12)


@forms
@layouts
def test_B47_frozen_stats_keeps_them_and_normalises_by_the_batch(shape, fused):
    module = module_for(shape, fused=fused)
    before, x = stats_of(module), batch(shape)
    with nn.frozen_stats(module):
        y = module(x)
    assert_same_stats(module, before)
    np.testing.assert_array_equal(y.numpy(), module(x).numpy())
    assert module.num_batches_tracked.item() == 1


def test_B47_frozen_stats_reaches_every_batch_norm_below_and_no_other():
    inside, outside = module_for((6, 3)), module_for((6, 3))
    model = nn.Sequential(nn.Sequential(inside), nn.ReLU())
    with nn.frozen_stats(model):
        model(batch((6, 3)))
        outside(batch((6, 3)))
    assert inside.num_batches_tracked.item() == 0
    assert outside.num_batches_tracked.item() == 1


def test_B47_frozen_stats_ends_with_an_exception_and_nests():
    module = module_for((6, 3))

    def interrupted():
        with nn.frozen_stats(module):
            with nn.frozen_stats(module):
                module(batch((6, 3)))
            module(batch((6, 3)))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert module.num_batches_tracked.item() == 0
    module(batch((6, 3)))
    assert module.num_batches_tracked.item() == 1


@forms
def test_B48_no_grad_in_training_moves_them(fused):
    module = module_for((6, 3), fused=fused)
    with mg.no_grad():
        module(batch((6, 3)))
    assert module.num_batches_tracked.item() == 1
    assert np.abs(module.running_mean.numpy()).min() > 0


@forms
def test_B48_no_grad_in_evaluation_moves_nothing(fused):
    module = module_for((6, 3), fused=fused).eval()
    before = stats_of(module)
    with mg.no_grad():
        module(batch((6, 3)))
    assert_same_stats(module, before)


# ---- recompute_stats

UNEVEN = (7, 2, 12, 5)


def uneven(channels=3, seed=0):
    data = draw((sum(UNEVEN), channels), seed, mean=1e2, std=3.0) * np.linspace(0.5, 2, channels)
    return data, np.split(data, np.cumsum(UNEVEN)[:-1])


@forms
def test_B47b_recomputed_statistics_are_the_population_s(fused):
    module = module_for((6, 3), fused=fused)
    data, batches = uneven()
    nn.recompute_stats(module, [mg.tensor(x) for x in batches])
    np.testing.assert_allclose(module.running_mean.numpy(), data.mean(0), rtol=1e-13)
    np.testing.assert_allclose(module.running_var.numpy(), data.var(0, ddof=1), rtol=1e-11)


def test_B47b_they_are_the_mean_variance_plus_the_variance_of_the_means():
    module = module_for((6, 3))
    data, batches = uneven()
    nn.recompute_stats(module, [mg.tensor(x) for x in batches])
    share, n = np.array(UNEVEN)[:, None] / len(data), len(data)
    means = np.array([x.mean(0) for x in batches])
    within = (share * [x.var(0) for x in batches]).sum(0)
    between = (share * (means - (share * means).sum(0)) ** 2).sum(0)
    expected = (within + between) * n / (n - 1)
    np.testing.assert_allclose(module.running_var.numpy(), expected, rtol=1e-10)
    assert (between > 1e-3 * within).all()


@layouts
def test_B47b_every_layout_pools_all_values_of_a_channel(shape):
    module = module_for(shape)
    batches = [draw((n, *shape[1:]), n, mean=n) for n in (2, 5, 3)]
    nn.recompute_stats(module, (mg.tensor(x) for x in batches))
    data = np.concatenate(batches)
    np.testing.assert_allclose(module.running_mean.numpy(), data.mean(axes_of(data)), rtol=1e-12)
    np.testing.assert_allclose(
        module.running_var.numpy(), data.var(axes_of(data), ddof=1), rtol=1e-12
    )


def test_B47b_the_order_of_batches_does_not_matter():
    found = []
    for order in (1, -1):
        module = module_for((6, 3))
        nn.recompute_stats(module, [mg.tensor(x) for x in uneven()[1][::order]])
        found.append(stats_of(module))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-11)


def test_B47b_what_they_were_before_does_not_matter():
    found = []
    for seed in (1, 2):
        module = module_for((6, 3))
        module(batch((6, 3), seed))
        nn.recompute_stats(module, [mg.tensor(x) for x in uneven()[1]])
        found.append(stats_of(module)[:2])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def deep_model():
    mg.manual_seed(3)
    return nn.Sequential(
        nn.Linear(3, 4, dtype=mg.float64), nn.BatchNorm1d(4, dtype=mg.float64), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(4, 2, dtype=mg.float64), nn.BatchNorm1d(2, dtype=mg.float64),
    )  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_B47b_weights_modes_gradients_and_counters_stay(training):
    model = deep_model()
    model(mg.tensor(draw((6, 3)))).sum().backward()
    model.train(training)
    list(model.modules())[3].training = not training  # one module of another mode
    modes = [module.training for module in model.modules()]
    kept = [p.numpy().copy() for p in model.parameters()]
    grads = [p.grad for p in model.parameters()]
    values = [g.numpy().copy() for g in grads]
    counters = {k: v.item() for k, v in model.state_dict().items() if "tracked" in k}
    nn.recompute_stats(model, [mg.tensor(x) for x in uneven()[1]])
    assert [module.training for module in model.modules()] == modes
    assert mg.is_grad_enabled()
    for p, value, g, g_value in zip(model.parameters(), kept, grads, values, strict=True):
        assert p.numpy().tobytes() == value.tobytes()
        assert p.grad is g
        assert g.numpy().tobytes() == g_value.tobytes()
        assert p.requires_grad
    assert {k: v.item() for k, v in model.state_dict().items() if "tracked" in k} == counters


def test_B47b_dropout_does_nothing_meanwhile():
    model, found = deep_model(), []
    for seed in (1, 2):
        mg.manual_seed(seed)
        nn.recompute_stats(model, [mg.tensor(x) for x in uneven()[1]])
        found.append(model.state_dict()["5.running_var"].numpy())
    np.testing.assert_array_equal(*found)


def test_B47b_batches_may_be_pairs_of_input_and_label_and_arrays():
    found = []
    for wrap in (mg.tensor, lambda x: (mg.tensor(x), 0), lambda x: [x, 0], lambda x: x):
        module = module_for((6, 3))
        nn.recompute_stats(module, [wrap(x) for x in uneven()[1]])
        found.append(stats_of(module)[:2])
    for each in found[1:]:
        for a, b in zip(each, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_B47b_no_batches_raise_and_change_nothing():
    module = module_for((6, 3))
    module(batch((6, 3)))
    before = stats_of(module)
    with pytest.raises(ValueError, match="no batches"):
        nn.recompute_stats(module, iter([]))
    assert_same_stats(module, before)
    assert module.training


def test_B47b_a_bad_batch_raises_and_changes_nothing():
    model = deep_model()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    model(mg.tensor(draw((6, 3))))
    model.eval()
    before = [stats_of(module) for module in norms]
    with pytest.raises(ShapeError):
        nn.recompute_stats(model, [mg.tensor(draw((6, 3))), mg.tensor(draw((1, 3)))])
    for module, each in zip(norms, before, strict=True):
        assert_same_stats(module, each)
        assert not module.training
    assert mg.is_grad_enabled()


def test_B47b_frozen_modules_keep_their_statistics():
    frozen, free = module_for((6, 3)).freeze(), module_for((6, 3))
    before = stats_of(frozen)
    nn.recompute_stats(nn.Sequential(frozen, free), [mg.tensor(x) for x in uneven()[1]])
    assert_same_stats(frozen, before)
    assert np.abs(free.running_mean.numpy()).min() > 1


def test_B47b_float32_statistics_of_a_large_mean_are_exact():
    module = module_for((6, 2), dtype=mg.float32)
    data = draw((4000, 2), dtype=np.float32, mean=1e4)
    nn.recompute_stats(module, [mg.tensor(x) for x in np.split(data, 40)])
    wide = data.astype(np.float64)
    np.testing.assert_allclose(module.running_mean.numpy(), wide.mean(0), rtol=1e-7)
    np.testing.assert_allclose(module.running_var.numpy(), wide.var(0, ddof=1), rtol=1e-3)
    assert module.running_var.dtype == np.float32


# ---- state


def test_B49_counter_is_one_int64():
    module = nn.BatchNorm1d(3)
    module(mg.tensor(draw((6, 3), dtype=np.float32)))
    assert module.num_batches_tracked.dtype == np.int64
    assert module.num_batches_tracked.shape == ()


def test_B49_counter_survives_state_dict_and_half():
    module = nn.BatchNorm1d(3)
    for _ in range(3):
        module(mg.tensor(draw((6, 3), dtype=np.float32)))
    other = nn.BatchNorm1d(3)
    other.load_state_dict(module.state_dict())
    other.to(mg.float16)
    assert other.num_batches_tracked.dtype == np.int64
    assert other.num_batches_tracked.item() == 3
    assert other.running_mean.dtype == other.weight.dtype == np.float16


def test_B50_strict_load_lists_every_problem_and_changes_nothing():
    module = module_for((6, 3))
    before = stats_of(module)
    state = module.state_dict()
    del state["weight"]
    state["extra"], state["running_mean"] = np.zeros(1), np.zeros(4)
    with pytest.raises(RuntimeError) as raised:
        module.load_state_dict(state)
    for problem in ("weight: missing", "extra: unexpected", "running_mean: shape (4,)"):
        assert problem in str(raised.value)
    assert_same_stats(module, before)


def test_B50_a_state_without_a_counter_loads_with_a_warning():
    module = module_for((6, 3))
    state = module.state_dict()
    del state["num_batches_tracked"]
    state["running_mean"] = np.full(3, 7.0)
    with pytest.warns(UserWarning, match="num_batches_tracked"):
        module.load_state_dict(state)
    np.testing.assert_array_equal(module.running_mean.numpy(), 7)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_B51_a_copy_after_backward_shares_nothing_and_works(copied):
    module = module_for((6, 3))
    x = batch((6, 3))
    module(x).sum().backward()
    other = copied(module)
    for name, a in module.state_dict().items():
        np.testing.assert_array_equal(a.numpy(), other.state_dict()[name].numpy())
    for a, b in zip(
        [*module.parameters(), *module.buffers()],
        [*other.parameters(), *other.buffers()],
        strict=True,
    ):
        assert type(a) is type(b)
        assert not np.shares_memory(a.numpy(), b.numpy())
    before = stats_of(module)
    other(batch((6, 3), 5)).sum().backward()
    assert_same_stats(module, before)
    assert other.num_batches_tracked.item() == 2


def test_B52_running_buffers_are_outside_the_graph():
    module = module_for((6, 3))
    module(leaf(draw((6, 3))))
    for each in module.buffers():
        assert not each.requires_grad
        assert isinstance(each, nn.Buffer)


@forms
def test_B52_a_thousand_steps_without_backward_keep_no_memory(fused):
    module = module_for((16, 8), fused=fused)
    x, used = leaf(draw((16, 8))), []
    tracemalloc.start()
    try:
        for _ in range(2):  # the first thousand fills the interpreter's free lists
            for _ in range(1000):
                module(x)
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert used[1] - used[0] < 20_000  # one kept output a step would be a million


# ---- modes and freezing


def test_B55_eval_is_undone_by_the_model_s_train():
    module = module_for((6, 3))
    model = nn.Sequential(module)
    module.eval()
    model.train()
    assert module.training


@forms
def test_B55_freeze_survives_the_model_s_train(fused):
    module = module_for((6, 3), fused=fused)
    model = nn.Sequential(module)
    module.freeze()
    before = stats_of(module)
    model.train()
    y = model(batch((6, 3)))
    assert not module.training
    assert not y.requires_grad
    assert_same_stats(module, before)


def test_B55_unfreeze_undoes_it():
    module = module_for((6, 3)).freeze().unfreeze()
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    module(batch((6, 3)))
    assert module.num_batches_tracked.item() == 1


@forms
def test_B56_parameters_without_grad_get_none_and_statistics_move(fused):
    module = module_for((6, 3), fused=fused).requires_grad_(False)
    x = leaf(draw((6, 3)))
    module(x).sum().backward()
    assert module.weight.grad is None
    assert module.bias.grad is None
    assert x.grad is not None
    assert module.num_batches_tracked.item() == 1


@forms
@layouts
def test_B58_the_same_seed_gives_the_same_bits(shape, fused):
    def once():
        mg.manual_seed(7)
        module = module_for(shape, fused=fused)
        x = mg.randn(*shape, dtype=mg.float64).requires_grad_()
        y = module(x)
        y.backward(mg.randn(*shape, dtype=mg.float64))
        return [t.numpy().tobytes() for t in (y, x.grad, module.weight.grad, *module.buffers())]

    assert once() == once()


def test_B59_construction_and_repr_run_no_op():
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        module = nn.BatchNorm2d(3)
        text = repr(module)
    assert names == []
    assert text.startswith("BatchNorm2d(3, eps=1e-05, momentum=0.1")
    assert module.num_batches_tracked.item() == 0


def test_B59_one_module_used_twice_moves_twice():
    module = module_for((6, 3))
    nn.Sequential(module, nn.ReLU(), module)(batch((6, 3)))
    assert module.num_batches_tracked.item() == 2


@forms
@layouts
def test_B60_training_output_depends_on_neither_momentum_nor_statistics(shape, fused):
    x, found = draw(shape), []
    for momentum, mean in ((0.1, 0.0), (None, 5.0), (0.9, -3.0)):
        module = module_for(shape, momentum=momentum, fused=fused)
        state = module.state_dict()
        state["running_mean"] = np.full(3, mean)
        state["running_var"] = np.full(3, mean * mean + 2)
        module.load_state_dict(state)
        t = leaf(x)
        y = module(t)
        (y * y * y).sum().backward()
        found.append(y.numpy().tobytes() + t.grad.numpy().tobytes())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape", "named"),
    [
        (nn.BatchNorm1d, (3,), "(3,)"),
        (nn.BatchNorm1d, (), "()"),
        (nn.BatchNorm1d, (4, 5), "(4, 5)"),
        (nn.BatchNorm1d, (4, 3, 2, 2), "(4, 3, 2, 2)"),
        (nn.BatchNorm2d, (4, 3, 2), "(4, 3, 2)"),
        (nn.BatchNorm2d, (4, 2, 3, 3), "(4, 2, 3, 3)"),
        (nn.BatchNorm3d, (4, 3, 2, 2), "(4, 3, 2, 2)"),
    ],
)
def test_B61_wrong_rank_or_channels_name_what_was_given_and_wanted(kind, shape, named, training):
    module = kind(3, dtype=mg.float64).train(training)
    before = stats_of(module)
    with pytest.raises(ShapeError) as raised:
        module(mg.tensor(draw(shape)))
    assert named in str(raised.value)
    assert "C = 3" in str(raised.value)
    assert module.layout in str(raised.value)
    assert_same_stats(module, before)


@pytest.mark.parametrize("given", [np.ones((4, 3), np.int64), np.ones((4, 3), bool)])
def test_B61_integers_are_refused_and_move_nothing(given):
    module = module_for((4, 3))
    before = stats_of(module)
    with pytest.raises(DTypeError, match="floating"):
        module(mg.tensor(given))
    with pytest.raises(DTypeError, match="give"):
        module(given)
    assert_same_stats(module, before)


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (draw((1, 3)), {}),
        (draw((4, 2)), {}),
        (draw(3), {}),
        (np.ones((4, 3), np.int64), {}),
        (draw((4, 3)), {"eps": -1.0}),
        (draw((4, 3)), {"weight": mg.tensor(np.ones(4))}),
        (draw((4, 3)), {"bias": mg.tensor(np.ones((1, 3)))}),
    ],
    ids=["one value", "channels", "rank", "integers", "eps", "weight", "bias"],
)
@forms
def test_B61_errors_of_the_function_leave_its_running_tensors_alone(x, options, fused):
    mean, var = mg.tensor(np.full(3, 2.0)), mg.tensor(np.full(3, 3.0))
    with pytest.raises((ValueError, TypeError)):
        F.batch_norm(mg.tensor(x), mean, var, training=True, fused=fused, **options)
    np.testing.assert_array_equal(mean.numpy(), 2)
    np.testing.assert_array_equal(var.numpy(), 3)


def test_B61_function_refuses_running_tensors_of_another_length():
    good, bad = mg.tensor(np.full(3, 2.0)), mg.tensor(np.full(4, 2.0))
    with pytest.raises(ShapeError, match=r"\(4,\)"):
        F.batch_norm(batch((6, 3)), good, bad, training=True)
    np.testing.assert_array_equal(good.numpy(), 2)


def test_function_in_evaluation_needs_statistics():
    with pytest.raises(ValueError, match="running_mean"):
        F.batch_norm(batch((6, 3)), None, None)


@forms
@layouts
def test_function_updates_the_running_tensors_that_it_is_given(shape, fused):
    mean, var = mg.tensor(np.full(3, 2.0)), mg.tensor(np.full(3, 3.0))
    x = batch(shape)
    y = F.batch_norm(x, mean, var, training=True, momentum=0.25, fused=fused)
    assert isinstance(y, mg.Tensor)
    a = axes_of(x)
    np.testing.assert_allclose(mean.numpy(), 1.5 + 0.25 * x.numpy().mean(a), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), 2.25 + 0.25 * x.numpy().var(a, ddof=1), rtol=1e-12)


def test_function_updates_one_running_tensor_alone():
    mean, x = mg.tensor(np.zeros(3)), batch((6, 3))
    F.batch_norm(x, mean, None, training=True, momentum=1.0)
    np.testing.assert_allclose(mean.numpy(), x.numpy().mean(0), rtol=1e-12)


def test_function_in_evaluation_moves_nothing():
    mean, var = mg.tensor(np.full(3, 2.0)), mg.tensor(np.full(3, 3.0))
    F.batch_norm(batch((6, 3)), mean, var)
    np.testing.assert_array_equal(mean.numpy(), 2)
    np.testing.assert_array_equal(var.numpy(), 3)


def test_function_rebinds_and_leaves_a_saved_array_alone():
    mean, var = mg.tensor(np.zeros(3)), mg.tensor(np.ones(3))
    old = mean.numpy()
    F.batch_norm(batch((6, 3)), mean, var, training=True)
    np.testing.assert_array_equal(old, 0)
    assert np.abs(mean.numpy()).min() > 0


@forms
@layouts
def test_B62_a_permuted_batch_gives_the_permuted_output(shape, fused):
    module, x = module_for(shape, fused=fused), draw(shape)
    order = np.random.default_rng(1).permutation(shape[0])
    np.testing.assert_allclose(
        module(mg.tensor(x[order])).numpy(), module(mg.tensor(x)).numpy()[order], atol=1e-13
    )


@forms
@layouts
def test_B62_samples_meet_in_training_and_not_in_evaluation(shape, fused):
    module, x = module_for(shape, fused=fused), draw(shape)
    moved = x.copy()
    moved[0] += per_channel([1.0, 2.0, 3.0], x)[0] * draw(shape[2:] or (1,), 4)[..., :]
    for training in (True, False):
        module.train(training)
        a, b = (module(mg.tensor(each)).numpy()[1] for each in (x, moved))
        assert (a.tobytes() == b.tobytes()) is not training


# ---- PyTorch


@forms
@pytest.mark.parametrize("momentum", [0.1, None, 0.7])
@pytest.mark.parametrize("affine", [True, False])
@layouts
def test_B64_pytorch_agrees_for_several_steps(shape, affine, momentum, fused):
    torch = pytest.importorskip("torch")
    kind = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[len(shape)]
    options = {"momentum": momentum, "affine": affine, "eps": 1e-3}
    ours = module_for(shape, fused=fused, **options)
    theirs = getattr(torch.nn, kind)(shape[1], dtype=torch.float64, **options)
    if affine:
        gamma, beta = parameters(shape[1])
        given = {"weight": torch.tensor(gamma), "bias": torch.tensor(beta)}
        theirs.load_state_dict(given, strict=False)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for step in range(5):
        training = step != 3
        x = draw(shape, step, mean=step, std=1 + step)
        dy = draw(shape, 10 + step)
        a, b = leaf(x), torch.tensor(x, requires_grad=True)
        for p in ours.parameters():
            p.zero_grad()
        theirs.zero_grad()
        y, z = ours.train(training)(a), theirs.train(training)(b)
        y.backward(mg.tensor(dy))
        z.backward(torch.tensor(dy))
        pairs = [(y, z), (a.grad, b.grad)]
        if affine:
            pairs += [(ours.weight.grad, theirs.weight.grad), (ours.bias.grad, theirs.bias.grad)]
        pairs += [(ours.running_mean, theirs.running_mean), (ours.running_var, theirs.running_var)]
        for mine, other in pairs:
            np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-11)
        assert ours.num_batches_tracked.item() == theirs.num_batches_tracked.item()


def test_B64_state_dicts_load_both_ways():
    torch = pytest.importorskip("torch")
    ours, theirs = module_for((6, 3)), torch.nn.BatchNorm1d(3, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours(batch((6, 3)))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = draw((4, 3), 9)
    np.testing.assert_allclose(
        ours.eval()(mg.tensor(x)).numpy(),
        theirs.eval()(torch.tensor(x)).detach().numpy(),
        rtol=1e-12,
        atol=1e-14,
    )


def test_layouts_are_all_of_them():
    assert [len(shape) for shape in SHAPES.values()] == [2, 3, 4, 5]
