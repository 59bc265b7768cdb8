"""Axes are those within batches, and states hold the cells of all batches but those that lie apart."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core import states as states_module
from unbatch.core.keyed import evenly, keys_by_place, keys_of
from unbatch.core.log_counts import LogCounts
from unbatch.core.states import States, batch_pseudobulks, find_states, state_basis

N_CELLS, N_GENES = 200, 40


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def counts(rng):
    return sparse.csr_array(rng.poisson(1.5 * np.exp(rng.standard_normal(N_GENES)), (N_CELLS, N_GENES)).astype(float))


@pytest.fixture
def batch(rng):
    return rng.integers(0, 3, N_CELLS).astype(np.int32)


# axes


@pytest.fixture
def logs(counts, batch):
    return LogCounts.of(counts, np.zeros((N_GENES, 3)), batch=batch, genes=np.ones(N_GENES, dtype=bool))


def log_counts(values, batch):
    """Log counts that are these values: counts of size and scale 1."""
    counts, genes = sparse.csr_array(np.expm1(values)), np.ones(values.shape[1], dtype=bool)
    return LogCounts(counts, batch, np.zeros((values.shape[1], 3)), genes, np.ones(len(values)), 1.0)


def test_the_basis_holds_the_principal_axes_within_batches(rng, batch):
    direction = np.linalg.qr(rng.standard_normal((N_GENES, 2)))[0]
    values = 5 + rng.standard_normal((N_CELLS, 2)) @ (direction * [3, 2]).T + 0.1 * rng.standard_normal((N_CELLS, 40))
    shifted = values + 10 * rng.standard_normal((3, N_GENES))[batch]
    options = {"batch": batch, "genes": np.ones(N_GENES, dtype=bool), "n_dims": 2, "n_genes": N_GENES}
    basis = state_basis(log_counts(shifted, batch), **options)
    np.testing.assert_allclose(np.linalg.svd(direction.T @ basis, compute_uv=False), 1, atol=1e-3)
    residual = values - np.stack([values[batch == k].mean(axis=0) for k in range(3)])[batch]
    expected = np.linalg.svd(residual, full_matrices=False)[2][:2]
    np.testing.assert_allclose(np.abs(np.sum(expected.T * basis, axis=0)), 1, atol=1e-9)


def test_the_basis_is_orthonormal_and_zero_outside_the_allowed_genes(rng, logs, batch):
    genes = rng.random(N_GENES) < 0.7
    basis = state_basis(logs, batch=batch, genes=genes, n_dims=5, n_genes=20)
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)
    assert not basis[~genes].any()
    assert np.any(basis != 0, axis=1).sum() == 20


def test_the_most_variable_genes_take_part(logs, batch):
    basis = state_basis(logs, batch=batch, genes=np.ones(N_GENES, dtype=bool), n_dims=2, n_genes=10)
    dense = logs.dense(np.arange(N_CELLS), genes=np.arange(N_GENES))
    residual = dense - np.stack([dense[batch == k].mean(axis=0) for k in range(3)])[batch]
    expected = np.argsort(-np.square(residual).sum(axis=0))[:10]
    np.testing.assert_array_equal(np.flatnonzero(np.any(basis != 0, axis=1)), np.sort(expected))


def test_shifts_of_batches_do_not_move_the_basis(rng, logs, batch):
    options = {"batch": batch, "genes": np.ones(N_GENES, dtype=bool), "n_dims": 3, "n_genes": N_GENES}
    shifted = logs.dense(np.arange(N_CELLS), genes=np.arange(N_GENES)) + 3 * rng.random((3, N_GENES))[batch]
    before, after = state_basis(logs, **options), state_basis(log_counts(shifted, batch), **options)
    np.testing.assert_allclose(np.abs(before), np.abs(after), atol=1e-8)


def test_blocks_of_cells_and_genes_change_nothing(logs, batch, monkeypatch):
    options = {"batch": batch, "genes": np.ones(N_GENES, dtype=bool), "n_dims": 3, "n_genes": 30}
    whole = state_basis(logs, **options)
    monkeypatch.setattr(states_module, "_ROWS", 17)
    monkeypatch.setattr(states_module, "_COLUMNS", 7)
    np.testing.assert_allclose(state_basis(logs, **options), whole, atol=1e-10)


@pytest.mark.parametrize("rows", [N_CELLS, 17])
def test_axes_of_many_cells_are_those_of_some_that_are_drawn(logs, batch, monkeypatch, rows):
    genes = np.arange(N_GENES)
    monkeypatch.setattr(states_module, "_MOST_CELLS", N_CELLS // 3 + 1)
    monkeypatch.setattr(states_module, "_ROWS", rows)
    basis = state_basis(logs, batch=batch, genes=np.ones(N_GENES, dtype=bool), n_dims=3, n_genes=N_GENES)
    drawn = evenly(keys_of(logs.counts), N_CELLS // 3 + 1)
    some = log_counts(logs.dense(drawn, genes=genes), batch[drawn])
    expected = state_basis(some, batch=batch[drawn], genes=np.ones(N_GENES, dtype=bool), n_dims=3, n_genes=N_GENES)
    np.testing.assert_allclose(np.abs(basis), np.abs(expected), atol=1e-8)


# pseudobulks


def test_pseudobulks_hold_cells_of_one_batch_and_level(rng, batch):
    level, where = rng.integers(0, 2, N_CELLS).astype(np.int32), rng.normal(size=(N_CELLS, 4))
    code, first = batch_pseudobulks(where, batch=batch, level=level, keys=keys_by_place(len(where)), seed=0)
    assert sorted(set(code.tolist())) == list(range(len(first)))
    np.testing.assert_array_equal(code[first], np.arange(len(first)))
    np.testing.assert_array_equal(batch[first][code], batch)
    np.testing.assert_array_equal(level[first][code], level)


@pytest.mark.parametrize(("n_cells", "n_groups"), [(1, 1), (3, 1), (8, 2), (40, 5), (300, 10), (3000, 60)])
def test_pseudobulks_hold_some_tens_of_cells(rng, n_cells, n_groups):
    nothing = np.zeros(n_cells, dtype=np.int32)
    _, first = batch_pseudobulks(
        rng.normal(size=(n_cells, 2)), batch=nothing, level=nothing, keys=keys_by_place(n_cells), seed=0
    )
    assert len(first) == n_groups


# states


def cloud(rng, centre, n, sd=1.0):
    return np.asarray(centre) + sd * rng.normal(size=(n, len(centre)))


def three_groups(rng):
    """Three groups of cells; batch 2 has the first two only, and batch 0 is shifted a little everywhere."""
    parts = [
        (cloud(rng, centre, 60) + 0.5 * (k == 0), k, group)
        for group, centre in enumerate([(0, 0, 0), (30, 0, 0), (0, 30, 0)])
        for k in range(3)
        if (k, group) != (2, 2)
    ]
    where = np.concatenate([part for part, _, _ in parts])
    batch = np.repeat([k for _, k, _ in parts], 60).astype(np.int32)
    return where, batch, np.repeat([group for _, _, group in parts], 60)


def found_states(where, batch, n_states=3, caliper=3.0, **changes):
    keys = keys_by_place(len(where))
    return find_states(
        where, batch=batch, n_batches=3, n_states=n_states, caliper=caliper, keys=keys, seed=0, **changes
    )


def test_states_are_shared_by_the_batches(rng):
    where, batch, group = three_groups(rng)
    states = found_states(where, batch, start=group.astype(np.int32))
    np.testing.assert_array_equal(states.code, group)
    assert states.n_states == 3
    assert not states.apart.any()
    expected = np.stack([where[group == g].mean(axis=0) for g in range(3)])
    np.testing.assert_allclose(states.centres, expected)
    np.testing.assert_array_equal(states.level, 0)


def test_a_batch_that_lies_apart_within_a_state_is_parted(rng):
    where, batch, group = three_groups(rng)
    where[(group == 0) & (batch == 2)] += [0, 0, 4]
    states = found_states(where, batch, start=group.astype(np.int32))
    np.testing.assert_array_equal(np.argwhere(states.apart), [[0, 2]])
    assert not found_states(where, batch, start=group.astype(np.int32), caliper=10.0).apart.any()


def test_the_caliper_is_in_standard_deviations_along_the_line(rng):
    """A shift along a direction in which each batch's cells spread wide is an overlap."""
    wide = np.array([1, 1, 4.0])
    where = np.concatenate([rng.normal(size=(200, 3)), cloud(rng, (0, 0, 2), 200)]) * wide
    batch = np.repeat([0, 1], 200).astype(np.int32)
    assert not found_states(where, batch, n_states=1).apart.any()
    narrow = np.concatenate([rng.normal(size=(200, 3)), cloud(rng, (0, 0, 8), 200)])
    assert found_states(narrow, batch, n_states=1).apart[0, :2].all()


