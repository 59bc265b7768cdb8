import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unbatch.core.kernels.structure import structure


def by_rows(data, indices, indptr, n_columns):
    rows = [indices[start:stop].tolist() for start, stop in itertools.pairwise(indptr)]
    used = [index for row in rows for index in row]
    inside = all(0 <= index < n_columns for index in used)
    ascending = all(row == sorted(set(row)) for row in rows)
    return inside, ascending, all(data[: len(used)] != 0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(-1, 6), st.sampled_from([0, 1, 2])), max_size=5), min_size=1, max_size=5)
)
def test_it_sees_what_a_walk_over_lists_sees(rows):
    entries = [entry for row in rows for entry in row]
    indices = np.array([index for index, _ in entries], dtype=np.int32)
    data = np.array([value for _, value in entries], dtype=np.float32)
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    assert structure(data, indices, indptr, 6) == by_rows(data, indices, indptr, 6)


@pytest.mark.parametrize("value", [np.nan, -0.0, 0.0, 1e-40])
def test_nan_and_tiny_values_are_no_zeros(value):
    data = np.array([value], dtype=np.float32)
    assert structure(data, np.zeros(1, dtype=np.int32), np.array([0, 1]), 1)[2] == bool(value != 0)
