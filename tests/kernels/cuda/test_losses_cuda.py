"""Cross-entropy's kernels on the stand-in: what cuda_calls/losses.py does not say of them."""

import cuda_on_cpu
import numpy as np
import pytest
from cuda_calls.losses import labels, logits

import minigrad as mg
from minigrad.kernels.cuda.losses import SHORT
from minigrad.ops.loss import cross_entropy, cross_entropy_grad
from minigrad.ops.reduce import softmax
from minigrad.testing import assert_close


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("first", [True, False], ids=["of the kernel", "of the forward"])
def test_a_hint_serves_the_other_way_of_computing(standin, reduction, first):
    x, target = standin.asarray(logits((7, 12))), standin.asarray(labels(7, 12))
    dy = standin.asarray(logits((7,) if reduction == "none" else ()))
    options = {"ignore_index": -100, "reduction": reduction}
    found = []
    for on in (first, not first):
        with mg.kernels(on):
            hint = cross_entropy.op.body(standin, x, target, **options)[1]
        with mg.kernels(not first):
            dx = cross_entropy_grad.op.body(standin, x, dy, target, **options, hint=hint)
        found.append(dx.get())
    assert_close(*found, size=12)


def test_without_a_hint_the_gradient_is_the_same(standin):
    x, target = standin.asarray(logits((7, 12))), standin.asarray(labels(7, 12))
    dy, options = standin.asarray(np.float32(2)), {"ignore_index": -100, "reduction": "mean"}
    hint = cross_entropy.op.body(standin, x, target, **options)[1]
    with_it = cross_entropy_grad.op.body(standin, x, dy, target, **options, hint=hint)
    without = cross_entropy_grad.op.body(standin, x, dy, target, **options, hint=None)
    np.testing.assert_array_equal(with_it.get(), without.get())


@pytest.mark.parametrize("width", [10, SHORT + 1])
def test_no_digit_is_lost_where_one_class_is_all_but_sure(standin, width):
    x = np.zeros((4, width), np.float32)
    x[:, 3] = [20.0, 50.0, 80.0, 12.0]
    target, options = np.full(4, 3), {"ignore_index": -100, "reduction": "none"}
    found, hint = cross_entropy.op.body(standin, *map(standin.asarray, (x, target)), **options)
    others = (width - 1) * np.exp(-x[:, 3].astype(np.float64))
    for i in range(4):
        assert_close(found.get()[i], np.log1p(others[i]).astype(np.float32))
        assert_close(hint[0].get()[i, 3], (-others[i] / (1 + others[i])).astype(np.float32))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_loss_is_one_launch_and_a_mean_one_more(standin, reduction):
    x = mg.randn(5, 9, device="cuda", requires_grad=True)
    target = mg.tensor([0, 3, -100, 8, 2], device="cuda")
    cuda_on_cpu.launched.clear()
    loss = mg.nn.functional.cross_entropy(x, target, reduction=reduction)
    assert cuda_on_cpu.launched.total() == (1 if reduction == "none" else 2)
    loss.backward(mg.ones_like(loss))
    assert cuda_on_cpu.launched.total() == (2 if reduction == "none" else 3)


UNSERVED = {
    "empty": (logits((0, 3)), np.zeros(0, int)),
    "integers": (np.ones((2, 3), int), np.zeros(2, int)),
    "labels of uint64": (logits((2, 3)), np.zeros(2, np.uint64)),
    "labels of another length": (logits((2, 3)), np.zeros((2, 1), int)),
}


@pytest.mark.parametrize(("x", "target"), UNSERVED.values(), ids=UNSERVED)
def test_what_the_kernel_does_not_serve_it_leaves_to_the_forward(standin, x, target):
    options = {"ignore_index": -100, "reduction": "sum"}
    cross_entropy(standin.ones((1, 1)), standin.zeros(1, int), **options)  # loads the kernels
    (kernel,) = cross_entropy.op.kernels["cuda"]
    assert kernel(standin, *map(standin.asarray, (x, target)), **options) is NotImplemented


def test_another_axis_is_left_to_the_forward(standin):
    x = standin.asarray(logits((4, 5)))
    softmax(x, axis=-1)
    (kernel,) = softmax.op.kernels["cuda"]
    assert kernel(standin, x, axis=0) is NotImplemented
    assert kernel(standin, standin.zeros((2, 0)), axis=-1) is NotImplemented
    assert kernel(standin, standin.ones(()), axis=-1) is NotImplemented


@pytest.mark.parametrize("elsewhere", ["labels", "cotangent"])
def test_what_is_on_the_host_is_left_to_the_forward(standin, elsewhere):
    host = {"x": logits((4, 5)), "cotangent": logits((4,)), "labels": np.zeros(4, int)}
    there = {n: a if n == elsewhere else standin.asarray(a) for n, a in host.items()}
    options = {"ignore_index": -100, "reduction": "none"}
    cross_entropy_grad.op.body(standin, *map(standin.asarray, host.values()), **options, hint=None)
    (loss,), (grad,) = (op.op.kernels["cuda"] for op in (cross_entropy, cross_entropy_grad))
    assert grad(standin, *there.values(), **options) is NotImplemented
    if elsewhere == "labels":
        assert loss(standin, there["x"], there["labels"], **options) is NotImplemented
