"""Which layer nn.fold_batch_norm takes to be before a norm, and whether it is alone there (B54)."""

from dataclasses import dataclass

import numpy as np
import pytest
from batch_norm_helpers import worst
from fold_helpers import distance, fold_with_warning, images, lived_in, norms_in

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import ShapeError

RUN = "give an example input"

# ---- what is before a norm


class Block(nn.Module):
    """Attributes in another order than that of their use."""

    def __init__(self, channels=4):
        self.bn2, self.bn1 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + x).relu()


def test_B54_attributes_without_an_example_are_left_and_told():
    model = lived_in(Block())
    folded = fold_with_warning(model, match=f"not bn2, bn1: only a run shows.*{RUN}")
    assert norms_in(folded) == ["bn2", "bn1"]
    assert distance(folded, model, images(2, 4, 5, 5)) == 0


def test_B54_an_example_shows_the_order_of_use(device):
    model = lived_in(nn.Sequential(nn.Conv2d(1, 4, 1), Block(), Block())).to(device)
    x = images(2, 1, 5, 5).to(device)
    folded = nn.fold_batch_norm(model, x)
    assert set(folded.folding.folded) == {
        (f"{i}.conv{j}", f"{i}.bn{j}") for i in (1, 2) for j in (1, 2)
    }
    assert distance(folded, model, x) < 1e-5


def test_B54_a_model_called_with_several_inputs_is_folded():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b, self.bn = nn.Linear(3, 4), nn.Linear(2, 4), nn.BatchNorm1d(4)

        def forward(self, x, y):
            return {"sum": self.bn(self.a(x)) + self.b(y)}

    model, inputs = lived_in(Two()), (images(5, 3), images(5, 2, seed=1))
    folded = nn.fold_batch_norm(model, *inputs)
    assert folded.folding.folded == (("a", "bn"),)
    assert worst(folded(*inputs)["sum"].numpy(), model(*inputs)["sum"].numpy()) < 1e-5


def test_B54_a_model_whose_modules_have_no_hash_is_folded():
    @dataclass
    class Pair(nn.Module):
        fc: nn.Linear
        bn: nn.BatchNorm1d

        def forward(self, x):
            return self.bn(self.fc(x))

    model, x = lived_in(Pair(nn.Linear(3, 4), nn.BatchNorm1d(4))), images(5, 3)
    folded = nn.fold_batch_norm(model, x)
    assert folded.folding.folded == (("fc", "bn"),)
    assert distance(folded, model, x) < 1e-5
    fold_with_warning(model, match=f"not bn: only a run shows.*{RUN}")


def test_B54_a_block_that_is_called_twice_folds_once():
    block = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model, x = lived_in(nn.Sequential(block, nn.Tanh(), block)), images(5, 3)
    for inputs in ((), (x,)):
        folded = nn.fold_batch_norm(model, *inputs)
        assert folded.folding.folded == (("0.0", "0.1"),)
        assert folded[0] is folded[2]
        assert distance(folded, model, x) < 1e-5


def test_B54_a_layer_at_the_end_of_an_inner_sequential_is_before_a_norm():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.BatchNorm1d(3)))
    assert nn.fold_batch_norm(lived_in(model)).folding.folded == (("0.0", "1.0"),)


def test_B54_identities_and_sleeping_dropout_are_passed_with_an_example():
    between = [nn.Identity(), nn.Dropout(0.5)]
    model, x = lived_in(nn.Sequential(nn.Linear(4, 3), *between, nn.BatchNorm1d(3))), images(5, 4)
    assert distance(nn.fold_batch_norm(model, x), model, x) < 1e-5


class Net(nn.Module):
    """fc, then bn; what its `forward` does is each test's matter."""

    def __init__(self, forward, norm=None):
        self.fc, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.bn = nn.BatchNorm1d(3) if norm is None else norm
        self.bn2 = nn.Identity()
        self.steps = forward

    def forward(self, x):
        return self.steps(self, x)


def output_kept(net, x):
    net.last = net.fc(x)
    return net.bn(net.last)


def output_returned(net, x):
    y = net.fc(x)
    return net.bn(y), y


def read_as_an_array(net, x):
    y = net.fc(x)
    return net.bn(y) * float(np.tanh(y.numpy()).max())


def weight_used_by_itself(net, x):
    return F.linear(net.bn(net.fc(x)), net.fc.weight)


def called_in_two_ways(net, x):
    return net.bn(net.fc(x)) + net.fc.forward(x)


