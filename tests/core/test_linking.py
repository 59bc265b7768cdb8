"""Pseudobulks of the same type find each other before anything is corrected, and their contrasts are the effects."""

import numpy as np
import pytest

import unbatch as ub
from unbatch.core import linking
from unbatch.core.linking import link_pseudobulks

N_GENES, N_TYPES = 300, 8


class Data:
    """Pseudobulks of known type and batch with planted effects; not every batch has every type."""

    def __init__(self, seed=0, *, n_batches=3, sd=0.5):
        rng = np.random.default_rng(seed)
        profile = np.exp(rng.standard_normal(N_GENES) + 0.8 * rng.standard_normal((N_TYPES, N_GENES)))
        profile = profile / profile.sum(axis=1, keepdims=True)
        self.log_delta = sd * rng.standard_normal((N_GENES, n_batches))
        missing = {k: {k, (k + 1) % N_TYPES} for k in range(n_batches)}
        kinds = [
            (k, t) for k in range(n_batches) for t in range(N_TYPES) if t not in missing[k] for _ in range(4 + 3 * k)
        ]
        self.batch, self.type = np.array(kinds, dtype=np.int32).T
        self.size = rng.uniform(2e4, 6e4, len(kinds))
        wobble = np.exp(0.05 * rng.standard_normal((len(kinds), N_GENES)))
        mean = self.size[:, None] * profile[self.type] * np.exp(self.log_delta[:, self.batch].T) * wobble
        self.sums = rng.poisson(mean).astype(np.float64)
        logs = np.log(self.sums / self.size[:, None] * 1e4 + 1)
        for k in range(n_batches):
            logs[self.batch == k] -= logs[self.batch == k].mean(axis=0)
        self.basis = np.linalg.svd(logs, full_matrices=False)[2][: N_TYPES - 1].T

    def link(self, **changes):
        chosen = {"batch": self.batch, "basis": self.basis} | changes
        return link_pseudobulks(self.sums, self.size, **chosen)


@pytest.fixture(scope="module")
def data():
    return Data()


