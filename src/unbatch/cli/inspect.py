"""``unbatch inspect``."""

import shlex
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from unbatch._check import InputError, InputWarning
from unbatch._progress import Progress, progress_for
from unbatch.cli._console import USER_ERROR, BatchKey, Inputs, Layer, Quiet, Verbose, open_inputs, paths, say, thousands
from unbatch.core.confounding import Crossing
from unbatch.io.batches import Batches
from unbatch.io.door import DoorReport
from unbatch.io.source import CountSource

if TYPE_CHECKING:
    from unbatch.methods import MethodOptions

_MOST_BATCHES = 30
_MOST_LEVELS = 8
_WIDEST = 24
_USUAL_BYTES = 5e8
_GIGA = 1e9
_MINUTE = 60.0
_HOUR = 3600.0


@dataclass
class _Findings:
    """Everything that could be found out, and what is wrong."""

    source: CountSource | None = None
    batches: Batches | None = None
    condition: Batches | None = None
    crossing: Crossing | None = None
    door: DoorReport | None = None
    pass_seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def inspect(
    inputs: Inputs,
    *,
    batch_key: BatchKey = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="obs column with a condition, to see which batches share its levels. Repeat it to combine columns.",
            show_default=False,
        ),
    ] = None,
    layer: Layer = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Estimator whose time and memory to tell: matched (the default) or concept.", show_default=False
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look at an input before fitting: what is in it, what is wrong with it, what a fit would cost.

    Reads all counts once and writes nothing. The exit code is 0 if `unbatch fit` would accept the input and 2 if not.

    --condition tabulates batch x condition: batches that share no level cannot be told from the condition.

    Examples
    --------
      unbatch inspect cells.h5ad --batch-key donor
      unbatch inspect cells.h5ad --batch-key donor --condition stim
      unbatch inspect run1.h5 run2.h5 run3.h5
    """
    from unbatch.methods import DEFAULT_METHOD, options_for

    options = options_for(method or DEFAULT_METHOD)
    findings = _look(
        inputs, batch_key, condition=condition, layer=layer, progress=progress_for(quiet=quiet, verbose=verbose)
    )
    _describe(findings)
    for problem in findings.errors:
        say(f"Error: {problem}")
    for remark in findings.warnings:
        say(f"Warning: {remark}")
    if findings.errors:
        raise typer.Exit(USER_ERROR)
    say("Nothing stands in the way of a fit." if findings.warnings else "Nothing is wrong with it.")
    _expect(findings, options)
    keys = "".join(f" --batch-key {shlex.quote(key)}" for key in batch_key or [])
    chosen = f" --layer {shlex.quote(layer)}" if layer else ""
    by = f" --method {method}" if method else ""
    say(f"Next: unbatch fit {paths(inputs)}{keys}{chosen}{by} --output fit.h5ad")


def _look(
    inputs: Inputs, batch_key: BatchKey, *, condition: list[str] | None, layer: Layer, progress: Progress
) -> _Findings:
    """Find out as much as possible: an error in one step does not keep the next from being taken."""
    from unbatch.io.batches import label_cells, read_batches
    from unbatch.io.door import DoorCheck
    from unbatch.io.reduce import reduce_blocks
    from unbatch.methods.design import check_within
    from unbatch.methods.survey import shared_genes

    found = _Findings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        try:
            found.source = open_inputs(inputs, layer)
        except InputError as error:
            found.errors.append(str(error))
            return found
        try:
            found.batches = read_batches(found.source, batch_key or None)
            shared_genes(found.source, found.batches)
        except InputError as error:
            found.errors.append(str(error))
        try:
            found.condition = label_cells(found.source, condition) if condition else None
            if found.batches and found.condition:
                found.crossing = check_within(found.batches, found.condition)
        except InputError as error:
            found.errors.append(str(error))
        try:
            start = time.perf_counter()
            with progress.stage("reading counts", total=found.source.n_cells) as advance:
                check = reduce_blocks(found.source, DoorCheck(found.source), progress=advance)
            found.pass_seconds = time.perf_counter() - start
            found.door = check.finish()
        except InputError as error:
            found.errors.append(str(error))
    found.warnings = [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]
    return found


def _describe(found: _Findings) -> None:
    if found.source is None:
        return
    n_cells, n_genes = found.source.n_cells, found.source.n_genes
    say(found.source.description)
    say(f"  {thousands(n_cells)} cells x {thousands(n_genes)} genes")
    if found.door:
        share = found.door.n_nonzero / (n_cells * n_genes)
        say(f"  {thousands(found.door.n_nonzero)} non-zero counts ({share:.1%})")
        say(f"  median counts per cell: {thousands(np.median(found.door.counts_per_cell))}")
    shared = found.source.measured.all(axis=1).sum()
    if shared < n_genes:
        say(f"  {thousands(shared)} genes are in all inputs; the others are not measured in some")
    if found.batches:
        _describe_batches(found.batches, found.door)
    if found.batches and found.condition and found.crossing:
        _describe_crossing(found.crossing, found.batches, found.condition)


def _describe_batches(batches: Batches, door: DoorReport | None) -> None:
    say(f"{len(batches.levels)} batches ({' x '.join(batches.key) or 'one per input'}):")
    width = max(len(level) for level in batches.levels[:_MOST_BATCHES])
    for code, level in enumerate(batches.levels[:_MOST_BATCHES]):
        depth = ""
        if door:
            depth = f", median counts {thousands(np.median(door.counts_per_cell[batches.codes == code]))}"
        say(f"  {level:<{width}}  {thousands(batches.sizes[code]):>10} cells{depth}")
    if len(batches.levels) > _MOST_BATCHES:
        say(f"  ... and {len(batches.levels) - _MOST_BATCHES} more")


def _describe_crossing(crossing: Crossing, batches: Batches, condition: Batches) -> None:
    """Print cells per batch and level; of many, the first."""
    levels = condition.levels[:_MOST_LEVELS]
    cut_to = f" (first {len(levels)} of {len(condition.levels)} levels)" if condition.levels != levels else ""
    say(f"Cells per batch and {' x '.join(condition.key)}{cut_to}:")
    rows = [("", *levels)]
    for name, counts in list(zip(batches.levels, crossing.table, strict=True))[:_MOST_BATCHES]:
        rows.append((name, *(thousands(count) for count in counts[: len(levels)])))
    cut = [[text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..." for text in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(*cut, strict=True)]
    for row in cut:
        cells = "  ".join(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        say(f"  {row[0]:<{widths[0]}}  {cells}")
    if len(batches.levels) > _MOST_BATCHES:
        say(f"  ... and {len(batches.levels) - _MOST_BATCHES} more")


def _expect(found: _Findings, options: "MethodOptions") -> None:
    from unbatch.methods.cost import expected_cost

    if found.source is None or found.batches is None or found.door is None:
        return
    cost = expected_cost(
        found.batches.sizes,
        found.source.n_genes,
        options=options,
        n_nonzero=found.door.n_nonzero,
        pass_seconds=found.pass_seconds,
        base_bytes=_peak_bytes(),
    )
    say(f"A fit would take about {_duration(cost.seconds)} and {cost.n_bytes / _GIGA:.1f} GB of memory here.")


def _peak_bytes() -> float:
    """Most memory that this process has taken so far, in bytes; a usual value where the system does not tell."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return _USUAL_BYTES
    return float(getrusage(RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"
