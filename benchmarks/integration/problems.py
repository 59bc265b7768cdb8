"""Which data, which labels, and what must be said of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np

SHIPPED = Path(__file__).parents[2] / "src/unbatch/data/cell_lines.h5ad"

_LABELS = ("cell_type", "cell_type_marker", "condition")
"""Columns of obs that are taken for the truth, the first that a file has."""
_NO_LABEL = ("", "nan", "NA", "unknown", "unassigned", "unlabelled")
_MIN_CELLS = 2
"""Labels of fewer cells are not scored: no silhouette is defined for one cell alone."""

STIMULATION = "the batch is stimulation by interferon, which is biology: more mixing is not better by itself"
REMARKS = {
    "cell_lines": "shipped with the package. Labels are genotypes",
    "mix3_10x_celseq2_dropseq_788g": "labels are genotypes",
    "mix3_celseq2_dropseq": "labels are genotypes",
    "kang_ifnb_2800": f"{STIMULATION}. The labels were made after integration by Seurat CCA, which favours integration",
    "kang_harmony_2000": STIMULATION,
    "kang_muscat_4samples": f"two donors, each with and without; {STIMULATION}",
    "mesc_scmerge_2batches": "full-length reads, no UMIs. Labels are culture conditions, by design",
    "onek1k_40donors": "the batch is the donor: a weak effect, part of it biology. Labels as shipped by OneK1K",
    "gbm_lemur_5patients_nolabel": (
        "no cell types are known: the label is the treatment (panobinostat or control), the batch the patient"
    ),
    "pbmc_ensemblemerge_3p5p": "labels of a benchmark of integration (Tran et al., 2020)",
    "pbmc_paris_3chem_partial_labels": "weak labels, by marker genes in each batch; unassigned cells are not scored",
    "embryo_milode_4samples": "labels were transferred from an atlas by the authors: mapped by expression",
}
"""What a reader of the scores must know of a set."""


@dataclass(frozen=True)
class Problem:
    """A set as the methods and the metrics see it."""

    name: str
    path: Path
    """Its .h5ad: counts, `obs` batch, label, and scored (whether a cell has a label)."""
    n_cells: int
    n_genes: int
    n_batches: int
    n_labels: int
    label_key: str

    @property
    def folder(self) -> Path:
        """Where its results are kept."""
        return self.path.parent


def prepare(cache: Path, data: Path | None, wanted: Sequence[str] | None) -> list[Problem]:
    """Write each set to its folder in the cache, the shipped one first, then those of a folder that have labels.

    A file with the same cells as the shipped set is left out. Files without batches or without labels are too.
    """
    paths = [SHIPPED, *(sorted(data.glob("*.h5ad")) if data else [])]
    shipped = anndata.read_h5ad(SHIPPED)
    found = []
    for path in paths:
        if wanted is not None and path.stem not in wanted:
            continue
        adata = shipped if path == SHIPPED else anndata.read_h5ad(path)
        if path != SHIPPED and _same(adata, shipped):
            continue
        problem = _problem(path, adata, cache)
        if problem is not None:
            found.append(problem)
    return found


def write(adata: anndata.AnnData, folder: Path) -> Path:
    """Write a set, with batch and label alone, into its own new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.h5ad"
    kept = anndata.AnnData(adata.X, obs=adata.obs[["batch", "label", "scored"]], var=adata.var[[]])
    part = folder / "part-data.h5ad"
    kept.write_h5ad(part)
    part.replace(path)
    return path


def _problem(path: Path, adata: anndata.AnnData, cache: Path) -> Problem | None:
    key = next((key for key in _LABELS if key in adata.obs), None)
    if key is None or "batch" not in adata.obs:
        return None
    label = adata.obs[key].astype(str)
    sizes = label.value_counts()
    adata.obs["scored"] = (~label.isin(_NO_LABEL) & (label.map(sizes) >= _MIN_CELLS)).to_numpy()
    adata.obs["label"] = label.to_numpy()
    adata.obs["batch"] = adata.obs["batch"].astype(str).to_numpy()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    folder = cache / f"{path.stem}-{digest}"
    target = folder / "data.h5ad"
    if not target.exists():
        write(adata, folder)
    scored = adata.obs["scored"].to_numpy()
    return Problem(
        name=path.stem,
        path=target,
        n_cells=adata.n_obs,
        n_genes=adata.n_vars,
        n_batches=adata.obs["batch"].nunique(),
        n_labels=adata.obs.loc[scored, "label"].nunique(),
        label_key=key,
    )


def _same(a: anndata.AnnData, b: anndata.AnnData) -> bool:
    return a.shape == b.shape and a.obs_names.equals(b.obs_names) and np.isclose(a.X.sum(), b.X.sum())
