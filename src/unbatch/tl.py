"""Estimate: from an AnnData to slots of the same AnnData."""

from collections.abc import Sequence

from anndata import AnnData

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods import DEFAULT_METHOD, MethodOptions
from unbatch.model import BatchModel
from unbatch.slots import write_slots


def batch_effects(
    adata: AnnData,
    *,
    batch_key: str | Sequence[str],
    layer: str | None = None,
    method: str | MethodOptions = DEFAULT_METHOD,
    min_cells: int = 2,
    seed: int = 0,
    progress: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Estimate by how much each batch multiplies the counts of each gene.

    Cell j of batch k(j) is modelled as :math:`Y_{gj} \sim \mathrm{Poisson}(\mu_{g s(j)} \delta_{g k(j)})`: the effect
    delta multiplies a batch-free rate mu, which cells of one state s share across batches.

    Parameters
    ----------
    adata
        Raw counts, cells x genes, in memory or backed. Do not normalise or log them first.
    batch_key
        Column of ``obs`` that names the batch of each cell; or several columns, whose combinations are the batches.
    layer
        Where the raw counts are: None for ``X``, ``"raw"`` for ``raw.X``, else a name in ``layers``.
    method
        The estimator: its name, for its default options, or its options (``unbatch.ConceptOptions(n_neighbors=5)``).
    min_cells
        Batches with fewer cells take no part: their effect is 1 and their standard error inf. Larger values drop more
        small batches, whose effects would be mostly noise.
    seed
        Start of all random numbers: the same seed gives the same result.
    progress
        Show bars, if standard error is a terminal.
    copy
        Give back a changed copy and leave `adata` as it is.

    Returns
    -------
    AnnData or None
        None unless `copy`. These slots are set:

        ``obsm["X_unbatch"]``
            Batch-free coordinates, (n_cells, n_dims) float32: for neighbours, clustering, UMAP.
        ``varm["batch_effects"]``
            Natural log delta, (n_genes, n_batches), columns in the order of ``uns["unbatch"]["batches"]``. For each
            gene the mean over batches is 0; for each batch the expression-weighted median over genes is 0.
        ``varm["batch_effects_se"]``
            Its standard error; inf, with log delta 0, where the data say nothing. With ``method="concept"`` it is the
            one of a Poisson sum, which is too small: over-dispersion is not modelled.
        ``obs["unbatch_sample"]``, ``obs["unbatch_overlap"]``
            Pseudobulk sample (-1: took no part), and share of the other batches that have cells like this one.
        ``uns["unbatch"]``
            Batches, parameters, versions, trace, stop reason, support of each batch by each other, and the rest of
            the model.

    Raises
    ------
    InputError
        If the column or layer is missing, a label is missing, there are fewer than two batches, or values are not
        counts.

    See Also
    --------
    unbatch.pp.adjust_counts : Divide the effects out of the counts.
    unbatch.get.batch_effects : The effects as a table.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> adata.varm["batch_effects"].shape
    (500, 2)
    """
    adata = adata.copy() if copy else adata
    source = open_counts(adata, layer=layer)
    if not source.var.index.equals(adata.var_names.astype(object)):
        raise InputError(
            f"layer {layer!r} has {source.n_genes} genes, adata {adata.n_vars}: the effects would have no place in it. "
            "Run on adata.raw.to_adata()"
        )
    batches = read_batches(source, batch_key, min_cells=min_cells)
    model = BatchModel(method=method, min_cells=min_cells, seed=seed)
    model.fit_source(source, batches, layer=layer, progress=progress_for(quiet=not progress))
    write_slots(adata, model.result)
    return adata if copy else None
