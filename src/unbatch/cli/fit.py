"""``unbatch fit``."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from unbatch._progress import progress_for
from unbatch.cli._console import BatchKey, Inputs, Layer, Quiet, check_output, open_inputs, paths, say, thousands
from unbatch.fitted import BatchFit

_UNSURE = 0.5
_OPTIONS = "Options of the method (default: its own)"


def fit(
    inputs: Inputs,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.h5ad", help="Where to write the model.", show_default=False)
    ],
    batch_key: BatchKey = None,
    layer: Layer = None,
    method: Annotated[
        str | None,
        typer.Option(help="Estimator: concept (the published method). (default: the recommended)", show_default=False),
    ] = None,
    min_cells: Annotated[int, typer.Option(help="Batches with fewer cells take no part (effect 1, none).")] = 2,
    seed: Annotated[int, typer.Option(help="Start of all random numbers: the same seed, the same result.")] = 0,
    n_dims: Annotated[
        int | None,
        typer.Option(
            help="Dimensions to compare cells in. More: finer, smaller pseudobulks.", rich_help_panel=_OPTIONS
        ),
    ] = None,
    n_neighbors: Annotated[
        int | None,
        typer.Option(help="Matches per other batch. More: less noise, less alike.", rich_help_panel=_OPTIONS),
    ] = None,
    max_iter: Annotated[int | None, typer.Option(help="Most updates of the effects.", rich_help_panel=_OPTIONS)] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="Stop once no log effect moves by more. Larger: earlier.", rich_help_panel=_OPTIONS),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Estimate by how much each batch multiplies each gene's counts.

    Needs raw counts (not normalised, not logged) and the batch of each cell. Of several files, each is a batch unless
    --batch-key is given; a gene that a file lacks counts as not measured there, not as zero.

    OUT.h5ad holds the annotation of cells and genes and the result, without the counts: the effects
    (varm "batch_effects": natural log, genes x batches) with standard errors, batch-free coordinates of the cells
    (obsm "X_unbatch"), overlap per cell (obs "unbatch_overlap"), and everything else in uns "unbatch".

    Examples
    --------
      unbatch fit cells.h5ad --batch-key donor --output fit.h5ad
      unbatch fit cells.h5ad --batch-key donor --layer counts --output fit.h5ad
      unbatch fit run1.h5 run2.h5 run3.h5 --output fit.h5ad
      unbatch fit cells.h5ad -b donor -b chemistry -o fit.h5ad
    """
    from unbatch.io.batches import read_batches
    from unbatch.methods import DEFAULT_METHOD, options_for
    from unbatch.model import BatchModel

    check_output(output, inputs)
    given = {"n_dims": n_dims, "n_neighbors": n_neighbors, "max_iter": max_iter, "tol": tol}
    options = options_for(method or DEFAULT_METHOD, {name: value for name, value in given.items() if value is not None})
    model = BatchModel(method=options, min_cells=min_cells, seed=seed)
    source = open_inputs(inputs, layer)
    batches = read_batches(source, batch_key or None, min_cells=min_cells)
    model.fit_source(source, batches, layer=layer, progress=progress_for(quiet=quiet))
    model.save(output)
    _report(model.result, inputs, output)


def _report(result: BatchFit, inputs: list[Path], output: Path) -> None:
    n_cells, n_genes = len(result.obs), len(result.var)
    say(f"Fitted {thousands(n_cells)} cells x {thousands(n_genes)} genes in {len(result.batches)} batches")
    n_iter = len(next(iter(result.trace.values())))
    if result.stop_reason == "converged":
        say(f"  effects converged after {n_iter} updates")
    else:
        say(f"  effects still moved after {n_iter} updates: see uns['unbatch']['trace'], or raise --max-iter")
    size = np.abs(result.log_delta[result.estimated & (result.se < _UNSURE)])
    if size.size:
        fold = f"{np.exp(np.median(size)):.2f}"
        say(f"  median effect of well-measured genes: x {fold} or / {fold}")
    unknown = int((~result.estimated).sum())
    if unknown:
        say(f"  {thousands(unknown)} of {thousands(result.se.size)} effects are unknown: log effect 0, error inf")
    say(f"  cells have counterparts in {result.overlap.mean():.0%} of the other batches on average")
    say(f"Wrote {output}")
    say(f"Next: unbatch adjust {paths(inputs)} --model {paths([output])} --output adjusted.h5ad")
