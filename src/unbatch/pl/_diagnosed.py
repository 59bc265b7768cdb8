"""Figures of the diagnostics of a fit: was a correction needed, allowed and enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from unbatch import slots
from unbatch._check import InputError
from unbatch.pl import _record
from unbatch.pl._balance import balance_summary, love_plot, pair_name
from unbatch.pl._fitted import check_kind
from unbatch.pl._intervals import effect_intervals
from unbatch.pl._mixing import cell_overlap, neighbour_share
from unbatch.pl._names import legible
from unbatch.pl._need import explained_by_gene, explained_variance
from unbatch.pl._remainder import departures, departures_heatmap
from unbatch.pl._support import distance_heatmap, state_heatmap, support_heatmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from unbatch._types import FloatArray

_DIMENSIONS = "dim"


def need(adata: AnnData, *, kind: Literal["spaces", "genes"] = "spaces", ax: Axes | None = None) -> Axes:
    """Draw how much of the variance batches explain, against what permuted batches explain.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with diagnostics.
    kind
        ``"spaces"``: in all genes together and in the embedding, before and after. ``"genes"``: a dot per gene, before
        across and after up.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, in per cent.

    Raises
    ------
    InputError
        If `adata` holds no fit, its fit no diagnostics, or the kind is unknown.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.need(adata)
    """
    check_kind(kind, ("spaces", "genes"))
    if kind == "genes":
        return explained_by_gene(_record.read_table(adata, "need_genes"), ax=ax)
    return explained_variance(_record.read_table(adata, "need"), ax=ax)


def overlap(
    adata: AnnData, *, kind: Literal["pairs", "distances", "states", "cells"] = "pairs", ax: Axes | None = None
) -> Axes:
    """Draw whether batches share cell states at all, without which no effect can be known.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote; with diagnostics, but for
        ``"pairs"``.
    kind
        ``"pairs"``: share of the cells of each batch that have a counterpart in each other batch. ``"distances"``: how
        far the nearest cell of each other batch is, over the distance within the own batch. ``"states"``: from which
        batches the cells of each state come; states of one batch alone are named. ``"cells"``: per batch, how probable
        that batch is given the state of a cell, 1 for cells that stand alone.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If `adata` holds no fit, its fit no diagnostics, or the kind is unknown.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.pl.overlap(adata).get_xlabel()
    'have a counterpart in batch'
    """
    check_kind(kind, ("pairs", "distances", "states", "cells"))
    batches = _record.batches_of(adata)
    if kind == "pairs":
        return support_heatmap(
            np.asarray(slots.read_record(adata)["support"], dtype=np.float64), batches=batches, ax=ax
        )
    if kind == "distances":
        return distance_heatmap(_square(_record.read_table(adata, "overlap_pairs"), batches), batches=batches, ax=ax)
    if kind == "states":
        table = _record.read_table(adata, "overlap_states")
        order = np.argsort(-table["n_cells"].to_numpy(dtype=np.float64), kind="stable")
        shares = _record.read_array(adata, "state_batch").reshape(len(table), len(batches))[order]
        return state_heatmap(shares, states=_state_names(table.iloc[order]), batches=batches, ax=ax)
    codes = _record.read_table(adata, "cells")["batch"].to_numpy(dtype=np.int64)
    own = _record.read_array(adata, "overlap_cells").reshape(len(codes), -1)[:, 0]
    return cell_overlap(own, codes.astype(np.int32), batches=batches, ax=ax)


def balance(
    adata: AnnData,
    *,
    kind: Literal["genes", "dimensions", "pairs"] = "genes",
    pair: tuple[str, str] | None = None,
    n_names: int = 25,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw how far matched cells of different batches differ, before and after: the love plot of causal inference.

    What is shown is the absolute standardised mean difference of matched cells, :math:`|\bar x_a - \bar x_b| / s`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with diagnostics.
    kind
        ``"genes"`` or ``"dimensions"`` of the embedding of one pair of batches, or the mean over genes of all
        ``"pairs"``.
    pair
        Two batches; the second is ``""`` for all others together, which is how more than 45 pairs are kept. None for
        the pair that is left the furthest apart; with ``kind="pairs"``, for all.
    n_names
        How many genes, dimensions or pairs to show, the furthest apart first; a larger number adds closer ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Left of the dashed line, at 0.1, cells are balanced.

    Raises
    ------
    InputError
        If `adata` holds no fit, its fit no diagnostics, or the kind or the pair is unknown.

    See Also
    --------
    unbatch.pl.pseudobulk_balance : Share of each batch in each pseudobulk sample.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.balance(adata, pair=("batch_1", "batch_2"))
    """
    check_kind(kind, ("genes", "dimensions", "pairs"))
    if pair is not None:
        first, second = map(str, pair)
        pair = first, second
    summary = _record.read_table(adata, "balance_summary")
    if kind == "pairs":
        return balance_summary(summary if pair is None else _of_pair(summary, pair), n_pairs=n_names, ax=ax)
    table = _record.read_table(adata, "balance")
    if pair is None:
        pair = _worst_pair(summary)
    wanted = (table["kind"].astype(str) == _DIMENSIONS) == (kind == "dimensions")
    shown = table if pair is None else _of_pair(table, pair)
    shown = shown[wanted.reindex(shown.index)]
    ax = love_plot(shown, n_names=n_names, ax=ax)
    if not shown.empty and pair is not None:
        n_matched = int(shown["n_matched"].iloc[0])
        ax.set_title(f"{pair_name(*pair)}: {n_matched:,} matched cells", fontsize="medium", parse_math=False)
        ax.set_ylabel("gene" if kind == "genes" else "dimension of the embedding")
    return ax


