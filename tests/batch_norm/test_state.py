"""BatchNorm's state, copies, modes, and what its output may depend on; PyTorch's agrees."""

import copy
import gc
import pickle
import sys

import numpy as np
import pytest
from batch_norm_helpers import (
    as_given_and_from_a_file,
    assert_same_stats,
    batch,
    draw,
    host,
    leaf,
    module_for,
    moments,
    normalise,
    normalise_with,
    on_gpu,
    parameters,
    per_channel,
    state_of,
    stats_of,
    with_stats,
    worst,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.optim as optim

# ---- state


def test_B49_the_counter_is_one_int64(shape, fused, device):
    for dtype in (mg.float16, mg.float32, mg.float64):
        module = module_for(shape, fused=fused, device=device, dtype=dtype)
        for k in range(1, 4):
            module(batch(shape, device, dtype=dtype))
            assert module.num_batches_tracked.dtype == np.int64
            assert module.num_batches_tracked.shape == ()
            assert module.num_batches_tracked.item() == k


def test_B49_the_counter_survives_a_file_and_half(shape, fused, device):
    many = 2**24 + 1  # float32 has no such number, and float16 none above 65504
    module = module_for(shape, fused=fused, device=device)
    module.load_state_dict({**module.state_dict(), "num_batches_tracked": np.int64(many - 1)})
    module(batch(shape, device))
    for state in as_given_and_from_a_file(module.state_dict(), device):
        other = module_for(shape, fused=fused, device=device)
        other.load_state_dict(state)
        other.to(mg.float16)
        assert other.running_mean.dtype == other.weight.dtype == np.float16
        for dtype in (mg.float16, mg.float64):
            other.to(dtype)
            assert other.num_batches_tracked.dtype == np.int64
            assert other.num_batches_tracked.shape == ()
            assert other.num_batches_tracked.item() == many


def test_B50_a_strict_load_lists_every_problem_and_changes_nothing(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(batch(shape, device))
    before = state_of(module)
    state = {**module.state_dict(), "extra": np.zeros(1), "other": np.zeros(1)}
    del state["weight"], state["running_var"]
    state["running_mean"], state["bias"] = np.zeros(4), np.zeros((3, 1))
    for given in as_given_and_from_a_file(state, device):
        with pytest.raises(RuntimeError) as raised:
            module.load_state_dict(given)
        for problem in (
            "weight: missing",
            "running_var: missing",
            "extra: unexpected",
            "other: unexpected",
            "running_mean: shape (4,) given, (3,) wanted",
            "bias: shape (3, 1) given, (3,) wanted",
        ):
            assert problem in str(raised.value)
        assert state_of(module) == before


def test_B50_a_whole_state_loads(shape, fused, device):
    module, other = (module_for(shape, fused=fused, device=device) for _ in range(2))
    gamma, beta = parameters(3)
    module.load_state_dict({**module.state_dict(), "weight": gamma, "bias": beta})
    module(batch(shape, device))
    x = batch(shape, device, 1)
    for state in as_given_and_from_a_file(module.state_dict(), device):
        other.reset_parameters()
        other.load_state_dict(state)
        assert state_of(other) == state_of(module)
        assert host(other.eval()(x)).tobytes() == host(module.eval()(x)).tobytes()


def test_B50_a_state_without_a_counter_loads_with_a_warning(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    module(batch(shape, device))
    state = {**module.state_dict(), "running_mean": np.full(3, 7.0)}
    del state["num_batches_tracked"]
    for given in as_given_and_from_a_file(state, device):
        with pytest.warns(UserWarning, match="num_batches_tracked"):
            module.load_state_dict(given)
        np.testing.assert_array_equal(host(module.running_mean), 7)
        assert module.num_batches_tracked.item() == 1


def pickled(module):
    return pickle.loads(pickle.dumps(module))


def test_B51_a_copy_after_backward_shares_nothing_and_works(shape, fused, device):
    """A pickle comes back on the CPU: a file must open where there is no GPU."""
    for copied, place in ((copy.deepcopy, device), (pickled, "cpu")):
        module = module_for(shape, momentum=None, fused=fused, device=device)
        module(batch(shape, device)).sum().backward()
        other = copied(module)
        assert other.weight.grad is not None
        for each in (*other.parameters(), *other.buffers(), other.weight.grad):
            assert each.device.partition(":")[0] == place
        assert state_of(other) == state_of(module)
        assert repr(other) == repr(module)
        before = state_of(module), host(module.weight.grad).tobytes()
        assert host(other.weight.grad).tobytes() == before[1]
        other.to(device)
        for each in (*other.parameters(), *other.buffers(), other.weight.grad):
            each.array[...] = 2  # into its memory
        assert (state_of(module), host(module.weight.grad).tobytes()) == before
        other(batch(shape, device, 5)).sum().backward()
        assert (state_of(module), host(module.weight.grad).tobytes()) == before
        assert other.num_batches_tracked.item() == 3


def test_B51_a_copy_never_drags_the_graph_along(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    x = leaf(host(batch((500, *shape[1:]))), device)
    y = module(x)
    (y * y * y).sum().backward(create_graph=True)
    assert not module.weight.grad.is_leaf
    for other in (copy.deepcopy(module), pickled(module)):
        assert other.weight.grad.is_leaf
        assert not other.weight.grad.requires_grad
        assert all(each.is_leaf for each in (*other.parameters(), *other.buffers()))
    assert len(pickle.dumps(module)) < x.array.nbytes / 2


def test_B52_running_buffers_are_outside_the_graph(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    y = module(leaf(host(batch(shape)), device))
    (y * y * y).sum().backward(create_graph=True)
    buffers = [module.running_mean, module.running_var, module.num_batches_tracked]
    assert list(map(id, module.buffers())) == list(map(id, buffers))
    assert len(list(module.parameters())) == 2
    for each in buffers:
        assert isinstance(each, nn.Buffer)
        assert not each.requires_grad
        assert each.is_leaf
        assert each.grad is None


def test_B52_a_thousand_steps_without_backward_keep_no_memory(shape, fused, device):
    module, x, used = module_for(shape, fused=fused, device=device), leaf(draw(shape), device), []
    for steps in (600, 1000):  # the first fill the interpreter's free lists
        for _ in range(steps):
            module(x)
        gc.collect()
        used.append(sys.getallocatedblocks())
    assert used[1] - used[0] < 200  # one kept object a step would be a thousand


# ---- modes and freezing


def test_B55_eval_is_undone_by_the_model_s_train(shape, fused, device):
    module = module_for(shape, fused=fused, device=device)
    model = nn.Sequential(module)
    module.eval()
    model(batch(shape, device))
    assert module.num_batches_tracked.item() == 0
    model.train()
    assert module.training
    model(batch(shape, device))
    assert module.num_batches_tracked.item() == 1


def test_B55_freeze_survives_the_model_s_train(shape, fused, device):
    module = with_stats(module_for(shape, fused=fused, device=device), 0.5, 4.0)
    model = nn.Sequential(module)
    assert module.freeze() is module
    before = state_of(module)
    assert model.train().training
    assert not module.training
    x = leaf(draw(shape), device)
    y = model(x)
    y.sum().backward()
    expected = normalise_with(draw(shape), [0.5] * 3, [4.0] * 3, [1] * 3, [0] * 3, np.ones(shape))
    np.testing.assert_allclose(host(y), expected[0], rtol=1e-12)
    np.testing.assert_allclose(host(x.grad), expected[1], rtol=1e-12)
    assert module.weight.grad is None
    assert module.bias.grad is None
    assert not model(batch(shape, device)).requires_grad
    assert state_of(module) == before


def test_B55_unfreeze_undoes_it(shape, fused, device):
    module = module_for(shape, fused=fused, device=device).freeze().unfreeze()
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    module(batch(shape, device)).sum().backward()
    assert module.weight.grad is not None
    assert module.num_batches_tracked.item() == 1


def test_B56_parameters_without_grad_get_none_and_statistics_move(shape, fused, device):
    module = module_for(shape, fused=fused, device=device).requires_grad_(False)
    x = leaf(host(batch(shape)), device)
    module(x).backward(mg.tensor(draw(shape, 1), device=device))
    assert module.weight.grad is None
    assert module.bias.grad is None
    expected = normalise(host(x), np.ones(3), np.zeros(3), draw(shape, 1))
    np.testing.assert_allclose(host(x.grad), expected[1], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(host(module.running_mean), 0.1 * moments(x)[0], rtol=1e-12)
    assert module.num_batches_tracked.item() == 1


def test_B56_without_grad_and_frozen_they_do_not_move(shape, fused, device):
    module = module_for(shape, fused=fused, device=device).requires_grad_(False)
    before = stats_of(module)
    with nn.frozen_stats(module):
        module(batch(shape, device))
    assert_same_stats(module, before)
    module.freeze()(batch(shape, device))
    assert_same_stats(module, before)


def decayed(optimiser, model):
    """The parameters after 100 steps that nothing but decay drives."""
    for _ in range(100):
        for p in model.parameters():
            p.grad = mg.zeros_like(p)
        optimiser.step()
    return {name: host(p) for name, p in model.named_parameters()}


def test_B57_gamma_beta_and_biases_are_left_out_of_weight_decay(shape, fused, device):
    place, options = {"dtype": mg.float64, "device": device}, {"lr": 0.1, "weight_decay": 0.1}
    for kind in (optim.SGD, optim.AdamW):
        norm = module_for(shape, fused=fused, device=device)
        model = nn.Sequential(nn.Linear(2, 3, **place), norm, nn.Conv1d(3, 2, 1, **place))
        norm.load_state_dict({**norm.state_dict(), "bias": np.full(3, 0.5)})
        start = {name: host(p).copy() for name, p in model.named_parameters()}
        decay, rest = optim.no_decay_groups(model)
        assert [id(p) for p in decay["params"]] == [id(model[0].weight), id(model[2].weight)]
        spared = [model[0].bias, norm.weight, norm.bias, model[2].bias]
        assert [id(p) for p in rest["params"]] == [id(p) for p in spared]
        end = decayed(kind([decay, rest], **options), model)
        for name in ("0.bias", "1.weight", "1.bias", "2.bias"):
            np.testing.assert_array_equal(end[name], start[name])
        np.testing.assert_array_equal(end["1.weight"], 1)
        for name in ("0.weight", "2.weight"):
            np.testing.assert_allclose(end[name], start[name] * 0.99**100, rtol=1e-12)


def test_B57_without_groups_gamma_decays():
    norm = module_for((6, 3))
    end = decayed(optim.SGD(norm.parameters(), lr=0.1, weight_decay=0.1), norm)
    np.testing.assert_allclose(end["weight"], 0.99**100, rtol=1e-12)


# ---- what the output depends on


def test_B58_the_same_seed_gives_the_same_bits(shape, fused, device):
    """On a GPU to 4 units in the last place: the order of its sums is its own."""

    def once():
        mg.manual_seed(7)
        module = module_for(shape, fused=fused, device=device)
        x = mg.randn(*shape, dtype=mg.float64, device=device).requires_grad_()
        y = module(x)
        y.backward(mg.randn(*shape, dtype=mg.float64, device=device))
        return [host(t) for t in (y, x.grad, module.weight.grad, *module.buffers())]

    for a, b in zip(once(), once(), strict=True):
        if on_gpu(device):
            assert worst(a, b) <= 4 * np.finfo(np.float64).eps
        else:
            assert a.tobytes() == b.tobytes()


def test_B59_construction_and_repr_run_no_op(shape, fused, device):
    names = []
    with mg.watch(lambda event: names.append(event.name)):
        module = module_for(shape, fused=fused, device=device)
        text = repr(module)
    assert names == []
    assert text.startswith(f"{type(module).__name__}(3, eps=1e-05, momentum=0.1")
    assert f"fused={fused}" in text
    np.testing.assert_array_equal(stats_of(module)[:2], [[0] * 3, [1] * 3])
    module(batch(shape, device))
    before = state_of(module)
    repr(module)
    assert state_of(module) == before


def test_B59_one_module_used_twice_moves_twice(shape, fused, device):
    module, relu = module_for(shape, fused=fused, device=device), nn.ReLU()
    x = batch(shape, device)
    nn.Sequential(module, relu, module)(x)
    assert module.num_batches_tracked.item() == 2
    between = relu(mg.tensor(normalise(host(x), np.ones(3), np.zeros(3), host(x))[0]))
    mean = 0.09 * moments(x)[0] + 0.1 * moments(between)[0]
    np.testing.assert_allclose(host(module.running_mean), mean, rtol=1e-12)


def test_B60_training_output_depends_on_neither_momentum_nor_statistics(shape, fused, device):
    x, found = draw(shape), []
    for momentum, mean, var in ((0.1, 0, 1), (None, 5, 27), (0.9, -3, 0), (0.0, np.nan, np.inf)):
        module = module_for(shape, momentum=momentum, fused=fused, device=device)
        with_stats(module, mean, var)
        t = leaf(x, device)
        y = module(t)
        (y * y * y).sum().backward()
        results = (y, t.grad, module.weight.grad, module.bias.grad)
        found.append([host(each).tobytes() for each in results])
    assert all(each == found[0] for each in found)


def test_B62_a_permuted_batch_gives_the_permuted_output(shape, fused, device):
    module, x = module_for(shape, fused=fused, device=device), draw(shape)
    order = np.roll(np.arange(shape[0]), 1)
    for training in (True, False):
        module.train(training)
        y, moved = (host(module(mg.tensor(each, device=device))) for each in (x, x[order]))
        np.testing.assert_allclose(moved, y[order], atol=1e-13)
        assert np.abs(moved - y).max() > 0.1


def test_B62_samples_meet_in_training_and_not_in_evaluation(shape, fused, device):
    module, x = module_for(shape, fused=fused, device=device), draw(shape)
    with_stats(module, 0.5, 4.0)
    moved = x.copy()
    moved[0] += per_channel([1.0, 2.0, 3.0], x)[0] * draw(shape[2:] or (1,), 4)
    for training in (True, False):
        module.train(training)
        a, b = (host(module(mg.tensor(each, device=device)))[1] for each in (x, moved))
        assert (a.tobytes() == b.tobytes()) is not training
        if training:
            with_stats(module, 0.5, 4.0)
            assert (np.abs(a - b).max(axis=tuple(range(1, a.ndim))) > 1e-3).all()


# ---- other devices, and PyTorch


def everything(shape, dtype, fused, device):
    """y, dx, dgamma, dbeta in training, running statistics, and y and dx in evaluation."""
    module = module_for(shape, fused=fused, device=device, dtype=dtype)
    gamma, beta = parameters(3)
    module.load_state_dict({**module.state_dict(), "weight": gamma, "bias": beta})
    found = []
    for training in (True, False):
        x = leaf(draw(shape, dtype=dtype), device)
        y = module.train(training)(x)
        y.backward(mg.tensor(draw(shape, 1, dtype), device=device))
        found += [y, x.grad, module.weight.grad, module.bias.grad, *list(module.buffers())[:2]]
    return [host(each) for each in found]


def test_B63_devices_agree(shape, fused, cuda):
    for dtype, bound in ((np.float64, 1e-10), (np.float32, 1e-4)):
        pairs = zip(*(everything(shape, dtype, fused, each) for each in ("cpu", cuda)), strict=True)
        for a, b in pairs:
            assert a.dtype == b.dtype == dtype
            assert np.abs(a - b).max() < bound


def test_B64_pytorch_agrees_for_several_steps(shape, fused, device):
    for momentum, affine in ((0.1, True), (0.7, False), (None, True)):
        options = {"momentum": momentum, "affine": affine, "eps": 1e-3}
        ours = module_for(shape, fused=fused, device=device, **options)
        assert_pytorch_agrees(ours, shape, device, options)


def assert_pytorch_agrees(ours, shape, device, options):
    """Through four steps, the third in evaluation."""
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, type(ours).__name__)(3, dtype=torch.float64, **options)
    if options["affine"]:
        given = zip(("weight", "bias"), map(torch.tensor, parameters(3)), strict=True)
        theirs.load_state_dict(dict(given), strict=False)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for step in range(4):
        x, dy = draw(shape, step, mean=step, std=1 + step), draw(shape, 10 + step)
        a, b = leaf(x, device), torch.tensor(x, requires_grad=True)
        y, z = ours.train(step != 2)(a), theirs.train(step != 2)(b)
        y.backward(mg.tensor(dy, device=device))
        z.backward(torch.tensor(dy))
        learned = zip(ours.parameters(), theirs.parameters(), strict=True)
        pairs = [(y, z), (a.grad, b.grad), *((p.grad, q.grad) for p, q in learned)]
        for mine, other in (*pairs, *zip(ours.buffers(), theirs.buffers(), strict=True)):
            np.testing.assert_allclose(host(mine), other.detach().numpy(), rtol=1e-9, atol=1e-11)


def test_B64_state_dicts_load_both_ways(shape, fused, device):
    torch = pytest.importorskip("torch")
    ours, other = (module_for(shape, fused=fused, device=device) for _ in range(2))
    theirs = getattr(torch.nn, type(ours).__name__)(3, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours(batch(shape, device))
    theirs.load_state_dict({k: torch.tensor(host(v)) for k, v in ours.state_dict().items()})
    other.load_state_dict(theirs.state_dict())
    assert state_of(other) == state_of(ours)
    x = draw(shape, 9)
    y, z = ours.eval()(mg.tensor(x, device=device)), theirs.eval()(torch.tensor(x))
    np.testing.assert_allclose(host(y), z.detach().numpy(), rtol=1e-12, atol=1e-14)
