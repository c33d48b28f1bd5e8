"""Losses: every option against its formula, edges, derivatives, and what bad input is told.

Every layer's options are drawn against PyTorch in test_peer_layers.py.
"""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.errors import DeviceError, DTypeError, ShapeError
from minigrad.testing import assert_close, check_grads

REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def shares(*shape):
    """Probabilities along axis 1 (or the only one)."""
    p = np.random.default_rng(1).uniform(0.2, 1.0, shape)
    return p / p.sum(min(len(shape) - 1, 1), keepdims=True)


def log_softmax(x):
    z = x - x.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


BETWEEN = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth l1": F.smooth_l1_loss,
    "smooth l1 of small beta": lambda x, t, reduction="mean": F.smooth_l1_loss(
        x, t, reduction, 0.05
    ),
    "binary": lambda x, t, reduction="mean": F.binary_cross_entropy_with_logits(
        x, t, reduction=reduction
    ),
    "cross-entropy of probabilities": lambda x, t, reduction="mean": F.cross_entropy(
        x, t, reduction=reduction
    ),
}
WEIGHT = np.array([0.5, 1.0, 3.0])
LABELS = np.array([2, 0, -100, 1])
LABELLED = {
    "plain": {},
    "weighted": {"weight": WEIGHT},
    "smoothed": {"label_smoothing": 0.3},
    "both": {"weight": WEIGHT, "label_smoothing": 0.3},
}


def options_of(name):
    return {k: mg.tensor(v) if k == "weight" else v for k, v in LABELLED[name].items()}


# ---- a number for each number --------------------------------------------------------------------


@pytest.mark.parametrize("loss", BETWEEN.values(), ids=BETWEEN)
def test_sum_and_mean_are_those_of_the_single_losses(loss):
    x, target = mg.tensor(normal(4, 3)), mg.tensor(shares(4, 3))
    each = loss(x, target, reduction="none")
    assert_close(loss(x, target, reduction="sum"), each.sum())
    assert_close(loss(x, target), each.mean())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", BETWEEN.values(), ids=BETWEEN)
def test_three_derivatives_in_both_arguments(loss, reduction):
    """Values a quarter apart: no kink within reach."""
    x, target = np.arange(6.0).reshape(2, 3) * 0.5 - 1.1, shares(2, 3)
    check_grads(lambda x, t: loss(x, t, reduction=reduction), [x, target], order=3)


def test_values_by_hand():
    x, target = mg.tensor([3.0, 0.5]), mg.tensor([1.0, 0.0])
    assert F.mse_loss(x, target).item() == 2.125
    assert F.l1_loss(x, target, "sum").item() == 2.5
    assert F.smooth_l1_loss(x, target, "none").tolist() == [1.5, 0.125]
    assert F.smooth_l1_loss(x, target, "none", beta=4.0).tolist() == [0.5, 0.03125]


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_the_mean_is_by_the_weights(loss):
    x, target, w = (mg.tensor(np.abs(normal(2, 3, seed=k))) for k in range(3))
    each = loss(x, target, "none")
    assert_close(loss(x, target, "none", w), (each * w).numpy())
    assert_close(loss(x, target, "sum", w), (each * w).sum())
    assert_close(loss(x, target, weight=w), ((each * w).sum() / w.sum()).numpy())


def test_smooth_l1_of_beta_zero_is_l1():
    x, target = mg.tensor(normal(5)), mg.tensor(normal(5, seed=1))
    np.testing.assert_array_equal(
        nn.SmoothL1Loss("none", 0)(x, target).numpy(), F.l1_loss(x, target, "none").numpy()
    )


@pytest.mark.parametrize("dtype", [mg.float16, mg.float32, mg.float64])
@pytest.mark.parametrize("beta", [1e-6, 1.0, 5000.0])
def test_smooth_l1_far_and_near(beta, dtype):
    """No overflow and no 0/0, whichever side of beta; curvature 1/beta in the middle."""
    x = mg.tensor([-1000.0, 0.0, 1000.0], dtype, requires_grad=True)
    y = F.smooth_l1_loss(x, mg.zeros(3, dtype=dtype), "none", beta)
    far = 1000 - beta / 2 if beta < 1000 else 1e6 / (2 * beta)
    assert y.dtype == dtype
    assert_close(y, np.array([far, 0.0, far]))
    (slope,) = mg.grad(y.sum(), x, create_graph=True)
    assert_close(slope, np.clip([-1000.0 / beta, 0.0, 1000.0 / beta], -1, 1))
    if dtype == mg.float64:
        (bend,) = mg.grad(slope.sum(), x)
        assert_close(bend[1:2], [1 / beta])