def mixing(adata: AnnData, *, n_batches: int = 40, ax: Axes | None = None) -> Axes:
    """Draw the share of the neighbours of each batch's cells that are of that batch, against what is expected.

    Cells that were counted more deeply than others lie closer together, and have more neighbours of their batch than
    expected without being apart. The verdict knows of that: it compares with ``elsewhere`` in the table
    (`unbatch.get.diagnostics`).

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with diagnostics.
    n_batches
        How many batches to show, those furthest from their expectation first; a larger number adds better ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If `adata` holds no fit, or its fit no diagnostics.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.mixing(adata)
    """
    return neighbour_share(_record.read_table(adata, "mixing"), n_batches=n_batches, ax=ax)


def remainder(
    adata: AnnData, *, kind: Literal["states", "genes"] = "states", n_genes: int = 25, ax: Axes | None = None
) -> Axes:
    """Draw what the effects leave over: batches that act on one state otherwise than on the others.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with diagnostics.
    kind
        ``"states"``: mean square of the standardised departures of each state and batch, on the log2 scale, 0 for noise
        alone. ``"genes"``: the strongest departures of single genes, with 95 % intervals.
    n_genes
        How many departures of single genes to show, the surest first; a larger number adds weaker ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If `adata` holds no fit, its fit no diagnostics, or the kind is unknown.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.remainder(adata, kind="genes")
    """
    check_kind(kind, ("states", "genes"))
    if kind == "genes":
        return departures(_record.read_table(adata, "remainder"), n_genes=n_genes, ax=ax)
    return departures_heatmap(_record.read_table(adata, "remainder_states"), ax=ax)


def strongest(
    adata: AnnData, *, batch: str | Sequence[str] | None = None, n_genes: int = 30, ax: Axes | None = None
) -> Axes:
    """Draw the strongest effects of single genes with 95 % intervals, known technical families of genes marked.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with diagnostics.
    batch
        Batch to show, or several; None for all.
    n_genes
        How many effects to show, those whose interval is furthest from 0 first; a larger number adds weaker ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, on the log2 scale.

    Raises
    ------
    InputError
        If `adata` holds no fit, its fit no diagnostics, or a batch is unknown.

    See Also
    --------
    unbatch.pl.batch_effects : The same genes in all batches, as a heat map or a volcano.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.strongest(adata, batch="batch_2", n_genes=10)
    """
    batches = _record.batches_of(adata)
    asked = {batches[column] for column in _record.columns_of(adata, batch)}
    table = _record.read_table(adata, "strongest")
    ax = effect_intervals(table[table["batch"].astype(str).isin(asked)], n_genes=n_genes, ax=ax)
    if len(asked) == 1 and ax.axison:
        ax.set_title(legible(next(iter(asked))), fontsize="medium", parse_math=False)
    return ax


def _square(table: pd.DataFrame, batches: Sequence[str]) -> FloatArray:
    """Distance ratio of every pair, (n_batches, n_batches), nan where it is not known."""
    place = {batch: code for code, batch in enumerate(batches)}
    ratio = np.full((len(batches), len(batches)), np.nan)
    own, other = (table[name].astype(str).map(place) for name in ("batch", "other"))
    known = (own.notna() & other.notna()).to_numpy()
    values = table["distance_ratio"].to_numpy(dtype=np.float64)
    ratio[own[known].to_numpy(dtype=np.int64), other[known].to_numpy(dtype=np.int64)] = values[known]
    return ratio


def _state_names(table: pd.DataFrame) -> list[str]:
    names = []
    for state, n_cells, alone in zip(table["state"], table["n_cells"], table["alone"].fillna(""), strict=True):
        only = f" (only {legible(str(alone), longest=10)})" if str(alone) else ""
        names.append(f"{legible(str(state), longest=10)}: {int(n_cells):,} cells{only}")
    return names


def _worst_pair(summary: pd.DataFrame) -> tuple[str, str] | None:
    """Pair of batches whose matched cells are left the furthest apart."""
    if summary.empty:
        return None
    worst = summary.iloc[int(np.argmax(np.nan_to_num(summary["mean_after"].to_numpy(dtype=np.float64), nan=-1.0)))]
    return str(worst["batch"]), str(worst["other"])


def _of_pair(table: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """Rows of a pair of batches, whichever is named first."""
    own, other = table["batch"].astype(str), table["other"].astype(str)
    first, second = pair
    chosen = ((own == first) & (other == second)) | ((own == second) & (other == first))
    if not chosen.any():
        known = list(dict.fromkeys(zip(own, other, strict=True)))[:10]
        raise InputError(f"the diagnostics keep no pair {pair!r}; among the pairs that they keep are {known}")
    return table[chosen]
