"""How the command line talks: results to standard output, everything else to standard error, one line per message."""

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from unbatch._check import InputError, InputWarning
from unbatch._interruption import asked, told
from unbatch._stopping import INTERRUPTED

if TYPE_CHECKING:
    from unbatch.io.source import CountSource


def _there(paths: list[Path]) -> list[Path]:
    """Refuse inputs that are not there at once, rather than after the libraries that would read them are loaded."""
    from unbatch.io.there import check_there

    for path in paths:
        check_there(path)
    return paths


_INPUTS = {"metavar": "IN", "help": ".h5ad, .zarr, 10x .h5 or 10x mtx folder; one or several.", "show_default": False}
Inputs = Annotated[list[Path], typer.Argument(callback=_there, **_INPUTS)]
AnyInputs = Annotated[list[Path], typer.Argument(**_INPUTS)]
"""Inputs of a command that tells itself of what is not there."""
BatchKey = Annotated[
    list[str] | None,
    typer.Option(
        "--batch-key",
        "-b",
        metavar="COLUMN",
        help="obs column that names each cell's batch. Repeat it to combine columns.",
        show_default=False,
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(help='Where the raw counts are: a layer, or "raw" for raw.X. (default: X)', show_default=False),
]
FittedLayer = Annotated[
    str | None,
    typer.Option(help="Where the raw counts are. (default: where the fit found them)", show_default=False),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON, and nothing else on standard output."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars (they never show in a pipe).")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print a line per stage with its time, instead of bars; also in a pipe.")
]
Scratch = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where to turn counts that are stored by column or as text to rows. (default: the folder of the output)",
        show_default=False,
    ),
]
CompressionName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="gzip, lzf or none for .h5ad; lz4, zstd, gzip or none for .zarr; auto is the first."
    ),
]

USER_ERROR = 2
_MOST_PATHS = 5
_ARGUMENTS = "unbatch.arguments"


class Guarded(TyperGroup):
    """Commands that end with one line and exit code 2 where the user can help it, and never with a traceback then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as below
        """Keep the arguments as they were given, for outputs to tell what made them."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's context, whichever module holds it
        """Run the command; refused input, unreadable files and Ctrl-C become a line and an exit code."""
        with one_line_warnings():
            try:
                return super().invoke(ctx)
            except BrokenPipeError:
                raise  # the reader of a pipe has gone: typer ends quietly
            except KeyboardInterrupt:
                _say_interrupted()
            except Exception as error:
                if asked.is_set():  # then it comes of that
                    _say_interrupted()
                line = _line_of(error)
                if line is None:
                    raise
                complain(line)
                raise typer.Exit(USER_ERROR) from None


def _say_interrupted() -> NoReturn:
    if not told.is_set():
        told.set()
        complain("Interrupted.")
    raise typer.Exit(INTERRUPTED) from None


def _line_of(error: Exception) -> str | None:
    """Give what to say of an error that the user can help; None for a defect, or the end of the command."""
    if isinstance(error, MemoryError):
        return "Error: not enough memory: `unbatch inspect` estimates how much a fit needs"
    return f"Error: {error}" if isinstance(error, InputError | OSError) else None


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print each warning as one line on standard error, without the place in the code that a user cannot act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = _show_warning
        yield


def _show_warning(  # noqa: PLR0917 - as the standard library calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    kind = "Warning" if issubclass(category, InputWarning) else f"Warning ({category.__name__})"
    if not asked.is_set():  # what it meets that others are removing
        complain(f"{kind}: {' '.join(str(message).split())}")


def help_text(command: Callable[..., None]) -> str:
    """Docstring of a command with each paragraph on one line, for the terminal to wrap; indented lines stay."""
    paragraphs = (getdoc(command) or "").replace("Examples\n--------", "Examples:").split("\n\n")
    return "\n\n".join(text if "\n  " in text else text.replace("\n", " ") for text in paragraphs)


def command_line(context: typer.Context) -> str:
    """Give what was typed, quoted for a shell, as text that can be stored."""
    from unbatch.io.names import storable

    return storable(shlex.join(["unbatch", *context.meta.get(_ARGUMENTS, ())]))


def say(message: str) -> None:
    """Print a result to standard output."""
    typer.echo(message)


def complain(message: str) -> None:
    """Print a remark to standard error."""
    typer.echo(message, file=sys.stderr)


def check_output(
    output: Path, inputs: Sequence[Path], *, suffixes: tuple[str, ...] = (".h5ad",), option: str = "--output"
) -> None:
    """Refuse an output that could not be written or would destroy an input, before any work is done.

    Raises
    ------
    InputError
        If `output` is one of `inputs`, has an unknown ending, is a folder where a file is due, or in no folder or one
        that may not be written to.
    """
    from unbatch.io.atomic import check_place
    from unbatch.io.scratch import claim

    for path in inputs:
        same = output.exists() and path.exists() and output.samefile(path)
        if same or os.path.realpath(output) == os.path.realpath(path):  # Path.resolve raises on links in a circle
            raise InputError(f"{option} {output} is also an input and would be overwritten: choose another name")
    if output.suffix not in suffixes:
        raise InputError(f"{option} {output} must end in {' or '.join(suffixes)}")
    if not output.parent.is_dir():
        raise InputError(f"{option} {output}: there is no folder {output.parent}: make it first")
    if output.is_dir() and output.suffix != ".zarr":
        raise InputError(f"{option} {output} is a folder: give the name of a file")
    place = check_place(output, inputs=inputs, folder=output.suffix == ".zarr")
    try:
        claim(place.parent).release()
    except OSError as error:
        raise InputError(f"{option} {output} cannot be written: {error.strerror} ({output.parent})") from error


def open_inputs(
    inputs: Sequence[Path], layer: str | None, *, usual: str | None = None, scratch: Path | None
) -> "CountSource":
    """Open one input as itself and several as parts of one; `usual` is the layer of a fit, `scratch` a folder."""
    from unbatch.io.source import open_counts

    if scratch is not None and not scratch.is_dir():
        raise InputError(f"--scratch {scratch}: there is no such folder: make it first")
    data = inputs[0] if len(inputs) == 1 else list(inputs)
    return open_counts(data, layer=layer, usual=usual, scratch=scratch)


def paths(inputs: Sequence[Path]) -> str:
    """Write inputs as they would be typed; of many, the first and dots."""
    shown = inputs if len(inputs) <= _MOST_PATHS else inputs[:1]
    return shlex.join(str(path) for path in shown) + ("" if len(shown) == len(inputs) else " ...")


def thousands(number: float) -> str:
    """Write a number with its thousands apart: 12,345."""
    return f"{number:,.0f}"
