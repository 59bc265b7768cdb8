"""The default estimator recovers planted effects, claims nothing where there is nothing, and gives the same bits."""

import os
import subprocess
import sys

import numpy as np
import pytest
from matched_problems import TYPES, contrasts, errors, graded, rmse, simulated
from scipy import sparse, stats

import unbatch as ub
from unbatch._progress import Silent
from unbatch.core.matched import fit_matched
from unbatch.core.rounds import Settings
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods import concept


@pytest.fixture(scope="module")
def problem():
    return simulated(seed=0)


@pytest.fixture(scope="module")
def fitted(problem):
    return problem.fit()


def log_means(problem, n_groups=1, group=0):
    """Log mean of normalised counts by gene, group and batch."""
    library = problem.counts.sum(axis=1)
    normalised = sparse.diags_array(library.mean() / library) @ problem.counts
    n_batches = problem.truth.shape[1]
    code = group * n_batches + problem.batch
    member = sparse.csr_array(
        (np.ones(len(code)), (code, np.arange(len(code)))), shape=(n_groups * n_batches, len(code))
    )
    means = (member @ normalised).toarray() / np.maximum(np.bincount(code, minlength=n_groups * n_batches), 1)[:, None]
    return np.log(means.T + 1e-4).reshape(-1, n_groups, n_batches)


def naive(problem):
    return log_means(problem)[:, 0]


# truth


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_effects_come_back_where_batches_differ_in_composition(seed):
    problem = simulated(seed=seed)
    found = problem.fit().effects.log_delta
    assert rmse(found, problem) < 0.5 * rmse(naive(problem), problem)
    truth, contrast = contrasts(problem.truth), contrasts(found)
    assert np.corrcoef(truth.ravel(), contrast.ravel())[0, 1] > 0.95
    assert 0.9 < np.sum(truth * contrast) / np.sum(truth**2) < 1.1


def test_it_is_nearer_than_the_published_method(problem, fitted):
    adata = ub.simulate(**TYPES, seed=0)
    source = open_counts(adata)
    published = concept.fit(
        source, read_batches(source, "batch"), concept.ConceptOptions(), seed=0, progress=Silent()
    ).log_delta
    assert rmse(fitted.effects.log_delta, problem) < 0.7 * rmse(published, problem)


def test_states_hold_one_type_each(problem, fitted):
    table = np.zeros((fitted.states.n_states, 5))
    np.add.at(table, (fitted.states.code, problem.cell_type), 1)
    assert table.max(axis=1).sum() / table.sum() > 0.97


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_cover_the_truth(seed):
    problem = simulated(seed=seed, n_genes=500)
    effects = problem.fit().effects
    inside = np.abs(errors(effects.log_delta, problem.truth)) <= 1.96 * effects.se
    assert 0.91 < inside.mean() < 0.985


@pytest.mark.parametrize("seed", [0, 1])
def test_without_effects_it_claims_none(seed):
    problem = simulated(seed=seed, log_delta_sd=0.0)
    effects = problem.fit().effects
    by_type = log_means(problem, 5, problem.cell_type)
    cells = np.zeros((5, 3))
    np.add.at(cells, (problem.cell_type, problem.batch), 1)
    weight = np.where(cells > 20, cells, 0.0)
    centred = by_type - (by_type * weight).sum(axis=2, keepdims=True) / weight.sum(axis=1)[:, None]
    oracle = (centred * weight).sum(axis=1) / weight.sum(axis=0)
    assert rmse(effects.log_delta, problem) < 0.5 * rmse(oracle, problem)
    assert rmse(effects.log_delta, problem) < 0.02
    p = np.sort(2 * stats.norm.sf(np.abs(contrasts(effects.log_delta)) / effects.se).ravel())
    assert not (p <= 0.05 * np.arange(1, p.size + 1) / p.size).any()


@pytest.fixture(scope="module")
def unshared():
    """Three batches mix four types; the last batch has two types of its own and nothing else."""
    composition = np.zeros((4, 6))
    composition[:3, :4] = np.random.default_rng(1).dirichlet(np.full(4, 0.7), size=3)
    composition[3, 4:] = 0.5
    return simulated(seed=4, n_types=6, n_batches=4, composition=composition, n_cells=2000)


