"""Rows of a Dask array, dense or of sparse chunks, computed some chunks at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import Counts, IntArray
from unbatch.io.canonical import as_counts, count_dtype
from unbatch.io.readers import ReadRows, even_cuts, mean_row_bytes


def is_dask(matrix: Any) -> bool:  # noqa: ANN401
    """Tell a Dask array from others, without importing Dask."""
    return hasattr(matrix, "dask") and hasattr(matrix, "numblocks")


@dataclass(frozen=True, eq=False)
class DaskReader:
    """A Dask array, which is computed where its rows are asked for, on whatever scheduler is active.

    A chunk is computed as a whole. One of which only some rows were asked for is kept until others are computed, so
    that each is computed once on a walk, and chunks of more rows than a block cost memory.
    """

    array: Any
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @cached_property
    def _ends(self) -> IntArray:
        """Where each chunk of rows ends."""
        return np.cumsum(self.array.chunks[0], dtype=np.int64)

    @cached_property
    def row_bytes(self) -> float:
        """Bytes of a row in memory, in the mean over the first chunk, which is computed for it."""
        first = self._compute([0])[0]
        if sparse.issparse(getattr(self.array, "_meta", None)):
            return mean_row_bytes(int(first.nnz), self.dtype, int(first.shape[0]))
        return float(self.shape[1] * self.dtype.itemsize)

    @property
    def row_chunk(self) -> int:
        """Rows of the first chunk."""
        return int(self._ends[0])

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut into whole chunks, and chunks that are larger than a block into equal parts."""
        largest = max(int(n_bytes / max(self.row_bytes, 1.0)), 1)
        cuts = [0]
        while cuts[-1] < self.shape[0]:
            within = np.searchsorted(self._ends, cuts[-1] + largest, side="right")  # chunks that end within a block
            end = int(self._ends[within - 1]) if within else 0
            if end <= cuts[-1]:
                start = cuts[-1]
                end = int(self._ends[np.searchsorted(self._ends, start, side="right")])
                inner = even_cuts(end - start, 1.0, largest)
                cuts.extend((start + inner[1:-1]).tolist())
            cuts.append(end)
        return np.array(cuts, dtype=np.int64)

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        kept: dict[int, Counts] = {}

        def read(start: int, stop: int) -> Counts:
            first = min(int(np.searchsorted(self._ends, start, side="right")), self._ends.size - 1)
            last = max(int(np.searchsorted(self._ends, stop, side="left")), first)
            found = {chunk: kept[chunk] for chunk in range(first, last + 1) if chunk in kept}
            missing = [chunk for chunk in range(first, last + 1) if chunk not in found]
            kept.clear()
            found.update(zip(missing, self._compute(missing), strict=True))
            if stop < self._ends[last]:
                kept[last] = found[last]
            begins = np.append(0, self._ends)
            pieces = [
                found[chunk][max(start - int(begins[chunk]), 0) : stop - int(begins[chunk])]
                for chunk in range(first, last + 1)
            ]
            joined = pieces[0] if len(pieces) == 1 else sparse.vstack(pieces, format="csr")
            return as_counts(joined, self.dtype)

        yield read

    def _compute(self, chunks: Sequence[int]) -> list[Counts]:
        """Compute chunks of rows, all at once."""
        import dask

        n_across = self.array.numblocks[1]
        blocks = dask.compute(*(self.array.blocks[chunk, across] for chunk in chunks for across in range(n_across)))
        rows = [blocks[place : place + n_across] for place in range(0, len(blocks), n_across)]
        return [as_counts(_beside(across), self.dtype) for across in rows]


def _beside(blocks: Sequence[Any]) -> Any:  # noqa: ANN401
    if len(blocks) == 1:
        return blocks[0]
    return sparse.hstack(blocks, format="csr") if sparse.issparse(blocks[0]) else np.hstack(blocks)


def open_dask(array: Any, where: str) -> DaskReader:  # noqa: ANN401
    """Give a reader of a Dask array, cells x genes.

    Parameters
    ----------
    array
        Chunks are numpy or scipy sparse.
    where
        Name of the matrix, for messages.

    Raises
    ------
    InputError
        If it is not made of numbers, or the lengths of its chunks are not known.
    """
    if np.isnan(np.array([*array.chunks[0], *array.chunks[1]], dtype=np.float64)).any():
        raise InputError(
            f"{where} is a Dask array with chunks of unknown lengths: call its compute_chunk_sizes() first"
        )
    return DaskReader(array, (int(array.shape[0]), int(array.shape[1])), count_dtype(array.dtype, where))
