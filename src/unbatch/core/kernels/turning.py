"""Sort entries of a sparse matrix by row: first roughly, then exactly."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _sort_by_bucket(
    rows: IntArray,
    columns: IntArray,
    values: FloatArray,
    bucket_rows: int,
    per_row: IntArray,
    starts: IntArray,
    sorted_rows: IntArray,
    sorted_columns: IntArray,
    sorted_values: FloatArray,
) -> None:
    # per_row is added to. starts: (n_buckets + 1,), overwritten by where each bucket begins among the sorted.
    starts[:] = 0
    for row in rows:
        per_row[row] += 1
        starts[row // bucket_rows + 1] += 1
    for bucket in range(starts.size - 1):
        starts[bucket + 1] += starts[bucket]
    for at in range(rows.size):
        bucket = rows[at] // bucket_rows
        to = starts[bucket]
        sorted_rows[to] = rows[at] - bucket * bucket_rows
        sorted_columns[to] = columns[at]
        sorted_values[to] = values[at]
        starts[bucket] += 1
    for bucket in range(starts.size - 1, 0, -1):
        starts[bucket] = starts[bucket - 1]
    starts[0] = 0


def _place(
    rows: IntArray,
    columns: IntArray,
    values: FloatArray,
    first_row: int,
    ends: IntArray,
    placed_columns: IntArray,
    placed_values: FloatArray,
) -> None:
    # ends: (n_rows,), where the next entry of each row from first_row on goes; moved on. Other rows are passed over.
    for at in range(rows.size):
        row = rows[at] - first_row
        if 0 <= row < ends.size:
            to = ends[row]
            placed_columns[to] = columns[at]
            placed_values[to] = values[at]
            ends[row] = to + 1


sort_by_bucket = compiled(_sort_by_bucket)
"""Bring entries of the same bucket of rows together, in the order in which they come, and count those of each row."""
place = compiled(_place)
"""Put entries of some rows to their rows, in the order in which they come."""
