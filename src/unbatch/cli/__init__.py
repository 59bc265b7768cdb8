"""The command line: parse, call, print."""

from importlib.metadata import version
from typing import Annotated

import typer

from unbatch.cli._console import Guarded, help_text, say
from unbatch.cli.adjust import adjust
from unbatch.cli.demo import demo
from unbatch.cli.diagnose import diagnose
from unbatch.cli.factors import factors
from unbatch.cli.fit import fit
from unbatch.cli.inspect import inspect
from unbatch.cli.map import map_cells
from unbatch.cli.offsets import offsets
from unbatch.cli.report import report
from unbatch.cli.simulate import simulate

_ABOUT = """Estimate by how much each batch multiplies each gene's counts, and take it out.

unbatch compares each cell with cells like it in the other batches, estimates one factor per gene and batch, and \
writes counts in which that factor is divided out. Adjusted counts are never negative, and zeros stay zero."""

app = typer.Typer(
    name="unbatch",
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `unbatch demo`, or with `unbatch inspect` on a file of your own.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        say(f"unbatch {version('unbatch')}")
        raise typer.Exit


@app.callback(help=_ABOUT)
def _unbatch(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Say what the whole program does: `_ABOUT` is its help."""


for _panel, _commands in {
    "See it work": (demo,),
    "Use it on your data": (inspect, fit, report, diagnose, adjust, factors, offsets),
    "Data with known answers": (simulate,),
}.items():
    for _command in _commands:
        app.command(help=help_text(_command), rich_help_panel=_panel)(_command)
app.command("map", help=help_text(map_cells), rich_help_panel="Use it on your data")(map_cells)