def test_parting_equals_a_loop(rng):
    where, batch = rng.normal(size=(120, 4)), rng.integers(0, 3, 120).astype(np.int32)
    where += 0.8 * rng.normal(size=(3, 4))[batch]
    for caliper in (0.5, 1.0, 1.5):
        residual = where - np.stack([where[batch == k].mean(axis=0) for k in range(3)])[batch]
        spread = residual.T @ residual / (120 - 3)
        expected = []
        for k in range(3):
            line = where[batch == k].mean(axis=0) - where[batch != k].mean(axis=0)
            length = np.linalg.norm(line)
            expected.append(length > caliper * np.sqrt(line @ spread @ line) / length)
        np.testing.assert_array_equal(found_states(where, batch, n_states=1, caliper=caliper).apart[0], expected)


def test_a_handful_of_cells_is_parted_only_by_a_wide_gap(rng):
    batch = np.array([0, 0, 1, 1], dtype=np.int32)
    near = rng.normal(size=(4, 3))
    assert not found_states(near, batch, n_states=1, caliper=10.0).apart.any()
    far = near + 500 * batch[:, None]
    assert found_states(far, batch, n_states=1, caliper=10.0).apart[0, :2].all()


def test_the_centre_of_a_single_cell_is_the_cell(rng):
    where = np.concatenate([rng.normal(size=(20, 3)), [[50.0, 60.0, 70.0]]])
    states = found_states(where, np.zeros(21, np.int32), n_states=2, start=np.repeat([0, 1], [20, 1]).astype(np.int32))
    np.testing.assert_allclose(states.centres, [where[:20].mean(axis=0), where[20]])


