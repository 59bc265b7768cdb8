"""The figures of an AnnData with diagnostics show the tables that it holds."""

import doctest
import importlib

import anndata
import numpy as np
import pytest
from example import fitted

import unbatch as ub
from unbatch import pl, slots
from unbatch._check import InputError


@pytest.fixture(scope="module")
def adata():
    return fitted(3)


def record(adata):
    return adata.uns[slots.RECORD]["diagnostics"]


def rows_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_distances_stand_in_the_row_of_their_batch_and_the_column_of_the_other(adata, ax):
    pl.overlap(adata, kind="distances", ax=ax)
    shown = ax.images[0].get_array()
    for row in record(adata)["overlap_pairs"].itertuples():
        own, other = int(row.batch[-1]) - 1, int(row.other[-1]) - 1
        assert shown[own, other] == pytest.approx(row.distance_ratio)
    assert shown.mask.diagonal().all()


def test_states_stand_from_the_largest_and_those_alone_are_named(adata, ax):
    alone = adata.copy()
    states = record(alone)["overlap_states"]
    states["alone"] = ["batch 2", *[""] * (len(states) - 1)]
    pl.overlap(alone, kind="states", ax=ax)
    order = np.argsort(-states["n_cells"].to_numpy(), kind="stable")
    np.testing.assert_array_equal(ax.images[0].get_array(), record(alone)["state_batch"][order])
    assert [name.split(":")[0] for name in rows_of(ax)] == [str(state) for state in order]
    (named,) = [name for name in rows_of(ax) if "only" in name]
    assert named == f"0: {states['n_cells'].iloc[0]} cells (only batch 2)"


def test_cells_are_those_of_the_sample(adata, ax):
    pl.overlap(adata, kind="cells", ax=ax)
    own, batch = record(adata)["overlap_cells"][:, 0], record(adata)["cells"]["batch"].to_numpy()
    medians = sorted((np.median(own[batch == k]) for k in range(3)), reverse=True)
    np.testing.assert_allclose(np.asarray(ax.collections[-1].get_offsets())[:, 0], medians)


def test_balance_is_that_of_the_worst_pair_or_of_the_one_asked_for(adata, ax):
    summary = record(adata)["balance_summary"]
    worst = summary.iloc[summary["mean_after"].argmax()]
    pl.balance(adata, ax=ax)
    assert ax.get_title() == f"{worst['batch']} \N{EN DASH} {worst['other']}: 312 matched cells"
    table = record(adata)["balance"]
    for pair in (("batch 1", "batch 2"), ("batch 2", "batch 1")):
        drawn = pl.balance(adata, pair=pair, n_names=5)
        mine = table[(table["batch"] == "batch 1") & (table["other"] == "batch 2") & (table["kind"] == "gene")]
        largest = mine[["before", "after"]].abs().max(axis=1).sort_values(ascending=False).index[:5]
        assert rows_of(drawn) == mine.loc[largest, "name"].tolist()


def test_balance_of_dimensions_shows_dimensions_only(adata, ax):
    pl.balance(adata, kind="dimensions", ax=ax)
    assert all(name.startswith("dim ") for name in rows_of(ax))
    assert len(rows_of(ax)) == 10


def test_balance_of_pairs_can_be_of_one(adata, ax):
    pl.balance(adata, kind="pairs", pair=("batch 3", "batch 1"), ax=ax)
    assert rows_of(ax) == ["batch 1 \N{EN DASH} batch 3"]


def test_strongest_keeps_to_the_batch_asked_for(adata, ax):
    pl.strongest(adata, batch="batch 2", n_genes=4, ax=ax)
    assert ax.get_title() == "batch 2"
    assert " · " not in rows_of(ax)[0]
    assert len(rows_of(ax)) == 4


