"""BatchRenorm: the batch's statistics, corrected towards the running ones."""

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    RANKS,
    assert_equal_at_every_order,
    assert_same_stats,
    axes_of,
    derivatives,
    draw,
    host,
    leaf,
    module_for,
    parameters,
    per_channel,
    run_module,
    stats_of,
    weighted,
    with_stats,
    worst,
)
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn as nn
from minigrad.errors import GraphError, ShapeError
from minigrad.testing import check_grads

INFINITE = {"r_max": np.inf, "d_max": np.inf}
MEAN, VAR = np.array([0.2, -0.5, 1.0]), np.array([0.4, 1.1, 3.0])  # of the running statistics
# statistics from which a batch of 0 mean and unit variance is beyond the usual bounds
FAR_MEAN, FAR_VAR = np.array([9.0, -8.0, 200.0]), np.array([0.001, 0.002, 200.0])


def renorm(shape, mean=MEAN, var=VAR, **options):
    return with_stats(weighted(module_for(shape, family="BatchRenorm", **options)), mean, var)


def plain(shape, mean=MEAN, var=VAR, **options):
    return with_stats(weighted(module_for(shape, **options)), mean, var)


def r_and_d(x, mean, var, r_max=3.0, d_max=5.0, eps=EPS):
    """The paper's r and d, with σ from the running variance."""
    axes = axes_of(x)
    sigma_b, sigma = np.sqrt(x.var(axes) + eps), np.sqrt(var + eps)
    r = np.clip(sigma_b / sigma, 1 / r_max, r_max)
    d = np.clip((x.mean(axes) - mean) / sigma, -d_max, d_max)
    return r, d


def paper(x, gamma, beta, dy, r, d, eps=EPS):
    """y, dx, dgamma and dbeta: Ioffe's Algorithm 1 and its gradients, as they are printed."""
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    axes, m = axes_of(x), x.size // x.shape[1]
    gamma, beta, r, d = (per_channel(each, x) for each in (gamma, beta, r, d))
    mu_b = x.mean(axes, keepdims=True)
    sigma_b = np.sqrt(eps + ((x - mu_b) ** 2).mean(axes, keepdims=True))
    xhat = (x - mu_b) / sigma_b * r + d
    y = gamma * xhat + beta
    dxhat = dy * gamma
    dsigma_b = (dxhat * (x - mu_b) * -r / sigma_b**2).sum(axes, keepdims=True)
    dmu_b = (dxhat * -r / sigma_b).sum(axes, keepdims=True)
    dx = dxhat * r / sigma_b + dsigma_b * (x - mu_b) / (m * sigma_b) + dmu_b / m
    return y, dx, (dy * xhat).sum(axes), dy.sum(axes)


BOUNDS = [(3.0, 5.0), (1.05, 0.1), (1.0, 0.0), (1.0, 0.3), (1.2, 0.0), (np.inf, np.inf)]


# ---- the paper


def test_outputs_and_gradients_are_the_papers(shape, fused, device):
    x, dy = draw(shape, 1, mean=0.3, std=1.2), draw(shape, 2)
    for r_max, d_max in BOUNDS:
        module = renorm(shape, fused=fused, device=device, r_max=r_max, d_max=d_max)
        wanted = paper(x, *parameters(3), dy, *r_and_d(x, MEAN, VAR, r_max, d_max))
        for a, b in zip(run_module(module, x, dy), wanted, strict=True):
            assert worst(a, b) < 1e-12


def test_outputs_and_gradients_beyond_the_bounds_are_the_papers(shape, fused, device):
    x, dy = draw(shape, 1), draw(shape, 2)
    r, d = r_and_d(x, FAR_MEAN, FAR_VAR)
    np.testing.assert_array_equal(r, [3, 3, 1 / 3])
    np.testing.assert_array_equal(d, [-5, 5, -5])
    module = renorm(shape, FAR_MEAN, FAR_VAR, fused=fused, device=device)
    for a, b in zip(run_module(module, x, dy), paper(x, *parameters(3), dy, r, d), strict=True):
        assert worst(a, b) < 1e-12


