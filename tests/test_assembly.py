"""Free factors are split between genes and batches, and what is unknown is marked."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from unbatch import InputWarning, methods
from unbatch.assembly import assemble, gene_shifts, measure_overlap
from unbatch.core.contrasts import difference_errors
from unbatch.io.batches import Batches
from unbatch.methods import ConceptOptions, MethodResult

N_GENES, N_BATCHES, N_CELLS = 40, 4, 30


class Source:
    """As much of a source as putting results together needs."""

    obs = pd.DataFrame(index=[f"c{cell}" for cell in range(N_CELLS)])
    var = pd.DataFrame(index=[f"g{gene}" for gene in range(N_GENES)])
    n_genes = N_GENES
    part = np.repeat(np.arange(N_BATCHES), [10, 9, 10, 1]).astype(np.int32)

    def __init__(self, measured):
        self.measured = measured


@dataclasses.dataclass
class Tied:
    """As much of landmarks as putting results together needs."""

    group: np.ndarray
    exposure: np.ndarray = dataclasses.field(default_factory=lambda: np.ones((N_GENES, 6)))
    gene_shift: np.ndarray | None = None
    level_names: tuple[str, ...] = ()


@pytest.fixture
def found():
    rng = np.random.default_rng(2)
    return MethodResult(
        log_delta=rng.normal(size=(N_GENES, N_BATCHES)),
        se=rng.uniform(0.1, 1, (N_GENES, N_BATCHES)),
        informative=rng.random((N_GENES, N_BATCHES)) < 0.9,
        expression=rng.uniform(1, 100, N_GENES),
        mu=rng.uniform(0.1, 10, (N_GENES, 6)),
        sample=rng.integers(0, 6, N_CELLS),
        basis=rng.normal(size=(N_GENES, 2)),
        embedding=rng.normal(size=(N_CELLS, 2)).astype(np.float32),
        trace={"max_change": np.array([1.0, 0.1])},
        stop_reason="converged",
    )


def put_together(found, measured=None, **design):
    batches = Batches(Source.part, ("a", "b", "c", "tiny"), min_cells=2)
    source = Source(np.ones((N_GENES, N_BATCHES), dtype=bool) if measured is None else measured)
    return assemble(
        found,
        source,
        batches=batches,
        options=ConceptOptions(n_dims=2),
        seed=4,
        layer=None,
        support=measure_overlap(found, batches),
        timings={"a": 1.0},
        **design,
    )


def test_gene_shifts_are_found_exactly_where_entries_are_missing():
    rng = np.random.default_rng(0)
    gene, batch = rng.normal(size=50), rng.normal(size=5)
    batch -= batch.mean()
    seen = rng.random((50, 5)) < 0.7
    estimated = seen & (seen.sum(axis=1, keepdims=True) > 1)
    shift = np.where(seen, gene[:, None] + batch, 99.0)
    expected = np.where(seen.any(axis=1), gene, 0.0)
    np.testing.assert_allclose(gene_shifts(shift, informative=seen, estimated=estimated), expected, atol=1e-10)


def test_gene_shifts_rest_on_what_is_estimated_where_anything_is():
    """Relative to a reference, entries of batches that cannot be compared with it stay as they were."""
    rng = np.random.default_rng(1)
    gene, informative = rng.normal(size=50), np.ones((50, 4), dtype=bool)
    estimated = np.tile([True, True, False, False], (50, 1))
    estimated[:5] = False
    shift = np.where(estimated, gene[:, None] + [0.3, -0.3, 0, 0], 9.0)
    found = gene_shifts(shift, informative=informative, estimated=estimated)
    np.testing.assert_allclose(found[5:], gene[5:], atol=1e-10)
    np.testing.assert_allclose(found[:5], 9.0)


def test_a_gene_that_one_batch_of_a_group_tells_of_has_no_effect(found):
    group = np.array([0, 0, 1, 1])
    informative = np.ones((N_GENES, N_BATCHES), dtype=bool)
    informative[:4, 1] = False
    batches = Batches(Source.part, ("a", "b", "c", "d"), min_cells=1)
    found = dataclasses.replace(found, informative=informative, landmarks=Tied(group))
    fit = assemble(
        found,
        Source(np.ones((N_GENES, N_BATCHES), dtype=bool)),
        batches=batches,
        options=ConceptOptions(),
        seed=0,
        layer=None,
        support=measure_overlap(found, batches),
        timings={},
    )
    assert fit.estimated[:4].tolist() == [[False, False, True, True]] * 4
    assert fit.estimated[4:].all()


def test_rates_and_effects_still_predict_the_same_counts_up_to_one_factor_per_batch(found):
    fit = put_together(found)
    before = found.mu[:, :1] * np.exp(found.log_delta)
    after = fit.mu[:, :1] * fit.delta
    for column in range(3):
        ratio = (after / before)[fit.estimated[:, column], column]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_the_mean_over_batches_is_zero(found):
    fit = put_together(found)
    np.testing.assert_allclose(fit.log_delta.sum(axis=1), 0.0, atol=1e-10)


def test_what_is_unknown_is_zero_with_infinite_error(found):
    measured = np.ones((N_GENES, N_BATCHES), dtype=bool)
    measured[:5, 1] = False
    fit = put_together(found, measured)
    unknown = ~found.informative
    unknown[:5, 1] = True
    unknown[:, 3] = True
    unknown |= (~unknown).sum(axis=1, keepdims=True) < 2
    np.testing.assert_array_equal(~fit.estimated, unknown)
    assert np.isinf(fit.se[unknown]).all()
    assert (fit.log_delta[unknown] == 0).all()
    assert np.isfinite(fit.log_delta).all()
    np.testing.assert_array_equal(fit.measured, measured)


def test_a_gene_known_in_one_batch_alone_has_no_effect(found):
    found.informative[7] = [True, False, False, True]
    fit = put_together(found)
    assert not fit.estimated[7].any()
    assert (fit.log_delta[7] == 0).all()


def test_tiny_batches_are_listed_and_have_a_row_of_support(found):
    fit = put_together(found)
    assert fit.too_small == ("tiny",)
    assert fit.support.shape == (4, 4)
    assert (fit.support[3] == 0).all()
    assert fit.overlap[-1] == 0


def test_the_evidence_is_kept(found):
    fit = put_together(found)
    assert fit.parameters == {"n_dims": 2, "n_neighbors": 3, "max_iter": 1000, "tol": 1e-6, "min_cells": 2, "seed": 4}
    assert {"unbatch", "numpy", "python"} <= set(fit.versions)
    assert fit.batch_sizes.tolist() == [10, 9, 10, 1]


def test_relative_to_a_reference_all_contrasts_stay_up_to_one_factor_per_batch(found):
    mean, relative = put_together(found), put_together(found, reference="b")
    assert (relative.log_delta[:, 1] == 0).all()
    known = mean.estimated & mean.estimated[:, [1]]
    np.testing.assert_array_equal(relative.estimated, known)
    for column in (0, 2):
        here = known[:, column]
        moved = (relative.log_delta - (mean.log_delta - mean.log_delta[:, [1]]))[here, column]
        np.testing.assert_allclose(moved, moved[0], atol=1e-12)
    before = found.mu[:, :1] * np.exp(found.log_delta)
    after = relative.mu[:, :1] * relative.delta
    for column in range(3):
        ratio = (after / before)[known[:, column], column]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_errors_relative_to_a_reference_are_those_of_differences(found):
    mean, relative = put_together(found), put_together(found, reference="b")
    np.testing.assert_array_equal(relative.se, difference_errors(mean.se, versus=1))
    np.testing.assert_array_equal(relative.centred_se, mean.se)
    assert (relative.se[relative.estimated[:, 1], 1] == 0).all()
    assert mean.centred_se is None


def test_relative_to_a_reference_batches_of_other_groups_have_no_effect(found):
    grouped = dataclasses.replace(found, landmarks=Tied(np.array([0, 0, 1, -1])))
    fit, one_group = put_together(grouped, reference="b"), put_together(found, reference="b")
    assert not fit.estimated[:, 2].any()
    assert (fit.log_delta[:, 2] == 0).all()
    assert np.isinf(fit.se[:, 2]).all()
    known = fit.estimated[:, 0]
    assert known.any()
    mean = put_together(grouped)
    np.testing.assert_array_equal(fit.se[:, 0], difference_errors(mean.se[:, :2], versus=1)[:, 0])
    assert (fit.se[known, 0] != one_group.se[known, 0]).any()


def test_errors_that_are_not_of_centred_effects_are_centred(found):
    fit = put_together(found)
    gene = int(np.flatnonzero(fit.estimated[:, :3].all(axis=1))[0])
    variance = np.diag(found.se[gene, :3] ** 2)
    centring = np.eye(3) - 1 / 3
    np.testing.assert_allclose(fit.se[gene, :3], np.sqrt(np.diag(centring @ variance @ centring)))


def test_errors_that_are_of_centred_effects_stay(found, monkeypatch):
    (concept,) = [method for method in methods.METHODS if method.name == "concept"]
    monkeypatch.setattr(methods, "METHODS", (dataclasses.replace(concept, centred_se=True),))
    fit = put_together(found)
    np.testing.assert_array_equal(fit.se[fit.estimated], found.se[fit.estimated])


def test_genes_that_the_reference_does_not_know_have_no_effect(found):
    found.informative[:6, 1] = False
    fit = put_together(found, reference="b")
    assert (fit.log_delta[:6] == 0).all()
    assert np.isinf(fit.se[:6]).all()


def test_a_reference_of_which_nothing_is_known_is_told(found):
    found.informative[:, 1] = False
    with pytest.warns(InputWarning, match="nothing is known of the effects in the reference, batch 'b'"):
        fit = put_together(found, reference="b")
    assert not fit.estimated.any()
    assert (fit.log_delta == 0).all()
