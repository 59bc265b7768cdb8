"""Where results go: whole AnnData, or counts block by block, as .h5ad or .zarr that AnnData reads."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from unbatch._check import InputError
from unbatch.io.atomic import replacing
from unbatch.io.growing import COMPRESSIONS, GZIP, Compression, GrowingArray
from unbatch.io.hdf5_output import SafeFile, writing_hdf5
from unbatch.io.source import Block

if TYPE_CHECKING:
    from anndata import AnnData

_VERSION = "0.1.0"


def write_h5ad(path: Path | str, adata: "AnnData", *, inputs: Sequence[Path | str] = ()) -> None:
    """Write an AnnData to .h5ad so that the file appears whole or not at all.

    Unlike ``adata.write_h5ad``, it does not turn the text columns of `adata` into categories, and it compresses what
    that makes smaller: not floating-point numbers of which most are fractions, in which nearly every bit is random.

    Parameters
    ----------
    path
        Where to write; what is there is replaced.
    adata
        What to write.
    inputs
        Files that must not be overwritten.

    Raises
    ------
    InputError
        If the place cannot be written to (see `unbatch.io.atomic.replacing`) or `adata` holds something that .h5ad
        cannot.
    """
    from anndata.experimental import write_dispatched

    def one(element_writer: Callable[..., None], group: object, name: str, element: object, **options: object) -> None:
        compression = options["dataset_kwargs"] if _gets_smaller(element) else {}
        element_writer(group, name, element, dataset_kwargs=compression)

    def write(temporary: Path) -> None:
        with writing_hdf5(temporary) as (file, _), _naming(path):
            write_dispatched(file, "/", adata, one, dataset_kwargs=GZIP)

    with replacing(path, inputs=inputs) as temporary, _writer_thread() as writer:
        writer.submit(write, temporary).result()


def _gets_smaller(element: object) -> bool:
    """Tell whether compression is worth its time."""
    if not isinstance(element, np.ndarray) or element.dtype.kind != "f":
        return True
    return bool(np.count_nonzero(element != np.trunc(element)) <= element.size / 2)


class CountSink:
    """Writes a sparse matrix of cells x genes block by block, with its annotation, in AnnData's layout.

    A context manager: the output appears when the context ends well, and not at all when anything is raised. Only a
    block is in memory. `obs`, `uns`, `obsm` and `varm` may be set or changed until the context ends.

    Parameters
    ----------
    path
        Ends in .h5ad or .zarr; what is there is replaced.
    var : DataFrame, (n_genes, ...)
        Annotation of the genes.
    obs : DataFrame, (n_cells, ...)
        Annotation of the cells; None names them "0", "1", ...
    uns, obsm, varm
        Further slots.
    dtype
        Type of the stored values.
    compression
        "gzip" or "lzf" in .h5ad; "lz4", "zstd" or "gzip" in .zarr; None for none. "auto" is the first of them. lzf is
        faster than gzip and larger, and not every reader of HDF5 has it; zstd is slower than lz4 and smaller.
    inputs
        Files that must not be overwritten.

    Raises
    ------
    InputError
        If the place cannot be written to (see `unbatch.io.atomic.replacing`), or the annotation does not fit the
        matrix or the format.
    ValueError
        From `append`, if a block is not the next one, has another number of genes, or holds fractions and `dtype` is an
        integer type.

    Notes
    -----
    The number of cells and of non-zero values need not be known before. Row pointers are stored as int32, which
    scikit-learn asks for, or as int64 from 2^31 values on. Blocks are compressed by as many threads as there are cores,
    while the next is worked out.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        var: pd.DataFrame,
        obs: pd.DataFrame | None = None,
        uns: Mapping[str, Any] | None = None,
        obsm: Mapping[str, Any] | None = None,
        varm: Mapping[str, Any] | None = None,
        dtype: DTypeLike = np.float32,
        compression: str | None = "auto",
        inputs: Sequence[Path | str] = (),
    ) -> None:
        self.path = Path(path)
        self.var, self.obs = var, obs
        self.uns, self.obsm, self.varm = dict(uns or {}), dict(obsm or {}), dict(varm or {})
        self.n_cells, self.n_stored = 0, 0
        self._dtype = np.dtype(dtype)
        self._lengths: list[Any] = []
        self._inputs = tuple(inputs)
        self._stack = ExitStack()
        self._root: Any = None
        self._beneath: SafeFile | None = None
        self._arrays: dict[str, GrowingArray] = {}
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        if self.path.suffix not in {".h5ad", ".zarr"}:
            raise InputError(f"{path} has no ending that says how to write it: use .h5ad or .zarr")
        self._compression = choose_compression(compression, self.path.suffix)

    def __enter__(self) -> Self:
        is_zarr = self.path.suffix == ".zarr"
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self.path, inputs=self._inputs, folder=is_zarr))
            if is_zarr:
                self._root = _open_zarr(temporary)
            else:
                self._root, self._beneath = stack.enter_context(writing_hdf5(temporary))
            index_type = np.int32 if len(self.var) < 2**31 else np.int64
            group = self._root.create_group("X")
            helpers = stack.enter_context(ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="unbatch-packer"))
            for name, dtype in (("data", self._dtype), ("indices", index_type)):
                self._arrays[name] = GrowingArray(
                    group, name, np.dtype(dtype), compression=self._compression, helpers=helpers
                )
            self._writer = stack.enter_context(_writer_thread())
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def append(self, block: Block) -> None:
        """Write the next cells. The block must not be changed afterwards."""
        counts = block.counts
        if block.start != self.n_cells:
            raise ValueError(f"the next block starts at cell {self.n_cells}, got one that starts at {block.start}")
        if counts.shape[1] != len(self.var):
            raise ValueError(f"the block has {counts.shape[1]} genes, var has {len(self.var)}")
        values = counts.data.astype(self._dtype, copy=False)
        if self._dtype.kind in "iu" and (values != counts.data).any():
            raise ValueError(f"the block holds values that {self._dtype} cannot: choose a floating-point dtype")
        stored = {"data": values, "indices": counts.indices}
        self._lengths.append(np.diff(counts.indptr).astype(np.int32))
        self._wait()
        assert self._writer is not None  # set on entry
        self._writing = self._writer.submit(self._write, stored)
        self.n_cells += int(counts.shape[0])
        self.n_stored += int(counts.nnz)

    def _write(self, stored: Mapping[str, Any]) -> None:
        for name, values in stored.items():
            self._arrays[name].append(values)

    def _wait(self) -> None:
        """Let the block in work be written, and raise what went wrong with it."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None
        if self._beneath is not None:
            self._beneath.check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, traceback)

    def _finish(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        """Write the rest, unless something has gone wrong; runs before the output is moved to its place."""
        if error is not None:
            return False
        self._wait()
        names = self.obs if self.obs is not None else pd.DataFrame(index=np.arange(self.n_cells).astype(str))
        if len(names) != self.n_cells:
            raise InputError(f"{self.path}: {self.n_cells} cells were written, obs has {len(names)} rows")
        assert self._writer is not None  # set on entry
        self._writer.submit(self._write_rest, names).result()
        return False

    def _write_rest(self, obs: pd.DataFrame) -> None:
        from anndata.io import write_elem

        lengths = np.concatenate([np.zeros(1, dtype=np.int32), *self._lengths])
        index_type = np.dtype(np.int32 if self.n_stored < 2**31 else np.int64)
        pointers = GrowingArray(self._root["X"], "indptr", index_type, compression=self._compression)
        pointers.append(np.cumsum(lengths, dtype=index_type))
        for array in (*self._arrays.values(), pointers):
            array.flush()
        _describe(self._root, "anndata")
        _describe(self._root["X"], "csr_matrix")
        self._root["X"].attrs["shape"] = [self.n_cells, len(self.var)]
        slots = {"obs": obs, "var": self.var, "uns": self.uns, "obsm": self.obsm, "varm": self.varm}
        for key, slot in {**slots, "layers": {}, "obsp": {}, "varp": {}}.items():
            with _naming(self.path):
                write_elem(self._root, key, slot)
        if not isinstance(self._root, h5py.Group):
            import zarr

            zarr.consolidate_metadata(self._root.store)


def choose_compression(wanted: str | None, suffix: str) -> Compression | None:
    """Give how an output is compressed.

    Parameters
    ----------
    wanted
        One of `COMPRESSIONS`, "auto" for the first of them, None or "none" for none.
    suffix
        Of the output.

    Raises
    ------
    InputError
        If the format has no such compression.
    """
    choices = COMPRESSIONS[suffix]
    if wanted in (None, "none"):
        return None
    if wanted == "auto":
        return choices[0]
    for choice in choices:
        if choice == wanted:
            return choice
    listed = ", ".join(repr(choice) for choice in choices)
    raise InputError(f"{suffix} cannot be compressed by {wanted!r}: choose one of {listed}, or none")


def _writer_thread() -> ThreadPoolExecutor:
    """Give the thread that writes.

    Writing overlaps computing, and Ctrl-C works: Python drops an interruption that arrives while h5py releases one of
    its objects, and interruptions arrive in the main thread only, which merely waits.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="unbatch-writer")


def _open_zarr(path: Path) -> Any:  # noqa: ANN401
    import zarr

    # format 2 is read by every version of AnnData and of zarr
    return zarr.open_group(path, mode="w", zarr_format=2)


def _describe(group: Any, encoding: str) -> None:  # noqa: ANN401
    group.attrs["encoding-type"] = encoding
    group.attrs["encoding-version"] = _VERSION


@contextmanager
def _naming(path: Path | str) -> Iterator[None]:
    """Turn AnnData's refusal of a value into one sentence; what the disk refuses is for `replacing` to say."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    # the errors of AnnData's writers have no common type
    except Exception as error:
        notes = " ".join([*str(error).splitlines()[:1], *getattr(error, "__notes__", [])])
        raise InputError(f"{path} could not be written, it holds what AnnData cannot store: {notes}") from error
