"""The generator's state: 42 bytes that say all, and the seeds that it starts from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError
from minigrad.random import generator, seeded

DRAWS = {
    "normal": lambda: mg.randn(3),
    "uniform": lambda: mg.rand(2, dtype=mg.float16),
    "integers": lambda: mg.randint(0, 10, (3,)),
    "permutation": lambda: mg.randperm(7),
    "32 bits": lambda: generator().integers(0, 2**32, dtype=np.uint32),  # keeps half of a draw
    "float32": lambda: generator().random(3, dtype=np.float32),
}
draws = st.lists(st.sampled_from(sorted(DRAWS)), max_size=6)


def drawn(names):
    return [np.asarray(DRAWS[name]()).tolist() for name in names]


@given(st.integers(0, 2**70), draws, draws, st.booleans())
def test_a_state_goes_on_bit_for_bit_with_every_kind_of_draw(seed, before, after, as_array):
    mg.manual_seed(seed)
    drawn(before)
    state = mg.get_rng_state()
    expected = drawn(after)
    end = mg.get_rng_state().tolist()
    mg.manual_seed(seed + 1)
    DRAWS["32 bits"]()
    mg.set_rng_state(state.numpy() if as_array else state)
    assert mg.get_rng_state().tolist() == state.tolist()
    assert drawn(after) == expected
    assert mg.get_rng_state().tolist() == end


def test_the_half_of_a_32_bit_draw_is_part_of_the_state():
    first = DRAWS["32 bits"]()
    state = mg.get_rng_state()
    second = DRAWS["32 bits"]()
    mg.set_rng_state(state)
    assert DRAWS["32 bits"]() == second
    assert generator().bit_generator.state["has_uint32"] == 0
    assert first != second


def test_a_state_is_bytes_of_its_own(device):
    state = mg.get_rng_state()
    before = state.tolist()
    mg.randn(3)
    assert (state.dtype, state.shape, state.device) == (np.uint8, (42,), "cpu")
    assert state.tolist() == before
    mg.set_rng_state(state.to(device))
    assert mg.get_rng_state().tolist() == before


def broken(position, value):
    state = mg.get_rng_state().numpy().copy()
    state[position] = value
    return state


@pytest.mark.parametrize(
    ("state", "kind", "told"),
    [
        (lambda: {"state": 1}, DTypeError, "got a dict: give what mg.get_rng_state"),
        (lambda: [1, 2], DTypeError, "got a list"),
        (lambda: None, DTypeError, "got a NoneType"),
        (lambda: mg.get_rng_state().to(mg.int64), DTypeError, "got int64.*42 bytes of dtype uint8"),
        (lambda: mg.get_rng_state()[:-1], ShapeError, r"\(41,\).*\(42,\)"),
        (lambda: mg.get_rng_state()[None], ShapeError, r"\(1, 42\)"),
        (lambda: np.zeros(5056, np.uint8), ShapeError, r"\(5056,\)"),
        (lambda: np.zeros(42, np.uint8), ValueError, "no state of this generator"),
        (lambda: broken(0, 81), ValueError, "no state"),
        (lambda: broken(21, 2), ValueError, "no state"),
        (lambda: broken(37, 2), ValueError, "no state"),
    ],
)
def test_what_is_no_state_is_told_and_changes_nothing(state, kind, told):
    given_state = state()
    mg.randn(3)
    before = mg.get_rng_state().tolist()
    with pytest.raises(kind, match=told):
        mg.set_rng_state(given_state)
    assert mg.get_rng_state().tolist() == before


@pytest.mark.parametrize("seed", [True, 1.0, None, "1", [1], np.array(1), mg.tensor(1)])
def test_a_seed_that_is_no_integer_is_told(seed):
    before = mg.get_rng_state().tolist()
    with pytest.raises(TypeError, match=r"the seed was given as .*: give an integer of 0 or more"):
        mg.manual_seed(seed)
    assert mg.get_rng_state().tolist() == before


def test_a_negative_seed_is_told():
    with pytest.raises(ValueError, match="given as -1: it must be 0 or more"):
        mg.manual_seed(-1)


def test_numpys_integers_are_seeds_too():
    mg.manual_seed(7)
    state = mg.get_rng_state().tolist()
    mg.manual_seed(np.int32(7))
    assert mg.get_rng_state().tolist() == state


def test_seeds_of_several_numbers_make_streams_of_their_own():
    first = [seeded(seed).random() for seed in (0, [0, 1], [1, 0], (0, 1))]
    assert first[1] == first[3]
    assert len(set(first)) == 3
    for bad in ([], [0, True], [0, 1.0]):
        with pytest.raises(TypeError, match="the seed was given as"):
            seeded(bad)
    assert seeded(None) is generator()


@pytest.mark.parametrize("name", ["rand", "randn"])
def test_draws_like_another_tensor_have_its_shape_dtype_and_place(name, device):
    t = mg.ones(2, 3, dtype=mg.float64, device=device)
    mg.manual_seed(1)
    found = getattr(mg, f"{name}_like")(t)
    mg.manual_seed(1)
    assert found.tolist() == getattr(mg, name)(2, 3, dtype=mg.float64).tolist()
    assert (found.dtype, found.device) == (t.dtype, t.device)
    assert getattr(mg, f"{name}_like")(t, dtype=mg.float32).dtype == mg.float32
