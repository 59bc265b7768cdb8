"""``unbatch offsets``."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch.cli._console import FittedLayer, Inputs, Quiet, Scratch, Verbose, check_output, open_inputs, say, thousands

_SUFFIXES = (".h5ad", ".parquet", ".csv")
_OWN_COLUMNS = ("gene", "count", "log_delta", "measured", "known")
"""What a table says of each group and gene: no column of groups may be called so."""


def offsets(
    inputs: Inputs,
    *,
    model: Annotated[
        Path, typer.Option("--model", "-m", metavar="OUT.h5ad", help="What `unbatch fit` wrote.", show_default=False)
    ],
    groupby: Annotated[
        list[str] | None,
        typer.Option(
            "--groupby",
            "-g",
            metavar="COLUMN",
            help="obs column whose levels are summed over. Repeat it to combine columns.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="SUMS", help="Where to write: .h5ad, .parquet, .csv.", show_default=False
        ),
    ],
    layer: FittedLayer = None,
    state_specific: Annotated[
        bool,
        typer.Option("--state-specific", help="Use the effect on the cell's own state (fit --state-specific)."),
    ] = False,
    scratch: Scratch = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Sum raw counts over groups of cells, with log delta as offset.

    For differential expression: give a Poisson or negative binomial model (edgeR, DESeq2, statsmodels) the raw counts
    and the offset log_delta + log(exposure), and it compares groups as if all cells were of one batch. The offset of a
    group is the log of the mean effect on its cells, weighted by their size factors.

    .h5ad has groups x genes: counts in X, the layer "log_delta", and n_cells and exposure in obs. .csv and .parquet
    have one row per group and gene, and columns of their own: gene, count, log_delta, measured, known.

    Examples
    --------
      unbatch offsets cells.h5ad --model fit.h5ad --groupby donor --groupby cell_type --output sums.h5ad
    """
    from anndata import AnnData

    from unbatch.io.sink import write_h5ad
    from unbatch.io.table_file import write_table
    from unbatch.model import BatchModel
    from unbatch.offsets import sum_groups
    from unbatch.stored_fit import writable

    if not groupby:
        raise InputError("--groupby is missing: give the obs columns whose combinations are the groups, such as donor")
    check_output(output, [*inputs, model], suffixes=_SUFFIXES)
    _check_columns(output, groupby)
    fit = BatchModel.load(model).result
    source = open_inputs(inputs, layer, usual=fit.layer, scratch=scratch or output.parent)
    progress = progress_for(quiet=quiet, verbose=verbose)
    found = sum_groups(source, fit, groupby, state_specific=state_specific, progress=progress)
    if output.suffix == ".h5ad":
        layers = {"log_delta": found.log_delta, "measured": found.measured, "known": found.known}
        sums = AnnData(found.counts, obs=found.obs, var=writable(source.var), layers=layers)
        write_h5ad(output, sums, inputs=[*source.paths, model])
    else:
        table = found.obs.loc[np.repeat(found.obs.index, source.n_genes)].reset_index(drop=True)
        table["gene"] = np.tile(source.var.index.to_numpy(), len(found.obs))
        table["count"], table["log_delta"] = found.counts.ravel().astype(np.int64), found.log_delta.ravel()
        table["measured"], table["known"] = found.measured.ravel(), found.known.ravel()
        write_table(output, table, inputs=[*source.paths, model])
    say(f"Summed {thousands(source.n_cells)} cells into {thousands(len(found.obs))} groups by {', '.join(groupby)}")
    say(f"Wrote {output} (raw counts, offset log_delta, exposure)")
    say("Next: fit raw counts with the offset log_delta + log(exposure)")


def _check_columns(output: Path, groupby: list[str]) -> None:
    taken = [name for name in _OWN_COLUMNS if name in groupby]
    if taken and output.suffix != ".h5ad":
        raise InputError(
            f"--groupby {taken[0]} has the name of a column that the table itself has, and its labels would be lost: "
            "rename it in obs, or write .h5ad"
        )
