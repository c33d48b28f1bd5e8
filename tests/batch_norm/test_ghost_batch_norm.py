"""GhostBatchNorm: BatchNorm over each virtual batch (B53)."""

import numpy as np
import pytest
from batch_norm_helpers import (
    RANKS,
    assert_equal_at_every_order,
    assert_same_stats,
    axes_of,
    derivatives,
    draw,
    host,
    leaf,
    module_for,
    normalise,
    parameters,
    run_module,
    stats_of,
    weighted,
    worst,
)
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn as nn
from minigrad.errors import ShapeError
from minigrad.testing import check_grads


def ghost(shape, size, **options):
    return weighted(module_for(shape, size, family="GhostBatchNorm", **options))


def plain(shape, **options):
    return weighted(module_for(shape, **options))


def sizes_for(shape):
    """Virtual batch sizes that divide the batch, that leave a smaller one, and that exceed it."""
    positions = int(np.prod(shape[2:]))
    sizes = range(1, shape[0] + 2)
    return [size for size in sizes if (shape[0] % size or min(shape[0], size)) * positions > 1]


def parts(x, size):
    return np.split(x, range(size, len(x), size))


def expected_of(x, dy, size):
    """y, dx, dgamma and dbeta by the formulas, of each virtual batch; put together."""
    gamma, beta = parameters(x.shape[1])
    pairs = zip(parts(x, size), parts(dy, size), strict=True)
    y, dx, dgamma, dbeta = zip(*(normalise(a, gamma, beta, b) for a, b in pairs), strict=True)
    return np.concatenate(y), np.concatenate(dx), sum(dgamma), sum(dbeta)


def averaged(x, size):
    """Means and unbiased variances of the virtual batches, averaged with counts."""
    each = parts(x, size)
    counts = np.array([len(part) for part in each]) / len(x)
    means, variances = (
        np.array([f(part, axes_of(part)) for part in each])
        for f in (np.mean, lambda a, axes: np.var(a, axes, ddof=1))
    )
    return counts @ means, counts @ variances


# ---- each virtual batch by itself


def test_B53_every_virtual_batch_is_normalised_by_itself(shape, fused, device):
    x, dy = draw(shape, 1, mean=2.0, std=1.5), draw(shape, 2)
    assert {len(x) % size == 0 for size in sizes_for(shape)} == {True, False}
    for size in sizes_for(shape):
        module = ghost(shape, size, fused=fused, device=device)
        for found, wanted in zip(run_module(module, x, dy), expected_of(x, dy, size), strict=True):
            assert worst(found, wanted) < 1e-12


def test_B53_statistics_move_once_by_averages_with_counts(shape, fused, device):
    x = draw(shape, 1, mean=2.0, std=1.5)
    for size in sizes_for(shape):
        module = ghost(shape, size, fused=fused, device=device, momentum=0.25)
        module(mg.tensor(x, device=device))
        mean, var, count = stats_of(module)
        wanted_mean, wanted_var = averaged(x, size)
        np.testing.assert_allclose(mean, 0.25 * wanted_mean, rtol=1e-12)
        np.testing.assert_allclose(var, 0.75 + 0.25 * wanted_var, rtol=1e-12)
        assert count == 1


def test_B53_derivatives_of_every_order_are_those_of_the_parts(shape, fused, device):
    x = draw(shape, 1)
    for size in sizes_for(shape)[:2]:
        module = ghost(shape, size, fused=fused, device=device)
        base = plain(shape, fused=False, device=device)
        t, u = (leaf(x, device) for _ in range(2))
        whole = derivatives(module(t), [t, *module.parameters()], 3)
        y = mg.cat([base(part) for part in u.split(size)])
        assert_equal_at_every_order(whole, derivatives(y, [u, *base.parameters()], 3))


def test_B53_derivatives_equal_numeric_ones(shape, fused):
    size = sizes_for(shape)[0]
    module = ghost(shape, size, fused=fused)
    check_grads(module, [mg.tensor(draw(shape, 3))], order=3)


