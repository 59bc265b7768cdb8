"""Sums and quotients of 200 random small inputs against slow numpy: integers to the bit, floats to 1e-5."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import optimize, sparse

from unbatch.core.adjust import Adjuster, AdjustOptions
from unbatch.core.exact_sums import ExactSums
from unbatch.core.loglinear import fit_effects, fit_log_delta
from unbatch.core.projection import LogAxes
from unbatch.core.state_table import StateTable
from unbatch.io.door import DoorCheck
from unbatch.io.source import open_counts

INPUTS = 200
pytestmark = pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")


def _draw(seed):
    """A small matrix of any depth, from one count per cell to 2^40, with empty rows and columns."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    rates = rng.lognormal(0, 2, shape) * 10.0 ** rng.uniform(-1, 12)
    counts = rng.poisson(np.minimum(rates, 2.0**40)) * (rng.random(shape) < 0.6)
    counts[0, 0] = max(counts[0, 0], 1)
    return counts.astype(np.float64), rng


def test_sums_are_exact_whatever_the_blocks():
    for seed in range(INPUTS):
        counts, rng = _draw(seed)
        source = open_counts(AnnData(sparse.csr_matrix(counts)))
        check = DoorCheck(source)
        for block in source.blocks(int(rng.integers(1, 5))):
            check.add(block)
        report = check.finish()
        whole = [[int(count) for count in row] for row in counts]  # Python's integers know no overflow
        assert report.counts_per_cell.tolist() == [sum(row) for row in whole]
        assert report.counts_per_gene.tolist() == [sum(column) for column in zip(*whole, strict=True)]
        assert report.n_nonzero == np.count_nonzero(counts)


def _cells(seed):
    """Cells of a few states and batches, with effects, size factors and axes."""
    counts, rng = _draw(seed)
    n_cells, n_genes = counts.shape
    shape = tuple(int(number) for number in rng.integers(1, 4, 2))
    state = rng.integers(-1, shape[0], n_cells).astype(np.int32)
    batch = rng.integers(0, shape[1], n_cells).astype(np.int32)
    log_delta = rng.normal(0, 1, (n_genes, shape[1]))
    basis = rng.normal(0, 1, (n_genes, 3)) * (rng.random((n_genes, 1)) < 0.8)
    return counts, shape, state, batch, log_delta, basis, rng


def test_sums_by_state_and_batch_are_exact_and_sums_of_parts_as_near_as_is_stated():
    for seed in range(INPUTS):
        counts, shape, state, batch, _, _, rng = _cells(seed)
        counts = np.minimum(counts, 2.0**20)
        size = rng.lognormal(0, 1, len(counts)) * (1 + counts.sum(axis=1))
        added = ExactSums(counts.shape[1], shape)
        cut = int(rng.integers(0, len(counts) + 1))
        for part in (slice(cut, None), slice(None, cut)):
            rows = sparse.csr_array(counts[part])
            added.add(rows, state=state[part], batch=batch[part], size=size[part])
        whole = StateTable.of(sparse.csr_array(counts), state=state, batch=batch, size=size, shape=shape)
        found = added.finish()
        for s in range(shape[0]):
            for k in range(shape[1]):
                mine = np.flatnonzero((state == s) & (batch == k))
                sums = [sum(int(counts[j, g]) for j in mine) for g in range(counts.shape[1])]
                squares = [sum(counts[j, g] ** 2 / size[j] for j in mine) for g in range(counts.shape[1])]
                for table in (found, whole):
                    assert table.counts[:, s, k].tolist() == sums
                    assert table.cells[s, k] == len(mine)
                np.testing.assert_allclose(whole.squares[:, s, k], squares, rtol=1e-12)
                np.testing.assert_allclose(whole.exposure[s, k], size[mine].sum(), rtol=1e-12)
                np.testing.assert_allclose(found.squares[:, s, k], squares, rtol=1e-12, atol=len(mine) * 2.0**-25)
                np.testing.assert_allclose(
                    found.exposure[s, k], size[mine].sum(), rtol=1e-12, atol=len(mine) * 2.0**-17
                )


def test_coordinates_of_cells_are_those_of_slow_logarithms():
    for seed in range(INPUTS):
        counts, _, _, batch, log_delta, basis, rng = _cells(seed)
        genes = rng.random(counts.shape[1]) < 0.7
        scale = float(rng.lognormal(6, 1))
        axes = LogAxes.of(basis, log_delta=log_delta, genes=genes)
        rows = sparse.csr_array(counts)
        adjusted = counts / np.exp(log_delta[:, batch].T)
        sizes = [sum(value for value, inside in zip(cell, genes, strict=True) if inside) or 1.0 for cell in adjusted]
        expected = np.array(
            [
                [sum(np.log1p(scale * y / size) * v for y, v in zip(cell, axis, strict=True)) for axis in basis.T]
                for cell, size in zip(adjusted, sizes, strict=True)
            ]
        )
        np.testing.assert_allclose(axes.sizes(rows, batch), sizes, rtol=1e-12)
        largest = np.abs(expected).max(initial=1.0)
        np.testing.assert_allclose(axes.project(rows, batch, scale=scale), expected, rtol=1e-5, atol=1e-12 * largest)


