"""What BatchNorm records: fused one op, composed primitives only; and what each keeps."""

from contextlib import nullcontext

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    axes_of,
    draw,
    eval_inputs,
    host,
    leaf,
    module_for,
    trained,
    training_inputs,
)

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import GraphError
from minigrad.graph import owner, saved_arrays
from minigrad.ops import batch_norm as ops
from minigrad.ops.batch_norm_relu import batch_norm_relu
from minigrad.ops.layer_norm import layer_norm


def ops_run(f):
    """What f returns, and the names of the ops that it ran."""
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        result = f()
    return result, names


def fused_ops(names):
    return [name for name in names if name.startswith("batch_norm")]


def in_training(shape, device):
    """Inputs that want a gradient, and the one that comes from above."""
    dy = mg.tensor(draw(shape, 5), device=device)
    return [leaf(a, device) for a in training_inputs(shape)], dy


def test_fused_forward_is_one_op(shape, device):
    inputs, _ = in_training(shape, device)
    _, names = ops_run(lambda: trained(True)(*inputs))
    assert names == ["batch_norm"]


@pytest.mark.parametrize("create_graph", [False, True])
def test_fused_backward_is_one_op(shape, device, create_graph):
    inputs, dy = in_training(shape, device)
    y = trained(True)(*inputs)
    _, names = ops_run(lambda: mg.grad(y, inputs, dy, create_graph=create_graph))
    assert names == ["batch_norm_grad"]


@pytest.mark.parametrize("create_graph", [False, True])
def test_fused_backward_through_x_alone_is_one_op(shape, device, create_graph):
    inputs, dy = in_training(shape, device)
    y = trained(True)(*inputs)
    _, names = ops_run(lambda: mg.grad(y, inputs[0], dy, create_graph=create_graph))
    assert names == ["batch_norm_grad"]


def test_fused_module_is_one_op_in_training_and_one_in_evaluation(shape, device):
    module, x = module_for(shape, device=device), mg.tensor(draw(shape), device=device)
    assert ops_run(lambda: module(x))[1] == ["batch_norm"]
    module.eval()
    assert ops_run(lambda: module(x))[1] == ["batch_norm_eval"]


def test_composed_forward_and_backward_run_primitives_only(shape, device):
    inputs, dy = in_training(shape, device)
    y, names = ops_run(lambda: trained(False)(*inputs))
    names += ops_run(lambda: mg.grad(y, inputs, dy))[1]
    assert len(names) > 20
    assert not fused_ops(names)


def test_B7_composed_backward_runs_fewer_ops_for_an_x_without_grad(shape, device):
    counts = []
    for wanted in (False, True):
        (x, *others), dy = in_training(shape, device)
        y = trained(False)(x.requires_grad_(wanted), *others)
        counts.append(len(ops_run(lambda y=y, dy=dy: y.backward(dy))[1]))
    assert counts[0] < counts[1]


