"""Monte-Carlo BatchNorm: mean and standard deviation under the statistics of random batches."""

import sys
import weakref

import numpy as np
import pytest
from batch_norm_helpers import (
    EPS,
    axes_of,
    deep_model,
    draw,
    host,
    module_for,
    per_channel,
    placed,
    sigmoid,
    worst,
)
from cupy_standin import hidden_copies

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import DTypeError


def model_for(shape, fused=True, device="cpu", **options):
    """`deep_model` with running statistics that matter."""
    model = deep_model(shape, fused, device, **options)
    model(mg.tensor(draw(shape, 5, model[0].weight.dtype), device=device))
    return model


def batches_for(shape, count, dtype=np.float64):
    return [draw((n + 2, *shape[1:]), n, dtype, mean=0.3 * n, std=1 + n) for n in range(count)]


def transcribed(model, x, batches):
    """Mean and standard deviation by the definition, in plain NumPy."""
    first, last = (
        tuple(host(t).astype(np.float64) for t in (model[i].weight, model[i].bias)) for i in (0, 3)
    )

    def normalised(values, by, gamma_beta):
        gamma, beta = (per_channel(each, values) for each in gamma_beta)
        mean, var = by.mean(axes_of(by), keepdims=True), by.var(axes_of(by), keepdims=True)
        return gamma * (values - mean) / np.sqrt(var + EPS) + beta

    passes = []
    for batch in batches:
        hidden = sigmoid(normalised(batch, batch, first))
        passes.append(normalised(sigmoid(normalised(x, batch, first)), hidden, last))
    return np.mean(passes, axis=0), np.std(passes, axis=0, ddof=1)


def everything_of(model):
    """Everything that a call could disturb."""
    modes = [module.training for module in model.modules()]
    tensors = [*model.parameters(), *model.buffers()]
    values = [host(t).tobytes() for t in tensors]
    arrays = [(id(t.array), id(t.grad), t.requires_grad) for t in tensors]
    flags = mg.is_grad_enabled(), mg.get_rng_state().tolist()
    return modes, values, arrays, flags


# ---- what it gives


def test_mean_and_std_are_those_of_predictions_with_each_batch_s_statistics(shape, fused, device):
    model, x = model_for(shape, fused, device), draw((3, *shape[1:]), 77)
    batches = batches_for(shape, 5)
    mean, std = nn.mc_batch_norm(model, mg.tensor(x, device=device), placed(batches, device), 5)
    expected_mean, expected_std = transcribed(model, x, batches)
    assert worst(host(mean), expected_mean) < 1e-12
    assert worst(host(std), expected_std) < 1e-11
    assert mean.device == std.device == model[0].weight.device
    assert not mean.requires_grad
    assert not std.requires_grad


