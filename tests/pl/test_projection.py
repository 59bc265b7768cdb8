import numpy as np

from unbatch import pl


def test_the_table_holds_the_correlation_of_each_dimension_with_each_batch(ax):
    rng = np.random.default_rng(1)
    batch = rng.integers(0, 3, 60).astype(np.int32)
    values = rng.normal(size=(60, 4)) + (batch == 1)[:, None] * np.array([3.0, -3.0, 0.0, 0.0])
    assert pl.correlation_table(values, batch, batches=["a", "b", "c"], ax=ax) is ax
    shown = ax.images[0].get_array()
    expected = [[np.corrcoef(values[:, d], batch == k)[0, 1] for d in range(4)] for k in range(3)]
    np.testing.assert_allclose(shown, expected, atol=1e-12)
    assert ax.images[0].get_clim() == (-1, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Q1", "Q2", "Q3", "Q4"]
    assert [text.get_text() for text in ax.texts][:4] == [f"{value:.2f}" for value in expected[0]]
    assert ax.get_xlabel()
    assert ax.get_ylabel() == "batch"


def test_a_correlation_of_rounding_errors_is_written_as_one(ax):
    batch = np.array([0, 0, 1, 1], dtype=np.int32)
    values = np.array([[1.0], [-1.0], [1.0], [-1.0 + 4e-15]])
    pl.correlation_table(values, batch, batches=["a", "b"], ax=ax)
    assert all("e-1" in text.get_text() for text in ax.texts)


def test_without_variation_the_correlation_is_zero(ax):
    pl.correlation_table(np.ones((4, 2)), np.array([0, 0, 1, 1], dtype=np.int32), batches=["a", "b"], ax=ax)
    assert (ax.images[0].get_array() == 0).all()
