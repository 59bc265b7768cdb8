"""What accumulators know is not sent along with what they counted."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from unbatch.io.known import Packer, PerCell, Shared


@pytest.mark.parametrize("rows", [np.arange(20), sparse.csr_array(np.diag(np.arange(20)))])
def test_parts_have_the_rows_of_their_cells(rows):
    box = PerCell(rows)
    part = box.part(5, 12)
    assert part.first == 5
    assert part.rows.shape[0] == 7
    for start, stop in ((5, 12), (6, 9), (12, 12)):
        found, expected = (some.of(start, stop) for some in (part, box))
        assert found.shape[0] == stop - start
        assert (found != expected).sum() == 0
    assert len(pickle.dumps(PerCell(np.arange(10**5)).part(3, 5))) < 500


class Counter:
    def __init__(self, source, shared, numbers):
        self.source, self.shared, self.numbers, self.total = source, shared, numbers, 0


def test_boxes_and_named_objects_travel_as_references():
    source, shared, numbers = object(), Shared(np.ones(10**5)), PerCell(np.arange(10**5))
    packer = Packer([source], collect=True)
    template = packer.pack([Counter(source, shared, numbers), Counter(source, shared, numbers)])
    assert packer.known == [source, shared, numbers]
    assert template.n_bytes < 1000

    mine, there = object(), PerCell(np.arange(2), 7)
    abroad = Packer([mine, shared, there])
    first, second = abroad.unpack(template)
    assert first is not second
    assert first.source is second.source is mine
    assert first.shared is shared
    assert first.numbers is there
    first.total = 12
    packed = abroad.pack(first)
    assert packed.n_bytes < 1000

    back = packer.unpack(packed)
    assert back.total == 12
    assert (back.source, back.shared, back.numbers) == (source, shared, numbers)


def test_boxes_that_nobody_else_knows_are_written_in_full():
    packer = Packer([])
    found = packer.unpack(packer.pack(Shared(np.arange(3))))
    assert found.value.tolist() == [0, 1, 2]
    assert packer.known == []


def test_boxes_pickle_as_usual():
    assert pickle.loads(pickle.dumps(Shared(5))).value == 5  # noqa: S301
    assert pickle.loads(pickle.dumps(PerCell(np.arange(3), 4))).of(5, 6).tolist() == [1]  # noqa: S301


def test_arrays_are_shared_read_only_where_asked():
    values = {"some": np.arange(10**4), "none": np.zeros((0, 3)), "sparse": sparse.csr_array(np.eye(3))}
    packer = Packer([])
    packed = packer.pack(values, share=True)
    assert len(packed.content) < 1000 < 8 * 10**4 <= packed.n_bytes
    found = packer.unpack(packed)
    assert np.shares_memory(found["some"], values["some"])
    with pytest.raises(ValueError, match="read-only"):
        found["some"] += 1
    assert found["none"].shape == (0, 3)
    assert (found["sparse"] != values["sparse"]).nnz == 0
    sent = packer.unpack(pickle.loads(pickle.dumps(packed, protocol=5)))  # noqa: S301
    np.testing.assert_array_equal(sent["some"], values["some"])

    own = packer.unpack(packer.pack(values))
    own["some"] += 1
    assert values["some"][0] == 0
