"""Rows of scores as tables: medians over seeds."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from accuracy.scores import CLASSES, gap_closed

_BOUNDS = ("none", "naive", "oracle")
_WORTHWHILE = 0.8
"""Where the oracle's RMSE is not below this share of the naive one's, there is no gap to speak of."""
_KEYS = ["scenario", "seed", "genes"]
_EVIDENCE = {
    "n_genes": "genes",
    "correlation": "correlation",
    "slope": "slope",
    "coverage": "95% intervals cover",
    "called": "called at FDR 5%",
    "worst": "RMSE / better of naive and none, worst seed",
    "unidentifiable_rms": "RMS, batches sharing nothing",
    "seconds": "seconds",
}


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Add what compares a method with its bounds on the same problem: `gap_closed` and `worst`."""
    rmse = rows.pivot_table(index=_KEYS, columns="method", values="rmse", dropna=False).reindex(columns=list(_BOUNDS))
    bounds = rows[_KEYS].merge(rmse.reset_index(), on=_KEYS, how="left")[list(_BOUNDS)].set_index(rows.index)
    better = bounds[["none", "naive"]].min(axis=1)
    gap = gap_closed(rows["rmse"], naive=bounds["naive"], oracle=bounds["oracle"])
    return rows.assign(
        gap_closed=gap.where(bounds["oracle"] < _WORTHWHILE * bounds["naive"]),
        worst=(rows["rmse"] / better).where(better > 0),
    )


def markdown(rows: pd.DataFrame, command: str) -> str:
    """Write all tables as Markdown."""
    rows = complete(rows)
    seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
    parts = [f"Made by `{command}`. Medians over the seeds {seeds}.\n"]
    for genes in CLASSES:
        parts += [f"## RMSE of centred log delta, genes with {genes} counts\n", _rmse_table(rows, genes)]
    for genes in (">200", ">50"):
        parts += [f"## Other scores, genes with {genes} counts\n", _evidence_table(rows, genes)]
    return "\n".join(parts)


def _rmse_table(rows: pd.DataFrame, genes: str) -> str:
    """Scenarios by methods; share of the naive-to-oracle gap in brackets."""
    rows = rows[rows["genes"] == genes]
    names = _in_order(rows["method"])
    lines = []
    for scenario in _in_order(rows["scenario"]):
        cells = [scenario]
        for name in names:
            own = rows[(rows["scenario"] == scenario) & (rows["method"] == name)]
            gap = "" if name in _BOUNDS else _number(_median(own["gap_closed"]), " ({:.0%})")
            cells.append(_number(_median(own["rmse"]), "{:.3f}") + gap)
        lines.append(cells)
    return _table(["scenario", *names], lines)


def _evidence_table(rows: pd.DataFrame, genes: str) -> str:
    rows = rows[rows["genes"] == genes]
    lines = []
    for (scenario, name), own in rows.groupby(["scenario", "method"], sort=False):
        values = {key: own[key].max() if key == "worst" else _median(own[key]) for key in _EVIDENCE}
        lines.append(
            [scenario, name, *(_number(v, "{:.0f}" if key == "n_genes" else "{:.3f}") for key, v in values.items())]
        )
    return _table(["scenario", "method", *_EVIDENCE.values()], lines)


def _in_order(values: pd.Series) -> list[str]:
    return list(dict.fromkeys(values))


def _number(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else ""


def _median(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.median()) if len(known) else float("nan")


def _table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    header = list(header)
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
