"""Estimate, from an AnnData to slots of the same AnnData; and test what was estimated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from anndata import AnnData

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.cluster import DaskDriver
from unbatch.io.source import open_counts
from unbatch.methods import DEFAULT_METHOD, MethodOptions
from unbatch.model import BatchModel
from unbatch.ranking import rank_genes
from unbatch.slots import read_slots, write_slots

if TYPE_CHECKING:
    from distributed import Client


def batch_effects(
    adata: AnnData,
    *,
    batch_key: str | Sequence[str],
    layer: str | None = None,
    method: str | MethodOptions = DEFAULT_METHOD,
    min_cells: int = 2,
    seed: int = 0,
    reference: str | None = None,
    match_within: str | Sequence[str] | None = None,
    control_genes: Sequence[str] | None = None,
    effects_only: bool = False,
    state_specific: bool = False,
    client: "Client | None" = None,
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
        The estimator: its name, for its default options, or its options (``unbatch.MatchedOptions(n_dims=30)``).
    min_cells
        Batches with fewer cells take no part: their effect is 1 and their standard error inf. Larger values drop more
        small batches, whose effects would be mostly noise.
    seed
        Start of all random numbers: the same seed gives the same result.
    reference
        Batch to which effects are relative: its effect is 1 for every gene, and adjusted counts are what it would have
        given. Genes of which it says nothing are left as they are. None for the mean over batches.
    match_within
        Column of ``obs`` with a condition (or several columns, whose combinations are the conditions): cells are
        matched inside its levels only, so that the biology of the condition is never taken for an effect of the batch.
        Batches that share no level cannot be compared then, which a warning tells. None for no such limit.
    control_genes
        Names of genes known to carry only technical variation, which is taken out of the space where cells are matched.
    effects_only
        Read the counts once only: ``obsm["X_unbatch"]`` and the columns of ``obs`` are not set. Of more cells than the
        sketch holds, the effects are then fitted to the sketch alone and less sharp.
    state_specific
        Find by how much effects differ from state to state, too, so that `unbatch.pp.adjust_counts` can take that out.
        It does not change the effects that all states share. It takes sums of genes x states x batches (with 20,000
        genes, 40 states and 20 batches 0.3 GB each, two or three of them) and leaves one byte for each of these (16 MB)
        in ``uns["unbatch"]["state_effects"]``. Where batches differ in a condition too, give it as `match_within`: the
        answer of a state to the condition would be taken for an effect of the batch on it.
    client
        A ``distributed.Client``, for instance that of ``distributed.get_client()``: the workers of its Dask cluster
        read and sum the counts, and the result is the same to the bit. They open the file of `adata` themselves, so it
        must be backed (``anndata.read_h5ad(path, backed="r")``). None to read in this process.
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
            gene the mean over batches is 0, and the expression-weighted median over genes is the same for all batches,
            with two batches 0. With a reference, it is 0 in the reference for each gene, and the median over genes is 0
            for each batch. ``uns["unbatch"]["convention"]`` says which.
        ``varm["batch_effects_se"]``
            Its standard error; inf, with log delta 0, where the data say nothing; 0 in the reference. With
            ``method="concept"`` it is that of Poisson sums, which is too small: over-dispersion is not modelled.
        ``obs["unbatch_sample"]``, ``obs["unbatch_overlap"]``
            Pseudobulk sample (-1: took no part), and share of the other batches that have cells like this one.
        ``uns["unbatch"]``
            Batches, parameters, versions, trace, stop reason, support of each batch by each other, and the rest of
            the model.

    Raises
    ------
    InputError
        If a column or the layer is missing, a label is missing, there are fewer than two batches, values are not
        counts, the reference is no batch or too small, no control gene is known, or the method takes no such option.

    Warns
    -----
    InputWarning
        If batches are too small, batches and condition are confounded, some control genes are unknown, or nothing is
        known of the reference.

    See Also
    --------
    unbatch.tl.rank_batch_genes : Which genes differ by batch, with tests.
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
    model = BatchModel(method=method, min_cells=min_cells, seed=seed, reference=reference)
    model.fit_source(
        source,
        batches,
        within=None if match_within is None else label_cells(source, match_within),
        control_genes=control_genes,
        effects_only=effects_only,
        state_specific=state_specific,
        layer=layer,
        progress=progress_for(quiet=not progress),
        driver=None if client is None else DaskDriver(client),
    )
    write_slots(adata, model.result)
    return adata if copy else None


def rank_batch_genes(
    adata: AnnData, *, batch: str | Sequence[str] | None = None, versus: str | Sequence[str] | None = None
) -> pd.DataFrame:
    r"""Rank genes by how surely they differ by batch.

    The statistic is :math:`z = d / \mathrm{se}(d)`, with d the log delta of a batch (its difference from the mean over
    batches, or from the reference of the fit), or the difference of log delta between two batches. The standard error
    of a difference comes from the stored ones by quasi-variances (Firth and de Menezes, 2004, Biometrika 91:65-80):
    exact for two or three batches and for independent errors, else right on average over the pairs of a batch.

    The tests are as good as the standard errors of the method: those of ``method="concept"`` are too small.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote; genes may have been taken
        away since, and are then not corrected for.
    batch
        Batch to rank genes of, or several; None for all.
    versus
        Batch to compare with, or several, each pair then once; None for the mean over batches, or the reference if the
        fit has one. ``batch=None`` with all batches here gives all pairs.

    Returns
    -------
    pandas.DataFrame
        One row per gene and batch, or gene and pair, sorted by ``|z|``, with columns

        ``gene``, ``batch``, ``versus``
            What is compared with what; ``versus`` is ``"mean over batches"`` where it is no batch.
        ``log_delta``, ``log2_effect``
            Effect, as natural log and as log2.
        ``se``, ``lower``, ``upper``
            Standard error and 95% interval of ``log_delta``; inf and infinite where the data say nothing.
        ``z``, ``pvalue``, ``qvalue``
            Effect over standard error, two-sided normal p, and Benjamini-Hochberg over the rows of this table of which
            anything is known; 0, 1 and 1 where nothing is.
        ``support``
            Share of the batch's cells that have a counterpart in another batch, averaged over those; of a pair, share
            of the cells of the two that have one in the other. Effects with little support rest on few cells.
        ``mean_expression``
            Batch-free rate of the gene in the mean cell, :math:`\sum_s n_s \mu_{gs} / \sum_s n_s`.

    Raises
    ------
    InputError
        If `adata` holds no fit, or a batch was not part of it.

    See Also
    --------
    unbatch.get.batch_effects : The effects as they are, gene by gene.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> table = ub.tl.rank_batch_genes(adata, batch="batch_1", versus="batch_2")
    >>> len(table), bool(table["z"].abs().is_monotonic_decreasing)
    (500, True)
    """
    return rank_genes(read_slots(adata), batch=batch, versus=versus)
