"""Simulated counts with their truth, in memory or straight to a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
from scipy import sparse

from unbatch._progress import Progress, Silent
from unbatch._types import FloatArray
from unbatch.io.reduce import read_ahead
from unbatch.io.sink import CountSink
from unbatch.simulation.options import SimulationOptions
from unbatch.simulation.sampling import count_blocks
from unbatch.simulation.scheme import draw_scheme
from unbatch.simulation.truth import make_truth


def simulate(
    *,
    n_genes: int = 500,
    n_cells: int = 1000,
    n_batches: int = 2,
    n_factors: int = 5,
    log_delta_sd: float = 1.0,
    confounding: float = 0.0,
    n_types: int = 0,
    marker_share: float = 0.3,
    marker_log_fold_sd: float = 1.5,
    abundance_sd: float = 1.5,
    variation: float = 0.3,
    composition: float | Sequence[Sequence[float]] | FloatArray | None = None,
    private_types: Mapping[int, int] | None = None,
    batch_proportions: Sequence[float] | None = None,
    size_factor_sd: float = 0.0,
    batch_depth: Sequence[float] | None = None,
    dispersion: float = 0.0,
    median_depth: float | None = None,
    seed: int = 0,
) -> anndata.AnnData:
    r"""Simulate counts in batches whose multiplicative effects are known.

    .. math:: Y_{gj} \sim \mathrm{NB}\Big(l_j \big(\sum_t \beta_{gt} \theta_{jt}\big) \delta_{g k(j)},\; a\Big)

    with mean as given and variance :math:`m + a m^2`; Poisson where the dispersion a is 0.

    Without types (the default, the scheme of the note) beta and theta are exponential with mean 1, and a cell's state
    is continuous. With `n_types`, a cell expresses the profile of its type and, for a part, `n_factors` continuous
    programmes that all types share.

    Parameters
    ----------
    n_genes, n_cells, n_batches
        Size of the data. Batches and states are drawn cell by cell, so batch sizes vary as in multinomial sampling.
    n_factors
        Number of continuous programmes.
    log_delta_sd
        Standard deviation over genes of the natural log effects of each batch; 0 means no effects.
    confounding
        From 0 (the factor that dominates in a cell says nothing about its batch) to 1 (factors that dominate in one
        batch never do so in another, unless there are more batches than factors). Factor f belongs to batch
        f modulo `n_batches`. Larger values leave fewer comparable cells.
    n_types
        Number of discrete cell types; 0 for continuous states only.
    marker_share, marker_log_fold_sd
        With types: share of genes that a profile changes, and standard deviation of their natural log folds. Larger
        values set types further apart.
    abundance_sd
        With types: standard deviation over genes of the log abundance. Larger values leave more genes nearly silent.
    variation
        With types: share of a cell's expression that comes from the continuous programmes, in the mean. Larger values
        blur the types.
    composition
        With types: None for the same even mixture in each batch; a number for the concentration of a Dirichlet
        distribution from which each batch draws its shares (smaller means more confounded); or the shares themselves
        (n_batches, n_types), rows in any scale.
    private_types
        With types: type to the only batch in which it occurs, both counted from 0, such as ``{7: 1}``.
    batch_proportions
        Relative batch sizes; even if None.
    size_factor_sd
        Standard deviation of the natural log of the cells' size factors within a batch.
    batch_depth
        One factor per batch that multiplies all of its size factors.
    dispersion
        Negative-binomial dispersion a; 0 for Poisson. Larger values add noise that does not average out with depth.
    median_depth
        Scale beta so that the expected total of the median cell is this (to about 2%). None keeps the natural
        scale: about ``n_factors`` counts per gene without types, 1 with types, times the mean of delta.
    seed
        The same seed gives the same bits, also in `simulate_to_file`.

    Returns
    -------
    AnnData with CSR float32 counts (n_cells, n_genes) and the truth:

    - ``varm["log_delta_true"]`` (n_genes, n_batches): natural log effects, each batch standardised over genes
    - ``varm["beta_true"]`` (n_genes, n_types + n_factors) and ``obsm["theta_true"]`` (n_cells, n_types + n_factors)
    - ``obs["batch"]``; ``obs["cell_type"]`` (the dominant factor where there are no types); ``obs["size_factor_true"]``
    - ``uns["simulation"]``: ``seed``, ``parameters`` (those that are not None), ``batches``, ``cell_types`` and
      ``programmes`` (the columns of the truth), ``composition`` (batches by types or dominant factors)

    Raises
    ------
    InputError
        If an option is out of range, or options contradict each other.

    Examples
    --------
    >>> adata = simulate(n_types=8, n_batches=4, composition=0.5, n_genes=2000, n_cells=8000, median_depth=1500)
    >>> adata.varm["log_delta_true"].shape
    (2000, 4)
    """
    options = SimulationOptions(
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
        private_types=private_types,
        batch_proportions=batch_proportions,
        size_factor_sd=size_factor_sd,
        batch_depth=batch_depth,
        dispersion=dispersion,
        median_depth=median_depth,
    )
    scheme = draw_scheme(options, seed)
    truth = make_truth(scheme)
    counts = sparse.vstack([block.counts for block in count_blocks(scheme)], format="csr")
    return anndata.AnnData(
        X=sparse.csr_matrix(counts), obs=truth.obs, var=truth.var, varm=truth.varm, obsm=truth.obsm, uns=truth.uns
    )


def simulate_to_file(
    path: Path | str,
    *,
    n_genes: int = 500,
    n_cells: int = 1000,
    n_batches: int = 2,
    n_factors: int = 5,
    log_delta_sd: float = 1.0,
    confounding: float = 0.0,
    n_types: int = 0,
    marker_share: float = 0.3,
    marker_log_fold_sd: float = 1.5,
    abundance_sd: float = 1.5,
    variation: float = 0.3,
    composition: float | Sequence[Sequence[float]] | FloatArray | None = None,
    private_types: Mapping[int, int] | None = None,
    batch_proportions: Sequence[float] | None = None,
    size_factor_sd: float = 0.0,
    batch_depth: Sequence[float] | None = None,
    dispersion: float = 0.0,
    median_depth: float | None = None,
    seed: int = 0,
    compression: str | None = "auto",
    progress: Progress | None = None,
) -> None:
    """Write what `simulate` returns to .h5ad or .zarr, without ever holding the counts of more than a few blocks.

    In memory stay the latent states (``n_types + n_factors`` numbers per cell) and tables of
    ``n_batches * (n_types + n_factors) * n_genes`` numbers. The time goes with the number of molecules.

    Parameters
    ----------
    path
        Ends in .h5ad or .zarr; what is there is replaced once the new file is complete.
    n_genes, n_cells, n_batches, n_factors, log_delta_sd, confounding, n_types, marker_share, marker_log_fold_sd, \
    abundance_sd, variation, composition, private_types, batch_proportions, size_factor_sd, batch_depth, dispersion, \
    median_depth, seed
        See `simulate`; the bits are the same.
    compression
        "gzip", "lzf" (.h5ad), "lz4", "zstd" (.zarr) or None; "auto" is the usual one of the format. None is faster, and
        several times larger.
    progress
        Told about each block of cells; None is silent.

    Raises
    ------
    InputError
        If an option is out of range, options contradict each other, or the file cannot be written.
    """
    options = SimulationOptions(
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
        private_types=private_types,
        batch_proportions=batch_proportions,
        size_factor_sd=size_factor_sd,
        batch_depth=batch_depth,
        dispersion=dispersion,
        median_depth=median_depth,
    )
    scheme = draw_scheme(options, seed)
    truth = make_truth(scheme)
    with (
        CountSink(
            path,
            var=truth.var,
            obs=truth.obs,
            uns=truth.uns,
            obsm=truth.obsm,
            varm=truth.varm,
            compression=compression,
        ) as sink,
        (progress or Silent()).stage("simulating counts", total=n_cells) as advance,
    ):
        for block in read_ahead(count_blocks(scheme)):
            sink.append(block)
            advance(block.stop - block.start)
