"""What the demonstration and the benchmark on real data measure, each in a few lines."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray
from unbatch.core.convention import centre_log_delta
from unbatch.core.diagnostics import expected_same_batch_share, same_batch_share

N_DIMS = 20
N_NEIGHBORS = 15


@dataclass(frozen=True)
class Recovery:
    """How near estimated effects are to the truth, over the genes that were counted often enough to ask."""

    correlation: float
    """Pearson correlation of the contrasts log delta_a - log delta_b, all pairs of batches together."""
    rmse: float
    """Root mean square error of log delta, estimate and truth in the convention of the output."""
    n_genes: int


@dataclass(frozen=True)
class Mixing:
    """Share of a cell's 15 nearest neighbours that are of its own batch: mean over cells, in three situations."""

    before: float
    after: float
    expected: float
    """If the batches were mixed: mean over cells of the share of their batch in the other cells."""


def log1p_pca(counts: Counts, *, size_normalised: bool, n_dims: int = N_DIMS) -> FloatArray:
    """Principal components of log(1 + counts), the space in which neighbours are counted.

    Parameters
    ----------
    counts
        (n_cells, n_genes).
    size_normalised
        Scale every cell to the median total count of all cells before taking logs.
    n_dims
        Components to keep; fewer where there are not as many cells or genes.

    Returns
    -------
    (n_cells, n_dims) scores.
    """
    from sklearn.decomposition import PCA

    logs = sparse.csr_matrix(counts, dtype=np.float64)
    if size_normalised:
        totals = np.asarray(logs.sum(axis=1)).ravel()
        scale = np.divide(np.median(totals), totals, out=np.zeros_like(totals), where=totals > 0)
        logs = sparse.csr_matrix(sparse.diags(scale) @ logs)
    logs.data = np.log1p(logs.data)
    # scikit-learn refuses row pointers of another integer type than the column indices, which files may have
    logs.indptr = logs.indptr.astype(logs.indices.dtype)
    n_kept = min(n_dims, min(logs.shape) - 1)
    scores: FloatArray = PCA(n_components=n_kept, svd_solver="arpack", random_state=0).fit_transform(logs)
    return scores


def mixing(before: FloatArray, after: FloatArray, batch: CodeArray) -> Mixing:
    """Same-batch neighbour share in two embeddings, (n_cells, n_dims) each, and the share expected if mixed."""
    return Mixing(
        before=same_batch_share(before, batch, n_neighbors=N_NEIGHBORS),
        after=same_batch_share(after, batch, n_neighbors=N_NEIGHBORS),
        expected=expected_same_batch_share(batch),
    )


def naive_log_delta(means: FloatArray) -> FloatArray:
    """Log of each batch's mean count over the geometric mean of all batches, 0 for genes that a batch never counted.

    What one would do without matching: it takes a difference in the mixture of cells for an effect of the batch.

    Parameters
    ----------
    means
        (n_genes, n_batches), mean counts per cell.
    """
    seen = (means > 0).all(axis=1, keepdims=True)
    logs = np.log(np.where(seen, means, 1.0))
    centred: FloatArray = logs - logs.mean(axis=1, keepdims=True)
    return centred


def recovery(log_delta: FloatArray, truth: FloatArray, *, totals: FloatArray, min_total: float = 200.0) -> Recovery:
    """Compare effects with the truth, both brought to the convention of the output.

    Parameters
    ----------
    log_delta, truth
        (n_genes, n_batches), natural log.
    totals
        (n_genes,), total counts: the weights of the convention.
    min_total
        Genes with fewer counts are left out; a larger number judges only genes that are easy to estimate.
    """
    kept = totals > min_total
    estimate, right = (in_convention(values, totals)[kept] for values in (log_delta, truth))
    first, second = np.triu_indices(truth.shape[1], k=1)
    found, planted = ((values[:, first] - values[:, second]).ravel() for values in (estimate, right))
    return Recovery(
        correlation=float(np.corrcoef(found, planted)[0, 1]),
        rmse=float(np.sqrt(np.mean((estimate - right) ** 2))),
        n_genes=int(kept.sum()),
    )


def in_convention(log_delta: FloatArray, totals: FloatArray) -> FloatArray:
    """Effects (n_genes, n_batches) in the convention of the output, weighted by the genes' total counts."""
    everywhere: BoolArray = np.ones(log_delta.shape, dtype=np.bool_)
    return centre_log_delta(log_delta, totals, everywhere)


def batch_means(counts: Counts, batch: CodeArray, n_batches: int) -> FloatArray:
    """Mean counts per cell, (n_genes, n_batches)."""
    members = (np.arange(n_batches)[:, None] == batch).astype(np.float64)
    sums = (sparse.csr_array(members) @ counts).toarray()
    means: FloatArray = sums.T / members.sum(axis=1)
    return means
