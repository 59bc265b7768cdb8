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
