"""Programmes from a fit: the planted ones come back, from any format and block size and number of threads."""

import dataclasses

import anndata as ad
import numba
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import unbatch as ub
from unbatch.io.cluster import DaskDriver
from unbatch.io.reduce import LocalDriver
from unbatch.io.source import open_counts
from unbatch.programmes import FactorOptions, fit_factors
from unbatch.stored_fit import read_slots


class InBlocks(LocalDriver):
    """Reads a few cells at a time."""

    def reduce(self, source, accumulator, *, block_size=None, progress=None):
        return super().reduce(source, accumulator, block_size=block_size or 37, progress=progress)


class Shuffled(LocalDriver):
    """Gives blocks in another order to several accumulators, and merges them."""

    def reduce(self, source, accumulator, *, block_size=None, progress=None):
        import copy

        parts = [copy.deepcopy(accumulator) for _ in range(3)]
        for number, block in enumerate(reversed(list(source.blocks(block_size or 41)))):
            parts[number % 3].add(block)
            if progress is not None:
                progress(block.stop - block.start)
        for part in parts:
            accumulator.merge(part)
        return accumulator


@pytest.fixture(scope="module")
def fitted():
    """300 genes x 600 cells in 2 batches, 4 factors, effects of sd 1."""
    adata = ub.simulate(n_genes=300, n_cells=600, n_factors=4, seed=4)
    ub.tl.batch_effects(adata, batch_key="batch")
    return adata


def found_in(adata, n_factors=4, *, driver=None, **options):
    fit = read_slots(adata)
    return fit_factors(open_counts(adata), fit, n_factors=n_factors, options=FactorOptions(**options), driver=driver)


@pytest.fixture(scope="module")
def expected(fitted):
    return found_in(fitted)


def matched(truth, found):
    n = truth.shape[1]
    correlation = np.corrcoef(truth.T, found.T)[:n, n:]
    return correlation[linear_sum_assignment(-correlation)]


def truth_of(adata):
    """Programmes as a factor per gene that all batches share leaves them, and the shares of counts they make."""
    beta = adata.varm["beta_true"] * np.exp(adata.varm["log_delta_true"].mean(axis=1))[:, None]
    theta = adata.obsm["theta_true"] * beta.sum(axis=0)
    return beta / beta.sum(axis=0), theta / theta.sum(axis=1, keepdims=True)


def test_planted_programmes_and_activities_come_back(fitted, expected):
    beta, theta = truth_of(fitted)
    assert matched(beta, expected.beta).min() > 0.95
    assert matched(theta, expected.proportions).min() > 0.95
    np.testing.assert_allclose(expected.proportions.sum(axis=1), 1, rtol=1e-5)
    assert expected.unconverged == 0
    assert expected.n_pseudobulks == 120


def test_without_the_effects_they_do_not(fitted):
    beta, theta = truth_of(fitted)
    before = found_in(fitted, adjusted=False)
    assert matched(beta, before.beta).mean() < 0.8
    assert matched(theta, before.proportions).mean() < 0.8


@pytest.mark.parametrize("adjusted", [True, False])
def test_cells_of_different_batches_are_pooled_only_with_the_effects(fitted, monkeypatch, adjusted):
    from unbatch.programmes import fitting

    seen = []
    factorise = fitting.factorise
    monkeypatch.setattr(fitting, "factorise", lambda sums, *a, **o: seen.append(sums) or factorise(sums, *a, **o))
    found_in(fitted, 2, adjusted=adjusted)
    n_batches = (seen[0].size > 0).sum(axis=1)
    assert n_batches.max() == (2 if adjusted else 1)


@pytest.mark.parametrize("driver", [InBlocks(), Shuffled()])
def test_blocks_order_and_merging_change_no_bit(fitted, expected, driver):
    same_bits(found_in(fitted, driver=driver), expected)


def test_threads_change_no_bit(fitted, expected):
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        same_bits(found_in(fitted), expected)
    finally:
        numba.set_num_threads(before)


