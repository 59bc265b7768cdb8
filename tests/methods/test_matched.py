"""The default method from counts to result: tiny inputs, designs with planted effects, batches that share nothing."""

import dataclasses
import warnings

import numpy as np
import pytest

import unbatch as ub

DEPTH = 1500


def finite(result):
    """Everything is a number; only standard errors may be infinite."""
    for field in dataclasses.fields(result):
        values = getattr(result, field.name)
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            assert not np.isnan(values).any(), field.name
            assert field.name.endswith("se") or np.isfinite(values).all(), field.name
    for name, values in {**result.trace, **result.evidence}.items():
        assert np.isfinite(values).all(), name
    assert (np.isinf(result.se) == ~result.estimated).all()
    assert (result.log_delta[~result.estimated] == 0).all()
    return result


def draw(rates, rng, *, depth=DEPTH):
    """Poisson counts of cells with these rates, (n_cells, n_genes), all of about one depth."""
    return rng.poisson(rates / rates.sum(axis=1, keepdims=True) * depth)


def rmse(result, truth, counts):
    """Root mean square error of log delta over genes with more than 200 counts, batch medians removed."""
    loud = counts.sum(axis=0) > 200
    error = (result.log_delta - truth)[loud]
    error -= error.mean(axis=1, keepdims=True)
    return np.sqrt(np.mean((error - np.median(error, axis=0)) ** 2))


@pytest.mark.parametrize("n_genes", [1, 2, 3, 20])
@pytest.mark.parametrize("labels", ["ab", "aab", "abc", "aabb", "aaaab"])
def test_a_few_cells(labels, n_genes):
    counts = np.random.default_rng(0).poisson(5, (len(labels), n_genes)) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ub.InputWarning)  # some of these share nothing
        finite(ub.BatchModel(min_cells=1).fit(counts, list(labels)).result)


