"""Running statistics of a whole population: recompute_stats (B47b)."""

import sys

import numpy as np
import pytest
from batch_norm_helpers import (
    assert_same_stats,
    axes_of,
    deep_model,
    draw,
    host,
    module_for,
    normalise,
    placed,
    sigmoid,
    stats_of,
    worst,
)
from cupy_standin import hidden_copies
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn as nn
from minigrad.errors import DeviceError, ShapeError


def uneven(shape, seed=0, mean=1e2, sizes=(7, 2, 12, 5)):
    """All values, and the same as batches of different sizes."""
    data = draw((sum(sizes), *shape[1:]), seed, mean=mean, std=3.0)
    data *= np.linspace(0.5, 2, shape[1]).reshape(-1, *[1] * (data.ndim - 2))
    return data, np.split(data, np.cumsum(sizes)[:-1])


# ---- what they are


def test_B47b_recomputed_statistics_are_those_of_all_values_in_any_order(shape, fused, device):
    data, batches = uneven(shape)
    found = []
    for seed, order in ((1, 1), (2, -1)):
        module = module_for(shape, fused=fused, device=device)
        module(mg.tensor(draw(shape, seed), device=device))  # what it had seen does not matter
        nn.recompute_stats(module, placed(batches[::order], device))
        found.append(stats_of(module))
        np.testing.assert_allclose(found[-1][0], data.mean(axes_of(data)), rtol=1e-13)
        np.testing.assert_allclose(found[-1][1], data.var(axes_of(data), ddof=1), rtol=1e-11)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-11)


def test_B47b_layers_above_see_batches_normalised_as_in_training(shape, fused, device):
    model = deep_model(shape, fused, device)
    data, batches = uneven(shape, mean=1.0)
    nn.recompute_stats(model, placed(batches, device))
    gamma, beta = host(model[0].weight), host(model[0].bias)
    above = np.concatenate([sigmoid(normalise(x, gamma, beta, x)[0]) for x in batches])
    for module, values in ((model[0], data), (model[3], above)):
        mean, var, _ = stats_of(module)
        assert worst(mean, values.mean(axes_of(values))) < 1e-11
        assert worst(var, values.var(axes_of(values), ddof=1)) < 1e-11


def test_B47b_weights_modes_gradients_counters_and_draws_stay(shape, fused, device):
    _, batches = uneven(shape)
    for training in (True, False):
        model = deep_model(shape, fused, device)
        model(mg.tensor(draw(shape), device=device)).sum().backward()
        model.train(training)
        model[2].training = not training  # one module of another mode
        modes = [module.training for module in model.modules()]
        kept = [(p, host(p).tobytes(), p.grad, host(p.grad).tobytes()) for p in model.parameters()]
        state = mg.get_rng_state().tolist()
        nn.recompute_stats(model, placed(batches, device))
        assert [module.training for module in model.modules()] == modes
        assert mg.is_grad_enabled()
        assert mg.get_rng_state().tolist() == state  # dropout drew nothing
        for p, value, grad, grad_value in kept:
            assert p.requires_grad
            assert host(p).tobytes() == value
            assert p.grad is grad
            assert host(grad).tobytes() == grad_value
        for module in (model[0], model[3]):
            assert module.num_batches_tracked.item() == 1
            assert not module.running_mean.requires_grad


@given(cuts=st.lists(st.integers(2, 24), max_size=5), seed=st.integers(0, 999))
def test_B47b_how_the_data_is_cut_does_not_matter(cuts, seed):
    data, _ = uneven((6, 3), seed)
    order = np.random.default_rng(seed).permutation(len(data))
    edges = [cut for cut in sorted(set(cuts)) if cut % 2 == 0]
    module = module_for((6, 3))
    nn.recompute_stats(module, placed(np.split(data[order], edges)))
    mean, var, _ = stats_of(module)
    np.testing.assert_allclose(mean, data.mean(0), rtol=1e-13)
    np.testing.assert_allclose(var, data.var(0, ddof=1), rtol=1e-11)