@given(data=st.data())
def test_B53_any_batch_and_any_virtual_batch(data):
    size, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 20))
    positions = data.draw(st.integers(1, 3))
    if (batch % size or min(size, batch)) * positions == 1:
        batch += 1 if size > 1 else 0
        positions += size == 1
    shape = (batch, 2, positions)
    x, dy = draw(shape, 1, mean=2.0), draw(shape, 2)
    module = ghost(shape, size, momentum=1.0, fused=data.draw(st.booleans()))
    for found, wanted in zip(run_module(module, x, dy), expected_of(x, dy, size), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    for found, wanted in zip(stats_of(module), averaged(x, size), strict=False):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_one_virtual_batch_of_all_is_batch_norm(shape, fused, device):
    x, dy = draw(shape, 1), draw(shape, 2)
    for size in (shape[0], shape[0] + 1, 1000):
        modules = ghost(shape, size, fused=fused, device=device), plain(shape, device=device)
        for found, wanted in zip(*(run_module(module, x, dy) for module in modules), strict=True):
            assert worst(found, wanted) < 1e-13
        for found, wanted in zip(*map(stats_of, modules), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_samples_meet_only_within_their_virtual_batch(fused):
    x = draw((6, 3))
    moved = x.copy()
    moved[3] += 1
    module = ghost((6, 3), 2, fused=fused)
    a, b = (host(module(mg.tensor(each))) for each in (x, moved))
    np.testing.assert_array_equal((a != b).any(1), [False, False, True, True, False, False])


def test_many_virtual_batches_are_one_node(device):
    names = []
    for n in (4, 64):
        module, seen = ghost((n, 3), 2, device=device), []
        with mg.watch(lambda event: seen.append(event.name)):  # noqa: B023
            module(mg.tensor(draw((n, 3)), device=device))
        names.append(seen)
    assert names[0] == names[1]
    assert names[0].count("batch_norm") == 1


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}])
def test_without_parameters(fused, options):
    module = ghost((8, 3), 3, fused=fused, **options)
    x, dy = draw((8, 3), 1), draw((8, 3), 2)
    gamma = np.ones(3) if module.weight is None else host(module.weight)
    y, dx = run_module(module, x, dy)[:2]
    wanted = [
        normalise(a, gamma, np.zeros(3), b) for a, b in zip(parts(x, 3), parts(dy, 3), strict=True)
    ]
    assert worst(y, np.concatenate([each[0] for each in wanted])) < 1e-12
    assert worst(dx, np.concatenate([each[1] for each in wanted])) < 1e-12


# ---- statistics


def test_momentum_none_averages_batches(shape, fused, device):
    size = sizes_for(shape)[1]
    module = ghost(shape, size, momentum=None, fused=fused, device=device)
    batches = [draw(shape, seed, mean=seed) for seed in range(4)]
    for x in batches:
        module(mg.tensor(x, device=device))
    wanted = np.mean([averaged(x, size) for x in batches], 0)
    for found, each in zip(stats_of(module), wanted, strict=False):
        np.testing.assert_allclose(found, each, rtol=1e-12)
    assert module.num_batches_tracked.item() == 4


def test_nothing_moves_in_frozen_stats_nor_in_evaluation(shape, fused, device):
    module = ghost(shape, shape[0], fused=fused, device=device)
    before, x = stats_of(module), mg.tensor(draw(shape), device=device)
    with nn.frozen_stats(module):
        y = module(x)
    module.eval()(x)
    assert_same_stats(module, before)
    np.testing.assert_array_equal(host(y), host(module.train()(x)))