NOT_ALONE = {
    "a residual": (lambda net, x: net.bn(y := net.fc(x)) + y, "output of fc .* is read by Net"),
    "an op": (lambda net, x: net.bn(net.fc(x).relu()), "its input is not the output itself"),
    "a view": (lambda net, x: net.bn(net.fc(x).reshape(-1, 3)), "its input is not the output"),
    "a mixed op": (lambda net, x: net.bn(y := net.fc(x)) + y * np.ones(3), "read by Net"),
    "another layer": (lambda net, x: net.bn(y := net.fc(x)) + net.other(y), r"read by other \(Lin"),
    "returned": (output_returned, "output of fc .* is kept: the model returns it"),
    "an attribute": (output_kept, "output of fc .* is kept: .* an attribute"),
    "an array": (read_as_an_array, "output of fc .* is read by Net"),
    "the weight": (weight_used_by_itself, "the weight of fc .* is read by Net"),
    "the norm's": (lambda net, x: net.bn(net.fc(x)) * net.bn.weight, "the weight of bn .* is read"),
    "two ways": (called_in_two_ways, "the weight of fc .* is read by Net"),
    "two layers": (lambda net, x: net.bn(net.fc(x)) + net.bn(net.other(x)), "of one Linear"),
    "a keyword": (lambda net, x: net.bn(x=net.fc(x)), "its input is not the output itself"),
    "never called": (lambda net, x: net.fc(x), "it was not called on this input"),
    "the input": (lambda net, x: net.fc(net.bn(x)), "its input is not the output itself"),
}


@pytest.mark.parametrize("case", NOT_ALONE)
def test_B54_an_output_that_others_see_is_not_folded(case):
    forward, why = NOT_ALONE[case]
    model, x = lived_in(Net(forward)), images(5, 3)
    folded = fold_with_warning(model, x, match=f"not bn: .*{why}")
    assert norms_in(folded) == ["bn"]
    for y, expected in zip(*(mg.trees.leaves(m(x)) for m in (folded, model)), strict=True):
        np.testing.assert_array_equal(y.numpy(), expected.numpy())


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_layer_before_two_norms_is_not_folded(example):
    fc, x = nn.Linear(3, 3), images(5, 3)
    model = lived_in(nn.Sequential(fc, nn.BatchNorm1d(3), fc, nn.BatchNorm1d(3)))
    why = r"0 \(Linear\) is before 3 \(BatchNorm1d\) too" if example else f"twice: {RUN}"
    folded = fold_with_warning(model, *[x] * example, match=why)
    assert norms_in(folded) == ["1", "3"]
    assert distance(folded, model, x) == 0


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_norm_in_two_places_is_not_folded(example):
    norm, x = nn.BatchNorm1d(3), images(5, 3)
    model = lived_in(nn.Sequential(nn.Linear(3, 3), norm, nn.Linear(3, 3), norm))
    why = "output itself of one" if example else f"twice: {RUN}"
    folded = fold_with_warning(model, *[x] * example, match=f"not 1: .*{why}")
    assert distance(folded, model, x) == 0


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_shared_weight_is_not_folded(example):
    model, x = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)), images(5, 3)
    model[2].weight = model[0].weight
    folded = fold_with_warning(lived_in(model), *[x] * example, match="shares its weight")
    assert distance(folded, model, x) == 0
    assert folded[2].weight is folded[0].weight


@pytest.mark.parametrize("example", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_B54_a_hook_sees_what_it_saw(which, example):
    model, x, seen = lived_in(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))), images(5, 3), []
    model[which].register_forward_hook(lambda module, inputs, output: seen.append(output.numpy()))
    folded = fold_with_warning(model, *[x] * example, match="forward hooks")
    seen.clear()
    folded(x), model(x)
    np.testing.assert_array_equal(*seen)


def test_B54_a_hook_on_the_whole_is_no_hindrance():
    model, x = lived_in(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))), images(5, 3)
    with model.register_forward_hook(lambda module, inputs, output: output * 2):
        assert distance(nn.fold_batch_norm(model), model, x) < 1e-5


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_hook_between_layer_and_norm_is_seen(example):
    inner = nn.Sequential(nn.Linear(3, 3))
    model, x, kept = lived_in(nn.Sequential(inner, nn.BatchNorm1d(3))), images(5, 3), []
    inner.register_forward_hook(lambda module, inputs, output: kept.append(output))
    folded = fold_with_warning(model, *[x] * example, match="is kept" if example else RUN)
    assert norms_in(folded) == ["1"]


def test_B54_an_inner_sequential_in_two_places_is_no_neighbour():
    shared = nn.Sequential(nn.Linear(3, 3))
    model = lived_in(nn.Sequential(shared, nn.BatchNorm1d(3), shared, nn.BatchNorm1d(3)))
    folded = fold_with_warning(model, match=f"before it comes a Sequential, not .*: {RUN}")
    assert distance(folded, model, images(5, 3)) == 0


class Backwards(nn.Sequential):
    def forward(self, x):
        for module in reversed(list(self)):
            x = module(x)
        return x


def test_B54_what_a_sequential_with_a_forward_of_its_own_does_is_not_passed_over():
    between = Backwards(nn.Tanh(), nn.ReLU())
    model = lived_in(nn.Sequential(nn.Linear(3, 3), between, nn.BatchNorm1d(3)))
    folded = fold_with_warning(model, match="before it comes a Backwards")
    assert distance(folded, model, images(5, 3)) == 0


@pytest.mark.parametrize("inner", [False, True])
def test_B54_a_sequential_with_a_forward_of_its_own_says_nothing(inner):
    model, x = (
        lived_in(Backwards(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))),
        images(5, 3),
    )
    model = nn.Sequential(model).eval() if inner else model
    folded = fold_with_warning(model, match=RUN)
    assert distance(folded, model, x) == 0
    folded = nn.fold_batch_norm(model, x)
    assert folded.folding.folded == (("0.2", "0.1") if inner else ("2", "1"),)
    assert distance(folded, model, x) < 1e-5