def test_a_network_with_linear_layers_agrees_with_plain_numpy(fused):
    options = {"dtype": mg.float64}
    model = nn.Sequential(
        nn.Linear(4, 5, **options), nn.BatchNorm1d(5, fused=fused, **options), nn.ReLU(),
        nn.Linear(5, 2, **options), nn.BatchNorm1d(2, fused=fused, **options),
    )  # fmt: skip
    (w, b), (v, c) = ([host(p) for p in model[i].parameters()] for i in (0, 3))
    x, batches = draw((7, 4), 1), [draw((6, 4), seed, std=2.0) for seed in range(2, 8)]

    passes = []
    for batch in batches:
        before = batch @ w.T + b
        mu, r = before.mean(0), 1 / np.sqrt(before.var(0) + EPS)
        above = np.maximum((before - mu) * r, 0) @ v.T + c
        z = np.maximum((x @ w.T + b - mu) * r, 0) @ v.T + c
        passes.append((z - above.mean(0)) / np.sqrt(above.var(0) + EPS))
    found = nn.mc_batch_norm(model, x, batches, passes=6)
    np.testing.assert_allclose(host(found.mean), np.mean(passes, 0), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(host(found.std), np.std(passes, 0, ddof=1), rtol=1e-10)


def test_one_batch_again_and_again_has_no_spread_and_its_own_prediction_is_that_of_training(
    shape, fused, device
):
    model, x = model_for(shape, fused, device), mg.tensor(draw(shape, 77), device=device)
    assert not host(nn.mc_batch_norm(model, x, placed([draw(shape, 3)], device), 4).std).any()
    mean, std = nn.mc_batch_norm(model, x, [x], passes=4)
    model[2].eval()
    assert worst(host(mean), host(model(x))) < 1e-12
    assert not host(std).any()


def test_a_module_called_twice_on_a_batch_has_the_statistics_of_both_calls():
    norm = module_for((6, 3))

    class Siamese(nn.Module):
        def __init__(self):
            self.norm = norm

        def forward(self, a, b):
            return self.norm(a) - 2 * self.norm(b)

    pairs = [(draw((6, 3), i), draw((6, 3), 9 + i, mean=3.0)) for i in range(3)]
    a, b = draw((2, 3), 31), draw((2, 3), 32)
    passes = []
    for pair in pairs:
        both = np.concatenate(pair)
        r = 1 / np.sqrt(both.var(0) + EPS)
        passes.append((a - both.mean(0)) * r - 2 * (b - both.mean(0)) * r)
    found = nn.mc_batch_norm(Siamese(), (a, b), [(pair, "a label") for pair in pairs], 3)
    np.testing.assert_allclose(host(found.mean), np.mean(passes, 0), rtol=1e-11)
    np.testing.assert_allclose(host(found.std), np.std(passes, 0, ddof=1), rtol=1e-11)


@pytest.mark.parametrize("dtype", [mg.float16, mg.float32])
def test_results_have_the_dtype_of_the_output(dtype):
    shape = (6, 3)
    model, x = model_for(shape, dtype=mg.float32).to(dtype), draw((3, 3), 77, dtype)
    batches = [batch.astype(dtype) for batch in batches_for(shape, 5, np.float32)]
    found = nn.mc_batch_norm(model, x, batches, 5)
    assert found.mean.dtype == found.std.dtype == dtype
    wide = [batch.astype(np.float64) for batch in batches]
    for actual, expected in zip(found, transcribed(model, x.astype(np.float64), wide), strict=True):
        assert worst(host(actual), expected) < 20 * np.finfo(dtype).eps


def test_the_spread_about_a_large_mean_is_exact():
    model = model_for((6, 3), dtype=mg.float32)
    with mg.no_grad():
        model[3].bias.fill_(4096.0)
    x, batches = draw((3, 3), 77, np.float32), batches_for((6, 3), 4, np.float32)
    passes = [host(nn.mc_batch_norm(model, x, [batch], 2).mean) for batch in batches]
    _, std = nn.mc_batch_norm(model, x, batches, 4)
    expected = np.std(np.array(passes, np.float64), axis=0, ddof=1)
    np.testing.assert_allclose(host(std), expected, rtol=1e-6)


# ---- which batches


def test_a_list_begins_again_until_there_are_enough():
    model, x, batches = model_for((6, 3)), draw((3, 3), 77), batches_for((6, 3), 2)
    mean, std = nn.mc_batch_norm(model, x, batches, 5)
    expected = transcribed(model, x, [batches[i] for i in (0, 1, 0, 1, 0)])
    np.testing.assert_allclose(host(mean), expected[0], rtol=1e-11)
    np.testing.assert_allclose(host(std), expected[1], rtol=1e-11)


def test_minibatches_begin_again_in_a_new_order():
    model, x, data = model_for((6, 3)), draw((3, 3), 77), draw((12, 3), 8)
    batches = mg.data.batches(data, np.arange(12), batch_size=6, seed=1)
    found = nn.mc_batch_norm(model, x, batches, 5)
    again = mg.data.batches(data, np.arange(12), batch_size=6, seed=1)
    drawn = [host(rows) for _ in range(3) for rows, _ in again][:5]
    for actual, expected in zip(found, transcribed(model, x, drawn), strict=True):
        np.testing.assert_allclose(host(actual), expected, rtol=1e-10)


def test_no_more_batches_are_drawn_than_there_are_passes():
    batches = iter(placed(batches_for((6, 3), 5)))
    nn.mc_batch_norm(model_for((6, 3)), draw((3, 3)), batches, 3)
    assert len(list(batches)) == 2


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        (lambda: iter(batches_for((6, 3), 3)), "3 batches for 4 passes.*such as a list"),
        (lambda: iter([]), "0 batches for 4 passes"),
        (list, "0 batches for 4 passes"),
        (lambda: [draw((0, 3))], "no value reached"),
    ],
    ids=["generator", "used up", "empty", "without rows"],
)
def test_too_few_batches_are_told_and_change_nothing(batches, named):
    model = model_for((6, 3))
    before = everything_of(model)
    with pytest.raises(ValueError, match=named):
        nn.mc_batch_norm(model, draw((3, 3)), batches(), 4)
    assert everything_of(model) == before


@pytest.mark.parametrize(
    ("passes", "error"),
    [(1, ValueError), (0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)],
)
def test_a_bad_number_of_passes_is_told(passes, error):
    with pytest.raises(error, match="passes="):
        nn.mc_batch_norm(model_for((6, 3)), draw((3, 3)), batches_for((6, 3), 2), passes)