@given(data=st.data())
def test_any_statistics_and_any_bounds_are_the_papers(data):
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    shape = (rng.integers(2, 7), 3, *rng.integers(1, 4, rng.integers(0, 4)))
    mean, var = rng.normal(0, 3, 3), rng.uniform(0.01, 9, 3)
    r_max, d_max = 1 + rng.exponential(2), rng.exponential(3)
    eps = data.draw(st.sampled_from([1e-5, 1e-3, 0.5]))
    x, dy = rng.normal(rng.normal(), rng.uniform(0.5, 3), shape), rng.normal(size=shape)
    options = {"r_max": r_max, "d_max": d_max, "eps": eps, "fused": data.draw(st.booleans())}
    found = run_module(renorm(shape, mean, var, **options), x, dy)
    wanted = paper(x, *parameters(3), dy, *r_and_d(x, mean, var, r_max, d_max, eps), eps)
    for a, b in zip(found, wanted, strict=True):
        assert np.abs(a - b).max() <= 1e-9 * max(1, np.abs(b).max())


def test_derivatives_of_every_order_are_those_of_constant_r_and_d(shape, fused, device):
    x = draw(shape, 1, mean=0.3)
    for mean, var in ((MEAN, VAR), (FAR_MEAN, FAR_VAR)):
        module = renorm(shape, mean, var, fused=fused, device=device)
        r, d = (
            mg.tensor(each, device=device).reshape(-1, *[1] * (len(shape) - 2))
            for each in r_and_d(x, mean, var)
        )
        t = leaf(x, device)
        with nn.frozen_stats(module):
            found = derivatives(module(t), [t, *module.parameters()], 3)
        t, axes, channels = leaf(x, device), axes_of(x), (-1, *[1] * (len(shape) - 2))
        gamma, beta = (p.detach().clone().requires_grad_() for p in module.parameters())
        c = t - t.mean(axes, keepdims=True)
        sigma = ((c * c).mean(axes, keepdims=True) + EPS).sqrt()
        y = gamma.reshape(channels) * (c / sigma * r + d) + beta.reshape(channels)
        assert_equal_at_every_order(found, derivatives(y, [t, gamma, beta], 3))


def test_derivatives_equal_numeric_ones_where_r_and_d_are_at_their_bounds(shape, fused):
    x = draw(shape, 1)
    far = renorm(shape, FAR_MEAN, FAR_VAR, fused=fused)
    fixed = renorm(shape, fused=fused, r_max=1, d_max=0)
    for module in (far, fixed):
        with nn.frozen_stats(module):
            check_grads(lambda t: module(t), [mg.tensor(x)], order=3)  # noqa: B023


def test_no_gradient_flows_through_r_and_d(fused):
    """A numeric derivative, which sees them move, must disagree."""
    module = renorm((6, 3), fused=fused)
    with nn.frozen_stats(module), pytest.raises(AssertionError, match="order 1"):
        check_grads(module, [mg.tensor(draw((6, 3), 1))], order=1)


# ---- its two limits


