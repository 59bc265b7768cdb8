"""``unbatch map``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from unbatch._progress import progress_for
from unbatch.cli._console import (
    FittedLayer,
    Inputs,
    Quiet,
    Scratch,
    Verbose,
    check_output,
    command_line,
    open_inputs,
    paths,
    say,
    thousands,
)

if TYPE_CHECKING:
    from unbatch.fitted import BatchFit

_UNSURE = 0.5
_SHOWN = 5


def map_cells(
    context: typer.Context,
    inputs: Inputs,
    *,
    model: Annotated[
        Path, typer.Option("--model", "-m", metavar="OUT.h5ad", help="What `unbatch fit` wrote.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="MAPPED.h5ad", help="Where to write the new cells.", show_default=False),
    ],
    batch_key: Annotated[
        list[str] | None,
        typer.Option(
            "--batch-key",
            "-b",
            metavar="COLUMN",
            help="obs column that names each cell's batch; repeat it to combine columns. (default: as in the fit)",
            show_default=False,
        ),
    ] = None,
    layer: FittedLayer = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Read and sum on the Dask cluster of this scheduler, such as tcp://host:8786. (default: here)",
            show_default=False,
        ),
    ] = None,
    scratch: Scratch = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put new cells in their place beside those of a fit, which does not change.

    Cells of a batch that the fit knows get its effects and their coordinates at once. A new batch is matched against
    the cell states of the fit and gets effects of its own, with standard errors. A batch that shares no state with the
    fit gets none, and is named in a warning. Each new batch is mapped on its own.

    Files that hold no annotation of cells, as those of 10x, are a batch each.

    A gene that the new cells lack counts as not measured, not as zero; one that the fit lacks gets no effect.

    MAPPED.h5ad holds the new cells as `unbatch fit` would have written them: effects (varm "batch_effects"),
    coordinates (obsm "X_unbatch"), state, overlap, and everything else in uns "unbatch". `unbatch adjust` takes it.

    Examples
    --------
      unbatch map new.h5ad --model fit.h5ad --output mapped.h5ad
      unbatch map run4.h5 run5.h5 --model fit.h5ad --output mapped.h5ad
      unbatch map new.h5ad -b sample --model fit.h5ad -o mapped.h5ad
    """
    from unbatch.io.cluster import connect
    from unbatch.io.sink import write_h5ad
    from unbatch.mapping import map_source
    from unbatch.model import BatchModel
    from unbatch.stored_fit import as_anndata

    check_output(output, [*inputs, model])
    fit = BatchModel.load(model).result
    source = open_inputs(inputs, layer, usual=fit.layer, scratch=scratch or output.parent)
    with connect(dask) as driver:
        mapped = map_source(
            source,
            fit,
            batch_key=tuple(batch_key or ()),
            layer=layer or fit.layer,
            progress=progress_for(quiet=quiet, verbose=verbose),
            driver=driver,
        )
    write_h5ad(output, as_anndata(replace(mapped, command=command_line(context))), inputs=[*source.paths, model])
    _report(mapped, inputs, model, output)


def _report(mapped: "BatchFit", inputs: list[Path], model: Path, output: Path) -> None:
    onto = mapped.mapped_onto
    assert onto is not None
    say(f"Mapped {thousands(len(mapped.obs))} cells onto the {thousands(onto.n_cells)} cells of {model}")
    new = [name for name in mapped.batches if name not in onto.known]
    if onto.known:
        say(f"  {_count(list(onto.known), 'batch', 'batches')} of the model, by its effects")
    if new:
        say(f"  {_count(new, 'new batch', 'new batches')}, with effects relative to the {onto.expressed_in}")
    if mapped.stop_reason == "max_rounds":
        say("  effects still moved after the last round: see uns['unbatch']['trace']")
    columns = [k for k, name in enumerate(mapped.batches) if name in new]
    size = np.abs(mapped.log_delta[:, columns][mapped.se[:, columns] < _UNSURE])
    if size.size:
        fold = f"{np.exp(np.median(size)):.2f}"
        say(f"  median effect of well-measured genes of new batches: x {fold} or / {fold}")
    if mapped.overlap is not None:
        say(f"  {(mapped.overlap > 0).mean():.0%} of the cells have counterparts in the model")
    say(f"  took {sum(mapped.timings.values()):.1f} s")
    say(f"Wrote {output}")
    say(f"Next: unbatch adjust {paths(inputs)} --model {paths([output])} --output adjusted.h5ad")


def _count(names: list[str], one: str, several: str) -> str:
    listed = ", ".join(repr(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {one if len(names) == 1 else several} ({listed})"
