"""What BatchNorm and its gradients obey, whatever the input (B4 to B6, B13, B14)."""

import numpy as np
from batch_norm_helpers import (
    EPS,
    assert_near,
    axes_of,
    draw,
    host,
    leaf,
    parameters,
    run,
    trained,
    training_inputs,
    worst,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.testing import tolerance

# ---- of the gradients, and of degenerate ones from above


def test_B4_sums_of_dx_vanish_up_to_eps_in_float32_and_float64(shape, fused, device):
    """Σ dx = 0, and Σ dx·x̂ = γ·eps/(v + eps)^{3/2}·Σ dy·x̂: no oracle at all."""
    for dtype in (np.float32, np.float64):
        for eps in (1e-5, 0.3):
            x, dy = draw(shape, 1, dtype), draw(shape, 2, dtype)
            gamma, beta = parameters(3, dtype)
            gamma[1] = 2.0
            dx = run(x, gamma, beta, dy, fused, eps, device)[1].astype(np.float64)
            axes, n = axes_of(x), x.size // 3
            c = x.astype(np.float64) - x.mean(axes, keepdims=True, dtype=np.float64)
            v = (c * c).mean(axes, keepdims=True)
            xhat = c / np.sqrt(v + eps)
            expected = gamma * eps * ((v + eps) ** -1.5).ravel() * (dy * xhat).sum(axes)
            bound = tolerance(dtype, n) * np.abs(dx).sum(axes)
            assert (np.abs(dx.sum(axes)) <= bound).all()
            assert (np.abs((dx * xhat).sum(axes) - expected) <= bound * np.abs(xhat).max()).all()
            assert (np.abs(dx).max(axes) > 1e-3).all()


def test_B5_degenerate_upstreams_give_dx_0(shape, fused, device):
    """No evidence of correctness: a rule that always gives 0 passes but for the last line."""
    x, gamma, beta = training_inputs(shape)
    gamma[1] = 2.0
    ones = run(x, gamma, beta, np.ones(shape), fused, device=device)
    assert np.abs(ones[1]).max() < 1e-12
    two = (2, 3, *[1] * (len(shape) - 2))  # x̂ is ±1 whatever x is
    apart = draw(two)
    apart[0] += 4
    for eps in (0.0, 1e-15):
        found = run(apart, gamma, beta, draw(two, 1), fused, eps, device)
        assert np.abs(found[1]).max() < 1e-12
        assert np.abs(found[2]).min() > 1e-3
    random = run(x, gamma, beta, draw(shape, 1), fused, device=device)
    assert (np.abs(random[1]).max(axes_of(x)) > 1e-3).all()


def test_B6_biased_variance_normalises_which_n_4_would_tell(shape, fused, device):
    x = draw((4, 3, *[1] * (len(shape) - 2)))
    y, *_ = run(x, np.ones(3), np.zeros(3), x, fused, device=device)
    c = x - x.mean(0)
    np.testing.assert_allclose(y, c / np.sqrt(np.var(x, 0, ddof=0) + EPS), rtol=1e-12, atol=1e-13)
    assert worst(c / np.sqrt(np.var(x, 0, ddof=1) + EPS), y) > 0.1


def test_B6_the_result_s_biased_variance_is_1_without_eps(shape, fused, device):
    x = draw(shape)
    y, *_ = run(x, np.ones(3), np.zeros(3), x, fused, 0.0, device)
    np.testing.assert_allclose(y.var(axes_of(x), ddof=0), 1, rtol=1e-12)


# ---- behind another layer


def before_norm(shape, w, b, device):
    """A layer's result of this shape: Conv1d and Conv2d in 3-d and 4-d; Linear in 2-d, and in 5-d,
    where there is no convolution, over channels that are moved to axis 1 after it.
    """
    n, _, *space = shape
    if len(space) in (1, 2):
        x = mg.tensor(draw((n, 4, *[length + 1 for length in space]), 3), device=device)
        return (F.conv1d if len(space) == 1 else F.conv2d)(x, w, b)
    return F.linear(mg.tensor(draw((n, *space, 4), 3), device=device), w, b).moveaxis(-1, 1)


def weight_before(shape, seed=0):
    """The weight of that layer: kernels are 2 wide."""
    return draw((3, 4, *([2] * (len(shape) - 2) if len(shape) in (3, 4) else [])), seed)


def loss_behind(shape, w, b, fused, eps, device):
    """A loss behind a layer and BatchNorm, and its gradients through that layer's w and b."""
    inputs = [leaf(w, device), leaf(b, device)]
    h = before_norm(shape, *inputs, device)
    assert h.shape == shape
    y = F.batch_norm(h, None, None, None, None, training=True, eps=eps, fused=fused)
    loss = (y * y * y * mg.tensor(draw(shape, 4), device=device) + y).mean()
    return float(host(loss)), *(host(g) for g in mg.grad(loss, inputs))


def test_B13_bias_of_a_layer_before_it_gets_no_gradient(shape, fused, device):
    _, dw, db = loss_behind(shape, weight_before(shape), draw(3, 1), fused, 1e-5, device)
    assert np.abs(db).max() < 1e-12
    assert np.abs(dw).max() > 7e-2


def test_B14_ten_times_the_weights_is_the_same_loss_and_a_tenth_of_the_gradient(
    shape, fused, device
):
    w, b = weight_before(shape), draw(3, 1)
    (small, dw, _), (large, dw_large, _) = (
        loss_behind(shape, k * w, b, fused, 1e-5, device) for k in (1, 10)
    )
    assert abs(small - large) < 3e-5
    assert worst(dw_large, dw / 10) < 1e-4


def test_B14_weights_are_at_right_angles_to_their_gradient_without_eps(shape, fused, device):
    """⟨W, dW⟩ is 3e-16·|W|·|dW| at most for most W, but not for each: it is what the entries of dW
    were rounded by, together, which cancels by luck (1.5e-15 at worst, of 40 W in every layout).
    """
    found = []
    for seed in range(20):
        w = weight_before(shape, seed)
        _, dw, _ = loss_behind(shape, w, draw(3, 1), fused, 0.0, device)
        found.append(abs(np.vdot(w, dw)) / (np.linalg.norm(w) * np.linalg.norm(dw)))
        for row, gradient in zip(w, dw, strict=True):  # each channel's have their own scale
            assert abs(np.vdot(row, gradient)) < 3e-15
    assert np.median(found) <= 3e-16
    assert max(found) <= 3e-15


# ---- of the result, and what the seed documents print


def test_shift_and_scale_of_x_change_nothing_without_eps(shape, fused, device):
    x, gamma, beta = training_inputs(shape)
    y, moved = (run(t, gamma, beta, x, fused, 0.0, device)[0] for t in (x, 3.5 * x - 2))
    np.testing.assert_allclose(moved, y, rtol=1e-12, atol=1e-12)


def test_shift_and_scale_of_x_change_as_much_as_eps(shape, fused, device):
    x, gamma, beta = training_inputs(shape)
    y, moved = (run(t, gamma, beta, x, fused, EPS, device)[0] for t in (x, 3.5 * x - 2))
    apart = np.abs(moved - y).max()
    assert 0 < apart < 10 * EPS


def test_mean_of_xhat_is_0_and_its_square_v_over_v_plus_eps(shape, fused, device):
    x = draw(shape, 3)
    axes = axes_of(x)
    y, *_ = run(x, np.ones(3), np.zeros(3), x, fused, 0.1, device)
    v = x.var(axes)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-14)
    np.testing.assert_allclose((y * y).mean(axes), v / (v + 0.1), rtol=1e-12)


