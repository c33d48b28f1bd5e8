"""Values, first and second derivatives against PyTorch, in float64."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SAMPLES, apart, normal, positive

import minigrad as mg
from minigrad.testing import assert_close

torch = pytest.importorskip("torch")
TF = torch.nn.functional


def reduction(f):
    """PyTorch's reductions, which want no dim for all axes."""

    def run(x, axis=None, keepdims=False, **options):
        axis = tuple(range(x.ndim)) if axis is None else axis
        return f(x, dim=axis, keepdim=keepdims, **options)

    return run


def convolve(x, w, geometry):
    (top, bottom), (left, right) = geometry.padding
    x = TF.pad(x, (left, right, top, bottom))
    return TF.conv2d(x, w, None, geometry.stride, 0, geometry.dilation, geometry.groups)


def of_batch(x, gamma, beta, axes, eps):
    return TF.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def with_statistics(x, mean, var, gamma, beta, axes, eps):
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


def plainly(name):
    return lambda *tensors: getattr(torch, name)(*tensors)


ELEMENTWISE = [
    "add", "sub", "mul", "div", "pow", "neg", "abs", "sign", "sqrt", "rsqrt", "exp", "log", "sin",
    "cos", "tanh", "sigmoid", "relu", "maximum", "minimum",
]  # fmt: skip
PEERS = {
    **{name: plainly(name) for name in [*ELEMENTWISE, "clone", "matmul"]},
    **{name: reduction(getattr(torch, name))
       for name in ["sum", "mean", "var", "std", "amax", "amin", "logsumexp"]},
    "clip": torch.clamp,
    "where": lambda c, a, b: torch.where(c, a, b),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axis0, axis1: x.transpose(axis0, axis1),
    "permute": lambda x, axes: x.permute(axes),
    "broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "expand": lambda x, shape: x.expand(shape),
    "flatten": lambda x, **k: x.flatten(**k),
    "squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
    "unsqueeze": lambda x, axis: x.unsqueeze(axis),
    "gather": lambda x, index, axis: x.gather(axis, index),
    "softmax": lambda x, axis: x.softmax(axis),
    "log_softmax": lambda x, axis: x.log_softmax(axis),
    "sum_to": lambda x, shape: x.sum_to_size(shape),
    "linear": TF.linear,
    "conv2d": convolve,
    "batch_norm": of_batch,
    "batch_norm_eval": with_statistics,
    "avg_pool2d": lambda x, window: TF.avg_pool2d(x, *window),
    "cross_entropy": TF.cross_entropy,
}  # fmt: skip
WITH_PEER = [s for s in SAMPLES if s.name in PEERS]


def compare(ours, theirs, arrays, floating, size):
    """Value, gradient of a weighted sum, and the gradient of that, through all inputs."""
    xs = [mg.tensor(a, requires_grad=i in floating) for i, a in enumerate(arrays)]
    zs = [torch.tensor(a, requires_grad=i in floating) for i, a in enumerate(arrays)]
    wanted, others = [xs[i] for i in floating], [zs[i] for i in floating]
    level, peers = [ours(*xs)], [theirs(*zs)]
    for order in (0, 1, 2):
        for y, z in zip(level, peers, strict=True):
            z = z.detach().numpy()
            scale = max(float(np.abs(z).max(initial=0)), 1.0)  # a derivative may vanish
            assert_close(np.append(y.numpy().ravel(), scale), np.append(z.ravel(), scale),
                         size=size, what=f"order {order}")  # fmt: skip
            assert y.shape == z.shape
        if order == 2 or not any(y.requires_grad for y in level):
            break
        ws = [normal(*y.shape, seed=order + 1) for y in level]
        y = sum((y * w).sum() for y, w in zip(level, ws, strict=True))
        z = sum((z * torch.tensor(w)).sum() for z, w in zip(peers, ws, strict=True))
        assert z.requires_grad
        found = mg.grad(y, wanted, create_graph=True, allow_unused=True)
        truth = torch.autograd.grad(z, others, create_graph=True, materialize_grads=True)
        level = [x * 0.0 if g is None else g for x, g in zip(wanted, found, strict=True)]
        peers = [g + 0.0 * o.sum() for o, g in zip(others, truth, strict=True)]
        level = [g + 0.0 * x.sum() for x, g in zip(wanted, level, strict=True)]


@pytest.mark.parametrize("sample", WITH_PEER, ids=str)
def test_the_samples_are_torchs(sample):
    def theirs(*tensors):
        return PEERS[sample.name](*tensors, **sample.statics)

    compare(lambda *t: sample.outputs(*t)[0], theirs, sample.arrays, sample.floating, sample.size)


def test_every_named_peer_is_compared():
    assert sorted(set(PEERS) - {s.name for s in WITH_PEER}) == []


SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4)
BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(shapes=SHAPES)
def test_elementwise_ops_are_torchs_at_random_shapes(name, shapes):
    first, second = shapes.input_shapes
    if name in ("maximum", "minimum", "abs", "sign", "relu"):
        arrays = [apart(*first), apart(*second, offset=0.125, seed=1)]
    else:
        arrays = [positive(*first), positive(*second, seed=1)]
    arrays = arrays if name in BINARY else arrays[:1]
    size = max(int(np.prod(shapes.result_shape)), 1)
    compare(getattr(mg, name), getattr(torch, name), arrays, range(len(arrays)), size)


REDUCING = ["sum", "mean", "var", "std", "amax", "amin", "logsumexp"]


@pytest.mark.parametrize("name", REDUCING)
@given(data=st.data())
def test_reductions_are_torchs_at_random_shapes(name, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=3))
    axis = data.draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1))
    keepdims = data.draw(st.booleans())
    x = apart(*shape) * (8 if name == "std" else 0.125)  # for std, far from its kink
    compare(
        lambda x: getattr(mg, name)(x, axis=axis, keepdims=keepdims),
        lambda x: PEERS[name](x, axis=axis, keepdims=keepdims),
        [x], [0], x.size,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), data=st.data())
def test_softmaxes_are_torchs_at_random_shapes(name, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    compare(
        lambda x: getattr(mg, name)(x, axis), lambda x: getattr(torch, name)(x, axis),
        [normal(*shape)], [0], int(np.prod(shape)),
    )  # fmt: skip


@given(n=st.integers(1, 3), k=st.integers(1, 3), m=st.integers(1, 3), shapes=SHAPES)
def test_matmul_is_torchs_at_random_batches(n, k, m, shapes):
    a = normal(*shapes.input_shapes[0], n, k)
    b = normal(*shapes.input_shapes[1], k, m, seed=1)
    size = max(int(np.prod(shapes.result_shape)) * n * k * m, 1)
    compare(mg.matmul, torch.matmul, [a, b], [0, 1], size)


@given(data=st.data())
def test_indexing_is_torchs_at_random_integers(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    key = data.draw(hnp.integer_array_indices(shape))
    x = normal(*shape)
    there = tuple(torch.tensor(k) for k in key)
    compare(lambda x: (x * x)[key], lambda x: (x * x)[there], [x], [0], x[key].size + 1)
