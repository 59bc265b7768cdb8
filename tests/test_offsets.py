"""Offsets of cells and of sums over groups: by hand, in any blocks, and where groups mix batches or states."""

from contextlib import nullcontext

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

import unbatch as ub
from unbatch.io.batches import read_batches
from unbatch.io.reduce import reduce_blocks
from unbatch.io.source import open_counts
from unbatch.offsets import sum_groups


@pytest.fixture(scope="module")
def fitted():
    adata = ub.simulate(n_cells=400, n_genes=40, n_batches=3, n_types=3, size_factor_sd=0.4, seed=3)
    adata.obs["donor"] = np.tile(["b", "a"], 200)
    ub.tl.batch_effects(adata, batch_key="batch", state_specific=True)
    states = adata.uns["unbatch"]["state_effects"]
    # the toy has no effects of states: plant some in the slot
    states["steps"] = np.random.default_rng(0).integers(-100, 101, states["steps"].shape).astype(np.int8)
    states["unit"] = 0.005
    return adata


def effects(adata, *, of_states=False):
    """Effect of its batch (and state) on each gene, of each cell."""
    column = {name: k for k, name in enumerate(adata.uns["unbatch"]["batches"])}
    batch = np.array([column[label] for label in adata.obs["batch"]])
    log_delta = adata.varm["batch_effects"][:, batch].T
    if of_states:
        states, state = adata.uns["unbatch"]["state_effects"], adata.obs["unbatch_sample"].to_numpy()
        known = state >= 0
        log_delta = log_delta + known[:, None] * states["unit"] * states["steps"][state, batch].astype(float)
    return np.exp(log_delta)


@pytest.mark.parametrize("of_states", [False, True])
def test_the_offset_of_a_group_is_the_log_of_the_exposure_weighted_mean_effect(fitted, of_states):
    sums = ub.get.pseudobulks(fitted, groupby="donor", state_specific=of_states)
    counts, effect = fitted.X.toarray().astype(float), effects(fitted, of_states=of_states)
    size = (counts / effect).sum(axis=1)
    assert sums.obs_names.tolist() == ["a", "b"]
    for number, donor in enumerate(sums.obs["donor"]):
        mine = (fitted.obs["donor"] == donor).to_numpy()
        expected = np.log((size[mine, None] * effect[mine]).sum(axis=0) / size[mine].sum())
        np.testing.assert_allclose(sums.layers["log_delta"][number], expected, atol=1e-6)
        np.testing.assert_allclose(sums.obs["exposure"].iloc[number], size[mine].sum(), rtol=1e-6)
        np.testing.assert_array_equal(sums.X[number], counts[mine].sum(axis=0))
    assert sums.obs["n_cells"].tolist() == [200, 200]
    table = ub.get.offsets(fitted, groupby="donor", state_specific=of_states)
    np.testing.assert_array_equal(table.to_numpy(), sums.layers["log_delta"])
    assert table.index.tolist() == ["a", "b"]
    assert table.columns.tolist() == fitted.var_names.tolist()


def test_a_group_of_one_batch_has_its_log_delta(fitted):
    sums = ub.get.pseudobulks(fitted, groupby=["donor", "batch"])
    column = [list(fitted.uns["unbatch"]["batches"]).index(name) for name in sums.obs["batch"]]
    assert len(sums) == 6
    np.testing.assert_allclose(sums.layers["log_delta"], fitted.varm["batch_effects"][:, column].T, atol=1e-12)


@pytest.mark.parametrize("of_states", [False, True])
def test_the_offset_of_a_cell_is_that_of_its_batch(fitted, of_states):
    adata = fitted.copy()
    ub.pp.add_offsets(adata, state_specific=of_states)
    expected = np.log(effects(adata, of_states=of_states))
    assert adata.layers["log_delta"].dtype == np.float32
    np.testing.assert_allclose(adata.layers["log_delta"], expected, atol=1e-6)
    table = ub.get.offsets(adata, state_specific=of_states)
    np.testing.assert_array_equal(table.to_numpy(), adata.layers["log_delta"])


def test_some_cells_and_genes_have_the_offsets_that_they_had(fitted):
    part = fitted[30:90, [7, 3]].copy()
    np.testing.assert_array_equal(
        ub.get.offsets(part, state_specific=True), ub.get.offsets(fitted, state_specific=True).iloc[30:90, [7, 3]]
    )


