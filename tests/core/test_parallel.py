"""Ranges cover everything once, whatever their length and the number of threads."""

import numba
import numpy as np
import pytest

from unbatch.core.parallel import in_ranges


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n", "step"), [(0, 3), (1, 3), (7, 3), (9, 3), (5, 100)])
def test_each_number_is_in_one_range(n, step, n_threads, monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    seen = np.zeros(n, dtype=int)

    def task(first, stop):
        assert first % step == 0
        assert 0 < stop - first <= step
        seen[first:stop] += 1

    in_ranges(task, n, step=step)
    np.testing.assert_array_equal(seen, 1)


@pytest.mark.parametrize("n", [1, 10])
def test_errors_are_raised(n):
    def task(first, _):
        raise ValueError(first)

    with pytest.raises(ValueError, match="0"):
        in_ranges(task, n, step=1)