# ---- yes or no -----------------------------------------------------------------------------------


def test_binary_cross_entropy_is_its_formula():
    x, t = normal(4, 3) * 3, shares(4, 3)
    w, p = shares(3), WEIGHT
    s = 1 / (1 + np.exp(-x))
    expected = -w * (p * t * np.log(s) + (1 - t) * np.log1p(-s))
    loss = nn.BCEWithLogitsLoss(mg.tensor(w), "none", mg.tensor(p))
    assert_close(loss(mg.tensor(x), mg.tensor(t)), expected, size=10)
    mean = F.binary_cross_entropy_with_logits(
        mg.tensor(x), t, mg.tensor(w), pos_weight=mg.tensor(p)
    )
    assert_close(mean, expected.mean(), size=10)


def test_derivatives_of_binary_cross_entropy_in_all_that_it_takes():
    def loss(x, t, w, p):
        return F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p)

    check_grads(loss, [normal(2, 3), shares(2, 3), shares(3), shares(2, 1)], order=3)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_binary_losses_of_huge_logits_are_exact(dtype, device):
    x = mg.tensor([1000.0, 1000.0, -1000.0, -1000.0], dtype, device, requires_grad=True)
    t = mg.tensor([0.0, 1.0, 0.0, 1.0], dtype, device)
    y = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    y.sum().backward()
    assert y.tolist() == [1000.0, 0.0, 0.0, 1000.0]
    assert x.grad.tolist() == [1.0, 0.0, 0.0, -1.0]


def test_small_binary_losses_keep_their_digits():
    """PyTorch adds x to a softplus of about -x: at 20 and a label of 0, float32 loses all."""
    x = mg.tensor([-20.0, 20.0])
    y = F.binary_cross_entropy_with_logits(x, mg.tensor([0.0, 1.0]), reduction="none")
    np.testing.assert_allclose(y.numpy(), np.log1p(np.exp(-20.0)), rtol=1e-6)


# ---- one of several ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELLED)
def test_cross_entropy_is_its_formula(name):
    x = normal(4, 3) * 3
    w = LABELLED[name].get("weight", np.ones(3))
    epsilon = LABELLED[name].get("label_smoothing", 0.0)
    target = (1 - epsilon) * np.eye(3)[LABELS % 5] + epsilon / 3
    each = -(w * target * log_softmax(x)).sum(1) * (LABELS >= 0)
    share = w[LABELS % 5] * (LABELS >= 0)
    truth = {"none": each, "sum": each.sum(), "mean": each.sum() / share.sum()}
    for reduction in REDUCTIONS:
        y = F.cross_entropy(mg.tensor(x), LABELS, reduction=reduction, **options_of(name))
        assert_close(y, truth[reduction], size=12, what=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LABELLED)
def test_three_derivatives_of_cross_entropy(name, reduction):
    options = options_of(name)
    weight = [options.pop("weight")] if "weight" in options else []

    def loss(x, *weight):
        weight = weight[0] if weight else None
        return F.cross_entropy(x, LABELS, weight, reduction=reduction, **options)

    check_grads(loss, [normal(4, 3), *weight], order=3)


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives_of_cross_entropy_of_probabilities(smoothing, weighted):
    def loss(x, t, *weight):
        return F.cross_entropy(x, t, *weight, label_smoothing=smoothing)

    check_grads(loss, [normal(2, 3), shares(2, 3), *[WEIGHT] * weighted], order=3)


@pytest.mark.parametrize("name", LABELLED)
def test_probabilities_of_one_class_are_its_label(name):
    x, labels = mg.tensor(normal(2, 3, 4)), np.random.default_rng(0).integers(0, 3, (2, 4))
    onehot = np.moveaxis(np.eye(3)[labels], -1, 1)
    options = {"reduction": "none", **options_of(name)}
    assert_close(F.cross_entropy(x, onehot, **options), F.cross_entropy(x, labels, **options))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 2, 2)])
