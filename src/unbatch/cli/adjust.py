"""``unbatch adjust``."""

from pathlib import Path
from typing import Annotated

import typer

from unbatch._progress import progress_for
from unbatch.cli._console import CompressionName, Inputs, Quiet, Verbose, check_output, open_inputs, say, thousands


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
    layer: Annotated[
        str | None,
        typer.Option(help="Where the raw counts are. (default: where the fit found them)", show_default=False),
    ] = None,
    compression: CompressionName = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Divide the fitted effects out of the counts.

    X of the output is count / effect of the cell's batch on the gene: what the mean batch, or the reference of the fit,
    would have given, as float32. Never negative, and zeros stay zero. It is read and written block by block, so the
    data need not fit in memory.

    Give the same input as to `unbatch fit`, or other cells of the same batches. The counts are taken from the layer
    that was fitted, unless --layer says otherwise.

    Examples
    --------
      unbatch adjust cells.h5ad --model fit.h5ad --output adjusted.h5ad
      unbatch adjust run1.h5 run2.h5 --model fit.h5ad --output adjusted.zarr
    """
    from unbatch.adjusting import adjusted_blocks
    from unbatch.io.sink import CountSink, choose_compression
    from unbatch.model import BatchModel
    from unbatch.slots import writable

    check_output(output, [*inputs, model], suffixes=(".h5ad", ".zarr"))
    chosen = choose_compression(compression, output.suffix)
    fit = BatchModel.load(model).result
    source = open_inputs(inputs, layer or fit.layer)
    blocks = adjusted_blocks(source, fit, progress=progress_for(quiet=quiet, verbose=verbose))
    record = {
        "expressed_in": fit.expressed_in,
        "model": model.name,
        "method": fit.method,
        "batches": list(fit.batches),
        "versions": dict(fit.versions),
    }
    with CountSink(
        output,
        obs=writable(source.obs),
        var=writable(source.var),
        uns={"unbatch_adjusted": record},
        compression=chosen,
        inputs=[*source.paths, model],
    ) as sink:
        for block in blocks:
            sink.append(block)
    new = int((~source.obs.index.isin(fit.obs.index)).sum())
    say(f"Adjusted {thousands(source.n_cells)} cells x {thousands(source.n_genes)} genes by {model}")
    if new:
        say(f"  {thousands(new)} cells were not part of the fit: adjusted by the effects of their batch")
    say(f"Wrote {output} (X = adjusted counts, float32)")
    say("Next: normalise, log and use it like counts; for differential expression keep the raw counts")
