"""Run the demonstration: fit, draw, save, and print what came out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from unbatch import datasets
from unbatch._check import InputError
from unbatch._progress import Progress, Silent
from unbatch.demo import cell_lines, fitting, toy
from unbatch.demo.measures import Mixing
from unbatch.demo.table import print_summary
from unbatch.io.atomic import replacing
from unbatch.methods import DEFAULT_METHOD

DPI = 150
_PUBLISHED = "concept"


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration measured and wrote."""

    toy: toy.ToyNumbers
    cell_lines: Mixing
    files: tuple[Path, ...]


def run_demo(
    output: Path, *, seed: int = 0, method: str = DEFAULT_METHOD, progress: Progress | None = None, show: bool = True
) -> DemoResult:
    """Redo the published analysis on its toy by the published method, then fit the shipped cell lines.

    Parameters
    ----------
    output
        Folder for figures (PNG) and fitted files (.h5ad); made if missing. Files of the names that the demonstration
        uses are replaced, others are left alone.
    seed
        Of the random projection and of the maps; the same seed gives the same numbers.
    method
        How the effects in the cell lines are estimated, see `unbatch.tl.batch_effects`; on the toy, its recovery is
        told beside that of the published method.
    progress
        Where to tell how far the work is; nowhere by default.
    show
        Print a table of what was measured and where the files are.

    Returns
    -------
    The numbers of the table, and the paths of the files in the order in which they were written.

    Raises
    ------
    InputError
        If `output` is a file.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file: give the name of a folder")
    output.mkdir(parents=True, exist_ok=True)
    progress = progress or Silent()
    files: list[Path] = []

    with progress.stage("toy: fit", total=2) as advance:
        simulated = datasets.toy()
        analysis = toy.with_truth(fitting.fit(simulated, method=_PUBLISHED, seed=seed), simulated)
        files.append(_save(analysis.fitted, output / "toy.h5ad"))
        advance(1)
        other = fitting.fit(simulated, method=method, seed=seed)
        advance(1)
    with progress.stage("toy: figures", total=6) as advance, _style():
        for name, figure in toy.figures(analysis, seed=seed):
            files.append(_draw(figure, output / f"toy-{name}.png"))
            advance(1)

    with progress.stage("cell lines: fit", total=1) as advance:
        lines = cell_lines.with_components(fitting.fit(datasets.cell_lines(), method=method, seed=seed))
        files.append(_save(lines.fitted, output / "cell-lines.h5ad"))
        advance(1)
    with progress.stage("cell lines: figures", total=3) as advance, _style():
        for name, figure in cell_lines.figures(lines, seed=seed):
            files.append(_draw(figure, output / f"cell-lines-{name}.png"))
            advance(1)

    result = DemoResult(toy=toy.numbers(analysis, other), cell_lines=cell_lines.numbers(lines), files=tuple(files))
    if show:
        print_summary(result.toy, result.cell_lines, files=result.files, output=output)
    return result


@contextmanager
def _style() -> Iterator[None]:
    """Font sizes that are readable at the size at which the figures are drawn, whatever the reader's own settings."""
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 9.0, "axes.titlesize": 9.0}):
        yield


def _save(fitted: fitting.Fitted, path: Path) -> Path:
    fitting.save(fitted, path)
    return path


def _draw(figure: Figure, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
    return path
