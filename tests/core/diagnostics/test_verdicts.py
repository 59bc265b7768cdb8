import re

import pytest

from unbatch.core.diagnostics.record import VERDICTS, Diagnostics
from unbatch.core.diagnostics.verdicts import (
    judge_balance,
    judge_convergence,
    judge_effects,
    judge_mixing,
    judge_need,
    judge_overlap,
    judge_probe,
    judge_probes,
    judge_remainder,
    named,
)
from unbatch.diagnosing.verdicts import as_table

NEED = {"explained": 0.12, "null": 0.001, "null_upper": 0.0012, "after": 0.002, "compared": 1.0}
OVERLAP = {"batches": ["a", "b", "c"], "shared": [0.9, 0.8, 1.0], "unidentifiable": [], "alone": 0.0, "n_alone": 0}
BALANCE = {"pairs": ["'a' and 'b'", "'a' and 'c'"], "before": [0.5, 0.4], "after": [0.05, 0.02]}
MIXED = {"after": [0.52, 0.5], "expected": [0.5, 0.5], "elsewhere": [0.5, 0.48]}
MIXING = {"batches": ["a", "b"], "before": [1.0, 1.0], **MIXED}
REMAINDER = {"sd": 0.05, "differing": 0.01, "n_genes": 2000, "where": "state 3 of 'a'", "compared": 0.9}
EFFECTS = {"known": 1.0, "strong": 10, "median": 0.2, "families": []}


@pytest.mark.parametrize(
    ("judge", "usual", "changes", "verdict", "words"),
    [
        (judge_need, NEED, {}, "fine", "Needed: batches explain 12.00%"),
        (judge_need, NEED, {"explained": 0.0011}, "fine", "Not needed: batches explain 0.11%"),
        (judge_need, NEED, {"explained": 0.004, "after": 0.004}, "fine", "Not needed"),
        (judge_need, NEED, {"explained": 0.0069, "null_upper": 0.02}, "fine", "Not needed"),
        (judge_need, NEED, {"explained": 0.0069, "after": 0.0015}, "fine", "Needed:"),
        (judge_need, NEED, {"after": 0.06}, "look here", "still 6.00% after"),
        (judge_need, NEED, {"compared": 0.3}, "look here", "Only 30% of the cells"),
        (judge_need, NEED, {"compared": 0.0}, "do not trust", "cannot be told"),
        (judge_overlap, OVERLAP, {}, "fine", "at least 80% of its cells"),
        (judge_overlap, OVERLAP, {"shared": [0.9, 0.3, 1.0]}, "look here", "1 of 3 batches have .* 'b' .30%"),
        (judge_overlap, OVERLAP, {"shared": [0.9, 0.05, 1.0]}, "do not trust", "1 of 3 batches stand alone: 'b'"),
        (
            judge_overlap,
            OVERLAP,
            {"shared": [0.9, 0.4, 0.3], "spread": [0.1, 0.3, 0.2]},
            "do not trust",
            "1 of 3 batches are compared with others in one kind of cells only, .* of their own: 'c'. A diff",
        ),
        (judge_overlap, OVERLAP, {"shared": [0.9, 0.6, 0.7], "spread": [0.1, 0.1, 0.1]}, "fine", "at least 60%"),
        (judge_overlap, OVERLAP, {"shared": [0.9, 0.4, 0.7], "spread": [0.1, 0.3, 0.1]}, "look here", "1 of 3 .*'b'"),
        (judge_overlap, OVERLAP, {"unidentifiable": ["c"]}, "do not trust", "stand alone: 'c'"),
        (judge_overlap, OVERLAP, {"alone": 0.4, "n_alone": 3}, "look here", "40% of the cells are in 3 states"),
        (judge_overlap, OVERLAP, {"groups": [["a", "b", "c"]]}, "fine", "at least 80%"),
        (judge_overlap, OVERLAP, {"groups": [["a", "b"], ["c"]]}, "look here", "2 groups .*'a', 'b'; 'c'.*each group"),
        (judge_overlap, OVERLAP, {"blocks": (["a", "b"], ["c", "d"], 0.61, 1.0)}, "fine", "at least 80%"),
        (
            judge_overlap,
            OVERLAP,
            {"blocks": (["a", "b"], ["c", "d"], 0.5, 0.9)},
            "look here",
            "'a', 'b'; 'c', 'd'.* in each other for 50% of their cells, within for 90%",
        ),
        (judge_balance, BALANCE, {}, "fine", "0.05 standard deviations beyond chance, 0.50 before"),
        (judge_balance, BALANCE, {"before": [1.0, 0.9], "after": [0.2, 0.2]}, "fine", "0.20"),
        (judge_balance, BALANCE, {"before": [0.1, 0.1], "after": [0.08, 0.05]}, "fine", "0.08"),
        (judge_balance, BALANCE, {"before": [0.1, 0.1], "after": [0.12, 0.05]}, "look here", "still 0.12"),
        (judge_balance, BALANCE, {"after": [0.05, 0.2]}, "look here", "still 0.20 .0.40. in 'a' and 'c'"),
        (judge_balance, BALANCE, {"after": [0.4, 0.4]}, "do not trust", "still 0.40"),
        (judge_balance, {"pairs": [], "before": [], "after": []}, {}, "do not trust", "No two batches"),
        (judge_mixing, MIXING, {}, "fine", "51% of a cell's neighbours .* 50% if .* .100% before"),
        (
            judge_mixing,
            MIXING,
            {"after": [0.5, 0.9]},
            "look here",
            "most apart is 'b' .90% of .* 48% of those",
        ),
        (judge_mixing, MIXING, {"after": [0.3, 0.3]}, "look here", "more mixed than their states allow"),
        (judge_mixing, MIXING, {"after": [0.2, 0.9], "elsewhere": [0.1, 0.8]}, "fine", "55% of a cell's neighbours"),
        (judge_mixing, MIXING, {name: [1.0, 1.0] for name in MIXED}, "fine", "100%"),
        (judge_need, NEED, {"explained": 0.001, "outstanding": ["XIST"]}, "fine", "Not needed.*stand out: 'XIST'"),
        (judge_remainder, REMAINDER, {}, "fine", "x or / 1.05 as a rule, surely .* in 1% of 2,000 genes"),
        (judge_remainder, REMAINDER, {"differing": 0.5}, "look here", "50% of 2,000 genes, most in state 3 of 'a'"),
        (judge_remainder, REMAINDER, {"sd": 0.3}, "look here", "x or / 1.35"),
        (judge_remainder, REMAINDER, {"where": ""}, "look here", "No two batches are compared"),
        (judge_remainder, REMAINDER, {"compared": 0.25}, "look here", "in 1% of .* genes; but only 25% of"),
        (judge_remainder, REMAINDER, {"sd": 0.7}, "do not trust", "x or / 2.01"),
        (judge_effects, EFFECTS, {}, "fine", "10 effects differ from none .* x or / 1.22"),
        (judge_effects, EFFECTS, {"families": ["stress genes x 2.00 in 'a'"]}, "fine", "; stress genes x 2.00 in 'a'$"),
        (judge_effects, EFFECTS, {"known": 0.2}, "look here", "80% of the effects are unknown"),
    ],
)
def test_verdicts_and_their_sentence(judge, usual, changes, verdict, words):
    found = judge(**(usual | changes))
    assert found.verdict == verdict
    assert re.search(words, found.text), found.text
    assert (found.cure == "") == (verdict == "fine")
    assert "nan" not in found.text