def test_raw_counts_are_poisson_around_rate_exposure_and_offset():
    """The offset makes groups of one kind of cell alike, whatever batches are mixed in them."""
    rng = np.random.default_rng(2)
    adata = ub.simulate(n_cells=3000, n_genes=60, n_batches=2, n_types=2, median_depth=2000, size_factor_sd=0.4, seed=5)
    share = np.where(adata.obs["batch"] == "batch_1", 0.2, 0.7)
    adata.obs["donor"] = np.where(rng.random(3000) < share, "mostly 2", "mostly 1")
    ub.tl.batch_effects(adata, batch_key="batch")
    sums = ub.get.pseudobulks(adata, groupby=["cell_type", "donor"])
    rate = np.log(sums.X + 0.5) - np.log(sums.obs["exposure"].to_numpy())[:, None]
    loud = sums.X.min(axis=0) > 500
    raw, offset = (np.abs(of[0] - of[1])[loud].mean() for of in (rate, rate - sums.layers["log_delta"]))
    assert loud.sum() > 10
    assert raw > 0.3
    assert offset < 0.06


def test_blocks_of_any_size_and_merged_give_the_same_bits(fitted):
    from unbatch.core.adjust import Adjuster, AdjustOptions
    from unbatch.labels import cell_batches
    from unbatch.offsets import GroupSums
    from unbatch.stored_fit import read_slots

    fit, source = read_slots(fitted), open_counts(fitted)
    batch = cell_batches(source, fit)
    group = (np.arange(400) % 3).astype(np.int32)

    def fresh():
        by = Adjuster(fit.delta, fit.estimated, options=AdjustOptions())
        return GroupSums(
            group,
            batch=batch,
            state=None,
            adjuster=by,
            measured=fit.measured,
            common=fit.measured.all(axis=1),
            n_groups=3,
        )

    whole = reduce_blocks(source, fresh())
    for size in (1, 37, 400):
        halves = fresh(), fresh()
        for number, block in enumerate(source.blocks(size)):
            halves[number % 2].add(block)
        halves[1].merge(halves[0])
        np.testing.assert_array_equal(halves[1].sums, whole.sums)
        np.testing.assert_array_equal(halves[1].size_factors(), whole.size_factors())


def test_effects_are_not_capped_in_an_offset(fitted):
    adata = fitted.copy()
    adata.varm["batch_effects"][0] = [-8.0, 8.0, 0.0]
    assert ub.get.offsets(adata, groupby="batch").iloc[:, 0].tolist() == [-8.0, 8.0, 0.0]


def test_what_is_missing_is_named(fitted):
    with pytest.raises(ub.InputError, match="no obs column 'nobody'"):
        ub.get.pseudobulks(fitted, groupby="nobody")
    with pytest.raises(ub.InputError, match="names no column"):
        ub.get.pseudobulks(fitted, groupby=[])
    with pytest.raises(ub.InputError, match=r"run unbatch.tl.batch_effects"):
        ub.get.offsets(ub.simulate(n_cells=10, n_genes=5), groupby="batch")
    plain = ub.simulate(n_cells=100, n_genes=10, n_batches=2, seed=0)
    ub.tl.batch_effects(plain, batch_key="batch")
    with pytest.raises(ub.InputError, match=r"no effects of states: fit again with state_specific=True"):
        ub.get.offsets(plain, state_specific=True)


def test_genes_that_a_file_lacks_are_not_taken_for_silent(tmp_path):
    """Nothing differs between groups, so that rates by count, exposure and offset are the same in all of them."""
    adata = ub.simulate(n_cells=1600, n_genes=200, n_batches=2, n_types=3, log_delta_sd=0.5, median_depth=2000, seed=1)
    adata.obs["mix"] = np.where((adata.obs["batch"] == "batch_2") | (np.arange(1600) % 2 == 0), "mixed", "one")
    lacks = np.arange(200) % 3 == 0
    for name, genes in (("batch_1", np.arange(200)), ("batch_2", np.flatnonzero(~lacks))):
        part = adata[adata.obs["batch"] == name, genes].copy()
        part.varm.clear()
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    source = open_counts([tmp_path / "batch_1.h5ad", tmp_path / "batch_2.h5ad"])
    fit = ub.BatchModel().fit_source(source, read_batches(source, "batch")).result
    lacks = source.var.index.isin(adata.var_names[lacks])
    for groupby, n_unmeasured in (("batch", lacks.sum()), ("mix", 0)):
        with pytest.warns(ub.InputWarning, match="no cell of the group measured") if n_unmeasured else nullcontext():
            sums = sum_groups(source, fit, [groupby])
        assert (~sums.measured).sum() == n_unmeasured
        assert np.isfinite(sums.log_delta).all()
        rate = np.log(sums.counts + 0.5) - np.log(sums.obs["exposure"].to_numpy())[:, None] - sums.log_delta
        loud = sums.counts.sum(axis=0) > 500
        assert abs(np.median((rate[1] - rate[0])[loud & ~lacks])) < 0.06
        if not n_unmeasured:
            assert (loud & lacks).sum() > 10
            assert abs(np.median((rate[1] - rate[0])[loud & lacks])) < 0.06


