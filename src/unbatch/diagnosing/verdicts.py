"""From the tables of diagnostics to their verdicts, one row per check."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields

import numpy as np
import pandas as pd

from unbatch._types import FloatArray
from unbatch.core.confounding import comparable
from unbatch.core.diagnostics import verdicts
from unbatch.core.diagnostics.along_cells import share_along_cells
from unbatch.core.diagnostics.blocks import find_blocks
from unbatch.core.diagnostics.remainder import Remainder
from unbatch.core.diagnostics.verdicts import Verdict
from unbatch.fitted import BatchFit

_UNSURE = 0.5
_SIGNIFICANT = 0.05
_NOTABLE_SHIFT, _SURE_SHIFT = 0.1, 1e-4
_LEAST_MEMBERS = 3
_DEFAULT_TOL = 0.01
_OUTSTANDING = 0.1


def judge(fit: BatchFit, tables: Mapping[str, pd.DataFrame], *, remainder: Remainder) -> pd.DataFrame:
    """Come to a verdict on each check.

    Parameters
    ----------
    fit
        The fit.
    tables
        What was measured.
    remainder
        What batches do to single states.

    Returns
    -------
    Columns check, verdict, value, threshold, text, cure.
    """
    found = [_need(tables), _overlap(fit, tables), _balance(fit, tables)]
    if "mixing" in tables:
        found.append(_mixing(tables))
    found += [_remainder(fit, tables, remainder), _effects(fit, tables), _convergence(fit)]
    return as_table(found)


def as_table(found: Sequence[Verdict]) -> pd.DataFrame:
    """One row per verdict."""
    names = [field.name for field in fields(Verdict)]
    return pd.DataFrame([astuple(verdict) for verdict in found], columns=names)


def _need(tables: Mapping[str, pd.DataFrame]) -> Verdict:
    by_space = tables["need"].set_index("space")
    before, after = by_space.loc["genes"], by_space.loc["genes after"]
    genes = tables["need_genes"].sort_values("explained_before", ascending=False, kind="stable")
    stands_out = genes["explained_before"] > np.maximum(genes["null_upper"], before["null"] + _OUTSTANDING)
    return verdicts.judge_need(
        explained=float(before["explained"]),
        null=float(before["null"]),
        null_upper=float(before["null_upper"]),
        after=float(after["explained"]),
        compared=float(before["compared"]),
        outstanding=genes["gene"][stands_out].tolist(),
    )


def _overlap(fit: BatchFit, tables: Mapping[str, pd.DataFrame]) -> Verdict:
    usable = [k for k, name in enumerate(fit.batches) if name not in fit.too_small]
    apart = fit.support - np.diag(np.diag(fit.support))
    states = tables["overlap_states"]
    alone = states["alone"] != ""
    groups, known = _groups(fit, usable), np.any(fit.estimated, axis=0)
    spread = fit.evidence.get("spread", np.zeros(0))  # of fitted batches, which may be fewer
    return verdicts.judge_overlap(
        batches=[fit.batches[k] for k in usable],
        shared=[float(apart[k].max(initial=0.0)) for k in usable],
        unidentifiable=[fit.batches[k] for k in usable if not known[k]],
        alone=float(states["n_cells"][alone].sum() / max(states["n_cells"].sum(), 1)),
        n_alone=int(alone.sum()),
        spread=spread.tolist() if len(spread) == len(usable) else (),
        groups=[[fit.batches[k] for k in members] for members in groups],
        blocks=_blocks(fit, groups[0]) if len(groups) == 1 else None,
        parted=_parted(fit),
    )


def _parted(fit: BatchFit) -> list[str]:
    """Batches that share no level of `match_within` with the largest group of batches, directly or through others."""
    if fit.landmarks is None or not fit.match_within:
        return []
    cells, level = fit.landmarks.cells, fit.landmarks.level
    table = np.stack([cells[level == one].sum(axis=0) for one in range(len(fit.landmarks.level_names))], axis=1)
    group = comparable(table >= int(fit.parameters["min_cells"]))
    if group.max(initial=-1) < 1:
        return []
    largest = np.bincount(group[group >= 0], cells.sum(axis=0)[group >= 0]).argmax()
    return [name for name, own in zip(fit.batches, group, strict=True) if own not in (-1, largest)]


def _groups(fit: BatchFit, usable: list[int]) -> list[list[int]]:
    """Batches that can be compared with each other."""
    if fit.group is None:
        return [usable]
    return [[k for k in usable if fit.group[k] == number] for number in np.unique(fit.group[usable]) if number >= 0]


def _blocks(fit: BatchFit, compared: list[int]) -> tuple[list[str], list[str], float, float] | None:
    found = find_blocks(fit.support[np.ix_(compared, compared)])
    if found is None:
        return None
    first, second = (
        [fit.batches[k] for k, here in zip(compared, found.first, strict=True) if here == side]
        for side in (True, False)
    )
    return first, second, found.between, found.within


def _balance(fit: BatchFit, tables: Mapping[str, pd.DataFrame]) -> Verdict:
    summary = tables["balance_summary"]
    pairs = [
        f"{a!r} and {b!r}" if b else f"{a!r} and the others"
        for a, b in zip(summary["batch"], summary["other"], strict=True)
    ]
    return verdicts.judge_balance(
        pairs=pairs,
        before=summary["rms_before"].tolist(),
        after=summary["rms_after"].tolist(),
        finer=fit.mu.shape[1] >= int(fit.parameters.get("max_states", fit.mu.shape[1] + 1)),
    )


def _mixing(tables: Mapping[str, pd.DataFrame]) -> Verdict:
    mixing = tables["mixing"]
    return verdicts.judge_mixing(
        batches=mixing["batch"].tolist(),
        before=mixing["before"].tolist(),
        after=mixing["after"].tolist(),
        expected=mixing["expected"].tolist(),
        elsewhere=mixing["elsewhere"].tolist(),
    )


def _remainder(fit: BatchFit, tables: Mapping[str, pd.DataFrame], found: Remainder) -> Verdict:
    by_state = tables["remainder_states"]
    where = ""
    if len(by_state):
        worst = by_state.iloc[int(by_state["mean_square"].to_numpy().argmax())]
        where = f"state {worst['state']} of {worst['batch']!r}"
    return verdicts.judge_remainder(
        sd=found.sd,
        differing=float((found.qvalue < _SIGNIFICANT).mean()) if found.qvalue.size else 0.0,
        n_genes=len(found.genes),
        where=where,
        compared=float(tables["need"].set_index("space").loc["genes", "compared"]),
        of_states=fit.state_effects is not None,
        within=bool(fit.match_within),
    )


def _effects(fit: BatchFit, tables: Mapping[str, pd.DataFrame]) -> Verdict:
    sure = (fit.se > 0) & (fit.se < _UNSURE)
    size = np.abs(fit.log_delta[sure])
    counted = fit.measured & (fit.mu.sum(axis=1) > 0)[:, None]
    counted[:, [name in fit.too_small for name in fit.batches]] = False
    asked = np.isfinite(fit.se) & (fit.se > 0)
    families = tables["families"]
    moved = families[
        (families["p"] < _SURE_SHIFT)
        & (families["median_log_delta"].abs() > _NOTABLE_SHIFT)
        & (families["n_genes"] >= _LEAST_MEMBERS)
    ]
    return verdicts.judge_effects(
        known=float((fit.estimated & counted).sum() / max(counted.sum(), 1)),
        strong=n_significant(fit.log_delta[asked], fit.se[asked]),
        median=float(np.median(size)) if size.size else None,
        families=[
            f"{row['family']} genes x {np.exp(row['median_log_delta']):.2f} in {row['batch']!r}"
            for _, row in moved.iterrows()
        ],
        batches=fit.batches,
        along=_along_cells(fit),
    )


def _along_cells(fit: BatchFit) -> list[float]:
    """Share of the effects of each batch along the axes of cells; 0 if the method has no axes of theirs."""
    if fit.landmarks is None:
        return [0.0] * len(fit.batches)
    return [float(share) for share in share_along_cells(fit.basis, fit.log_delta, fit.se)]


def n_significant(log_delta: FloatArray, se: FloatArray) -> int:
    """Count the effects that differ from none at a false discovery rate of 5% (Benjamini-Hochberg)."""
    from unbatch.core.contrasts import normal_tests

    return int((normal_tests(log_delta, se).qvalue < _SIGNIFICANT).sum())


def _convergence(fit: BatchFit) -> Verdict:
    change = next(iter(fit.trace.values()), np.zeros(0))
    return verdicts.judge_convergence(
        stop_reason=fit.stop_reason,
        n_rounds=len(change),
        change=float(change[-1]) if len(change) else 0.0,
        tol=float(fit.parameters.get("tol", _DEFAULT_TOL)),
    )