def test_a_checkpoint_moves_them_once(shape, fused, device):
    x, found = draw(shape), []
    for checkpointed in (True, False):
        module, t = ghost(shape, shape[0], fused=fused, device=device), leaf(x, device)
        y = mg.func.checkpoint(module, t) if checkpointed else module(t)
        (y * y * y).sum().backward()
        gradients = (t.grad, module.weight.grad, module.bias.grad)
        found.append([*map(host, gradients), *stats_of(module)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert found[0][-1] == 1


def test_recompute_stats_pools_within_and_between_virtual_batches(shape, fused, device):
    module = ghost(shape, sizes_for(shape)[1], fused=fused, device=device)
    batches = [draw((n * shape[0], *shape[1:]), n, mean=n, std=n) for n in (1, 2, 3)]
    for x in batches:
        x += np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))  # virtual batches differ
    nn.recompute_stats(module, [mg.tensor(x, device=device) for x in batches])
    data = np.concatenate(batches)
    mean, var, count = stats_of(module)
    np.testing.assert_allclose(mean, data.mean(axes_of(data)), rtol=1e-12)
    np.testing.assert_allclose(var, data.var(axes_of(data), ddof=1), rtol=1e-12)
    assert count == 0


def test_running_variance_is_that_within_virtual_batches(fused):
    """Two virtual batches far apart: what each is normalised by, not what lies between them."""
    x = np.concatenate([draw((50, 3), 1), draw((50, 3), 2) + 100])
    module = ghost(x.shape, 50, momentum=1.0, fused=fused)
    module(mg.tensor(x))
    within = (x[:50].var(0, ddof=1) + x[50:].var(0, ddof=1)) / 2
    np.testing.assert_allclose(host(module.running_var), within, rtol=1e-12)
    assert (x.var(0) > 1000 * within).all()


# ---- numbers


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_constant_channel_is_exactly_bias(shape, fused, device, dtype):
    for value in (0.1, 100.1, 1e4 + 0.1) + (() if dtype == np.float16 else (1e6 + 0.3, 1e7 + 1)):
        for size in sizes_for(shape):
            module = ghost(shape, size, fused=fused, device=device, dtype=mg.float32, momentum=1.0)
            x = np.full(shape, value, dtype)
            y = host(module(mg.tensor(x, device=device)))
            bias = host(module.bias).astype(dtype).reshape(-1, *[1] * (len(shape) - 2))
            np.testing.assert_array_equal(y, np.broadcast_to(bias, shape))
            np.testing.assert_array_equal(host(module.running_var), 0)
            np.testing.assert_array_equal(host(module.running_mean), np.float32(x.flat[0]))
            nn.recompute_stats(module, [mg.tensor(x, device=device)])
            np.testing.assert_array_equal(host(module.running_var), 0)
            np.testing.assert_array_equal(host(module.running_mean), np.float32(x.flat[0]))


def test_far_from_zero_float32_is_as_good_as_batch_norm(fused, device):
    shape = (4096, 3)
    x, dy = draw(shape, 1, np.float32, mean=1e4), draw(shape, 2, np.float32)
    module = ghost(shape, 1000, fused=fused, device=device, dtype=mg.float32)
    found = run_module(module, x, dy)
    wanted = expected_of(x, dy, 1000)
    for a, b in zip(found[:2], wanted[:2], strict=True):
        assert a.dtype == np.float32
        assert worst(a, b) < 3e-6