@pytest.mark.parametrize("training", [True, False])
def test_unfused_gives_the_composed_form(shape, device, training):
    dy = mg.tensor(draw(shape, 5), device=device)

    def values(fused):
        x, mean, var, w, b = (leaf(a, device) for a in eval_inputs(shape))
        given = (None, None) if training else (mean, var)
        y = F.batch_norm(x, *given, w, b, training=training, fused=fused)
        return [host(t) for t in (y, *mg.grad(y, [x, w, b], dy))]

    with mg.unfused():
        switched, names = ops_run(lambda: values(True))
    assert not fused_ops(names)
    for a, b in zip(switched, values(False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_unfused_runs_a_fused_module_composed(shape, device):
    module, x = module_for(shape, device=device), mg.tensor(draw(shape), device=device)
    for each in (module.train, module.eval):
        with mg.unfused():
            _, names = ops_run(lambda mode=each: mode()(x))
        assert "rsqrt" in names
        assert not fused_ops(names)


def test_fused_false_on_the_module_runs_it_composed(shape, device):
    module = module_for(shape, fused=False, device=device)
    x = mg.tensor(draw(shape), device=device)
    for each in (module.train, module.eval):
        _, names = ops_run(lambda mode=each: mode()(x))
        assert "rsqrt" in names
        assert not fused_ops(names)


def test_unfused_backward_of_a_fused_forward_gives_the_same_gradient(shape, device):
    found = []
    for switch in (mg.unfused, nullcontext):
        inputs, dy = in_training(shape, device)
        y = trained(True)(*inputs)
        with switch():
            found.append([host(t) for t in mg.grad(y, inputs, dy)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def along_channels(x, gamma, beta, axes, eps):
    """layer_norm over the axes of batch norm, whose weights it then has too."""
    return layer_norm(x, gamma, beta, axes=axes, along=(1,), eps=eps)


WITH_STATISTICS = {
    "batch_norm": ops.batch_norm,
    "batch_norm_relu": batch_norm_relu,
    "layer_norm": along_channels,
}


@pytest.mark.parametrize("op", WITH_STATISTICS.values(), ids=WITH_STATISTICS)
def test_statistics_carry_no_gradient_and_asking_for_it_raises(shape, fused, device, op):
    inputs, _ = in_training(shape, device)
    with nullcontext() if fused else mg.unfused():
        (y, *statistics), names = ops_run(lambda: op(*inputs, axes=axes_of(inputs[0]), eps=EPS))
    assert fused == any("norm" in name for name in names)
    assert y.requires_grad
    for statistic, expected in zip(statistics, (np.mean, np.var), strict=True):
        found = host(statistic)
        np.testing.assert_allclose(found, expected(host(inputs[0]), axes_of(y)), atol=1e-12)
        assert not statistic.requires_grad
        for t in inputs:
            with pytest.raises(GraphError, match="nothing to differentiate"):
                mg.grad(statistic.sum(), t)


@pytest.mark.parametrize("create_graph", [False, True])
def test_B7_a_first_layer_s_backward_computes_no_dx(shape, device, create_graph):
    (x, *parameters), dy = in_training(shape, device)
    y = trained(True)(x.detach(), *parameters)
    _, names = ops_run(lambda: mg.grad(y, parameters, dy, create_graph=create_graph))
    assert names == ["batch_norm_sums"]


# ---- what is kept for backward

PICTURES = (32, 64, 68, 68)  # the seed document's example


def kept_beside(y, inputs):
    """The bytes of each memory that the graph behind y keeps, beside those of the inputs."""
    own = {id(owner(t.array)) for t in inputs}
    found, todo, seen = {}, [y.node], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.op is not None:
            todo.extend(node.parents)
            for _, array in saved_arrays(node):
                if id(owner(array)) not in own:
                    found[id(owner(array))] = owner(array).nbytes
    return list(found.values())


@pytest.mark.parametrize("function", [F.batch_norm, F.batch_norm_relu])
def test_beside_x_fused_keeps_no_array_of_x_s_size_and_composed_at_least_one(function):
    x = mg.tensor(np.zeros(PICTURES, np.float32), requires_grad=True)
    x.data[::2] = 1
    weight, bias = (mg.ones(PICTURES[1], requires_grad=True) for _ in range(2))
    size, large = x.data.nbytes, {}
    for fused in (True, False):
        y = function(x, None, None, weight, bias, training=True, fused=fused)
        mask = [y] if function is F.batch_norm_relu else []  # its output, which lives anyway
        kept = kept_beside(y, [x, weight, bias, *mask])
        large[fused] = sum(bytes_ >= size for bytes_ in kept)
        if fused:
            assert sum(kept) <= 10 * PICTURES[1] * 8  # a few numbers a channel
    assert large[True] == 0
    assert large[False] >= 1


def test_an_output_that_is_kept_is_counted():
    x = mg.tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    y = F.batch_norm_relu(x, None, None, training=True)
    assert max(kept_beside(y, [x])) == y.data.nbytes
