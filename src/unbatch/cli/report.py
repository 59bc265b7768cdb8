"""``unbatch report``."""

from pathlib import Path
from typing import Annotated

import typer

from unbatch.cli._console import check_output, say

_MEGA = 1e6


def report(
    model: Annotated[
        Path, typer.Argument(metavar="OUT.h5ad", help="What `unbatch fit` or `unbatch map` wrote.", show_default=False)
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="R.html", help="Where to write the page.", show_default=False)
    ],
    color: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="obs column to colour the maps by, besides the batch. Repeat it for several.",
            show_default=False,
        ),
    ] = None,
    map_cells: Annotated[
        int, typer.Option(help="Cells on each map at most, 0 for no maps. More: rarer states, longer.")
    ] = 2000,
) -> None:
    """Show on one page whether the correction was needed, allowed and enough.

    R.html has verdicts first, then the evidence: need, overlap, balance, effects in a table to sort, filter and save,
    maps of the cells before and after, how the fit went and how to repeat it. It opens from disk in any browser, needs
    no network, and holds at most a few megabytes, whatever the number of cells.

    Examples
    --------
      unbatch report fit.h5ad --output fit.html
      unbatch report fit.h5ad -o fit.html --color cell_type --color stim
    """
    from unbatch.report import SUFFIXES, write_report

    check_output(output, [model], suffixes=SUFFIXES)
    write_report(model, output, color=color, n_map_cells=map_cells)
    say(f"Wrote {output} ({output.stat().st_size / _MEGA:.1f} MB; open it in a browser)")
