"""Tables of the integration benchmark, in Markdown."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from integration import goals
from integration.methods import METHODS
from integration.problems import REMARKS, Problem
from integration.total import METRICS

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
_SUMMARY = ("total", "batch", "bio")
_SAME = 0.0005


def title(method: str) -> str:
    """Give the name of a method as it is printed."""
    return METHODS[method].title if method in METHODS else method


def put(text: str, page: Path) -> None:
    """Write tables between the marks of a page, or as the whole page if there is none yet."""
    before, after = "", "\n"
    if page.exists():
        old = page.read_text()
        before, after = old[: old.index(BEGIN)], old[old.index(END) + len(END) :]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def sets(problems: Sequence[Problem]) -> str:
    """Write what the data are and what must be known of them."""
    lines = _head(["set", "cells", "genes", "batches", "labels", "to know"], "lrrrrl")
    for problem in problems:
        sizes = [f"{n:,}" for n in (problem.n_cells, problem.n_genes, problem.n_batches, problem.n_labels)]
        lines.append(_line([problem.name, *sizes, REMARKS.get(problem.name, f"labels: {problem.label_key}")]))
    return "\n".join(lines)


def scores(found: pd.DataFrame) -> str:
    """Write totals, batch and bio per set and method, as means over seeds with the range in brackets."""
    return "\n\n".join(_summary(found, column) for column in _SUMMARY)


def metrics(found: pd.DataFrame) -> str:
    """Write every metric per set and method, as means over seeds."""
    lines = _head(["set", "method", *METRICS], "ll" + "r" * len(METRICS))
    scored = found[found["note"] == ""].groupby(["set", "method"], sort=False)[list(METRICS)].mean()
    for name in found["set"].unique():
        for method in found["method"].unique():
            if (name, method) in scored.index:
                values = scored.loc[(name, method)]
                lines.append(_line([name, title(method), *(_number(values[metric], 2) for metric in METRICS)]))
    return "\n".join(lines)


def split(found: pd.DataFrame) -> str:
    """Write the share of neighbours kept when a batch is split, over that kept when only the seed differs."""
    lines = _head(["set", *map(title, found["method"].unique())], "l" + "r" * found["method"].nunique())
    for name, group in found.groupby("set", sort=False):
        rows = group.set_index("method").reindex(found["method"].unique())
        cells = [
            f"{row.split / row.seeds:.3f} ({row.split:.2f}, {row.seeds:.2f})" if pd.notna(row.split) else "not run"
            for row in rows.itertuples()
        ]
        lines.append(_line([name, *cells]))
    return "\n".join(lines)


def covered(found: pd.DataFrame) -> str:
    """Write how the claimed effects between the halves of a batch agree with none, as means over splits."""
    lines = _head(["set", "genes", "intervals that hold 1", "called at 5% FDR", "RMS of log delta"], "lrrrr")
    for name, group in found.groupby("set", sort=False):
        row = group[["genes", "coverage", "called", "rms"]].mean()
        lines.append(_line([name, f"{row.genes:,.0f}", f"{row.coverage:.3f}", f"{row.called:.1f}", f"{row.rms:.3f}"]))
    return "\n".join(lines)


def removed(found: pd.DataFrame) -> str:
    """Write what becomes of the purity of a type that one batch lost: before → after, the worst type by name."""
    lines = _head(["set", "method", "types", "mean purity", "worst type", "merged"], "llrlll")
    for (name, method), group in found.groupby(["set", "method"], sort=False):
        worst = group.loc[group["loss"].idxmax()]
        fate = f"{worst['label']} without {worst['batch']}: {worst['before']:.2f} → {worst['after']:.2f}"
        merged = group[group["loss"] > goals.MERGED]
        names = ", ".join(f"{label} into {into}" for label, into in zip(merged["label"], merged["into"], strict=True))
        mean = f"{group['before'].mean():.3f} → {group['after'].mean():.3f}"
        lines.append(_line([name, title(method), str(len(group)), mean, fate, names or "none"]))
    return "\n".join(lines)


def reached(found: Sequence[goals.Goal]) -> str:
    """Write the goals and whether they are met."""
    words = {True: "yes", False: "**no**"}
    lines = _head(["goal", "measured", "met"], "lll")
    lines += [_line([goal.goal, goal.measured, words[goal.met]]) for goal in found]
    return "\n".join(lines)


def _summary(found: pd.DataFrame, column: str) -> str:
    names, methods = found["set"].unique(), found["method"].unique()
    groups = found.groupby(["set", "method"])[column]
    mean, spread, done, tried = groups.mean(), groups.max() - groups.min(), groups.count(), groups.size()
    notes = found.groupby(["set", "method"])["note"].first()
    lines = _head([f"**{column}**", *map(title, methods)], "l" + "r" * len(methods))
    for name in names:
        cells = []
        for key in ((name, method) for method in methods):
            if pd.isna(mean.get(key)):
                cells.append(notes.get(key, "not run").partition(":")[0])
            else:
                wide = f" ({spread[key]:.3f})" if spread[key] >= _SAME else ""
                part = f" [{done[key]} of {tried[key]} seeds]" if done[key] < tried[key] else ""
                cells.append(f"{mean[key]:.3f}{wide}{part}")
        lines.append(_line([name, *cells]))
    full = []
    for method in methods:
        values = mean.reindex([(name, method) for name in names])
        full.append(f"{values.mean():.3f}" if values.notna().all() else "not all run")
    lines.append(_line(["mean over sets", *full]))
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return "none" if pd.isna(value) else f"{value:.{digits}f}"


def _head(names: Sequence[str], sides: str) -> list[str]:
    return [_line(names), f"|{'|'.join('--:' if side == 'r' else '---' for side in sides)}|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
