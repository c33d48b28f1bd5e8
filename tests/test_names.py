"""What is asked for under another name: each room says what to type."""

import importlib

import pytest

import minigrad as mg
from minigrad.synonyms import IN_ROOMS, SYNONYMS


@pytest.mark.parametrize(("room", "names"), IN_ROOMS.items())
def test_each_hint_is_for_a_name_that_is_not_there(room, names):
    found = importlib.import_module(room)
    for name, hint in names.items():
        with pytest.raises(AttributeError) as caught:
            getattr(found, name)
        assert str(caught.value) == f"{room} has no {name!r}: use {hint}"


@pytest.mark.parametrize("name", SYNONYMS)
def test_each_synonym_is_missing_somewhere(name):
    missing = [each for each in (mg, mg.ones(1)) if not hasattr(each, name)]
    assert missing, f"{name} exists: its hint is never read"


@pytest.mark.parametrize("room", IN_ROOMS)
def test_a_room_lists_what_it_offers_and_no_more(room):
    found = importlib.import_module(room)
    assert dir(found) == sorted(found.__all__)


def test_a_slip_of_the_pen_is_recognised():
    with pytest.raises(AttributeError, match=r"minigrad.nn has no 'Lineer': did you mean 'Linear'"):
        mg.nn.Lineer  # noqa: B018
    with pytest.raises(AttributeError, match=r"dir\(optim\) lists what it has"):
        mg.optim.Zzz  # noqa: B018