@pytest.mark.parametrize("name", LABELLED)
def test_axes_after_the_classes_are_more_rows(name, shape):
    x = normal(*shape)
    labels = np.random.default_rng(0).integers(0, 3, np.delete(shape, min(len(shape) - 1, 1)))
    rows = np.moveaxis(x.reshape((1, 3) if x.ndim == 1 else shape), 1, -1).reshape(-1, 3)
    options = options_of(name)
    for reduction in REDUCTIONS:
        y = F.cross_entropy(mg.tensor(x), labels, reduction=reduction, **options)
        z = F.cross_entropy(mg.tensor(rows), labels.reshape(-1), reduction=reduction, **options)
        assert y.shape == (labels.shape if reduction == "none" else ())
        assert_close(y.reshape(-1), z.reshape(-1))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_nll_of_log_softmax_is_cross_entropy(weighted, reduction):
    x, options = mg.tensor(normal(4, 3)), {"reduction": reduction}
    options |= options_of("weighted" if weighted else "plain")
    logp = F.log_softmax(x, 1)
    assert_close(F.nll_loss(logp, LABELS, **options), F.cross_entropy(x, LABELS, **options))
    check_grads(lambda x: F.nll_loss(x, LABELS, **options), [normal(4, 3)], order=2)


def test_smoothed_targets_sum_to_one():
    """A shift of all logits changes nothing, and the gradient of each row sums to 0."""
    x = mg.tensor(normal(3, 4), requires_grad=True)
    for target in (np.array([0, 3, 1]), shares(3, 4)):
        loss = F.cross_entropy(x, target, label_smoothing=0.7)
        (g,) = mg.grad(loss, x)
        np.testing.assert_allclose(g.numpy().sum(1), 0, atol=1e-15)
        assert_close(F.cross_entropy(x + 5.0, target, label_smoothing=0.7), loss.detach())


def test_full_smoothing_makes_all_labels_alike():
    x = mg.tensor(normal(3, 4))
    one, other = (F.cross_entropy(x, [k] * 3, label_smoothing=1.0) for k in (0, 3))
    assert_close(one, other)
    assert_close(one, -F.log_softmax(x, 1).mean())


@pytest.mark.parametrize("dtype", [mg.float16, mg.float32, mg.float64])
@pytest.mark.parametrize("name", LABELLED)
def test_huge_and_tied_logits_are_finite(name, dtype, device):
    options = {k: v.to(device, dtype) if k == "weight" else v for k, v in options_of(name).items()}
    rows = [[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, 1000.0], [5.0, 5.0, 5.0], [0.0, 0.0, 0.0]]
    x = mg.tensor(rows, dtype, device, requires_grad=True)
    for target in ([1, 2, 0, 1], np.eye(3)[[1, 2, 0, 1]]):
        (y := F.cross_entropy(x, target, **options)).backward()
        assert y.dtype == dtype
        assert np.isfinite(y.item())
        assert np.isfinite(x.grad.cpu().numpy()).all()


def test_many_rows_of_float16_count_right():
    """65504 is float16's end: the number of rows must not be counted in it."""
    x = mg.zeros(70_000, 2, dtype=mg.float16, requires_grad=True)
    labels = np.zeros(70_000, int)
    for options in ({}, {"weight": mg.ones(2, dtype=mg.float16)}):
        loss = F.cross_entropy(x, labels, **options)
        assert_close(loss, np.float16(math.log(2)))
        (g,) = mg.grad(loss, x)
        np.testing.assert_allclose(g.numpy()[:, 0], -0.5 / 70_000, rtol=0.01)


# ---- plain labels --------------------------------------------------------------------------------

LOGITS_AND_LABELS = {
    "matrix": ((5, 3), (5,)),
    "one row": ((1, 4), (1,)),
    "images": ((2, 3, 4, 2), (2, 4, 2)),
    "sequences": ((3, 4, 2), (3, 2)),
}


