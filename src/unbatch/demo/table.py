"""The short table that ends the demonstration."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from unbatch.demo.measures import Mixing
from unbatch.demo.toy import ToyNumbers


def print_summary(toy: ToyNumbers, lines: Mixing, *, files: Sequence[Path], output: Path) -> None:
    """Print recovery, mixing and the names of the files to standard output."""
    console = Console()
    _say(console, f"\nToy: recovery of the planted batch effects ({toy.fitted.n_genes} genes)")
    console.print(_recovery(toy))
    _say(console, "\nShare of a cell's 15 nearest neighbours that come from its own batch")
    console.print(_mixing(toy, lines))
    _say(console, f"\n{len(files)} files in {output}:")
    for path in files:
        _say(console, f"  {path.name}")


def _say(console: Console, line: str) -> None:
    """Print a line as it is: a long path is not broken, and brackets in it mean nothing."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _recovery(toy: ToyNumbers) -> Table:
    table = Table()
    table.add_column("estimate")
    table.add_column("cor. of contrasts", justify="right")
    table.add_column("RMSE of log delta", justify="right")
    rows = (
        ("concept, the published method", toy.fitted),
        (toy.other_method, toy.other),
        ("log ratio of batch means", toy.naive),
    )
    for name, found in rows:
        table.add_row(name, f"{found.correlation:.4f}", f"{found.rmse:.3f}")
    return table


def _mixing(toy: ToyNumbers, lines: Mixing) -> Table:
    table = Table()
    table.add_column("data")
    for name in ("before", "after", "if batches were mixed"):
        table.add_column(name, justify="right")
    for name, found in (("toy", toy.mixing), ("toy, planted effects", toy.planted), ("cell lines", lines)):
        table.add_row(name, f"{found.before:.2f}", f"{found.after:.2f}", f"{found.expected:.2f}")
    return table
