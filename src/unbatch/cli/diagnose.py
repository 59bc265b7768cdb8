"""``unbatch diagnose``."""

from pathlib import Path
from typing import Annotated

import typer

from unbatch._progress import progress_for
from unbatch.cli._console import AsJson, FittedLayer, Inputs, Quiet, Scratch, Verbose, check_output, open_inputs, say
from unbatch.cli._ending import print_json, show_verdicts, verdict_rows


def diagnose(
    inputs: Inputs,
    *,
    model: Annotated[
        Path,
        typer.Option(
            "--model", "-m", metavar="OUT.h5ad", help="What `unbatch fit` wrote; rewritten.", show_default=False
        ),
    ],
    probes: Annotated[
        bool,
        typer.Option("--probes", help="Fit up to 5,000 cells again, about eight times, with something known of them."),
    ] = False,
    layer: FittedLayer = None,
    scratch: Scratch = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a fit once more: was a correction needed, allowed, enough and not too much.

    A fit judges itself, and says so at its end. This does the same for a fit that an older version made, and with
    --probes asks more of it: cells are fitted again after a batch was divided at random in two, between which no effect
    may be found, and after cells of one kind were taken out of a batch, whose other cells may not be drawn to their
    place.

    Give the same input as to `unbatch fit`. The verdicts are added to OUT.h5ad, which is replaced at once or not at
    all.

    Examples
    --------
      unbatch diagnose cells.h5ad --model fit.h5ad
      unbatch diagnose cells.h5ad --model fit.h5ad --probes
      unbatch diagnose run1.h5 run2.h5 --model fit.h5ad --probes --json
    """
    import anndata

    from unbatch.diagnosing import diagnose_source
    from unbatch.io.failures import reading
    from unbatch.io.sink import write_h5ad
    from unbatch.model import BatchModel
    from unbatch.slots import write_diagnostics
    from unbatch.stored_fit import repeated_names_allowed

    fit = BatchModel.load(model).result
    check_output(model, inputs, option="--model")
    source = open_inputs(inputs, layer, usual=fit.layer, scratch=scratch or model.parent)
    found = diagnose_source(source, fit, probes=probes, progress=progress_for(quiet=quiet, verbose=verbose))
    with reading(str(model)), repeated_names_allowed():
        whole = anndata.read_h5ad(model)
    write_diagnostics(whole, found)
    write_h5ad(model, whole, inputs=source.paths)
    if as_json:
        print_json(
            {
                "verdict": found.worst,
                "verdicts": verdict_rows(found.verdicts),
                "probes": verdict_rows(found.tables["probes"]) if "probes" in found.tables else [],
                "written": {"model": str(model)},
            }
        )
        return
    show_verdicts(found.verdicts)
    say(f"Wrote {model}")