def test_batches_named_by_numbers_may_be_asked_for_by_them():
    cells = ub.simulate(n_cells=400, n_genes=60, n_batches=3, n_types=2, median_depth=300, seed=1)
    cells.obs["run"] = cells.obs["batch"].cat.codes.astype(int)
    cells.uns["simulation"]["batches"] = ["0", "1", "2"]
    ub.tl.batch_effects(cells, batch_key="run")
    for one in (1, np.int64(1), [1], np.array([1])):
        assert columns(pl.batch_effects(cells, batch=one)) == ["1"]
    assert columns(pl.batch_effects(cells, batch=[2, "0", 2])) == ["2", "0"]
    assert pl.recovery(cells, batch=0).get_title().startswith("0")
    assert pl.strongest(cells, batch=2).get_title() == "2"
    assert pl.balance(cells, pair=(0, 1)).get_title().startswith("0 \N{EN DASH} 1: ")
    assert rows_of(pl.balance(cells, kind="pairs", pair=(1, 0))) == ["0 \N{EN DASH} 1"]
    with pytest.raises(InputError, match="no batch '3'; it has '0', '1', '2'"):
        pl.batch_effects(cells, batch=3)


def columns(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda adata: pl.overlap(adata, kind="pies"), "no figure of kind 'pies': choose from 'pairs', 'distances'"),
        (lambda adata: pl.batch_effects(adata, kind="bars"), "choose from 'heatmap', 'volcano'"),
        (lambda adata: pl.balance(adata, pair=("batch 1", "x")), r"no pair \('batch 1', 'x'\); among the pairs"),
        (lambda adata: pl.strongest(adata, batch="x"), "no batch 'x'; it has 'batch 1', 'batch 2', 'batch 3'"),
        (lambda adata: pl.batch_effects(adata, batch=["x"]), "no batch 'x'"),
        (lambda adata: pl.trace(adata, quantity="x"), r"no 'x'; it has \['change', 'matched'"),
        (lambda adata: pl.embedding(adata, layout="umap"), "choose from 'dimensions', 'tsne'"),
        (lambda adata: pl.embedding(adata, basis="X_umap"), "no embedding 'X_umap'"),
        (lambda adata: pl.embedding(adata, "x"), "no column 'x'; it has"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(adata, draw, message):
    with pytest.raises(InputError, match=message):
        draw(adata)


def test_two_hundred_batches_are_not_all_listed():
    with pytest.raises(InputError, match="'batch 10' and 190 more"):
        pl.strongest(fitted(200, n_genes=5, n_cells=200), batch="x")


def test_before_and_after_stand_side_by_side_a_row_per_colouring(adata):
    axes = pl.embedding(adata, [None, "cell_type"], basis=["before", "after"])
    assert [ax.get_title() for ax in axes] == ["before", "after"] * 2
    for ax, basis in zip(axes, ["before", "after"] * 2, strict=True):
        drawn = np.concatenate([np.asarray(dots.get_offsets()) for dots in ax.collections])
        stored = record(adata)[basis][:, :2]
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(stored, axis=0))
    assert [ax.get_legend() is None for ax in axes] == [True, False] * 2
    assert axes[1].get_legend().get_title().get_text() == "batch"


def test_an_embedding_of_more_than_two_dimensions_is_laid_out_on_demand(adata, monkeypatch):
    from unbatch.pl import _embedding

    seen = []

    def layout(values, *, seed):
        seen.append((values.shape, seed))
        return values[:, :2]

    monkeypatch.setattr(_embedding, "tsne", layout)
    monkeypatch.setattr(_embedding, "LAID_OUT", 100)
    own = adata.copy()
    own.obsm["X_umap"] = own.obsm[slots.EMBEDDING][:, :2]
    axes = pl.embedding(own, basis=["before", "X_unbatch", "X_umap"], layout="tsne")
    assert seen == [((100, 10), 0)] * 2
    assert [ax.get_xlabel() for ax in axes] == ["t-SNE 1", "t-SNE 1", "X_umap 1"]
    assert [len(ax.collections[0].get_offsets()) for ax in axes] == [100, 100, own.n_obs]


