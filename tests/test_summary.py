"""nn.summary: layers, shapes, parameters, and what the backward pass keeps."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.ReLU(), nn.Flatten()),
        nn.Dropout(0.5),
        nn.Linear(4 * 5 * 5, 3),
    )


def rows(found):
    return {row.kind: row for row in found.rows}


def test_shapes_and_counts_stand_beside_each_layer():
    found = rows(nn.summary(cnn(), (2, 1, 5, 5)))
    assert found["Conv2d"].outputs == [(2, 4, 5, 5)]
    assert found["Flatten"].outputs == [(2, 100)]
    assert found["Linear"].outputs == [(2, 3)]
    assert found["Conv2d"].parameters == 4 * 9 + 4
    assert found["Flatten"].parameters == 0


def test_totals_count_what_is_shared_once():
    layer = nn.Linear(3, 3)
    found = nn.summary(nn.Sequential(layer, nn.ReLU(), layer), (2, 3))
    assert found.parameters == found.trainable == 12
    assert rows(found)["Linear"].outputs == [(2, 3), (2, 3)]
    assert "(2, 3) ×2" in repr(found)


def test_frozen_parameters_are_told():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].freeze()
    found = nn.summary(model, (1, 2))
    assert (found.parameters, found.trainable) == (13, 4)
    assert "13 parameters, 9 frozen" in repr(found)


def test_kept_bytes_are_those_of_what_the_rules_need():
    class Product(nn.Module):
        def forward(self, x):
            y = x.exp()  # keeps y
            return y * y.sin()  # keeps y, which counts once, and sin y; sin keeps y too

    model = nn.Sequential(nn.Linear(4, 4, dtype=mg.float64), Product())
    found = nn.summary(model, (8, 4))
    assert rows(found)["Linear"].kept == 0  # its input and its weight are there anyway
    assert rows(found)["Product"].kept == 2 * 8 * 4 * 8
    assert found.kept == 2 * 8 * 4 * 8


def test_what_two_layers_keep_counts_for_the_first():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU())
    found = nn.summary(model, (7, 4))
    # the second Linear needs what the first ReLU keeps already
    assert [row.kept for row in found.rows[1:]] == [0, 7 * 5 * 4, 0, 7 * 6 * 4]
    assert found.kept == found.rows[0].kept == 7 * (5 + 6) * 4


def test_composed_keeps_more_than_fused():
    kept = [
        nn.summary(nn.BatchNorm2d(8, fused=fused), (4, 8, 6, 6)).kept for fused in (True, False)
    ]
    x = 4 * 8 * 6 * 6 * 4
    assert kept[0] < x <= kept[1]


def test_nothing_is_left_behind():
    model = cnn()
    model(mg.randn(2, 1, 5, 5))
    before, state = model.state_dict(), mg.get_rng_state()
    drawn = mg.rand(1).item()
    mg.set_rng_state(state)
    nn.summary(model, (2, 1, 5, 5))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())
    assert mg.rand(1).item() == drawn
    assert all(p.grad is None for p in model.parameters())
    assert all(not m._hooks.before and not m._hooks.after for m in model.modules())


def test_rows_of_an_embedding_that_are_too_long_stay_so():
    model = nn.Embedding(4, 3, max_norm=0.01)
    before = model.weight.tolist()
    nn.summary(model, mg.tensor([0, 1]))
    assert model.weight.tolist() == before


def test_hooks_are_taken_back_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4))
    with pytest.raises(mg.ShapeError):
        nn.summary(model, (2, 3))
    assert all(not m._hooks.before and not m._hooks.after for m in model.modules())


def test_it_reports_also_inside_no_grad():
    with mg.no_grad():
        assert nn.summary(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), (3, 2)).kept > 0


def test_tensors_and_several_inputs():
    class Two(nn.Module):
        def forward(self, x, index):
            return x[index], x

    found = nn.summary(Two(), (3, 2), mg.tensor([0, 2]))
    assert found.rows[0].outputs == [(2, 2), (3, 2)]


def test_modules_that_were_not_called_say_so():
    class Lazy(nn.Module):
        def __init__(self):
            self.unused = nn.Linear(1, 1)

        def forward(self, x):
            return x

    assert "unused: Linear  not called" in repr(nn.summary(Lazy(), (1, 1)))


def test_the_text_is_a_table():
    assert repr(nn.summary(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (2, 4))) == (
        "layer        output shape  parameters  kept for backward\n"
        "────────────────────────────────────────────────────────\n"
        "Sequential   (2, 3)                15               24 B\n"
        "  0: Linear  (2, 3)                15                0 B\n"
        "  1: ReLU    (2, 3)                 0               24 B\n"
        "────────────────────────────────────────────────────────\n"
        "15 parameters; 24 B kept for backward"
    )


@pytest.mark.parametrize("given", [3, "x", np.ones((2, 4)), (2.0, 4), None])
def test_an_input_that_is_no_shape_is_told(given):
    with pytest.raises(TypeError, match="give its shape with the batch axis"):
        nn.summary(nn.Linear(4, 3), given)


def test_the_models_dtype_and_device_are_used(device):
    model = nn.Linear(4, 3, dtype=mg.float64).to(device)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    nn.summary(model, (2, 4))
    assert (seen[0].dtype, seen[0].device) == (np.float64, model.weight.device)
