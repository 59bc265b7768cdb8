import numpy as np
import pytest

from unbatch.report.tables import STRIP_WIDTH, Column, strips, table


def test_a_table_that_is_cut_says_so():
    columns = [Column("Gene", "name"), Column("Share")]
    rows = [(f"g{place}", "1%") for place in range(10)]
    cut = table("Genes", columns, rows, total=3000, order="the largest share")
    assert cut.rows == tuple(rows)
    assert cut.note == "10 of 3,000 rows: those with the largest share."
    assert table("Genes", columns, rows, total=10).note == table("Genes", columns, rows).note == ""


def test_marks_lie_on_one_scale_from_0_to_the_largest_number():
    marks = strips(np.array([0.5, 1.0]), np.array([0.0, 0.25]), high=np.array([0.5, 0.5]))
    left, right = 6, STRIP_WIDTH - 6
    assert [mark.before for mark in marks] == [pytest.approx((left + right) / 2), right]
    assert [mark.after for mark in marks] == [left, pytest.approx(left + (right - left) / 4)]
    assert [(mark.low, mark.high) for mark in marks] == [(left, marks[0].before)] * 2


def test_a_number_that_is_not_known_has_no_mark():
    (mark,) = strips(np.array([np.nan]), np.array([0.3]))
    assert mark.before is None
    assert mark.after == STRIP_WIDTH - 6
