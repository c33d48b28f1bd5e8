"""What nn.fold_batch_norm refuses, leaves as it is, and says (B54)."""

import numpy as np
import pytest
from fold_helpers import cnn, distance, everything, fold_with_warning, images, lived_in, norms_in

import minigrad as mg
import minigrad.nn as nn
from minigrad.errors import ShapeError

# ---- bad input


def test_B54_a_norm_in_training_mode_is_named():
    model = lived_in(cnn())
    model.norm2.train()
    with pytest.raises(ValueError, match=r"'norm2', a BatchNorm1d, is in training.*model.eval\(\)"):
        nn.fold_batch_norm(model)
    with pytest.raises(ValueError, match=r"the Sequential is in training mode"):
        nn.fold_batch_norm(model.train())


def test_B54_a_norm_without_statistics_is_named():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match=r"'1', a BatchNorm1d, has no running.*track_running_st"):
        nn.fold_batch_norm(model)


def test_B54_an_attribute_of_the_report_s_name_is_told():
    model = lived_in(cnn())
    model.folding = "mine"
    with pytest.raises(ValueError, match="`folding`, which the Sequential has for something else"):
        nn.fold_batch_norm(model)


def test_B54_a_model_without_batch_norm_says_so():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)).eval()
    folded = fold_with_warning(model, match="nothing to fold: the model has no BatchNorm")
    assert folded is not model
    assert distance(folded, model, images(5, 3)) == 0


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_model_that_is_a_batch_norm_says_so(example):
    model, x = lived_in(nn.BatchNorm1d(3)), images(5, 3)
    why = "its input is not" if example else "nothing is before it"
    folded = fold_with_warning(model, *[x] * example, match=f"not the model: {why}")
    assert distance(folded, model, x) == 0


def test_B54_an_error_of_the_example_leaves_the_model_as_it_was():
    model = lived_in(cnn())
    before = everything(model)
    with pytest.raises(ShapeError):
        nn.fold_batch_norm(model, images(3, 2, 8, 8))
    assert everything(model) == before


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("running_var", np.nan, "running variance plus eps not positive"),
        ("running_var", -1.0, "running variance plus eps not positive"),
        ("running_mean", np.inf, "running mean is not finite"),
        ("weight", 3e38, "would not be finite in float32"),
    ],
)
def test_B54_what_would_not_be_finite_is_left(name, value, why):
    model = lived_in(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, eps=1e-7)))
    state = model[1].state_dict()
    state["running_var"], state[name] = np.zeros(3), np.full(3, value)
    model[1].load_state_dict(state)
    folded = fold_with_warning(model, match=why)
    assert norms_in(folded) == ["1"]


def test_B54_what_float16_cannot_hold_is_left():
    like = {"dtype": mg.float16}
    model = lived_in(nn.Sequential(nn.Linear(3, 3, **like), nn.BatchNorm1d(3, **like)))
    model[1].load_state_dict({**model[1].state_dict(), "running_mean": np.full(3, 6e4)})
    model[1].load_state_dict({**model[1].state_dict(), "running_var": np.full(3, 0.01)})
    fold_with_warning(model, match="the Linear before it would not be finite in float16")


# ---- the report


def test_B54_the_report_says_what_was_folded_and_what_was_not_and_why():
    model = nn.Sequential(cnn(), nn.ReLU(), nn.BatchNorm1d(2))
    folded = fold_with_warning(lived_in(model))
    assert folded.folding.folded == (("0.conv", "0.norm"), ("0.fc", "0.norm2"))
    assert list(folded.folding.left) == ["2"]
    assert str(folded.folding) == (
        "2 of 3 norms folded\n"
        "  0.norm into 0.conv\n"
        "  0.norm2 into 0.fc\n"
        "  not 2: before it comes a ReLU, not a Linear, Conv1d, Conv2d or ConvTranspose2d"
    )


def test_B54_when_all_is_folded_nothing_is_said_aloud():
    assert str(nn.fold_batch_norm(lived_in(cnn())).folding).startswith("2 of 2 norms folded")