@pytest.mark.parametrize("name", ["exposure", "n_cells"])
def test_a_column_with_the_name_of_a_result_is_refused(fitted, name):
    adata = fitted.copy()
    adata.obs[name] = "some"
    with pytest.raises(ub.InputError, match=f"names the column '{name}'"):
        ub.get.pseudobulks(adata, groupby=["donor", name])


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_effects_that_are_not_known_are_told_and_not_taken_for_none():
    shares = [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    options = {"size_factor_sd": 0.3, "log_delta_sd": 0.5, "median_depth": 1500, "seed": 1}
    adata = ub.simulate(n_cells=1600, n_genes=200, n_batches=3, n_types=4, composition=shares, **options)
    ub.tl.batch_effects(adata, batch_key="batch")
    unknown = ~np.isfinite(adata.varm["batch_effects_se"]).any(axis=0)
    assert unknown.tolist() == [False, False, True]
    adata.obs["half"] = np.where(np.arange(1600) % 2, "x", "y")
    with pytest.warns(ub.InputWarning, match=r"cells no effect is known .'batch_3'"):
        sums = ub.get.pseudobulks(adata, groupby=["batch", "half"])
    known = np.isfinite(adata.varm["batch_effects_se"])
    for row, batch in enumerate(sums.obs["batch"]):
        np.testing.assert_array_equal(sums.layers["known"][row], known[:, int(batch[-1]) - 1])
    assert not ub.get.pseudobulks(adata, groupby="half").layers["known"].any()
    with pytest.warns(ub.InputWarning, match="no effect is known"):
        ub.pp.add_offsets(adata)


def quasi_poisson(counts, design, offset, *, lost):
    """P-value of the second column, with so many degrees of freedom taken off for the offset."""
    found = sm.GLM(counts, design, family=sm.families.Poisson(), offset=offset).fit(scale="X2")
    left = found.df_resid - lost
    se = found.bse[1] * np.sqrt(found.df_resid / left)
    return 2 * stats.t.sf(abs(found.params[1] / se), left)


def test_an_offset_uses_up_a_degree_of_freedom_for_each_batch_but_one_where_donors_lie_in_batches():
    """Eight batches of two donors, one of them treated, without any answer to it: 5% of the genes are due."""
    rng = np.random.default_rng(0)
    adata = ub.simulate(
        n_cells=2400, n_genes=200, n_batches=8, n_types=3, median_depth=1000, dispersion=0.2, log_delta_sd=0.5, seed=0
    )
    donor = 2 * adata.obs["batch"].cat.codes.to_numpy() + rng.integers(0, 2, 2400)
    of_donors = np.minimum(np.exp(0.1 * rng.standard_normal((16, 200)) - 0.3), 1)
    adata.X = rng.binomial(adata.X.toarray().astype(int), of_donors[donor]).astype("float32")
    adata.obs["donor"], adata.obs["treated"] = donor.astype(str), donor % 2 == 1
    ub.tl.batch_effects(adata, batch_key="batch", match_within="treated")
    sums = ub.get.pseudobulks(adata, groupby=["donor", "treated"])
    design = np.column_stack([np.ones(16), sums.obs["treated"].astype(float)])
    offset = sums.layers["log_delta"] + np.log(sums.obs["exposure"].to_numpy())[:, None]
    loud = np.flatnonzero(sums.X.sum(axis=0) > 200)
    called = {
        lost: np.mean([quasi_poisson(sums.X[:, g], design, offset[:, g], lost=lost) < 0.05 for g in loud])
        for lost in (0, 7)
    }
    assert called[0] > 0.1
    assert called[7] < 0.09
