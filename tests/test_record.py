"""`mg.record`: what it keeps is right, training is the same bit for bit, and no graph stays."""

import gc
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.func import checkpoint


def make_model(norm=nn.BatchNorm1d):
    return nn.Sequential(nn.Linear(3, 5), norm(5), nn.Sigmoid(), nn.Linear(5, 2))


def train(model, steps=6, recorder=None, device="cpu"):
    """Plain training; returns the loss of each step."""
    optimizer, losses = optim.SGD(model.parameters(), lr=0.5, momentum=0.9), []
    x = mg.randn(7, 3, device=device)
    for _ in range(steps):
        loss = ((model(x + mg.randn(7, 3, device=device)) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if recorder is not None:
            recorder.step(loss=loss)
    return losses


def test_training_is_the_same_bit_for_bit(device):
    found = []
    for recorded in (False, True):
        mg.manual_seed(3)
        model = make_model().to(device)
        recorder = mg.record(model) if recorded else None
        losses = train(model, recorder=recorder, device=device)
        state = {k: v.numpy() for k, v in model.state_dict().items()}
        found.append((losses, state, mg.rand(4).tolist()))
    (losses, state, draws), (others, other, others_draws) = found
    assert losses == others
    assert draws == others_draws
    assert all(np.array_equal(state[name], other[name]) for name in state)
    assert recorder.values["loss"].tolist() == losses


def test_it_keeps_what_layers_gave_and_what_gradients_were():
    model = make_model()
    x = mg.randn(9, 3)
    with mg.record(model, percentiles=(0, 25, 100)) as recorder:
        hidden = model[1](model[0](x))  # layers alone count too: the last call does
        out = model(x)
        out.sum().backward()
        recorder.step()
    y = hidden.detach().numpy().astype(np.float64)
    found = recorder["1"]
    np.testing.assert_allclose(found.mean, [y.mean()], atol=1e-12)
    np.testing.assert_allclose(found.std, [y.std()], rtol=1e-12)
    np.testing.assert_allclose(found.percentiles[0], np.percentile(y, (0, 25, 100)), rtol=1e-12)
    for name, p in model.named_parameters():
        norm = np.linalg.norm(p.grad.numpy().astype(np.float64))
        np.testing.assert_allclose(recorder.gradients[name], [norm], rtol=1e-12)
    assert recorder.running["1"].mean.tolist() == [model[1].running_mean.numpy().tolist()]
    assert recorder.running["1"].var.tolist() == [model[1].running_var.numpy().tolist()]
    assert recorder.steps == [1]


def test_shapes_follow_the_steps():
    model = make_model()
    with mg.record(model) as recorder:
        train(model, 6, recorder)
    assert list(recorder.outputs) == ["0", "1", "2", "3"]
    for outputs in recorder.outputs.values():
        assert (outputs.mean.shape, outputs.std.shape) == ((6,), (6,))
        assert outputs.percentiles.shape == (6, 3)
        assert (np.diff(outputs.percentiles, axis=1) >= 0).all()
    assert recorder.running["1"].var.shape == (6, 5)
    assert recorder.steps == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(list(recorder.gradients.values())).all()


def test_channels_are_described_by_themselves():
    model = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU())
    with mg.record(model, channels=True, percentiles=(0, 50)) as recorder:
        for _ in range(3):
            y = model(mg.randn(5, 1, 4, 4)).detach().numpy().astype(np.float64)
            recorder.step()
    found = recorder["1"]
    assert (found.std.shape, found.percentiles.shape) == ((3, 4), (3, 2, 4))
    np.testing.assert_allclose(found.mean[-1], y.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.std[-1], y.std((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.percentiles[-1, 1], np.median(y, (0, 2, 3)), rtol=1e-12)
    with mg.record(model[1], channels=True), pytest.raises(mg.ShapeError, match="has no axis 1"):
        model[1](mg.ones(3))


def test_every_records_the_first_of_so_many():
    model = make_model()
    with mg.record(model, every=4) as recorder:
        losses = train(model, 9, recorder)
    assert recorder.steps == [1, 5, 9]
    assert recorder.values["loss"].tolist() == losses[::4]


def test_evaluation_and_recomputation_leave_no_trace():
    model = make_model()
    x = mg.randn(7, 3)
    with mg.record(model) as recorder:
        (model(x) ** 2).mean().backward()
        nn.summary(model, (5, 3))
        model.eval()(100 * mg.ones(4, 3))
        model.train()
        recorder.step()
        means = [each.mean[0] for each in recorder.outputs.values()]
        (
            checkpoint(model, x) ** 2
        ).mean().backward()  # runs twice, the second time while gradients flow
        recorder.step()
    assert means == pytest.approx([each.mean[1] for each in recorder.outputs.values()], abs=1e-12)


def test_no_graph_and_no_array_stays():
    model = make_model()
    with mg.record(model) as recorder:
        out = model(mg.randn(7, 3))
        node, array = weakref.ref(out.node), weakref.ref(out.array)
        out.sum().backward()
        recorder.step(loss=out.sum())
        del out
        gc.collect()
        assert node() is None
        assert array() is None


def test_hooks_go_with_the_end_of_with():
    model = make_model()
    with mg.record(model) as recorder:
        train(model, 2, recorder)
    train(model, 3)
    assert recorder.steps == [1, 2]
    assert all(layer._hooks.after == {} for layer in model)
    with pytest.raises(RuntimeError, match="before the recorder is closed"):
        recorder.step()


def test_divergence_is_recorded_without_a_warning():
    model = nn.Linear(2, 2)
    with mg.record(model) as recorder:
        with np.errstate(all="ignore"):
            y = model(mg.full((3, 2), float("inf")))
        y.sum().backward()
        recorder.step()
    assert not np.isfinite(recorder[""].std).any()


def test_a_layer_that_is_not_called_and_a_parameter_without_gradient_give_nan():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "spare": nn.Linear(2, 2)})
    model["spare"].freeze()
    with mg.record(model) as recorder:
        model["used"](mg.ones(3, 2)).sum().backward()
        recorder.step()
        model["used"](mg.ones(3, 2))
        model["spare"](mg.ones(3, 2))
        recorder.step(loss=2)
    assert np.isnan(recorder["spare"].mean).tolist() == [True, False]
    assert np.isnan(recorder.gradients["spare.weight"]).all()
    assert np.isnan(recorder.values["loss"]).tolist() == [True, False]


def test_layers_by_name():
    model = nn.Sequential(make_model(), nn.ReLU())
    with mg.record(model, layers=["0.1", "0"]) as recorder:
        model(mg.randn(4, 3)).sum().backward()
        recorder.step()
    assert list(recorder.outputs) == ["0.1", "0"]


def test_repr_counts():
    model = make_model()
    with mg.record(model) as recorder:
        train(model, 1, recorder)
    said = "1 step of 4 layers, 6 gradients, 1 pair of running statistics; loss"
    assert repr(recorder) == f"Recorder({said})"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: mg.record("model"), TypeError, "record got a str as model: give an nn.Module"),
        (lambda m: mg.record(m, ["0.weigth"]), AttributeError, "no module '0.weigth'"),
        (lambda m: mg.record(m, "0"), TypeError, "give a list, such as \\['0'\\]"),
        (lambda m: mg.record(m, percentiles=(50, 101)), ValueError, "give some from 0 to 100"),
        (lambda m: mg.record(m, percentiles=()), ValueError, "give some from 0 to 100"),
        (lambda m: mg.record(m, every=0), ValueError, "every=0: give an integer of at least 1"),
        (lambda m: mg.record(m)["5"], KeyError, "no layer '5' is recorded; there are 0, 1, 2, 3"),
        (lambda m: mg.record(m).step(), RuntimeError, "after model.train()"),
        (lambda m: mg.record(m).plot(), ValueError, "nothing is recorded yet"),
    ],
)
def test_bad_input_says_what_to_type(call, error, words):
    if "plot" in call.__code__.co_names:
        pytest.importorskip("matplotlib")
    with pytest.raises(error, match=words):
        call(make_model())


