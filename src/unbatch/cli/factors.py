"""``unbatch factors``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unbatch._progress import progress_for
from unbatch.cli._console import FittedLayer, Inputs, Quiet, Scratch, Verbose, check_output, open_inputs, say, thousands

if TYPE_CHECKING:
    import pandas as pd

    from unbatch.programmes import FactorFit

_SHOWN = 6
_MOST_FACTORS = 40


def factors(
    inputs: Inputs,
    *,
    model: Annotated[
        Path, typer.Option("--model", "-m", metavar="OUT.h5ad", help="What `unbatch fit` wrote.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FACTORS.h5ad", help="Where to write.", show_default=False)
    ],
    n_factors: Annotated[
        list[int] | None,
        typer.Option(
            metavar="NUMBER",
            help="Number of programmes. Repeat it to let held-out counts choose. (default: 20)",
            show_default=False,
        ),
    ] = None,
    top_genes: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Also write the 50 top genes of each programme by lift, .parquet or .csv.",
            show_default=False,
        ),
    ] = None,
    n_pseudobulks: Annotated[
        int, typer.Option(help="Most groups of cells to learn from. More: finer, slower, more memory.")
    ] = 1000,
    unadjusted: Annotated[
        bool, typer.Option("--unadjusted", help="Take all batch effects for none, to compare.")
    ] = False,
    layer: FittedLayer = None,
    seed: Annotated[int, typer.Option(help="Start of all random numbers: the same seed, the same result.")] = 0,
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
    """Find gene programmes that owe nothing to the batch, and the share of each in every cell.

    Needs the counts that were fitted and the model. Programmes come from sums over groups of like cells, activities
    from every cell by itself; in both the fitted effects are divided out of what is expected, and the counts stay as
    they are. The counts are read twice, block by block, so the data need not fit in memory.

    The output holds what the model holds and, besides, the share of each programme in the counts of each cell
    (obsm "X_factors"), the share of each gene in the counts of each programme (varm "factors"), and the rest in uns
    "unbatch_factors".

    With several --n-factors, programmes are found without some of the cells, and the smallest number is taken that
    foretells unseen counts of these as well as any.

    Examples
    --------
      unbatch factors cells.h5ad --model fit.h5ad --output factors.h5ad
      unbatch factors cells.h5ad -m fit.h5ad -o factors.h5ad --n-factors 15 --top-genes top.csv
      unbatch factors cells.h5ad -m fit.h5ad -o factors.h5ad --n-factors 5 --n-factors 10 --n-factors 20
    """
    import anndata

    from unbatch.get import factors as top_table
    from unbatch.io.cluster import connect
    from unbatch.io.failures import reading
    from unbatch.io.sink import write_h5ad
    from unbatch.io.table_file import SUFFIXES, write_table
    from unbatch.model import BatchModel
    from unbatch.programmes import FactorOptions, fit_factors
    from unbatch.programmes.fitting import check_numbers
    from unbatch.programmes.slots import write_factors
    from unbatch.stored_fit import repeated_names_allowed

    check_output(output, [*inputs, model])
    if top_genes:
        check_output(top_genes, [*inputs, model], suffixes=SUFFIXES, option="--top-genes")
    wanted = check_numbers(n_factors or 20)
    options = FactorOptions(n_pseudobulks=n_pseudobulks, adjusted=not unadjusted, seed=seed)
    fit = BatchModel.load(model).result
    source = open_inputs(inputs, layer, usual=fit.layer, scratch=scratch or output.parent)
    with connect(dask) as driver:
        found = fit_factors(
            source,
            fit,
            n_factors=wanted,
            options=options,
            driver=driver,
            progress=progress_for(quiet=quiet, verbose=verbose),
        )
    with reading(str(model)), repeated_names_allowed():
        adata = anndata.read_h5ad(model)
    if not adata.var_names.equals(source.var.index):
        with repeated_names_allowed():
            adata = adata[:, source.var.index].copy()
    write_factors(adata, found, key="factors")
    write_h5ad(output, adata, inputs=[*source.paths, model])
    if top_genes:
        write_table(top_genes, top_table(adata, n_genes=50), inputs=[*source.paths, model])
    say(
        f"Found {found.n_factors} programmes in {thousands(found.n_pseudobulks)} pseudobulks of "
        f"{thousands(source.n_cells)} cells x {thousands(source.n_genes)} genes"
    )
    _say_choice(found)
    _say_programmes(found, top_table(adata, n_genes=_SHOWN))
    say(f"Wrote {output}")
    if top_genes:
        say(f"Wrote {top_genes} (one row per programme and gene)")
    say("Next: in Python, ub.pl.structure(adata) draws the shares, ub.get.factors(adata) lists the genes")


def _say_choice(found: "FactorFit") -> None:
    if not len(found.held_out):
        return
    say("  deviance of held-out counts by number of programmes (less is better), * chosen:")
    for n, deviance, excess, error, chosen in found.held_out.itertuples(index=False, name=None):
        say(f"  {'*' if chosen else ' '} {n:>4}  {deviance:,.1f}  best + {excess:,.2f} (standard error {error:,.2f})")


def _say_programmes(found: "FactorFit", top: "pd.DataFrame") -> None:
    if found.unconverged:
        say(f"  {thousands(found.unconverged)} cells did not converge: their shares are less exact")
    say("  programme, share of all counts, genes that it has more of than others:")
    shares = found.counts / found.counts.sum()
    for number, share in enumerate(shares[:_MOST_FACTORS].tolist(), start=1):
        genes = top["gene"][top["factor"] == number]
        say(f"  {number:>6}  {share:>5.1%}  {', '.join(map(str, genes))}")
    if found.n_factors > _MOST_FACTORS:
        say(f"  ... and {found.n_factors - _MOST_FACTORS} more")