def labels_for(shape, classes, ignored):
    labels = np.random.default_rng(0).integers(0, classes, shape)
    if ignored and labels.size > 1:
        labels.reshape(-1)[::2] = -100
    return labels


@pytest.mark.pitfall("E47")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    ("shape", "label_shape"), LOGITS_AND_LABELS.values(), ids=LOGITS_AND_LABELS
)
def test_cross_entropy_and_its_gradient_are_torchs(shape, label_shape, ignored, reduction):
    torch = pytest.importorskip("torch")
    a, labels = normal(*shape) * 3, labels_for(label_shape, shape[1], ignored)
    x, z = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = nn.CrossEntropyLoss(reduction=reduction)(x, mg.tensor(labels))
    w = torch.nn.CrossEntropyLoss(reduction=reduction)(z, torch.tensor(labels))
    y.sum().backward()
    w.sum().backward()
    assert_close(y, w.detach().numpy(), size=a.size)
    assert_close(x.grad, z.grad.numpy(), size=a.size)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("shape", "label_shape"), LOGITS_AND_LABELS.values(), ids=LOGITS_AND_LABELS
)
def test_derivatives_of_cross_entropy(shape, label_shape, reduction):
    labels = labels_for(label_shape, shape[1], True)
    check_grads(lambda x: F.cross_entropy(x, labels, reduction=reduction), [normal(*shape)], 3)


@pytest.mark.pitfall("E47")
def test_the_gradient_of_cross_entropy_is_softmax_minus_onehot():
    a, labels = normal(4, 3), np.array([0, 2, 1, 1])
    x = mg.tensor(a, requires_grad=True)
    F.cross_entropy(x, labels, reduction="sum").backward()
    expected = np.exp(log_softmax(a)) - np.eye(3)[labels]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        (0, 1),
        np.array([0, 1]),
        np.array([0, 1], np.uint8),
        mg.tensor([0, 1]),
        mg.tensor([0, 1], mg.int32),
    ],
)
def test_labels_may_be_lists_arrays_or_tensors(labels):
    for options in ({}, {"weight": mg.ones(4)}):
        y = F.cross_entropy(mg.zeros(2, 4), labels, **options)
        assert_close(y, np.float32(np.log(4)))


def test_another_label_can_be_ignored():
    x = mg.tensor(normal(3, 2))
    some = nn.CrossEntropyLoss(ignore_index=-1)(x, [0, -1, 1])
    assert_close(some, F.cross_entropy(x[[0, 2]], [0, 1]))


@pytest.mark.parametrize("ignored", [1, np.int64(1)])
def test_a_class_can_be_ignored(ignored):
    x = mg.tensor(normal(3, 2))
    some = F.cross_entropy(x, [0, 1, 0], ignore_index=ignored)
    assert_close(some, F.cross_entropy(x[[0, 2]], [0, 0]))


@pytest.mark.pitfall("E47")
def test_huge_margins_are_finite_and_exact():
    x = mg.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    losses = F.cross_entropy(x, [0, 0], reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [0.0, 2000.0]
    assert x.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0]]


@pytest.mark.pitfall("E47")
@pytest.mark.parametrize("label", [3, -1, 100, -101])
def test_a_label_out_of_range_is_an_index_error(label):
    with pytest.raises(IndexError, match=rf"{label}.*3 classes.*0 to 2"):
        F.cross_entropy(mg.zeros(2, 3), [0, label])


@pytest.mark.parametrize("labels", [[0.0, 1.0], np.zeros(2), [True, False]])
def test_labels_that_are_no_integers_are_a_dtype_error(labels):
    with pytest.raises(DTypeError, match=r"labels are .*integers"):
        F.cross_entropy(mg.zeros(2, 3), labels)


@pytest.mark.parametrize(
    ("logits", "labels"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((3,), (1,)), ((2, 3, 4), (2, 3))]
)
def test_labels_of_another_shape_are_a_shape_error(logits, labels):
    with pytest.raises(ShapeError) as caught:
        F.cross_entropy(mg.zeros(logits), np.zeros(labels, int))
    assert str(logits) in str(caught.value)
    assert str(labels) in str(caught.value)


