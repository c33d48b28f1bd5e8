"""How BatchNorm's running statistics move, and when they do not."""

import numpy as np
import pytest
from batch_norm_helpers import (
    assert_same_stats,
    batch,
    draw,
    host,
    leaf,
    module_for,
    moments,
    normalise,
    on_gpu,
    state_of,
    stats_of,
    with_stats,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F

# ---- by how much they move


def test_B15_one_step_from_0_and_1_moves_by_a_tenth(shape, fused, device):
    module, x = module_for(shape, fused=fused, device=device), batch(shape, device)
    module(x)
    mean, var = moments(x)
    np.testing.assert_allclose(host(module.running_mean), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(host(module.running_var), 0.9 + 0.1 * var, rtol=1e-12)


def test_B15_from_anywhere_a_tenth_of_the_way_and_not_nine(shape, fused, device):
    module, x = module_for(shape, fused=fused, device=device), batch(shape, device)
    with_stats(module, -4.0, 30.0)
    module(x)
    for old, new, goal in zip((-4.0, 30.0), stats_of(module)[:2], moments(x), strict=True):
        np.testing.assert_allclose((new - old) / (goal - old), 0.1, rtol=1e-12)


def test_B15_momentum_0_moves_nothing(shape, fused, device):
    module = module_for(shape, momentum=0.0, fused=fused, device=device)
    for mean, var in ((0, 1), (-4.0, 30.0)):
        with_stats(module, mean, var)
        module(batch(shape, device))
        np.testing.assert_array_equal(host(module.running_mean), mean)
        np.testing.assert_array_equal(host(module.running_var), var)


def test_B15_momentum_1_is_exactly_the_batch(shape, fused, device):
    found = []
    for seed in (1, 2):  # what was there before leaves no trace
        module = module_for(shape, momentum=1.0, fused=fused, device=device)
        x = batch(shape, device)
        module(batch(shape, device, seed))
        module(x)
        found.append([each.tobytes() for each in stats_of(module)])
        for each, expected in zip(stats_of(module)[:2], moments(x), strict=True):
            np.testing.assert_allclose(each, expected, rtol=1e-14)
    assert found[0] == found[1]


def test_B16_momentum_none_is_the_exact_average_of_batches(shape, fused, device):
    module = module_for(shape, momentum=None, fused=fused, device=device)
    batches = [batch((n, *shape[1:]), device, n) for n in (4, 2, 7, 3, 5, 2, 6)]
    for k, x in enumerate(batches, 1):
        module(x)
        means, variances = zip(*map(moments, batches[:k]), strict=True)
        assert np.abs(host(module.running_mean) - np.mean(means, 0)).max() < 1e-12
        assert np.abs(host(module.running_var) - np.mean(variances, 0)).max() < 1e-12
        assert module.num_batches_tracked.item() == k


def test_B17_n_counts_batch_and_positions_and_not_channels(shape, fused, device):
    module = module_for(shape, momentum=1.0, fused=fused, device=device)
    x = batch(shape, device)
    module(x)
    n = shape[0] * int(np.prod(shape[2:]))  # N·H·W
    biased = moments(x)[1] * (n - 1) / n
    np.testing.assert_allclose(host(module.running_var) / biased, n / (n - 1), rtol=1e-12)


def test_B18_running_mean_is_not_scaled(shape, fused, device):
    module = module_for(shape, momentum=1.0, fused=fused, device=device)
    x = batch((2, *shape[1:]), device)  # n/(n - 1) of (2, C) would be 2
    module(x)
    np.testing.assert_allclose(host(module.running_mean), moments(x)[0], rtol=1e-13)


def test_B19_for_small_batches_running_variance_is_the_population_s(shape, fused, device):
    """Without n/(n - 1) the medians are 0.546, 0.743 and 0.869 of it.

    The stand-in's steps take ten times a CPU's: 200 of them forget the start too, 0.98^200 < .02.
    """
    steps = 3000 if device == "cpu" or on_gpu(device) else 200
    for n in (2, 4, 8):  # values of each channel
        small = (n, 60, *[1] * (len(shape) - 2))
        module = module_for(small, momentum=0.02, affine=False, fused=fused, device=device)
        data = mg.tensor(draw((steps, *small), n, mean=3.0, std=2.0), device=device)
        with mg.no_grad():
            for x in data:
                module(x)
        assert 0.9 <= np.median(host(module.running_var)) / 4.0 <= 1.1


def test_a_constant_channel_has_running_variance_0(shape, fused, device):
    module = module_for(shape, momentum=1.0, fused=fused, device=device, dtype=mg.float32)
    module(mg.tensor(np.full(shape, 100.1, np.float32), device=device))
    np.testing.assert_array_equal(host(module.running_var), 0)
    np.testing.assert_array_equal(host(module.running_mean), np.float32(100.1))


# ---- eps


def test_B27_eps_stands_inside_the_root(shape, fused, device):
    """v = 0 and x - mean = δ: y = δ/√eps and dx = 1/√eps, where √v + eps would give 1/eps."""
    delta, eps = 1e-3, 1e-4
    x = leaf(np.full(shape, 1 + delta), device)
    module = with_stats(module_for(shape, eps=eps, fused=fused, device=device), 1, 0).eval()
    y = module(x)
    y.sum().backward()
    np.testing.assert_allclose(host(y), delta / np.sqrt(eps), rtol=1e-10)
    np.testing.assert_allclose(host(x.grad), 1 / np.sqrt(eps), rtol=1e-12)


def test_B27_eps_is_the_same_number_forward_and_backward(shape, fused, device):
    x, dy, gamma = draw(shape) * 1e-3, draw(shape, 1), np.array([2.0, -1.0, 0.5])
    t = leaf(x, device)
    weight = mg.tensor(gamma, device=device)
    y = F.batch_norm(t, None, None, weight, None, training=True, eps=1e-2, fused=fused)
    expected = normalise(x, gamma, np.zeros(3), dy, 1e-2)
    dx = mg.grad(y, t, mg.tensor(dy, device=device))[0]
    np.testing.assert_allclose(host(y), expected[0], rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(host(dx), expected[1], rtol=1e-10)


def test_B29_eps_is_not_added_to_the_running_variance(shape, fused, device):
    module = module_for(shape, eps=0.5, momentum=1.0, fused=fused, device=device)
    x = batch(shape, device)
    module(x)
    np.testing.assert_allclose(host(module.running_var), moments(x)[1], rtol=1e-13)


# ---- none, in evaluation, at the start


def test_B24_without_statistics_evaluation_normalises_by_the_batch(shape, fused, device):
    module = module_for(shape, track_running_stats=False, fused=fused, device=device)
    assert list(module.buffers()) == []
    assert list(module.state_dict()) == ["weight", "bias"]
    x = batch(shape, device)
    trained, evaluated = host(module.train()(x)), host(module.eval()(x))
    np.testing.assert_array_equal(trained, evaluated)
    expected, *_ = normalise(host(x), np.ones(3), np.zeros(3), host(x))
    np.testing.assert_allclose(evaluated, expected, rtol=1e-10, atol=1e-13)


def test_B24_toggling_track_running_stats_later_is_rejected(shape, fused, device):
    for tracked in (True, False):
        module = module_for(shape, track_running_stats=tracked, fused=fused, device=device)
        before = state_of(module)
        with pytest.raises(AttributeError, match="track_running_stats"):
            module.track_running_stats = not tracked
        assert module.track_running_stats is tracked
        assert state_of(module) == before


def test_B25_evaluation_never_moves_them(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(batch(shape, device))
    before = stats_of(module)
    module.eval()
    for seed in range(3):
        module(leaf(draw(shape, seed, mean=9.0), device)).sum().backward()
        with mg.no_grad():
            module(batch(shape, device))
    assert_same_stats(module, before)


INITIAL = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}


def test_B26_initial_values(shape, fused, device):
    for dtype in (mg.float32, mg.float64):
        state = module_for(shape, fused=fused, device=device, dtype=dtype).state_dict()
        assert list(state) == list(INITIAL)
        for name, value in state.items():
            expected = np.full(value.shape, INITIAL[name], np.int64 if "batches" in name else dtype)
            assert host(value).dtype == expected.dtype
            np.testing.assert_array_equal(host(value), expected)
        assert state["running_mean"].shape == state["running_var"].shape == (3,)


def test_B26_reset_restores_them_and_counts_from_0(shape, fused, device):
    module = module_for(shape, momentum=None, fused=fused, device=device)
    fresh = stats_of(module)
    for poison in (0.0, np.nan, np.inf):
        module(batch(shape, device))
        with_stats(module, 3 + poison, 4 + poison)
        weights = {name: state_of(module)[name] for name in ("weight", "bias")}
        module.reset_running_stats()
        assert_same_stats(module, fresh)
        assert {name: state_of(module)[name] for name in weights} == weights
    x = batch(shape, device, 1)
    module(x)  # with momentum=None the first batch is all again
    for each, expected in zip(stats_of(module)[:2], moments(x), strict=True):
        np.testing.assert_allclose(each, expected, rtol=1e-13)


# ---- frozen, recomputed, without gradients


def test_B47_a_second_forward_moves_them_twice(shape, fused, device):
    for momentum in (0.1, 0.3):
        module = module_for(shape, momentum=momentum, fused=fused, device=device)
        x, share = batch(shape, device), 1 - (1 - momentum) ** 2  # .19 for .1
        module(x)
        module(x)
        mean, var = moments(x)
        np.testing.assert_allclose(host(module.running_mean), share * mean, rtol=1e-12)
        np.testing.assert_allclose(host(module.running_var), 1 - share + share * var, rtol=1e-12)


def test_B47_frozen_stats_keeps_them_and_normalises_by_the_batch(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    before, x = stats_of(module), batch(shape, device)
    with nn.frozen_stats(module):
        y = module(x)
    assert_same_stats(module, before)
    np.testing.assert_array_equal(host(y), host(module(x)))
    assert module.num_batches_tracked.item() == 1


def test_B47_a_checkpoint_s_recomputation_moves_them_once(shape, fused, device):
    plain, again = (module_for(shape, fused=fused, device=device) for _ in range(2))
    found = []
    for module, call in ((plain, plain), (again, lambda x: mg.func.checkpoint(again, x))):
        x = leaf(host(batch(shape)), device)
        call(x).backward(mg.tensor(draw(shape, 1), device=device))
        found.append([host(t).tobytes() for t in (x.grad, module.weight.grad, *module.buffers())])
    assert found[0] == found[1]
    assert again.num_batches_tracked.item() == 1


def test_B47_a_checkpoint_moves_the_function_s_once(shape, fused, device):
    mean, var = (mg.tensor(np.full(3, value), device=device) for value in (0.0, 1.0))
    x = leaf(host(batch(shape)), device)
    y = mg.func.checkpoint(lambda x: F.batch_norm(x, mean, var, training=True, fused=fused), x)
    y.backward(mg.tensor(draw(shape, 1), device=device))
    batch_mean, batch_var = moments(x)
    np.testing.assert_allclose(host(mean), 0.1 * batch_mean, rtol=1e-12)
    np.testing.assert_allclose(host(var), 0.9 + 0.1 * batch_var, rtol=1e-12)
    assert x.grad is not None


def test_B47_frozen_stats_reaches_every_batch_norm_below_and_no_other(shape, fused, device):
    inside, outside = (module_for(shape, fused=fused, device=device) for _ in range(2))
    model = nn.Sequential(nn.Sequential(inside), nn.ReLU())
    with nn.frozen_stats(model):
        model(batch(shape, device))
        outside(batch(shape, device))
    assert inside.num_batches_tracked.item() == 0
    assert outside.num_batches_tracked.item() == 1


def holding(model):
    """A generator that holds the statistics from its first step until it is closed."""
    with nn.frozen_stats(model):
        yield


def test_B47_frozen_stats_that_end_in_another_order_leave_the_others_in_force(shape, fused, device):
    module, other = (module_for(shape, fused=fused, device=device) for _ in range(2))
    first, second, others = holding(module), holding(module), holding(other)
    for each in (first, second, others):
        next(each)

    def counts():
        for each in (module, other):
            each(batch(shape, device))
        return module.num_batches_tracked.item(), other.num_batches_tracked.item()

    assert counts() == (0, 0)
    first.close()
    assert counts() == (0, 0)
    second.close()
    assert counts() == (1, 0)
    others.close()
    assert counts() == (2, 1)


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


def test_B48_no_grad_moves_them_in_training_and_not_in_evaluation(shape, fused, device):
    recorded, module = (module_for(shape, fused=fused, device=device) for _ in range(2))
    recorded(leaf(host(batch(shape)), device))
    with mg.no_grad():
        module(batch(shape, device))
        assert_same_stats(module, stats_of(recorded))
        assert module.num_batches_tracked.item() == 1
        module.eval()(batch(shape, device, 1))
    assert_same_stats(module, stats_of(recorded))


def test_B48_no_grad_and_frozen_stats_normalise_by_the_batch_and_move_nothing(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    before, x = stats_of(module), batch(shape, device)
    with mg.no_grad(), nn.frozen_stats(module):
        y = module(x)
    assert_same_stats(module, before)
    expected, *_ = normalise(host(x), np.ones(3), np.zeros(3), host(x))
    np.testing.assert_allclose(host(y), expected, rtol=1e-10, atol=1e-13)


# ---- the function's own


def test_function_in_evaluation_needs_statistics(fused, device):
    for given in ((None, None), (mg.zeros(3, dtype=mg.float64, device=device), None)):
        with pytest.raises(ValueError, match="running_mean"):
            F.batch_norm(batch((6, 3), device), *given, fused=fused)


def test_function_updates_the_running_tensors_that_it_is_given(shape, fused, device):
    mean, var = (mg.tensor(np.full(3, value), device=device) for value in (2.0, 3.0))
    old, x = mean.array, batch(shape, device)
    y = F.batch_norm(x, mean, var, training=True, momentum=0.25, fused=fused)
    assert isinstance(y, mg.Tensor)
    batch_mean, batch_var = moments(x)
    np.testing.assert_allclose(host(mean), 1.5 + 0.25 * batch_mean, rtol=1e-12)
    np.testing.assert_allclose(host(var), 2.25 + 0.25 * batch_var, rtol=1e-12)
    assert mean.device == var.device == x.device
    np.testing.assert_array_equal(host(mg.tensor(old)), 2)  # rebound: who saved the old one has it


def test_function_updates_one_running_tensor_alone(shape, fused, device):
    x, mean = batch(shape, device), mg.zeros(3, dtype=mg.float64, device=device)
    F.batch_norm(x, mean, None, training=True, momentum=1.0, fused=fused)
    np.testing.assert_allclose(host(mean), moments(x)[0], rtol=1e-12)


def test_function_in_evaluation_moves_nothing(shape, fused, device):
    mean, var = (mg.tensor(np.full(3, value), device=device) for value in (2.0, 3.0))
    F.batch_norm(batch(shape, device), mean, var, fused=fused)
    np.testing.assert_array_equal(host(mean), 2)
    np.testing.assert_array_equal(host(var), 3)
