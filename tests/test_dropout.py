"""Dropout: the law of its mask, its gradients, its seeds; and Identity."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import DTypeError, nn
from minigrad.nn import functional as F
from minigrad.testing import check_grads

N = 200_000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_share_p_is_zeroed_and_the_rest_scaled(p, dtype, device):
    y = nn.Dropout(p)(mg.ones(N, dtype=dtype, device=device))
    assert y.dtype == np.dtype(dtype)
    assert y.device == mg.zeros(1, device=device).device
    values = y.cpu().numpy()
    assert set(np.unique(values)) == {0, values.dtype.type(1 / (1 - p))}
    assert abs((values == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / N)
    assert abs(values.astype(float).mean() - 1) < 5 * np.sqrt(p / (1 - p) / N) + 1e-3


def test_elements_are_dropped_independently():
    mask = nn.Dropout(0.5)(mg.ones(400, 500)).numpy() == 0
    for left, right in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        assert abs((left & right).mean() - 0.25) < 0.01
    assert abs(mask.mean(0) - 0.5).max() < 0.15
    assert abs(mask.mean(1) - 0.5).max() < 0.15


def test_the_gradient_has_the_same_mask():
    x = mg.randn(1000, requires_grad=True)
    y = nn.Dropout(0.3)(x)
    (gradient,) = mg.grad(y.sum(), x)
    np.testing.assert_allclose(y.numpy(), x.numpy() * gradient.numpy(), rtol=1e-6)
    assert set(np.unique(gradient.numpy())) == {0, np.float32(1 / 0.7)}


def test_derivatives_of_order_three():
    def f(x):
        mg.manual_seed(4)
        return F.dropout(x, 0.4) ** 3

    check_grads(f, mg.randn(4, 3, dtype=mg.float64), order=3)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_the_ends_are_all_and_nothing(p, training):
    x = mg.randn(3, 4)
    kept = not (training and p == 1)
    np.testing.assert_array_equal(F.dropout(x, p, training).numpy(), x.numpy() * kept)


def test_evaluation_gives_the_input_itself_and_draws_nothing():
    x, state = mg.randn(3), mg.get_rng_state()
    assert nn.Dropout(0.5).eval()(x) is x
    assert mg.get_rng_state().tolist() == state.tolist()


def test_one_seed_drops_the_same_on_every_device_and_in_every_dtype(device):
    masks = []
    for place, dtype in (("cpu", mg.float64), (device, mg.float32), (device, mg.float16)):
        mg.manual_seed(1)
        y = F.dropout(mg.ones(50_000, device=place, dtype=dtype), 0.4)
        masks.append(y.cpu().numpy() == 0)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("inplace", [True, False])
def test_the_input_is_never_written(inplace):
    x = mg.ones(100)
    nn.Dropout(0.5, inplace)(x)
    F.dropout(x, inplace=inplace)
    assert x.numpy().all()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(mg.ones(2), p, training=False)


@pytest.mark.parametrize("training", [True, False])
def test_integers_are_refused_in_both_modes(training):
    with pytest.raises(DTypeError, match="int64"):
        nn.Dropout(0.5).train(training)(mg.tensor([1]))


def test_an_empty_input_stays_empty():
    assert nn.Dropout(0.5)(mg.ones(0, 3)).shape == (0, 3)


def test_identity_gives_what_it_gets():
    x = mg.ones(2)
    assert nn.Identity(3, "any", word=1)(x) is x
    assert repr(nn.Identity(3)).startswith("Identity()")