# ---- nothing to average --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", BETWEEN.values(), ids=BETWEEN)
def test_of_an_empty_batch_the_mean_is_nan_and_the_sum_zero(loss):
    nothing = mg.zeros(0, 3)
    assert np.isnan(loss(nothing, nothing).item())
    assert loss(nothing, nothing, reduction="sum").item() == 0.0
    assert loss(nothing, nothing, reduction="none").size == 0
    assert np.isnan(F.mse_loss(nothing, nothing, weight=nothing).item())


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("name", LABELLED)
def test_with_every_label_ignored_the_mean_is_nan_and_its_gradient_zero(name, composed):
    x = mg.tensor(normal(2, 3), requires_grad=True)
    with mg.unfused() if composed else mg.enable_grad():
        loss = F.cross_entropy(x, [-100, -100], **options_of(name))
        loss.backward()
    assert np.isnan(loss.item())
    assert not x.grad.numpy().any()
    assert F.cross_entropy(x, [-100, -100], reduction="sum", **options_of(name)).item() == 0.0
    assert np.isnan(F.cross_entropy(mg.zeros(0, 3), np.zeros(0, int)).item())


@pytest.mark.parametrize("name", LABELLED)
def test_an_ignored_row_changes_nothing(name):
    """Whatever its logits, even where the composed form meets infinities."""
    x, options = normal(4, 3), options_of(name)
    kept = LABELS >= 0
    without = F.cross_entropy(mg.tensor(x[kept]), LABELS[kept], **options)
    x[~kept] = 1e300
    assert_close(F.cross_entropy(mg.tensor(x), LABELS, **options), without)


# ---- modules -------------------------------------------------------------------------------------


def test_weights_are_state_that_moves_with_the_module():
    weight = mg.tensor(WEIGHT)
    for loss, names in (
        (nn.CrossEntropyLoss(weight), ["weight"]),
        (nn.NLLLoss(weight), ["weight"]),
        (nn.BCEWithLogitsLoss(weight, pos_weight=weight), ["weight", "pos_weight"]),
        (nn.CrossEntropyLoss(), []),
        (nn.MSELoss(), []),
    ):
        assert list(loss.state_dict()) == names
        loss.to(mg.float32)
        assert all(b.dtype == mg.float32 and not b.requires_grad for b in loss.buffers())
    assert weight.dtype == mg.float64


def test_weights_move_to_the_gpu(cuda):
    loss = nn.CrossEntropyLoss(mg.ones(3), label_smoothing=0.1).to(cuda)
    x = mg.ones(2, 3, device=cuda)
    assert loss(x, [0, 2]).device == x.device
    with pytest.raises(DeviceError):
        nn.CrossEntropyLoss(mg.ones(3))(x, [0, 2])


@pytest.mark.parametrize("name", LABELLED)
def test_a_label_out_of_range_gives_nan_on_a_gpu(standin, name):
    x = mg.randn(4, 3, device="cuda", requires_grad=True)
    labels = mg.tensor([2, -1, -100, 3], device="cuda")
    options = {k: v.to("cuda") if k == "weight" else v for k, v in options_of(name).items()}
    y = F.cross_entropy(x, labels, reduction="none", **options)
    y.sum().backward()
    np.testing.assert_array_equal(np.isnan(y.numpy()), [False, True, False, True])
    np.testing.assert_array_equal(np.isnan(x.grad.numpy()).any(1), [False, True, False, True])


def test_modules_show_their_options():
    assert "reduction='sum'" in repr(nn.MSELoss("sum"))
    assert "beta=0.5" in repr(nn.SmoothL1Loss(beta=0.5))
    loss = nn.CrossEntropyLoss(ignore_index=7, label_smoothing=0.1)
    assert "ignore_index=7, reduction='mean', label_smoothing=0.1" in repr(loss)


def test_targets_of_arrays_and_lists_take_the_dtype_and_the_device(device):
    x = mg.zeros(1, 2, device=device)
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.cross_entropy,
                 F.binary_cross_entropy_with_logits):  # fmt: skip
        for target in ([[0.5, 0.5]], np.array([[0.5, 0.5]])):
            y = loss(x, target)
            assert y.dtype == mg.float32
            assert y.device == x.device


# ---- bad input -----------------------------------------------------------------------------------

