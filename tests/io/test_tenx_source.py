import gzip
import os

import anndata as ad
import numpy as np
import pytest

from unbatch._check import InputError, InputWarning
from unbatch.io.source import open_counts
from unbatch.io.tenx_source import gene_table

from .conftest import N_CELLS, N_GENES, example_counts, write_mtx, write_tenx_h5


def test_only_genes_are_kept_with_a_warning(tmp_path):
    path = write_tenx_h5(tmp_path / "a.h5", extra_features=("CD4", "CD8"))
    with pytest.warns(InputWarning, match=r"only the 11 .*left out are Antibody Capture \(2\)"):
        source = open_counts(path)
    assert source.var["gene_ids"].tolist() == [f"ENSG{i}" for i in range(N_GENES)]
    for block_size in (4, None):
        for block in source.blocks(block_size):
            expected = example_counts()[block.start : block.stop].toarray()
            np.testing.assert_array_equal(block.counts.toarray(), expected)
            assert block.counts.has_canonical_format


def test_a_file_without_genes_is_refused(tmp_path):
    folder = write_mtx(tmp_path / "a")
    (folder / "features.tsv").write_text("\n".join(f"P{i}\tP{i}\tPeaks" for i in range(N_GENES)))
    with pytest.raises(InputError, match=r"no feature of type 'Gene Expression', only Peaks \(11\)"):
        open_counts(folder)


def test_biotypes_in_place_of_feature_types_are_not_looked_at(tmp_path):
    folder = write_mtx(tmp_path / "a")
    kinds = ["protein_coding", "lncRNA"] * N_GENES
    # two genes of one symbol are told apart whatever their biotypes
    symbols = ["TBCE", "TBCE", *(f"gene{i}" for i in range(2, N_GENES))]
    lines = (f"ENSG{i}\t{symbols[i]}\t{kinds[i]}\n" for i in range(N_GENES))
    (folder / "features.tsv").write_text("".join(lines))
    with pytest.warns(InputWarning, match=r"has 'protein_coding', 'lncRNA' .* all 11 features are taken for genes"):
        source = open_counts(folder)
    assert source.var.index.tolist() == ["ENSG0", "ENSG1", *symbols[2:]]
    np.testing.assert_array_equal(next(source.blocks()).counts.toarray(), example_counts().toarray())


def test_feature_types_in_other_letters_are_still_such(tmp_path):
    folder = write_mtx(tmp_path / "a")
    (folder / "features.tsv").write_text("".join(f"P{i}\tP{i}\tantibody capture\n" for i in range(N_GENES)))
    with pytest.raises(InputError, match=r"no feature of type 'Gene Expression', only antibody capture \(11\)"):
        open_counts(folder)


def test_several_genomes_are_a_choice(tmp_path):
    path = write_tenx_h5(tmp_path / "a.h5", genome="hg19")
    write_tenx_h5(path, genome="mm10", counts=example_counts()[:4])
    with pytest.raises(InputError, match=r"2 genomes: choose one as layer, 'hg19', 'mm10'"):
        open_counts(path)
    assert open_counts(path, layer="mm10").n_cells == 4
    with pytest.raises(InputError, match=r"no matrix 'rat'.* 'hg19', 'mm10'"):
        open_counts(path, layer="rat")


def test_what_is_usual_elsewhere_is_not_asked_of_a_file_without_layers(tmp_path):
    path = write_tenx_h5(tmp_path / "a.h5", genome="hg19")
    folder = write_mtx(tmp_path / "b")
    for one in (path, folder, [path, folder]):
        assert open_counts(one, usual="counts").n_genes == N_GENES
        assert open_counts(one, layer="X").n_genes == N_GENES
        assert open_counts(one, layer="X", usual="counts").n_genes == N_GENES
        with pytest.raises(InputError, match=r"has no (layer|matrix) 'counts'"):
            open_counts(one, layer="counts", usual="counts")
    write_tenx_h5(path, genome="mm10", counts=example_counts()[:4])
    assert open_counts(path, usual="mm10").n_cells == 4
    assert open_counts(path, layer="hg19", usual="mm10").n_cells == N_CELLS
    for given in ({"usual": "counts"}, {"layer": "X"}):
        with pytest.raises(InputError, match="2 genomes: choose one as layer"):
            open_counts(path, **given)