def test_with_r_max_1_and_d_max_0_it_is_batch_norm_bit_for_bit(shape, fused, device):
    x, dy = draw(shape, 1, np.float32, mean=3.0), draw(shape, 2, np.float32)
    for dtype in (np.float32, np.float64):
        options = {"fused": fused, "device": device, "dtype": dtype}
        modules = renorm(shape, r_max=1, d_max=0, **options), plain(shape, **options)
        given = x.astype(dtype), dy.astype(dtype)
        for a, b in zip(*(run_module(module, *given) for module in modules), strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_array_equal(a, b)
        for a, b in zip(*map(stats_of, modules), strict=True):
            assert a.tobytes() == b.tobytes()


def test_without_bounds_training_gives_what_evaluation_gives(shape, fused, device):
    """And so does a batch of one class, whose statistics are its own."""
    for mean in (0.0, 4.0):
        x = mg.tensor(draw(shape, 1, mean=mean), device=device)
        for mu, var in ((MEAN, VAR), (FAR_MEAN, FAR_VAR)):
            module = renorm(shape, mu, var, fused=fused, device=device, **INFINITE)
            with nn.frozen_stats(module):
                trained = host(module(x))
            np.testing.assert_allclose(trained, host(module.eval()(x)), rtol=1e-11, atol=1e-12)


def test_without_bounds_a_sample_does_not_depend_on_its_batch(fused):
    module, x = renorm((6, 3), fused=fused, **INFINITE), draw((6, 3))
    with nn.frozen_stats(module):
        whole, part = (host(module(mg.tensor(each))) for each in (x, x[:3]))
    np.testing.assert_allclose(whole[:3], part, rtol=1e-12)


def test_r_compares_the_batchs_biased_variance_with_the_stored_unbiased_one(fused):
    """After a batch with momentum=1 the same batch has r = √((n - 1)/n), and so has evaluation."""
    x, n = draw((4, 3), 1), 4
    module = renorm((4, 3), fused=fused, momentum=1.0, eps=0.0, affine=False)
    module(mg.tensor(x))
    np.testing.assert_allclose(host(module.running_var), x.var(0, ddof=1), rtol=1e-13)
    again = host(module(mg.tensor(x)))
    xhat = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(again, np.sqrt((n - 1) / n) * xhat, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(again, host(module.eval()(mg.tensor(x))), rtol=1e-12, atol=1e-14)


# ---- statistics


@pytest.mark.parametrize("momentum", [0.1, None, 1.0, 0.0])
def test_statistics_move_as_batch_norms_after_they_are_used(shape, fused, device, momentum):
    options = {"fused": fused, "device": device, "momentum": momentum}
    module, base = renorm(shape, **options), plain(shape, **options)
    for seed in range(4):
        x = draw(shape, seed, mean=seed)
        mean, var, _ = stats_of(module)
        y = host(module(mg.tensor(x, device=device)))
        wanted, *_ = paper(x, *parameters(3), x, *r_and_d(x, mean, var))
        assert worst(y, wanted) < 1e-12
        base(mg.tensor(x, device=device))
        for a, b in zip(stats_of(module), stats_of(base), strict=True):
            assert a.tobytes() == b.tobytes()


def test_the_first_batch_is_compared_with_mean_0_and_variance_1(shape, fused):
    x = draw(shape, 1, mean=9.0, std=0.1)
    module = weighted(module_for(shape, family="BatchRenorm", fused=fused))
    wanted, *_ = paper(x, *parameters(3), x, np.full(3, 1 / 3), np.full(3, 5.0))
    assert worst(host(module(mg.tensor(x))), wanted) < 1e-12


def test_nothing_moves_in_frozen_stats_and_the_correction_stays(shape, fused, device):
    module, x = renorm(shape, fused=fused, device=device), mg.tensor(draw(shape), device=device)
    before = stats_of(module)
    with nn.frozen_stats(module):
        y = module(x)
    assert_same_stats(module, before)
    np.testing.assert_array_equal(host(y), host(module(x)))
    assert (stats_of(module)[0] != before[0]).all()


def test_a_checkpoint_compares_with_the_statistics_of_its_first_run(shape, fused, device):
    x, found = draw(shape, mean=2.0), []
    for checkpointed in (True, False):
        module, t = renorm(shape, fused=fused, device=device, momentum=0.7), leaf(x, device)
        model = nn.Sequential(module, nn.Tanh())
        y = mg.func.checkpoint(model, t) if checkpointed else model(t)
        (y * y * y).sum().backward()
        gradients = (t.grad, module.weight.grad, module.bias.grad)
        found.append([*map(host, gradients), *stats_of(module)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert found[0][-1] == 1


def test_a_checkpoint_of_which_another_forward_moved_the_statistics_raises(fused):
    module, x = renorm((6, 3), fused=fused), leaf(draw((6, 3), mean=5.0))
    y = mg.func.checkpoint(module, x)
    module(mg.tensor(draw((6, 3), 1)))
    with pytest.raises(GraphError, match="other values"):
        y.sum().backward()


def deep(kind, mean, var):
    mg.manual_seed(1)
    first, second = (with_stats(kind(4, dtype=mg.float64), mean, var) for _ in range(2))
    layers = nn.Linear(3, 4, dtype=mg.float64), nn.Linear(4, 4, dtype=mg.float64)
    return nn.Sequential(layers[0], first, nn.Tanh(), layers[1], second)


@pytest.mark.parametrize("old", [(np.zeros(4), np.ones(4)), (np.full(4, 7.0), np.full(4, 0.01))])
def test_recomputed_statistics_are_batch_norms_whatever_they_were(old):
    batches = [mg.tensor(draw((n, 3), n, mean=n / 10)) for n in (4, 9, 6)]
    models = deep(nn.BatchRenorm1d, *old), deep(nn.BatchNorm1d, np.zeros(4), np.ones(4))
    for model in models:
        nn.recompute_stats(model, batches)
    for i in (1, 4):
        for a, b in zip(*(stats_of(list(model.children())[i]) for model in models), strict=True):
            assert a.tobytes() == b.tobytes()


# ---- numbers


def test_far_from_zero_float32_is_right_to_its_precision(fused, device):
    shape = (4096, 3)
    x, dy = draw(shape, 1, np.float32, mean=1e4), draw(shape, 2, np.float32)
    mean, var = (1e4 + MEAN).astype(np.float32), VAR.astype(np.float32)
    module = renorm(shape, mean, var, fused=fused, device=device, dtype=mg.float32)
    r, d = r_and_d(x.astype(np.float64), mean.astype(np.float64), var.astype(np.float64))
    wanted = paper(x, *parameters(3), dy, r, d)
    for a, b in zip(run_module(module, x, dy)[:2], wanted[:2], strict=True):
        assert a.dtype == np.float32
        assert worst(a, b) < 3e-6


def test_float16_is_computed_in_float32(shape, fused, device):
    x, dy = draw(shape, 1, np.float16, mean=200.0, std=9.0), draw(shape, 2, np.float16)
    mean, var = 200 + MEAN * 20, VAR * 80
    module = renorm(shape, mean, var, fused=fused, device=device, dtype=mg.float32)
    found = run_module(module, x, dy)
    r, d = r_and_d(x.astype(np.float64), mean, var)
    for a, b in zip(found, paper(x, *parameters(3), dy, r, d), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=4e-3)
    assert found[0].dtype == found[1].dtype == np.float16
    assert module.running_mean.dtype == module.running_var.dtype == np.float32


def test_float16_statistics_far_from_the_batch_do_not_overflow(fused, device):
    x, dy = draw((6, 3), 1, np.float16, mean=4e4, std=200.0), draw((6, 3), 2, np.float16)
    mean, var = np.full(3, -4e4), np.full(3, 5e4)
    module = renorm((6, 3), mean, var, fused=fused, device=device, dtype=mg.float16)
    wanted = paper(x, *parameters(3), dy, *r_and_d(x.astype(np.float64), mean, var))
    for a, b in zip(run_module(module, x, dy), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=4e-3)


def test_a_nan_stays_in_its_channel(shape, fused):
    x = draw(shape)
    x[0, 1] = np.nan
    module = renorm(shape, fused=fused)
    y = host(module(mg.tensor(x)))
    bad = np.broadcast_to(per_channel([False, True, False], x), shape)
    np.testing.assert_array_equal(np.isnan(y), bad)
    np.testing.assert_array_equal(np.isnan(host(module.running_mean)), [False, True, False])


def test_a_constant_channel_is_where_the_running_statistics_put_it(shape, fused):
    x = np.full(shape, 0.7)
    module = renorm(shape, fused=fused)
    _, d = r_and_d(x, MEAN, VAR)
    gamma, beta = parameters(3)
    wanted = np.broadcast_to(per_channel(gamma * d + beta, x), shape)
    np.testing.assert_allclose(host(module(mg.tensor(x))), wanted, rtol=1e-13)


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}])
def test_without_parameters(fused, options):
    x, dy = draw((6, 3), 1), draw((6, 3), 2)
    module = renorm((6, 3), fused=fused, **options)
    gamma = np.ones(3) if module.weight is None else host(module.weight)
    wanted = paper(x, gamma, np.zeros(3), dy, *r_and_d(x, MEAN, VAR))
    for a, b in zip(run_module(module, x, dy), wanted, strict=False):
        assert worst(a, b) < 1e-12


def test_what_is_large_goes_through_one_recorded_node(device):
    module = renorm((8, 3, 4, 4), device=device)
    x = leaf(draw((8, 3, 4, 4)), device)
    assert module(x).node.op.name == "batch_norm"


# ---- errors


@pytest.mark.parametrize("name", ["r_max", "d_max"])
@pytest.mark.parametrize(
    ("bad", "kind"),
    [(-0.5, ValueError), (-np.inf, ValueError), (np.nan, ValueError), ("3", TypeError),
     (None, TypeError), (True, TypeError)],
)  # fmt: skip
def test_a_bad_bound_is_told(name, bad, kind):
    with pytest.raises(kind, match=f"{name} was given as"):
        nn.BatchRenorm1d(3, **{name: bad})
    module = nn.BatchRenorm1d(3)
    with pytest.raises(kind, match=name):
        setattr(module, name, bad)
    assert (module.r_max, module.d_max) == (3.0, 5.0)


def test_r_max_below_1_is_told():
    with pytest.raises(ValueError, match=r"r_max was given as 0.9: give 1 or more"):
        nn.BatchRenorm2d(3, r_max=0.9)


def test_without_running_statistics_there_is_no_renorm():
    with pytest.raises(ValueError, match=r"track_running_stats=False.*use BatchNorm"):
        nn.BatchRenorm1d(3, track_running_stats=False)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (1, 3, 1, 1, 1)])