def test_B54_what_the_example_s_run_draws_was_not_drawn():
    model, x = lived_in(Net(lambda net, x: net.bn(net.fc(x)) * mg.randn(3))), images(5, 3)
    mg.manual_seed(4)
    state = mg.get_rng_state()
    nn.fold_batch_norm(model, x)
    assert (mg.get_rng_state() == state).all()


class Scaled(nn.Linear):
    def forward(self, x):
        return super().forward(x).tanh()


class Doubled(nn.Linear):
    def forward(self, x):
        return (super().forward(x),) * 2


def test_B54_a_layer_that_returns_several_tensors_is_not_folded():
    class Both(nn.Module):
        def __init__(self):
            self.fc, self.bn = Doubled(3, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            y, _ = self.fc(x)
            return self.bn(y)

    model, x = lived_in(Both()), images(5, 3)
    folded = fold_with_warning(model, x, match="not bn: its input is not the output itself")
    assert distance(folded, model, x) == 0


class Called(nn.Linear):
    def __call__(self, x):
        return super().__call__(x).tanh()


def with_its_own_forward():
    layer = nn.Linear(3, 3)
    layer.forward = lambda x: F.linear(x, layer.weight).tanh()
    return layer


class Renamed(nn.Linear):
    def __init__(self, width):
        super().__init__(width, width)


@pytest.mark.parametrize("example", [False, True])
def test_B54_a_subclass_folds_unless_it_computes_something_else(example):
    x = images(5, 3)
    model = lived_in(nn.Sequential(Renamed(3), nn.BatchNorm1d(3)))
    folded = nn.fold_batch_norm(model, *[x] * example)
    assert type(folded[0]) is Renamed
    assert distance(folded, model, x) < 1e-5
    for layer in (Scaled(3, 3), Called(3, 3), with_its_own_forward()):
        model = lived_in(nn.Sequential(layer, nn.BatchNorm1d(3)))
        folded = fold_with_warning(model, *[x] * example)
        assert distance(folded, model, x) == 0
    assert "the Linear has a forward of its own" in str(folded.folding)


@pytest.mark.parametrize(
    ("before", "norm", "why"),
    [
        ([], nn.BatchNorm1d(3), "0: nothing is before it"),
        ([nn.ReLU()], nn.BatchNorm1d(3), "before it comes a ReLU, not a Linear, Conv1d"),
        ([nn.Linear(3, 4)], nn.BatchNorm1d(3), "a Linear, whose 4 outputs are not its channels"),
        ([nn.Conv2d(3, 3, 1)], nn.BatchNorm1d(3), "a Conv2d, whose 3 outputs are not"),
        ([nn.Linear(3, 3)], nn.BatchNorm2d(3), "a Linear, whose 3 outputs are not"),
        ([Block()], nn.BatchNorm2d(4), f"before it comes a Block, not .*: {RUN}"),
    ],
)
def test_B54_what_is_no_layer_of_these_channels_is_told(before, norm, why):
    folded = fold_with_warning(lived_in(nn.Sequential(*before, norm)), match=why)
    assert folded.folding.folded == ()
    assert str(len(before)) in folded.folding.left


# ---- the axis of the channels


@pytest.mark.parametrize(
    ("layer", "usual", "other"),
    [(nn.Linear(3, 3), (5, 3), (5, 3, 3)), (nn.Conv1d(2, 3, 1), (5, 2, 4), (2, 3))],
)
def test_B54_channels_on_another_axis_are_refused(layer, usual, other):
    """BatchNorm1d takes (N, C) and (N, C, L); these layers' outputs are the channels in one."""
    model = lived_in(nn.Sequential(layer, nn.BatchNorm1d(3)))
    usual, other = images(*usual), images(*other)
    for inputs in ((), (usual,)):
        folded = nn.fold_batch_norm(model, *inputs)
        assert distance(folded, model, usual) < 1e-5
        with pytest.raises(ShapeError, match=r"BatchNorm1d\(3\) was folded for inputs of .* anew"):
            folded(other)
    left = fold_with_warning(model, other, match="axes has other channels than")
    assert distance(left, model, other) == 0


def test_B54_instance_norm_takes_single_samples_folded_too():
    norm = nn.InstanceNorm2d(4, track_running_stats=True)
    model = lived_in(nn.Sequential(nn.Conv2d(3, 4, 2), norm))
    folded = nn.fold_batch_norm(model)
    for x in (images(2, 3, 5, 5), images(3, 5, 5)):
        assert distance(folded, model, x) < 1e-5


def test_B54_instance_norm_without_statistics_is_no_matter_of_folding():
    layers = nn.Conv2d(1, 4, 1), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)
    folded = nn.fold_batch_norm(lived_in(nn.Sequential(*layers)))
    assert folded.folding.left == {}
    assert isinstance(folded[1], nn.InstanceNorm2d)
