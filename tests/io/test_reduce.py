import threading

import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.io.reduce import Together, read_ahead, reduce_blocks
from unbatch.io.source import Block, open_counts

from .conftest import N_CELLS, example_counts


class _Sums:
    def __init__(self):
        self.total = np.zeros(11)
        self.starts = []

    def add(self, block):
        self.total += block.counts.astype(np.int64).sum(axis=0)
        self.starts.append(block.start)

    def merge(self, other):
        self.total += other.total
        self.starts += other.starts


def _readers():
    return [thread for thread in threading.enumerate() if thread.name == "unbatch-reader"]


@pytest.mark.parametrize("block_size", [1, 5, None])
def test_all_blocks_are_added_in_order(adata, block_size):
    sizes = []
    sums = reduce_blocks(open_counts(adata), _Sums(), block_size=block_size, progress=sizes.append)
    np.testing.assert_array_equal(sums.total, example_counts().astype(np.int64).sum(axis=0))
    assert sums.starts == sorted(sums.starts)
    assert sum(sizes) == N_CELLS
    assert not _readers()


def test_several_accumulators_share_a_walk(adata):
    order = []

    class _Note:
        def __init__(self, name):
            self.name = name

        def add(self, block):
            order.append((self.name, block.start))

    reduce_blocks(open_counts(adata), Together(_Note("door"), _Note("sums")), block_size=20)
    assert order == [("door", 0), ("sums", 0), ("door", 20), ("sums", 20)]


def test_several_accumulators_merge_one_by_one(adata):
    source = open_counts(adata)
    first, second = (_Sums(), _Sums()), (_Sums(), _Sums())
    for block in source.blocks(5, cells=(0, 10)):
        Together(*first).add(block)
    for block in source.blocks(5, cells=(10, N_CELLS)):
        Together(*second).add(block)
    Together(*first).merge(Together(*second))
    for sums in first:
        np.testing.assert_array_equal(sums.total, example_counts().astype(np.int64).sum(axis=0))
        assert sums.starts == [0, 5, 10, 15, 20]


def test_an_error_while_reading_comes_where_the_block_was_due():
    def blocks():
        yield Block(0, example_counts())
        raise InputError("cut short")

    seen = []

    def walk():
        seen.extend(block.start for block in read_ahead(blocks()))

    with pytest.raises(InputError, match="cut short"):
        walk()
    assert not _readers()


def test_an_error_while_computing_ends_the_reader_and_closes_the_file():
    closed = threading.Event()

    def blocks():
        try:
            for start in range(1000):
                yield Block(start, example_counts()[:1])
        finally:
            closed.set()

    class _Source:
        def blocks(self, _):
            return blocks()

    class _Refuse:
        def add(self, block):
            if block.start == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce_blocks(_Source(), _Refuse())
    assert closed.is_set()
    assert not _readers()


def test_reading_stays_at_most_two_blocks_ahead():
    given = []

    def blocks():
        for start in range(50):
            given.append(start)
            yield Block(start, example_counts()[:1])

    for used, _ in enumerate(read_ahead(blocks())):
        threading.Event().wait(0.002)
        assert len(given) <= used + 3
    assert len(given) == 50


def test_reading_overlaps_computing():
    read_second = threading.Event()

    def blocks():
        yield Block(0, example_counts()[:1])
        read_second.set()
        yield Block(1, example_counts()[:1])

    for _ in read_ahead(blocks()):
        assert read_second.wait(5)
