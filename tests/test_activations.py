"""Activations: options, edges, precision, derivatives, and what bad options are told."""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.errors import DTypeError, OutOfRangeError
from minigrad.testing import assert_close, check_grads

FUNCTIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "elu alpha=-1.5": lambda x: F.elu(x, -1.5),
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, "tanh"),
    "softplus": F.softplus,
    "softplus beta=-2": lambda x: F.softplus(x, beta=-2.0),
    "softplus without threshold": lambda x: F.softplus(x, threshold=math.inf),
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "softmax": lambda x: F.softmax(x, dim=-1),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
}
MODULES = {
    "ReLU()": (nn.ReLU(), F.relu),
    "LeakyReLU(negative_slope=0.2)": (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "ELU(alpha=0.5)": (nn.ELU(0.5), lambda x: F.elu(x, 0.5)),
    "Softplus(beta=2.0, threshold=5.0)": (nn.Softplus(2, 5), lambda x: F.softplus(x, 2, 5)),
    "SiLU()": (nn.SiLU(), F.silu),
    "GELU(approximate='tanh')": (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
    "Sigmoid()": (nn.Sigmoid(), F.sigmoid),
    "Tanh()": (nn.Tanh(), F.tanh),
    "Softmax(dim=1)": (nn.Softmax(1), lambda x: F.softmax(x, 1)),
    "LogSoftmax(dim=0)": (nn.LogSoftmax(dim=0), lambda x: F.log_softmax(x, 0)),
}
INTEGERS_BECOME_FLOATS = ("sigmoid", "tanh", "softmax", "log_softmax", "relu")
POINTS = np.array([-3.1, -0.7, -0.2, 0.3, 0.9, 2.6])


@pytest.mark.parametrize("text", MODULES)
def test_a_module_is_its_function_and_shows_its_options(text):
    module, function = MODULES[text]
    x = mg.tensor(POINTS.reshape(2, 3))
    np.testing.assert_array_equal(module(x).numpy(), function(x).numpy())
    assert repr(module).startswith(text)
    assert not module.state_dict()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_three_derivatives_are_the_numeric_ones(function):
    check_grads(function, [POINTS.reshape(2, 3)], order=3)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_far_from_zero_all_is_finite_and_no_warning_comes(function, dtype, device):
    """At three orders; in float64 also where e^x would overflow by far."""
    x = mg.tensor([-1000.0, -90.0, 90.0, 1000.0], dtype, device, requires_grad=True)
    y = function(x)
    for _ in range(3):
        assert y.dtype == dtype
        assert y.device == x.device
        assert np.isfinite(y.cpu().numpy()).all()
        if not y.requires_grad:
            break  # of relu, no second derivative depends on x
        (y,) = mg.grad(y.sum(), x, create_graph=True)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_float16_at_a_thousand_is_finite(function):
    x = mg.tensor([-1000.0, 1000.0], mg.float16, requires_grad=True)
    y = function(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == mg.float16
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "silu", "gelu", "softplus"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_floats_are_as_exact_as_torchs(name, dtype):
    """The worst errors of values and slopes, by float64, and one unit in the last place more."""
    torch = pytest.importorskip("torch")
    a = (np.random.default_rng(0).normal(size=500) * 3).astype(dtype)
    narrow, wide = (mg.tensor(v, requires_grad=True) for v in (a, a.astype(np.float64)))
    z = torch.tensor(a, requires_grad=True)
    ys = [getattr(F, name)(x) for x in (narrow, wide)]
    ys.append(getattr(torch.nn.functional, name)(z))
    for y in ys:
        y.sum().backward()
    gradients = [narrow.grad.numpy(), wide.grad.numpy(), z.grad.numpy()]
    for ours, exact, theirs in ([y.detach().numpy() for y in ys], gradients):
        unit = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
        worst, allowed = (np.abs(v - exact).max() for v in (ours, theirs))
        assert worst <= allowed + 0.5 * unit.max()


# ---- kinks ---------------------------------------------------------------------------------------


def slope_at(function, value, order=1):
    x = mg.tensor(value, mg.float64, requires_grad=True)
    y = function(x)
    for _ in range(order):
        (y,) = mg.grad(y, x, create_graph=True)
    return y.item()


def test_slopes_at_zero():
    assert slope_at(F.relu, 0.0) == 0.0
    assert slope_at(lambda x: F.leaky_relu(x, 0.25), 0.0) == 0.25
    assert slope_at(lambda x: F.elu(x, 0.25), 0.0) == 0.25
    assert slope_at(lambda x: F.elu(x, 0.25), 0.0, order=2) == 0.0
    assert slope_at(F.gelu, 0.0) == slope_at(F.silu, 0.0) == slope_at(F.softplus, 0.0) == 0.5


def test_softplus_is_the_identity_beyond_its_threshold():
    assert F.softplus(mg.tensor([2.5]), 2.0, 4.0).tolist() == [2.5]
    assert F.softplus(mg.tensor([2.0]), 2.0, 4.0).tolist() != [2.0]  # at it, not yet
    assert slope_at(lambda x: F.softplus(x, 2.0, 4.0), 2.5) == 1.0
    assert slope_at(lambda x: F.softplus(x, 2.0, 4.0), 2.5, order=2) == 0.0


def test_softplus_without_a_threshold_is_exact():
    x = np.array([-40.0, 0.0, 21.0, 30.0])
    y = F.softplus(mg.tensor(x), threshold=math.inf).numpy()
    np.testing.assert_allclose(y, np.logaddexp(0, x), rtol=1e-15)


def test_the_two_gelus_are_near_each_other():
    x = mg.linspace(-4.0, 4.0, 101, dtype=mg.float64)
    gap = (F.gelu(x) - F.gelu(x, "tanh")).abs().max().item()
    assert 1e-4 < gap < 1e-3


def test_softmax_sums_to_one_along_its_axis():
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 3, 4)) * 50)
    for dim in (0, 1, -1):
        assert_close(F.softmax(x, dim).sum(dim), np.ones_like(x.sum(dim).numpy()))
        assert_close(F.log_softmax(x, dim).exp(), F.softmax(x, dim).numpy())


