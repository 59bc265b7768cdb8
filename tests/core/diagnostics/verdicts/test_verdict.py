from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.diagnostics.verdicts import judge_need, judge_overlap, named
from unbatch.diagnosing.verdicts import as_table

NEED = {"explained": 0.12, "null": 0.001, "null_upper": 0.0012, "after": 0.002, "compared": 1.0}
OVERLAP = {"batches": ["a", "b", "c"], "shared": [0.9, 0.8, 1.0], "unidentifiable": [], "alone": 0.4, "n_alone": 0}


def test_many_names_are_cut_short():
    assert named(["a", "b"]) == "'a', 'b'"
    assert named(list("abcde")) == "'a', 'b', 'c' and 2 more"


def test_the_worst_verdict_counts():
    table = as_table([judge_need(**NEED), judge_overlap(**OVERLAP)])
    assert list(table.columns) == ["check", "verdict", "value", "threshold", "text", "cure"]
    assert Diagnostics({"verdicts": table}).worst == "look here"
    assert Diagnostics({"verdicts": table[:1]}).worst == "fine"
