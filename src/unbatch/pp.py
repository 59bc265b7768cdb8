"""Preprocess: adjusted counts as a layer."""

from anndata import AnnData
from scipy import sparse

from unbatch.adjusting import adjusted_blocks
from unbatch.io.source import open_counts
from unbatch.slots import RECORD, read_slots


def adjust_counts(adata: AnnData, *, key_added: str = "adjusted") -> None:
    r"""Divide each count by the effect of its batch on its gene, :math:`Y_{gj} / \delta_{g k(j)}`.

    The counts are those that `unbatch.tl.batch_effects` was given, in the same layer. Adjusted counts are what the mean
    batch, or the reference of the fit, would have given: not whole numbers, never negative, and zeros stay zero. Use
    them where a method takes counts or normalises them (normalise, log, PCA, markers to look at); for differential
    expression keep the raw counts and give the model log delta as an offset instead.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran; cells or genes may have been taken away since.
    key_added
        Name of the layer that is set.

    Returns
    -------
    None
        Sets ``layers[key_added]``, CSR float32, (n_cells, n_genes), and records in
        ``uns["unbatch"]["adjusted"][key_added]`` what it is expressed in, the mean over batches or the reference.

    Raises
    ------
    InputError
        If the effects have not been estimated, the batch column has gone or has new labels, or values are not counts.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.pp.adjust_counts(adata)
    >>> adata.layers["adjusted"].dtype
    dtype('float32')
    """
    fit = read_slots(adata)
    source = open_counts(adata, layer=fit.layer)
    blocks = [block.counts for block in adjusted_blocks(source, fit)]
    adata.layers[key_added] = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    adjusted = dict(adata.uns[RECORD].get("adjusted", {}))
    adata.uns[RECORD]["adjusted"] = {**adjusted, key_added: fit.expressed_in}
