"""What of a reader does not show in what it reads: see test_source for that."""

from contextlib import contextmanager

import numpy as np
import pytest

from unbatch.io.matrix_source import BLOCK_BYTES
from unbatch.io.readers import CsrReader, even_cuts

N_CELLS, PER_CELL, N_GENES = 6_000_000, 1_000, 2_000


class _Numbers:
    """An array that is worked out where it is read: position to value."""

    def __init__(self, length, value, dtype):
        self.shape, self.dtype, self.chunks, self._value = (length,), np.dtype(dtype), (2**17,), value

    def __getitem__(self, key):
        return self._value(np.arange(key.start, key.stop, dtype=np.int64)).astype(self.dtype)


class _Place:
    """A CSR matrix of 6,000,000,000 values, each of a cell's in every second gene."""

    @contextmanager
    def open(self):
        n_values = N_CELLS * PER_CELL
        yield {
            "X": {
                "data": _Numbers(n_values, lambda at: 1 + at // PER_CELL % 100, "f4"),
                "indices": _Numbers(n_values, lambda at: at % PER_CELL * 2, "i4"),
                "indptr": _Numbers(N_CELLS + 1, lambda row: row * PER_CELL, "i8"),
            }
        }

    def check(self):
        pass


def test_more_than_2_to_the_31_values():
    reader = CsrReader(_Place(), "X", (N_CELLS, N_GENES), np.dtype(np.float32), 8.0 * PER_CELL)
    cuts = reader.cuts(BLOCK_BYTES)
    assert cuts[0] == 0
    assert cuts[-1] == N_CELLS
    assert set(np.diff(cuts)[:-1]) == {BLOCK_BYTES // (8 * PER_CELL)}
    with reader.open() as read:
        for start in (0, 2**31 // PER_CELL, N_CELLS - 3):
            counts = read(start, start + 3)
            assert counts.indptr.tolist() == [0, 1000, 2000, 3000]
            assert counts.indptr.dtype == counts.indices.dtype == np.int32
            for row in range(3):
                assert (counts[[row]].toarray()[0, ::2] == 1 + (start + row) % 100).all()
            assert (counts.indices == np.tile(np.arange(0, N_GENES, 2), 3)).all()


@pytest.mark.parametrize(
    ("n_bytes", "units", "step"),
    [(100, (), 10), (100, (4,), 8), (100, (40, 4), 8), (100, (40, 20), 10), (5, (4,), 1), (10**9, (4,), 22)],
)
def test_blocks_are_whole_shards_or_else_whole_chunks(n_bytes, units, step):
    cuts = even_cuts(23, 10.0, n_bytes, *units)
    assert cuts[0] == 0
    assert cuts[-1] == 23
    if step < 22:
        assert set(np.diff(cuts)[:-1]) == {step}
