"""Where each part of a fit lives in an AnnData, in memory and on disk alike.

============================  =====================================================================================
``obsm["X_unbatch"]``         embedding, cells x dims, float32
``varm["batch_effects"]``     natural log delta, genes x batches, columns in the order of ``batches`` in uns
``varm["batch_effects_se"]``  its standard error, inf where the data say nothing
``obs["unbatch_batch"]``      batch of the cell as it was fitted
``obs["unbatch_sample"]``     pseudobulk sample, -1 for cells that took no part
``obs["unbatch_overlap"]``    share of the other batches that have cells like this one
``uns["unbatch"]``            batches, parameters, versions, trace, support, mu, basis, ...
============================  =====================================================================================

A fit of effects only sets neither ``X_unbatch`` nor ``unbatch_sample`` and ``unbatch_overlap``.

One array holds the effects of all batches. Keys named after batches would not do: HDF5 takes "a/b" for a path.
`unbatch.stored_fit` puts a fit there and reads it back.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from unbatch._check import InputError
from unbatch._types import IntArray
from unbatch.core.diagnostics.record import Diagnostics

FORMAT = 1
"""Version of this layout; a reader refuses a newer one."""

EMBEDDING = "X_unbatch"
EFFECTS = "batch_effects"
ERRORS = "batch_effects_se"
SAMPLE = "unbatch_sample"
OVERLAP = "unbatch_overlap"
BATCH = "unbatch_batch"
RECORD = "unbatch"

PLACED, DIAGNOSTICS, ADJUSTED, MAPPED_ONTO = "placed", "diagnostics", "adjusted", "mapped_onto"
"""Names in the record: whether cells were placed, diagnostics, adjusted layers, what cells were mapped onto."""

EARLIER = "by_an_earlier_fit"
"""Marks the record of a layer that an earlier fit adjusted."""

BY_GENE = ("measured", "mu", "basis")
"""What the record says of every gene, in the order of its ``genes``."""
_NEEDED = (
    *BY_GENE,
    "batch_key",
    "batch_sizes",
    "genes",
    "layer",
    "method",
    "parameters",
    "stop_reason",
    "support",
    "timings",
    "too_small",
    "trace",
    "versions",
)


def read_record(adata: AnnData, *, where: str = "this AnnData") -> dict[str, Any]:
    """Check that `adata` holds a whole fit and give its ``uns["unbatch"]``.

    Raises
    ------
    InputError
        If there is no fit, only a part of one, or one written by a newer unbatch.
    """
    record = adata.uns.get(RECORD)
    if not isinstance(record, Mapping) or "batches" not in record:
        raise InputError(
            f"{where} holds no batch effects (no uns['unbatch']): "
            "run unbatch.tl.batch_effects(adata, batch_key=...) or `unbatch fit` first"
        )
    if int(record.get("format", 0)) > FORMAT:
        raise InputError(
            f"{where} was written by unbatch {record.get('versions', {}).get('unbatch', '?')}, "
            "whose file layout this version does not know: update unbatch"
        )
    lost = [f"uns['unbatch']['{name}']" for name in _NEEDED if name not in record]
    lost += [f"varm['{name}']" for name in (EFFECTS, ERRORS) if name not in adata.varm]
    if is_placed(record):
        lost += [f"obsm['{EMBEDDING}']"] if EMBEDDING not in adata.obsm else []
        lost += [f"obs['{name}']" for name in (SAMPLE, OVERLAP) if name not in adata.obs]
    if lost:
        raise InputError(f"{where} holds only a part of a fit, missing {', '.join(lost)}: fit again")
    shape = (adata.n_vars, len(record["batches"]))
    if adata.varm[EFFECTS].shape != shape or adata.varm[ERRORS].shape != shape:
        found = adata.varm[EFFECTS].shape
        raise InputError(f"{where} holds effects of shape {found} where {shape} (genes x batches) is due: fit again")
    return dict(record)


def gene_rows(adata: AnnData, record: dict[str, Any], *, where: str = "this AnnData") -> IntArray:
    """Row of each gene of `adata` in the gene-wise arrays of `record`, (n_genes,).

    Raises
    ------
    InputError
        If a gene was not part of the fit.
    """
    place = {str(gene): row for row, gene in enumerate(record["genes"])}
    strangers = [gene for gene in adata.var_names if gene not in place]
    if strangers:
        raise InputError(
            f"{where} has {len(strangers)} genes that were not part of the fit (first: {strangers[0]!r}): "
            "fit again, or give the genes the names they had then"
        )
    return np.array([place[gene] for gene in adata.var_names], dtype=np.int64)


def is_placed(record: Mapping[str, Any]) -> bool:
    """Tell whether the cells were placed: not after a fit of effects only."""
    return bool(record.get(PLACED, True))


def read_diagnostics(adata: AnnData, *, where: str = "this AnnData") -> Diagnostics:
    """Read the diagnostics of a fit.

    Raises
    ------
    InputError
        If there is no fit, or one without diagnostics.
    """
    record = read_record(adata, where=where)
    if DIAGNOSTICS not in record:
        cure = "they are made when cells are fitted" if MAPPED_ONTO in record else "run unbatch.tl.diagnose(adata) or "
        cure += "" if MAPPED_ONTO in record else "`unbatch diagnose IN.h5ad --model OUT.h5ad`"
        what = "mapped cells, for which there are none" if MAPPED_ONTO in record else "a fit without diagnostics"
        raise InputError(f"{where} holds {what}: {cure}")
    return Diagnostics.from_record(record[DIAGNOSTICS])


def write_diagnostics(adata: AnnData, diagnostics: Diagnostics) -> None:
    """Put diagnostics beside the fit that `adata` holds, replacing older ones."""
    adata.uns[RECORD] = {**adata.uns[RECORD], DIAGNOSTICS: diagnostics.as_record()}


def write_adjusted(adata: AnnData, layer: str, how: Mapping[str, Any]) -> None:
    """Put down how the counts of a layer were adjusted, beside the fit that `adata` holds."""
    adata.uns[RECORD] = {**adata.uns[RECORD], ADJUSTED: {**adjusted_layers(adata), layer: dict(how)}}


def adjusted_layers(adata: AnnData) -> Mapping[str, Any]:
    """Give the records of adjusted layers, by their names."""
    record = adata.uns.get(RECORD)
    found = record.get(ADJUSTED, {}) if isinstance(record, Mapping) else {}
    return {name: how for name, how in found.items() if isinstance(how, Mapping)} if isinstance(found, Mapping) else {}
