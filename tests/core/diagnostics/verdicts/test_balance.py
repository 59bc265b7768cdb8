import pytest

from unbatch.core.diagnostics.verdicts import judge_balance

BALANCE = {"pairs": ["'a' and 'b'", "'a' and 'c'"], "before": [0.5, 0.4], "after": [0.05, 0.02]}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "0.05 standard deviations beyond chance, 0.50 before"),
        ({"before": [1.0, 0.9], "after": [0.2, 0.2]}, "fine", "0.20"),
        ({"before": [0.1, 0.1], "after": [0.08, 0.05]}, "fine", "0.08"),
        ({"before": [0.1, 0.1], "after": [0.12, 0.05]}, "look here", "still 0.12"),
        ({"after": [0.05, 0.2]}, "look here", "still 0.20 .0.40. in 'a' and 'c'"),
        ({"after": [0.4, 0.4]}, "do not trust", "still 0.40.*: see remainder$"),
        ({"after": [0.4, 0.4], "finer": True}, "do not trust", "still 0.40.*: see remainder, raise max_states$"),
        ({"pairs": [], "before": [], "after": []}, "do not trust", "No two batches"),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_balance(**(BALANCE | changes)), verdict, words)
