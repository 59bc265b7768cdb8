"""A source for another process: where the counts are stored and how they are read, but no names of cells or genes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from unbatch._check import InputError
from unbatch.io.divided_source import Divided
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.places import Hdf5File, OpenElement, ZarrFolder
from unbatch.io.readers import CsrReader, DenseReader, GeneSubset, RowReader
from unbatch.io.source import CountSource
from unbatch.io.union_source import UnionSource

_CURE = (
    "the workers of a cluster read the counts themselves, from a .h5ad, .zarr or 10x .h5 that holds them by cell (CSR "
    "or dense) on a disk that all workers see: write them to one, and give its path"
)


def portable(source: CountSource) -> CountSource:
    """Give a source of the same counts that is small when pickled and opens the files where it is unpickled.

    Cells and genes have numbers for names, which takes no memory; messages that name them are wrong.

    Parameters
    ----------
    source
        One that reads files.

    Raises
    ------
    InputError
        If the counts, or those of a part, are in memory or can only be read as a whole.
    """
    if isinstance(source, Divided):
        return replace(source, source=portable(source.source))
    if isinstance(source, UnionSource):
        parts = []
        for part, genes in zip(source.sources, source.gene_of, strict=True):
            nameless = portable(part)
            assert isinstance(nameless, MatrixSource)  # a part is one input
            parts.append(replace(nameless, var=pd.DataFrame(index=pd.Index(genes))))
        return UnionSource(tuple(parts), source.parts, source.trails)
    reader = _elsewhere(source.reader, source.path) if isinstance(source, MatrixSource) else None
    if not isinstance(source, MatrixSource) or reader is None:
        raise InputError(f"{source.description} cannot be read by other processes: {_CURE}")
    return MatrixSource(
        reader=reader,
        obs=pd.DataFrame(index=pd.RangeIndex(source.n_cells)),
        var=pd.DataFrame(index=pd.RangeIndex(source.n_genes)),
        description=source.description,
        path=source.path,
    )


def _elsewhere(reader: RowReader, path: Path | None) -> RowReader | None:
    """Give a reader that opens its file anew, wherever the working directory is.

    None if there is no file to open, or another one than the user gave: others do not see what this process has made.
    """
    if isinstance(reader, GeneSubset):
        inner = _elsewhere(reader.reader, path)
        return None if inner is None else GeneSubset(inner, reader.genes)
    if not isinstance(reader, CsrReader | DenseReader):
        return None
    place = reader.place
    if isinstance(place, OpenElement):
        return _closed(reader, place.element)
    if not isinstance(place, Hdf5File | ZarrFolder) or place.path != path:
        return None
    return replace(reader, place=replace(place, path=place.path.absolute()))


def _closed(reader: CsrReader | DenseReader, element: Any) -> RowReader | None:  # noqa: ANN401
    """Find the file that somebody else holds open."""
    if hasattr(element, "file"):  # h5py
        return replace(reader, place=Hdf5File(Path(element.file.filename).absolute()), key=element.name)
    folder = getattr(getattr(element, "store", None), "root", None)  # zarr, if it is on a disk
    return None if folder is None else replace(reader, place=ZarrFolder(Path(folder).absolute()), key=element.path)
