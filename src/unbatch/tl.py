"""Estimate, from an AnnData to slots of the same AnnData; test what was estimated; find gene programmes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from anndata import AnnData

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch._results import results_in
from unbatch.diagnosing import diagnose_source
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.cluster import DaskDriver
from unbatch.mapping import map_source
from unbatch.methods import DEFAULT_METHOD, MethodOptions
from unbatch.model import BatchModel
from unbatch.programmes import FactorOptions, fit_factors
from unbatch.programmes.slots import check_key, write_factors
from unbatch.ranking import rank_genes
from unbatch.raw_counts import open_own, open_raw
from unbatch.slots import write_diagnostics
from unbatch.stored_fit import read_slots, write_slots

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

    Counts of cell j of batch k(j) have the mean :math:`l_j \mu_{g s(j)} \delta_{g k(j)}`: the effect delta multiplies a
    batch-free rate mu, which cells of one state s share across batches, and the cell's size factor l. Their variance is
    in proportion to it, by a factor of each gene (quasi-Poisson).

    Parameters
    ----------
    adata
        Raw counts, cells x genes, in memory or backed. Do not normalise or log them first.
    batch_key
        Column of ``obs`` that names the batch of each cell; or several columns, whose combinations are the batches.
    layer
        Where the raw counts are: None for ``X``, ``"raw"`` for ``raw.X`` of the same genes, else one of ``layers``.
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
        Read the counts once only: ``obsm["X_unbatch"]``, sample and overlap of cells are not set. Of more cells than
        the sketch holds, the effects are then fitted to the sketch alone and less sharp.
    state_specific
        Find by how much effects differ from state to state, too, so that `unbatch.pp.adjust_counts` can take that out.
        It does not change the effects that all states share. It takes sums of genes x states x batches (with 20,000
        genes, 40 states and 20 batches 0.13 GB each, two or three of them) and leaves one byte for each (16 MB) in
        ``uns["unbatch"]["state_effects"]``. Where batches differ in a condition too, give it as `match_within`: the
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
        ``obs["unbatch_batch"]``, ``obs["unbatch_sample"]``, ``obs["unbatch_overlap"]``
            Batch as it was fitted, pseudobulk sample (-1: took no part), and share of the other batches that have cells
            like this one.
        ``uns["unbatch"]``
            Batches, parameters, versions, trace, stop reason, support of each batch by each other, and the rest of
            the model.

    Raises
    ------
    InputError
        If a column or the layer is missing, a label is missing, there are fewer than two batches, values are not
        counts, the reference is no batch or too small, no control gene is known, or the method takes no such option; or
        if `adata` is backed and to be copied, or a view of a backed AnnData.

    Warns
    -----
    InputWarning
        If batches are too small, batches and condition are confounded, some control genes are unknown, nothing is known
        of the reference, a batch has no count of many genes, its counts were multiplied (they are divided again) or
        seem to be normalised, or cells have the very counts of others: those of one batch are counted once, those of
        several batches in none that they are less than half of.

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
    adata = results_in(adata, copy=copy)
    source = open_own(adata, layer=layer)
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


def diagnose(
    adata: AnnData, *, probes: bool = False, layer: str | None = None, progress: bool = False, copy: bool = False
) -> AnnData | None:
    r"""Judge a fit once more, from its counts: one that has no diagnostics, or to probe it.

    A fit judges itself by at most 5,000 of its cells, and `unbatch.get.verdicts` tells what it found. This does the
    same for a fit of an older version. The probes fit these cells again, with something known about them:

    *split*
        The cells of a batch are divided at random into two batches, between which there is no effect. The value is the
        share of well-measured genes that are found to differ (:math:`|z| > 1.96`): 5% is right.
    *removed*
        Cells of one kind (some neighbouring states) are taken out of a batch. The value is the share of that batch
        among the 15 nearest neighbours, in the embedding, of the cells of that kind elsewhere. Expected is that share
        in a fit of all cells, with the removed ones not counted. Where the value is larger, cells of another kind were
        drawn there: too much was corrected.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, with its counts and all of its cells.
    probes
        Fit again, about eight times, the cells that are looked at.
    layer
        Where the raw counts are now; None for where `unbatch.tl.batch_effects` found them.
    progress
        Show bars, if standard error is a terminal.
    copy
        Give back a changed copy and leave `adata` as it is.

    Returns
    -------
    AnnData or None
        None unless `copy`. ``uns["unbatch"]["diagnostics"]`` is set, for `unbatch.get.verdicts` and
        `unbatch.get.diagnostics`; with probes it has the table "probes": ``probe``, ``batch``, ``state_or_label``,
        ``value``, ``expected``, ``verdict``.

    Raises
    ------
    InputError
        If `adata` holds no fit, or mapped cells, other cells than were fitted, or no counts where the fit found them;
        or if it is backed and to be copied, or a view of a backed AnnData.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.tl.diagnose(adata)
    >>> list(ub.get.verdicts(adata)["check"])
    ['need', 'overlap', 'balance', 'mixing', 'remainder', 'effects', 'convergence']
    """
    adata = results_in(adata, copy=copy)
    fit = read_slots(adata)
    source = open_raw(adata, fit, layer=layer)
    write_diagnostics(adata, diagnose_source(source, fit, probes=probes, progress=progress_for(quiet=not progress)))
    return adata if copy else None


def map_cells(
    adata: AnnData,
    *,
    model: BatchModel | str | Path,
    batch_key: str | Sequence[str] | None = None,
    layer: str | None = None,
    progress: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Put new cells in their place beside those of a finished fit, which does not change.

    Cells of a batch that the fit knows are placed by its effects. A new batch is matched against the cell states of the
    fit and gets effects of its own, relative to what those of the fit are relative to: see `unbatch.BatchModel.map`.

    Parameters
    ----------
    adata
        Raw counts of the new cells, in memory or backed. Genes are found by name: those that are missing count as not
        measured, those that the fit does not know get no effect.
    model
        A fitted model, or the path of what ``unbatch fit`` or `unbatch.BatchModel.save` wrote.
    batch_key
        Column of ``obs`` that names the batch of each cell, or several; None for the columns of the fit.
    layer
        Where the raw counts are; None for where the fit found them.
    progress
        Show bars, if standard error is a terminal.
    copy
        Give back a changed copy and leave `adata` as it is.

    Returns
    -------
    AnnData or None
        None unless `copy`. The slots of `unbatch.tl.batch_effects` are set, for the new cells and their batches;
        ``uns["unbatch"]["mapped_onto"]`` tells of the model.

    Raises
    ------
    InputError
        If the model keeps no states, no gene is known to it, labels are missing, or values are not counts; or if
        `adata` is backed and to be copied, or a view of a backed AnnData.

    Warns
    -----
    InputWarning
        For genes that one side lacks, for new batches that are too small, share no cell state with the fit, or whose
        counts were multiplied (they are divided again) or seem to be normalised, and for cells with the very counts of
        others.

    Examples
    --------
    >>> import unbatch as ub
    >>> cells = ub.simulate(n_cells=1200, n_genes=200, n_batches=3, n_types=4, median_depth=800, seed=1)
    >>> known = (cells.obs["batch"] != "batch_3").to_numpy()
    >>> old, new = cells[known].copy(), cells[~known].copy()
    >>> model = ub.BatchModel().fit(old.X, old.obs["batch"])
    >>> new.var_names = model.result.var.index
    >>> ub.tl.map_cells(new, model=model, batch_key="batch")
    >>> new.varm["batch_effects"].shape
    (200, 1)
    """
    adata = results_in(adata, copy=copy)
    if isinstance(model, AnnData):
        raise InputError(
            "the model is an AnnData: give the file that `unbatch fit` wrote, or write the AnnData, with all genes of "
            "the fit, by adata.write_h5ad(path) and give its path"
        )
    fit = (model if isinstance(model, BatchModel) else BatchModel.load(model)).result
    where = layer or fit.layer
    source = open_own(adata, layer=where)
    mapped = map_source(source, fit, batch_key=batch_key, layer=where, progress=progress_for(quiet=not progress))
    write_slots(adata, mapped)
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
            What is compared with what; ``versus`` is ``"mean over batches"`` where it is no batch, or ``"mean over the
            batches of each group"`` if they fall into groups that cannot be compared.
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
        ``measured``
            Whether the batch, of a pair both, measured the gene.
        ``mean_expression``
            Batch-free rate of the gene in the mean cell, :math:`\sum_s n_s \mu_{gs} / \sum_s n_s`, where all cells
            have the same size, half of the median counts of the shallowest batch or a twentieth of the median of all if
            that is more (their own size with ``method="concept"``), with
            :math:`n_s` the cells of state s that took part in the fit and are still there: it is another in a part
            of the cells. After ``effects_only``, of the cells that were kept for the fit.

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


