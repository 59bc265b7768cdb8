"""The effects of a page: a summary by batch, and the strongest ones in a form that a browser sorts and filters."""

import json
from dataclasses import dataclass

import numpy as np

from unbatch._types import FloatArray, IntArray
from unbatch.core.contrasts import normal_tests
from unbatch.core.diagnostics.families import family_of
from unbatch.report.reading import Fitted
from unbatch.report.tables import MOST_ROWS, Column, Table, table
from unbatch.report.text import chance, number, share, shown

MOST_EFFECTS = 20_000
"""Rows of the table of effects at most, over all batches."""
MOST_BYTES = 2_000_000
"""Size of the table of effects at most, as it is stored in the page."""
PER_PAGE = 25
"""Rows that are shown at a time."""
CLEAR_FOLD, CLEAR_Q = 1.5, 0.05
"""From what on an effect counts as clear in the summary by batch."""

_NORMAL_975 = 1.959963984540054
_NAMED = 5


@dataclass(frozen=True)
class Effect:
    """One row of the table of effects, as text: the page shows them where scripts do not run."""

    gene: str
    batch: str
    fold: str
    interval: str
    z: str
    q: str
    family: str


@dataclass(frozen=True)
class Effects:
    """The strongest effects of a fit.

    Attributes
    ----------
    json
        All rows for the browser, in a form that is safe inside a page.
    first
        The first of them, as text.
    n_shown, n_known
        Rows in `json`, and effects that are known in all.
    per_batch
        Rows of each batch at most.
    families
        Whether any of the genes belongs to a known technical family.
    batches
        Names of the batches that have rows.
    summary
        One row per batch.
    """

    json: str
    first: tuple[Effect, ...]
    n_shown: int
    n_known: int
    per_batch: int
    families: bool
    batches: tuple[str, ...]
    summary: Table