def test_seed_document_standard_deviation_deficit_is_eps(fused, device):
    x = np.random.default_rng(0).random((8, 16, 34, 34))
    y, *_ = run(x, np.ones(16), np.zeros(16), x, fused, device=device)
    v = x.var((0, 2, 3))
    np.testing.assert_allclose(y.std((0, 2, 3)), np.sqrt(v / (v + EPS)), atol=1e-6, rtol=0)
    assert abs(y.mean()) < 1e-12
    assert abs(y.std() - 0.99994) < 1e-5


def test_seed_document_prints_0_99994_at_its_own_shape():
    x = np.random.default_rng(0).random((32, 64, 68, 68), np.float32)
    y = F.batch_norm(mg.tensor(x), None, None, training=True).numpy()
    v = x.var(dtype=np.float64)
    deviation = y.std(dtype=np.float64)
    assert abs(deviation - np.sqrt(v / (v + EPS))) < 1e-6
    assert f"{deviation:.5f}" == "0.99994"
    assert abs(y.mean(dtype=np.float64)) < 1e-6


def test_seed_document_excess_over_gamma_is_bessel(fused, device):
    x = draw((1000, 3), mean=5.0, std=3.0)
    y, *_ = run(x, np.array([1.0, 2, 3]), np.array([2.0, 4, 8]), x, fused, device=device)
    np.testing.assert_allclose(y.mean(0), [2, 4, 8], rtol=1e-12)
    np.testing.assert_allclose(y.std(0, ddof=1), [1.0005, 2.0010, 3.0015], atol=1e-4)


def test_gradients_share_no_memory(shape, fused):
    inputs = [leaf(a) for a in training_inputs(shape)]
    found = mg.grad(trained(fused)(*inputs), inputs, mg.tensor(draw(shape, 5)))
    arrays = [t.numpy() for t in found]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[i + 1 :])


def test_per_channel_law_channels_do_not_meet(shape, fused, device):
    """Each channel's result is what it is alone."""
    x, gamma, beta = training_inputs(shape)
    dy = draw(shape, 1)
    y, dx, dgamma, dbeta = run(x, gamma, beta, dy, fused, device=device)
    for c in range(3):
        alone = run(x[:, [c]], gamma[[c]], beta[[c]], dy[:, [c]], fused, device=device)
        together = (y[:, [c]], dx[:, [c]], dgamma[[c]], dbeta[[c]])
        assert_near(together, alone, rtol=1e-12, atol=1e-14)
