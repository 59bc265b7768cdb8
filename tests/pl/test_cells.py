import numpy as np
import pytest
from matplotlib.colors import to_hex

from unbatch import pl
from unbatch._check import InputError
from unbatch.pl import _style


def test_every_cell_is_a_dot_in_the_colour_of_its_label(ax):
    rng = np.random.default_rng(5)
    coordinates = rng.normal(size=(30, 2))
    labels = np.repeat(["b", "a", "c"], 10)
    assert pl.cells(coordinates, labels.tolist(), title="type", ax=ax) is ax
    (dots,) = ax.collections
    drawn = {tuple(place): to_hex(colour).upper() for place, colour in zip(*_places(dots), strict=True)}
    colour = dict(zip("abc", _style.COLOURS, strict=False))
    assert drawn == {tuple(place): colour[label] for place, label in zip(coordinates, labels, strict=True)}
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "type"
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]


def test_the_labels_are_drawn_in_mixed_order(ax):
    labels = ["a"] * 50 + ["b"] * 50
    pl.cells(np.column_stack([np.arange(100.0), np.zeros(100)]), labels, title="t", ax=ax)
    order = np.asarray(ax.collections[0].get_offsets())[:, 0]
    assert 10 < (order[:50] < 50).sum() < 40


def test_numbers_in_names_sort_by_size_and_a_ninth_level_changes_the_marker(ax):
    labels = [f"type {i}" for i in range(1, 13)]
    pl.cells(np.zeros((12, 2)), labels, title="t", ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    assert [len(dots.get_offsets()) for dots in ax.collections] == [8, 4]


def colours_of(ax):
    """Colour of every dot by where it is along the first axis, and the names in the legend."""
    dots = [dot for drawn in ax.collections for dot in zip(*_places(drawn), strict=True)]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    return {float(place[0]): to_hex(rgba).upper() for place, rgba in dots}, names


def test_levels_take_their_colours_in_the_given_order_also_those_without_cells(ax):
    places = np.column_stack([np.arange(3.0), np.zeros(3)])
    pl.cells(places, ["mid", "late", "mid"], title="t", levels=["early", "mid", "late"], ax=ax)
    drawn, named = colours_of(ax)
    assert drawn == {0: _style.COLOURS[1], 1: _style.COLOURS[2], 2: _style.COLOURS[1]}
    assert named == ["mid", "late"]
    assert [to_hex(handle.get_color()).upper() for handle in ax.get_legend().legend_handles] == list(
        _style.COLOURS[1:3]
    )
    with pytest.raises(InputError, match=r"levels lack 1 labels that cells have \(first: 'late'"):
        pl.cells(places, ["mid", "late", "mid"], title="t", levels=["early", "mid"])


def test_levels_may_have_colours_of_their_own(ax):
    places = np.column_stack([np.arange(3.0), np.zeros(3)])
    pl.cells(places, ["a", "b", "c"], title="t", colours={"a": "#123456", "c": "red"}, ax=ax)
    assert colours_of(ax)[0] == {0: "#123456", 1: _style.COLOURS[1], 2: "#FF0000"}


def test_values_get_a_colour_bar_and_no_value_covers_the_others(ax):
    values = np.linspace(0, 1, 101)
    pl.cells_by_value(np.column_stack([values, -values]), values, title="overlap", ax=ax)
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_array(), np.asarray(dots.get_offsets())[:, 0])
    assert 10 < (dots.get_array()[:50] < 0.5).sum() < 40
    assert ax.figure.axes[1].get_ylabel() == "overlap"


def test_cells_without_a_value_are_grey_and_those_without_a_place_left_out(ax):
    places = np.array([[0.0, 0], [1, 1], [2, 2], [np.nan, 3]])
    pl.cells_by_value(places, np.array([0.0, np.nan, 1.0, 1.0]), title="v", ax=ax)
    (dots,) = ax.collections
    ax.figure.draw_without_rendering()
    colour = {place[0]: to_hex(rgba) for place, rgba in zip(*_places(dots), strict=True)}
    assert colour.keys() == {0, 1, 2}
    assert colour[1].upper() == _style.MISSING
    pl.cells(places, list("abcd"), title="t", ax=ax)
    assert len(ax.collections[-1].get_offsets()) == 3


def _places(dots):
    return np.asarray(dots.get_offsets()), dots.get_facecolors()


def test_a_million_cells_are_one_image_and_only_those_that_are_seen_are_drawn(ax):
    rng = np.random.default_rng(0)
    places = rng.normal(size=(1_000_000, 2))
    labels = np.array(["a", "b"], dtype=object)[rng.integers(0, 2, 1_000_000)]
    pl.cells(places, labels, title="batch", ax=ax)
    (dots,) = ax.collections
    assert dots.get_rasterized()
    assert 100_000 < len(dots.get_offsets()) < 500_000
    assert np.ptp(np.asarray(dots.get_offsets()), axis=0) == pytest.approx(np.ptp(places, axis=0), rel=0.01)