def test_a_truncated_file_is_refused(tmp_path):
    path = write_tenx_h5(tmp_path / "a.h5")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match="damaged, cut short"):
        open_counts(path)


def test_genes_that_share_a_symbol_are_named_by_identifier():
    table = gene_table(["E1", "E2", "E3", "E4"], ["TBCE", "CD4", "TBCE", ""], None)
    assert table.index.tolist() == ["E1", "CD4", "E3", "E4"]
    kinds = ["Gene Expression", "Antibody Capture"]
    assert gene_table(["E1", "A1"], ["CD4", "CD4"], kinds).index.tolist() == ["CD4", "CD4"]


@pytest.mark.parametrize("ending", ["h5", "mtx"])
def test_var_whose_index_bore_the_name_of_a_column_could_not_be_written(tmp_path, ending):
    path = write_tenx_h5(tmp_path / "in.h5") if ending == "h5" else write_mtx(tmp_path / "in")
    var = open_counts(path).var
    assert var.index.name is None
    ad.AnnData(var=var).write_h5ad(tmp_path / "out.h5ad")
    assert ad.read_h5ad(tmp_path / "out.h5ad").var["gene_symbols"].tolist() == var["gene_symbols"].tolist()


def test_a_gene_called_na_keeps_its_name(tmp_path):
    folder = write_mtx(tmp_path / "a")
    lines = (folder / "features.tsv").read_text().replace("gene0", "NA").replace("gene1\t", 'gene"1\t')
    (folder / "features.tsv").write_text(lines)
    assert open_counts(folder).var.index[:2].tolist() == ["NA", 'gene"1']


def test_several_matrices_in_a_folder_are_a_choice(tmp_path):
    write_mtx(tmp_path / "a", prefix="GSM1_")
    folder = write_mtx(tmp_path / "a", prefix="GSM2_")
    with pytest.raises(InputError, match=r"2 matrices \(GSM1_matrix.mtx, GSM2_matrix.mtx\)"):
        open_counts(folder)
    assert open_counts(folder / "GSM2_matrix.mtx").n_genes == N_GENES


def test_a_matrix_without_names_says_which_files_are_missing(tmp_path):
    folder = write_mtx(tmp_path / "a")
    (folder / "features.tsv").unlink()
    with pytest.raises(InputError, match=r"no features: one of features.tsv, features.tsv.gz, genes.tsv, genes.tsv.gz"):
        open_counts(folder)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    folder = write_mtx(tmp_path / "a")
    (folder / "barcodes.tsv").write_text("c1\nc2\n")
    with pytest.raises(InputError, match=r"11 x 23 values, but features.tsv names 11 genes and barcodes.tsv 2 cells"):
        open_counts(folder)


def test_a_truncated_mtx_is_refused(tmp_path):
    folder = write_mtx(tmp_path / "a")
    text = (folder / "matrix.mtx").read_text()
    (folder / "matrix.mtx").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="damaged, cut short"):
        list(open_counts(folder).blocks())


def test_a_truncated_gzip_is_refused(tmp_path):
    folder = write_mtx(tmp_path / "a", gzipped=True)
    path = folder / "matrix.mtx.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged, cut short"):
        list(open_counts(folder).blocks())


def test_text_that_is_no_matrix_is_refused(tmp_path):
    folder = write_mtx(tmp_path / "a")
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        file.write(b"nonsense\n")
    (folder / "matrix.mtx").unlink()
    with pytest.raises(InputError, match="damaged, cut short"):
        open_counts(folder)


def test_a_10x_folder_has_no_layers(tmp_path):
    with pytest.raises(InputError, match="holds one matrix, leave layer out"):
        open_counts(write_mtx(tmp_path / "a"), layer="counts")
