"""What the counts of a cell have in common."""

import numpy as np
from scipy import sparse

from unbatch.core.divisors import factors_of_cells, smallest_of_cells


def test_cells_tell_their_smallest_count_and_what_all_have_in_common():
    rows = np.array([[0, 0, 0, 0], [4, 6, 0, 0], [3, 0, 0, 1], [0, 12, 18, 6], [0, 0, 0, 7], [0, 0, 0, 0]])
    counts = sparse.csr_array(rows.astype(np.float32))
    assert smallest_of_cells(counts).tolist() == [0, 4, 1, 6, 7, 0]
    assert factors_of_cells(counts).tolist() == [0, 2, 1, 6, 7, 0]
    assert factors_of_cells(counts[:0]).tolist() == []