def test_adjusted_counts_are_the_quotient_to_a_hundred_thousandth():
    for seed in range(INPUTS):
        counts, rng = _draw(seed)
        n_cells, n_genes = counts.shape
        n_batches = int(rng.integers(1, 4))
        delta = rng.lognormal(0, 1, (n_genes, n_batches))
        codes = rng.integers(0, n_batches, n_cells).astype(np.int32)
        keep = bool(rng.random() < 0.5)
        options = AdjustOptions(keep_library_size=keep, max_factor=1e6)
        adjuster = Adjuster(delta, np.ones(delta.shape, dtype=bool), options)
        found = adjuster.adjust(sparse.csr_array(counts), codes).counts.toarray()
        expected = counts / delta[:, codes].T
        if keep:
            sums = expected.sum(axis=1, keepdims=True)
            expected *= np.divide(counts.sum(axis=1, keepdims=True), sums, out=np.ones_like(sums), where=sums > 0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=str(pd.DataFrame(counts)))


def _tables(seed):
    """Two sets of sums over some states and batches, with batches that lack a state and genes without counts."""
    rng = np.random.default_rng(seed)
    n_genes, n_states, n_batches = rng.integers(1, 6), rng.integers(1, 5), rng.integers(2, 5)
    tables = []
    for _ in range(2):
        cells = rng.integers(0, 40, (n_states, n_batches)).astype(np.float64)
        exposure = cells * rng.lognormal(0, 0.3, cells.shape)
        rates = rng.lognormal(0, 2, (n_genes, n_states, 1)) * rng.lognormal(0, 0.7, (n_genes, 1, n_batches))
        counts = rng.poisson(rates * exposure).astype(np.float64)
        counts[rng.random(n_genes) < 0.1] = 0
        squares = np.where(exposure > 0, counts**2 / np.maximum(exposure, 1) + counts * rng.uniform(1, 3), 0.0)
        tables.append(StateTable(counts=counts, squares=squares, exposure=exposure, cells=cells))
    return tables


def _slow_mode(counts, exposure, dispersion, width, correlation):
    """Log effects of one gene, at which the slope of the log-posterior of the shares of batches is 0."""
    n_states, n_batches = counts.shape
    precision = np.linalg.inv(width[:, None] * correlation * width)

    def slope(log_delta):
        found = [-sum(precision[k, m] * log_delta[m] for m in range(n_batches)) for k in range(n_batches)]
        for s in range(n_states):
            total, parts = counts[s].sum(), [exposure[s, k] * np.exp(log_delta[k]) for k in range(n_batches)]
            if total > 0:
                for k in range(n_batches):
                    found[k] += (counts[s, k] - total * parts[k] / sum(parts)) / dispersion
        return np.array(found)

    def posterior(log_delta):
        value = log_delta @ precision @ log_delta / 2
        for s in range(n_states):
            if counts[s].sum() > 0:
                parts = exposure[s] * np.exp(log_delta)
                known = counts[s] > 0
                value -= (counts[s, known] * np.log(parts[known] / parts.sum())).sum() / dispersion
        return value

    near = optimize.minimize(posterior, np.zeros(n_batches), jac=lambda at: -slope(at), method="BFGS").x
    found = optimize.root(slope, near, tol=1e-12)
    assert np.abs(slope(found.x)).max() < 1e-6 * max(counts.sum() / dispersion, 1)
    return found.x


def _slow_modes(table, factor, fitted, scale):
    exposure = table.exposure * factor * scale
    return np.array(
        [
            _slow_mode(counts, exposure[gene], fitted.dispersion[gene], fitted.width[gene], fitted.correlation.matrix)
            for gene, counts in enumerate(table.counts)
        ]
    )


def _middle(values, weights):
    """The value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return values[order][reached >= weights.sum() / 2][0]


def test_effects_and_rates_are_those_of_a_slow_search():
    for seed in range(INPUTS):
        table, other = _tables(seed)
        factor = np.random.default_rng(seed).lognormal(0, 0.3, table.counts.shape) if seed % 2 else None
        fitted = fit_effects(table, composition=factor)
        again = fit_log_delta(other, fitted, composition=factor)
        factor = np.ones_like(table.counts) if factor is None else factor
        expected = _slow_modes(table, factor, fitted, fitted.scale)
        np.testing.assert_allclose(fitted.log_delta, expected, rtol=1e-5, atol=1e-5)
        expected, totals = _slow_modes(other, factor, fitted, fitted.scale), other.counts.sum(axis=(1, 2))
        level = np.array([_middle(moved, totals) for moved in (expected - fitted.log_delta).T])
        if np.abs(level).max() > 1e-3:
            expected = _slow_modes(other, factor, fitted, fitted.scale * np.exp(level))
        np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)
        weight = np.einsum("sk,gsk,k,gk->gs", table.exposure, factor, fitted.scale, np.exp(fitted.log_delta))
        rates = np.divide(table.counts.sum(axis=2), weight, out=np.zeros_like(weight), where=weight > 0)
        np.testing.assert_allclose(fitted.rate, rates, rtol=1e-10)
        np.testing.assert_allclose(fitted.exposure, weight, rtol=1e-10)
