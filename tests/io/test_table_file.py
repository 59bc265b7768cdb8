"""Tables come back from both formats as they were, and a failure leaves what was there."""

import numpy as np
import pandas as pd
import pytest

from unbatch import InputError
from unbatch.io.table_file import write_table


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "gene": ["a,b", 'c"d', "été"],
            "batch": pd.Categorical(["x", "y", "x"], categories=["y", "x"]),
            "value": [0.1 + 0.2, -np.inf, np.inf],
        },
        index=[5, 3, 9],
    )


def test_parquet_keeps_values_and_categories(table, tmp_path):
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table.reset_index(drop=True))


def test_csv_keeps_every_digit(table, tmp_path):
    write_table(tmp_path / "t.csv", table)
    back = pd.read_csv(tmp_path / "t.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(back, table.reset_index(drop=True).astype({"batch": object}), check_exact=True)


@pytest.mark.parametrize("name", ["t.tsv", "t", "t.csv.gz", "t.xlsx"])
def test_an_unknown_ending_is_refused(table, tmp_path, name):
    with pytest.raises(InputError, match=r"no ending that says how to write it: use \.parquet or \.csv"):
        write_table(tmp_path / name, table)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_failure_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_text("before")

    class Unwritable:
        def __str__(self):
            raise RuntimeError("no text for this")

    with pytest.raises(Exception, match=r"no text for this|Unwritable"):
        write_table(path, pd.DataFrame({"gene": [Unwritable()]}))
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


def test_an_input_is_not_overwritten(table, tmp_path):
    (tmp_path / "t.csv").write_text("before")
    with pytest.raises(InputError, match="never overwritten"):
        write_table(tmp_path / "t.csv", table, inputs=[tmp_path / "t.csv"])
