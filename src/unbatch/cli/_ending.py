"""How `unbatch fit` and `unbatch diagnose` end: what was found, whether it can be trusted, and where it is."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unbatch.cli._console import paths, say, thousands

if TYPE_CHECKING:
    import pandas as pd

    from unbatch.fitted import BatchFit

_GIGA = 1e9
_UNSURE = 0.5
_NARROW = 60
"""Columns of a terminal below which a table of verdicts leaves too few for its sentences."""
_WORST = "do not trust"
_COLOURS = {"fine": "green", "look here": "yellow", _WORST: "bold red"}


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Attributes
    ----------
    name
        What it is, one word.
    path
        Where it is.
    about
        What to know of it; "" if nothing.
    """

    name: str
    path: Path
    about: str = ""


def end_fit(result: "BatchFit", *, inputs: Sequence[Path], written: Sequence[Written], as_json: bool) -> None:
    """Say what a fit came to, for people on standard output, or as JSON that is all there is on it.

    Parameters
    ----------
    result
        The fit.
    inputs
        What was fitted.
    written
        Files that were written, the model first.
    as_json
        Whether it is a program that listens.
    """
    following = _next(result, inputs, written[0].path)
    if as_json:
        print_json(_as_plain(result, written) | {"next": following})
        return
    _say_fitted(result)
    if result.diagnostics is not None:
        show_verdicts(result.diagnostics.verdicts)
    for one in written:
        say(f"Wrote {one.path}{f' ({one.about})' if one.about else ''}")
    say(f"Next: {following}")


def _next(result: "BatchFit", inputs: Sequence[Path], model: Path) -> str:
    """Give the command that comes next: to look at the report of a fit that is not to be trusted, or to adjust."""
    if result.diagnostics is not None and result.diagnostics.worst == _WORST:
        return f"unbatch report {paths([model])} --output report.html"
    states = " --state-specific" if result.state_effects is not None else ""
    return f"unbatch adjust {paths(inputs)} --model {paths([model])}{states} --output adjusted.h5ad"


def show_verdicts(verdicts: "pd.DataFrame") -> None:
    """Print a table of verdicts: a word each, which colour only repeats, and the sentence behind it.

    Where there is little room beside the words, sentences are below them.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    narrow = console.width < _NARROW
    for row in verdicts.itertuples(index=False):
        text = Text(f"{row.text}. {row.cure}." if row.cure else f"{row.text}.")
        verdict = Text(str(row.verdict), style=_COLOURS.get(str(row.verdict), ""))
        if narrow:
            console.print(Text.assemble(f"  {row.check}: ", verdict))
            console.print(Padding(text, (0, 0, 0, 4)), overflow="fold")
        else:
            table.add_row(f"  {row.check}", verdict, text)
    if not narrow:
        console.print(table)


def print_json(values: Mapping[str, Any]) -> None:
    """Print an object to standard output; numbers that JSON has not become null."""
    say(json.dumps(_finite(values), indent=2, allow_nan=False))


def verdict_rows(verdicts: "pd.DataFrame") -> list[dict[str, Any]]:
    """Give the verdicts as plain rows."""
    return [{str(name): value for name, value in row.items()} for row in verdicts.to_dict(orient="records")]


def _say_fitted(result: "BatchFit") -> None:
    n_cells, n_genes = len(result.obs), len(result.var)
    memory = f" and {result.peak_bytes / _GIGA:.2f} GB of memory" if np.isfinite(result.peak_bytes) else ""
    say(
        f"Fitted {thousands(n_cells)} cells x {thousands(n_genes)} genes in {len(result.batches)} batches: "
        f"{sum(result.timings.values()):.1f} s{memory}"
    )
    n_iter = len(next(iter(result.trace.values())))
    steps, option = ("updates", "max-iter") if result.method == "concept" else ("rounds", "max-rounds")
    if result.stop_reason not in ("converged", "nothing shared"):
        say(f"  effects still moved after {n_iter} {steps}: see uns['unbatch']['trace'], or raise --{option}")
    if result.state_effects is not None:
        sd = result.state_effects.sd
        say(f"  effects of a batch differ from state to state by x or / {np.exp(sd):.2f} (usual standard deviation)")
    unknown = int((~result.estimated).sum())
    if unknown:
        unmeasured = int((~result.measured).sum())
        why = f", {thousands(unmeasured)} of them of genes that the batch did not measure" if unmeasured else ""
        say(f"  {thousands(unknown)} of {thousands(result.se.size)} effects are unknown (log effect 0, error inf){why}")


def _as_plain(result: "BatchFit", written: Sequence[Written]) -> dict[str, Any]:
    size = np.abs(result.log_delta[(result.se > 0) & (result.se < _UNSURE)])
    judged = result.diagnostics
    return {
        "n_cells": len(result.obs),
        "n_genes": len(result.var),
        "batches": list(result.batches),
        "too_small": list(result.too_small),
        "method": result.method,
        "parameters": dict(result.parameters),
        "stop_reason": result.stop_reason,
        "n_rounds": len(next(iter(result.trace.values()))),
        "relative_to": result.expressed_in,
        "median_effect": float(np.exp(np.median(size))) if size.size else None,
        "unknown_effects": int((~result.estimated).sum()),
        "mean_overlap": None if result.overlap is None else float(result.overlap.mean()),
        "seconds": sum(result.timings.values()),
        "peak_bytes": result.peak_bytes,
        "verdict": None if judged is None else judged.worst,
        "verdicts": [] if judged is None else verdict_rows(judged.verdicts),
        "written": {one.name: str(one.path) for one in written},
    }


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, Mapping):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
