"""Balance, remainder, probes and families: the rest of the record of diagnostics as sections of a page."""

import numpy as np
import pandas as pd

from unbatch.report.diagnosed import PICTURE, Section, column
from unbatch.report.reading import Fitted
from unbatch.report.tables import MOST_ROWS, Column, Rows, Table, strips, table
from unbatch.report.text import chance, number, share, shown

ALL_OTHERS = "all others"
_FEW = 12
_FEWEST_CELLS = 10
_PROBES = {
    "split": "a batch split at random: share of genes that are found to differ",
    "removed": "a kind of cell removed: share of the batch among the neighbours of that kind",
}


def balance(fitted: Fitted) -> Section:
    """Show how much matched cells of two batches still differ, and whether batches are mixed."""
    lead = (
        "Matched cells of two batches should be alike once the effects are divided out. The standardised mean "
        "difference of a gene says by how many standard deviations they differ; below 0.1 is balanced. And the "
        "neighbours of a cell should come from its own batch no more often than chance would have it."
    )
    tables: list[Table] = []
    cells: Rows
    summary, mixing, genes = fitted.table("balance_summary"), fitted.table("mixing"), fitted.table("balance")
    if len(summary):
        total = len(summary)
        summary = summary.sort_values("mean_after", ascending=False, kind="stable").head(MOST_ROWS)
        before, after = column(summary, "mean_before"), column(summary, "mean_after")
        marks = strips(before, after, high=np.full(len(summary), 0.1))
        cells = [
            (
                _pair(row),
                number(row["mean_before"]),
                number(row["mean_after"]),
                share(row["over_01_before"]),
                share(row["over_01_after"]),
                mark,
            )
            for (_, row), mark in zip(summary.iterrows(), marks, strict=True)
        ]
        columns = [
            Column("Batches", "name"),
            Column("Mean before"),
            Column("Mean after"),
            Column("Genes beyond 0.1 before"),
            Column("Genes beyond 0.1 after"),
            Column(PICTURE, "strip"),
        ]
        title = "Standardised mean difference of matched cells, over genes (band: below 0.1)"
        tables.append(table(title, columns, cells, total=total, order="the largest difference after"))
    if len(genes):
        tables.append(_worst_genes(genes))
    if len(mixing):
        tables.append(_mixing(mixing))
    return Section(lead, tuple(tables))


def _worst_genes(balance: pd.DataFrame) -> Table:
    genes = balance[balance["kind"] == "gene"]
    total = len(genes)
    genes = genes.loc[genes["after"].abs().sort_values(ascending=False, kind="stable").index[:_FEW]]
    marks = strips(np.abs(column(genes, "before")), np.abs(column(genes, "after")), high=np.full(len(genes), 0.1))
    cells = [
        (shown(row["name"]), _pair(row), number(row["before"]), number(row["after"]), mark)
        for (_, row), mark in zip(genes.iterrows(), marks, strict=True)
    ]
    columns = [
        Column("Gene", "name"),
        Column("Batches", "text"),
        Column("Before"),
        Column("After"),
        Column(PICTURE, "strip"),
    ]
    title = "Genes whose matched cells still differ most (band: below 0.1)"
    return table(title, columns, cells, total=total, order="the largest difference after")


def _mixing(mixing: pd.DataFrame) -> Table:
    excess = column(mixing, "after") - column(mixing, "expected")
    total = len(mixing)
    mixing = mixing.iloc[np.argsort(-excess, kind="stable")[:MOST_ROWS]]
    before, after, expected = (column(mixing, name) for name in ("before", "after", "expected"))
    marks = strips(before, after, high=expected)
    cells = [
        (shown(row["batch"]), number(row["n_cells"]), share(one), share(other), share(chance), mark)
        for (_, row), one, other, chance, mark in zip(mixing.iterrows(), before, after, expected, marks, strict=True)
    ]
    columns = [
        Column("Batch", "name"),
        Column("Cells looked at"),
        Column("Before"),
        Column("After"),
        Column("By chance"),
        Column(PICTURE, "strip"),
    ]
    return table(
        "Neighbours from the same batch (band: up to chance)",
        columns,
        cells,
        total=total,
        order="the most beyond chance",
    )


def remainder(fitted: Fitted) -> Section:
    """Show where one effect per gene and batch does not tell the whole."""
    lead = (
        "One factor per gene and batch cannot describe an effect that differs between cell states. These are the "
        "states and genes that depart most from what all states share."
    )
    tables: list[Table] = []
    cells: Rows
    strongest, states, probes = (fitted.table(name) for name in ("remainder", "remainder_states", "probes"))
    if len(states):
        states = states[states["n_cells"] >= _FEWEST_CELLS]
        total = len(states)
        states = states.sort_values("mean_square", ascending=False, kind="stable").head(_FEW)
        cells = [
            (shown(row["state"]), shown(row["batch"]), number(row["n_cells"]), number(row["mean_square"]))
            for _, row in states.iterrows()
        ]
        columns = [
            Column("State", "name"),
            Column("Batch", "text"),
            Column("Cells"),
            Column("Mean square of departure / error (1 is chance)"),
        ]
        title = f"Departure by state and batch, of {_FEWEST_CELLS} cells or more"
        tables.append(table(title, columns, cells, total=total, order="the largest"))
    if len(strongest):
        cells = [
            (
                shown(row["gene"]),
                shown(row["state"]),
                shown(row["batch"]),
                f"\N{MULTIPLICATION SIGN} {number(np.exp(row['log_ratio']))}",
                number(row["z"]),
            )
            for _, row in strongest.head(_FEW).iterrows()
        ]
        columns = [
            Column("Gene", "name"),
            Column("State", "text"),
            Column("Batch", "text"),
            Column("Beyond the effect of all states"),
            Column("z"),
        ]
        tables.append(
            table("Strongest departures by gene", columns, cells, total=len(strongest), order="the largest z")
        )
    if len(probes):
        cells = [
            (
                _PROBES.get(str(row["probe"]), shown(row["probe"])),
                shown(row["batch"]),
                shown(row["state_or_label"]),
                share(row["value"]),
                share(row["expected"]),
                shown(row["verdict"]),
            )
            for _, row in probes.head(MOST_ROWS).iterrows()
        ]
        columns = [
            Column("Probe", "name"),
            Column("Batch", "text"),
            Column("Cells", "text"),
            Column("Found"),
            Column("Expected"),
            Column("Verdict", "text"),
        ]
        tables.append(
            table("Probes of over-correction on these cells", columns, cells, total=len(probes), order="the first")
        )
    return Section(lead, tuple(tables))


def families(fitted: Fitted) -> Table | None:
    """Tell which known technical families of genes a batch moves as a whole."""
    found = fitted.table("families")
    if not len(found):
        return None
    total = len(found)
    found = found.sort_values("p", kind="stable").head(_FEW)
    cells = [
        (
            shown(row["family"]),
            shown(row["batch"]),
            number(row["n_genes"]),
            f"\N{MULTIPLICATION SIGN} {number(np.exp(row['median_log_delta']))}",
            chance(row["p"]),
        )
        for _, row in found.iterrows()
    ]
    columns = [
        Column("Family", "name"),
        Column("Batch", "text"),
        Column("Genes"),
        Column("Median effect"),
        Column("p"),
    ]
    return table("Known technical families of genes", columns, cells, total=total, order="the smallest p")


def _pair(row: pd.Series) -> str:
    return f"{shown(row['batch'])} and {shown(row['other']) or ALL_OTHERS}"
