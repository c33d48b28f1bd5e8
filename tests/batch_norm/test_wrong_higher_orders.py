"""Batch norms that are right at first order and wrong above, here and in PyTorch."""

import math

import numpy as np
import pytest
from batch_norm_helpers import EPS, draw, leaf, worst
from wrong_norms import (
    AXES,
    SEEN,
    SHAPE,
    arrays,
    column,
    composed,
    distance_from_composed,
    forward_y,
    inputs,
    reference,
    total,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import GraphError
from minigrad.op import Hint
from minigrad.ops.batch_norm import batch_norm_grad_reference
from minigrad.testing import check_grads

# ---- statistics captured as arrays: right, then silently wrong


@pytest.fixture
def captured(define):
    """The rule computes with the forward's mean and 1/σ, as arrays: constants to the next order."""

    def captured_batch_norm(xp, x, gamma, beta, *, mean, r, axes, eps):
        return column(gamma) * ((x - mean) * r) + column(beta)

    op = define(
        captured_batch_norm,
        reference=lambda x, gamma, beta, *, mean, r, axes, eps: reference(
            x, gamma, beta, axes=axes, eps=eps
        ),
    )

    @op.vjp
    def _(g, x, gamma, mean, r):
        n = x.size // x.shape[1]
        xhat = (x - mean) * r
        dgamma, dbeta = total(g * xhat), total(g)
        dx = column(gamma) * r * (g - dbeta / n - xhat * (dgamma / n))
        return dx, dgamma.reshape(-1), dbeta.reshape(-1)

    def call(x, gamma, beta):
        values = x.numpy()
        _, _, r = forward_y(values, gamma.numpy(), beta.numpy(), EPS)
        mean = values.mean(AXES, keepdims=True)
        return op(x, gamma, beta, mean=mean, r=r, axes=AXES, eps=EPS)

    return call


def test_captured_statistics_pass_at_order_1(captured):
    check_grads(captured, inputs(), order=1)
    assert distance_from_composed(captured, 1) < 1e-9


def test_captured_statistics_are_rejected_at_order_2_by_check_grads(captured):
    with pytest.raises(AssertionError, match="order 2"):
        check_grads(captured, inputs(), order=2)


def test_captured_statistics_are_rejected_at_order_2_by_the_composed_form(captured):
    assert distance_from_composed(captured, 2) > SEEN


def closed_first(xp, x, gamma, dy, *, mean, r):
    """dx, dgamma and dbeta with constant mean and 1/σ."""
    n = x.size // x.shape[1]
    xhat = (x - mean) * r
    dgamma, dbeta = total(dy * xhat), total(dy)
    dx = column(gamma) * r * (dy - dbeta / n - xhat * (dgamma / n))
    return dx, dgamma.reshape(-1), dbeta.reshape(-1)


def closed_second(g, x, gamma, dy, mean, r):
    """The gradients of these in x, gamma and dy, right in value; mean and 1/σ are constants."""
    ddx, ddgamma, ddbeta = g
    n = x.size // x.shape[1]
    c, r2, r3 = x - mean, r * r, r * r * r
    sum_dy, sum_dyc = total(dy), total(dy * c)
    sum_v, sum_vc = total(ddx), total(ddx * c)
    inner = sum_v * sum_dy / n - total(dy * ddx) + 3 * r2 * sum_dyc * sum_vc / n
    gx = c * r3 * inner / n
    gx = gx + (sum_vc * r3 / n) * (sum_dy / n - dy) + (sum_dyc * r3 / n) * (sum_v / n - ddx)
    xhat = c * r
    plain = r * (dy - sum_dy / n - xhat * (total(dy * xhat) / n))  # dx at weight 1
    gx = column(gamma) * gx + column(ddgamma) * plain
    spread = r * (ddx - sum_v / n - xhat * (total(ddx * xhat) / n))
    gdy = column(gamma) * spread + column(ddgamma) * xhat + column(ddbeta)
    return gx, total(ddx * plain).reshape(-1), gdy


@pytest.fixture
def captured_later(define):
    """As in PyTorch: both derivatives are closed forms, of which the second takes constants."""

    def grad_reference(x, gamma, dy, *, mean, r):
        return batch_norm_grad_reference(x, gamma, dy, axes=AXES, eps=EPS)

    backward = define(closed_first, reference=grad_reference)
    backward.vjp(closed_second)

    def torch_like_batch_norm(xp, x, gamma, beta, *, mean, r):
        return column(gamma) * ((x - mean) * r) + column(beta)

    op = define(
        torch_like_batch_norm,
        reference=lambda x, gamma, beta, *, mean, r: reference(x, gamma, beta, axes=AXES, eps=EPS),
    )

    @op.vjp
    def _(g, x, gamma, mean, r):
        return backward(x, gamma, g, mean=mean, r=r)

    def call(x, gamma, beta):
        values = x.numpy()
        _, _, r = forward_y(values, gamma.numpy(), beta.numpy(), EPS)
        return op(x, gamma, beta, mean=values.mean(AXES, keepdims=True), r=r)

    return call


def test_statistics_captured_by_the_second_backward_pass_at_order_2(captured_later):
    check_grads(captured_later, inputs(), order=2)
    assert distance_from_composed(captured_later, 2) < 1e-9


def test_statistics_captured_by_the_second_backward_are_rejected_at_order_3_by_check_grads(
    captured_later,
):
    with pytest.raises(AssertionError, match="order 3"):
        check_grads(captured_later, inputs(), order=3)


def test_statistics_captured_by_the_second_backward_are_rejected_at_order_3_by_the_composed_form(
    captured_later,
):
    assert distance_from_composed(captured_later, 3) > SEEN


# ---- a rule that opens its hint


@pytest.fixture
def opener(define):
    def opening_batch_norm(xp, x, gamma, beta, *, axes, eps):
        y, c, r = forward_y(x, gamma, beta, eps)
        return y, Hint(c, r)

    op = define(opening_batch_norm, reference=reference)

    @op.vjp
    def _(g, x, gamma, hint):
        c, r = hint
        n = x.size // x.shape[1]
        xhat = c * r
        dx = column(gamma) * r * (g - total(g) / n - xhat * (total(g * xhat) / n))
        return dx, total(g * xhat).reshape(-1), total(g).reshape(-1)

    return lambda x, gamma, beta: op(x, gamma, beta, axes=AXES, eps=EPS)


def test_rule_that_opens_its_hint_is_right_where_nothing_is_recorded(opener):
    found, dy = [], mg.tensor(draw(SHAPE, 5))
    for f in (opener, composed):
        xs = [t.requires_grad_() for t in inputs()]
        found.append([t.numpy() for t in mg.grad(f(*xs), xs, dy)])
    for a, b in zip(*found, strict=True):
        assert worst(a, b) < 1e-12


def test_rule_that_opens_its_hint_raises_under_create_graph(opener):
    xs = [t.requires_grad_() for t in inputs()]
    y = opener(*xs)
    with pytest.raises(GraphError, match="may not open a hint"):
        mg.grad(y, xs, mg.tensor(draw(SHAPE, 5)), create_graph=True)


def test_rule_that_opens_its_hint_is_rejected_by_check_grads(opener):
    with pytest.raises(GraphError, match="may not open a hint"):
        check_grads(opener, inputs(), order=1)


# ---- a fault in the wild

ORDERS = (1, 2, 3, 4)
POINTS, RADIUS = 24, 0.1  # on a circle around 0, where the nearest singularity is at about 1


def loss_of(values):
    """Σ w·y² of x, weight and bias as one vector, in NumPy's complex numbers."""
    x, gamma, beta = np.split(values, np.cumsum([math.prod(SHAPE), SHAPE[1]]), axis=-1)
    x = x.reshape(*x.shape[:-1], *SHAPE)
    c = x - x.mean((-3, -1), keepdims=True)
    r = ((c * c).mean((-3, -1), keepdims=True) + EPS) ** -0.5
    y = gamma[..., None, :, None] * (c * r) + beta[..., None, :, None]
    return (draw(SHAPE, 4) * y * y).sum((-3, -2, -1))


def true_gradients(direction):
    """∇ (v·∇)ᵏ of the loss for k = 0 to 3: the gradients of orders 1 to 4 along a direction v.

    By Cauchy's integral of values alone: f(z) = Σ cₙ zⁿ has cₙ = mean of f(z)·z⁻ⁿ on a circle, here
    in two variables, for a step to each place and one along v.
    """
    at = np.concatenate([a.ravel() for a in arrays()])
    z = RADIUS * np.exp(2j * np.pi * np.arange(POINTS) / POINTS)
    found = []
    for place in np.eye(at.size):
        values = loss_of(at + z[:, None, None] * place + z[None, :, None] * direction)
        c = np.fft.fft2(values).real / POINTS**2
        found.append([c[1, k] * math.factorial(k) / RADIUS ** (k + 1) for k in range(len(ORDERS))])
    return np.transpose(found)


def gradients_by(gradient, loss, xs, direction):
    """The same by a library's `grad`, order by order."""
    found = []
    for _ in ORDERS:
        gradients = gradient(loss, xs, create_graph=True)
        found.append(np.concatenate([g.detach().numpy().ravel() for g in gradients]))
        loss = sum((g * v).sum() for g, v in zip(gradients, direction, strict=True))
    return found


def along():
    """A direction in x, weight and bias."""
    return [draw(a.shape, 30 + i) for i, a in enumerate(arrays())]


@pytest.fixture(scope="module")
def truth():
    return true_gradients(np.concatenate([v.ravel() for v in along()]))


def our_gradients(fused):
    xs, w = [leaf(a) for a in arrays()], mg.tensor(draw(SHAPE, 4))
    y = F.batch_norm(xs[0], None, None, *xs[1:], training=True, fused=fused)
    return gradients_by(mg.grad, (w * y * y).sum(), xs, [mg.tensor(v) for v in along()])


def test_orders_1_to_4_equal_cauchy_s_integral(fused, truth):
    for gradient, true in zip(our_gradients(fused), truth, strict=True):
        assert worst(gradient, true) < 1e-11


def test_all_orders_are_right_where_pytorch_is_silently_wrong_from_the_third(truth, capsys):
    """pytorch#186256: the double backward of native batch_norm takes mean and 1/σ as constants."""
    torch = pytest.importorskip("torch")
    xs = [torch.tensor(a, requires_grad=True) for a in arrays()]
    y = torch.nn.functional.batch_norm(xs[0], None, None, *xs[1:], True, 0.1, EPS)
    loss, direction = (torch.tensor(draw(SHAPE, 4)) * y * y).sum(), map(torch.tensor, along())
    native, ours = gradients_by(torch.autograd.grad, loss, xs, [*direction]), our_gradients(True)
    rows = [f"order  PyTorch {torch.__version__:16} minigrad             truth"]
    for order, a, b, c in zip(ORDERS, native, ours, truth, strict=True):
        place = int(np.abs(a - c).argmax())
        rows.append(f"{order:5}  " + "".join(f"{each[place]:<20.13g} " for each in (a, b, c)))
        assert worst(b, c) < 1e-11
        assert order > 2 or worst(a, c) < 1e-11
    with capsys.disabled():
        print(
            "\nderivatives of batch norm, at PyTorch's worst place of each order", *rows, sep="\n"
        )
    right = [worst(native[order - 1], truth[order - 1]) < SEEN for order in (3, 4)]
    if all(right):
        pytest.skip(f"torch {torch.__version__} is right: the documentation may say so")
    assert not any(right)
