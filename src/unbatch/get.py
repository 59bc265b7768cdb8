"""Take results out of an AnnData as tables with names."""

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch.slots import EFFECTS, ERRORS, gene_rows, read_record

_NORMAL_975 = 1.959963984540054


def batch_effects(adata: AnnData) -> pd.DataFrame:
    """Gene-by-batch effects as one row per gene and batch.

    The interval is ``exp(log_delta - 1.96 se)`` to ``exp(log_delta + 1.96 se)``.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote; genes may have been
        taken away since.

    Returns
    -------
    pandas.DataFrame
        Columns ``gene``, ``batch`` (categorical, in the order of the fit), ``log_delta`` (natural log), ``se`` (of
        ``log_delta``; inf where the data say nothing), ``effect`` (delta: multiplicative, 1 = none), ``lower`` and
        ``upper`` (95% interval of ``effect``; 0 to inf where the data say nothing) and ``measured`` (False where no
        cell of that batch was asked for that gene). Rows run gene by gene.

    Raises
    ------
    InputError
        If `adata` holds no fit.
    """
    record = read_record(adata)
    batches = [str(batch) for batch in record["batches"]]
    log_delta = np.asarray(adata.varm[EFFECTS], dtype=np.float64).ravel()
    se = np.asarray(adata.varm[ERRORS], dtype=np.float64).ravel()
    with np.errstate(over="ignore"):
        lower, upper = np.exp(log_delta - _NORMAL_975 * se), np.exp(log_delta + _NORMAL_975 * se)
    return pd.DataFrame(
        {
            "gene": np.repeat(adata.var_names.to_numpy(), len(batches)),
            "batch": pd.Categorical.from_codes(np.tile(np.arange(len(batches)), adata.n_vars), categories=batches),
            "log_delta": log_delta,
            "se": se,
            "effect": np.exp(log_delta),
            "lower": lower,
            "upper": upper,
            "measured": np.asarray(record["measured"], dtype=bool)[gene_rows(adata, record)].ravel(),
        }
    )
