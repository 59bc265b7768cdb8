"""Remainder: what a batch does to single states beyond its effect on all of them."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.diagnostics.sample import Sample
from unbatch.core.state_effects import fit_state_effects
from unbatch.core.state_table import StateTable

_GENES, _VALUES = 2000, 8_000_000
_ENOUGH = 5.0
_HALF = 0.5


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
    """

    genes: IntArray
    log_ratio: FloatArray
    se: FloatArray
    z: FloatArray
    cells: FloatArray
    mean_square: FloatArray
    sd: float


def measure_remainder(sample: Sample) -> Remainder:
    r"""Compare the counts of each state and batch with what the effects on all states foretell.

    .. math:: \hat\gamma_{gsk} = \frac{Y_{gsk}}{m_{gsk}}, \qquad
              m_{gsk} = Y_{gs\cdot} \frac{E_{sk} \delta_{gk}}{\sum_l E_{sl} \delta_{gl}}, \qquad
              z_{gsk} = \frac{Y_{gsk} - m_{gsk}}{\sqrt{\phi_g m_{gsk} (1 - p_{gsk})}}

    with E the summed size factors, p the share of k in the sum over batches, and phi the dispersion of these cells
    around their state. This is the gamma of the published method, over the value that ties it to the effects: a free
    factor of a state in a batch. Where it is far from 1 the batch acts on the state in its own way, or cells of
    different types were compared.

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
        return Remainder(genes, nothing, nothing, nothing, cells * compared, np.zeros(shape), 0.0)
    table = _table(sample.counts[:, genes], sample.state, sample.batch, sample.sizes, shape)
    log_delta = sample.log_delta[genes]
    weight = table.exposure * compared * np.exp(log_delta)[:, None, :]
    share = weight / np.maximum(weight.sum(axis=2, keepdims=True), np.finfo(float).tiny)
    total = (table.counts * compared).sum(axis=2, keepdims=True)
    expected = total * share
    dispersion = _dispersion(table)
    variance = dispersion[:, None, None] * expected * (1 - share)
    known = (expected >= _ENOUGH) & (variance > 0) & compared
    safe, spread = np.where(known, expected, 1.0), np.where(known, variance, 1.0)
    counts = np.where(known, table.counts, 1.0)
    z = np.where(known, (counts - safe) / np.sqrt(spread), 0.0)
    states = fit_state_effects(table, log_delta=log_delta, dispersion=dispersion, support=compared)
    n_known = known.sum(axis=0)
    return Remainder(
        genes=genes,
        log_ratio=np.where(known, np.log((counts + _HALF) / (safe + _HALF)), 0.0),
        se=np.where(known, np.sqrt(spread) / safe, 0.0),
        z=z,
        cells=cells * compared,
        mean_square=np.square(z).sum(axis=0) / np.maximum(n_known, 1),
        sd=states.sd,
    )


def _table(counts: Counts, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]) -> StateTable:
    return StateTable.of(counts.sorted_indices(), state=state, batch=batch, size=size, shape=shape)


def _dispersion(table: StateTable) -> FloatArray:
    """Factor by which cells of a state and batch vary beyond Poisson counts, around their own mean, (n_genes,)."""
    exposure = np.maximum(table.exposure, np.finfo(float).tiny)
    rate = table.counts / exposure
    around = np.where(table.counts > 0, table.squares / np.maximum(rate, np.finfo(float).tiny) - table.counts, 0.0)
    free = max(float(table.cells.sum()) - float((table.cells > 0).sum()), 1.0)
    return np.asarray(np.maximum(around.sum(axis=(1, 2)) / free, 1.0))