def test_sampled_cells_cannot_be_coloured_after_cells_were_taken_away(adata):
    fewer = adata[:-1].copy()
    with pytest.raises(InputError, match="among the 599 that are left: colour by None"):
        pl.embedding(fewer, "cell_type", basis="before")
    assert len(pl.embedding(fewer, basis="before")) == 1


def test_as_many_axes_as_panels(adata, ax):
    with pytest.raises(InputError, match="one axes was given for 2 panels"):
        pl.embedding(adata, ["batch", "cell_type"], ax=ax)
    with pytest.raises(InputError, match="2 axes were given for 1 panel"):
        pl.embedding(adata, ax=[ax, ax])


def test_recovery_relates_the_truth_to_the_reference_of_the_fit():
    related = ub.simulate(n_cells=300, n_genes=60, n_batches=3, n_types=2, median_depth=400, seed=4)
    ub.tl.batch_effects(related, batch_key="batch", reference="batch_1")
    nothing = np.asarray(pl.recovery(related, batch="batch_1").collections[0].get_offsets())
    assert not nothing.any()
    drawn = np.asarray(pl.recovery(related, batch="batch_2").collections[0].get_offsets())
    planted = np.diff(related.varm["log_delta_true"][:, :2])[:, 0]
    shown = np.isfinite(related.varm["batch_effects_se"][:, 1])
    assert shown.sum() > 30
    assert np.ptp(drawn[:, 0] - planted[shown]) < 1e-9  # but for what both batches are centred to


def test_recovery_takes_the_truth_from_another_file_in_any_order_of_genes_and_batches(adata, ax):
    truth = adata[:, ::-1].copy()
    truth.varm["log_delta_true"] = truth.varm["log_delta_true"][:, [2, 0, 1]]
    truth.uns["simulation"] = {"batches": np.array(["batch 3", "batch 1", "batch 2"], dtype=object)}
    bare = adata.copy()
    del bare.varm["log_delta_true"]
    drawn = np.asarray(pl.recovery(bare, truth=truth, ax=ax).collections[0].get_offsets())
    np.testing.assert_allclose(drawn, np.asarray(pl.recovery(adata).collections[0].get_offsets()))
    known = np.isfinite(adata.varm[slots.ERRORS])
    np.testing.assert_allclose(drawn[:, 1], adata.varm[slots.EFFECTS][known])
    with pytest.raises(InputError, match="the truth is not known"):
        pl.recovery(bare)
    with pytest.raises(InputError, match=r"lacks 1 genes of the fit \(first: 'gene 1'\)"):
        pl.recovery(bare, truth=adata[:, 1:])
    truth.uns["simulation"]["batches"][0] = "x"
    with pytest.raises(InputError, match="the simulation has no batch 'batch 3'"):
        pl.recovery(bare, truth=truth)


def test_the_truth_is_brought_into_the_convention_of_the_fit(adata, ax):
    shifted = adata.copy()
    shifted.varm["log_delta_true"] = shifted.varm["log_delta_true"] + np.arange(shifted.n_vars)[:, None]
    x = np.asarray(pl.recovery(shifted, ax=ax).collections[0].get_offsets())[:, 0]
    np.testing.assert_allclose(x, np.asarray(pl.recovery(adata).collections[0].get_offsets())[:, 0], atol=1e-9)


def test_a_written_file_draws_the_same(adata, tmp_path):
    adata.write_h5ad(tmp_path / "fit.h5ad")
    read = anndata.read_h5ad(tmp_path / "fit.h5ad")
    for draw in (pl.balance, pl.mixing, pl.remainder, pl.need):
        assert rows_of(draw(read)) == rows_of(draw(adata))
    states = [pl.overlap(one, kind="states").images[0].get_array() for one in (read, adata)]
    np.testing.assert_array_equal(*states)


@pytest.mark.parametrize("name", ["_fitted", "_diagnosed", "_embedding", "_layout", "_structure"])
def test_examples_give_what_they_say(name):
    result = doctest.testmod(importlib.import_module(f"unbatch.pl.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
