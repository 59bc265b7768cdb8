"""What: the genes that a batch distorts most, as far as that is sure."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import FloatArray, IntArray
from unbatch.core.contrasts import normal_tests

_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class Strongest:
    """Result of `strongest_genes`: one entry per batch and rank.

    Attributes
    ----------
    batch, rank, gene
        Batch, rank from 1, and gene, as codes.
    log_delta, se, lower, upper
        Natural log effect, its standard error, and the ends of its 95% interval.
    q
        Benjamini-Hochberg over all genes and batches of which anything is known.
    """

    batch: IntArray
    rank: IntArray
    gene: IntArray
    log_delta: FloatArray
    se: FloatArray
    lower: FloatArray
    upper: FloatArray
    q: FloatArray


def strongest_genes(log_delta: FloatArray, se: FloatArray, *, n_genes: int = 20) -> Strongest:
    r"""List the genes of each batch whose effect is at least large: by the end of the 95% interval that is nearer to 0.

    .. math:: \max(0, |\log\delta_{gk}| - 1.96\, \mathrm{se}_{gk})

    ranks them, and of those whose interval holds 0, :math:`|\log\delta| / \mathrm{se}`; so a gene with three counts
    never comes first.

    Parameters
    ----------
    log_delta
        (n_genes, n_batches).
    se
        As shaped; inf where nothing is known, 0 in a reference, which is left out.
    n_genes
        Genes per batch, at most. A larger number adds weaker effects.

    Returns
    -------
    Strongest
    """
    asked = np.isfinite(se) & (se > 0)
    tests = normal_tests(log_delta.ravel(), np.where(asked, se, np.inf).ravel())
    z, q = np.abs(tests.z).reshape(se.shape), tests.qvalue.reshape(se.shape)
    sure = np.where(asked, np.abs(log_delta) - _NORMAL_975 * np.where(asked, se, 0.0), -np.inf)
    batches, ranks, genes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for k in range(se.shape[1]):
        order = np.lexsort((-z[:, k], -np.maximum(sure[:, k], 0.0)))
        best = order[asked[order, k]][:n_genes]
        batches.append(np.full(len(best), k))
        ranks.append(np.arange(1, len(best) + 1))
        genes.append(best)
    batch, gene = np.concatenate(batches), np.concatenate(genes)
    effect, error = log_delta[gene, batch], se[gene, batch]
    return Strongest(
        batch=batch,
        rank=np.concatenate(ranks),
        gene=gene,
        log_delta=effect,
        se=error,
        lower=effect - _NORMAL_975 * error,
        upper=effect + _NORMAL_975 * error,
        q=q[gene, batch],
    )
