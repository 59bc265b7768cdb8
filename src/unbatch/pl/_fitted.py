"""Figures of a fitted AnnData: its effects, its iterations, its samples, and what it recovered of a known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from unbatch import slots
from unbatch._check import InputError
from unbatch.core.convention import centre_log_delta, relate_log_delta, weighted_median
from unbatch.pl import _record
from unbatch.pl._effects import effects_heatmap, effects_volcano
from unbatch.pl._names import legible
from unbatch.pl._recovery import effect_recovery
from unbatch.pl._support import balance_heatmap
from unbatch.pl._trace import iterations
from unbatch.ranking import mean_expression
from unbatch.stored_fit import read_slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from unbatch._types import BoolArray, FloatArray

BETWEEN_KEYS = " | "
"""What joins the levels of several batch columns to the name of a batch."""
TRUTH = "log_delta_true"


def batch_effects(
    adata: AnnData,
    *,
    kind: Literal["heatmap", "volcano"] = "heatmap",
    batch: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw the effects of the fit, on the log2 scale: the strongest as a heat map, or all as a volcano.

    Genes are ranked by the end of the 95 % interval that is nearer to no effect, :math:`|\log\delta| - 1.96\,se`: a
    large estimate from a handful of counts does not come first.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    kind
        ``"heatmap"``: genes down, batches across, unknown effects grey. ``"volcano"``: a dot per gene and batch, the
        effect across and :math:`-\log_{10} q` up (Benjamini-Hochberg over the dots shown).
    batch
        Batch to show, or several; None for all.
    n_genes
        Genes of the heat map, or dots named in the volcano; a larger number adds weaker effects. None for 30 and 10.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If `adata` holds no fit, or the kind or a batch is unknown.

    See Also
    --------
    unbatch.pl.strongest : Effects of single genes with intervals and families.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.batch_effects(adata, n_genes=20)
    >>> ax = ub.pl.batch_effects(adata, kind="volcano", batch="batch_1")
    """
    check_kind(kind, ("heatmap", "volcano"))
    columns = _record.columns_of(adata, batch)
    batches = _record.batches_of(adata)
    log_delta, se = (
        np.asarray(adata.varm[name], dtype=np.float64)[:, columns] for name in (slots.EFFECTS, slots.ERRORS)
    )
    genes, shown = adata.var_names.astype(str), [batches[column] for column in columns]
    if kind == "heatmap":
        most = 30 if n_genes is None else n_genes
        return effects_heatmap(log_delta, se, genes=genes, batches=shown, n_genes=most, ax=ax)
    most = 10 if n_genes is None else n_genes
    return effects_volcano(log_delta, se, genes=genes, batches=shown, places=columns, n_genes=most, ax=ax)


