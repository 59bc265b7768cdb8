import pytest

from unbatch.core.diagnostics.verdicts import judge_overlap

OVERLAP = {"batches": ["a", "b", "c"], "shared": [0.9, 0.8, 1.0], "unidentifiable": [], "alone": 0.0, "n_alone": 0}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "at least 80% of its cells"),
        ({"shared": [0.9, 0.3, 1.0]}, "look here", "1 of 3 batches have .* 'b' .30%"),
        ({"shared": [0.9, 0.05, 1.0]}, "do not trust", "1 of 3 batches stand alone: 'b'"),
        (
            {"shared": [0.9, 0.4, 0.3], "spread": [0.1, 0.3, 0.2]},
            "do not trust",
            "1 of 3 batches are compared with others in one kind of cells only, .* of their own: 'c'. A diff",
        ),
        ({"shared": [0.9, 0.6, 0.7], "spread": [0.1, 0.1, 0.1]}, "fine", "at least 60%"),
        ({"shared": [0.9, 0.4, 0.7], "spread": [0.1, 0.3, 0.1]}, "look here", "1 of 3 .*'b'"),
        ({"unidentifiable": ["c"]}, "do not trust", "stand alone: 'c'"),
        (
            {"unidentifiable": ["c"], "parted": ["c"]},
            "do not trust",
            "stand alone: 'c'.*share no level of the condition .match_within.: add a batch .* or fit without",
        ),
        ({"unidentifiable": ["b", "c"], "parted": ["c"]}, "do not trust", "'b', 'c'.*shares their cell types"),
        ({"groups": [["a", "b"], ["c"]], "parted": ["c"]}, "look here", "one group only. They share no level"),
        ({"alone": 0.4, "n_alone": 3}, "look here", "40% of the cells are in 3 states"),
        ({"groups": [["a", "b", "c"]]}, "fine", "at least 80%"),
        ({"groups": [["a", "b"], ["c"]]}, "look here", "2 groups .*'a', 'b'; 'c'.*each group"),
        ({"blocks": (["a", "b"], ["c", "d"], 0.61, 1.0)}, "fine", "at least 80%"),
        (
            {"blocks": (["a", "b"], ["c", "d"], 0.5, 0.9)},
            "look here",
            "'a', 'b'; 'c', 'd'.* in each other for 50% of their cells, within for 90%",
        ),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_overlap(**(OVERLAP | changes)), verdict, words)
