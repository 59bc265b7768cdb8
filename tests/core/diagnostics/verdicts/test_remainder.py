import pytest

from unbatch.core.diagnostics.verdicts import judge_remainder

REMAINDER = {"sd": 0.05, "differing": 0.01, "n_genes": 2000, "where": "state 3 of 'a'", "compared": 0.9}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "x or / 1.05 as a rule, surely .* in 1% of 2,000 genes"),
        ({"differing": 0.5}, "look here", "50% of 2,000 genes, most in state 3 of 'a'"),
        ({"sd": 0.3}, "look here", "x or / 1.35"),
        ({"where": ""}, "look here", "No two batches are compared"),
        ({"compared": 0.25}, "look here", "in 1% of .* genes; but only 25% of"),
        ({"sd": 0.7}, "do not trust", "x or / 2.01.*: fit with state_specific, or with match_within"),
        ({"sd": 0.7, "within": True}, "do not trust", "this: fit with state_specific$"),
        ({"sd": 0.7, "of_states": True}, "do not trust", "this: adjust with state_specific, or fit with match_within"),
        ({"sd": 0.7, "of_states": True, "within": True}, "do not trust", "this: adjust with state_specific$"),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_remainder(**(REMAINDER | changes)), verdict, words)