def test_softmax_in_another_dtype():
    x = mg.tensor([0.0, 1.0], mg.float16)
    for function in (F.softmax, F.log_softmax):
        wide = function(x, 0, mg.float32)
        assert wide.dtype == mg.float32
        np.testing.assert_array_equal(wide.numpy(), function(x.float(), 0).numpy())


@pytest.mark.parametrize("module", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU])
def test_inplace_is_taken_and_writes_nothing(module):
    x = mg.tensor([-1.0, 2.0])
    y = module(inplace=True)(x)
    assert x.tolist() == [-1.0, 2.0]
    np.testing.assert_array_equal(y.numpy(), module()(x).numpy())


def test_numpys_numbers_as_options_do_not_widen():
    slope = np.float64(0.5)
    for y in (
        F.leaky_relu(mg.ones(2), slope),
        F.elu(mg.ones(2), slope),
        F.softplus(mg.ones(2), slope, slope),
    ):
        assert y.dtype == mg.float32


# ---- bad options ---------------------------------------------------------------------------------

ONES = mg.ones(2, 3)
WRONG = {
    "softmax": (lambda: F.softmax(ONES), TypeError, r"dim=None.*dim=1.*dim=-1"),
    "log_softmax": (lambda: F.log_softmax(ONES), TypeError, r"dim=None.*dim=1"),
    "Softmax": (lambda: nn.Softmax(), TypeError, r"Softmax got dim=None"),
    "LogSoftmax": (lambda: nn.LogSoftmax(), TypeError, r"LogSoftmax got dim=None"),
    "several axes": (lambda: F.softmax(ONES, (0, 1)), TypeError, r"dim=\(0, 1\)"),
    "axis": (lambda: F.softmax(ONES, 2), OutOfRangeError, r"axis 2.*2 axes"),
    "approximate": (lambda: F.gelu(ONES, "erf"), ValueError, r"'erf'.*\"none\" or \"tanh\""),
    "GELU": (lambda: nn.GELU("fast"), ValueError, r"'fast'.*tanh"),
    "slope": (lambda: F.leaky_relu(ONES, "x"), TypeError, r"negative_slope was given as 'x'"),
    "LeakyReLU": (lambda: nn.LeakyReLU(None), TypeError, r"negative_slope was given as None"),
    "alpha": (lambda: F.elu(ONES, True), TypeError, r"alpha was given as True"),
    "NaN": (lambda: F.elu(ONES, math.nan), ValueError, r"alpha was given as NaN"),
    "beta": (lambda: F.softplus(ONES, 0.0), ValueError, r"beta=0"),
    "threshold": (lambda: F.softplus(ONES, 1.0, [2]), TypeError, r"threshold was given as \[2\]"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "softplus", "silu", "gelu"])
def test_integers_are_told_to_be_floats(name):
    with pytest.raises(DTypeError, match=rf"{name} got int64.*x.float\(\)"):
        getattr(F, name)(mg.tensor([1, 2]))


def test_integers_give_floats_where_torch_has_it_so():
    assert F.sigmoid(mg.tensor([0])).tolist() == [0.5]
    assert F.relu(mg.tensor([-1, 2])).tolist() == [0, 2]
