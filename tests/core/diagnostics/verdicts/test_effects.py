import pytest

from unbatch.core.diagnostics.verdicts import judge_effects

EFFECTS = {"known": 1.0, "strong": 10, "median": 0.2, "families": []}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "10 effects differ from none .* x or / 1.22"),
        ({"families": ["stress genes x 2.00 in 'a'"]}, "fine", "; stress genes x 2.00 in 'a'$"),
        ({"known": 0.2}, "look here", "80% of the effects are unknown"),
        ({"batches": ["a", "b"], "along": [0.6, 0.64]}, "fine", "10 effects differ"),
        (
            {"batches": ["a", "b", "c"], "along": [0.66, 0.77, 0.1]},
            "look here",
            "^77% of the effects of 'b' lie along the axes .* with 2 of 3 batches.; 10 effects differ",
        ),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_effects(**(EFFECTS | changes)), verdict, words)


def test_where_no_gene_is_well_measured_no_median_is_told():
    found = judge_effects(known=0.0, strong=0, median=None, families=[])
    assert found.text == "100% of the effects are unknown and stay 1; 0 effects differ from none (q < 0.05)"
    assert judge_effects(known=1.0, strong=0, median=None, families=[]).value == 0


def test_what_is_unknown_is_judged_by_its_share():
    found = judge_effects(**(EFFECTS | {"known": 0.2}))
    assert found.value == pytest.approx(0.8)
    assert found.value > found.threshold