def factors(
    adata: AnnData,
    *,
    n_factors: int | Sequence[int] = 20,
    n_pseudobulks: int = 1000,
    adjusted: bool = True,
    seed: int = 0,
    layer: str | None = None,
    key_added: str = "factors",
    client: "Client | None" = None,
    progress: bool = False,
) -> None:
    r"""Find gene programmes that owe nothing to the batch, and the share of each in every cell.

    .. math:: Y_{gj} \sim \mathrm{Poisson}\Big(\delta_{g k(j)} \sum_t \beta_{gt} \theta_{tj}\Big)

    Programmes :math:`\beta` come from a Poisson factorisation of pseudobulks, groups of cells that are neighbours in
    ``obsm["X_unbatch"]``, whatever their batch; activities :math:`\theta \ge 0` from a Poisson regression of each
    cell. In both the effects :math:`\delta` of the fit are offsets: the counts stay as they are. Columns of
    :math:`\beta` sum to 1, so that :math:`\theta_{tj}` is the number of counts that factor t would have made in
    cell j in the mean batch (or in the reference), and :math:`\theta_{tj} / \sum_t \theta_{tj}` its share.

    Cells of a batch of which no effect is known are in no pseudobulk, for a programme of theirs might as well be their
    batch. They have activities, with :math:`\delta = 1`, which do not compare with those of other cells.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, with all of its cells; genes may have been taken away since.
    n_factors
        Number of programmes. More of them split programmes into parts, and find rarer ones. Of several numbers, the
        smallest is taken that foretells unseen counts as well as any, within a standard error: see
        `unbatch.get.factor_choice`.
    n_pseudobulks
        Most groups of cells; one for every five cells if that is less. More of them tell programmes apart that no
        group has alone; time and memory (8 bytes x groups x genes) grow in proportion.
    adjusted
        False takes all effects for 1, and pools no cells of different batches: what the same factorisation finds in
        the counts as they are, to compare.
    seed
        Start of all random numbers: the same seed gives the same result.
    layer
        Where the raw counts are now; None for where `unbatch.tl.batch_effects` found them.
    key_added
        Names the slots that are set. Not ``"unbatch"``, ``"batch_effects"``, ``"batch_effects_se"`` or ``"adjusted"``,
        whose slots hold the fit itself.
    client
        A ``distributed.Client``: the workers of its Dask cluster read the counts, and the result is the same to the
        bit. `adata` must be backed then. None to read in this process.
    progress
        Show bars, if standard error is a terminal.

    Returns
    -------
    None
        These slots are set, with ``key_added`` for "factors":

        ``obsm["X_factors"]``
            Share of the adjusted counts of each cell that each factor makes, (n_cells, n_factors) float32. Rows sum to
            1; those of cells without counts are 0. Factors come in falling order of the counts that they make.
        ``varm["factors"]``
            Share of each gene in the counts of each factor, (n_genes, n_factors); columns sum to 1.
        ``uns["unbatch_factors"]``
            Counts of each factor, parameters, versions, deviance by update, stop reason, number of cells that did not
            converge, and the deviance of held-out counts if several numbers were tried.

    Raises
    ------
    InputError
        If the effects have not been estimated, or without coordinates of cells (``effects_only``); if cells or labels
        are not those of the fit; if no effect of any batch is known, unless `adjusted` is False; if values are not
        counts; if a number of factors is below 1, or more than there are pseudobulks; if `key_added` names slots of the
        fit; or if `adata` is a view of a backed AnnData.

    Warns
    -----
    InputWarning
        If of the batches of some cells no effect is known.

    See Also
    --------
    unbatch.get.factors : The top genes of each factor.
    unbatch.get.factor_choice : How well each number of factors foretells unseen counts.
    unbatch.pl.structure : The shares of all cells as stacked bars.

    References
    ----------
    Lee and Seung, Nature 401, 788 (1999); Taddy, AISTATS (2012); Carbonetto et al., Genome Biology 24, 236 (2023).

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.tl.factors(adata, n_factors=5)
    >>> adata.obsm["X_factors"].shape, adata.varm["factors"].shape
    ((1000, 5), (500, 5))
    """
    check_key(key_added)
    adata = results_in(adata)
    fit = read_slots(adata)
    found = fit_factors(
        open_raw(adata, fit, layer=layer),
        fit,
        n_factors=n_factors,
        options=FactorOptions(n_pseudobulks=n_pseudobulks, adjusted=adjusted, seed=seed),
        driver=None if client is None else DaskDriver(client),
        progress=progress_for(quiet=not progress),
    )
    write_factors(adata, found, key=key_added)