def test_the_format_changes_no_bit(fitted, expected, tmp_path):
    fitted.write_h5ad(tmp_path / "a.h5ad")
    same_bits(found_in(ad.read_h5ad(tmp_path / "a.h5ad", backed="r")), expected)
    other = fitted.copy()
    other.X = other.X.toarray()
    same_bits(found_in(other), expected)


def test_a_cluster_changes_no_bit(fitted, expected, tmp_path, monkeypatch):
    from distributed import Client, LocalCluster

    monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", 2**16)
    fitted.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert len(open_counts(backed).bounds()) > 3
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster, set_as_default=False) as client:
        same_bits(found_in(backed, driver=DaskDriver(client)), expected)


def same_bits(found, expected):
    for name in ("beta", "proportions", "counts", "deviance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.stop_reason == expected.stop_reason


def test_of_several_numbers_the_planted_one_is_chosen_and_found_as_if_asked_for(fitted, expected):
    found = found_in(fitted, [6, 2, 4])
    table = found.held_out
    assert table["n_factors"].tolist() == [2, 4, 6]
    assert table["n_factors"][table["chosen"]].tolist() == [4]
    same_bits(found, expected)
    assert not len(expected.held_out)


def test_the_held_out_cells_have_no_part_in_the_programmes_that_they_judge(fitted, monkeypatch):
    from unbatch.programmes import fitting

    seen = []
    factorise = fitting.factorise
    monkeypatch.setattr(fitting, "factorise", lambda sums, *a, **o: seen.append(sums) or factorise(sums, *a, **o))
    found_in(fitted, [2, 3])
    total = fitted.X.sum()
    assert [round(one.counts.sum() / total, 1) for one in seen] == [0.8, 0.8, 1.0]


def test_cells_that_took_no_part_are_in_no_pseudobulk_but_have_shares():
    adata = ub.simulate(n_genes=120, n_cells=300, n_factors=3, seed=1)
    adata.obs["batch"] = adata.obs["batch"].cat.add_categories("solo")
    adata.obs.iloc[5, adata.obs.columns.get_loc("batch")] = "solo"
    with pytest.warns(ub.InputWarning, match="fewer than 2 cells"):
        ub.tl.batch_effects(adata, batch_key="batch")
    with pytest.warns(ub.InputWarning, match=r"no effect is known \('solo'\)"):
        found = found_in(adata, 3)
    np.testing.assert_allclose(found.proportions[5].sum(), 1, rtol=1e-5)
    changed = adata.copy()
    x = changed.X.tolil()
    x[5, :60] = 100 * x[5, :60]
    changed.X = x.tocsr()
    with pytest.warns(ub.InputWarning, match="no effect is known"):
        np.testing.assert_array_equal(found_in(changed, 3).beta, found.beta)


def test_a_cell_without_counts_has_no_shares():
    adata = ub.simulate(n_genes=100, n_cells=200, n_factors=3, seed=1)
    x = adata.X.tolil()
    x[7] = 0
    adata.X = x.tocsr()
    adata.X.eliminate_zeros()
    with pytest.warns(ub.InputWarning, match="no counts"):
        ub.tl.batch_effects(adata, batch_key="batch")
    found = found_in(adata, 2)
    assert not found.proportions[7].any()
    assert np.isfinite(found.proportions).all()


def test_genes_may_have_gone(fitted, expected):
    found = found_in(fitted[:, 40:].copy())
    assert found.beta.shape == (260, 4)
    assert matched(found.beta, expected.beta[40:]).min() > 0.98


@pytest.mark.parametrize(
    ("n_factors", "options", "message"),
    [
        (0, {}, "n_factors=0: a whole number of at least 1"),
        ([3, 2.5], {}, r"n_factors=\[3, 2.5\]"),
        ([], {}, r"n_factors=\[\]"),
        (200, {}, "200 factors were asked for, but 600 cells make 120 pseudobulks"),
        (3, {"n_pseudobulks": 1}, "n_pseudobulks is 1: it must be a whole number of 2 or more"),
        (3, {"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_done_is_refused(fitted, n_factors, options, message):
    with pytest.raises(ub.InputError, match=message):
        found_in(fitted, n_factors, **options)


def test_other_cells_and_labels_and_a_fit_without_coordinates_are_refused(fitted):
    fit = read_slots(fitted)
    with pytest.raises(ub.InputError, match=r"the 100 cells of .* are not the 600 of the fit"):
        fit_factors(open_counts(fitted[:100].copy()), fit, n_factors=3)
    with pytest.raises(ub.InputError, match="one of effects only"):
        fit_factors(
            open_counts(fitted), dataclasses.replace(fit, embedding=None, sample=None, overlap=None), n_factors=3
        )
    with pytest.raises(ub.InputError, match="no cell took part"):
        fit_factors(open_counts(fitted), dataclasses.replace(fit, sample=np.full(600, -1)), n_factors=3)
    other = fitted.copy()
    other.obs["batch"] = other.obs["batch"].cat.rename_categories({"batch_1": "batch_2", "batch_2": "batch_1"})
    with pytest.raises(ub.InputError, match=r"600 of 600 cells .* bear another batch than in the fit"):
        fit_factors(open_counts(other), fit, n_factors=3)
    half = fitted.copy()
    half.X = half.X * 0.5
    with pytest.raises(ub.InputError, match="not counts"):
        found_in(half)


class ReadsNothing(LocalDriver):
    """Fails if it is asked to read."""

    def reduce(self, *_, **__):
        raise AssertionError("the counts were read")


def test_as_many_factors_as_pseudobulks_are_refused_before_counts_are_read_if_held_out_cells_empty_some(fitted):
    with pytest.raises(
        ub.InputError, match=r"119 factors were asked for, but \d+ of \d+ pseudobulks have cells beside"
    ):
        found_in(fitted, [2, 119], driver=ReadsNothing())


@pytest.fixture(scope="module")
def one_apart():
    """The third batch shares no type with the others: no effect of it is known."""
    shares = [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    adata = ub.simulate(
        n_cells=800, n_genes=100, n_batches=3, n_types=4, composition=shares, log_delta_sd=0.5, median_depth=800, seed=1
    )
    with pytest.warns(ub.InputWarning):
        ub.tl.batch_effects(adata, batch_key="batch")
    assert np.isfinite(adata.varm["batch_effects_se"]).any(axis=0).tolist() == [True, True, False]
    return adata


@pytest.mark.parametrize("n_factors", [3, [2, 3]])
def test_cells_of_batches_without_known_effects_do_not_decide_programmes(one_apart, n_factors):
    other = one_apart.copy()
    apart = (other.obs["batch"] == "batch_3").to_numpy()
    other.X = np.where(apart[:, None], other.X.toarray()[:, ::-1], other.X.toarray())
    of_them = rf"of the batches of {apart.sum()} cells no effect is known \('batch_3'\): programmes are found without"
    with pytest.warns(ub.InputWarning, match=of_them):
        before, after = found_in(one_apart, n_factors), found_in(other, n_factors)
    np.testing.assert_array_equal(before.beta, after.beta)
    np.testing.assert_array_equal(before.proportions[~apart], after.proportions[~apart])
    np.testing.assert_allclose(after.proportions[apart].sum(axis=1), 1, rtol=1e-5)
    assert (before.proportions[apart] != after.proportions[apart]).any()


def test_without_the_effects_all_cells_decide(one_apart):
    unadjusted = found_in(one_apart, 3, adjusted=False)
    assert unadjusted.n_pseudobulks == 160


def test_without_any_known_effect_there_are_no_programmes(fitted):
    fit = read_slots(fitted)
    nothing = dataclasses.replace(fit, se=np.full_like(fit.se, np.inf))
    with pytest.raises(ub.InputError, match=r"no effect of any batch is known.*adjusted=False"):
        fit_factors(open_counts(fitted), nothing, n_factors=3)


def test_as_many_factors_as_places_of_cells_are_refused_without_a_word_of_held_out_cells(fitted):
    alike = fitted.copy()
    alike.obsm["X_unbatch"] = np.zeros_like(alike.obsm["X_unbatch"])
    with pytest.raises(ub.InputError, match=r"4 factors .* the places of the cells tell only 1 pseudobulks apart"):
        found_in(alike, 4, driver=ReadsNothing())
