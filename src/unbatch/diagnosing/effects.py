"""Tables of effects: the remainder by state, the strongest genes of each batch, and technical families."""

import numpy as np
import pandas as pd

from unbatch.core.diagnostics.families import FAMILIES, family_of, family_shift
from unbatch.core.diagnostics.strongest import strongest_genes
from unbatch.diagnosing.judged import Judged
from unbatch.fitted import BatchFit

_MOST_DEPARTURES = 200


def remainder_tables(whole: Judged) -> dict[str, pd.DataFrame]:
    """Tables "remainder" and "remainder_states"."""
    found = whole.remainder
    order = np.argsort(-np.abs(found.z), axis=None, kind="stable")[:_MOST_DEPARTURES]
    order = order[found.z.ravel()[order] != 0]
    gene, state, batch = (np.asarray(at) for at in np.unravel_index(order, found.z.shape))
    states, batches = np.nonzero(found.cells)
    return {
        "remainder": pd.DataFrame(
            {
                "gene": whole.genes[found.genes[gene]],
                "state": state,
                "batch": whole.names[batch],
                "log_ratio": found.log_ratio[gene, state, batch],
                "se": found.se[gene, state, batch],
                "z": found.z[gene, state, batch],
            }
        ),
        "remainder_states": pd.DataFrame(
            {
                "state": states,
                "batch": whole.names[batches],
                "n_cells": found.cells[states, batches].astype(np.int64),
                "mean_square": found.mean_square[states, batches],
            }
        ),
    }


def effect_tables(fit: BatchFit) -> dict[str, pd.DataFrame]:
    """Tables "strongest" and "families"."""
    names, genes = np.array(fit.batches, dtype=object), [str(gene) for gene in fit.var.index]
    best = strongest_genes(fit.log_delta, fit.se)
    family = np.array(family_of(genes), dtype=object)
    strongest = pd.DataFrame(
        {
            "batch": names[best.batch],
            "rank": best.rank,
            "gene": np.array(genes, dtype=object)[best.gene],
            "log_delta": best.log_delta,
            "se": best.se,
            "lower": best.lower,
            "upper": best.upper,
            "q": best.q,
            "family": family[best.gene],
        }
    )
    known = np.isfinite(fit.se) & (fit.se > 0)
    rows = [
        (name, one.name, shift.n_genes, shift.median_log_delta, shift.pvalue)
        for k, name in enumerate(names)
        for one in FAMILIES
        if (shift := family_shift(fit.log_delta[:, k], family == one.name, known=known[:, k])).n_genes
    ]
    families = pd.DataFrame(rows, columns=["batch", "family", "n_genes", "median_log_delta", "p"])
    return {"strongest": strongest, "families": families}
