"""Take results out of an AnnData as tables with names."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch._check import InputError, check_whole
from unbatch.offsets import cell_offsets, sum_groups
from unbatch.programmes.result import shrunken_lift
from unbatch.programmes.slots import held_out_table, read_factors
from unbatch.raw_counts import open_any, open_raw
from unbatch.slots import EFFECTS, ERRORS, gene_rows, read_diagnostics, read_record
from unbatch.stored_fit import read_slots

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


def factors(adata: AnnData, *, n_genes: int | None = 20, by: str = "lift", key: str = "factors") -> pd.DataFrame:
    r"""Top genes of each gene programme, one row per factor and gene.

    A gene's *weight* is its share of the counts of the factor; genes that are loud everywhere come first by it. Its
    *lift* is how many times more of it the factor has than all factors have together,

    .. math:: \frac{N_t \beta_{gt} + 20}{N_t \bar\beta_g + 20}, \qquad
              \bar\beta_g = \frac{\sum_t N_t \beta_{gt}}{\sum_t N_t},

    with :math:`N_t` the counts of the factor: 20 counts of the mean are added, so that genes with a handful of counts
    in all do not come first. Lift names what is special about a programme, weight what it consists of.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.factors` ran, or the file that ``unbatch factors`` wrote.
    n_genes
        Genes per factor; None for all. A larger number adds less typical ones.
    by
        What genes are ranked by, "lift" or "weight".
    key
        The ``key_added`` of `unbatch.tl.factors`.

    Returns
    -------
    pandas.DataFrame
        Columns ``factor`` (from 1, in the order of the columns of ``varm["factors"]``), ``rank`` (from 1), ``gene``,
        ``weight`` and ``lift``.

    Raises
    ------
    InputError
        If `adata` holds no programmes, `by` is something else, or `n_genes` is below 1.
    """
    record = read_factors(adata, key=key)
    if by not in ("lift", "weight"):
        raise InputError(f"by={by!r}: genes are ranked by 'lift' or by 'weight'")
    if n_genes is not None:
        check_whole("n_genes", n_genes, least=1, usual=20)
    weight = np.asarray(adata.varm[key], dtype=np.float64)
    lift = shrunken_lift(weight, np.asarray(record["counts"], dtype=np.float64))
    order = np.argsort(-(lift if by == "lift" else weight), axis=0, kind="stable")[:n_genes]
    n_rows, n_factors = order.shape
    row, factor = order.T.ravel(), np.repeat(np.arange(n_factors), n_rows)
    return pd.DataFrame(
        {
            "factor": factor + 1,
            "rank": np.tile(np.arange(n_rows) + 1, n_factors),
            "gene": adata.var_names.to_numpy()[row],
            "weight": weight[row, factor],
            "lift": lift[row, factor],
        }
    )


def factor_choice(adata: AnnData, *, key: str = "factors") -> pd.DataFrame:
    """How well each number of factors that was tried foretells counts that it has not seen.

    Programmes were found without a fifth of the cells, at most 2,000. The counts of these were split at random in two:
    their activities were fitted to one half, and the other half was compared with what they foretell, by its Poisson
    deviance. Less is better.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.factors` ran with several ``n_factors``, or the file that ``unbatch factors`` wrote.
    key
        The ``key_added`` of `unbatch.tl.factors`.

    Returns
    -------
    pandas.DataFrame
        Columns ``n_factors``, ``deviance`` (mean over the held-out cells), ``excess`` (over the best number),
        ``excess_se`` (its standard error, from the differences within cells) and ``chosen``: the smallest number whose
        excess is no more than its standard error.

    Raises
    ------
    InputError
        If `adata` holds no programmes, or only one number was tried.
    """
    table = held_out_table(read_factors(adata, key=key))
    if not len(table):
        raise InputError(
            "only one number of factors was asked for, and nothing held out: give several, as in "
            "unbatch.tl.factors(adata, n_factors=[5, 10, 20])"
        )
    return table


def offsets(
    adata: AnnData,
    *,
    groupby: str | Sequence[str] | None = None,
    state_specific: bool = False,
    layer: str | None = None,
) -> pd.DataFrame:
    r"""Log delta as the offset of a count model, for cells or for their sums over groups (pseudobulks).

    For a cell it is the log delta of its batch, :math:`o_{gj} = \log \delta_{g k(j)}`. For a group p of cells it is the
    log of their mean effect, weighted by exposures, in which there are no counts of the gene,

    .. math:: o_{gp} = \log \frac{\sum_{j \in p} l_j\, \delta_{g k(j)}}{\sum_{j \in p} l_j}, \qquad
              l_j = \sum_g Y_{gj} / \delta_{g k(j)},

    so that raw counts have mean :math:`\mu_{gp} L_p e^{o_{gp}}` with :math:`L_p = \sum_{j \in p} l_j`. Give the model
    raw counts and the offset :math:`o_{gp} + \log L_p`; `pseudobulks` has all three. The offset takes effects for
    known; their standard errors (`batch_effects`) do not enter.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran; cells or genes may have been taken away since.
    groupby
        Column of ``obs``, or several, whose combinations are the groups; None for each cell by itself.
    state_specific
        Use the effect of the batch on the cell's own state, ``delta_gk rho_gsk``; needs a fit with
        ``state_specific=True``.
    layer
        Where the raw counts are now; None for where `unbatch.tl.batch_effects` found them. Offsets of cells need none.

    Returns
    -------
    pandas.DataFrame
        (n_groups, n_genes) float64, or (n_cells, n_genes) float32: four bytes per cell and gene, dense.

    Raises
    ------
    InputError
        If the effects have not been estimated, a column is missing or has no label for some cells, or values are not
        counts.

    See Also
    --------
    unbatch.get.pseudobulks : The same with counts and exposures.
    """
    fit = read_slots(adata)
    if groupby is None:
        table = cell_offsets(open_any(adata), fit, state_specific=state_specific)
        return pd.DataFrame(table, index=adata.obs_names, columns=adata.var_names)
    source = open_raw(adata, fit, layer=layer)
    found = sum_groups(source, fit, _columns(groupby), state_specific=state_specific)
    return pd.DataFrame(found.log_delta, index=found.obs.index, columns=adata.var_names)


def pseudobulks(
    adata: AnnData, *, groupby: str | Sequence[str], state_specific: bool = False, layer: str | None = None
) -> AnnData:
    """Raw counts summed over groups of cells, with the offset that a count model needs to leave batches out.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran; cells or genes may have been taken away since.
    groupby
        Column of ``obs``, or several, whose combinations are the groups. Groups of one batch each (such as donor and
        cell type) leave the model to judge how donors vary; groups that mix batches have their mean effect.
    state_specific
        Use the effect of the batch on the cell's own state; needs a fit with ``state_specific=True``.
    layer
        Where the raw counts are now; None for where `unbatch.tl.batch_effects` found them.

    Returns
    -------
    AnnData
        Groups x genes: ``X`` summed raw counts, ``layers["log_delta"]`` the offset (see `offsets`),
        ``layers["measured"]`` whether any cell of the group measured the gene (a 0 elsewhere says nothing),
        ``layers["known"]`` whether the effects of all its batches on the gene are known (the offset takes others for
        none), and in ``obs`` the columns of the groups, ``n_cells`` and ``exposure``, the cells' summed size factors.
        The offset of a Poisson or negative binomial model is ``log_delta + log(exposure)``.

    Raises
    ------
    InputError
        As `offsets`.
    """
    fit = read_slots(adata)
    source = open_raw(adata, fit, layer=layer)
    found = sum_groups(source, fit, _columns(groupby), state_specific=state_specific)
    layers = {"log_delta": found.log_delta, "measured": found.measured, "known": found.known}
    return AnnData(found.counts, obs=found.obs, var=adata.var.copy(), layers=layers)


def verdicts(adata: AnnData) -> pd.DataFrame:
    """Whether a fit can be trusted: one row per check, with the number behind it.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.

    Returns
    -------
    pandas.DataFrame
        Columns ``check``, ``verdict`` ("fine", "look here" or "do not trust"), ``value`` (the number that it rests
        on), ``threshold`` (the bound it was, or was not, beyond), ``text`` (one sentence) and ``cure`` (what to do; ""
        if nothing). The checks are

        ``need``
            Whether batches explain more of the variance within cell states than permuted batches do.
        ``overlap``
            Whether batches share cell states.
        ``balance``
            Whether matched cells of any two batches are alike after correction.
        ``mixing``
            Whether neighbours in ``X_unbatch`` are of other batches as often as they should be; not after a fit of
            effects only.
        ``remainder``
            Whether a batch acts on single states in its own way.
        ``effects``
            How many effects are known, and how large they are.
        ``convergence``
            Whether the iterations settled.
        ``probes``
            Whether splitting a batch or removing a state deceives the method; only after
            ``unbatch.tl.diagnose(adata, probes=True)``.

    Raises
    ------
    InputError
        If `adata` holds no fit, or one without diagnostics.

    See Also
    --------
    unbatch.get.diagnostics : The tables behind the verdicts.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> list(ub.get.verdicts(adata).columns)
    ['check', 'verdict', 'value', 'threshold', 'text', 'cure']
    """
    return read_diagnostics(adata).verdicts.copy()


def diagnostics(adata: AnnData, table: str) -> pd.DataFrame:
    """Table of the diagnostics of a fit, measured on at most 5,000 of its cells, the same number of each batch.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    table
        Its name, one of

        ``"need"``
            ``space`` ("genes", "genes after", "embedding before", "embedding after"); ``explained``, the share of the
            variance within cell states that the batch explains; ``null``, its mean if batches were exchanged at random
            within states; ``null_upper``, which 5% of ``n_permutations`` such exchanges exceed; ``compared``, the
            share of the cells that are in a state with another batch.
        ``"need_genes"``
            The same by ``gene``: ``explained_before``, ``explained_after``, ``null_upper``. Genes that all batches
            measured.
        ``"overlap_pairs"``
            ``share`` of the cells of ``batch`` whose state holds cells of ``other``; ``distance_ratio``, median of the
            distance to the nearest cell of the other batch over that to the nearest of the own.
        ``"overlap_states"``
            ``state``, its ``n_cells`` and ``n_batches`` that are compared in it; ``alone``, the only batch, or "".
        ``"balance"``
            Standardised mean differences ``before`` and ``after`` correction of ``n_matched`` matched cells of
            ``batch`` and ``other`` ("": all others), for the 40 largest genes (``kind`` "gene") and the dimensions of
            the embedding ("dim"), by ``name``.
        ``"balance_summary"``
            Over all genes: ``mean_before`` and ``mean_after`` of their absolute values; ``over_01_before`` and
            ``over_01_after``, the share above 0.1; ``rms_before`` and ``rms_after``, root mean square beyond what
            chance leaves.
        ``"mixing"``
            Share of the 15 nearest neighbours of a cell that are of its own batch: ``before``, ``after``, and
            ``expected`` if batches were mixed at random within states; share of the batch among the neighbours of
            cells of other batches in the same states, ``elsewhere``; ``n_cells`` looked at.
        ``"remainder"``
            The 200 strongest departures of a ``state`` in a ``batch`` from the effect on all states: ``log_ratio`` of
            counts over those expected, its ``se``, and ``z``, the departure of the counts themselves in standard errors
            (adjusted residual; not the ratio of the two, which is less normal).
        ``"remainder_states"``
            ``mean_square`` of z over genes by ``state`` and ``batch``: about 1 if one effect serves all states.
        ``"strongest"``
            The 20 strongest genes of each ``batch`` by ``rank``: ``log_delta``, ``se``, 95% interval ``lower`` to
            ``upper``, ``q`` (Benjamini-Hochberg over genes and batches) and technical ``family`` or "".
        ``"families"``
            Technical families of genes: ``n_genes`` of each, ``median_log_delta``, and ``p`` of a rank sum test against
            all other genes.
        ``"cells"``
            ``row`` of the cells that were looked at, and their ``batch`` by number.
        ``"probes"``
            See `unbatch.tl.diagnose`.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        If `adata` holds no fit, or one without diagnostics, or there is no such table.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> list(ub.get.diagnostics(adata, "mixing")["batch"])
    ['batch_1', 'batch_2']
    """
    tables = read_diagnostics(adata).tables
    if table not in tables:
        cure = "run unbatch.tl.diagnose(adata, probes=True)" if table == "probes" else f"choose among {sorted(tables)}"
        raise InputError(f"there is no table {table!r} in the diagnostics of this fit: {cure}")
    return tables[table].copy()


def _columns(groupby: str | Sequence[str]) -> list[str]:
    if isinstance(groupby, str):
        return [groupby]
    if not isinstance(groupby, Iterable):
        raise InputError(f"groupby is {groupby!r}: name a column of obs, or several")
    return list(groupby)
