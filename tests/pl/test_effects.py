import numpy as np

from unbatch import pl

LOG_DELTA = np.array([[0.1, -0.1], [2.0, -2.0], [-1.0, 1.0], [5.0, -5.0], [0.0, 0.0], [1.5, -1.5]])
SE = np.array([[0.01, 0.01], [0.1, 0.1], [0.1, 0.1], [3.0, 3.0], [np.inf, np.inf], [0.1, np.inf]])


def test_a_large_effect_of_few_counts_does_not_come_first():
    assert pl.strongest(LOG_DELTA, SE).tolist() == [1, 5, 2, 0, 3]
    assert pl.strongest(LOG_DELTA, SE, n_genes=2).tolist() == [1, 5]


def test_the_heat_map_is_in_log2_groups_by_batch_and_greys_the_unknown(ax):
    genes = [f"g{i}" for i in range(6)]
    assert pl.effects_heatmap(LOG_DELTA, SE, genes=genes, batches=["a", "b"], n_genes=3, ax=ax) is ax
    shown = ax.images[0].get_array()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["g1", "g5", "g2"]
    np.testing.assert_allclose(shown.filled(np.nan), [[2, -2], [1.5, np.nan], [-1, 1]] / np.log(2))
    low, high = ax.images[0].get_clim()
    assert -low == high == 2 / np.log(2)
    assert "log_2" in ax.figure.axes[1].get_ylabel()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_nothing_known_is_said_in_words(ax):
    pl.effects_heatmap(np.zeros((3, 2)), np.full((3, 2), np.inf), genes=list("abc"), batches=["a", "b"], ax=ax)
    assert [text.get_text() for text in ax.texts] == ["no batch effect is known"]
    assert not ax.images
