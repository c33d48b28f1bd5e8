"""Initial values: distributions, sizes, seeds, and what is refused."""

import math
from statistics import NormalDist

import numpy as np
import pytest

import minigrad as mg
from minigrad import DTypeError, ShapeError, nn
from minigrad.nn import init

DRAWN = {
    "uniform_": {"a": -0.5, "b": 2.0},
    "normal_": {"mean": 0.5, "std": 2.0},
    "trunc_normal_": {"mean": 0.5, "std": 1.5, "a": -1.0, "b": 2.5},
    "xavier_uniform_": {"gain": 1.5},
    "xavier_normal_": {"gain": 1.5},
    "kaiming_uniform_": {},
    "kaiming_normal_": {"a": 0.3, "mode": "fan_out"},
    "orthogonal_": {"gain": 2.0},
    "sparse_": {"sparsity": 0.25, "std": 0.5},
}
FIXED = {"constant_": {"val": 3.0}, "ones_": {}, "zeros_": {}, "eye_": {}}
drawn = pytest.mark.parametrize("name", DRAWN)
every = pytest.mark.parametrize("name", DRAWN | FIXED | {"dirac_": {}})


def called(name, shape=(4, 5), **place):
    t = mg.full((*shape, *[3] * (name == "dirac_")), 7.0, **place)
    return getattr(init, name)(t, **(DRAWN | FIXED).get(name, {}))


def test_all_of_torchs_are_here():
    torch = pytest.importorskip("torch")
    theirs = {
        name
        for name in vars(torch.nn.init)
        if name.endswith("_") and not name.startswith("_") and callable(vars(torch.nn.init)[name])
    }
    assert theirs <= {*init.__all__}
    assert (DRAWN | FIXED).keys() | {"dirac_", "calculate_gain"} == {*init.__all__}


# ---- what holds for all --------------------------------------------------------------------------


@every
def test_values_are_written_in_place_and_the_tensor_returned(name):
    t = mg.zeros(6, 6, *[3] * (name == "dirac_"), requires_grad=True)
    memory = t.array
    assert getattr(init, name)(t, **(DRAWN | FIXED).get(name, {})) is t
    assert t.array is memory
    assert t.is_leaf
    assert t.requires_grad


@every
def test_a_graph_that_needs_the_old_values_notices(name):
    t = mg.ones(6, 6, *[3] * (name == "dirac_"), requires_grad=True)
    y = (t * t).sum()
    getattr(init, name)(t, **(DRAWN | FIXED).get(name, {}))
    with pytest.raises(mg.GraphError):
        y.backward()


@every
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_seed_gives_the_same_on_every_device(name, dtype, device):
    mg.manual_seed(5)
    here = called(name, dtype=mg.float64).numpy()
    mg.manual_seed(5)
    there = called(name, dtype=dtype, device=device)
    assert there.dtype == np.dtype(dtype)
    low = np.finfo(dtype).eps
    np.testing.assert_allclose(there.cpu().numpy(), here, rtol=low, atol=low)


@drawn
def test_no_two_calls_are_alike(name):
    assert (called(name).numpy() != called(name).numpy()).any()


# ---- distributions -------------------------------------------------------------------------------


@drawn
@pytest.mark.parametrize("shape", [(300, 400), (400, 100, 3)])
def test_moments_and_extremes_are_torchs(name, shape):
    torch = pytest.importorskip("torch")
    if name == "sparse_" and len(shape) > 2:
        return
    torch.manual_seed(0)
    options, n = DRAWN[name], math.prod(shape)
    a = getattr(init, name)(mg.empty(*shape, dtype=mg.float64), **options).numpy()
    b = getattr(torch.nn.init, name)(torch.empty(shape, dtype=torch.float64), **options).numpy()
    spread = b.std()
    assert abs(a.mean() - b.mean()) < 6 * spread * np.sqrt(2 / n)
    assert abs(a.std() / spread - 1) < 6 / np.sqrt(n)
    kurtosis = [((v - v.mean()) ** 4).mean() / v.var() ** 2 for v in (a, b)]
    assert abs(kurtosis[0] - kurtosis[1]) < 0.1
    for extreme in (np.min, np.max):
        if name in ("uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_"):
            assert abs(extreme(a) - extreme(b)) < 1e-3 * spread
        assert abs(extreme(a) - extreme(b)) < 2 * spread


