"""Remainder: what a batch does to single states beyond its effect on all of them."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.diagnostics.sample import Sample
from unbatch.core.discoveries import q_values
from unbatch.core.growing_dispersion import dispersion_of_sums, growth_of
from unbatch.core.kernels.state_effects import fit_margins
from unbatch.core.parallel import in_ranges
from unbatch.core.state_effects import fit_state_effects
from unbatch.core.state_table import StateTable

_GENES, _VALUES = 2000, 8_000_000
_ENOUGH = 5.0
_HALF = 0.5
_STEPS, _GENES_AT_ONCE = 30, 64


@dataclass(frozen=True, eq=False)
class Remainder:
    """Result of `measure_remainder`.

    Attributes
    ----------
    genes
        (n_chosen,) genes that were looked at: those with most counts.
    log_ratio
        (n_chosen, n_states, n_batches) log of counts over those expected; 0 where too few are expected.
    se
        Its standard error, as shaped; 0 where too few are expected.
    z
        Departure in standard errors, as shaped; 0 where too few are expected.
    cells
        (n_states, n_batches) cells compared.
    mean_square
        (n_states, n_batches) mean of z squared over genes, about 1 if the model holds; 0 where nothing is compared.
    sd
        Standard deviation of the effects of states on a log scale that is usual for genes, beyond what counts scatter.
    qvalue
        (n_chosen,) of a chi-square test of each gene against one effect on all states, Benjamini-Hochberg over genes; 1
        where too few counts are expected.
    """

    genes: IntArray
    log_ratio: FloatArray
    se: FloatArray
    z: FloatArray
    cells: FloatArray
    mean_square: FloatArray
    sd: float
    qvalue: FloatArray


def measure_remainder(sample: Sample) -> Remainder:
    r"""Compare the counts of each state and batch with what one effect on all states foretells.

    .. math:: \hat\gamma_{gsk} = \frac{Y_{gsk}}{m_{gsk}}, \qquad m_{gsk} = u_{gs} v_{gk} E_{sk} \delta_{gk}, \qquad
              z_{gsk} = \frac{Y_{gsk} - m_{gsk}}{\sqrt{\phi_{gsk} m_{gsk} (1 - m_{gsk} / m_{gs\cdot})
              (1 - m_{gsk} / m_{g\cdot k})}}

    with E the summed size factors, u and v such that m has the sums of Y over batches and over states, and phi the
    dispersion of sums of these cells around their state, which grows with the mean (`dispersion_of_sums`): z is the
    adjusted residual of a two-way table (Haberman 1973, Biometrics 29:205-220). This is the gamma of the published
    method, over the value that ties it to the effects: a free factor of a state in a batch. Where it is far from 1 the
    batch acts on the state in its own way, or cells of different types were compared.

    Returns
    -------
    Remainder
    """
    shape = (sample.n_states, sample.n_batches)
    n_genes = int(np.clip(_VALUES // max(shape[0] * shape[1], 1), 1, _GENES))
    genes = sample.loud(n_genes)
    cells = sample.cells.astype(np.float64)
    compared = (cells > 0) & ((cells > 0).sum(axis=1, keepdims=True) > 1)
    nothing = np.zeros((len(genes), *shape))
    if not compared.any() or not len(genes):
        return Remainder(genes, nothing, nothing, nothing, cells * compared, np.zeros(shape), 0.0, np.ones(len(genes)))
    table = _table(sample.counts[:, genes], sample.state, sample.batch, sample.sizes, shape)
    log_delta = sample.log_delta[genes]
    counts, squares = table.counts[:] * compared, table.squares[:]
    expected = _expected(counts, table.exposure * compared * np.exp(log_delta)[:, None, :])
    free = (1 - _share(expected, axis=2)) * (1 - _share(expected, axis=1))
    dispersion, squared_sizes = _dispersion(table), _squared_sizes(sample, shape)
    growth = growth_of(counts, squares, expected, exposure=table.exposure, cells=table.cells)
    of_sums = dispersion_of_sums(dispersion, growth, expected, exposure=table.exposure, squared_sizes=squared_sizes)
    variance = of_sums * expected * free
    known = (expected >= _ENOUGH) & (variance > 0) & compared
    safe, spread = np.where(known, expected, 1.0), np.where(known, variance, 1.0)
    counts = np.where(known, counts, 1.0)
    z = np.where(known, (counts - safe) / np.sqrt(spread), 0.0)
    states = fit_state_effects(
        table, log_delta=log_delta, dispersion=dispersion, support=compared, squared_sizes=squared_sizes
    )
    n_known = known.sum(axis=0)
    return Remainder(
        genes=genes,
        log_ratio=np.where(known, np.log((counts + _HALF) / (safe + _HALF)), 0.0),
        se=np.where(known, np.sqrt(spread) / safe, 0.0),
        z=z,
        cells=cells * compared,
        mean_square=np.square(z).sum(axis=0) / np.maximum(n_known, 1),
        sd=states.sd,
        qvalue=_qvalues(z**2 * free, known * free),
    )


def _table(counts: Counts, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]) -> StateTable:
    return StateTable.of(counts.sorted_indices(), state=state, batch=batch, size=size, shape=shape)


def _squared_sizes(sample: Sample, shape: tuple[int, int]) -> FloatArray:
    found, here = np.zeros(shape), sample.state >= 0
    np.add.at(found, (sample.state[here], sample.batch[here]), sample.sizes[here] ** 2)
    return found


def _expected(counts: FloatArray, mean: FloatArray) -> FloatArray:
    """Give exposures the sums of the counts over states and over batches, (n_genes, n_states, n_batches)."""

    def some(start: int, stop: int) -> None:
        for gene in range(start, stop):
            fit_margins(counts[gene], _STEPS, mean[gene])

    in_ranges(some, len(mean), step=_GENES_AT_ONCE)
    return mean


def _share(values: FloatArray, *, axis: int) -> FloatArray:
    total = values.sum(axis=axis, keepdims=True)
    return np.asarray(values / np.where(total > 0, total, 1.0))


def _qvalues(squares: FloatArray, free: FloatArray) -> FloatArray:
    """Test whether sums scatter more than their dispersion, over states and batches, (n_genes,)."""
    freedom = free.sum(axis=(1, 2))
    tested = freedom >= 1
    qvalue = np.ones(len(free))
    if tested.any():
        statistic = squares.sum(axis=(1, 2))[tested]
        qvalue[tested] = q_values(special.chdtrc(freedom[tested], statistic))
    return qvalue


def _dispersion(table: StateTable) -> FloatArray:
    """Factor by which cells of a state and batch vary beyond Poisson counts, around their own mean, (n_genes,).

    Given the sum of some cells, Pearson's chi-square of Poisson counts has the mean n - 1 exactly; a sum of 0 says
    nothing.
    """
    counts = table.counts[:]
    seen = counts > 0
    rate = np.where(seen, counts, 1.0) / np.maximum(table.exposure, np.finfo(float).tiny)
    around = np.where(seen, table.squares[:] / rate - counts, 0.0).sum(axis=(1, 2))
    free = np.where(seen, np.maximum(table.cells - 1, 0.0), 0.0).sum(axis=(1, 2))
    return np.asarray(np.maximum(around / np.maximum(free, 1.0), 1.0))
