import itertools

import numpy as np
import pytest
import zarr

from unbatch.io.spans import Spans, unit

N = 57


class Watched:
    """A stored array that notes what is asked of it, as far as it must be one."""

    def __init__(self, values, chunk, shard=None):
        self.values, self.dtype, self.shape = values, values.dtype, values.shape
        self.chunks, self.shards = None if chunk is None else (chunk,), None if shard is None else (shard,)
        self.asked = []

    def __getitem__(self, key):
        self.asked.append((key.start, key.stop))
        return self.values[key]


@pytest.mark.parametrize("stored", ["f4", ">f4", "i8", "u1"])
@pytest.mark.parametrize("chunk", [None, 1, 4, 57, 100])
@pytest.mark.parametrize("piece", [1, 6, 1000])
def test_pieces_are_the_values_between_their_ends(monkeypatch, stored, chunk, piece):
    monkeypatch.setattr("unbatch.io.spans._PIECE", piece)
    values = np.random.default_rng(0).integers(0, 200, N).astype(stored)
    rng = np.random.default_rng(1)
    spans = Spans(Watched(values, chunk), np.float32 if "f" in stored else np.int32)
    for start, stop in np.sort(rng.integers(0, N + 1, (200, 2)), axis=1).tolist():
        np.testing.assert_array_equal(spans.read(start, stop), values[start:stop])


@pytest.mark.parametrize("chunk", [4, 10])
def test_from_front_to_back_each_value_is_read_once_and_by_whole_chunks(chunk):
    array = Watched(np.arange(N, dtype=np.int64), chunk)
    spans = Spans(array, np.int32)
    cuts = [0, 3, 3, 4, 20, 21, 22, 50, N]
    for start, stop in itertools.pairwise(cuts):
        assert spans.read(start, stop).tolist() == list(range(start, stop))
    asked = sorted(array.asked)
    assert [first for first, _ in asked] == [0, *(last for _, last in asked[:-1])]
    assert all(first % chunk == 0 for first, _ in asked)


def test_what_was_read_does_not_change_when_more_is():
    spans = Spans(Watched(np.arange(N, dtype=np.float32), 10), np.float32)
    first = spans.read(0, 5)
    first[:] = 0
    assert spans.read(4, 8).tolist() == [4, 5, 6, 7]


def test_a_shard_is_read_whole_unless_it_is_huge(monkeypatch, tmp_path):
    array = zarr.create_array(tmp_path / "a", shape=(N,), chunks=(5,), shards=(20,), dtype="f4")
    assert unit(array) == 20
    monkeypatch.setattr("unbatch.io.spans._LONGEST_SHARD", 19)
    assert unit(array) == 5
    assert unit(Watched(np.zeros(3), None)) == 1


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (50, N + 1)])
def test_positions_outside_are_refused(start, stop):
    with pytest.raises(ValueError, match="there are 57"):
        Spans(Watched(np.zeros(N), None), np.float64).read(start, stop)


@pytest.mark.parametrize("values", [[2**31], [-(2**31) - 1], [0.5]])
def test_indices_that_do_not_fit_are_refused_not_wrapped(values):
    with pytest.raises(ValueError, match="whole numbers of at most 2147483647"):
        Spans(Watched(np.array(values), None), np.int32).read(0, 1)


def test_positions_past_2_to_the_31():
    class Long(Watched):
        def __getitem__(self, key):
            return np.arange(key.start, key.stop) - (2**40 - 30)

    array = Long(np.zeros(0), 7)
    array.shape = (2**40,)
    spans = Spans(array, np.int32)
    for start, stop in ((0, 10), (10, 11), (11, 30)):
        assert spans.read(2**40 - 30 + start, 2**40 - 30 + stop).tolist() == list(range(start, stop))
