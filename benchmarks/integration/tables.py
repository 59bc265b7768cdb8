"""Tables of the integration benchmark, in Markdown."""

from collections.abc import Sequence

import pandas as pd

from integration.methods import METHODS
from integration.total import METRICS

_SUMMARY = ("total", "batch", "bio")


def title(method: str) -> str:
    """Give the name of a method as it is printed."""
    return METHODS[method].title if method in METHODS else method


def by_set(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Average one score over seeds: sets x methods, nan where there is none."""
    methods, sets = scores["method"].unique(), scores["set"].unique()
    return scores.pivot_table(index="set", columns="method", values=column, dropna=False).reindex(
        index=sets, columns=methods
    )


def page(scores: pd.DataFrame) -> str:
    """Write totals per set and method, then every metric."""
    parts = [_totals(scores, column) for column in _SUMMARY]
    return "\n\n".join([*parts, _metrics(scores)]) + "\n"


def _totals(scores: pd.DataFrame, column: str) -> str:
    table = by_set(scores, column)
    spread = scores.groupby(["set", "method"])[column].agg(lambda found: found.max() - found.min())
    notes = scores[scores["note"] != ""].groupby(["set", "method"])["note"].first()
    lines = [_line([f"**{column}**", *map(title, table.columns)]), "|---|" + "--:|" * table.shape[1]]
    for name, row in table.iterrows():
        cells = []
        for method, value in row.items():
            if pd.isna(value):
                cells.append(notes.get((name, method), "not run").split(":")[0])
            else:
                wide = spread[name, method]
                cells.append(f"{value:.3f}" + (f" ({wide:.3f})" if wide >= 0.0005 else ""))
        lines.append(_line([name, *cells]))
    complete = table.dropna(axis="columns")
    means = [f"{complete[method].mean():.3f}" if method in complete else "incomplete" for method in table.columns]
    lines.append(_line(["mean over sets", *means]))
    return "\n".join(lines)


def _metrics(scores: pd.DataFrame) -> str:
    lines = [_line(["set", "method", *METRICS]), "|---|---|" + "--:|" * len(METRICS)]
    for (name, method), group in scores[scores["note"] == ""].groupby(["set", "method"], sort=False):
        means = group[list(METRICS)].mean()
        lines.append(_line([name, title(method), *(f"{means[metric]:.2f}" for metric in METRICS)]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
