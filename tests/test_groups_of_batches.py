"""Batches that cannot be compared with all others: rates, states, errors and adjusted counts stay consistent."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import unbatch as ub
from unbatch.core.reference import Reference
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.source import open_counts
from unbatch.ranking import rank_genes
from unbatch.report.reading import read_fitted

pytestmark = pytest.mark.filterwarnings("ignore::unbatch.InputWarning")

N_GENES, N_TYPES, N_CELLS = 250, 6, 300
RNG = np.random.default_rng(0)
TYPES = np.exp(RNG.normal(0, 1.2, (N_TYPES + 2, N_GENES)))
TYPES[N_TYPES:] *= np.exp(RNG.normal(0, 3, (2, N_GENES)))
"""Two more types, of which no other batch has a cell."""


def cells(log_effect, seed, types=range(N_TYPES), n_cells=N_CELLS):
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(types), n_cells)
    rate = TYPES[kind] * np.exp(log_effect)
    return rng.poisson(1500 * rate / TYPES[kind].sum(axis=1, keepdims=True)).astype(np.float32)


def effect(sd, seed):
    return np.random.default_rng(seed).normal(0, sd, N_GENES)


def spread_of_expected(fit, counts, labels, batch):
    """Standard deviation over genes of log observed over expected counts of a batch, by rates, effects and sizes."""
    k = fit.batches.index(batch)
    mine = np.flatnonzero((labels == batch) & (fit.sample >= 0))
    sizes = (counts[mine] / fit.delta[:, k]).sum(axis=1)
    expected = fit.mu @ np.bincount(fit.sample[mine], sizes, fit.mu.shape[1]) * fit.delta[:, k]
    observed = counts[mine].sum(axis=0)
    return np.log(observed / expected)[observed > 200].std()


@pytest.fixture(scope="module")
def with_a_stranger():
    """Batches a and b without effects, c with strong ones, and d of other types: (model, counts, labels)."""
    parts = [cells(np.zeros(N_GENES), 1), cells(np.zeros(N_GENES), 2), cells(effect(1.0, 3), 3)]
    parts.append(cells(np.zeros(N_GENES), 4, types=[N_TYPES, N_TYPES + 1]))
    counts, labels = np.vstack(parts), np.repeat(list("abcd"), N_CELLS)
    return ub.BatchModel().fit(counts, labels), counts, labels


def test_rates_fit_the_counts_where_a_batch_cannot_be_compared(with_a_stranger):
    model, counts, labels = with_a_stranger
    assert model.result.group.tolist() == [0, 0, 0, -1]
    for batch in "abc":
        assert spread_of_expected(model.result, counts, labels, batch) < 0.06


def test_cells_are_placed_in_the_states_that_they_were_fitted_in(with_a_stranger):
    model, _, labels = with_a_stranger
    fit = model.result
    placed = np.zeros_like(fit.evidence["state_cells"])
    np.add.at(placed, (fit.sample, np.searchsorted(fit.batches, labels)), 1)
    moved = np.abs(placed - fit.evidence["state_cells"])[:, :3].sum() / 2
    assert moved < 0.02 * 3 * N_CELLS


def test_a_batch_mapped_onto_them_has_the_effects_of_its_like(with_a_stranger):
    model, counts, _ = with_a_stranger
    new = AnnData(
        cells(np.zeros(N_GENES), 5),
        obs=pd.DataFrame({"batch": ["e"] * N_CELLS}, index=[f"n{i}" for i in range(N_CELLS)]),
        var=pd.DataFrame(index=model.result.var.index),
    )
    mapped = model.map(new, batch_key="batch").result
    loud = counts[:900].sum(axis=0) > 500
    assert (mapped.log_delta[:, 0] - model.result.log_delta[:, 0])[loud].std() < 0.08


GROUPS = {"a1": np.zeros(N_GENES), "a2": np.zeros(N_GENES), "a3": effect(1.0, 6), "b1": np.zeros(N_GENES)}
GROUPS["b2"] = effect(0.3, 7)


@pytest.fixture(scope="module")
def two_groups():
    """Conditions a and b, which share no batch: counts, batches and conditions."""
    counts = np.vstack([cells(own, 10 + i) for i, own in enumerate(GROUPS.values())])
    labels = np.repeat(list(GROUPS), N_CELLS)
    return counts, labels, np.array([label[0] for label in labels])


@pytest.fixture(scope="module")
def grouped(two_groups):
    """Their fit, within conditions."""
    counts, labels, condition = two_groups
    return ub.BatchModel().fit(counts, labels, within=condition).result


def test_rates_of_each_group_fit_its_counts(two_groups, grouped):
    (counts, labels, _), fit = two_groups, grouped
    assert fit.group.tolist() == [0, 0, 0, 1, 1]
    for batch in GROUPS:
        assert spread_of_expected(fit, counts, labels, batch) < 0.06
    for mine in (slice(0, 3), slice(3, 5)):
        np.testing.assert_allclose(fit.log_delta[:, mine].mean(axis=1), 0, atol=0.02)


def test_relative_to_a_batch_rates_of_its_group_fit_its_counts(two_groups):
    counts, labels, condition = two_groups
    fit = ub.BatchModel(reference="a1").fit(counts, labels, within=condition).result
    assert np.isfinite(fit.se).any(axis=0).tolist() == [True, True, True, False, False]
    assert max(spread_of_expected(fit, counts, labels, batch) for batch in ("a1", "a2", "a3")) < 0.06


def annotated(counts, labels, conditions, genes):
    obs = pd.DataFrame(
        {"batch": labels, "condition": conditions}, index=[f"{labels[0]}{i}" for i in range(len(counts))]
    )
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))


GENES = [f"g{i}" for i in range(N_GENES)]


def test_a_new_batch_has_no_effect_relative_to_one_that_it_cannot_be_compared_with(two_groups):
    source = open_counts(annotated(*two_groups, GENES))
    model = ub.BatchModel(reference="a1")
    model.fit_source(source, read_batches(source, "batch"), within=label_cells(source, "condition"))
    for condition, known in (("a", True), ("b", False)):
        new = annotated(cells(effect(0.5, 8), 20), ["new"] * N_CELLS, [condition] * N_CELLS, GENES)
        assert np.isfinite(model.map(new, batch_key="batch").result.se).any() == known


def test_a_gene_that_one_batch_of_each_group_measured_has_no_effect(two_groups):
    counts, labels, condition = two_groups

    def part(batches, n_genes):
        here = np.isin(labels, batches)
        return annotated(counts[here][:, :n_genes], labels[here], condition[here], GENES[:n_genes])

    source = open_counts({"one": part(["a1", "b1"], N_GENES), "two": part(["a2", "b2"], N_GENES - 10)})
    model = ub.BatchModel()
    model.fit_source(source, read_batches(source, "batch"), within=label_cells(source, "condition"))
    fit = model.result
    lacking = [fit.var.index.get_loc(gene) for gene in GENES[-10:]]
    assert np.isinf(fit.se[lacking]).all()
    assert not fit.log_delta[lacking].any()
    table = rank_genes(fit)
    assert np.isfinite(table["z"]).all()
    assert not set(GENES[-10:]) & set(table["gene"][np.isfinite(table["se"])])


def test_a_gene_counted_only_where_nothing_can_be_compared_has_no_effect(with_a_stranger):
    _, counts, labels = with_a_stranger
    counts = counts.copy()
    counts[labels != "d", 0], counts[labels == "d", 0] = 0, 5
    fit = ub.BatchModel().fit(counts, labels).result
    assert np.isinf(fit.se[0]).all()
    assert np.isfinite(fit.se[1:, :3]).mean() > 0.95


def test_effects_of_states_leave_the_reference_and_what_is_not_known():
    adata = ub.simulate(n_cells=1500, n_genes=150, n_batches=3, n_types=4, composition=0.5, seed=3)
    batch, kind = adata.obs["batch"].astype(str).to_numpy(), adata.obs["cell_type"].cat.codes.to_numpy()
    rng, counts = np.random.default_rng(0), adata.X.toarray()
    hit = np.ix_(np.flatnonzero((batch == "batch_2") & (kind == 0)), rng.choice(150, 40, replace=False))
    counts[hit] = rng.poisson(2.0 * counts[hit])
    full = AnnData(counts.astype(np.float32), obs=adata.obs[["batch"]], var=adata.var[[]])
    source = open_counts({"less": full[batch == "batch_1", :140].copy(), "full": full[batch != "batch_1"].copy()})
    model = ub.BatchModel(reference="batch_1")
    model.fit_source(source, read_batches(source, "batch"), state_specific=True)
    fit = model.result
    assert fit.state_effects.steps.any()
    assert not fit.state_effects.steps[:, fit.batches.index("batch_1")].any()
    assert not fit.state_effects.steps[:, :, ~np.isfinite(fit.se).any(axis=1)].any()


def test_cells_stay_in_their_states_beside_a_batch_of_empty_cells_that_lacks_genes():
    parts = {
        name: annotated(cells(own, 30 + i), [name] * N_CELLS, ["a"] * N_CELLS, GENES)
        for i, (name, own) in enumerate({"a": np.zeros(N_GENES), "b": effect(0.3, 9)}.items())
    }
    half = N_GENES // 2
    parts["empty"] = annotated(np.zeros((3, half), dtype=np.float32), ["empty"] * 3, ["a"] * 3, GENES[:half])
    source = open_counts(parts)
    fit = ub.BatchModel().fit_source(source, read_batches(source, "batch")).result
    placed = np.bincount(fit.sample[fit.sample >= 0], minlength=fit.mu.shape[1])
    assert np.abs(placed - fit.evidence["state_cells"].sum(axis=1)).sum() / 2 < 0.02 * 2 * N_CELLS


def test_effects_are_relative_to_the_mean_of_each_group(grouped):
    known = grouped.estimated.all(axis=1)
    for mine in (slice(0, 3), slice(3, 5)):
        np.testing.assert_allclose(grouped.log_delta[known, mine].mean(axis=1), 0, atol=1e-12)


def test_what_effects_of_groups_are_relative_to_is_said_wherever_it_is_told(two_groups):
    adata = annotated(*two_groups, GENES)
    ub.tl.batch_effects(adata, batch_key="batch", match_within="condition")
    ub.pp.adjust_counts(adata)
    record, said = adata.uns["unbatch"], "mean over the batches of each group"
    assert record["adjusted"]["adjusted"]["expressed_in"] == said
    assert set(ub.tl.rank_batch_genes(adata)["versus"]) == {said}
    assert record["convention"].startswith("within each group of batches that can be compared: natural log; ")
    assert read_fitted(adata, most_cells=10).relative_to == said


def test_a_mapped_batch_knows_nothing_of_groups_that_it_is_not_compared_with(two_groups, monkeypatch):
    counts, labels, condition = two_groups
    counts = counts.copy()
    counts[condition == "a", :5] = 0  # which only the other group counted
    new = annotated(cells(effect(0.5, 8), 20), ["new"] * N_CELLS, ["a"] * N_CELLS, GENES)
    new.X[:, :5] = 3
    mapped = []
    for here in (condition == "a", condition != ""):
        source = open_counts(annotated(counts[here], labels[here], condition[here], GENES))
        model = ub.BatchModel()
        model.fit_source(source, read_batches(source, "batch"), within=label_cells(source, "condition"))
        mapped.append(model.map(new, batch_key="batch").result)
    alone, beside = mapped
    for result in mapped:
        assert np.isinf(result.se[:5]).all()
        assert not result.log_delta[:5].any()
    there = np.isfinite(alone.se) & np.isfinite(beside.se)
    assert there.mean() > 0.9
    monkeypatch.setattr(Reference, "of_group", lambda self, _: self)
    taken = model.map(new, batch_key="batch").result
    assert np.isfinite(taken.se[:5]).any()  # what it would be with the other group
    assert np.median(taken.se[there] / beside.se[there]) > 1.02


def test_batches_that_are_tied_by_one_that_lacks_a_gene_tell_nothing_of_it():
    shares = [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.25, 0.25, 0.25, 0.25]]
    adata = ub.simulate(
        n_types=4,
        n_factors=0,
        variation=0.0,
        n_batches=3,
        composition=shares,
        n_genes=200,
        n_cells=1800,
        median_depth=2000,
        seed=1,
    )
    parts = {name: adata[adata.obs["batch"] == name].copy() for name in adata.obs["batch"].cat.categories}
    parts["batch_3"] = parts["batch_3"][:, 40:].copy()
    source = open_counts(
        {name: AnnData(part.X, obs=part.obs[["batch"]], var=part.var[[]]) for name, part in parts.items()}
    )
    model = ub.BatchModel()
    model.fit_source(source, read_batches(source, "batch"))
    fit = model.result
    assert fit.group.tolist() == [0, 0, 0]
    support = fit.evidence["state_support"].astype(bool)
    assert not (support[:, 0] & support[:, 1]).any()
    lacking = fit.var.index.get_indexer(adata.var_names[:40])
    assert np.isinf(fit.se[lacking]).all()
    assert np.isfinite(np.delete(fit.se, lacking, axis=0)).mean() > 0.9
