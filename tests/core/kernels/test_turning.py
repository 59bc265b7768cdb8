import numpy as np
import pytest

from unbatch.core.kernels.turning import place, sort_by_bucket


@pytest.mark.parametrize("bucket_rows", [1, 3, 10, 100])
def test_entries_are_brought_together_in_their_order_and_placed(bucket_rows):
    rng = np.random.default_rng(bucket_rows)
    n_rows, number = 10, 200
    rows, columns, values = rng.integers(0, n_rows, number), np.arange(number), rng.random(number)
    n_buckets = -(-n_rows // bucket_rows)
    per_row, starts = np.zeros(n_rows, dtype=np.int64), np.full(n_buckets + 1, 7)
    sorted_rows, sorted_columns, sorted_values = (np.empty_like(array) for array in (rows, columns, values))
    sort_by_bucket(rows, columns, values, bucket_rows, per_row, starts, sorted_rows, sorted_columns, sorted_values)
    order = np.argsort(rows // bucket_rows, kind="stable")
    assert sorted_rows.tolist() == (rows[order] % bucket_rows).tolist()
    assert sorted_columns.tolist() == columns[order].tolist()
    assert sorted_values.tolist() == values[order].tolist()
    assert per_row.tolist() == np.bincount(rows, minlength=n_rows).tolist()
    assert starts.tolist() == [0, *np.cumsum(np.bincount(rows // bucket_rows, minlength=n_buckets))]
    # rows 2 to 4 of all
    wanted = np.flatnonzero((rows >= 2) & (rows < 5))
    wanted = wanted[np.argsort(rows[wanted], kind="stable")]
    ends = np.cumsum([0, *per_row[2:4]])
    placed_columns, placed_values = np.empty(wanted.size, dtype=np.int64), np.empty(wanted.size)
    place(rows, columns, values, 2, ends, placed_columns, placed_values)
    assert placed_columns.tolist() == columns[wanted].tolist()
    assert placed_values.tolist() == values[wanted].tolist()
    assert ends.tolist() == np.cumsum(per_row[2:5]).tolist()