def test_B47b_they_are_the_mean_variance_plus_the_variance_of_the_means():
    module = module_for((6, 3))
    data, batches = uneven((6, 3))
    nn.recompute_stats(module, placed(batches))
    share, n = np.array([len(x) for x in batches])[:, None] / len(data), len(data)
    means = np.array([x.mean(0) for x in batches])
    within = (share * [x.var(0) for x in batches]).sum(0)
    between = (share * (means - (share * means).sum(0)) ** 2).sum(0)
    expected = (within + between) * n / (n - 1)
    np.testing.assert_allclose(host(module.running_var), expected, rtol=1e-10)
    assert (between > 1e-3 * within).all()


def test_B47b_a_module_called_twice_pools_both_calls(fused):
    norm = module_for((6, 3), fused=fused)

    class Siamese(nn.Module):
        def __init__(self):
            self.norm = norm

        def forward(self, a, b):
            return self.norm(a).sum() - self.norm(b).sum()

    a, b = draw((8, 3), 1), draw((5, 3), 2, mean=4.0)
    nn.recompute_stats(Siamese(), [((mg.tensor(a), mg.tensor(b)), "a label")])
    both = np.concatenate([a, b])
    np.testing.assert_allclose(host(norm.running_mean), both.mean(0), rtol=1e-12)
    np.testing.assert_allclose(host(norm.running_var), both.var(0, ddof=1), rtol=1e-12)


def test_B47b_float32_statistics_of_a_large_mean_are_exact(device):
    module = module_for((6, 2), dtype=mg.float32, device=device)
    data = draw((4000, 2), dtype=np.float32, mean=1e4)
    nn.recompute_stats(module, placed(np.split(data, 40), device))
    wide = data.astype(np.float64)
    np.testing.assert_allclose(host(module.running_mean), wide.mean(0), rtol=1e-7)
    np.testing.assert_allclose(host(module.running_var), wide.var(0, ddof=1), rtol=1e-3)
    assert module.running_mean.dtype == module.running_var.dtype == np.float32


def test_B47b_sums_of_large_values_do_not_overflow():
    module = module_for((6, 2), dtype=mg.float32)
    data = draw((4000, 2), dtype=np.float32, std=1e18)
    nn.recompute_stats(module, placed(np.split(data, 2)))
    wide = data.astype(np.float64)
    np.testing.assert_allclose(host(module.running_var), wide.var(0, ddof=1), rtol=1e-6)


def test_B47b_nothing_is_recorded(fused):
    model, recorded = deep_model((6, 3), fused), []
    model.register_forward_hook(lambda module, inputs, output: recorded.append(output.node))
    nn.recompute_stats(model, placed(uneven((6, 3))[1]))
    assert recorded == [None] * 4


def test_B47b_half_precision_stays_and_is_pooled_in_more():
    module = module_for((6, 2), dtype=mg.float32).half()
    data = draw((200, 2), dtype=np.float16, mean=300.0)
    nn.recompute_stats(module, placed(np.split(data, 10)))
    wide = data.astype(np.float64)
    assert module.running_mean.dtype == module.running_var.dtype == np.float16
    np.testing.assert_allclose(host(module.running_mean), wide.mean(0), rtol=1e-3)
    np.testing.assert_allclose(host(module.running_var), wide.var(0, ddof=1), rtol=2e-3)


@pytest.mark.parametrize("counted", [0, 3])
def test_B47b_with_momentum_none_the_population_weighs_as_many_batches_as_were_counted(counted):
    module = module_for((6, 3), momentum=None)
    for seed in range(counted):
        module(mg.tensor(draw((6, 3), seed)))
    data, batches = uneven((6, 3))
    nn.recompute_stats(module, placed(batches))
    x = draw((6, 3), 9)
    module(mg.tensor(x))
    expected = (counted * data.mean(0) + x.mean(0)) / (counted + 1)
    np.testing.assert_allclose(host(module.running_mean), expected, rtol=1e-12)
    module.reset_running_stats()
    module(mg.tensor(x))
    np.testing.assert_allclose(host(module.running_mean), x.mean(0), rtol=1e-12)
    assert module.num_batches_tracked.item() == 1


def test_B47b_no_value_is_copied_to_the_host(shape, fused, standin):
    model = deep_model(shape, fused, "cuda")
    _, batches = uneven(shape)
    batches = placed(batches, "cuda")
    hidden_copies.clear()
    nn.recompute_stats(model, batches)
    assert not hidden_copies


# ---- which modules