# ---- the picture


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_the_picture_shows_what_was_recorded(norm, pyplot):
    model = make_model(norm)
    with mg.record(model) as recorder:
        train(model, 5, recorder)
    deviations, percentiles, gradients, last = recorder.plot().axes
    assert len(deviations.lines) == 4
    np.testing.assert_array_equal(deviations.lines[1].get_ydata(), recorder["1"].std)
    np.testing.assert_array_equal(percentiles.lines[1].get_ydata(), recorder["2"].percentiles[:, 1])
    assert "2: Sigmoid" in percentiles.get_title()
    assert len(gradients.lines) == 6
    shown = recorder.values["loss"] if norm is nn.LayerNorm else recorder.running["1"].var
    expected = shown if shown.ndim == 1 else np.median(shown, 1)
    np.testing.assert_array_equal(last.lines[0].get_ydata(), expected)
    with mg.record(model, channels=True) as recorder:
        train(model, 5, recorder)
    shown = np.median(recorder["1"].std, 1)
    np.testing.assert_array_equal(recorder.plot().axes[0].lines[1].get_ydata(), shown)
    assert "2: Sigmoid" not in recorder.plot(layer="0").axes[1].get_title()


def test_the_picture_says_where_there_are_no_gradients(pyplot):
    model = nn.Linear(2, 2)
    with mg.record(model) as recorder, mg.no_grad():
        model(mg.randn(3, 2))
        recorder.step()
    texts = [text.get_text() for axis in recorder.plot().axes for text in axis.texts]
    assert any("before zero_grad()" in text for text in texts)
    assert any("step(loss=loss)" in text for text in texts)


def test_the_picture_needs_matplotlib(monkeypatch):
    model = make_model()
    with mg.record(model) as recorder:
        train(model, 1, recorder)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        recorder.plot()