@pytest.mark.parametrize(
    ("low", "high"),
    [(-2, 2), (-0.01, 0.02), (1, 1.5), (3, 9), (-9, -3), (6, np.inf), (-np.inf, 0.5), (20, 30)],
)
def test_a_truncated_normal_has_its_distribution_however_rare(low, high):
    """Kolmogorov's distance from the law, in the middle and far in a tail."""
    n, mean, std = 20_000, -1.0, 0.5
    t = mg.empty(n, dtype=mg.float64)
    z = np.sort(init.trunc_normal_(t, mean, std, mean + low * std, mean + high * std).numpy())
    z = (z - mean) / std
    assert low - 1e-12 <= z[0]
    assert z[-1] <= high + 1e-12
    if low > 0:
        z, low, high = -z[::-1], -high, -low
    below = [0.5 * math.erfc(-v / math.sqrt(2)) for v in (low, high)]
    at = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    share = (at - below[0]) / (below[1] - below[0])
    assert np.abs(share - np.arange(n) / n).max() < 2 / np.sqrt(n)


def test_a_truncated_normal_stays_inside_in_every_dtype():
    for dtype in ("float16", "float32"):
        z = init.trunc_normal_(mg.empty(20_000, dtype=dtype), a=-0.3, b=0.3).numpy()
        assert np.abs(z).max() <= np.dtype(dtype).type(0.3)


def test_the_untruncated_law_is_pythons():
    t = init.trunc_normal_(mg.empty(50_000, dtype=mg.float64), a=-50.0, b=50.0).numpy()
    quantiles = np.quantile(t, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, [NormalDist().inv_cdf(p) for p in (0.1, 0.5, 0.9)],
                               atol=0.03)  # fmt: skip


# ---- fans and gains ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(300, 200), (64, 32, 3), (64, 16, 3, 5), (32, 8, 3, 3, 3)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaiming_bounds_come_from_the_fan(shape, mode):
    field = math.prod(shape[2:])
    fan = (shape[1] if mode == "fan_in" else shape[0]) * field
    t = init.kaiming_uniform_(mg.empty(*shape), 0.5, mode, "leaky_relu").numpy()
    bound = math.sqrt(2 / 1.25) * math.sqrt(3 / fan)
    assert bound * 0.99 < np.abs(t).max() <= bound * (1 + 1e-6)
    t = init.kaiming_normal_(mg.empty(*shape), mode=mode, nonlinearity="tanh").numpy()
    assert abs(t.std() * math.sqrt(fan) / (5 / 3) - 1) < 6 / math.sqrt(t.size)
    t = init.xavier_uniform_(mg.empty(*shape)).numpy()
    bound = math.sqrt(6 / ((shape[0] + shape[1]) * field))
    assert bound * 0.99 < np.abs(t).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("nonlinearity", "param"),
    [(f"conv{t}{n}d", None) for t in ("", "_transpose") for n in (1, 2, 3)]
    + [("linear", None), ("sigmoid", None), ("tanh", None), ("relu", None), ("selu", None),
       ("leaky_relu", None), ("leaky_relu", 0), ("leaky_relu", 0.5), ("relu", 3.0)],
)  # fmt: skip
def test_gains_are_torchs(nonlinearity, param):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.calculate_gain(nonlinearity, param)
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(expected, rel=1e-15)


# ---- matrices and kernels ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 4, 5), (40, 2, 3, 3), (1, 1)])
@pytest.mark.parametrize("gain", [1, 0.3])
def test_orthogonal_rows_or_columns(shape, gain):
    q = init.orthogonal_(mg.empty(*shape, dtype=mg.float64), gain).numpy()
    q = q.reshape(len(q), -1)
    product = q.T @ q if len(q) >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), rtol=0, atol=1e-12)


