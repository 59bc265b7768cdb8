"""``unbatch fit``."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from unbatch._check import InputError
from unbatch._progress import progress_for
from unbatch.cli._console import (
    AsJson,
    BatchKey,
    Inputs,
    Layer,
    Quiet,
    Scratch,
    Verbose,
    check_output,
    command_line,
    open_inputs,
)
from unbatch.cli._ending import Written, end_fit

_OPTIONS = "Options of the method (default: its own)"
_DESIGN = "Design"
_LISTS = frozenset({".txt", ".csv", ".tsv"})


def fit(
    context: typer.Context,
    inputs: Inputs,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.h5ad", help="Where to write the model.", show_default=False)
    ],
    batch_key: BatchKey = None,
    layer: Layer = None,
    method: Annotated[
        str | None,
        typer.Option(help="Estimator: matched (the default) or concept (the published method).", show_default=False),
    ] = None,
    min_cells: Annotated[int, typer.Option(help="Batches with fewer cells take no part (effect 1, none).")] = 2,
    seed: Annotated[int, typer.Option(help="Start of all random numbers: the same seed, the same result.")] = 0,
    effects: Annotated[
        Path | None,
        typer.Option(
            metavar="EFFECTS",
            help="Also write a table of all effects with tests, .parquet or .csv.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="R.html", help="Also write the report on one page, as `unbatch report` does.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="BATCH",
            help="Batch that effects are relative to. (default: the mean over batches)",
            rich_help_panel=_DESIGN,
            show_default=False,
        ),
    ] = None,
    match_within: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="obs column with a condition: only cells of one level are compared. Repeat it to combine columns.",
            rich_help_panel=_DESIGN,
            show_default=False,
        ),
    ] = None,
    control_genes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|A,B,...",
            help="Genes that carry only technical variation: a file with one per line, or names with commas between.",
            rich_help_panel=_DESIGN,
            show_default=False,
        ),
    ] = None,
    n_dims: Annotated[
        int | None,
        typer.Option(
            help="Dimensions to compare cells in. More: finer, smaller pseudobulks.", rich_help_panel=_OPTIONS
        ),
    ] = None,
    n_embedding_dims: Annotated[
        int | None,
        typer.Option(help="matched: dimensions of the embedding. More: finer, noisier.", rich_help_panel=_OPTIONS),
    ] = None,
    max_states: Annotated[
        int | None,
        typer.Option(help="matched: most cell states. More: purer, fewer cells in each.", rich_help_panel=_OPTIONS),
    ] = None,
    caliper: Annotated[
        float | None,
        typer.Option(help="matched: farthest match, in standard deviations.", rich_help_panel=_OPTIONS),
    ] = None,
    min_support: Annotated[
        float | None,
        typer.Option(help="matched: cells that must tie two batches to compare them.", rich_help_panel=_OPTIONS),
    ] = None,
    sketch_size: Annotated[
        int | None, typer.Option(help="matched: most cells fitted in memory.", rich_help_panel=_OPTIONS)
    ] = None,
    max_rounds: Annotated[int | None, typer.Option(help="matched: most rounds.", rich_help_panel=_OPTIONS)] = None,
    n_neighbors: Annotated[
        int | None,
        typer.Option(help="concept: matches per other batch. More: less noise, less alike.", rich_help_panel=_OPTIONS),
    ] = None,
    max_iter: Annotated[int | None, typer.Option(help="concept: most updates.", rich_help_panel=_OPTIONS)] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="Stop once log effects move by less. Larger: earlier.", rich_help_panel=_OPTIONS),
    ] = None,
    effects_only: Annotated[
        bool,
        typer.Option(
            "--effects-only",
            help="Read the counts once only: no coordinates and overlap of cells; of more cells than --sketch-size, "
            "effects less sharp.",
        ),
    ] = False,
    state_specific: Annotated[
        bool,
        typer.Option(
            "--state-specific",
            help="Also find by how much effects differ from state to state, for `unbatch adjust --state-specific`.",
        ),
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Read and sum on the Dask cluster of this scheduler, such as tcp://host:8786. (default: here)",
            show_default=False,
        ),
    ] = None,
    scratch: Scratch = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Estimate by how much each batch multiplies each gene's counts.

    Needs raw counts (not normalised, not logged) and the batch of each cell. Of several files, each is a batch unless
    --batch-key is given; a gene that a file lacks counts as not measured there, not as zero.

    OUT.h5ad holds the annotation of cells and genes and the result, without the counts: the effects
    (varm "batch_effects": natural log, genes x batches) with standard errors, batch-free coordinates of the cells
    (obsm "X_unbatch"), overlap per cell (obs "unbatch_overlap"), and everything else in uns "unbatch".

    At the end, a table says whether the fit can be trusted: was a correction needed, do batches share cell states, are
    matched cells alike, are batches mixed, do effects differ between states, and has the fit settled. With --json the
    same is printed for programs.

    --effects writes one row per gene and batch, surest first: log effect, its standard error and 95% interval, z, p and
    q (Benjamini-Hochberg), support and mean expression.

    Examples
    --------
      unbatch fit cells.h5ad --batch-key donor --output fit.h5ad
      unbatch fit cells.h5ad --batch-key donor --layer counts --output fit.h5ad
      unbatch fit run1.h5 run2.h5 run3.h5 --output fit.h5ad
      unbatch fit cells.h5ad -b donor -b chemistry -o fit.h5ad
      unbatch fit cells.h5ad -b donor --match-within stim --effects effects.csv -o fit.h5ad
      unbatch fit cells.h5ad -b donor -o fit.h5ad --report fit.html
    """
    from unbatch.io.batches import label_cells, read_batches
    from unbatch.io.cluster import connect
    from unbatch.io.sink import write_h5ad
    from unbatch.io.table_file import SUFFIXES, write_table
    from unbatch.methods import DEFAULT_METHOD, options_for
    from unbatch.model import BatchModel
    from unbatch.ranking import rank_genes
    from unbatch.report import SUFFIXES as REPORT_SUFFIXES
    from unbatch.report import write_report
    from unbatch.stored_fit import as_anndata

    check_output(output, inputs)
    others = [Path(control_genes)] if control_genes and _is_file(control_genes) else []
    if effects:
        check_output(effects, [*inputs, *others], suffixes=SUFFIXES, option="--effects")
    if report:
        check_output(report, [*inputs, *others], suffixes=REPORT_SUFFIXES, option="--report")
    given = {
        "n_dims": n_dims,
        "n_embedding_dims": n_embedding_dims,
        "max_states": max_states,
        "caliper": caliper,
        "min_support": min_support,
        "sketch_size": sketch_size,
        "max_rounds": max_rounds,
        "n_neighbors": n_neighbors,
        "max_iter": max_iter,
        "tol": tol,
    }
    options = options_for(method or DEFAULT_METHOD, {name: value for name, value in given.items() if value is not None})
    model = BatchModel(method=options, min_cells=min_cells, seed=seed, reference=reference)
    controls = None if control_genes is None else _gene_names(control_genes)
    source = open_inputs(inputs, layer, scratch=scratch or output.parent)
    batches = read_batches(source, batch_key or None, min_cells=min_cells)
    with connect(dask) as driver:
        model.fit_source(
            source,
            batches,
            within=label_cells(source, match_within) if match_within else None,
            control_genes=controls,
            effects_only=effects_only,
            state_specific=state_specific,
            layer=layer,
            progress=progress_for(quiet=quiet, verbose=verbose),
            driver=driver,
        )
    write_h5ad(output, as_anndata(replace(model.result, command=command_line(context))))
    if effects:
        write_table(effects, rank_genes(model.result), inputs=source.paths)
    if report:
        write_report(output, report)
    written = [Written("model", output)]
    if effects:
        written.append(
            Written("effects", effects, f"one row per gene and batch, against the {model.result.expressed_in}")
        )
    if report:
        written.append(Written("report", report, "open it in a browser"))
    end_fit(model.result, inputs=inputs, written=written, as_json=as_json)


def _gene_names(given: str) -> list[str]:
    """Read names from the file that is given, or take them as they are given."""
    from unbatch.io.failures import reading

    if _is_file(given):
        with reading(given):
            lines = Path(given).read_text(encoding="utf-8-sig").splitlines()
    elif Path(given).suffix in _LISTS and "," not in given:
        raise InputError(f"--control-genes {given}: there is no such file, give one with a gene name per line")
    else:
        lines = given.split(",")
    return [name.strip() for name in lines if name.strip()]


def _is_file(given: str) -> bool:
    # a list of many names is longer than any name of a file may be, for which Path.is_file raises
    return os.path.isfile(given)  # noqa: PTH113
