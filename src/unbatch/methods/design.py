"""What a user says of the design, checked before the counts are read: conditions to match inside, control genes."""

from collections.abc import Sequence

import numpy as np

from unbatch._check import InputError, warn
from unbatch._types import BoolArray
from unbatch.core.confounding import Crossing, cross
from unbatch.io.batches import Batches
from unbatch.io.source import CountSource

_MOST_BATCHES = 8
_MOST_LEVELS = 6
_FEW = 5


def check_within(batches: Batches, within: Batches) -> Crossing:
    """Tabulate batch x condition, and warn where matches inside the condition leave batches without comparison.

    Parameters
    ----------
    batches
        Batch of each cell.
    within
        Condition of each cell, whose levels matches do not cross.

    Returns
    -------
    Crossing

    Raises
    ------
    InputError
        If there is not one condition per cell.

    Warns
    -----
    InputWarning
        If some batches share no level with others, with the names of both and the table (of the first batches and
        levels); and if there is one level alone.
    """
    if within.codes.size != batches.codes.size:
        raise InputError(f"there are {within.codes.size} conditions for {batches.codes.size} cells: give one per cell")
    crossing = cross(
        batches.codes,
        within.codes,
        n_batches=len(batches.levels),
        n_levels=len(within.levels),
        active=batches.usable,
        min_cells=batches.min_cells,
    )
    name = _name(within)
    if len(within.levels) == 1:
        warn(f"{name} has a single level, {within.levels[0]!r}: matching inside it changes nothing")
    if crossing.n_groups > 1:
        full = ": each batch has a single level" if crossing.one_level_each else ""
        warn(
            f"batches and {name} are {'fully' if full else 'partly'} confounded{full}. Matching inside the levels, "
            f"batches of different groups cannot be compared, {_groups(crossing, batches)}: what sets the groups apart "
            f"may be the batch or the condition, and no data of this design can tell. Cells per batch and level: "
            f"{_table(crossing, batches, within)}"
        )
    return crossing


def control_mask(source: CountSource, names: Sequence[str]) -> BoolArray:
    """Find control genes by name.

    Parameters
    ----------
    source
        Counts with the names of their genes.
    names
        Control genes. A name that occurs twice counts once.

    Returns
    -------
    (n_genes,) True for control genes

    Raises
    ------
    InputError
        If no name is given, or none of them is a gene of `source`.

    Warns
    -----
    InputWarning
        If some are no genes of `source`: how many, and the first of them.
    """
    wanted = [names] if isinstance(names, str) else list(dict.fromkeys(str(name) for name in names))
    if not wanted:
        raise InputError("control_genes is empty: name genes that carry only technical variation, or leave it out")
    index = source.var.index
    known = set(index)
    unknown = [name for name in wanted if name not in known]
    listed = ", ".join(repr(name) for name in unknown[:_FEW]) + (", ..." if len(unknown) > _FEW else "")
    if len(unknown) == len(wanted):
        genes = ", ".join(repr(str(gene)) for gene in index[:_FEW])
        raise InputError(
            f"none of the {len(wanted)} control genes ({listed}) is a gene of {source.description}, whose genes are "
            f"called like {genes}: give names as they are there"
        )
    if unknown:
        warn(
            f"{len(unknown)} of {len(wanted)} control genes are no genes of {source.description} and are left out: "
            f"{listed}"
        )
    return np.asarray(index.isin(wanted))


def _name(within: Batches) -> str:
    return " x ".join(f"obs[{key!r}]" for key in within.key) or "the condition"


def _groups(crossing: Crossing, batches: Batches) -> str:
    named = [
        [level for level, group in zip(batches.levels, crossing.group, strict=True) if group == number]
        for number in range(crossing.n_groups)
    ]
    return " | ".join(
        _few([repr(level) for level in members], most=_MOST_BATCHES) for members in named[:_MOST_BATCHES]
    ) + (f" | and {len(named) - _MOST_BATCHES} more groups" if len(named) > _MOST_BATCHES else "")


def _table(crossing: Crossing, batches: Batches, within: Batches) -> str:
    rows = [
        f"{batch!r}: "
        + _few([f"{level} {n}" for level, n in zip(within.levels, row, strict=True) if n], most=_MOST_LEVELS)
        for batch, row in zip(batches.levels, crossing.table, strict=True)
    ]
    return "; ".join(rows[:_MOST_BATCHES]) + (
        f"; and {len(rows) - _MOST_BATCHES} more batches" if len(rows) > _MOST_BATCHES else ""
    )


def _few(words: list[str], *, most: int) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