def test_coinciding_cells_make_one_state(rng):
    states = found_states(np.ones((30, 3)), rng.integers(0, 3, 30).astype(np.int32), n_states=5)
    assert states.n_states == 1
    np.testing.assert_array_equal(states.code, 0)


def test_states_of_a_kind_lie_near_to_each_other(rng):
    middle = 20 * np.eye(5, 8)[np.repeat(np.arange(5), 8)]
    order = rng.permutation(40)
    centres = (middle + rng.normal(size=(40, 8)))[order]
    nothing = np.zeros(0, dtype=np.int32)
    states = States(nothing, np.zeros((40, 2), dtype=bool), centres, np.zeros(40, dtype=np.int32))
    kind, true = states.kinds(), np.repeat(np.arange(5), 8)[order]
    assert kind.min() == 0
    assert kind.max() == 4
    assert all(len(np.unique(kind[true == one])) == 1 for one in range(5))


@pytest.mark.parametrize(("n_states", "n_kinds"), [(1, 1), (3, 3), (4, 3), (24, 3), (36, 4), (40, 5)])
def test_there_are_three_kinds_at_least(rng, n_states, n_kinds):
    nothing = np.zeros(0, dtype=np.int32)
    level = np.zeros(n_states, dtype=np.int32)
    kind = States(nothing, np.zeros((n_states, 2), dtype=bool), rng.normal(size=(n_states, 4)), level).kinds()
    np.testing.assert_array_equal(np.unique(kind), np.arange(n_kinds))


def test_cells_go_to_the_nearest_state_of_their_level(rng):
    centres, level = rng.normal(size=(8, 3)), rng.integers(0, 2, 8).astype(np.int32)
    states = States(np.zeros(0, dtype=np.int32), np.zeros((8, 2), dtype=bool), centres, level)
    where, mine = rng.normal(size=(50, 3)), rng.integers(0, 2, 50).astype(np.int32)
    expected = [
        min(np.flatnonzero(level == own), key=lambda s, cell=cell: np.linalg.norm(centres[s] - cell))
        for cell, own in zip(where, mine, strict=True)
    ]
    np.testing.assert_array_equal(states.nearest(where, mine), expected)
