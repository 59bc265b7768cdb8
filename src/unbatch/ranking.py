"""Which genes differ by batch: effects, intervals and tests of a fit as one table."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._types import BoolArray, FloatArray
from unbatch.core.contrasts import difference_errors, normal_tests
from unbatch.fitted import BatchFit

_NORMAL_975 = 1.959963984540054
_SHOWN = 8


def rank_genes(
    fit: BatchFit, *, batch: str | Sequence[str] | None = None, versus: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Table of effects by gene and batch, or gene and pair of batches: see `unbatch.tl.rank_batch_genes`.

    Raises
    ------
    InputError
        If a batch was not part of the fit, or nothing is left to be compared.
    """
    pairs = _pairs(fit, _names(fit, batch), None if versus is None else _names(fit, versus))
    reference = None if fit.reference is None else fit.batches.index(fit.reference)
    compared = [(own, reference if other is None else other) for own, other in pairs]
    columns = [_contrast(fit, *pair) for pair in compared]
    log_delta, se = (np.stack([column[part] for column in columns], axis=1).ravel() for part in (0, 1))
    tests = normal_tests(log_delta, se)
    n_genes = len(fit.var)
    usual = fit.reference or fit.expressed_in
    against = [fit.batches[other] if other is not None else usual for _, other in pairs]
    table = pd.DataFrame(
        {
            "gene": np.repeat(fit.var.index.to_numpy(), len(pairs)),
            "batch": _repeated([fit.batches[own] for own, _ in pairs], n_genes),
            "versus": _repeated(against, n_genes),
            "log_delta": log_delta,
            "log2_effect": log_delta / np.log(2),
            "se": se,
            "lower": log_delta - _NORMAL_975 * se,
            "upper": log_delta + _NORMAL_975 * se,
            "z": tests.z,
            "pvalue": tests.pvalue,
            "qvalue": tests.qvalue,
            "support": np.tile([_support(fit, *pair) for pair in compared], n_genes),
            "mean_expression": np.repeat(mean_expression(fit), len(pairs)),
            "measured": np.stack([_measured(fit, *pair) for pair in compared], axis=1).ravel(),
        }
    )
    return table.iloc[np.argsort(-np.abs(tests.z), kind="stable")].reset_index(drop=True)


def mean_expression(fit: BatchFit) -> FloatArray:
    r"""Batch-free rate of each gene in the mean cell, :math:`\sum_s n_s \mu_{gs} / \sum_s n_s`, (n_genes,).

    Of the cells that took part in the fit and are still there; after a fit of effects only, of those that were kept for
    the fit.
    """
    if fit.sample is None:
        n_cells = fit.evidence["state_cells"].sum(axis=1)
    else:
        n_cells = np.bincount(fit.sample[fit.sample >= 0], minlength=fit.mu.shape[1]).astype(np.float64)
    return np.asarray(fit.mu @ n_cells / max(n_cells.sum(), 1.0))


def _names(fit: BatchFit, asked: str | Sequence[str] | None) -> list[int]:
    """Columns of the batches asked for, each once; all for None."""
    if asked is None:
        return list(range(len(fit.batches)))
    several = asked if isinstance(asked, Iterable) and not isinstance(asked, str) else [asked]
    wanted = list(dict.fromkeys(str(name) for name in several))
    unknown = [name for name in wanted if name not in fit.batches]
    if unknown or not wanted:
        known = ", ".join(repr(name) for name in fit.batches[:_SHOWN]) + (", ..." if len(fit.batches) > _SHOWN else "")
        fault = f"{unknown[0]!r} is no batch of the fit" if unknown else "no batch is named"
        raise InputError(f"{fault}: choose among {known}")
    return [fit.batches.index(name) for name in wanted]


def _measured(fit: BatchFit, own: int, other: int | None) -> BoolArray:
    """Tell which genes both batches measured, (n_genes,)."""
    return fit.measured[:, own] if other is None else fit.measured[:, own] & fit.measured[:, other]


def _pairs(fit: BatchFit, own: list[int], others: list[int] | None) -> list[tuple[int, int | None]]:
    """List what is compared with what, each pair once; None for what effects are relative to."""
    if others is None:
        pairs: list[tuple[int, int | None]] = [(one, None) for one in own if fit.batches[one] != fit.relative_to]
        if not pairs:
            raise InputError(
                f"batch {fit.relative_to!r} is what all effects are relative to: choose another or give versus"
            )
        return pairs
    first: dict[frozenset[int], tuple[int, int | None]] = {}
    for other in others:
        for one in own:
            if one != other:
                first.setdefault(frozenset((one, other)), (one, other))
    if not first:
        raise InputError(f"batch and versus are both {fit.batches[own[0]]!r}: name two batches")
    return list(first.values())


def _contrast(fit: BatchFit, own: int, other: int | None) -> tuple[FloatArray, FloatArray]:
    """Log effect of one batch less that of another, or of the mean, and its standard error, (n_genes,) each."""
    if other is None:
        return fit.log_delta[:, own], fit.se[:, own]
    centred = fit.se if fit.centred_se is None else np.where(fit.estimated, fit.centred_se, np.inf)
    se = difference_errors(centred, versus=other, group=fit.group)[:, own]
    difference = fit.log_delta[:, own] - fit.log_delta[:, other]
    return np.where(np.isfinite(se), difference, 0.0), se


def _support(fit: BatchFit, own: int, other: int | None) -> float:
    """Share of the cells with a counterpart: of both batches in each other, or of one in the others on average."""
    if other is None and fit.mapped_onto is not None:
        return float(fit.evidence["reference_support"][own].mean())
    if other is None:
        usable = [k for k, level in enumerate(fit.batches) if level not in fit.too_small and k != own]
        return float(fit.support[own, usable].mean())
    sizes = fit.batch_sizes[[own, other]]
    return float(np.average([fit.support[own, other], fit.support[other, own]], weights=sizes))


def _repeated(names: list[str], times: int) -> pd.Categorical:
    """Give the same names over and over; as categories, which take a code each and not a text."""
    levels = list(dict.fromkeys(names))
    return pd.Categorical.from_codes(np.tile([levels.index(name) for name in names], times), categories=levels)
