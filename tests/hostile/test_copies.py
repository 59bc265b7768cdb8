"""Cells that are in the data more than once count once, and are named."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from typer.testing import CliRunner

import unbatch as ub
from unbatch._progress import Silent
from unbatch.cli import app
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.copies import Fingerprints
from unbatch.io.source import open_counts
from unbatch.methods.matched_options import MatchedOptions
from unbatch.methods.sketching import read_sketch

SLOTS = ("log_delta", "se", "mu", "basis")
AGAIN = pytest.mark.filterwarnings("ignore:.* cells have the very counts of another cell of their batch")
METHODS = pytest.mark.parametrize("method", ["matched", "concept"])


@pytest.fixture(scope="module")
def adata():
    adata = ub.simulate(
        n_cells=900, n_genes=120, n_batches=3, n_types=3, median_depth=900, log_delta_sd=0.4, composition=1.0, seed=3
    )
    adata.obs_names = [f"c{cell}" for cell in range(adata.n_obs)]
    return adata


@pytest.fixture(scope="module")
def once(adata):
    return {method: fit(adata, method=method) for method in ("matched", "concept")}


def fit(adata, *, method="matched", within=None, **options):
    source = open_counts(adata)
    levels = label_cells(source, within) if within else None
    model = ub.BatchModel(method=method)
    return model.fit_source(source, read_batches(source, "batch"), within=levels, **options).result


def some_again(adata, rows):
    """The cells, and these once more at the end."""
    order = np.append(np.arange(adata.n_obs), rows)
    names = [f"c{cell}" for cell in range(len(order))]
    obs = pd.DataFrame({"batch": adata.obs["batch"].to_numpy()[order]}, index=names)
    return ad.AnnData(sparse.csr_matrix(adata.X)[order], obs=obs, var=adata.var)


@AGAIN
@METHODS
@pytest.mark.parametrize("n_copies", [1, 250, 900])
def test_copies_change_no_estimate_and_lie_where_their_like_lies(adata, once, method, n_copies):
    rows = np.random.default_rng(0).choice(900, n_copies, replace=False)
    found, expected = fit(some_again(adata, rows), method=method), once[method]
    for name in SLOTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    everybody = np.append(np.arange(900), rows)
    for name in ("embedding", "sample", "overlap")[: 2 if method == "concept" else 3]:  # whose overlap is of neighbours
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name)[everybody], err_msg=name)


@METHODS
def test_copies_are_named(adata, method):
    with pytest.warns(
        ub.InputWarning, match=r"2 of 902 .* is 'c900' of batch 'batch_\d', like 'c10'\): they are taken"
    ):
        fit(some_again(adata, [10, 20]), method=method)


def in_another_batch(adata, rows):
    """The cells, and these once more at the end, each in the batch that comes next."""
    more = some_again(adata, rows)
    names = ["batch_1", "batch_2", "batch_3"]
    batch = more.obs["batch"].astype(str).to_numpy()
    batch[adata.n_obs :] = [names[names.index(own) - 2] for own in batch[rows]]
    more.obs["batch"] = pd.Categorical(batch, categories=names)
    return more


SAID = "have the very counts of a cell of another batch"


def test_cells_in_two_batches_are_named_and_tell_nothing_of_effects(adata):
    rows = np.random.default_rng(0).choice(900, 150, replace=False)
    with pytest.warns(ub.InputWarning, match=rf"300 of 1050 cells {SAID} .* are not counted; keep"):
        found = fit(in_another_batch(adata, rows))
    others = np.setdiff1d(np.arange(900), rows)
    expected = fit(adata[others].copy())
    for name in SLOTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for name in ("embedding", "sample", "overlap"):
        np.testing.assert_array_equal(getattr(found, name)[others], getattr(expected, name), err_msg=name)
    assert np.isfinite(found.embedding).all()
    assert (found.sample >= 0).all()


def test_a_batch_given_twice_counts_which_is_said(adata):
    mine = np.flatnonzero(adata.obs["batch"] == "batch_1")
    more = some_again(adata, mine)
    batch = more.obs["batch"].astype(str).to_numpy()
    batch[900:] = "again"
    more.obs["batch"] = batch
    with pytest.warns(ub.InputWarning, match=f"{2 * len(mine)} of .* {SAID} .* effects come out too small; keep"):
        found = fit(more)
    effects = found.log_delta[:, [found.batches.index("batch_1"), found.batches.index("again")]]
    np.testing.assert_allclose(effects[:, 0], effects[:, 1], atol=1e-6)
    assert np.isfinite(found.se).all()


def test_a_batch_within_a_larger_one_keeps_its_cells_and_the_larger_one_does_without(adata):
    mine = np.flatnonzero(adata.obs["batch"] == "batch_1")
    more = some_again(adata, mine)
    batch = more.obs["batch"].astype(str).to_numpy()
    batch[900:] = "batch_2"
    batch[np.flatnonzero(adata.obs["batch"] == "batch_3")] = "batch_2"
    more.obs["batch"] = batch
    with pytest.warns(
        ub.InputWarning,
        match=f"{2 * len(mine)} of .* {SAID} .* count only in a batch that mostly consists of them; keep",
    ):
        found = fit(more)
    expected = fit(more[:900].copy())
    np.testing.assert_array_equal(found.log_delta, expected.log_delta)
    np.testing.assert_array_equal(found.se, expected.se)
    np.testing.assert_array_equal(found.embedding[:900], expected.embedding)


def test_with_the_published_method_cells_in_two_batches_count_which_is_said(adata, once):
    with pytest.warns(ub.InputWarning, match=rf"4 of 902 cells {SAID} .* effects come out too small; keep"):
        found = fit(in_another_batch(adata, [10, 20]), method="concept")
    assert (found.log_delta != once["concept"].log_delta).any()


def test_cells_in_two_conditions_are_named(adata):
    twice = some_again(adata, [10, 20])
    twice.obs["day"] = pd.Categorical(["a", "b"] * 451)
    twice.obs.loc[["c10", "c900"], "day"] = ["a", "b"]
    twice.obs.loc[["c20", "c901"], "day"] = ["a", "a"]
    with (
        pytest.warns(
            ub.InputWarning, match="^2 of 902 .* counts of a cell of another batch or condition .* not counted"
        ),
        pytest.warns(ub.InputWarning, match="^1 of 902 .* counts of another cell of their batch"),
    ):
        fit(twice, within="day")


@AGAIN
def test_copies_change_no_effect_of_states_nor_effects_alone(adata):
    twice = some_again(adata, np.arange(900))
    for options in ({"state_specific": True}, {"effects_only": True}):
        found, expected = fit(twice, **options), fit(adata, **options)
        np.testing.assert_array_equal(found.log_delta, expected.log_delta)
        np.testing.assert_array_equal(found.se, expected.se)
        if "state_specific" in options:
            np.testing.assert_array_equal(found.state_effects.log_rho, expected.state_effects.log_rho)


@AGAIN
def test_a_sketch_of_some_cells_has_each_once_and_sums_are_over_each_once(adata):
    twice = some_again(adata, np.arange(900))
    source, genes = open_counts(twice), np.ones(120, dtype=bool)
    batches = read_batches(source, "batch")
    sketch, counts = read_sketch(source, batches, sketch_size=1000, genes=genes, seed=0, progress=Silent())
    assert sketch.is_part
    originals = sketch.cells % 900
    assert len(np.unique(originals)) == len(originals) > 600
    np.testing.assert_array_equal(counts.toarray(), twice.X[sketch.cells].toarray())
    assert (sketch.counted[:900] >= 0).all()
    assert (sketch.counted[900:] == -1).all()
    np.testing.assert_array_equal(sketch.codes[900:], sketch.codes[:900])
    small = ub.BatchModel(method=MatchedOptions(sketch_size=1000)).fit_source(source, batches).result
    large = ub.BatchModel().fit_source(source, batches).result
    moved = (small.log_delta - large.log_delta) / large.se
    assert np.sqrt(np.mean(moved**2)) < 1
    assert np.median(small.se / large.se) == pytest.approx(1, abs=0.1)


@pytest.mark.filterwarnings(f"ignore:.*{SAID}")
def test_a_sketch_of_some_cells_has_none_that_are_in_two_batches(adata):
    rows = np.arange(0, 900, 6)
    source = open_counts(in_another_batch(adata, rows))
    batches, genes = read_batches(source, "batch"), np.ones(120, dtype=bool)
    sketch, _ = read_sketch(source, batches, sketch_size=500, genes=genes, seed=0, progress=Silent())
    contested = np.append(rows, np.arange(900, 1050))
    assert sketch.is_part
    assert not np.isin(sketch.cells, contested).any()
    np.testing.assert_array_equal(np.flatnonzero(sketch.counted < 0), contested)
    assert (sketch.codes >= 0).all()


@AGAIN
def test_copies_among_mapped_cells_count_once(adata):
    old = open_counts(adata[adata.obs["batch"] != "batch_3"].copy())
    model = ub.BatchModel().fit_source(old, read_batches(old, "batch"))
    new = adata[adata.obs["batch"] == "batch_3"].copy()
    twice = some_again(new, np.arange(new.n_obs))
    expected, found = (model.map(some, batch_key="batch").result for some in (new, twice))
    np.testing.assert_array_equal(found.log_delta, expected.log_delta)
    np.testing.assert_array_equal(found.se, expected.se)
    np.testing.assert_array_equal(found.embedding, np.vstack([expected.embedding] * 2))


def test_mapped_cells_in_two_batches_count_which_is_said(adata):
    model = ub.BatchModel().fit(adata.X, adata.obs["batch"])
    new = adata[:300].copy()
    new.obs["batch"] = pd.Categorical(["new"] * 300)
    new.var_names = model.result.var.index
    twice = some_again(new, np.arange(50))
    twice.obs["batch"] = ["new"] * 300 + ["more"] * 50
    with pytest.warns(
        ub.InputWarning, match="100 of 350 cells have .* cell of another batch .the .* effects come out too small; keep"
    ):
        model.map(twice, batch_key="batch")


def test_of_a_mapped_batch_larger_than_the_sketch_all_count_which_is_said(adata):
    old = open_counts(adata[adata.obs["batch"] != "batch_3"].copy())
    model = ub.BatchModel(method=MatchedOptions(sketch_size=700)).fit_source(old, read_batches(old, "batch"))
    new = adata[adata.obs["batch"] == "batch_3"].copy()
    thrice = some_again(new, np.tile(np.arange(new.n_obs), 2))
    assert thrice.n_obs > 700
    with pytest.warns(ub.InputWarning, match="they all count, and errors are too small"):
        model.map(thrice, batch_key="batch")


@pytest.mark.parametrize("size", [1, 64, 2000])
def test_fingerprints_do_not_depend_on_blocks_nor_merges(adata, size):
    source, totals = open_counts(adata), np.asarray(adata.X.sum(axis=1)).ravel().astype(np.int64)
    whole, one, other = Fingerprints(), Fingerprints(), Fingerprints()
    whole.add(next(source.blocks(2000)))
    for number, block in enumerate(source.blocks(size)):
        (one if number % 3 else other).add(block)
    other.merge(one)
    np.testing.assert_array_equal(other.values(totals), whole.values(totals))


def test_inspect_names_copies(adata, tmp_path):
    some_again(adata, [10, 20]).write_h5ad(tmp_path / "in.h5ad")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "in.h5ad"), "-b", "batch"])
    assert done.exit_code == 0
    assert "Warning: 2 of 902 cells have the very counts of another cell of their batch (the first is 'c900' of" in (
        done.stdout
    )
    assert "Nothing stands in the way" in done.stdout
    in_another_batch(adata, np.arange(0, 900, 6)).write_h5ad(tmp_path / "in.h5ad")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "in.h5ad"), "-b", "batch"])
    assert done.exit_code == 0
    assert f"Warning: 300 of 1050 cells {SAID}" in done.stdout
    assert "they tell nothing of the effects and are not counted" in done.stdout


@AGAIN
@pytest.mark.parametrize("sketch_size", [1000, 5000])
@pytest.mark.parametrize("all_of", [(), ("batch_2",), ("batch_1", "batch_2", "batch_3")])
def test_cells_with_few_genes_count_as_often_as_they_are_there_unless_all_of_their_batch_are_there_twice(
    adata, sketch_size, all_of
):
    """They could be alike by chance."""
    few = adata[:, np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:49]].copy()
    whole = few.obs["batch"].isin(all_of).to_numpy()
    rows = np.flatnonzero(whole | few.obs.duplicated("batch").to_numpy())  # of the others all but the first cell
    source = open_counts(some_again(few, rows))
    batches, genes = read_batches(source, "batch"), np.ones(49, dtype=bool)
    sketch, _ = read_sketch(source, batches, sketch_size=sketch_size, genes=genes, seed=0, progress=Silent())
    again = 900 + np.flatnonzero(whole[rows])
    np.testing.assert_array_equal(np.flatnonzero(sketch.counted < 0), again)
    assert sketch.is_part == (sketch_size == 1000)
    assert not np.isin(sketch.cells, again).any()
    if sketch_size == 5000:
        np.testing.assert_array_equal(sketch.cells, np.flatnonzero(sketch.counted >= 0))


def test_cells_in_files_with_different_genes_are_compared_on_those_that_all_measured(adata, tmp_path):
    """Of three files, one per batch, the last lacks genes and has cells of the first."""
    mine = [adata[adata.obs["batch"] == name].copy() for name in ("batch_1", "batch_2", "batch_3")]
    once = [mine[0], mine[1], mine[2][:, :110].copy()]
    copied = mine[0][:60, :110].copy()
    copied.obs_names = [f"again{cell}" for cell in range(60)]
    more = [once[0], once[1], ad.concat([once[2], copied])]
    with pytest.warns(ub.InputWarning, match=f"120 of 960 cells {SAID}"):
        found = fit_files(more)
    expected = fit_files([once[0][60:].copy(), *once[1:]])
    np.testing.assert_array_equal(found.log_delta, expected.log_delta)
    with pytest.warns(ub.InputWarning, match=f"120 of 960 cells {SAID}"):
        fit_files(more, method="concept")
    paths = [str(tmp_path / f"{number}.h5ad") for number in range(3)]
    for part, path in zip(more, paths, strict=True):
        part.write_h5ad(path)
    done = CliRunner().invoke(app, ["inspect", *paths])
    assert f"120 of 960 cells {SAID}" in done.stdout


def fit_files(parts, *, method="matched"):
    source = open_counts(parts)
    return ub.BatchModel(method=method).fit_source(source, read_batches(source)).result


def test_a_fit_that_is_judged_again_is_not_judged_by_copies(adata):
    """Nor are its probes fitted to them."""
    twice = some_again(adata, np.arange(900))
    with pytest.warns(ub.InputWarning, match="another cell of their batch"):
        ub.tl.batch_effects(twice, batch_key="batch")
    before = ub.get.verdicts(twice)
    ub.tl.diagnose(twice)
    pd.testing.assert_frame_equal(ub.get.verdicts(twice), before)


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
@pytest.mark.parametrize(("min_cells", "parted"), [(2, ["batch_3"]), (250, [])])
def test_batches_that_share_no_level_with_the_others_are_told_why(adata, min_cells, parted):
    """With 250 cells asked for, no batch has enough in a level."""
    split = adata.copy()
    alone = (adata.obs["batch"] == "batch_3").to_numpy()
    split.obs["day"] = np.where(alone, "c", np.resize(["a", "b"], 900))
    sizes = split.obs.groupby(["batch", "day"], observed=True).size()
    assert sizes[sizes.index.get_level_values("batch") != "batch_3"].max() < 250
    if not parted:
        split = split[~alone].copy()
    ub.tl.batch_effects(split, batch_key="batch", match_within="day", min_cells=min_cells)
    verdict = ub.get.verdicts(split).set_index("check").loc["overlap"]
    assert ("share no level of the condition" in verdict["cure"]) == bool(parted)
