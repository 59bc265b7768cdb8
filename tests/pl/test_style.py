import numpy as np
import pytest

from unbatch.pl import _style


def test_forty_categories_look_different():
    styles = _style.category_styles(40)
    assert len(set(styles)) == 40
    assert len({colour for colour, _ in styles[:8]}) == 8
    assert {marker for _, marker in styles[:8]} == {"o"}


def test_dots_shrink_and_become_an_image_as_they_get_many():
    sizes = [_style.dot_size(n) for n in (0, 100, 3000, 10**7)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1.0
    assert not _style.rasterise(2000)
    assert _style.rasterise(2001)


def test_a_given_axes_is_used_and_none_makes_a_figure_of_the_wanted_size(ax):
    assert _style.given_or_new_axes(ax, figsize=(1, 1)) is ax
    new = _style.given_or_new_axes(None, figsize=(3.0, 2.0))
    assert new is not ax
    assert tuple(new.figure.get_size_inches()) == (3.0, 2.0)


def test_a_legend_names_every_level_until_there_are_too_many(ax):
    _style.legend_of_levels(ax, ["a", "b"], title="batch")
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "batch"
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_too_many_levels_for_a_legend_are_counted_in_the_title(ax):
    _style.legend_of_levels(ax, [f"donor {i}" for i in range(41)], title="donor")
    assert ax.get_legend() is None
    assert ax.get_title() == "donor (41 levels)"


def test_ink_is_dark_on_light_cells_and_light_on_dark_ones(ax):
    image = ax.imshow(np.array([[0.0, 1.0]]), cmap="viridis")
    _style.write_values(ax, image, [["low", "high"]])
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [("low", "white"), ("high", "black")]


@pytest.mark.parametrize(
    ("names", "angle"), [(["a", "b"], 0), (["CELseq2", "10x"] * 8, 45), ([f"donor {i}" for i in range(30)], 90)]
)
def test_names_of_columns_are_slanted_where_they_would_collide(ax, names, angle):
    _style.name_columns(ax, names)
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {angle}


def test_lines_are_dark_on_a_light_ground_and_light_on_a_dark_one(ax):
    assert _style.ink(ax) == "black"
    ax.set_facecolor("#222222")
    assert _style.ink(ax) == "white"
    ax.set_facecolor("none")
    ax.figure.set_facecolor("black")
    assert _style.ink(ax) == "white"
    assert "#000000" not in {colour for colour, _ in _style.category_styles(8, ink="white")}


def test_names_that_would_be_too_small_are_left_out_evenly(ax):
    names = [f"batch {i}" for i in range(200)]
    _style.name_rows(ax, names)
    shown = [label.get_text() for label in ax.get_yticklabels()]
    step = int(shown[1].split()[1])
    assert step > 1
    assert shown == names[::step]
    assert {label.get_fontsize() for label in ax.get_yticklabels()} == {6.0}


def test_of_very_many_dots_the_last_on_each_point_is_kept():
    x = np.array([0.0, 0.0, 1.0, 0.50001, 0.5])
    y = np.array([0.0, 0.0, 1.0, 0.50001, 0.5])
    assert _style.keep_pixels(x, y, above=4, grid=100).tolist() == [1, 2, 4]
    assert _style.keep_pixels(x, y, above=5).tolist() == [0, 1, 2, 3, 4]
    assert _style.keep_pixels(np.zeros(3), np.zeros(3), above=2).tolist() == [2]


def test_a_sentence_stands_where_nothing_is_to_be_drawn(ax):
    _style.say(ax, "nothing")
    assert [text.get_text() for text in ax.texts] == ["nothing"]
    assert not ax.axison


def test_a_figure_grows_by_its_legend_only():
    new = _style.given_or_new_axes(None, figsize=(3.0, 2.0))
    _style.legend_of_levels(new, ["a name of some length"], title="batch")
    _style.widen_for_legends(new)
    width, height = new.figure.get_size_inches()
    assert 3.0 < width < 5.0
    assert height == 2.0


def test_dots_of_a_legend_are_large_enough_to_show_their_colour(ax):
    ax.scatter([0], [0], s=1, alpha=0.1, label="tiny")
    ax.legend()
    _style.place_legend(ax)
    (handle,) = ax.get_legend().legend_handles
    assert handle.get_sizes()[0] >= 20
    assert handle.get_alpha() == 1
