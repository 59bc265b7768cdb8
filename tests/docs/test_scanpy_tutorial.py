"""The scanpy tutorial runs from its first cell to its last, and finds what it says."""

from notebooks import code_cells, run

CLUSTERS = """
assert lines.to_numpy().sum() == adata.n_obs > 1300
assert len(lines) == 3
assert lines.max(axis=1).sum() / adata.n_obs > 0.98, "clusters are not cell lines"
assert set(lines.idxmax(axis=1)) == {"H1975", "H2228", "HCC827"}
"""
MIXING = """
assert mixing["uncorrected"] > 0.95
assert mixing["X_unbatch"] < 0.70, mixing
assert (pd.crosstab(adata.obs["leiden"], adata.obs["batch"]) > 30).all(axis=None)
"""
MARKERS = """
one = adata[adata.obs["batch"] == "10x"].copy()  # known lines, one protocol, raw counts: no batch, and no unbatch
sc.pp.normalize_total(one)
sc.pp.log1p(one)
sc.tl.rank_genes_groups(one, "cell_type", method="wilcoxon")
for cluster, line in lines.idxmax(axis=1).items():
    expected = set(sc.get.rank_genes_groups_df(one, line)["names"].head(30))
    found = set(markers.loc[markers["group"] == cluster, "names"].head(30))
    assert len(expected & found) >= 20, (line, len(expected & found))
"""
EFFECTS = """
assert len(effects) == adata.n_vars * 3
assert 50 < len(sure) < len(effects) / 2
same = {
    "coordinates": np.array_equal(fit.obsm["X_unbatch"], adata.obsm["X_unbatch"]),
    "effects": np.array_equal(fit.varm["batch_effects"], adata.varm["batch_effects"]),
    "adjusted counts": np.array_equal(adjusted.X.data, adata.layers["adjusted"].data),
}
assert all(same.values()), same
assert len(pd.read_csv("effects.csv")) == len(effects)
"""


def test_cells_of_a_page_are_found_without_their_options():
    cells = code_cells("tutorials/scanpy.md")
    assert cells[0].startswith("import numpy as np")
    assert cells[-1].startswith("fit, adjusted =")
    assert not any("---" in cell or "```" in cell for cell in cells)
    assert sum(cell.startswith("%%bash") for cell in cells) == 2


def test_it_runs_and_clusters_are_lines_and_batches_mixed_and_markers_found(tmp_path):
    run("tutorials/scanpy.md", tmp_path, checks=[CLUSTERS, MIXING, MARKERS, EFFECTS])
    assert (tmp_path / "adjusted.h5ad").is_file()