def find_effects(fitted: Fitted) -> Effects:
    """Take the surest effects of each batch: those that are largest against their standard errors.

    All batches have the same number of rows at most, so that `MOST_EFFECTS` are not passed, and fewer if names are so
    long that `MOST_BYTES` would be.
    """
    log_delta, se = fitted.log_delta, np.where(fitted.se > 0, fitted.se, np.inf)
    tests = normal_tests(log_delta.ravel(), se.ravel())
    z, q = tests.z.reshape(se.shape), tests.qvalue.reshape(se.shape)
    order = np.argsort(-np.abs(z), axis=0, kind="stable")
    known = np.isfinite(se)
    per_batch = max(1, min(len(fitted.genes), MOST_EFFECTS // max(len(fitted.batches), 1)))
    families = {gene: family for gene, family in zip(fitted.genes, family_of(fitted.genes), strict=True) if family}
    while True:
        rows, columns = _strongest(order, known, z, per_batch)
        text = _as_json(fitted, rows, columns, z=z, q=q, families=families)
        if len(text.encode()) <= MOST_BYTES or per_batch == 1:
            break
        per_batch //= 2
    first = _first(fitted, rows[:PER_PAGE], columns[:PER_PAGE], z=z, q=q, families=families)
    return Effects(
        json=text,
        first=first,
        n_shown=len(rows),
        n_known=int(known.sum()),
        per_batch=per_batch,
        families=any(fitted.genes[row] in families for row in rows),
        batches=tuple(shown(fitted.batches[column]) for column in np.unique(columns)),
        summary=_summary(fitted, order, known, q),
    )


def _strongest(order: IntArray, known: np.ndarray, z: FloatArray, per_batch: int) -> tuple[IntArray, IntArray]:
    """Gene and batch of the effects that are kept, the surest first."""
    top = order[:per_batch]
    columns = np.broadcast_to(np.arange(top.shape[1]), top.shape)
    rows, columns = top.ravel(), columns.ravel()
    there = known[rows, columns]
    rows, columns = rows[there], columns[there]
    surest = np.lexsort((columns, rows, -np.abs(z[rows, columns])))[:MOST_EFFECTS]
    return rows[surest], columns[surest]


def _as_json(
    fitted: Fitted, rows: IntArray, columns: IntArray, *, z: FloatArray, q: FloatArray, families: dict[str, str]
) -> str:
    genes, gene_place = np.unique(rows, return_inverse=True)
    levels = ["", *sorted({families[fitted.genes[row]] for row in genes if fitted.genes[row] in families})]
    effect, error, sureness, chances = _rounded(fitted, rows, columns, z=z, q=q)
    packed = {
        "genes": [shown(fitted.genes[row]) for row in genes],
        "batches": [shown(batch) for batch in fitted.batches],
        "families": [shown(level) for level in levels],
        "gene": gene_place.tolist(),
        "batch": columns.tolist(),
        "effect": effect,
        "error": error,
        "z": sureness,
        "q": chances,
        "family": [levels.index(families.get(fitted.genes[row], "")) for row in rows],
        "perPage": PER_PAGE,
    }
    return safe_json(packed)


def safe_json(value: object) -> str:
    """Write JSON that no name can end or leave: no character in it means anything to HTML."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _rounded(
    fitted: Fitted, rows: IntArray, columns: IntArray, *, z: FloatArray, q: FloatArray
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Give log2 effects, their errors, their sureness and q with as many digits as the page shows."""
    scale = 1 / np.log(2)
    parts = (
        (fitted.log_delta[rows, columns] * scale, 4),
        (fitted.se[rows, columns] * scale, 3),
        (z[rows, columns], 3),
        (q[rows, columns], 2),
    )
    effect, error, sureness, chances = ([float(f"{value:.{n}g}") for value in values] for values, n in parts)
    return effect, error, sureness, chances


def _first(
    fitted: Fitted, rows: IntArray, columns: IntArray, *, z: FloatArray, q: FloatArray, families: dict[str, str]
) -> tuple[Effect, ...]:
    """Write the first rows as the browser does, from the same rounded numbers."""
    numbers = zip(*_rounded(fitted, rows, columns, z=z, q=q), strict=True)
    found = []
    for row, column, (effect, error, sureness, by_chance) in zip(rows, columns, numbers, strict=True):
        low, high = 2 ** (effect - _NORMAL_975 * error), 2 ** (effect + _NORMAL_975 * error)
        gene = fitted.genes[row]
        found.append(
            Effect(
                gene=shown(gene),
                batch=shown(fitted.batches[column]),
                fold=number(2**effect),
                interval=f"{number(low)} to {number(high)}",
                z=number(sureness),
                q=chance(by_chance),
                family=families.get(gene, ""),
            )
        )
    return tuple(found)


def _summary(fitted: Fitted, order: IntArray, known: np.ndarray, q: FloatArray) -> Table:
    sizes = np.asarray(fitted.record["batch_sizes"])
    size = np.abs(fitted.log_delta)
    clear = known & (q < CLEAR_Q) & (size > np.log(CLEAR_FOLD))
    cells = []
    for column in np.argsort(-clear.sum(axis=0), kind="stable")[:MOST_ROWS]:
        here = known[:, column]
        median = np.exp(np.median(size[here, column])) if here.any() else np.nan
        names = [shown(fitted.genes[row]) for row in order[:_NAMED, column] if known[row, column]]
        compared_with = bool((fitted.se[:, column] == 0).any())
        remark = "what the others are compared with" if compared_with else "no effect is known"
        cells.append(
            (
                shown(fitted.batches[column]),
                number(sizes[column]),
                share(here.mean()) if here.any() else "0%",
                f"\N{MULTIPLICATION SIGN} {number(median)}" if here.any() else "\N{EN DASH}",
                number(clear[:, column].sum()),
                ", ".join(names) if names else remark,
            )
        )
    columns = (
        Column("Batch", "name"),
        Column("Cells"),
        Column("Genes with a known effect"),
        Column("Median effect, up or down"),
        Column(f"Genes beyond \N{MULTIPLICATION SIGN} {CLEAR_FOLD} (q below {CLEAR_Q})"),
        Column("Surest genes", "text"),
    )
    return table("Effects by batch", columns, cells, total=len(fitted.batches), order="the most genes beyond that")
