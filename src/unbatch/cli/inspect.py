"""``unbatch inspect``."""

import math
import shlex
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from unbatch._check import InputError, InputWarning
from unbatch._memory import peak_bytes
from unbatch._progress import Progress, progress_for
from unbatch.cli._console import (
    USER_ERROR,
    AnyInputs,
    BatchKey,
    Layer,
    Quiet,
    Scratch,
    Verbose,
    open_inputs,
    paths,
    say,
    thousands,
)
from unbatch.cli._shown_fit import describe_fit, read_fit

if TYPE_CHECKING:
    from unbatch.core.confounding import Crossing
    from unbatch.io.batches import Batches
    from unbatch.io.door import DoorReport
    from unbatch.io.peek import Peek
    from unbatch.io.source import CountSource
    from unbatch.methods import MethodOptions

_FEWEST_BATCHES = 2
_MOST_BATCHES = 30
_MOST_LEVELS = 8
_WIDEST = 24
_LONGEST = 60
_PROBE_SECONDS = 1.0
_USUAL_BYTES = 5e8
_GIGA = 1e9
_MINUTE = 60.0
_HOUR = 3600.0


@dataclass
class _Findings:
    """Everything that could be found out, and what is wrong."""

    source: "CountSource | None" = None
    batches: "Batches | None" = None
    condition: "Batches | None" = None
    crossing: "Crossing | None" = None
    peek: "Peek | None" = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def inspect(
    inputs: AnyInputs,
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
    every_cell: Annotated[
        bool, typer.Option("--every-cell", help="Check the counts of every cell, however long it takes.")
    ] = False,
    scratch: Scratch = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look at an input before fitting: what is in it, what is wrong with it, what a fit would cost.

    Takes about a second whatever the size: counts are read and checked in blocks spread over the input until that time
    is up. Writes nothing. The exit code is 0 if `unbatch fit` would accept what was seen and 2 if not.

    --condition tabulates batch x condition: batches that share no level cannot be told from the condition.

    Of a file that `unbatch fit` wrote, shows what the fit took and found.

    Examples
    --------
      unbatch inspect cells.h5ad --batch-key donor
      unbatch inspect cells.h5ad --batch-key donor --condition stim
      unbatch inspect run1.h5 run2.h5 run3.h5
      unbatch inspect fit.h5ad
    """
    from unbatch.methods import DEFAULT_METHOD, options_for

    fitted = read_fit(inputs) if not batch_key else None
    if fitted is not None:
        describe_fit(fitted, inputs[0])
        return
    options = options_for(method or DEFAULT_METHOD)
    progress = progress_for(quiet=quiet, verbose=verbose)
    seconds = math.inf if every_cell else _PROBE_SECONDS
    findings = _look(
        inputs, batch_key, condition=condition, layer=layer, scratch=scratch, seconds=seconds, progress=progress
    )
    _describe(findings)
    for problem in findings.errors:
        say(f"Error: {problem}")
    for remark in findings.warnings:
        say(f"Warning: {remark}")
    if findings.errors:
        raise typer.Exit(USER_ERROR)
    say(_verdict(findings))
    within = _within(findings)
    _expect(findings, options)
    keys = "".join(f" --batch-key {shlex.quote(key)}" for key in batch_key or [])
    chosen = f" --layer {shlex.quote(layer)}" if layer else ""
    by = f" --method {method}" if method else ""
    say(f"Next: unbatch fit {paths(inputs)}{keys}{chosen}{by}{within} --output fit.h5ad")


def _look(
    inputs: AnyInputs,
    batch_key: BatchKey,
    *,
    condition: list[str] | None,
    layer: Layer,
    scratch: Path | None,
    seconds: float,
    progress: Progress,
) -> _Findings:
    """Find out as much as possible: an error in one step does not keep the next from being taken."""
    from unbatch.core.fingerprints import find_copies
    from unbatch.io.batches import label_cells, read_batches
    from unbatch.io.common_factors import CommonFactors, warn_of_common_factors
    from unbatch.io.copies import warn_of_copies
    from unbatch.io.peek import peek
    from unbatch.io.scaled import warn_of_scaled
    from unbatch.methods.design import check_within
    from unbatch.methods.survey import shared_genes

    found = _Findings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        try:
            found.source = open_inputs(inputs, layer, scratch=scratch)
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
            with progress.stage("reading counts"):
                found.peek = peek(found.source, seconds=seconds)
        except InputError as error:
            found.errors.append(str(error))
        if found.batches and found.peek:
            cells, codes = found.peek.cells, found.batches.codes[found.peek.cells]
            common = CommonFactors(codes, len(found.batches.levels))
            common.add_cells(codes, found.peek.factors, found.peek.n_counts)
            factor = common.values()
            warn_of_common_factors(factor, found.batches, of="all counts that were looked at")
            warn_of_scaled(found.peek.smallest // factor[codes], codes, batches=found.batches.levels)
            copies = find_copies(found.peek.marks, codes)
            left_out = cells[copies.without_a_batch(codes)]
            warn_of_copies(copies.among(cells), found.source, found.batches, left_out=left_out)
    if found.batches and found.peek and found.peek.report:
        found.errors += _too_few_counted(found.batches, found.peek.report)
    found.warnings = [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]
    return found


def _too_few_counted(batches: "Batches", report: "DoorReport") -> list[str]:
    """Say so if fewer than two batches of those that take part have a cell with counts."""
    counted = np.bincount(batches.codes, report.counts_per_cell > 0, len(batches.levels)) > 0
    taking_part = counted & batches.usable
    if taking_part.sum() >= _FEWEST_BATCHES:
        return []
    named = "".join(f", {batches.levels[code]!r}" for code in np.flatnonzero(taking_part))
    few = f"only {taking_part.sum()} of {len(batches.levels)} batches has cells with counts{named}"
    return [f"{few}: two are needed, choose another layer or column"]


def _describe(found: _Findings) -> None:
    if found.source is None:
        return
    n_cells, n_genes = found.source.n_cells, found.source.n_genes
    say(found.source.description)
    say(f"  {thousands(n_cells)} cells x {thousands(n_genes)} genes")
    if found.peek:
        share = found.peek.n_nonzero / (found.peek.cells.size * n_genes)
        about = "" if found.peek.report else "about "
        n_nonzero = found.peek.n_nonzero * found.peek.whole(n_cells)
        say(f"  {about}{thousands(n_nonzero)} non-zero counts ({share:.1%})")
        say(f"  median counts per cell: {thousands(np.median(found.peek.counts_per_cell))}")
    shared = found.source.measured.all(axis=1).sum()
    if shared < n_genes:
        say(f"  {thousands(shared)} genes are in all inputs; the others are not measured in some")
    if found.batches:
        _describe_batches(found.batches, found.peek)
    if found.batches and found.condition and found.crossing:
        _describe_crossing(found.crossing, found.batches, found.condition)


def _describe_batches(batches: "Batches", peek: "Peek | None") -> None:
    say(f"{len(batches.levels)} batches ({' x '.join(batches.key) or 'one per input'}):")
    names = [_printed(level) for level in batches.levels[:_MOST_BATCHES]]
    width = max(map(len, names))
    for code, level in enumerate(names):
        own = peek.counts_per_cell[batches.codes[peek.cells] == code] if peek else np.zeros(0)
        depth = f", median counts {thousands(np.median(own))}" if own.size else ""
        say(f"  {level:<{width}}  {thousands(batches.sizes[code]):>10} cells{depth}")
    if len(batches.levels) > _MOST_BATCHES:
        say(f"  ... and {len(batches.levels) - _MOST_BATCHES} more")


def _printed(name: str) -> str:
    """Write a name on one line: a name of a file may hold line breaks, and what a terminal takes for an order."""
    plain = name if name.isprintable() else repr(name)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 3] + "..."


def _describe_crossing(crossing: "Crossing", batches: "Batches", condition: "Batches") -> None:
    """Print cells per batch and level; of many, the first."""
    levels = tuple(_printed(level) for level in condition.levels[:_MOST_LEVELS])
    few = len(levels) < len(condition.levels)
    cut_to = f" (first {len(levels)} of {len(condition.levels)} levels)" if few else ""
    say(f"Cells per batch and {' x '.join(condition.key)}{cut_to}:")
    rows = [("", *levels)]
    for name, counts in list(zip(batches.levels, crossing.table, strict=True))[:_MOST_BATCHES]:
        rows.append((_printed(name), *(thousands(count) for count in counts[: len(levels)])))
    cut = [[text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..." for text in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(*cut, strict=True)]
    for row in cut:
        cells = "  ".join(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        say(f"  {row[0]:<{widths[0]}}  {cells}")
    if len(batches.levels) > _MOST_BATCHES:
        say(f"  ... and {len(batches.levels) - _MOST_BATCHES} more")


def _verdict(found: _Findings) -> str:
    text = "Nothing stands in the way of a fit." if found.warnings else "Nothing is wrong with it."
    if found.crossing is not None and found.crossing.n_groups > 1:
        text = "A fit can be made."
    if found.source is None or found.peek is None or found.peek.report is not None:
        return text
    seen, of = thousands(found.peek.cells.size), thousands(found.source.n_cells)
    return f"{text[:-1]}, as far as {seen} of {of} cells show (--every-cell checks all of them)."


def _within(found: _Findings) -> str:
    """Say what the table of batches and conditions allows, and give the option of a fit that keeps the condition."""
    if found.condition is None or found.crossing is None or len(found.condition.levels) == 1:
        return ""
    name = " x ".join(found.condition.key)
    if found.crossing.n_groups > 1:
        say(
            f"Whatever {name} does between batches that share no level of it, a fit takes for their effect: no option "
            "keeps it, only batches that hold several levels would."
        )
        return ""
    say(f"All batches can be compared inside the levels of {name}: --match-within keeps it out of their effects.")
    return "".join(f" --match-within {shlex.quote(key)}" for key in found.condition.key)


def _expect(found: _Findings, options: "MethodOptions") -> None:
    from unbatch.methods.cost import expected_cost

    if found.source is None or found.batches is None or found.peek is None:
        return
    times = found.peek.whole(found.source.n_cells)
    taken = peak_bytes()
    cost = expected_cost(
        found.batches.sizes,
        found.source.n_genes,
        options=options,
        n_nonzero=round(found.peek.n_nonzero * times),
        pass_seconds=found.peek.seconds * times,
        base_bytes=taken if math.isfinite(taken) else _USUAL_BYTES,
    )
    say(f"A fit would take about {_duration(cost.seconds)} and {cost.n_bytes / _GIGA:.1f} GB of memory here.")


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"