def test_float16_is_computed_in_float32(shape, fused, device):
    for mean in (100.0, 30000.0):
        x, dy = draw(shape, 1, np.float16, mean=mean, std=8.0), draw(shape, 2, np.float16)
        size = sizes_for(shape)[1]
        module = ghost(shape, size, fused=fused, device=device, dtype=mg.float32, momentum=1.0)
        found = run_module(module, x, dy)
        for a, b in zip(found, expected_of(x, dy, size), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3)
        assert found[0].dtype == found[1].dtype == np.float16
        assert module.running_mean.dtype == module.running_var.dtype == np.float32
        mean, var, _ = stats_of(module)
        for a, b in zip((mean, var), averaged(x.astype(np.float64), size), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_nan_stays_in_its_channel_and_virtual_batch(shape, fused):
    x = draw(shape)
    x[0, 1] = np.nan
    size = max(sizes_for(shape)[0], 1)
    module = ghost(shape, size, fused=fused)
    bad = np.zeros(shape, bool)
    bad[:size, 1] = True
    np.testing.assert_array_equal(np.isnan(host(module(mg.tensor(x)))), bad)
    np.testing.assert_array_equal(np.isnan(host(module.running_mean)), [False, True, False])


def test_the_memory_layout_of_the_input_does_not_matter(fused):
    base = draw((3, 4, 14))
    for x in (base.T, base.transpose(2, 1, 0)[::-1], np.asfortranarray(base).transpose(2, 0, 1)):
        x = x[:, :3]
        module = ghost(x.shape, 4, fused=fused)
        dy = draw(x.shape, 3)
        view = mg.tensor(np.ascontiguousarray(x.T)).permute(*reversed(range(3))).requires_grad_()
        y = module(view)
        found = mg.grad(y, [view, *module.parameters()], mg.tensor(dy))
        for a, b in zip((y, *found), expected_of(x, dy, 4), strict=True):
            assert worst(host(a), b) < 1e-12


# ---- errors


@pytest.mark.parametrize(
    ("shape", "size", "named"),
    [
        ((7, 3), 2, "1 in the last"),
        ((101, 3), 10, "1 in the last"),
        ((1, 3), 4, "1 in the last"),
        ((4, 3), 1, "1 in the last"),
        ((5, 3, 1), 2, "1 in the last"),
        ((1, 3, 1, 1), 1, "1 in the last"),
    ],
)
def test_one_value_in_the_last_virtual_batch_names_sizes_and_mend(shape, size, named, fused):
    module = ghost(shape, size, fused=fused)
    before = stats_of(module)
    with pytest.raises(ShapeError) as raised:
        module(mg.tensor(draw(shape)))
    message = str(raised.value)
    assert message.startswith(f"GhostBatchNorm{RANKS[len(shape)]} got one value per channel")
    for part in (
        str(shape),
        f"virtual_batch_size {size}:",
        named,
        "a larger",
        "drop_last=True",
        ".eval()",
    ):
        assert part in message
    assert_same_stats(module, before)
    assert host(module.eval()(mg.tensor(draw(shape)))).shape == shape


@pytest.mark.parametrize("size", [0, -2, 1.0, 2.5, 1e-5, True, "4", None])
def test_a_virtual_batch_size_that_is_no_positive_integer_is_told(size):
    with pytest.raises(ShapeError, match=r"virtual_batch_size was given as .*: give an integer"):
        nn.GhostBatchNorm1d(3, size)
    module = nn.GhostBatchNorm1d(3, 4)
    with pytest.raises(ShapeError, match="virtual_batch_size"):
        module.virtual_batch_size = size
    assert module.virtual_batch_size == 4


def test_the_virtual_batch_size_can_be_set_later():
    module, x, dy = ghost((6, 3), 6), draw((6, 3), 1), draw((6, 3), 2)
    module.virtual_batch_size = np.int64(3)
    for found, wanted in zip(run_module(module, x, dy), expected_of(x, dy, 3), strict=True):
        assert worst(found, wanted) < 1e-12


def test_it_trains_in_a_model(device):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.GhostBatchNorm1d(16, 8), nn.ReLU(), nn.Linear(16, 1))
    model.to(device)
    optimiser = mg.optim.Adam(model.parameters(), lr=0.01)
    x = mg.tensor(draw((100, 4), 0, np.float32), device=device)
    target = x[:, :1] * x[:, 1:2]
    losses = []
    for _ in range(60):
        loss = ((model(x) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    evaluated = ((model.eval()(x) - target) ** 2).mean().item()
    assert evaluated < 0.6 * losses[0]
