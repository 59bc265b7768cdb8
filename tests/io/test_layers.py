import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.io.layers import choose_layer, find_counts, look_like_counts


def _choose(layer, layers=(), *, has_x=True, has_raw=True):
    return choose_layer(layer, dict.fromkeys(layers), has_x=has_x, has_raw=has_raw, where="a.h5ad")


def test_each_matrix_has_a_name():
    assert _choose(None) == "X"
    assert _choose("X") == "X"
    assert _choose("raw") == "raw/X"
    assert _choose("raw.X") == "raw/X"
    assert _choose("counts", ["counts"]) == "layers/counts"


def test_a_layer_of_that_name_comes_first():
    assert _choose("raw", ["raw"]) == "layers/raw"
    assert _choose("raw.X", ["raw"]) == "raw/X"


def test_a_layer_that_cannot_be_told_from_x_is_refused():
    with pytest.raises(InputError, match="has an X and also a layer called 'X': rename the layer"):
        _choose("X", ["X"])
    assert _choose(None, ["X"]) == "X"
    assert _choose("X", ["X"], has_x=False) == "layers/X"


@pytest.mark.parametrize("layer", [None, "raw", "nothing"])
def test_what_is_not_there_lists_what_is(layer):
    with pytest.raises(InputError, match=r"a.h5ad has no .*: layer can be 'a', 'b'"):
        _choose(layer, ["a", "b"], has_x=False, has_raw=False)
    with pytest.raises(InputError, match="it holds no matrix at all"):
        _choose(layer, has_x=False, has_raw=False)


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([0, 1, 2], True),
        ([0.0, 3.0], True),
        ([0.5, 1], False),
        ([-1, 1], False),
        ([np.nan, 1], False),
        ([np.inf], False),
        ([0, 0], False),
        ([], False),
        (["1"], False),
    ],
)
def test_what_counts_look_like(values, answer):
    assert look_like_counts(values) is answer


def test_places_are_given_as_values_of_layer():
    peeks = {"X": lambda: [1], "raw/X": lambda: [2], "layers/x y": lambda: [3], "layers/norm": lambda: [0.5]}
    assert find_counts(peeks) == ("X", "raw", "x y")
