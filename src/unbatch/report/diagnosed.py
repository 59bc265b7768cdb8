"""Verdicts, need and overlap: the record of diagnostics as sections of a page."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unbatch._types import FloatArray
from unbatch.report.heat import Heat, heat
from unbatch.report.reading import Fitted
from unbatch.report.tables import Column, Rows, Table, strips, table
from unbatch.report.text import count, number, prose, share, shown


@dataclass(frozen=True)
class Verdict:
    """One line on top of the page."""

    check: str
    verdict: str
    text: str
    cure: str
    section: str
    """Where its evidence stands: the name of a section of the page."""


@dataclass(frozen=True)
class Section:
    """Evidence of one kind."""

    lead: str
    """What is asked, and how to read the answer."""
    tables: tuple[Table, ...] = ()
    heat: Heat | None = None


_SECTIONS = {
    "need": "need",
    "overlap": "overlap",
    "balance": "balance",
    "mixing": "balance",
    "remainder": "remainder",
    "effects": "effects",
    "convergence": "run",
    "probes": "remainder",
}
_SPACES = {"genes": "genes before"}
_FEW = 12
PICTURE = "\N{WHITE CIRCLE} before \N{BLACK CIRCLE} after"


def verdicts(fitted: Fitted) -> tuple[Verdict, ...]:
    """Give the verdicts in the order of the record."""
    found = fitted.table("verdicts")
    return tuple(
        Verdict(
            shown(row["check"]),
            shown(row["verdict"]),
            _sentence(row["text"]),
            _sentence(row["cure"]),
            _SECTIONS.get(str(row["check"]), "run"),
        )
        for _, row in found.iterrows()
    )


def need(fitted: Fitted) -> Section:
    """Show how much of the variance goes with the batch, against what chance gives."""
    lead = (
        "Is there a batch effect at all? This is the share of the variance, among cells of one state, that goes with "
        "the batch. The band is what batches drawn at random give, up to their 95th percentile: a mark inside it is no "
        "batch effect."
    )
    spaces, genes = fitted.table("need"), fitted.table("need_genes")
    tables: list[Table] = []
    cells: Rows
    if len(spaces):
        marks = strips(None, column(spaces, "explained"), high=column(spaces, "null_upper"))
        cells = [
            (
                _SPACES.get(str(row["space"]), shown(row["space"])),
                share(row["explained"]),
                share(row["null"]),
                share(row["null_upper"]),
                mark,
            )
            for (_, row), mark in zip(spaces.iterrows(), marks, strict=True)
        ]
        columns = [
            Column("Where", "name"),
            Column("Goes with the batch"),
            Column("By chance"),
            Column("By chance at most"),
            Column("\N{BLACK CIRCLE} share, band: chance", "strip"),
        ]
        tables.append(table("Variance that goes with the batch", columns, cells))
    if len(genes):
        total = len(genes)
        genes = genes.sort_values("explained_before", ascending=False, kind="stable").head(_FEW)
        before, after = column(genes, "explained_before"), column(genes, "explained_after")
        marks = strips(before, after, high=column(genes, "null_upper"))
        cells = [
            (shown(gene), share(one), share(other), mark)
            for gene, one, other, mark in zip(genes["gene"], before, after, marks, strict=True)
        ]
        columns = [Column("Gene", "name"), Column("Before"), Column("After"), Column(PICTURE, "strip")]
        title = "Genes whose variance goes with the batch most (band: chance)"
        tables.append(table(title, columns, cells, total=total, order="the largest share"))
    return Section(lead, tuple(tables))


def overlap(fitted: Fitted) -> Section:
    """Show which batches share cell states."""
    lead = (
        "Effects are estimated from cells that have counterparts in other batches. Each row gives the share of the "
        "cells of a batch that have a counterpart in each other batch: near 0, the two say nothing about each other."
    )
    tables: list[Table] = []
    cells: Rows
    pairs, states = fitted.table("overlap_pairs"), fitted.table("overlap_states")
    if len(pairs):
        total = len(pairs)
        pairs = pairs.sort_values("share", kind="stable").head(_FEW)
        cells = [
            (shown(row["batch"]), shown(row["other"]), share(row["share"]), number(row["distance_ratio"]))
            for _, row in pairs.iterrows()
        ]
        columns = [
            Column("Batch", "name"),
            Column("Other batch", "text"),
            Column("Share with a match"),
            Column("Distance of the match / distance within the batch"),
        ]
        tables.append(table("Pairs of batches that share least", columns, cells, total=total, order="the lowest share"))
    if len(states):
        alone = states[states["alone"].astype(str) != ""].sort_values("n_cells", ascending=False, kind="stable")
        if len(alone):
            cells = [(shown(row["state"]), number(row["n_cells"]), shown(row["alone"])) for _, row in alone.iterrows()]
            columns = [Column("State", "name"), Column("Cells"), Column("Only in batch", "text")]
            title = f"Cell states that stand alone: {len(alone)} of {len(states)}"
            tables.append(table(title, columns, cells, total=len(alone), order="the most cells"))
        else:
            lead += f" Every one of the {count(len(states), 'cell state')} holds cells of several batches."
    support = np.asarray(fitted.record["support"], dtype=np.float64)
    return Section(lead, tuple(tables), heat(support, fitted.batches))


def _sentence(text: object) -> str:
    said = prose(text)
    return said if not said or said.endswith((".", "!", "?", "\N{HORIZONTAL ELLIPSIS}")) else f"{said}."


def column(values: pd.DataFrame, name: str) -> FloatArray:
    """Give a column as numbers."""
    return np.asarray(values[name], dtype=np.float64)
