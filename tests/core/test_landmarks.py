"""What is kept of states is what a slow sum over their cells gives."""

import numpy as np
from scipy import sparse

from unbatch.core.landmarks import Landmarks, StateShape, state_means
from unbatch.core.log_counts import LogCounts
from unbatch.core.states import States


def test_a_state_without_cells_has_the_shape_that_the_others_have_in_common():
    rng = np.random.default_rng(0)
    counts, code = sparse.csr_array(rng.poisson(2.0, size=(60, 12)).astype(np.float64)), np.repeat([0, 2], 30)
    batch, nothing = np.zeros(60, np.int32), np.zeros((3, 1))
    logs = LogCounts.of(counts, np.zeros((12, 1)), batch=batch, genes=np.ones(12, dtype=bool))
    basis = np.linalg.qr(rng.normal(size=(12, 3)))[0]
    where = logs.project(basis)
    states = States(code.astype(np.int32), nothing > 0, np.zeros((3, 3)), np.zeros(3, np.int32))
    shape = StateShape.of(logs, where, states, basis=basis)
    residual = where - np.stack([where[code == s].mean(axis=0) if s != 1 else np.zeros(3) for s in range(3)])[code]
    np.testing.assert_allclose(shape.spread[1], residual.T @ residual / 58)
    assert (shape.mean_logs[:, 1] == 0).all()
    assert (state_means(logs, states, basis=basis)[:, 1] == 0).all()


def test_shapes_are_those_of_a_slow_sum():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(2.0, size=(120, 30)).astype(np.float64))
    batch = rng.integers(0, 2, 120).astype(np.int32)
    code = rng.integers(0, 3, 120).astype(np.int32)
    logs = LogCounts.of(counts, np.zeros((30, 2)), batch=batch, genes=np.ones(30, dtype=bool))
    basis = np.zeros((30, 4))
    basis[:20] = np.linalg.qr(rng.normal(size=(20, 4)))[0]
    where = logs.project(basis)
    centres = np.stack([where[code == s].mean(axis=0) for s in range(3)])
    states = States(code, np.zeros((3, 2), bool), centres, np.zeros(3, np.int32))
    shape = StateShape.of(logs, where, states, basis=basis)
    dense = logs.dense(np.arange(120), genes=np.arange(30))
    for s in range(3):
        np.testing.assert_allclose(shape.mean_logs[:20, s], dense[code == s, :20].mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(shape.mean_logs[:, s].astype(float) @ basis, centres[s], rtol=1e-5)
    assert (shape.mean_logs[20:] == 0).all()
    scatter, freedom = [], []
    for s in range(3):
        groups = [where[(code == s) & (batch == k)] for k in range(2)]
        scatter.append(sum((g - g.mean(axis=0)).T @ (g - g.mean(axis=0)) for g in groups))
        freedom.append(sum(len(g) - 1 for g in groups))
    pooled = sum(scatter) / sum(freedom)
    for s in range(3):
        np.testing.assert_allclose(shape.spread[s], (scatter[s] + 4 * pooled) / (freedom[s] + 4), rtol=1e-9)
    within = sum(((dense[code == s, :20] - dense[code == s, :20].mean(axis=0)) ** 2).sum() for s in range(3)) / 120
    np.testing.assert_allclose(shape.noise, (within - np.trace(pooled)) / 16, rtol=1e-6)


def landmarks(cells, group):
    n_states, n_batches = cells.shape
    by_gene, by_state = np.zeros((1, n_batches)), np.zeros((1, n_states))
    return Landmarks(
        scale=1.0,
        noise=0.0,
        log_delta=by_gene,
        gene_shift=np.zeros(1),
        exposure=by_state,
        dispersion=np.ones(1),
        expression=np.ones(1),
        mean_logs=by_state.astype(np.float32),
        embedding_logs=by_state.astype(np.float32),
        centres=np.zeros((n_states, 1)),
        spread=np.zeros((n_states, 1, 1)),
        level=np.zeros(n_states, np.int32),
        level_names=(),
        cells=cells,
        sizes=cells,
        support=cells > 0,
        group=group,
    )


def test_the_rates_of_a_state_are_those_of_the_first_group_with_cells_there():
    cells = np.array([[9.0, 9, 2, 0, 0], [0, 0, 9, 9, 0], [0, 0, 0, 0, 5], [0, 3, 0, 0, 4]])
    whole = landmarks(cells, np.array([0, 0, 1, 1, -1]))
    assert whole.state_group.tolist() == [0, 1, -1, 0]
    assert whole.usable.tolist() == [True, True, False, True]
    cells = np.array([[5.0, 0.0, 3.0], [0.0, 4.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert landmarks(cells, np.array([1, 0, -1])).state_group.tolist() == [1, 0, -1, -1]


def test_of_one_group_only_the_states_with_its_rates_are_left():
    cells = np.array([[9.0, 9, 2, 0, 0], [0, 0, 9, 9, 0], [0, 0, 0, 0, 5]])
    whole = landmarks(cells, np.array([0, 0, 1, 1, -1]))
    first, second = whole.of_group(0), whole.of_group(1)
    assert first.state_group.tolist() == [0, -1, -1]
    assert second.state_group.tolist() == [-1, 1, -1]
    assert second.group.tolist() == [-1, -1, 1, 1, -1]
    assert second.cells[0].tolist() == [9, 9, 0, 0, 0]
