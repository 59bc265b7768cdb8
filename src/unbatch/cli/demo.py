"""``unbatch demo``."""

from pathlib import Path
from typing import Annotated

import typer

from unbatch._progress import progress_for
from unbatch.cli._console import Quiet


def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for figures and files; made if missing.")
    ] = Path("unbatch-demo"),
    quiet: Quiet = False,
) -> None:
    """Redo the published analysis on its toy, then fit a real data set by the default method, with every figure.

    Takes about half a minute on two cores and writes figures (PNG) and the fitted files (.h5ad) to a folder.

    Examples
    --------
      unbatch demo
      unbatch demo --output figures
    """
    from unbatch.demo import run_demo

    run_demo(output, progress=progress_for(quiet=quiet))
