"""One array, a list or a dictionary of arrays: taken apart, named in a file, put together."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome.datasets.structure import (
    Structure,
    count,
    gathered,
    mapped,
    named,
    rebuilt,
    spread,
    taken,
)
from velodrome.errors import UserError

SAMPLES = 5
ARRAYS = st.integers(0, 100).map(lambda first: np.arange(first, first + SAMPLES))
# All digits would be numbers of a list.
NAMES = st.text(min_size=1).filter(lambda name: not name.isdecimal())
STRUCTURES = st.one_of(
    ARRAYS,
    st.lists(ARRAYS, min_size=1, max_size=12),
    st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=4),
)


def same(one: Any, other: Any) -> bool:
    """Type, names, their order and values."""
    apart, other_apart = (list(named(each).items()) for each in (one, other))
    return type(one) is type(other) and all(
        name == other_name and np.array_equal(array, other_array)
        for (name, array), (other_name, other_array) in zip(apart, other_apart, strict=True)
    )


@given(STRUCTURES)
def test_it_is_rebuilt_as_it_was(structure: Structure) -> None:
    assert same(rebuilt(named(structure)), structure)
    assert count(structure) == SAMPLES


@given(STRUCTURES)
def test_samples_are_taken_from_every_array(structure: Structure) -> None:
    order = np.array([3, 0])
    part = taken(structure, order)
    assert same(part, mapped(lambda array: np.array([array[3], array[0]]), structure))
    assert count(part) == 2


@given(STRUCTURES, st.randoms(use_true_random=False))
def test_a_file_holds_it_by_name(structure: Structure, random: Any) -> None:
    flat = list(spread(structure, "x").items())
    assert same(rebuilt(gathered(dict(flat))["x"]), structure)
    if isinstance(structure, list):  # numbers say the order, not the place in the file
        random.shuffle(flat)
        assert same(rebuilt(gathered(dict(flat))["x"]), structure)


def test_tuples_of_arrays_are_several_and_lists_of_numbers_one() -> None:
    one, two = np.zeros(3), np.ones((3, 2))
    assert list(spread((one, two), "x")) == ["x/0", "x/1"]
    assert list(spread([one, [1, 2, 3]], "x")) == ["x/0", "x/1"]
    assert list(spread({"a": [1, 2, 3]}, "x")) == ["x/a"]
    for numbers in ([1, 2, 3], [[1, 2], [3, 4]], ((1, 2), (3, 4)), [np.float64(1), np.float64(2)]):
        assert spread(numbers, "y") == {"y": numbers}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": {"b": np.zeros(3)}}, "^x/a is a dict of arrays"),
        ([np.zeros(3), [np.zeros(3), np.zeros(3)]], "^x/1 is a list of arrays"),
        ([(np.zeros(3), np.zeros(3))], "^x/0 is a tuple of arrays"),
        ({0.5: np.zeros(3)}, "an array named 0.5; a name is a text"),
        ({"": np.zeros(3)}, "an array named ''"),
    ],
)
def test_what_is_deeper_or_has_no_name_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        spread(given, "x")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["x", "x/0"], "^x is one array and several: x, x/0$"),
        (["y/0", "y/2"], "^y/0, y/2: numbers must run from 0 on$"),
    ],
)
def test_names_in_a_file_that_fit_nothing_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        gathered(dict.fromkeys(names, np.zeros(3)))
