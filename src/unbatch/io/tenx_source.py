"""Counts as 10x Genomics' Cell Ranger writes them: an .h5 file (layout 2 or 3), or a folder with matrix.mtx."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import io, sparse

from unbatch._check import InputError, warn
from unbatch.io.canonical import count_dtype
from unbatch.io.layers import Wanted
from unbatch.io.matrix_market import check_text, read_entries
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.names import check_cell_names, check_gene_names
from unbatch.io.places import Hdf5File, TextFiles, stamp_of
from unbatch.io.readers import CsrReader, GeneSubset, RowReader, WholeReader, mean_row_bytes
from unbatch.io.soundness import check_filters, check_sparse
from unbatch.io.turning import TURN_IN_MEMORY, Entries, TurnedReader

GENE_EXPRESSION = "Gene Expression"
_KINDS = frozenset(
    kind.casefold()
    for kind in (
        GENE_EXPRESSION,
        "Antibody Capture",
        "Antigen Capture",
        "CRISPR Guide Capture",
        "Custom",
        "Multiplexing Capture",
        "Peaks",
        "Protein Expression",
    )
)
"""What Cell Ranger writes as the types of features. Others write biotypes of genes in their place."""
_FEW = 6
_MATRIX_NAMES = ("matrix.mtx", "matrix.mtx.gz")


def find_genomes(root: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Give the groups of an HDF5 file that hold a 10x matrix: "matrix" in layout 3, one per genome in layout 2."""
    needed = {"barcodes", "data", "indices", "indptr", "shape"}
    return tuple(name for name, group in root.items() if hasattr(group, "keys") and needed <= set(group))


def open_tenx_h5(path: Path, wanted: Wanted) -> MatrixSource:
    """Open a 10x .h5 file. The matrix is stored by cell, so it is read block by block.

    Genes are named by their symbol, or by their identifier where several share a symbol. Of several kinds of features
    only "Gene Expression" is kept, with a warning. Kinds none of which 10x writes, such as biotypes, are not looked at,
    with a warning, too.

    Parameters
    ----------
    path
        The file.
    wanted
        For a file of layout 2 with several genomes, the genome. A file of one needs none, whatever is usual elsewhere.

    Raises
    ------
    InputError
        If the genome is not there or must be chosen, or no feature is a gene.
    """
    place = Hdf5File(path, stamp_of(path))
    with place.open() as root:
        genome = _choose_genome(find_genomes(root), wanted, path)
        description = f"the 10x matrix {genome!r} of {path}"
        group = root[genome]
        n_features, n_cells = (int(length) for length in group["shape"][:])
        genes = group.get("features", group)
        names = genes["name"] if "name" in genes else genes["gene_names"]
        identifiers = genes["id"] if "id" in genes else genes["genes"]
        kinds = _feature_types(_text(genes["feature_type"]) if "feature_type" in genes else None, description)
        var = gene_table(_text(identifiers), _text(names), kinds)
        if "genome" in genes:
            var["genome"] = _text(genes["genome"])
        obs = pd.DataFrame(index=pd.Index(_text(group["barcodes"]), dtype=object))
        check_filters(group, description)
        check_sparse(group, n_cells + 1, description)
        dtype = count_dtype(group["data"].dtype, description)
        row_bytes = mean_row_bytes(int(group["data"].shape[0]), dtype, n_cells)
    reader = CsrReader(place, genome, (n_cells, n_features), dtype, row_bytes)
    return _finish(reader, obs, var, path, description)


@dataclass(frozen=True)
class MtxFiles:
    """The three files of a 10x folder."""

    matrix: Path
    barcodes: Path
    features: Path