def test_where_no_gene_is_well_measured_no_median_is_told():
    found = judge_effects(known=0.0, strong=0, median=None, families=[])
    assert found.text == "100% of the effects are unknown and stay 1; 0 effects differ from none (q < 0.05)"
    assert judge_effects(known=1.0, strong=0, median=None, families=[]).value == 0


def test_what_is_unknown_is_judged_by_its_share():
    found = judge_effects(**(EFFECTS | {"known": 0.2}))
    assert found.value == pytest.approx(0.8)
    assert found.value > found.threshold


@pytest.mark.parametrize(
    ("reason", "verdict"), [("converged", "fine"), ("max_rounds", "look here"), ("nothing shared", "do not trust")]
)
def test_convergence(reason, verdict):
    found = judge_convergence(stop_reason=reason, n_rounds=4, change=0.2, tol=0.01)
    assert (found.verdict, found.value, found.threshold) == (verdict, 0.2, 0.01)


def test_probes_are_as_good_as_the_worst():
    assert [judge_probe("split", value, 0.05) for value in (0.02, 0.2, 0.5)] == list(VERDICTS)
    assert [judge_probe("removed", 0.4 + beyond, 0.4) for beyond in (0.02, 0.2, 0.5)] == list(VERDICTS)
    found = judge_probes(verdicts=["fine", "look here"], values=[0.02, 0.2], expected=[0.05, 0.0], names=["x", "y"])
    assert (found.verdict, found.value) == ("look here", 0.2)
    assert "1 of 2 probes pass; furthest off is y: 20% where 0% are right" in found.text
    assert judge_probes(verdicts=[], values=[], expected=[], names=[]).verdict == "look here"


def test_many_names_are_cut_short():
    assert named(["a", "b"]) == "'a', 'b'"
    assert named(list("abcde")) == "'a', 'b', 'c' and 2 more"


def test_the_worst_verdict_counts():
    table = as_table([judge_need(**NEED), judge_overlap(**(OVERLAP | {"alone": 0.4}))])
    assert list(table.columns) == ["check", "verdict", "value", "threshold", "text", "cure"]
    assert Diagnostics({"verdicts": table}).worst == "look here"
    assert Diagnostics({"verdicts": table[:1]}).worst == "fine"