@pytest.mark.parametrize("n_genes", [1, 2, 5])
@pytest.mark.parametrize("n_cells", [4, 60])
@pytest.mark.parametrize("same", [True, False])
def test_cells_that_do_not_differ_and_genes_that_do_not(n_cells, n_genes, same):
    counts = np.ones((n_cells, n_genes)) if same else np.tile(np.arange(1, n_genes + 1), (n_cells, 1))
    result = finite(ub.BatchModel().fit(counts, ["a", "b"] * (n_cells // 2)).result)
    assert np.abs(result.log_delta).max() < 1e-6


def test_a_batch_of_one_cell_among_larger_ones():
    counts = np.random.default_rng(1).poisson(2, (121, 30))
    result = finite(ub.BatchModel(min_cells=1).fit(counts, ["a", "b"] * 60 + ["c"]).result)
    assert np.abs(result.log_delta).max() < 0.5


def test_a_sketch_too_small_for_the_batches_is_refused():
    counts = np.random.default_rng(1).poisson(2, (400, 10))
    labels = [f"b{cell % 200}" for cell in range(400)]
    with pytest.raises(ub.InputError, match=r"sketch_size is 100: some of the 200 batches would have no cell"):
        ub.BatchModel(method=ub.MatchedOptions(sketch_size=100)).fit(counts, labels)


@pytest.fixture(scope="module")
def stimulated():
    """Batch a holds resting cells, b stimulated ones, small c both; the stimulus changes every gene a little."""
    rng = np.random.default_rng(0)
    base, stimulus = np.exp(rng.normal(0, 1, 200)), rng.normal(0, 0.3, 200)
    types = np.exp(rng.normal(0, 1.2, (3, 200)) * (rng.random((3, 200)) < 0.4))
    delta = rng.normal(0, 0.4, (200, 3))
    sizes = [150, 150, 40, 40]
    batch, condition = np.repeat([0, 1, 2, 2], sizes), np.repeat([0, 1, 0, 1], sizes)
    rates = base * types[rng.integers(0, 3, 380)] * np.exp(condition[:, None] * stimulus + delta[:, batch].T)
    return draw(rates, rng), np.array(["a", "b", "c"])[batch], np.array(["rest", "stim"])[condition], delta, stimulus


def taken_for_batch(result, stimulated):
    """Share of the stimulus that ended up in the effect of batch b against a."""
    counts, _, _, delta, stimulus = stimulated
    loud = counts.sum(axis=0) > 200
    excess = (result.log_delta - delta)[loud] @ [-1, 1, 0]
    return np.polyfit(stimulus[loud], excess, 1)[0]


def test_matching_within_a_condition_keeps_its_biology_out_of_the_effects(stimulated):
    counts, labels, condition, delta, _ = stimulated
    inside = finite(ub.BatchModel().fit(counts, labels, within=condition).result)
    across = finite(ub.BatchModel().fit(counts, labels).result)
    assert abs(taken_for_batch(inside, stimulated)) < 0.15
    assert taken_for_batch(across, stimulated) > 0.5
    assert rmse(inside, delta, counts) < 0.8 * rmse(across, delta, counts)


def test_states_do_not_cross_conditions(stimulated):
    counts, labels, condition, _, _ = stimulated
    sample = ub.BatchModel().fit(counts, labels, within=condition).result.sample
    assert not set(sample[condition == "rest"]) & set(sample[condition == "stim"])


def test_levels_that_one_batch_alone_has_do_not_disturb(stimulated):
    counts, labels, condition, delta, _ = stimulated
    kept = (labels != "b") | (condition == "stim")
    own = np.where(labels == "b", "third", condition)[kept]
    with pytest.warns(ub.InputWarning) as caught:
        result = finite(ub.BatchModel().fit(counts[kept], labels[kept], within=own).result)
    assert any("partly confounded" in str(warning.message) for warning in caught)
    assert any("1 of 3 batches share no cell state" in str(warning.message) for warning in caught)
    assert (result.log_delta[:, 1] == 0).all()
    assert np.isinf(result.se[:, 1]).all()
    assert rmse(_only(result, [0, 2]), delta[:, [0, 2]], counts[kept]) < 0.1


def _only(result, columns):
    return dataclasses.replace(result, log_delta=result.log_delta[:, columns])


def test_control_genes_take_a_technical_programme_out_of_the_matching():
    rng = np.random.default_rng(1)
    control = np.arange(260) < 60
    base = np.exp(rng.normal(0, 1, 260))
    types = np.exp(rng.normal(0, 1.2, (3, 260)) * (rng.random((3, 260)) < 0.3) * ~control)
    loading = rng.normal(0, np.where(control, 1.5, 0.5))
    batch = np.repeat([0, 1], 200)
    cell_type = np.concatenate([rng.choice(3, 200, p=share) for share in ([0.6, 0.3, 0.1], [0.1, 0.3, 0.6])])
    strength = 2 * np.concatenate([rng.beta(2, 6, 200), rng.beta(6, 2, 200)])
    programme, delta = np.exp(strength[:, None] * loading), rng.normal(0, 0.3, (260, 2))
    truth = delta + np.column_stack([np.log(programme[batch == code].mean(axis=0)) for code in (0, 1)])
    counts = draw(base * types[cell_type] * programme * np.exp(delta[:, batch].T), rng, depth=2000)
    confused = finite(ub.BatchModel().fit(counts, batch.astype(str)).result)
    helped = finite(ub.BatchModel().fit(counts, batch.astype(str), control_genes=np.flatnonzero(control)).result)
    assert rmse(helped, truth, counts) < 0.7 * rmse(confused, truth, counts)


@pytest.mark.parametrize("genes", [[0], list(range(40)), list(range(39))])
def test_any_set_of_control_genes_will_do(genes):
    counts = np.random.default_rng(2).poisson(2, (100, 40))
    counts[:, 0] = 0
    with pytest.warns(ub.InputWarning, match="1 of 40 genes have no counts"):
        finite(ub.BatchModel().fit(counts, ["a", "b"] * 50, control_genes=genes).result)


@pytest.fixture(scope="module")
def alien():
    """Batches 1 and 2 share three types, batch 3 has one of its own."""
    shares = [[1 / 3, 1 / 3, 1 / 3, 0], [0.5, 0.3, 0.2, 0], [0, 0, 0, 1]]
    return ub.simulate(
        n_cells=450,
        n_genes=150,
        n_batches=3,
        n_types=4,
        composition=shares,
        log_delta_sd=0.4,
        marker_log_fold_sd=2.0,
        median_depth=1500,
        seed=3,
    )


def test_a_batch_that_shares_nothing_is_named_and_left_alone(alien):
    with pytest.warns(ub.InputWarning, match="1 of 3 batches share no cell state .*: 'batch_3'"):
        result = finite(ub.BatchModel().fit(alien.X, alien.obs["batch"]).result)
    assert (result.log_delta[:, 2] == 0).all()
    assert np.isinf(result.se[:, 2]).all()
    assert result.estimated[:, :2].mean() > 0.9
    own = (alien.obs["batch"] == "batch_3").to_numpy()
    assert (result.overlap[own] == 0).all()
    assert (result.overlap[~own] > 0).mean() > 0.8
    assert (result.support[2] == 0).all()
    table = ub.tl.rank_batch_genes(as_anndata(alien))
    assert not table.isna().any().any()
    assert (table.loc[table["batch"] == "batch_3", "qvalue"] == 1).all()


def as_anndata(alien):
    with pytest.warns(ub.InputWarning, match="'batch_3'"):
        return ub.tl.batch_effects(alien, batch_key="batch", copy=True)


def test_relative_to_a_batch_that_shares_nothing_nothing_is_known(alien):
    with pytest.warns(ub.InputWarning) as caught:
        result = finite(ub.BatchModel(reference="batch_3").fit(alien.X, alien.obs["batch"]).result)
    assert any("nothing is known of the effects in the reference" in str(warning.message) for warning in caught)
    assert (result.log_delta == 0).all()


def test_relative_to_another_batch_it_stays_unknown(alien):
    with pytest.warns(ub.InputWarning, match="'batch_3'"):
        result = ub.BatchModel(reference="batch_1").fit(alien.X, alien.obs["batch"]).result
    assert (result.log_delta[:, [0, 2]] == 0).all()
    known = np.isfinite(result.se[:, 1])
    assert (result.se[known, 0] == 0).all()
    assert known.mean() > 0.9
    assert np.isinf(result.se[:, 2]).all()


def test_several_columns_make_batches_whose_effects_are_those_of_either():
    rng = np.random.default_rng(5)
    base, donor, chemistry = np.exp(rng.normal(1, 1, 100)), rng.normal(0, 0.4, (100, 2)), rng.normal(0, 0.4, (100, 2))
    codes = rng.integers(0, 2, (400, 2))
    adata = ub.simulate(n_cells=400, n_genes=100, seed=1)
    adata.X = draw(base * np.exp(donor[:, codes[:, 0]] + chemistry[:, codes[:, 1]]).T, rng).astype(np.float32)
    adata.obs["donor"], adata.obs["kit"] = np.array(["d0", "d1"])[codes[:, 0]], np.array(["k0", "k1"])[codes[:, 1]]
    ub.tl.batch_effects(adata, batch_key=["donor", "kit"])
    names = list(adata.uns["unbatch"]["batches"])
    assert len(names) == 4
    either = [(int(name[1]), int(name[-1])) for name in names]
    truth = np.column_stack([donor[:, first] + chemistry[:, second] for first, second in either])
    result = ub.BatchModel().fit(adata.X, [f"d{a}k{b}" for a, b in codes]).result
    assert rmse(result, truth, np.asarray(adata.X)) < 0.1
    np.testing.assert_array_equal(result.log_delta, adata.varm["batch_effects"])
