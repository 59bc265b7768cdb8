import numpy as np
from matplotlib.colors import to_hex
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from unbatch import pl
from unbatch.pl import _style

LOG_DELTA = np.array([[0.1, -0.1], [2.0, -2.0], [-1.0, 1.0], [5.0, -5.0], [0.0, 0.0], [1.5, -1.5]])
SE = np.array([[0.01, 0.01], [0.1, 0.1], [0.1, 0.1], [3.0, 3.0], [np.inf, np.inf], [0.1, np.inf]])


def test_a_large_effect_of_few_counts_does_not_come_first():
    assert pl.strongest_genes(LOG_DELTA, SE).tolist() == [1, 5, 2, 0, 3]
    assert pl.strongest_genes(LOG_DELTA, SE, n_genes=2).tolist() == [1, 5]


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


def test_the_volcano_shows_every_known_effect_and_colours_the_sure_ones_by_batch(ax):
    genes = [f"g{i}" for i in range(6)]
    assert pl.effects_volcano(LOG_DELTA, SE, genes=genes, batches=["a", "b"], n_genes=3, ax=ax) is ax
    known = np.isfinite(SE)
    drawn = np.concatenate([np.asarray(dots.get_offsets()) for dots in ax.collections])
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(LOG_DELTA[known] / np.log(2)))
    p = 2 * ndtr(-np.abs(LOG_DELTA[known] / SE[known]))
    up = -np.log10(false_discovery_control(p))
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(np.minimum(up, 50)))
    colours = [to_hex(dots.get_facecolor()[0]).upper() for dots in ax.collections]
    assert colours[0] == _style.NEUTRAL.upper()
    assert set(colours[1:]) == set(_style.COLOURS[:2])
    assert {text.get_text() for text in ax.texts} <= set(genes)
    assert "g1" in {text.get_text() for text in ax.texts}
    assert ax.get_title() == f"{int((up > -np.log10(0.05)).sum())} of 9 effects with q < 0.05 (dashed)"


def test_effects_beyond_the_rim_are_triangles_on_it(ax):
    pl.effects_volcano(np.array([[3.0], [0.2]]), np.array([[0.1], [0.1]]), genes=["x", "y"], batches=["a"], ax=ax)
    heights = np.concatenate([np.asarray(dots.get_offsets())[:, 1] for dots in ax.collections])
    assert heights.max() == 50
    assert "at most 50" in ax.get_ylabel()


def test_many_batches_are_named_with_their_gene(ax):
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(20, 9))
    pl.effects_volcano(
        effects, np.full((20, 9), 0.1), genes=[f"g{i}" for i in range(20)], batches=[f"b{k}" for k in range(9)], ax=ax
    )
    assert ax.get_legend() is None
    assert all(" · b" in text.get_text() for text in ax.texts)


def test_two_batches_whose_places_share_a_colour_are_named_with_their_gene(ax):
    effects = np.random.default_rng(0).normal(size=(20, 2))
    genes = [f"g{i}" for i in range(20)]
    pl.effects_volcano(effects, np.full((20, 2), 0.1), genes=genes, batches=["b0", "b8"], places=[0, 8], ax=ax)
    assert ax.get_legend() is None
    assert all(" · b" in text.get_text() for text in ax.texts)


def test_a_reference_is_not_drawn(ax):
    pl.effects_volcano(np.array([[0.0, 1.0]]), np.array([[0.0, 0.2]]), genes=["x"], batches=["a", "b"], ax=ax)
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 1
