import pytest

from unbatch.core.diagnostics.verdicts import judge_need

NEED = {"explained": 0.12, "null": 0.001, "null_upper": 0.0012, "after": 0.002, "compared": 1.0}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "Needed: batches explain 12.00%"),
        ({"explained": 0.0011}, "fine", "Not needed: batches explain 0.11%"),
        ({"explained": 0.004, "after": 0.004}, "fine", "Not needed"),
        ({"explained": 0.0069, "null_upper": 0.02}, "fine", "Not needed"),
        ({"explained": 0.0069, "after": 0.0015}, "fine", "Needed:"),
        ({"after": 0.06}, "look here", "still 6.00% after"),
        ({"compared": 0.3}, "look here", "Only 30% of the cells"),
        ({"compared": 0.0}, "do not trust", "cannot be told"),
        ({"explained": 0.001, "outstanding": ["XIST"]}, "fine", "Not needed.*stand out: 'XIST'"),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_need(**(NEED | changes)), verdict, words)