def test_one_value_per_channel_is_told_and_moves_nothing(shape, fused):
    module = renorm(shape, fused=fused)
    before = stats_of(module)
    with pytest.raises(ShapeError) as raised:
        module(mg.tensor(draw(shape)))
    for part in (f"BatchRenorm{RANKS[len(shape)]} got one value", str(shape), ".eval()"):
        assert part in str(raised.value)
    assert_same_stats(module, before)


# ---- in a model


def test_a_module_moved_between_dtypes_after_a_batch_works(device):
    module, x = renorm((6, 3), device=device), draw((6, 3))
    module(mg.tensor(x, device=device))
    y = module.to(mg.float32)(mg.tensor(x.astype(np.float32), device=device))
    assert y.dtype == np.float32


def test_bounds_can_grow_from_step_to_step(shape, fused):
    """From BatchNorm's output to the one that evaluation gives, on the way between them."""
    module, x = renorm(shape, fused=fused, **INFINITE), mg.tensor(draw(shape, 1))
    with nn.frozen_stats(module):
        given = host(module(x))
        apart = []
        for grown in (0.0, 0.05, 0.2, 1.0):
            module.r_max, module.d_max = 1 + 99 * grown, 99 * grown
            apart.append(np.abs(host(module(x)) - given).max())
        module.r_max, module.d_max = 1, 0
        by_batch = host(module(x))
    assert apart[0] == np.abs(by_batch - given).max() > 0.1
    assert apart[-1] < 1e-12


