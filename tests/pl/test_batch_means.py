import numpy as np

from unbatch import pl


def test_every_gene_and_batch_is_a_dot_and_a_line_joins_the_batches(ax):
    rng = np.random.default_rng(4)
    true_mean = np.exp(rng.normal(size=(30, 1))) @ np.ones((1, 2))
    means = true_mean * np.array([1.0, 3.0])
    pl.batch_means(means, true_mean, batches=["a", "b"], title="observed", ax=ax)
    lines, first, second = ax.collections
    assert len(lines.get_segments()) == 30
    np.testing.assert_array_equal(first.get_offsets(), np.column_stack([true_mean[:, 0], means[:, 0]]))
    np.testing.assert_array_equal(second.get_offsets(), np.column_stack([true_mean[:, 1], means[:, 1]]))
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_title() == "observed: median fold between batches 3.00"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_gene_without_counts_in_a_batch_is_left_out_there_only(ax):
    means = np.array([[0.0, 2.0], [1.0, 1.0]])
    pl.batch_means(means, np.ones((2, 2)), batches=["a", "b"], title="t", ax=ax)
    assert [len(dots.get_offsets()) for dots in ax.collections[1:]] == [1, 2]
    assert len(ax.collections[0].get_segments()) == 1
    assert ax.get_title().endswith("1.00")