def trace(adata: AnnData, *, quantity: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what the iterations of the fit did; the title tells why they stopped.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    quantity
        Name of an entry of ``uns["unbatch"]["trace"]``, such as ``"change"``, ``"matched"``, ``"states"`` or
        ``"objective"`` of the default method; None for the change of log delta, by which the fit decides when to stop.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If `adata` holds no fit, or its fit no such quantity.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.pl.trace(adata, quantity="matched").get_ylabel()
    'share of cells that take part'
    """
    record = slots.read_record(adata)
    kept = {str(name): np.asarray(values, dtype=np.float64) for name, values in record["trace"].items()}
    if quantity is not None and quantity not in kept:
        raise InputError(f"the trace of this fit has no {quantity!r}; it has {sorted(kept)}")
    if not kept:
        return iterations(np.empty(0), quantity="", ax=ax)
    usual = next((name for name in ("change", "max_change") if name in kept), min(kept))
    chosen = usual if quantity is None else quantity
    return iterations(kept[chosen], quantity=chosen, stop_reason=str(record["stop_reason"]), ax=ax)


def recovery(
    adata: AnnData, *, truth: AnnData | None = None, batch: str | Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw estimated against true effects, where the truth is known: a dot per gene and batch.

    Only contrasts between batches are identifiable, so the truth is first brought into the convention of the fit: for
    each gene the mean over batches is 0, or the reference of the fit is 0; of mapped cells those of the model are. Its
    medians weight genes by their ``mean_expression`` (`unbatch.tl.rank_batch_genes`) in the cells that are still there:
    in a part of the cells all genes of a batch may lie a little higher or lower.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    truth
        The simulated data, with ``varm["log_delta_true"]`` (natural log, genes x batches) and the names of its columns
        in ``uns["simulation"]["batches"]``, as `unbatch.simulate` gives it. A file that ``unbatch fit`` wrote keeps no
        truth: give the simulated file here. None if `adata` has it itself.
    batch
        Batch to show, or several; None for all.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with Pearson correlation and root mean square error (natural log) in the title. Effects that nothing is
    known of are left out.

    Raises
    ------
    InputError
        If `adata` holds no fit, or there is no truth, or not for all of its genes and batches.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.recovery(adata, batch="batch_1")
    """
    columns = _record.columns_of(adata, batch)
    estimate = np.asarray(adata.varm[slots.EFFECTS], dtype=np.float64)
    known = np.isfinite(np.asarray(adata.varm[slots.ERRORS], dtype=np.float64))
    planted = _in_convention(adata, adata if truth is None else truth, known)
    names = _record.batches_of(adata)
    title = legible(names[columns[0]]) if len(columns) == 1 else f"{len(columns)} batches"
    shown = known[:, columns]
    return effect_recovery(estimate[:, columns][shown], planted[:, columns][shown], title=title, ax=ax)


def pseudobulk_balance(adata: AnnData, *, ax: Axes | None = None) -> Axes:
    """Draw whether each pseudobulk sample holds the batches in the proportion of the data; see :func:`balance_heatmap`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with the batch columns of
        the fit still in ``obs``.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: log2 of the share of the batch in the sample over its share of all cells.

    Raises
    ------
    InputError
        If `adata` holds no fit, a fit of effects only, or neither ``obs["unbatch_batch"]`` nor the batch
        columns of the fit are in ``obs``.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ax = ub.pl.pseudobulk_balance(adata)
    """
    batches = _record.batches_of(adata)
    if slots.SAMPLE not in adata.obs:
        raise InputError(f"obs has no column {slots.SAMPLE!r}: the fit was of effects only; fit again without it")
    batch = batch_of_cells(adata)
    took_part = adata.obs[slots.SAMPLE].to_numpy() >= 0
    table = pd.crosstab(pd.Categorical(batch, batches)[took_part], adata.obs[slots.SAMPLE][took_part].to_numpy())
    cell_counts = table.reindex(batches, fill_value=0).to_numpy(dtype=np.float64)
    return balance_heatmap(cell_counts, batches=batches, ax=ax)


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    """Refuse a kind of figure that does not exist.

    Raises
    ------
    InputError
        If it is not among the kinds.
    """
    if kind not in kinds:
        raise InputError(f"there is no figure of kind {kind!r}: choose from {', '.join(map(repr, kinds))}")


def batch_of_cells(adata: AnnData) -> list[str]:
    """Name of the batch of each cell, as it was fitted, or from the columns that the fit took it from.

    Raises
    ------
    InputError
        If the fit took its batches from elsewhere, the columns are gone, or hold other batches than the fit saw.
    """
    if slots.BATCH in adata.obs:
        return [str(name) for name in adata.obs[slots.BATCH]]
    batches = set(_record.batches_of(adata))
    keys = [str(key) for key in slots.read_record(adata)["batch_key"]]
    if not keys:
        raise InputError(
            "the fit took its batches from files or labels, not from obs: this figure needs columns of obs"
        )
    lost = [key for key in keys if key not in adata.obs]
    if lost:
        raise InputError(
            f"obs has no column {lost[0]!r}, which the fit took its batches from: put it back or fit again"
        )
    columns = [adata.obs[key].astype(str) for key in keys]
    names = [BETWEEN_KEYS.join(labels) for labels in zip(*columns, strict=True)]
    strangers = sorted(set(names) - batches)
    if strangers:
        raise InputError(
            f"obs has {len(strangers)} batches that the fit did not see (first: {strangers[0]!r}): fit again"
        )
    return names


def _planted(adata: AnnData, truth: AnnData, batches: Sequence[str]) -> FloatArray:
    """Take the true log delta of the genes and batches of the fit, in their order."""
    if TRUTH not in truth.varm or "simulation" not in truth.uns:
        raise InputError(
            f"the truth is not known: there is no varm[{TRUTH!r}] with uns['simulation']; "
            "give the simulated data as truth"
        )
    places = {str(name): place for place, name in enumerate(truth.uns["simulation"]["batches"])}
    lost = [name for name in batches if name not in places]
    if lost:
        raise InputError(f"the simulation has no batch {lost[0]!r}; it has {sorted(places)[:10]}")
    rows = truth.var_names.get_indexer(adata.var_names)
    if (rows < 0).any():
        first = adata.var_names[int(np.argmax(rows < 0))]
        raise InputError(f"the simulation lacks {int((rows < 0).sum())} genes of the fit (first: {first!r})")
    columns = [places[name] for name in batches]
    planted: FloatArray = np.asarray(truth.varm[TRUTH], dtype=np.float64)[rows][:, columns]
    return planted


def _in_convention(adata: AnnData, truth: AnnData, known: BoolArray) -> FloatArray:
    fit = read_slots(adata)
    weights = mean_expression(fit)
    log_delta = _planted(adata, truth, fit.batches)
    if fit.mapped_onto is not None:
        model = _planted(adata, truth, fit.mapped_onto.batches)
        if fit.relative_to:
            column = fit.mapped_onto.batches.index(fit.relative_to)
            convention = relate_log_delta(model, weights, np.ones(model.shape, dtype=bool), reference=column)
            base = model[:, column]
        else:
            convention = centre_log_delta(model, weights, np.ones(model.shape, dtype=bool))
            base = model.mean(axis=1)
        usual = np.mean([weighted_median(column, weights) for column in convention.T])
        relative = log_delta - base[:, None]
        medians = [weighted_median(column, weights * there) for column, there in zip(relative.T, known.T, strict=True)]
        return np.asarray(relative - np.array(medians) + usual)
    if fit.reference is None:
        return centre_log_delta(log_delta, weights, known)
    return relate_log_delta(log_delta, weights, known, reference=fit.batches.index(fit.reference))
