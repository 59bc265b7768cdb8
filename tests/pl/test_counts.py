import numpy as np
from scipy import sparse

from unbatch import pl


def test_cells_and_genes_are_grouped_by_dominant_factor_the_purest_first(ax):
    counts = np.arange(20.0).reshape(5, 4)
    theta = np.array([[1, 2], [3, 1], [0, 5], [9, 1], [1, 1.5]])
    beta = np.array([[0.0, 1.0], [1.0, 0.5], [1.0, 0.0], [1.0, 3.0]])
    pl.counts_by_factor(sparse.csr_array(counts), theta, beta, ax=ax)
    shown = ax.images[0].get_array()
    expected = np.log1p(counts[[3, 1, 2, 0, 4]].T[[2, 1, 0, 3]])
    np.testing.assert_allclose(shown, expected)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]
    np.testing.assert_array_equal(ax.get_xticks(), [0.5, 3.0])
    assert [line.get_xdata()[0] for line in ax.lines] == [1.5, 0]
    assert "factor" in ax.get_xlabel()
    assert ax.figure.axes[1].get_ylabel() == "log(1 + counts)"


def test_a_factor_that_dominates_nothing_has_no_tick(ax):
    pl.counts_by_factor(
        sparse.csr_array(np.ones((2, 2))), np.array([[1.0, 0], [1, 0]]), np.array([[0.0, 1], [1, 0]]), ax=ax
    )
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