X, T = mg.ones(4, 1), mg.ones(4)
LOGITS = mg.zeros(2, 3)
WRONG = {
    "(N, 1) with (N,)": (
        lambda: F.mse_loss(X, T), ShapeError, r"\(4, 1\).*\(4,\).*target.reshape\(4, 1\)",
    ),
    "unlike sizes": (lambda: F.l1_loss(X, mg.ones(3)), ShapeError, r"\(4, 1\).*\(3,\)"),
    "a number": (lambda: F.smooth_l1_loss(X, 0.0), ShapeError, r"\(4, 1\).*\(\)"),
    "binary": (lambda: F.binary_cross_entropy_with_logits(X, T), ShapeError, r"reshape\(4, 1\)"),
    "reduction": (lambda: F.mse_loss(T, T, "avg"), ValueError, r"'avg'.*\"mean\", \"sum\""),
    "MSELoss": (lambda: nn.MSELoss("batchmean"), ValueError, r"'batchmean'"),
    "no reduction": (lambda: F.nll_loss(LOGITS, [0, 1], reduction=None), ValueError, r"None"),
    "beta": (lambda: F.smooth_l1_loss(T, T, beta=-1), ValueError, r"beta was given as -1"),
    "integers": (lambda: F.mse_loss(mg.tensor([1]), [1]), DTypeError, r"mse_loss got int64.*float"),
    "weight of another shape": (
        lambda: F.mse_loss(T, T, weight=mg.ones(2)), ShapeError, r"\(4,\).*weight.*\(2,\)",
    ),
    "weight that adds axes": (
        lambda: F.binary_cross_entropy_with_logits(T, T, mg.ones(2, 4)),
        ShapeError, r"weight of shape \(2, 4\).*broadcast",
    ),
    "pos_weight": (
        lambda: F.binary_cross_entropy_with_logits(T, T, pos_weight=mg.ones(3)),
        ShapeError, r"pos_weight of shape \(3,\)",
    ),
    "class weights": (
        lambda: F.cross_entropy(LOGITS, [0, 1], mg.ones(2)), ShapeError, r"weight.*\(2,\).*\(3,\)",
    ),
    "class weights of probabilities": (
        lambda: F.cross_entropy(LOGITS, LOGITS, mg.ones(2)), ShapeError, r"\(2,\).*\(3,\)",
    ),
    "list of class weights": (lambda: nn.NLLLoss([1.0, 2.0]), DTypeError, r"NLLLoss.*mg.tensor"),
    "integer class weights": (
        lambda: nn.CrossEntropyLoss(mg.tensor([1, 2])), DTypeError, r"int64.*float",
    ),
    "smoothing": (
        lambda: F.cross_entropy(LOGITS, [0, 1], label_smoothing=1.5), ValueError, r"1.5.*0 to 1",
    ),
    "no smoothing": (
        lambda: nn.CrossEntropyLoss(label_smoothing="x"), TypeError, r"label_smoothing .* 'x'",
    ),
    "ignored probabilities": (
        lambda: F.cross_entropy(LOGITS, LOGITS, ignore_index=1), ValueError, r"ignore_index=1",
    ),
    "ignore_index": (
        lambda: F.cross_entropy(LOGITS, [0, 1], ignore_index=None), TypeError, r"given as None",
    ),
    "integer probabilities": (
        lambda: F.cross_entropy(LOGITS, [[0, 1, 0], [1, 0, 0]]),
        ShapeError, r"\(2, 3\).*probabilities are floating",
    ),
    "floating labels": (
        lambda: F.cross_entropy(LOGITS, mg.ones(2)), DTypeError, r"float32: give integers.*logits'",
    ),
    "a label": (lambda: F.nll_loss(LOGITS, [0, 3]), IndexError, r"label 3.*3 classes"),
    "labels of nll_loss": (
        lambda: F.nll_loss(LOGITS, [0, 1, 2]), ShapeError, r"nll_loss.*\(2, 3\).*\(3,\)",
    ),
    "0-d logits": (lambda: F.cross_entropy(mg.tensor(1.0), 0), ShapeError, r"\(\)"),
    "positional legacy": (lambda: nn.MSELoss(None, None), TypeError, r"argument"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_given_and_wanted(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
