"""``unbatch adjust``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from unbatch._progress import progress_for
from unbatch.cli._console import (
    CompressionName,
    FittedLayer,
    Inputs,
    Quiet,
    Scratch,
    Verbose,
    check_output,
    open_inputs,
    say,
    thousands,
)

if TYPE_CHECKING:
    from unbatch.core.adjust import Mode

_SHOWN = 3


def adjust(
    inputs: Inputs,
    *,
    model: Annotated[
        Path, typer.Option("--model", "-m", metavar="OUT.h5ad", help="What `unbatch fit` wrote.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="ADJ", help="Where to write, .h5ad or .zarr.", show_default=False),
    ],
    layer: FittedLayer = None,
    mode: Annotated[
        str, typer.Option(help="scale: divide, float32. thin: draw whole numbers, int32; Poisson stays Poisson.")
    ] = "scale",
    state_specific: Annotated[
        bool,
        typer.Option("--state-specific", help="Take out the effect on the cell's own state (fit --state-specific)."),
    ] = False,
    keep_library_size: Annotated[
        bool, typer.Option("--keep-library-size", help="Each cell keeps its total. Not with thin.")
    ] = False,
    max_factor: Annotated[
        float, typer.Option(help="The most a count is multiplied by. More follows the noise of few counts further.")
    ] = 20.0,
    seed: Annotated[int, typer.Option(help="Start of the random numbers of thin: the same seed, the same counts.")] = 0,
    compression: CompressionName = "auto",
    scratch: Scratch = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take the fitted effects out of the counts.

    X of the output is count / effect of the cell's batch on the gene: what the mean batch, or the reference of the fit,
    would have given, as float32. With --mode thin it is whole numbers, what the batch with the smallest effect on the
    gene would have given. Never negative, and zeros stay zero. It is read and written block by block, so the data need
    not fit in memory.

    The annotation of cells and genes (obs, var) is kept; obsm, layers and uns are not.

    Give the same input as to `unbatch fit`, or other cells of the same batches. The counts are taken from the layer
    that was fitted, unless --layer says otherwise.

    Examples
    --------
      unbatch adjust cells.h5ad --model fit.h5ad --output adjusted.h5ad
      unbatch adjust run1.h5 run2.h5 --model fit.h5ad --output adjusted.zarr
      unbatch adjust cells.h5ad --model fit.h5ad --mode thin --output thinned.h5ad
    """
    import pandas as pd

    from unbatch.adjusting import Adjustment
    from unbatch.core.adjust import AdjustOptions
    from unbatch.fitted_cells import fitted_rows
    from unbatch.io.names import storable
    from unbatch.io.sink import CountSink, choose_compression
    from unbatch.model import BatchModel
    from unbatch.slots import BATCH
    from unbatch.stored_fit import writable

    check_output(output, [*inputs, model], suffixes=(".h5ad", ".zarr"))
    chosen = choose_compression(compression, output.suffix)
    options = AdjustOptions(
        mode=cast("Mode", mode),  # any other word is refused
        state_specific=state_specific,
        keep_library_size=keep_library_size,
        max_factor=max_factor,
        seed=seed,
    )
    fit = BatchModel.load(model).result
    source = open_inputs(inputs, layer, usual=fit.layer, scratch=scratch or output.parent)
    progress = progress_for(quiet=quiet, verbose=verbose)
    adjustment = Adjustment(source, fit, options=options, progress=progress)
    record = {
        "model": storable(model.name),
        "method": fit.method,
        "batches": list(fit.batches),
        "versions": dict(fit.versions),
    }
    obs = writable(source.obs)
    if not fit.batch_key or not set(fit.batch_key) <= set(obs):  # no column says it
        obs[BATCH] = pd.Categorical.from_codes(adjustment.batch, list(fit.batches))
    with CountSink(
        output,
        obs=obs,
        var=writable(source.var),
        dtype=adjustment.dtype,
        compression=chosen,
        inputs=[*source.paths, model],
    ) as sink:
        for block in adjustment.blocks():
            sink.append(block)
        found = adjustment.record()
        sink.uns["unbatch_adjusted"] = {**record, **found}
    new = int((fitted_rows(source, fit, adjustment.batch) < 0).sum())
    say(f"Adjusted {thousands(source.n_cells)} cells x {thousands(source.n_genes)} genes by {model}")
    if new:
        say(f"  {thousands(new)} cells were not part of the fit: adjusted by the effects of their batch")
    if found["capped_counts"]:
        genes, counts = found["capped_genes"], thousands(found["capped_counts"])
        first = ", ".join(repr(str(gene)) for gene in genes[:_SHOWN])
        say(f"  {counts} counts of {thousands(len(genes))} genes met the cap of {max_factor:g} (most: {first})")
    say(f"Wrote {output} (X = adjusted counts, {adjustment.dtype}, as in the {found['expressed_in']})")
    say("Next: normalise, log and use it like counts; for differential expression keep the raw counts")
