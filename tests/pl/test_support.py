import numpy as np

from unbatch import pl


def test_support_shows_the_pairs_and_leaves_the_diagonal_grey(ax):
    support = np.array([[1.0, 0.25], [0.75, 1.0]])
    assert pl.support_heatmap(support, batches=["a", "b"], ax=ax) is ax
    shown = ax.images[0].get_array()
    assert shown.mask.tolist() == [[True, False], [False, True]]
    assert [text.get_text() for text in ax.texts] == ["", "0.25", "0.75", ""]
    assert ax.get_ylabel() == "cells of batch"
    assert ax.images[0].get_clim() == (0, 1)


def test_support_of_many_batches_has_no_numbers(ax):
    pl.support_heatmap(np.ones((13, 13)), batches=[f"donor {i}" for i in range(13)], ax=ax)
    assert not ax.texts


def test_balance_is_zero_where_a_sample_mirrors_the_data_and_cut_where_a_batch_is_absent(ax):
    cell_counts = np.array([[10.0, 0.0, 5.0, 0.0], [10.0, 0.0, 0.0, 5.0]])
    pl.balance_heatmap(cell_counts, batches=["a", "b"], ax=ax)
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 1, -3], [0, -3, 1]])
    assert ax.get_xlabel().startswith("3 pseudobulk samples")
    assert ax.figure.axes[1].get_ylabel().endswith("(log2)")


def test_where_there_is_nothing_to_draw_it_is_said(ax):
    pl.balance_heatmap(np.zeros((2, 3)), batches=["a", "b"], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["no cell took part"]
    empty = pl.state_heatmap(np.zeros((0, 2)), states=[], batches=["a", "b"])
    assert [text.get_text() for text in empty.texts] == ["no state is known"]