def find_mtx(folder: Path, *, prefix: str | None = None) -> MtxFiles | None:
    """Find the three files in a folder, plain or gzipped; None if there is no matrix.

    File names may share a prefix, as those of GEO do ("GSM1_tumour_matrix.mtx.gz", "GSM1_tumour_barcodes.tsv.gz").

    Parameters
    ----------
    folder
        Where to look.
    prefix
        Which prefix is meant; None if there is only one.

    Raises
    ------
    InputError
        If there are several matrices, or one without its barcodes or features.
    """
    found = sorted(path for path in folder.iterdir() if path.name.endswith(_MATRIX_NAMES))
    prefixes = sorted({path.name[: path.name.rindex("matrix.mtx")] for path in found})
    if prefix is None:
        if not prefixes:
            return None
        if len(prefixes) > 1:
            listed = ", ".join(path.name for path in found)
            raise InputError(f"{folder} holds {len(prefixes)} matrices ({listed}): give the paths of those to read")
        prefix = prefixes[0]
    stems = {"matrix": ("matrix.mtx",), "barcodes": ("barcodes.tsv",), "features": ("features.tsv", "genes.tsv")}
    files = {}
    for role, names in stems.items():
        tried = [folder / f"{prefix}{name}{ending}" for name in names for ending in ("", ".gz")]
        present = [path for path in tried if path.is_file()]
        if not present:
            listed = ", ".join(path.name for path in tried)
            raise InputError(f"{folder} has a matrix but no {role}: one of {listed} must be beside it")
        files[role] = present[0]
    return MtxFiles(**files)


def open_tenx_mtx(files: MtxFiles, path: Path, *, scratch: Path | None = None) -> MatrixSource:
    """Open a 10x folder. Text cannot be read by row: the matrix is turned at the first use, see `unbatch.io.turning`.

    Parameters
    ----------
    files
        The three files.
    path
        What the user gave, for messages.
    scratch
        Folder for the scratch file; None is the folder for temporary files.

    Raises
    ------
    InputError
        If the matrix does not fit its barcodes and features, no feature is a gene, or a file is changed meanwhile.
    """
    description = f"the 10x matrix of {path}"
    paths = astuple(files)
    place = TextFiles(paths, tuple(map(stamp_of, paths)))
    with place.unchanged():
        n_rows, n_columns, n_values, layout, field, symmetry = io.mminfo(files.matrix)
        features = _table(files.features)
        barcodes = _table(files.barcodes)[0]
    by_cell = (n_rows, n_columns) == (len(barcodes), len(features))
    if not by_cell and (n_columns, n_rows) != (len(barcodes), len(features)):
        raise InputError(
            f"{description} has {n_rows} x {n_columns} values, but {files.features.name} names {len(features)} genes "
            f"and {files.barcodes.name} {len(barcodes)} cells: the three files do not belong together",
        )
    # a square matrix is taken as Cell Ranger writes it, genes x cells
    by_cell = by_cell and n_rows != n_columns
    columns = [features[column].tolist() for column in features.columns[:3]]
    kinds = _feature_types(columns[2] if len(columns) > 2 else None, description)  # noqa: PLR2004
    var = gene_table(columns[0], columns[min(1, len(columns) - 1)], kinds)
    dtype = count_dtype({"integer": np.int64, "complex": np.complex128}.get(field, np.float64), description)
    shape = (len(barcodes), len(features))
    reader: RowReader = WholeReader(partial(_load, place, files.matrix, by_cell=by_cell), shape, dtype)
    # what a market file may hold besides, dense or one half of a symmetric matrix, is no count matrix of any size
    plain = layout == "coordinate" and symmetry == "general"
    if plain and mean_row_bytes(n_values, dtype, shape[0]) * shape[0] > TURN_IN_MEMORY:
        entries = partial(_entries, place, files.matrix, dtype, by_cell=by_cell)
        reader = TurnedReader(entries, n_values, shape, dtype, description, scratch=scratch)
    obs = pd.DataFrame(index=pd.Index(barcodes.tolist(), dtype=object))
    return _finish(reader, obs, var, path, description)