def test_B47b_frozen_modules_keep_their_statistics_and_modes():
    frozen, free = module_for((6, 3)).freeze(), module_for((6, 3))
    before = stats_of(frozen)
    _, batches = uneven((6, 3))
    nn.recompute_stats(nn.Sequential(frozen, free), placed(batches))
    assert_same_stats(frozen, before)
    assert not frozen.training
    assert free.training
    assert np.abs(host(free.running_mean)).min() > 1


def test_B47b_modules_without_statistics_or_calls_and_instance_norm_are_left_alone():
    shape = (4, 3, 5)
    untracked = module_for(shape, track_running_stats=False)
    instance = nn.InstanceNorm1d(3, track_running_stats=True, dtype=mg.float64)
    aside, used = module_for(shape), module_for(shape)

    class WithAnAside(nn.Module):
        def __init__(self):
            self.layers = [untracked, instance, aside, used]

        def forward(self, x):
            if self.training:
                aside(x)
            return used(instance(untracked(x)))

    model, batches = WithAnAside(), placed(uneven(shape)[1])
    model(batches[0])
    kept, recomputed = [stats_of(instance), stats_of(aside)], stats_of(used)
    nn.recompute_stats(model, batches)
    assert_same_stats(instance, kept[0])
    assert_same_stats(aside, kept[1])
    assert untracked.running_mean is None
    assert stats_of(used)[1].tobytes() != recomputed[1].tobytes()


def test_B47b_a_model_without_batch_norm_draws_no_batch():
    def never():
        raise AssertionError
        yield

    nn.recompute_stats(nn.Sequential(nn.Linear(3, 2), module_for((6, 3)).freeze()), never())


def test_B47b_frozen_stats_around_it_does_not_stop_it():
    module = module_for((6, 3))
    data, batches = uneven((6, 3))
    with nn.frozen_stats(module):
        nn.recompute_stats(module, placed(batches))
        module(mg.tensor(draw((6, 3))))
    np.testing.assert_allclose(host(module.running_mean), data.mean(0), rtol=1e-13)


# ---- which batches


def wrapped(arrays):
    """The same batches in every form that is taken."""
    tensors = placed(arrays)
    yield tensors
    yield tuple(tensors)
    yield iter(tensors)
    yield (x for x in tensors)
    yield dict(enumerate(tensors)).values()
    yield arrays
    yield [(x, 0) for x in tensors]
    yield [[x, 0] for x in arrays]
    yield [((x,), 0) for x in tensors]
    yield [[[x], 0] for x in arrays]


def test_B47b_batches_may_be_anything_to_iterate_over_of_inputs_or_tuples():
    _, arrays = uneven((6, 3))
    found = []
    for batches in wrapped(arrays):
        module = module_for((6, 3))
        nn.recompute_stats(module, batches)
        found.append(stats_of(module))
    assert len(found) == 10
    for each in found[1:]:
        for a, b in zip(each, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_B47b_minibatches_of_data_are_drawn_once():
    data, _ = uneven((6, 3))
    batches = mg.data.batches(data, np.arange(len(data)), batch_size=4)
    module = module_for((6, 3))
    nn.recompute_stats(module, batches)
    np.testing.assert_allclose(host(module.running_var), data.var(0, ddof=1), rtol=1e-11)
    mg.manual_seed(5)
    nn.recompute_stats(module, batches)
    after = mg.get_rng_state().tolist()
    mg.manual_seed(5)
    list(batches)
    assert mg.get_rng_state().tolist() == after


def test_B47b_a_loader_of_pytorch_is_taken():
    torch = pytest.importorskip("torch")
    data, _ = uneven((6, 3))
    pairs = torch.utils.data.TensorDataset(torch.tensor(data), torch.arange(len(data)))
    module = module_for((6, 3))
    nn.recompute_stats(module, torch.utils.data.DataLoader(pairs, batch_size=4))
    np.testing.assert_allclose(host(module.running_var), data.var(0, ddof=1), rtol=1e-11)


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        (mg.ones(4, 3), r"Tensor as batches.*mg\.data\.batches"),
        (np.ones((4, 3)), r"ndarray as batches.*\[x\]"),
        (5, "int as batches"),
        ("text", "str as batches"),
        ({"x": [mg.ones(4, 3)]}, "dict as batches"),
        ([{"x": mg.ones(4, 3), "y": 0}], r"got a dict as input.*\['x', 'y'\]"),
        ([[[1.0, 2.0], [3.0, 4.0]]], r"got a float as input.*mg\.tensor"),
        ([[]], "got a list as input"),
        ([()], "got a tuple as input"),
        ([None], "got a NoneType as input"),
        ([({"x": 1}, 0)], "got a dict as input"),
    ],
)
def test_B47b_what_is_no_batch_is_told(batches, named):
    module = module_for((6, 3))
    before = stats_of(module)
    with pytest.raises(TypeError, match=named):
        nn.recompute_stats(module, batches)
    assert_same_stats(module, before)
    assert module.training