def test_orthogonal_matrices_have_no_preferred_sign():
    """Householder's algorithm alone would fix the signs of R, not of Q."""
    corners = [init.orthogonal_(mg.empty(3, 3)).numpy()[np.arange(3), np.arange(3)]
               for _ in range(400)]  # fmt: skip
    assert np.abs(np.sign(corners).mean(0)).max() < 0.25


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 4, 3), 1), ((6, 2, 3, 5), 1), ((2, 6, 4, 4), 1), ((6, 2, 3, 3), 3), ((4, 2, 1, 3, 2), 2),
     ((6, 4, 3), 2)],
)  # fmt: skip
def test_dirac_is_torchs(shape, groups):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(mg.empty(*shape), groups).numpy(), expected)


def test_dirac_leaves_images_as_they_are():
    layer = nn.Conv2d(3, 3, 5, padding=2, bias=False)
    init.dirac_(layer.weight)
    x = mg.randn(2, 3, 7, 7)
    np.testing.assert_allclose(layer(x).numpy(), x.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (2, 5), (5, 2)])
def test_eye_is_the_identity(shape):
    np.testing.assert_array_equal(init.eye_(mg.ones(*shape)).numpy(), np.eye(*shape))


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 1.0])
def test_sparse_columns_have_so_many_zeros(sparsity):
    t = init.sparse_(mg.empty(7, 200), sparsity).numpy()
    assert set((t == 0).sum(0)) == {math.ceil(sparsity * 7)}
    if 0 < sparsity < 1:
        assert abs((t == 0).mean(1) - (t == 0).mean()).max() < 0.2  # in no row more than in others


def test_fixed_values():
    t = mg.empty(2, 3)
    assert init.constant_(t, 2.5).tolist() == [[2.5] * 3] * 2
    assert init.ones_(t).tolist() == [[1] * 3] * 2
    assert init.zeros_(t).tolist() == [[0] * 3] * 2


# ---- refusals ------------------------------------------------------------------------------------

V, M, K = mg.ones(3), mg.ones(3, 3), mg.ones(3, 3, 3)
WRONG = {
    **{
        f"{name} of a vector": (lambda name=name: getattr(init, name)(V), ShapeError, r"\(3,\)")
        for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
                     "orthogonal_", "eye_", "dirac_")
    },
    **{
        f"{name} of integers": (
            lambda name=name: getattr(init, name)(mg.tensor([[1]])), DTypeError, "int64",
        )
        for name in ("uniform_", "normal_", "trunc_normal_", "xavier_normal_", "orthogonal_")
    },
    "mode": (lambda: init.kaiming_uniform_(M, mode="fan"), ValueError, "'fan'.*\"fan_in\""),
    "nonlinearity": (
        lambda: init.kaiming_normal_(M, nonlinearity="gelu"), ValueError, "'gelu'.*leaky_relu",
    ),
    "slope": (lambda: init.calculate_gain("leaky_relu", "a"), ValueError, "'a'"),
    "slope of a bool": (lambda: init.calculate_gain("leaky_relu", True), ValueError, "True"),
    "std": (lambda: init.trunc_normal_(M, std=0.0), ValueError, "std=0.0"),
    "bounds": (lambda: init.trunc_normal_(M, a=2.0), ValueError, "a=2.0, b=2.0"),
    "groups": (lambda: init.dirac_(K, 2), ShapeError, "3 output channels for groups=2"),
    "no groups": (lambda: init.dirac_(K, 0), ShapeError, "groups=0"),
    "eye of a kernel": (lambda: init.eye_(K), ShapeError, r"\(3, 3, 3\)"),
    "dirac of a matrix": (lambda: init.dirac_(M), ShapeError, "3 or 4 or 5"),
    "sparse of a kernel": (lambda: init.sparse_(K, 0.1), ShapeError, "one with 2 axes"),
    "sparsity": (lambda: init.sparse_(M, 1.5), ValueError, "1.5"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
    for t in (V, M, K):
        assert (t.numpy() == 1).all()


def test_a_tensor_without_values_is_left_without():
    for name in ("uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_normal_", "orthogonal_"):
        assert called(name, (0, 3)).shape == (0, 3)