def test_what_is_no_input_or_no_batch_is_told():
    model, x, batches = model_for((6, 3)), draw((3, 3)), batches_for((6, 3), 2)
    with pytest.raises(TypeError, match=r"got a list as input.*mg\.tensor"):
        nn.mc_batch_norm(model, x.tolist(), batches, 2)
    with pytest.raises(TypeError, match="ndarray as batches"):
        nn.mc_batch_norm(model, x, batches[0], 2)
    with pytest.raises(TypeError, match="got a dict as input"):
        nn.mc_batch_norm(model, x, [{"x": batches[0]}], 2)
    with pytest.raises(TypeError, match="as model"):
        nn.mc_batch_norm(lambda x: x, x, batches, 2)


# ---- what stays


def test_everything_is_left_as_it_was(shape, fused, device):
    for training in (True, False):
        model = model_for(shape, fused, device)
        model(mg.tensor(draw(shape), device=device)).sum().backward()
        model.train(training)
        model[2].training = not training
        x = mg.tensor(draw(shape, 7), device=device, requires_grad=True)
        batches = placed(batches_for(shape, 3), device)
        before = everything_of(model)
        nn.mc_batch_norm(model, x, batches, 3)
        assert everything_of(model) == before
        assert x.grad is None


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_an_error_of_the_model_leaves_everything_as_it_was(call):
    model, calls = model_for((6, 3)), []

    def raising(module, inputs, output):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt

    model[3].register_forward_hook(raising)
    before = everything_of(model)
    with pytest.raises(KeyboardInterrupt):
        nn.mc_batch_norm(model, draw((3, 3)), batches_for((6, 3), 2), 2)
    assert len(calls) == call
    assert everything_of(model) == before
    model[3](mg.tensor(draw((6, 3))))
    assert model[3].num_batches_tracked.item() == 2  # and they move again


def test_predictions_of_earlier_passes_are_not_kept():
    model, kept = model_for((6, 3)), []

    def note(module, inputs, output):
        kept.append(weakref.ref(output))
        assert not output.requires_grad
        assert sum(ref() is not None for ref in kept) <= 2

    model.register_forward_hook(note)
    nn.mc_batch_norm(model, draw((3, 3)), batches_for((6, 3), 6), 6)
    assert len(kept) == 12  # a batch and x in each pass


def test_no_value_is_copied_to_the_host(shape, fused, standin):
    model, x = model_for(shape, fused, "cuda"), mg.tensor(draw(shape), device="cuda")
    batches = placed(batches_for(shape, 3), "cuda")
    hidden_copies.clear()
    nn.mc_batch_norm(model, x, batches, 3)
    assert not hidden_copies


# ---- which modules


def test_frozen_modules_normalise_by_their_running_statistics():
    model, x, batches = model_for((6, 3)), draw((3, 3), 77), batches_for((6, 3), 4)
    model[0].freeze()
    alone = nn.Sequential(model_for((6, 3))[3])
    below = nn.Sequential(model[0], nn.Sigmoid())
    found = nn.mc_batch_norm(model, x, batches, 4)
    above = [host(below(mg.tensor(batch))) for batch in batches]
    expected = nn.mc_batch_norm(alone, below(mg.tensor(x)), above, 4)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(host(a), host(b), rtol=1e-11)


def test_modules_that_no_batch_reaches_and_instance_norm_are_in_evaluation():
    shape = (4, 3, 5)
    norm, apart = module_for(shape), module_for(shape)
    instance = nn.InstanceNorm1d(3, track_running_stats=True, dtype=mg.float64)
    nn.Sequential(instance, apart)(mg.tensor(draw(shape, 2, mean=3.0)))

    class OnlyWithoutBatch(nn.Module):
        def __init__(self):
            self.layers = [instance, norm, apart]

        def forward(self, x):
            y = norm(instance(x))
            return y if norm.training else apart(y)

    model, batches, x = OnlyWithoutBatch(), placed(batches_for(shape, 3)), mg.tensor(draw(shape))
    before = everything_of(model)
    found = nn.mc_batch_norm(model, x, batches, 3)
    assert everything_of(model) == before
    nn.Sequential(instance, apart).eval()
    expected, _ = nn.mc_batch_norm(nn.Sequential(norm), instance(x), map(instance, batches), 3)
    np.testing.assert_allclose(host(found.mean), host(apart(expected)), rtol=1e-11)