def test_B47b_what_is_no_model_is_told():
    with pytest.raises(TypeError, match=r"got a list as model: give an nn\.Module"):
        nn.recompute_stats([mg.ones(4, 3)], module_for((6, 3)))


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ([], "no batches"),
        (iter([]), "generator that was used up"),
        ([mg.ones(0, 3, dtype=mg.float64)] * 2, "2 batches, of which no value reached"),
    ],
    ids=["list", "iterator", "empty"],
)
def test_B47b_no_batches_raise_and_change_nothing(batches, named):
    module = module_for((6, 3))
    module(mg.tensor(draw((6, 3))))
    before = stats_of(module)
    with pytest.raises(ValueError, match=named):
        nn.recompute_stats(module, batches)
    assert_same_stats(module, before)
    assert module.training


def test_B47b_empty_batches_among_others_count_for_nothing():
    data, arrays = uneven((6, 3))
    module = module_for((6, 3))
    nn.recompute_stats(module, placed([arrays[0][:0], *arrays, arrays[0][:0]]))
    np.testing.assert_allclose(host(module.running_var), data.var(0, ddof=1), rtol=1e-11)


def broken_batches():
    yield mg.tensor(draw((6, 3)))
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("batches", "error"),
    [
        (lambda: placed([draw((6, 3)), draw((1, 3))]), ShapeError),
        (broken_batches, KeyboardInterrupt),
    ],
    ids=["one row", "interrupted"],
)
def test_B47b_an_error_on_the_way_changes_nothing(batches, error, fused):
    model = deep_model((6, 3), fused)
    model(mg.tensor(draw((6, 3))))
    model.eval()
    model[3].training = True
    before = [stats_of(model[i]) for i in (0, 3)]
    with pytest.raises(error):
        nn.recompute_stats(model, batches())
    for i, each in zip((0, 3), before, strict=True):
        assert_same_stats(model[i], each)
    assert [module.training for module in model] == [False, False, False, True]
    assert mg.is_grad_enabled()
    model(mg.tensor(draw((6, 3))))
    assert model[3].num_batches_tracked.item() == 2  # and they move again


def test_B47b_a_batch_on_another_device_is_told(standin):
    module = module_for((6, 3), device="cuda")
    before = stats_of(module)
    with pytest.raises(DeviceError, match=r"\.to\("):
        nn.recompute_stats(module, [draw((6, 3))])
    assert_same_stats(module, before)
    assert module.training


# ---- its progress bar


def test_B47b_a_progress_bar_counts_the_batches(capsys):
    pytest.importorskip("tqdm")
    module, (_, arrays) = module_for((6, 3)), uneven((6, 3))
    nn.recompute_stats(module, placed(arrays), progress=True)
    shown = capsys.readouterr().err
    assert "recompute_stats" in shown
    assert "/4" in shown
    nn.recompute_stats(module, iter(placed(arrays)), progress=True)  # of unknown length
    assert "recompute_stats" in capsys.readouterr().err
    nn.recompute_stats(module, placed(arrays))
    assert capsys.readouterr().err == ""


def test_B47b_without_tqdm_a_progress_bar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    module, (_, arrays) = module_for((6, 3)), uneven((6, 3))
    before = stats_of(module)
    with pytest.raises(ImportError, match="pip install tqdm"):
        nn.recompute_stats(module, placed(arrays), progress=True)
    assert_same_stats(module, before)
    nn.recompute_stats(module, placed(arrays))


def test_tqdm_is_imported_only_when_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    nn.recompute_stats(module_for((6, 3)), placed(uneven((6, 3))[1]))
    assert "tqdm" not in sys.modules
