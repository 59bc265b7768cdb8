import numpy as np

from unbatch.demo.drawing import map_grid


def test_two_maps_side_by_side_in_one_row_per_colouring():
    maps = [np.random.default_rng(i).normal(size=(20, 2)) for i in range(2)]
    figure = map_grid(maps, {"batch": ["a", "b"] * 10, "line": ["x"] * 20}, title="all of it")
    assert figure.get_suptitle() == "all of it"
    assert [ax.get_title() for ax in figure.axes] == ["before adjustment", "after adjustment"] * 2
    for ax, places in zip(figure.axes, maps * 2, strict=True):
        np.testing.assert_allclose(np.sort(ax.collections[0].get_offsets(), axis=0), np.sort(places, axis=0))
    assert [ax.get_legend().get_title().get_text() for ax in figure.axes[1::2]] == ["batch", "line"]
    assert [ax.get_legend() for ax in figure.axes[::2]] == [None, None]
