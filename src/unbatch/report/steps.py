"""Which output to use for which step of an analysis: the table of the README, line for line."""

STEPS = (
    (
        "neighbours, clusters, UMAP",
        '`obsm["X_unbatch"]` (25 axes by default, fewer with few genes): `sc.pp.neighbors(adata, use_rep="X_unbatch")`',
    ),
    ("expression on a map or in a violin plot", 'log-normalised `layers["adjusted"]`'),
    ("differential expression", "raw counts, with log delta as an offset, never adjusted counts"),
    (
        "which genes does a batch distort, and how much?",
        "`ub.get.batch_effects(adata)`, `ub.pl.batch_effects(adata)`",
    ),
    (
        "can the answer be trusted?",
        (
            "`ub.get.verdicts(adata)`, `unbatch report fit.h5ad -o fit.html`, `ub.pl.overlap(adata)`, "
            '`ub.pl.balance(adata)`, `obs["unbatch_overlap"]`'
        ),
    ),
    (
        "gene programmes, and the share of each in every cell",
        '`ub.tl.factors(adata, n_factors=20)`: `obsm["X_factors"]`, `varm["factors"]`, `ub.pl.structure(adata)`',
    ),
    ("a method that insists on whole counts", '`ub.pp.adjust_counts(adata, mode="thin", key_added="thinned")`'),
    (
        "new cells, of the same batches or of others",
        '`unbatch map NEW.h5ad --model fit.h5ad -o mapped.h5ad`, `ub.tl.map_cells(new, model="fit.h5ad")`',
    ),
)
"""Step, and what to use for it; code stands between backticks."""


def in_parts(text: str) -> list[tuple[str, bool]]:
    """Split text at its backticks into parts, and tell which of them are code."""
    return [(part, place % 2 == 1) for place, part in enumerate(text.split("`")) if part]
