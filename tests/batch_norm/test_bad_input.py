"""What BatchNorm says to bad input, and leaves alone then, and what odd input it takes.

One value per channel, none, NaN and infinity, wrong shapes, dtypes, devices and options.
"""

import numpy as np
import pytest
from batch_norm_helpers import (
    batch,
    draw,
    host,
    leaf,
    module_for,
    moments,
    normalise,
    parameters,
    per_channel,
    state_of,
    stats_of,
    with_stats,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import DeviceError, DTypeError, ShapeError


def running(device):
    """Running tensors for the function: mean 2, variance 3."""
    return [mg.tensor(np.full(3, value), device=device) for value in (2.0, 3.0)]


def assert_untouched(mean, var):
    np.testing.assert_array_equal(host(mean), 2)
    np.testing.assert_array_equal(host(var), 3)


# ---- one value per channel, and none


def test_B20_one_value_per_channel_raises_and_moves_nothing(shape, fused, device):
    one = (1, 3, *[1] * (len(shape) - 2))
    module = module_for(one, fused=fused, device=device)
    module(batch(shape, device))
    before = state_of(module)
    with pytest.raises(ValueError, match="one value per channel") as raised:
        module(batch(one, device))
    assert str(one) in str(raised.value)  # what was given
    assert "larger batch" in str(raised.value)  # what was wanted
    assert "drop_last=True" in str(raised.value)  # and what to type
    assert ".eval()" in str(raised.value)
    assert state_of(module) == before


def test_B20_one_sample_with_several_positions_is_fine(shape, fused, device):
    one = (1, 3, *[4] * max(len(shape) - 2, 1))  # BatchNorm1d takes (1, C, 4)
    module = module_for(one, fused=fused, device=device)
    x = batch(one, device)
    y = host(module(x))
    expected, *_ = normalise(host(x), np.ones(3), np.zeros(3), y)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(host(module.running_mean), 0.1 * moments(x)[0], rtol=1e-12)
    np.testing.assert_allclose(host(module.running_var), 0.9 + 0.1 * moments(x)[1], rtol=1e-12)


def test_B20_the_function_raises_too_and_moves_nothing(shape, fused, device):
    one = (1, 3, *[1] * (len(shape) - 2))
    mean, var = running(device)
    with pytest.raises(ValueError, match="one value per channel") as raised:
        F.batch_norm(batch(one, device), mean, var, training=True, fused=fused)
    assert str(one) in str(raised.value)
    assert_untouched(mean, var)


def test_B21_one_value_per_channel_works_in_evaluation(shape, fused, device):
    one = (1, 3, *[1] * (len(shape) - 2))
    module = with_stats(module_for(one, eps=1e-3, fused=fused, device=device), 0.5, 4.0).eval()
    x = batch(one, device)
    np.testing.assert_allclose(host(module(x)), (host(x) - 0.5) / np.sqrt(4 + 1e-3), rtol=1e-12)


def test_B21_one_value_per_channel_is_bias_in_evaluation_without_statistics(shape, fused, device):
    one = (1, 3, *[1] * (len(shape) - 2))
    module = module_for(one, track_running_stats=False, fused=fused, device=device).eval()
    bias = parameters(3)[1]
    module.load_state_dict({"weight": np.full(3, 2.0), "bias": bias})
    np.testing.assert_array_equal(host(module(batch(one, device))), per_channel(bias, np.ones(one)))


def empties(shape):
    """No samples, and where there are positions, none of these."""
    return [(0, *shape[1:]), *[(*shape[:2], *shape[2:-1], 0)] * (len(shape) > 2)]


def test_B22_an_empty_batch_gives_an_empty_output_and_zero_gradients(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(batch(shape, device))
    for empty in empties(shape):
        for training in (True, False):
            module.train(training).zero_grad()
            before, x = state_of(module), leaf(np.zeros(empty), device)
            y = module(x)
            assert (y.shape, y.dtype) == (empty, np.float64)
            y.sum().backward()
            np.testing.assert_array_equal(host(module.weight.grad), np.zeros(3))
            np.testing.assert_array_equal(host(module.bias.grad), np.zeros(3))
            assert x.grad.shape == empty
            assert state_of(module) == before


def test_B22_an_empty_batch_has_recorded_derivatives_too(shape, fused, device):
    for empty in empties(shape):
        x, w, b = (leaf(a, device) for a in (np.zeros(empty), np.ones(3), np.zeros(3)))
        y = F.batch_norm(x, None, None, w, b, training=True, fused=fused)
        found = mg.grad((y * y).sum(), [x, w, b], create_graph=True)
        again = mg.grad(sum((t * t).sum() for t in found), [x, w, b], allow_unused=True)
        assert found[1].shape == (3,)
        assert all(t is None or np.isfinite(host(t)).all() for t in again)


def test_B22_an_empty_batch_leaves_the_function_s_running_tensors_alone(shape, fused, device):
    for empty in empties(shape):
        mean, var = running(device)
        x = mg.tensor(np.zeros(empty), device=device)
        F.batch_norm(x, mean, var, training=True, fused=fused)
        assert_untouched(mean, var)


def test_B23_a_last_batch_of_one_raises_our_error_and_not_nan(shape, fused, device):
    samples = (101, 3, *[1] * (len(shape) - 2))
    module, data = module_for(samples, fused=fused, device=device), batch(samples, device)
    steps = iter(mg.data.batches(data, batch_size=10))
    for _ in range(10):
        module(next(steps))
    before = state_of(module)
    with pytest.raises(ValueError, match="drop_last=True"):
        module(next(steps))
    assert state_of(module) == before
    assert module.num_batches_tracked.item() == 10
    assert all(np.isfinite(each).all() for each in stats_of(module))


def test_B23_what_the_error_says_to_type_helps(shape, fused, device):
    samples = (101, 3, *[1] * (len(shape) - 2))
    module, data = module_for(samples, fused=fused, device=device), batch(samples, device)
    for x in mg.data.batches(data, batch_size=10, drop_last=True):
        assert np.isfinite(host(module(x))).all()
    assert module.num_batches_tracked.item() == 10
    module.eval()
    for x in mg.data.batches(data, batch_size=10):
        assert np.isfinite(host(module(x))).all()


# ---- NaN and infinity

BAD = (np.nan, np.inf, -np.inf)


def results(x, dy, fused, device):
    """y, dx, dgamma, dbeta and running statistics of a module in training."""
    module = module_for(x.shape, fused=fused, device=device, dtype=x.dtype)
    t = leaf(x, device)
    with np.errstate(invalid="ignore" if np.isinf(x).any() else "warn"):  # NumPy tells of ∞ - ∞
        y = module(t)
        y.backward(mg.tensor(dy, device=device))
    found = (y, t.grad, module.weight.grad, module.bias.grad)
    return [host(each) for each in found] + list(stats_of(module)[:2])


def in_channels(array, channels):
    return np.take(array, channels, 0 if array.ndim == 1 else 1)


def test_B45_a_bad_value_stays_in_its_channel(shape, fused, device):
    for n, dtype in ((shape[0], np.float64), (300, np.float32)):  # 128 rows make a block of sums
        x, dy = (draw((n, *shape[1:]), seed, dtype) for seed in (0, 2))
        clean = results(x, dy, fused, device)
        for bad in BAD:
            x[1, 1] = bad
            dirty = results(x, dy, fused, device)
            for before, after in zip(clean, dirty, strict=True):
                kept = in_channels(before, [0, 2]).tobytes()
                assert in_channels(after, [0, 2]).tobytes() == kept
            y, dx, dgamma, dbeta, mean, var = (in_channels(each, [1]) for each in dirty)
            for each in (y, dx, dgamma, var):
                assert np.isnan(each).all()
            assert dbeta.tobytes() == in_channels(clean[3], [1]).tobytes()  # Σ dy has no x
            assert not np.isfinite(mean).any()


def test_B45_running_statistics_keep_what_is_bad(shape, fused, device):
    for bad in BAD:
        module = module_for(shape, fused=fused, device=device)
        x = draw(shape)
        x[0, 1] = bad
        with np.errstate(invalid="ignore"):
            module(mg.tensor(x, device=device))
        for _ in range(3):
            module(batch(shape, device))
        for each in stats_of(module)[:2]:
            np.testing.assert_array_equal(np.isfinite(each), [True, False, True])
        assert module.num_batches_tracked.item() == 4


def test_B45_what_is_bad_in_pytorch_is_bad_here(shape, fused, device):
    torch = pytest.importorskip("torch")
    kind = type(module_for(shape)).__name__
    for bad in BAD:
        x, dy = draw(shape, dtype=np.float32), draw(shape, 2, np.float32)
        x[0, 1] = bad
        theirs, t = getattr(torch.nn, kind)(3), torch.tensor(x, requires_grad=True)
        z = theirs(t)
        z.backward(torch.tensor(dy))
        found = (z, t.grad, theirs.weight.grad, theirs.bias.grad)
        found += (theirs.running_mean, theirs.running_var)
        for mine, other in zip(results(x, dy, fused, device), found, strict=True):
            np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(other.detach().numpy()))


def test_B46_in_evaluation_a_nan_sample_spoils_itself_alone(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(batch(shape, device))
    module.eval()
    x = draw(shape)
    clean = host(module(mg.tensor(x, device=device)))
    x[1] = np.nan
    y = host(module(mg.tensor(x, device=device)))
    assert np.isnan(y[1]).all()
    assert np.delete(y, 1, 0).tobytes() == np.delete(clean, 1, 0).tobytes()


# ---- shapes, dtypes, devices


def wrong_for(shape):
    """Other channels (1 would broadcast), and other ranks."""
    channels = [(shape[0], c, *shape[2:]) for c in (1, 2, 4)]
    ranks = [(4, 3), (4, 3, 2), (4, 3, 2, 2), (4, 3, 2, 2, 2)]
    taken = (2, 3) if len(shape) < 4 else (len(shape),)
    return channels + [each for each in ranks if len(each) not in taken]


def test_B61_wrong_rank_or_channels_name_what_was_given_and_wanted(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    name, before = type(module).__name__, state_of(module)
    for wrong in [(), (3,), *wrong_for(shape), (4, 3, 2, 2, 2, 2)]:
        for training in (True, False):
            with pytest.raises(ShapeError) as raised:
                module.train(training)(mg.tensor(draw(wrong), device=device))
            for told in (f"{name}(3)", str(wrong), module.layout, "C = 3"):
                assert told in str(raised.value)
    assert state_of(module) == before


def test_B61_the_error_names_the_module_that_would_take_it(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    for wrong in wrong_for(shape):
        kind = type(module_for(wrong)).__name__
        with pytest.raises(ShapeError) as raised:
            module(mg.tensor(draw(wrong), device=device))
        assert f"nn.{kind}({wrong[1]})" in str(raised.value)


def test_B61_the_function_names_shapes_that_do_not_fit(shape, fused, device):
    for wrong in ((), (3,)):
        mean, var = running(device)
        with pytest.raises(ShapeError, match=r"\(N, C") as raised:
            F.batch_norm(mg.tensor(draw(wrong), device=device), mean, var, training=True)
        assert str(wrong) in str(raised.value)
        assert_untouched(mean, var)
    x = batch(shape, device)
    for name in ("running_mean", "running_var", "weight", "bias"):
        for wrong in ((4,), (1,), (1, 3), (), per_channel(np.zeros(3), host(x)).shape):
            mean, var = running(device)
            given = {"running_mean": mean, "running_var": var}
            given[name] = mg.tensor(draw(wrong), device=device)
            with pytest.raises(ShapeError) as raised:
                F.batch_norm(x, **given, training=True, fused=fused)
            for told in (name, str(shape), str(wrong), "(3,)"):
                assert told in str(raised.value)
            assert_untouched(mean, var)


def test_B61_the_function_names_the_argument_that_is_no_floating_tensor(shape, fused, device):
    x = batch(shape, device)
    for name in ("running_mean", "running_var", "weight", "bias"):
        for wrong in (mg.tensor(np.ones(3, np.int64), device=device), np.ones(3)):
            mean, var = running(device)
            given = {"running_mean": mean, "running_var": var, name: wrong}
            for function in (F.batch_norm, F.batch_norm_relu):
                called = rf"^{function.__name__} \({name}\) got"
                with pytest.raises(DTypeError, match=called):
                    function(x, **given, training=True, fused=fused)
            assert_untouched(mean, var)


@pytest.mark.parametrize("given", [np.ones((4, 3), np.int64), np.ones((4, 3), bool)])
def test_B61_integers_and_arrays_are_refused_and_move_nothing(given, fused, device):
    module = module_for((4, 3), fused=fused, device=device)
    before = state_of(module)
    with pytest.raises(DTypeError, match="floating"):
        module(mg.tensor(given, device=device))
    with pytest.raises(DTypeError, match="give"):
        module(given)
    mean, var = running(device)
    with pytest.raises(DTypeError, match="floating"):
        F.batch_norm(mg.tensor(given, device=device), mean, var, training=True, fused=fused)
    assert_untouched(mean, var)
    assert state_of(module) == before


def test_a_module_elsewhere_than_x_is_told_and_moves_nothing(shape, fused, cuda):
    for affine in (True, False):
        for ours, theirs in (("cpu", cuda), (cuda, "cpu")):
            for training in (True, False):
                module = module_for(shape, affine=affine, fused=fused, device=ours)
                before = state_of(module)
                with pytest.raises(DeviceError, match=r"\.to\("):
                    module.train(training)(batch(shape, theirs))
                assert state_of(module) == before


def test_running_tensors_elsewhere_than_x_are_told_and_stay(shape, fused, cuda):
    for places in ((cuda, "cpu"), ("cpu", cuda), ("cpu", "cpu")):
        mean, var = (running(place)[i] for i, place in enumerate(places))
        with pytest.raises(DeviceError, match=r"\.to\("):
            F.batch_norm(batch(shape, cuda), mean, var, training=True, fused=fused)
        assert_untouched(mean, var)


# ---- options


def test_B28_a_negative_or_nan_eps_is_refused(shape, fused, device):
    for eps in (-1e-5, -1e-300, -np.inf, np.nan):
        with pytest.raises(ValueError, match=f"eps={eps}"):
            module_for(shape, eps=eps, fused=fused, device=device)
        mean, var = running(device)
        for training in (True, False):
            with pytest.raises(ValueError, match=f"eps={eps}"):
                F.batch_norm(
                    batch(shape, device), mean, var, training=training, eps=eps, fused=fused
                )
        assert_untouched(mean, var)


def test_B28_eps_0_is_allowed_and_a_constant_channel_is_nan_then(shape, fused, device):
    """0/0, whatever its weight; other channels, bias's gradient and running statistics are not."""
    module = module_for(shape, eps=0.0, fused=fused, device=device)
    x, dy, (gamma, beta) = draw(shape), draw(shape, 1), parameters(3)
    x[:, :2] = 100.1  # their weights are -1.3 and 0
    module.load_state_dict({**module.state_dict(), "weight": gamma, "bias": beta})
    t = leaf(x, device)
    with np.errstate(divide="ignore", invalid="ignore"):  # NumPy warns, CuPy does not
        expected = normalise(x, gamma, beta, dy, 0.0)
        y = module(t)
        y.backward(mg.tensor(dy, device=device))
        found = [host(each) for each in (y, t.grad, module.weight.grad, module.bias.grad)]
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12)  # NaN where that is
    assert np.isnan(found[0][:, :2]).all()
    assert np.isfinite(found[3]).all()
    mean, var = moments(t)
    np.testing.assert_allclose(host(module.running_mean), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(host(module.running_var), 0.9 + 0.1 * var, rtol=1e-12)


@pytest.mark.parametrize("eps", [np.inf, None, "1e-5", True, 1j, [1e-5]], ids=repr)
def test_an_eps_that_is_no_finite_number_is_told(eps, fused, device):
    with pytest.raises((ValueError, TypeError), match=r"eps.*(give|must be)"):
        nn.BatchNorm1d(3, eps=eps, fused=fused, device=device)
    mean, var = running(device)
    with pytest.raises((ValueError, TypeError), match=r"eps.*(give|must be)"):
        F.batch_norm(batch((6, 3), device), mean, var, training=True, eps=eps, fused=fused)
    assert_untouched(mean, var)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, np.nan, np.inf, -np.inf])
def test_a_momentum_outside_0_to_1_is_told_and_moves_nothing(momentum, shape, fused, device):
    with pytest.raises(ValueError, match=f"momentum.*{momentum}.*0 to 1"):
        module_for(shape, momentum=momentum, fused=fused, device=device)
    mean, var = running(device)
    with pytest.raises(ValueError, match=f"momentum.*{momentum}.*0 to 1"):
        F.batch_norm(batch(shape, device), mean, var, training=True, momentum=momentum, fused=fused)
    assert_untouched(mean, var)


@pytest.mark.parametrize("momentum", ["0.1", True, 1j, [0.1]], ids=repr)
def test_a_momentum_that_is_no_number_is_told(momentum, fused, device):
    with pytest.raises((ValueError, TypeError), match=r"momentum.*give"):
        nn.BatchNorm1d(3, momentum=momentum, fused=fused, device=device)


@pytest.mark.parametrize("momentum", [None, "0.1", True, 1j, [0.1]], ids=repr)
def test_the_function_s_momentum_that_is_no_number_is_told(momentum, fused, device):
    mean, var = running(device)
    with pytest.raises((ValueError, TypeError), match=r"momentum.*give"):
        F.batch_norm(
            batch((6, 3), device), mean, var, training=True, momentum=momentum, fused=fused
        )
    assert_untouched(mean, var)


def test_a_momentum_or_eps_set_later_is_told_too(fused, device):
    for name, wrong in (("eps", -1.0), ("momentum", 5.0)):
        module = module_for((6, 3), fused=fused, device=device)
        setattr(module, name, wrong)
        before = state_of(module)
        with pytest.raises(ValueError, match=f"{name}={wrong}"):
            module(batch((6, 3), device))
        assert state_of(module) == before