def classes_apart(rng, label, n):
    """Samples of one class: its features are off by its own, and what varies is no help."""
    x = rng.normal(size=(n, 4))
    x[:, label % 4] += 4.0 if label < 4 else -4.0
    return x


def trained_on_single_classes(kind, **options):
    """Accuracy in evaluation after batches that hold one class each."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 32), kind(32, momentum=0.02, **options), nn.ReLU())
    model = nn.Sequential(model, nn.Linear(32, 8))
    optimiser, loss = mg.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    for step in range(600):
        if step == 200 and kind is nn.BatchRenorm1d:
            norm = next(m for m in model.modules() if isinstance(m, kind))
            norm.r_max, norm.d_max = 3.0, 5.0
        label = step % 8
        x = mg.tensor(classes_apart(rng, label, 30).astype(np.float32))
        optimiser.zero_grad()
        loss(model(x), mg.tensor(np.full(30, label))).backward()
        optimiser.step()
    model.eval()
    right = [
        host(model(mg.tensor(classes_apart(rng, label, 50).astype(np.float32)))).argmax(1) == label
        for label in range(8)
    ]
    return np.mean(right)


def test_it_learns_from_batches_of_one_class_where_batch_norm_does_not():
    renormed = trained_on_single_classes(nn.BatchRenorm1d, r_max=1, d_max=0)
    normed = trained_on_single_classes(nn.BatchNorm1d)
    assert renormed > normed + 0.3
