"""``unbatch simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch.cli._console import CompressionName, Quiet, Verbose, check_output, paths, say, thousands

_TYPES = "Discrete cell types"
_BATCHES = "Batches"
_NOISE = "Depth and noise"


def simulate(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="SIM", help="Where to write, .h5ad or .zarr.", show_default=False)
    ],
    n_cells: Annotated[int, typer.Option(help="Cells.")] = 1000,
    n_genes: Annotated[int, typer.Option(help="Genes.")] = 500,
    n_batches: Annotated[int, typer.Option(help="Batches.")] = 2,
    n_factors: Annotated[int, typer.Option(help="Continuous gene programmes.")] = 5,
    seed: Annotated[int, typer.Option(help="Start of all random numbers: the same seed, the same file.")] = 0,
    log_delta_sd: Annotated[
        float,
        typer.Option(help="Spread over genes of the natural log effects; 0: no effects.", rich_help_panel=_BATCHES),
    ] = 1.0,
    confounding: Annotated[
        float,
        typer.Option(help="0: all batches alike, to 1: no state is shared by two batches.", rich_help_panel=_BATCHES),
    ] = 0.0,
    batch_proportions: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Relative batch sizes. (default: even)", rich_help_panel=_BATCHES),
    ] = None,
    batch_depth: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Depth of each batch. (default: 1 each)", rich_help_panel=_BATCHES),
    ] = None,
    n_types: Annotated[int, typer.Option(help="Cell types; 0: continuous states only.", rich_help_panel=_TYPES)] = 0,
    marker_share: Annotated[
        float, typer.Option(help="Share of genes that a type changes.", rich_help_panel=_TYPES)
    ] = 0.3,
    marker_log_fold_sd: Annotated[
        float, typer.Option(help="Spread of those changes. Larger: types further apart.", rich_help_panel=_TYPES)
    ] = 1.5,
    abundance_sd: Annotated[
        float, typer.Option(help="Spread of log abundance. Larger: more silent genes.", rich_help_panel=_TYPES)
    ] = 1.5,
    variation: Annotated[
        float, typer.Option(help="Share of continuous variation. Larger: types blur.", rich_help_panel=_TYPES)
    ] = 0.3,
    composition: Annotated[
        float | None,
        typer.Option(
            help="Dirichlet concentration of each batch's types. Smaller: less alike. (default: all even)",
            rich_help_panel=_TYPES,
        ),
    ] = None,
    private_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE:BATCH",
            help="A type that occurs in one batch only, both counted from 0. Repeatable.",
            rich_help_panel=_TYPES,
        ),
    ] = None,
    size_factor_sd: Annotated[
        float, typer.Option(help="Spread of log depth over the cells of a batch.", rich_help_panel=_NOISE)
    ] = 0.0,
    dispersion: Annotated[
        float, typer.Option(help="Negative-binomial dispersion; 0: Poisson.", rich_help_panel=_NOISE)
    ] = 0.0,
    median_depth: Annotated[
        float | None, typer.Option(help="Counts of the median cell. (default: natural)", rich_help_panel=_NOISE)
    ] = None,
    compression: CompressionName = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make counts whose batch effects are known, to see what a method recovers.

    The truth is in the file: varm "log_delta_true" (natural log effects, genes x batches), obsm "theta_true" and varm
    "beta_true" (cell states and gene programmes), obs "batch" and "cell_type". Written block by block: a million cells
    need little memory.

    Examples
    --------
      unbatch simulate --output toy.h5ad
      unbatch simulate --n-types 8 --n-cells 5000 --composition 1 -o types.h5ad
      unbatch simulate --n-types 3 --private-type 2:1 -o private.h5ad
    """
    from unbatch.simulation import simulate_to_file

    check_output(output, [], suffixes=(".h5ad", ".zarr"))
    simulate_to_file(
        output,
        n_genes=n_genes,
        n_cells=n_cells,
        n_batches=n_batches,
        n_factors=n_factors,
        log_delta_sd=log_delta_sd,
        confounding=confounding,
        n_types=n_types,
        marker_share=marker_share,
        marker_log_fold_sd=marker_log_fold_sd,
        abundance_sd=abundance_sd,
        variation=variation,
        composition=composition,
        private_types=_private_types(private_type),
        batch_proportions=_numbers("--batch-proportions", batch_proportions),
        size_factor_sd=size_factor_sd,
        batch_depth=_numbers("--batch-depth", batch_depth),
        dispersion=dispersion,
        median_depth=median_depth,
        seed=seed,
        compression=compression,
        progress=progress_for(quiet=quiet, verbose=verbose),
    )
    say(f"Simulated {thousands(n_cells)} cells x {thousands(n_genes)} genes in {n_batches} batches")
    say(f"Wrote {output} (truth in varm 'log_delta_true')")
    say(f"Next: unbatch fit {paths([output])} --batch-key batch --output fit.h5ad")


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} is {text!r}: give numbers with commas between, such as 0.7,0.3") from None


def _private_types(pairs: list[str] | None) -> dict[int, int] | None:
    try:
        chosen = [(int(cell_type), int(batch)) for cell_type, batch in (pair.split(":") for pair in pairs or [])]
    except ValueError:
        raise InputError(f"--private-type is {pairs}: give TYPE:BATCH, both counted from 0, such as 2:1") from None
    types = [cell_type for cell_type, _ in chosen]
    twice = [cell_type for number, cell_type in enumerate(types) if cell_type in types[:number]]
    if twice:
        raise InputError(f"--private-type gives type {twice[0]} twice: it occurs in one batch only, give it once")
    return dict(chosen) or None
