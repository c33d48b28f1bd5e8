"""What GhostBatchNorm and BatchRenorm have of BatchNorm: evaluation, state, arguments, errors."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from batch_norm_helpers import (
    RANKS,
    assert_equal_at_every_order,
    assert_same_stats,
    derivatives,
    draw,
    host,
    leaf,
    module_for,
    run_module,
    stats_of,
    weighted,
    with_stats,
)

import minigrad as mg
import minigrad.nn as nn
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, ShapeError

OWN = {"GhostBatchNorm": ["virtual_batch_size"], "BatchRenorm": ["r_max", "d_max"]}
REQUIRED = {"GhostBatchNorm": (2,), "BatchRenorm": ()}  # arguments after the channels
MEAN, VAR = np.array([0.2, -0.5, 1.0]), np.array([0.4, 1.1, 3.0])  # of the running statistics
EMPTY = [(0, 3), (0, 3, 5), (4, 3, 0), (0, 3, 4, 2), (2, 3, 0, 2)]
WRONG = [("1d", (3,)), ("1d", (4, 5)), ("1d", (4, 3, 2, 2)),
         ("2d", (4, 3, 2)), ("2d", (4, 2, 3, 3)), ("3d", (4, 3, 2, 2))]  # fmt: skip
training = pytest.mark.parametrize("training", [True, False])


@pytest.fixture(params=OWN)
def family(request):
    """The name of the classes without their rank."""
    return request.param


def made(family, shape, **options):
    """A module with weights and running statistics that matter."""
    module = weighted(module_for(shape, *REQUIRED.get(family, ()), family=family, **options))
    return with_stats(module, MEAN, VAR) if module.track_running_stats else module


# ---- evaluation, and empty batches


def test_evaluation_is_batch_norm_bit_for_bit(family, shape, fused, device):
    x, dy = draw(shape, 1), draw(shape, 2)
    for tracked in (True, False) if family == "GhostBatchNorm" else (True,):
        found = []
        for each in (family, "BatchNorm"):
            options = {"fused": fused, "device": device, "track_running_stats": tracked}
            module = made(each, shape, **options).eval()
            before, t = module.state_dict(), leaf(x, device)
            y = module(t)
            gradients = mg.grad(y, [t, *module.parameters()], mg.tensor(dy, device=device))
            found.append([host(each).tobytes() for each in (y, *gradients)])
            for old, new in zip(before.values(), module.state_dict().values(), strict=True):
                assert host(old).tobytes() == host(new).tobytes()
        assert found[0] == found[1]


@training
@pytest.mark.parametrize("shape", EMPTY)
def test_an_empty_batch_is_empty_and_moves_nothing(family, shape, fused, device, training):
    module = made(family, shape, fused=fused, device=device).train(training)
    before = stats_of(module)
    y, dx, dgamma, dbeta = run_module(module, np.zeros(shape), np.zeros(shape))
    assert y.shape == dx.shape == shape
    np.testing.assert_array_equal([dgamma, dbeta], np.zeros((2, 3)))
    assert_same_stats(module, before)


# ---- with relu


@training
def test_relu_is_batch_norm_and_relu(family, shape, fused, device, training):
    found = []
    for relu in (True, False):
        module = made(family, shape, fused=fused, device=device, relu=relu).train(training)
        t = leaf(draw(shape, 1), device)
        y = module(t) if relu else F.relu(module(t))
        assert ("relu=True" in repr(module)) == relu
        found.append((derivatives(y, [t, *module.parameters()], 3), stats_of(module)))
    (joint, stats), (apart, same) = found
    assert (joint[0][0] == 0).any()
    assert (joint[0][0] > 0).any()
    assert_equal_at_every_order(joint, apart)
    np.testing.assert_array_equal(joint[0][0], apart[0][0])
    for a, b in zip(stats, same, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- state


def test_state_dicts_are_batch_norms_before_and_after_a_batch(family, device):
    module, base = (made(each, (6, 3), device=device) for each in (family, "BatchNorm"))
    assert list(module.state_dict()) == list(base.state_dict())
    module(mg.tensor(draw((6, 3)), device=device))
    base.load_state_dict(module.state_dict())
    x = mg.tensor(draw((4, 3), 5), device=device)
    np.testing.assert_array_equal(host(module.eval()(x)), host(base.eval()(x)))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_works_by_itself(family, copied):
    module = made(family, (6, 3))
    for name, value in zip(OWN[family], (4, 1.5), strict=False):
        setattr(module, name, value)
    module(leaf(draw((6, 3)))).sum().backward()
    other, before = copied(module), stats_of(module)
    assert [getattr(other, name) for name in OWN[family]] == [
        getattr(module, name) for name in OWN[family]
    ]
    x = mg.tensor(draw((6, 3), 1))
    y = host(other(x))
    assert_same_stats(module, before)
    np.testing.assert_array_equal(y, host(module(x)))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            lambda: nn.GhostBatchNorm2d(8, 4, momentum=None, bias=False),
            "GhostBatchNorm2d(8, virtual_batch_size=4, eps=1e-05, momentum=None, affine=True, "
            "track_running_stats=True, fused=True, bias=False)",
        ),
        (
            lambda: nn.BatchRenorm2d(8, momentum=0.01, bias=False, r_max=2),
            "BatchRenorm2d(8, eps=1e-05, momentum=0.01, affine=True, track_running_stats=True, "
            "fused=True, bias=False, r_max=2.0, d_max=5.0)",
        ),
    ],
)
def test_repr_has_the_options_in_their_order(module, text):
    assert repr(module()).startswith(text)


# ---- arguments and errors


def test_arguments_are_batch_norms_and_their_own(family):
    ours, theirs = (
        list(inspect.signature(getattr(nn, f"{each}2d")).parameters.values())
        for each in (family, "BatchNorm")
    )
    own = [p for p in ours if p.name in OWN[family]]
    assert [p.name for p in own] == OWN[family]
    assert own == ours[1:2] or {p.kind for p in own} == {inspect.Parameter.KEYWORD_ONLY}
    assert [p for p in ours if p not in own] == theirs


@pytest.mark.parametrize("options", [{"eps": -1.0}, {"momentum": 2.0}, {"eps": float("nan")}])
def test_options_of_batch_norm_are_checked(family, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        getattr(nn, f"{family}2d")(3, *REQUIRED[family], **options)


@training
@pytest.mark.parametrize(("rank", "shape"), WRONG)
def test_a_wrong_rank_or_number_of_channels_is_told(family, rank, shape, training):
    module = getattr(nn, family + rank)(3, *REQUIRED[family]).train(training)
    before = stats_of(module)
    with pytest.raises(ShapeError) as raised:
        module(mg.tensor(draw(shape)))
    for part in (f"{family}{rank}(3)", str(shape), module.layout):
        assert part in str(raised.value)
    assert_same_stats(module, before)


def test_integers_are_refused(family):
    with pytest.raises(DTypeError, match=f"{family}1d got int64"):
        getattr(nn, f"{family}1d")(3, *REQUIRED[family])(mg.tensor(np.ones((4, 3), np.int64)))


def test_the_classes_are_batch_norms_and_document_their_own_arguments(family):
    for rank in sorted(set(RANKS.values())):
        kind, base = getattr(nn, family + rank), getattr(nn, f"BatchNorm{rank}")
        assert issubclass(kind, base.__base__)
        assert all(name in kind.__doc__ for name in OWN[family])