@pytest.mark.parametrize(
    "kind", [nn.BatchRenorm1d, lambda *a, **k: nn.GhostBatchNorm1d(*a, 2, **k)]
)
def test_other_kinds_of_batch_norm_are_drawn_from_whole_batches_too(kind):
    other, norm = kind(3, dtype=mg.float64), module_for((6, 3))
    other(mg.tensor(draw((6, 3), 5, mean=9.0)))  # what it had seen does not matter
    x, batches = draw((3, 3), 77), [draw((6, 3), n, mean=n, std=1 + n) for n in range(4)]
    found, expected = (nn.mc_batch_norm(each, x, batches, 4) for each in (other, norm))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(host(a), host(b), rtol=1e-11)


def outputs(function):
    """A model with a BatchNorm whose output goes through a function."""

    class Last(nn.Module):
        def forward(self, x):
            return function(x)

    return nn.Sequential(module_for((6, 3)), Last())


@pytest.mark.parametrize(
    ("model", "error", "named"),
    [
        (lambda: nn.Linear(3, 2, dtype=mg.float64), ValueError, "without BatchNorm"),
        (lambda: module_for((6, 3)).freeze(), ValueError, "unfreeze"),
        (
            lambda: nn.Sequential(
                module_for((6, 3)), module_for((6, 3), track_running_stats=False).freeze()
            ),
            ValueError,
            "whose 1 keeps no running statistics.*track_running_stats=True",
        ),
        (
            lambda: module_for((6, 3), track_running_stats=False),
            ValueError,
            "whose BatchNorm1d keeps no running statistics",
        ),
        (lambda: outputs(lambda y: (y, y)), TypeError, "returns a tuple: give one"),
        (lambda: outputs(lambda y: {"y": y}), TypeError, "returns a dict: give one"),
        (lambda: outputs(lambda y: y.argmax(1)), DTypeError, "returns int64.*probabilities"),
    ],
    ids=["none", "frozen", "untracked below", "untracked", "tuple", "dict", "integers"],
)
def test_a_model_that_cannot_be_drawn_from_is_told(model, error, named):
    model = model()
    before = everything_of(model)
    with pytest.raises(error, match=named):
        nn.mc_batch_norm(model, draw((3, 3)), batches_for((6, 3), 2), 2)
    assert everything_of(model) == before


# ---- its progress bar


def test_a_progress_bar_counts_the_passes(capsys):
    pytest.importorskip("tqdm")
    arguments = model_for((6, 3)), draw((3, 3)), batches_for((6, 3), 2), 7
    nn.mc_batch_norm(*arguments, progress=True)
    shown = capsys.readouterr().err
    assert "mc_batch_norm" in shown
    assert "/7" in shown
    nn.mc_batch_norm(*arguments)
    assert capsys.readouterr().err == ""


def test_without_tqdm_a_progress_bar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = model_for((6, 3))
    before = everything_of(model)
    with pytest.raises(
        ImportError, match="mc_batch_norm with progress=True needs tqdm: pip install"
    ):
        nn.mc_batch_norm(model, draw((3, 3)), batches_for((6, 3), 2), 2, progress=True)
    assert everything_of(model) == before


# ---- on digits


def area_under_curve(scores, positive):
    """How often a positive one has the larger score than another: Mann and Whitney's U."""
    larger = scores[positive][:, None] - scores[~positive]
    return np.mean((larger > 0) + 0.5 * (larger == 0))


def test_predictions_of_digits_that_are_wrong_vary_more_than_right_ones():
    pytest.importorskip("sklearn")
    images, labels = mg.data.load_digits()
    parts = mg.data.train_test_split(images.reshape(-1, 64), labels, test_size=1397, seed=0)
    train_x, test_x, train_labels, test_labels = map(mg.tensor, parts)
    model = nn.Sequential(
        nn.Linear(64, 50), nn.BatchNorm1d(50), nn.ReLU(),
        nn.Linear(50, 50), nn.BatchNorm1d(50), nn.ReLU(), nn.Linear(50, 10),
    )  # fmt: skip
    optimizer, criterion = (
        optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        nn.CrossEntropyLoss(),
    )
    batches = mg.data.batches(train_x, train_labels, batch_size=32, drop_last=True)
    for _ in range(10):
        for x, digits in batches:
            loss = criterion(model(x), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    mean, std = nn.mc_batch_norm(nn.Sequential(model, nn.Softmax(1)), test_x, batches, passes=64)
    best = mean.argmax(1, keepdims=True)
    wrong = host(best)[:, 0] != host(test_labels)
    assert wrong.mean() < 0.1
    assert area_under_curve(host(std.gather(1, best))[:, 0], wrong) > 0.85