def test_a_batch_that_shares_nothing_gets_no_effect(unshared):
    fit = unshared.fit()
    np.testing.assert_array_equal(fit.tied.identifiable, [True, True, True, False])
    np.testing.assert_array_equal(fit.effects.log_delta[:, 3], 0)
    assert np.isinf(fit.effects.se[:, 3]).all()
    assert not fit.support[:, 3].any()
    rest = unshared._replace(truth=unshared.truth[:, :3])
    assert rmse(fit.effects.log_delta[:, :3], rest) < 0.1


def test_batches_without_anything_in_common_get_no_effect():
    problem = simulated(seed=2, n_types=6, composition=np.kron(np.eye(3), [1, 1]))
    fit = problem.fit(level=problem.batch)  # for without it they are mostly linked through one type: see decision 8
    assert fit.stop_reason == "nothing shared"
    np.testing.assert_array_equal(fit.effects.log_delta, 0)
    assert np.isinf(fit.effects.se).all()


def test_groups_of_batches_are_fitted_by_themselves():
    """Two batches have one level, two the other: only those of one level can be compared."""
    composition = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]] * 2
    problem = simulated(seed=3, n_types=3, n_batches=4, composition=composition, n_cells=2000)
    fit = problem.fit(level=(problem.batch // 2).astype(np.int32))
    assert fit.tied.group.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    for mine in ([0, 1], [2, 3]):
        part = problem._replace(truth=problem.truth[:, mine])
        assert rmse(fit.effects.log_delta[:, mine], part) < 0.1
        np.testing.assert_allclose(fit.effects.log_delta[:, mine].mean(axis=1), 0, atol=1e-12)


def test_a_correction_that_is_chosen_in_the_last_round_is_made():
    problem, before = graded(), None
    for rounds in range(1, 16):
        fit = problem.fit(settings=Settings(max_rounds=rounds))
        if fit.composition.strength > 0:
            break
        before = fit
    assert before is not None
    assert rmse(fit.effects.log_delta, problem) < 0.8 * rmse(before.effects.log_delta, problem)


def test_genes_that_a_batch_did_not_measure_get_no_effect_from_zeros(problem, fitted):
    measured = np.ones(problem.truth.shape, dtype=bool)
    measured[:40, 2] = False
    counts = problem.counts.toarray()
    counts[np.ix_(problem.batch == 2, np.arange(40))] = 0
    fit = problem._replace(counts=sparse.csr_array(counts)).fit(measured=measured)
    np.testing.assert_allclose(fit.effects.log_delta[:40, 2], 0, atol=1e-6)
    assert not fit.basis[:40].any()
    pair = problem.truth[:40, 0] - problem.truth[:40, 1]
    found = fit.effects.log_delta[:40, 0] - fit.effects.log_delta[:40, 1]
    assert np.corrcoef(pair, found)[0, 1] > 0.9
    rest = errors(fit.effects.log_delta[40:], problem.truth[40:])
    assert np.std(rest) < 1.2 * np.std(errors(fitted.effects.log_delta[40:], problem.truth[40:]))


@pytest.mark.parametrize(
    "changes",
    [
        {"confounding": 0.65, "n_types": 0, "composition": None, "log_delta_sd": 1.0, "n_factors": 5},
        {"dispersion": 0.3},
        {"median_depth": 300},
        {"batch_depth": (5.0, 1.0, 1.0)},
        {"n_batches": 2, "batch_proportions": (50, 1450)},
    ],
    ids=["graded", "over-dispersed", "sparse", "unequal depth", "unequal size"],
)
def test_harder_data_are_never_worse_than_naive(changes):
    problem = simulated(seed=1, **changes)
    assert rmse(problem.fit().effects.log_delta, problem) < 0.85 * rmse(naive(problem), problem)


def test_control_genes_leave_the_matching():
    """The quality of cells, that control genes show and others feel, differs in one batch: that is its effect."""
    problem, rng = simulated(seed=5), np.random.default_rng(0)
    control = np.arange(300) < 30
    strength = np.where(control, 1.0, 0.7 * (rng.random(300) < 0.15))
    shift = np.array([1.2, 0.0, 0.0])
    quality = shift[problem.batch] + 0.7 * rng.standard_normal(len(problem.batch))
    dense = problem.counts.toarray()
    dense[:, control] = 5 * np.exp(problem.truth[:30, problem.batch].T)
    dense = rng.poisson(dense * np.exp(np.outer(quality, strength)))
    truth = problem.truth + np.outer(strength, shift)
    problem = problem._replace(counts=sparse.csr_array(dense), truth=truth)

    def explained(fit):
        """Share of the variance of the quality within batches that the coordinates hold."""
        logs = np.log1p(dense * fit.scale / dense.sum(axis=1, keepdims=True))
        design = np.column_stack([logs @ fit.basis, problem.batch[:, None] == np.arange(3)])
        within = quality - shift[problem.batch]
        residual = within - design @ np.linalg.lstsq(design, within, rcond=None)[0]
        return 1 - residual.var() / within.var()

    def error_of_affected(fit):
        return np.sqrt(np.mean(errors(fit.effects.log_delta, truth)[strength > 0] ** 2))

    plain, told = problem.fit(), problem.fit(control_genes=control)
    assert explained(plain) > 0.8
    assert explained(told) < 0.3
    assert error_of_affected(told) < 0.5 * error_of_affected(plain)


# what the result says


def test_states_do_not_span_levels(problem):
    level = (np.random.default_rng(0).random(len(problem.batch)) < 0.4).astype(np.int32)
    fit = problem.fit(level=level)
    np.testing.assert_array_equal(fit.states.level[fit.states.code], level)
    assert len(np.unique(fit.states.level)) == 2
    assert rmse(fit.effects.log_delta, problem) < 0.5 * rmse(naive(problem), problem)


def test_a_condition_is_not_taken_for_a_batch_effect():
    """Genes of a condition that two batches have in unlike shares show no effect if cells match within it."""
    problem = simulated(seed=6, log_delta_sd=0.0, composition=None, n_batches=2)
    rng = np.random.default_rng(0)
    level = (rng.random(len(problem.batch)) < np.where(problem.batch == 0, 0.8, 0.2)).astype(np.int32)
    dense = problem.counts.toarray()
    treated = np.ix_(level == 1, np.arange(30))
    dense[treated] = rng.poisson(dense[treated] * 2.5)
    problem = problem._replace(counts=sparse.csr_array(dense))
    fit = problem.fit(level=level)
    assert np.sqrt(np.mean(contrasts(fit.effects.log_delta) ** 2)) < 0.02


def test_graded_states_are_corrected():
    """The factor model is heard where cells of two batches differ by no more than the width of a state."""
    assert graded().fit().composition.strength > 0


def test_effects_of_states_are_not_taken_for_composition():
    """Where a batch moves each state its own way, cells mostly lie farther apart than composition can explain."""
    assert sum(graded(shift=0.3, seed=seed).fit().composition.strength > 0 for seed in range(1, 8)) <= 3


def test_the_trace_has_one_value_per_round(fitted):
    assert set(fitted.trace) == {"change", "matched", "states", "objective"}
    n_rounds = {len(values) for values in fitted.trace.values()}
    assert len(n_rounds) == 1
    assert fitted.stop_reason == "converged"
    assert fitted.trace["change"][-1] < Settings().tol
    assert (fitted.trace["matched"] > 0.9).all()
    assert fitted.trace["states"][-1] == fitted.states.n_states


def test_rounds_end_at_their_number(problem):
    fit = problem.fit(settings=Settings(max_rounds=1, tol=1e-9))
    assert fit.stop_reason == "max_rounds"
    assert len(fit.trace["change"]) == 1


def test_shapes_agree(problem, fitted):
    n_states = fitted.states.n_states
    assert fitted.support.shape == fitted.cells.shape == fitted.effects.state_residual.shape == (n_states, 3)
    assert fitted.effects.rate.shape == (300, n_states)
    assert fitted.basis.shape == (300, 20)
    kept = ~fitted.states.apart[fitted.states.code, problem.batch]
    expected = np.zeros((n_states, 3))
    np.add.at(expected, (fitted.states.code[kept], problem.batch[kept]), 1)
    np.testing.assert_array_equal(fitted.cells, expected)
    np.testing.assert_array_equal(fitted.support, (expected > 0) & ((expected > 0).sum(axis=1, keepdims=True) > 1))


# symmetries


def test_the_order_of_genes_does_not_matter(problem, fitted):
    order = np.random.default_rng(0).permutation(300)
    other = problem._replace(counts=problem.counts[:, order].sorted_indices(), truth=problem.truth[order]).fit()
    np.testing.assert_allclose(other.effects.log_delta, fitted.effects.log_delta[order], atol=1e-9)
    np.testing.assert_allclose(other.effects.se, fitted.effects.se[order], rtol=1e-9)


def difference_in_errors(one, other):
    """Root mean square difference of two fits in standard errors."""
    return np.sqrt(np.mean((errors(one.log_delta, other.log_delta) / other.se) ** 2))


def test_the_names_of_batches_matter_less_than_the_errors(problem, fitted):
    order = np.array([2, 0, 1])
    other = problem._replace(batch=np.argsort(order)[problem.batch].astype(np.int32)).fit()
    back = np.argsort(order)
    assert difference_in_errors(other.effects.of_batches(back), fitted.effects) < 0.8


def test_the_order_of_cells_matters_less_than_the_errors(problem, fitted):
    """It changes where the clustering starts."""
    order = np.random.default_rng(0).permutation(len(problem.batch))
    other = problem._replace(counts=problem.counts[order], batch=problem.batch[order]).fit()
    assert difference_in_errors(other.effects, fitted.effects) < 0.8


def test_the_seed_matters_less_than_the_errors(problem, fitted):
    assert 0 < difference_in_errors(problem.fit(seed=1).effects, fitted.effects) < 0.8


# the same bits


def test_the_same_seed_gives_the_same_bits(problem, fitted):
    again = problem.fit()
    for name in ("log_delta", "se", "rate", "dispersion"):
        np.testing.assert_array_equal(getattr(again.effects, name), getattr(fitted.effects, name))
    np.testing.assert_array_equal(again.basis, fitted.basis)


def test_the_counts_are_left_alone(problem):
    before = problem.counts.copy()
    problem.fit()
    np.testing.assert_array_equal(problem.counts.data, before.data)
    np.testing.assert_array_equal(problem.counts.indices, before.indices)


SCRIPT = """
import hashlib
import numpy as np
from scipy import sparse
from unbatch.core.matched import fit_matched
rng = np.random.default_rng(0)
batch = rng.integers(0, 2, 600).astype(np.int32)
loadings, activity = rng.gamma(1.0, size=(150, 5)), rng.gamma(1.0, size=(600, 5)) * (1 + 2 * rng.random((2, 5)))[batch]
counts = rng.poisson(3 * activity @ loadings.T * np.exp(0.5 * rng.standard_normal((2, 150)))[batch])
fit = fit_matched(sparse.csr_array(counts.astype(float)), batch, measured=np.ones((150, 2), dtype=bool))
parts = (fit.effects.log_delta, fit.effects.se, fit.effects.rate, fit.basis, fit.states.code)
print(fit.composition.strength, *(hashlib.sha256(part.tobytes()).hexdigest() for part in parts))
rng = np.random.default_rng(1)
kind = rng.integers(0, 4, 1200)
batch, types = rng.integers(0, 2, 1200).astype(np.int32), rng.normal(0, 1, (4, 200))
own = rng.normal(0, 0.3, (2, 4, 200))
share = np.exp(types[kind] + own[batch, kind])
counts = rng.poisson(600 * share / share.sum(axis=1, keepdims=True))
fit = fit_matched(sparse.csr_array(counts.astype(float)), batch, measured=np.ones((200, 2), dtype=bool))
parts = (fit.effects.log_delta, fit.effects.se, fit.states.code, *(one.shift for one in fit.shifts))
print(fit.linked is not None, *(hashlib.sha256(part.tobytes()).hexdigest() for part in parts))
"""


def test_any_number_of_threads_gives_the_same_bits():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env=os.environ | dict.fromkeys(names, n), stdout=subprocess.PIPE, text=True
        )
        for n in ("1", "2", "4")
    ]
    said = [process.communicate()[0] for process in running]
    assert said[0] == said[1] == said[2]
    assert float(said[0].split()[0]) > 0  # the factor model takes part
    assert said[0].splitlines()[1].startswith("True")  # so do links


def test_genes_that_a_batch_did_not_measure_are_no_states_that_it_lacks():
    adata = ub.simulate(n_cells=2400, n_genes=400, n_batches=3, confounding=0.65, n_factors=4, log_delta_sd=0.5, seed=0)
    batch, counts = np.array(adata.obs["batch"].cat.codes, dtype=np.int32), adata.X.toarray().astype(np.float64)
    measured = np.ones((400, 3), dtype=bool)
    counts[np.ix_(batch == 2, np.arange(100))], measured[:100, 2] = 0, False
    found = fit_matched(sparse.csr_array(counts), batch, measured=measured)
    assert found.composition.strength > 0
    loud = measured.all(axis=1) & (counts.sum(axis=0) > 200)
    error = (found.effects.log_delta - adata.varm["log_delta_true"])[loud]
    error = error[:, 0] - error[:, 1]
    assert np.std(error) < 0.06
