from dataclasses import replace

import numpy as np
from scipy import sparse

from unbatch.core.diagnostics.sample import Sample, as_rows, squared, sums_by


def sample(seed=0, n_cells=700):
    rng = np.random.default_rng(seed)
    measured = np.ones((8, 4), dtype=bool)
    measured[5, 1] = measured[6, 3] = False
    batch = rng.integers(0, 3, n_cells).astype(np.int32)
    counts = rng.poisson(3, (n_cells, 8)) * measured[:, batch].T
    return Sample(
        counts=sparse.csr_array(counts.astype(np.float32)),
        batch=batch,
        state=rng.integers(-1, 2, n_cells).astype(np.int32),
        log_delta=rng.normal(0, 0.5, (8, 4)),
        measured=measured,
        n_states=2,
    )


def test_logs_are_of_adjusted_counts_at_one_scale():
    cells = sample()
    dense = cells.counts.toarray()
    assert cells.genes.tolist() == [True] * 5 + [False, True, True]  # the last batch has no cells here
    for corrected in (False, True):
        adjusted = dense / np.exp(cells.log_delta.T[cells.batch]) if corrected else dense
        size = adjusted[:, cells.genes].sum(axis=1)
        expected = np.log1p(cells.scale * adjusted / size[:, None])
        np.testing.assert_allclose(cells.logs(corrected=corrected).toarray(), expected, rtol=1e-6)
    raw = dense[:, cells.genes].sum(axis=1)
    assert cells.scale == 0.5 * min(np.median(raw[cells.batch == k]) for k in range(3))


def test_cells_are_counted_by_state_and_batch():
    cells = sample()
    assert cells.cells.shape == (2, 4)
    assert cells.cells[1, 2] == ((cells.state == 1) & (cells.batch == 2)).sum()
    assert cells.cells.sum() == (cells.state >= 0).sum()


def test_loud_genes_are_measured_everywhere_and_in_order():
    cells = sample()
    loud = cells.loud(3)
    assert loud.tolist() == sorted(loud)
    best = [gene for gene in np.argsort(-cells.totals) if gene != 5][:3]
    assert set(loud) == set(best)


def test_a_gene_with_one_count_is_loud_enough_and_one_without_any_is_not():
    counts = sparse.csr_array(np.array([[0.0, 1.0, 0.0], [3.0, 0.0, 0.0]]))
    some = replace(
        sample(),
        counts=counts,
        batch=np.zeros(2, np.int32),
        state=np.zeros(2, np.int32),
        log_delta=np.zeros((3, 1)),
        measured=np.ones((3, 1), dtype=bool),
    )
    assert some.loud(3).tolist() == [0, 1]


def test_sums_by_code():
    values = as_rows(np.arange(12.0).reshape(4, 3))
    code = np.array([1, -1, 0, 1])
    np.testing.assert_array_equal(
        sums_by(values, code, n_codes=3, genes=np.array([0, 2])), [[6.0, 8.0], [9.0, 13.0], [0.0, 0.0]]
    )
    np.testing.assert_array_equal(squared(values).toarray(), np.square(values.toarray()))
