"""The report: one self-contained HTML page made from a fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbatch._check import InputError, check_whole

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["write_report"]

SUFFIXES = (".html", ".htm")


def write_report(
    fit: "AnnData | Path | str",
    output: Path | str,
    *,
    color: str | Sequence[str] | None = None,
    n_map_cells: int = 2000,
) -> None:
    """Write one HTML page that says whether a correction was needed, allowed and enough, and what it did.

    The page opens from disk in any browser, on a phone and in print, and asks nothing of a network: verdicts first,
    then the evidence behind each, a table of the effects to sort, filter and save, maps of the cells before and after,
    how the fit went and how to repeat it. The same fit gives the same page, of at most a few megabytes, whatever the
    number of cells.

    Parameters
    ----------
    fit
        Data on which `unbatch.tl.batch_effects` ran, or the path of what ``unbatch fit`` wrote. It is not changed.
    output
        Where to write, ending in .html. A page that is there is replaced, whole or not at all.
    color
        Columns of ``obs`` to colour the maps by, besides the batch: cell types, a condition. Categories stand in their
        order, numbers by value, other labels by name, cells without a label last. Bin a measure first (``pd.cut``).
    n_map_cells
        Cells on each map at most, spread evenly over the batches; 0 for no maps. More show rarer states, and take
        longer: 2,000 about ten seconds in all.

    Raises
    ------
    InputError
        If there is no such fit or column, a column holds more than 20 different numbers that are not whole by type, or
        the output has another ending, is the fit itself or cannot be written.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.write_report(adata, "toy.html", n_map_cells=0)  # doctest: +SKIP
    """
    from unbatch.io.atomic import replacing
    from unbatch.report.page import render
    from unbatch.report.reading import read_fitted

    if Path(output).suffix not in SUFFIXES:
        raise InputError(f"{output} does not end in .html, by which a browser knows what it is")
    check_whole("n_map_cells", n_map_cells, least=0, usual=2000)
    columns = [] if color is None else [color] if isinstance(color, str) else list(color)
    fitted = read_fitted(fit, most_cells=n_map_cells, columns=columns)
    page = render(fitted, most_cells=n_map_cells, columns=columns)
    inputs = [fit] if isinstance(fit, str | Path) else []
    with replacing(output, inputs=inputs) as temporary:
        temporary.write_text(page, encoding="utf-8")