def gene_table(identifiers: Iterable[str], symbols: Iterable[str], kinds: Iterable[str] | None) -> pd.DataFrame:
    """Name genes by their symbol, and those that share a symbol or have none by their identifier.

    Returns
    -------
    DataFrame
        Indexed by these names, with columns ``gene_ids``, ``gene_symbols`` and, if there are kinds, ``feature_types``.
    """
    table = pd.DataFrame({"gene_ids": list(identifiers), "gene_symbols": list(symbols)}, dtype=object)
    if kinds is not None:
        table["feature_types"] = list(kinds)
    # features of another kind may bear the name of a gene (an antibody against CD4), so kinds are told apart
    shared = table.duplicated([column for column in table.columns if column != "gene_ids"], keep=False)
    by_identifier = shared | (table["gene_symbols"] == "")
    names = table["gene_symbols"].where(~by_identifier, table["gene_ids"])
    # an index of the series would bear its name too, and anndata writes none that is called like a column
    table.index = pd.Index(names.to_numpy(), dtype=object)
    return table


def _finish(reader: RowReader, obs: pd.DataFrame, var: pd.DataFrame, path: Path, description: str) -> MatrixSource:
    if len(var) != reader.shape[1]:
        raise InputError(f"{description} has {reader.shape[1]} features but names for {len(var)}: write it again")
    if "feature_types" in var:
        kinds = var["feature_types"].value_counts()
        is_gene = (var["feature_types"] == GENE_EXPRESSION).to_numpy()
        listed = ", ".join(f"{kind} ({number})" for kind, number in kinds.items() if kind != GENE_EXPRESSION)
        if not is_gene.any():
            raise InputError(
                f"{description} has no feature of type {GENE_EXPRESSION!r}, only {listed}: give the RNA counts"
            )
        if not is_gene.all():
            kept = f"only the {is_gene.sum()} features of type {GENE_EXPRESSION!r} are read"
            warn(f"{description}: {kept}, left out are {listed}")
            reader, var = GeneSubset(reader, np.flatnonzero(is_gene)), var[is_gene]
    check_gene_names(var, description)
    check_cell_names(obs, description)
    return MatrixSource(reader, obs, var, description=description, path=path)


def _feature_types(kinds: list[str] | None, description: str) -> list[str] | None:
    """Give the types of features; None, with a warning, if they are of something else."""
    if kinds is None or any(kind.casefold() in _KINDS for kind in kinds):
        return kinds
    found = list(dict.fromkeys(kinds))
    listed = ", ".join(map(repr, found[:_FEW])) + (", ..." if len(found) > _FEW else "")
    warn(
        f"{description} has {listed} where the types of its features are due, none of which 10x writes: all "
        f"{len(kinds)} features are taken for genes"
    )
    return None


def _choose_genome(genomes: tuple[str, ...], wanted: Wanted, path: Path) -> str:
    if wanted.name in genomes:
        return str(wanted.name)
    layer = None if wanted.layer == "X" else wanted.layer
    if layer is None and len(genomes) == 1:
        return genomes[0]
    listed = ", ".join(repr(genome) for genome in genomes)
    if layer is None:
        raise InputError(f"{path} holds the matrices of {len(genomes)} genomes: choose one as layer, {listed}")
    raise InputError(f"{path} has no matrix {layer!r}: a 10x file has no layers, it holds {listed}")


def _text(dataset: Any) -> list[str]:  # noqa: ANN401
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in dataset[:]]


def _table(path: Path) -> pd.DataFrame:
    # a gene may be called NA or nan, and a name may hold a quote
    return pd.read_csv(path, sep="\t", header=None, dtype=str, na_filter=False, quoting=3)


def _load(place: TextFiles, matrix: Path, *, by_cell: bool) -> sparse.csr_array:
    with place.unchanged():
        check_text(matrix)
        stored = io.mmread(matrix, spmatrix=False)
    return sparse.csr_array(stored if by_cell else stored.T)


def _entries(place: TextFiles, matrix: Path, dtype: np.dtype[Any], number: int, *, by_cell: bool) -> Iterator[Entries]:
    with place.unchanged():
        yield from read_entries(matrix, dtype, number, by_cell=by_cell)
