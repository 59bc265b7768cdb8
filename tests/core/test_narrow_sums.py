"""Sums that are kept in single precision are those of a table in double precision."""

import numpy as np
import pytest
from grouped_cells import N_CELLS, N_GENES, grouped
from scipy import sparse

from unbatch.core import state_table
from unbatch.core.loglinear import fit_effects
from unbatch.core.narrow_sums import NarrowSums

SHAPE = (5, 7)
CELLS = grouped(*SHAPE)
table = CELLS.table


@pytest.fixture
def wide():
    return table()


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(state_table, "MOST_WIDE", N_GENES * SHAPE[0] * SHAPE[1] - 1)
    found = table()
    assert isinstance(found.counts, NarrowSums)
    return found


def test_up_to_the_limit_sums_are_in_double_precision(monkeypatch, wide):
    monkeypatch.setattr(state_table, "MOST_WIDE", N_GENES * SHAPE[0] * SHAPE[1])
    found = table()
    assert found.squares.dtype == np.float64
    np.testing.assert_array_equal(found.squares, wide.squares)


@pytest.mark.parametrize("genes", [slice(None), slice(7, 9), slice(3, 3), np.array([3, 30, 4]), 5])
def test_blocks_of_genes_are_those_of_double_precision(wide, narrow, genes):
    assert narrow.squares[genes].dtype == np.float64
    np.testing.assert_array_equal(narrow.counts[genes], wide.counts[genes])
    np.testing.assert_array_equal(narrow.squares[genes], wide.squares[genes].astype(np.float32))


def test_sums_are_rounded_once(monkeypatch):
    """Were they added up in single precision, one count would be lost beside 2^24."""
    monkeypatch.setattr(state_table, "MOST_WIDE", 0)
    counts = np.zeros((N_CELLS, N_GENES), dtype=np.float32)
    first, second, third = np.flatnonzero((CELLS.state == 0) & (CELLS.batch == 0))[:3]
    counts[first], counts[second], counts[third] = 2.0**24, 1, 1
    assert (table(sparse.csr_array(counts)).counts[:][:, 0, 0] == 2.0**24 + 2).all()


def test_margins_are_those_of_double_precision(wide, narrow):
    for found, expected in zip(narrow.margins, wide.margins, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("chosen", [np.arange(7) % 3 == 0, np.arange(7) == 6, np.ones(7, dtype=bool)])
def test_some_batches_are_those_of_double_precision(wide, narrow, chosen):
    some, expected = narrow.of_batches(chosen), wide.of_batches(chosen)
    assert some.counts.shape == expected.counts.shape
    np.testing.assert_array_equal(some.counts[:], expected.counts)
    np.testing.assert_array_equal(some.exposure, expected.exposure)


def test_effects_are_those_of_double_precision(wide, narrow):
    assert len(narrow.counts) == N_GENES
    found, expected = fit_effects(narrow), fit_effects(wide)
    for name in ("log_delta", "se", "dispersion", "rate", "exposure", "state_residual", "gene_residual"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-8)
