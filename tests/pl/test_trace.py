import numpy as np
import pytest

from unbatch import pl


def test_iterations_are_counted_from_one_on_a_log_axis_where_values_span_a_lot(ax):
    values = np.array([0.4, 0.1, 0.002])
    assert pl.iterations(values, quantity="change", stop_reason="converged", ax=ax) is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([[1, 2, 3], values]))
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "stopped: converged"
    assert "natural log" in ax.get_ylabel()


@pytest.mark.parametrize("values", [[0.9, 0.92], [-5.0, -4.0, -1.0], [0.0, 100.0]])
def test_others_stay_on_a_plain_axis(ax, values):
    pl.iterations(np.array(values), quantity="$mine$", ax=ax)
    assert ax.get_yscale() == "linear"
    assert ax.get_ylabel() == "$mine$"
    assert not ax.yaxis.label.get_parse_math()


def test_without_iterations_that_is_said(ax):
    pl.iterations(np.empty(0), quantity="change", ax=ax)
    assert [text.get_text() for text in ax.texts] == ["the fit made no iteration"]