def centred(log_delta):
    contrasts = log_delta - log_delta.mean(axis=1, keepdims=True)
    return contrasts - np.median(contrasts, axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_join_the_same_types_before_anything_is_corrected(monkeypatch, seed):
    data = Data(seed)
    monkeypatch.setattr(linking, "_CALIPERS", (np.inf,))
    pairs = data.link().pairs
    same = data.type[pairs[:, 0]] == data.type[pairs[:, 1]]
    assert len(pairs) > 10
    assert same.mean() > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_the_caliper_leaves_pairs_of_the_same_type(seed):
    data = Data(seed)
    pairs = data.link().pairs
    same = data.type[pairs[:, 0]] == data.type[pairs[:, 1]]
    assert len(pairs) > 10
    assert same.mean() > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_first_effects_are_near_the_planted_ones(seed):
    data = Data(seed)
    truth, found = centred(data.log_delta), centred(data.link().log_delta)
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.95
    assert np.sum(truth * found) / np.sum(truth**2) == pytest.approx(0.95, abs=0.1)  # shrunk by the ridge


def test_the_median_gene_has_no_effect(data):
    np.testing.assert_allclose(np.median(data.link().log_delta, axis=0), 0, atol=1e-12)


def test_pairs_are_mutual_and_of_different_batches(data):
    links = data.link()
    p, q = links.pairs.T
    assert (data.batch[p] < data.batch[q]).all()
    for side, other in ((p, q), (q, p)):
        assert len(set(zip(side, data.batch[other], strict=True))) == len(side)  # one partner in each other batch


def test_mutual_pairs_equal_a_loop():
    rng = np.random.default_rng(1)
    where, batch = rng.normal(size=(60, 3)), rng.integers(0, 3, 60).astype(np.int32)
    level = rng.integers(0, 2, 60).astype(np.int32)

    def nearest(cell, k):
        others = np.flatnonzero((batch == k) & (level == level[cell]))
        return others[np.linalg.norm(where[others] - where[cell], axis=1).argmin()]

    expected = {
        (p, q)
        for p in range(60)
        for q in range(60)
        if batch[p] < batch[q] and level[p] == level[q] and nearest(p, batch[q]) == q and nearest(q, batch[p]) == p
    }
    found, far = linking._mutual(where, batch, level)
    assert {tuple(pair) for pair in found.tolist()} == expected

    reach = [np.sort(np.linalg.norm(where[batch == batch[p]] - where[p], axis=1))[3] for p in range(60)]
    near = {(p, q) for p, q in expected if np.linalg.norm(where[p] - where[q]) <= 0.8 * max(reach[p], reach[q])}
    assert 0 < len(near) < len(expected)
    assert {tuple(pair) for pair in found[far <= 0.8].tolist()} == near


def test_contrasts_equal_ridge_regression():
    rng = np.random.default_rng(2)
    log_rate, size = rng.normal(size=(12, 7)), rng.uniform(1, 5, 12)
    batch = np.repeat(np.arange(3), 4).astype(np.int32)
    pairs = np.array([[0, 4], [1, 5], [2, 8], [6, 9], [3, 10]])
    weight = np.array([1 / (1 / size[p] + 1 / size[q]) for p, q in pairs])
    weight /= weight.mean()
    design = np.zeros((5, 3))
    for row, (p, q) in enumerate(pairs):
        design[row, batch[p]], design[row, batch[q]] = 1, -1
    stacked = np.vstack([np.sqrt(weight)[:, None] * design, np.eye(3)])
    differences = np.array([log_rate[p] - log_rate[q] for p, q in pairs])
    target = np.vstack([np.sqrt(weight)[:, None] * differences, np.zeros((3, 7))])
    expected = np.linalg.lstsq(stacked, target, rcond=None)[0]
    np.testing.assert_allclose(linking._contrasts(log_rate, size, batch, pairs), expected, atol=1e-12)


def test_no_pair_joins_two_levels(data):
    level = (data.type % 2).astype(np.int32)
    pairs = data.link(level=level).pairs
    assert len(pairs)
    assert (level[pairs[:, 0]] == level[pairs[:, 1]]).all()


def test_batches_without_a_common_level_are_not_linked(data):
    links = data.link(level=data.batch)
    assert links.pairs.shape == (0, 2)
    np.testing.assert_array_equal(links.log_delta, 0)


def test_a_batch_of_one_pseudobulk_is_linked(data):
    batch = np.where(data.batch == 2, 1, data.batch).astype(np.int32)
    batch[-1] = 2
    links = data.link(batch=batch)
    assert links.log_delta.shape == (N_GENES, 3)
    assert np.isfinite(links.log_delta).all()


def test_two_batches_of_one_pseudobulk_each(data):
    links = link_pseudobulks(
        data.sums[[0, -1]], data.size[[0, -1]], batch=np.array([0, 1], dtype=np.int32), basis=data.basis
    )
    assert links.pairs.tolist() == [[0, 1]]
    assert np.isfinite(links.log_delta).all()


def test_genes_without_counts_get_no_effect(data):
    sums = data.sums.copy()
    sums[:, :7] = 0
    log_delta = link_pseudobulks(sums, data.size, batch=data.batch, basis=data.basis).log_delta
    assert np.isfinite(log_delta).all()
    assert np.abs(log_delta[:7]).max() < 0.1


def test_means_of_batches_are_weighted_by_size_and_relative_to_their_mean():
    rng = np.random.default_rng(0)
    log_rate, size = rng.normal(size=(7, 3)), rng.uniform(1, 5, 7)
    batch = np.array([0, 2, 0, 2, 2, 0, 2])
    found = linking._batch_means(log_rate, size, batch)
    means = np.stack([np.average(log_rate[batch == k], axis=0, weights=size[batch == k]) for k in (0, 2)])
    np.testing.assert_allclose(found[[0, 2]], means - means.mean(axis=0))


@pytest.mark.parametrize(
    ("at_once", "near", "chosen"),
    [
        ([1, 1], ([10, 10], [15, 15]), 0),
        ([1, 1], ([10, 10], [16, 16]), 1),
        ([2, 2], ([10, 10], [16, 16]), 0),
        ([1, 1], ([1, 1], [3, 3]), 0),
        ([0, 0], ([0, 0], [3, 3]), 1),
        ([5, 5, 1], ([20, 19, 1], [20, 22, 4]), 1),
        ([5, 5, 1], ([20, 20, 1], [18, 17, 4]), 0),
        ([5, 1, 2], ([20, 19, 1], [20, 22, 4]), 0),
        ([1, 1, 0], ([5, 11, 8], [8, 8, 8]), 0),
        ([1, 1, 0], ([5, 11, 8], [8, 11, 10]), 1),
    ],
)
def test_the_start_from_means_is_taken_if_a_batch_beyond_its_states_has_clearly_more_links(
    monkeypatch, data, at_once, near, chosen
):
    made = iter(
        linking.Links(np.zeros((0, 2), dtype=np.int64), np.zeros((1, 1)), np.array(links), np.array(at_once))
        for links in near
    )
    monkeypatch.setattr(linking, "_narrowed", lambda *_, **__: next(made))
    assert data.link().near.tolist() == near[chosen]


def test_links_at_once_are_those_within_the_narrowest_caliper_before_effects_are_found(data):
    found, far = linking._mutual(
        linking._log_rates(data.sums, data.size) @ data.basis, data.batch, np.zeros_like(data.batch)
    )
    near = found[far <= linking._CALIPERS[-1]]
    assert 0 < len(near) < len(found)
    assert data.link().at_once.tolist() == np.bincount(data.batch[near].ravel(), minlength=3).tolist()


FEW_TYPES = {"n_cells": 1500, "n_genes": 1000, "composition": 0.3, "marker_share": 0.3, "dispersion": 0.3}


@pytest.mark.parametrize(
    "options",
    [
        {"n_types": 2, "n_batches": 2, "median_depth": 4000, "marker_log_fold_sd": 0.7, "variation": 0.1, "seed": 37},
        {"n_types": 3, "n_batches": 4, "median_depth": 12000, "marker_log_fold_sd": 1.0, "variation": 0.3, "seed": 1},
    ],
)
def test_types_that_are_many_in_one_batch_each_are_not_taken_for_the_same(options):
    """Means of batches differ by these types; links of the rare cells of each in the other batch are right."""
    adata = ub.simulate(**FEW_TYPES, n_factors=2, log_delta_sd=0.4, **options)
    ub.tl.batch_effects(adata, batch_key="batch")
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > 200
    found, true = (centred(adata.varm[name])[loud] for name in ("batch_effects", "log_delta_true"))
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.15


MANY_TYPES = {"n_types": 8, "n_batches": 3, "composition": 0.5, "n_cells": 2000, "n_genes": 600}
STRONG = {"median_depth": 2000, "log_delta_sd": 1.0}
FEW_GENES = {"n_types": 3, "n_batches": 2, "n_cells": 800, "n_genes": 200}


@pytest.mark.parametrize(
    "options",
    [
        MANY_TYPES | STRONG | {"n_batches": 2, "seed": 2},
        MANY_TYPES | STRONG | {"n_types": 6, "variation": 1.0, "n_cells": 3000, "seed": 1},
        FEW_GENES | {"median_depth": 3000, "log_delta_sd": 0.6, "seed": 50},
    ],
)
def test_effects_that_move_a_batch_beyond_its_states_are_found(options):
    """All cells of a batch are nearest to the same few of the other, but not once the means are taken out."""
    adata = ub.simulate(**options)
    ub.tl.batch_effects(adata, batch_key="batch")
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > 200
    found, true = (centred(adata.varm[name])[loud] for name in ("batch_effects", "log_delta_true"))
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.2


def test_a_batch_that_the_narrowest_caliper_leaves_alone_keeps_the_pairs_of_the_one_before(monkeypatch, data):
    monkeypatch.setattr(linking, "_CALIPERS", (np.inf, 1.5))
    before = data.link()
    monkeypatch.setattr(linking, "_CALIPERS", (np.inf, 1.5, 0.0))
    after = data.link()
    assert len(before.pairs) > 10
    assert {tuple(pair) for pair in after.pairs} == {tuple(pair) for pair in before.pairs}
    np.testing.assert_allclose(after.log_delta, before.log_delta)


def test_pairs_beyond_any_caliper_are_not_kept(monkeypatch, data):
    """Where nothing is shared, the nearest are pairs of different types."""
    monkeypatch.setattr(linking, "_CALIPERS", (np.inf, 0.0))
    found = data.link()
    assert len(found.pairs) == 0
    assert not found.log_delta.any()


@pytest.mark.parametrize("seed", range(4))
def test_what_all_genes_have_in_common_is_taken_out_while_pairs_are_sought(seed):
    """Size factors of a batch that are off by a half are no reason for it to lose its counterparts."""
    data = Data(seed)
    off = np.where(data.batch == 1, 1.5, 1.0)
    found, expected = link_pseudobulks(data.sums, data.size * off, batch=data.batch, basis=data.basis), data.link()
    kept, all_of_it = ((data.batch[links.pairs] == 1).sum() for links in (found, expected))
    assert kept > all_of_it / 2
    np.testing.assert_allclose(centred(found.log_delta), centred(expected.log_delta), atol=0.3)
