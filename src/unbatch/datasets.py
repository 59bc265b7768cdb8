"""Data to try the package on: real counts with independent labels, and the note's toy."""

from importlib.resources import as_file, files

import anndata

from unbatch.simulation import simulate

_TOY_SEED = 1331


def cell_lines() -> anndata.AnnData:
    """Load three lung cancer cell lines, mixed once and sequenced by 10x, CEL-seq2 and Drop-seq.

    1,394 cells x 788 genes of raw counts. The same pool of cells went into each protocol, so what differs between
    batches at equal line is technical. The line of a cell is known from its genotype, not from its expression.

    Returns
    -------
    AnnData with ``obs["batch"]`` (10x, CELseq2, Dropseq), ``obs["cell_type"]`` (H1975, H2228, HCC827) and the source
    and licence (MIT) in ``uns``.

    References
    ----------
    Tian et al., Nature Methods 16, 479 (2019); https://github.com/LuyiTian/sc_mixology
    """
    with as_file(files("unbatch") / "data" / "cell_lines.h5ad") as path:
        return anndata.read_h5ad(path)


def toy() -> anndata.AnnData:
    """Simulate the note's toy: 500 genes x 1,000 cells in 2 batches, 5 factors, always the same bits.

    Returns
    -------
    AnnData as `unbatch.simulate` returns it, with the truth in ``varm["log_delta_true"]``, ``varm["beta_true"]`` and
    ``obsm["theta_true"]``.
    """
    return simulate(seed=_TOY_SEED)
