"""Tables of need: the variance that batches explain."""

import numpy as np
import pandas as pd

from unbatch._types import Counts, Float32Array, IntArray
from unbatch.core.diagnostics.explained import Explained, explained_by_batch, permuted_batches
from unbatch.core.diagnostics.sample import as_rows
from unbatch.diagnosing.judged import Judged

_NEED_GENES = 2000
_GENE_PERMUTATIONS, _DIM_PERMUTATIONS = 20, 100


def need_tables(whole: Judged, raw: Counts, clean: Counts, before: Float32Array) -> dict[str, pd.DataFrame]:
    """Tables "need" and "need_genes", from log counts, and coordinates without correction, (n_checked, n_dims)."""
    sample = whole.sample
    loud, shared = sample.loud(_NEED_GENES), np.flatnonzero(sample.genes)

    mixed = permuted_batches(sample.batch, sample.state, n_permutations=_DIM_PERMUTATIONS, seed=whole.seed)

    def measure(values: Counts, genes: IntArray, together: IntArray, n_permutations: int) -> Explained:
        return explained_by_batch(
            values,
            batch=sample.batch,
            state=sample.state,
            shape=(sample.n_states, sample.n_batches),
            genes=genes,
            permutations=mixed[:n_permutations],
            together=together,
        )

    genes_before, genes_after = (measure(values, shared, loud, _GENE_PERMUTATIONS) for values in (raw, clean))
    spaces = [("genes", genes_before, _GENE_PERMUTATIONS), ("genes after", genes_after, _GENE_PERMUTATIONS)]
    for space, points in (("embedding before", before), ("embedding after", whole.after)):
        if points is not None:
            dims = np.arange(points.shape[1])
            found = measure(as_rows(points.astype(np.float64)), dims, dims, _DIM_PERMUTATIONS)
            spaces.append((space, found, _DIM_PERMUTATIONS))
    need = pd.DataFrame(
        {
            "space": [space for space, _, _ in spaces],
            "explained": [found.total for _, found, _ in spaces],
            "null": [found.total_null for _, found, _ in spaces],
            "null_upper": [found.total_upper for _, found, _ in spaces],
            "n_permutations": [number for _, _, number in spaces],
            "compared": [found.compared for _, found, _ in spaces],
        }
    )
    by_gene = pd.DataFrame(
        {
            "gene": whole.genes[shared],
            "explained_before": genes_before.share,
            "explained_after": genes_after.share,
            "null_upper": genes_before.null_upper,
        }
    )
    return {"need": need, "need_genes": by_gene}
