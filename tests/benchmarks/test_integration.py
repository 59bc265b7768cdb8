"""The arithmetic of the integration benchmark: totals, probes, goals and tables, on data made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from integration import goals, probes, tables
from integration.clustering import nmi_ari
from integration.total import METRICS, summary

METRIC = dict.fromkeys(METRICS, 0.5)


def test_the_total_is_four_tenths_mixing_and_six_tenths_biology():
    scores = dict(zip(METRICS, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0], strict=True))
    found = summary(scores)
    assert found["batch"] == pytest.approx(0.25)
    assert found["bio"] == pytest.approx(0.72)
    assert found["total"] == pytest.approx(0.4 * 0.25 + 0.6 * 0.72)


def test_a_metric_that_cannot_be_computed_is_left_out():
    assert summary(METRIC | {"kbet": math.nan, "ilisi": 0.8})["batch"] == pytest.approx(0.6)
    assert math.isnan(summary(dict.fromkeys(METRICS, math.nan))["total"])


def test_clusters_that_are_the_labels_score_one():
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b", "c"], 50)
    centres = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 50, axis=0)
    assert nmi_ari(centres + rng.normal(size=(150, 2)), label) == pytest.approx((1.0, 1.0))
    assert max(nmi_ari(rng.normal(size=(150, 2)), label)) < 0.2


def test_clusters_are_found_without_the_luck_of_one_start():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(16), 10)
    values = rng.normal(size=(160, 2)) * 0.4
    values[:, 0] += 100 * (label // 4) + 3 * (label % 4)
    assert nmi_ari(values, label) == pytest.approx((1.0, 1.0))


def test_the_largest_batch_is_split_in_halves_by_the_seed():
    batch = np.repeat(["a", "b"], [31, 60])
    first, again, other = (probes.split_largest(batch, seed) for seed in (1, 1, 2))
    names, sizes = np.unique(first, return_counts=True)
    assert dict(zip(names, sizes, strict=True)) == {"a": 31, "b (1)": 30, "b (2)": 30}
    np.testing.assert_array_equal(first, again)
    assert 0.2 < np.mean(first[31:] == other[31:]) < 0.8


def test_a_type_goes_from_the_batch_with_most_of_it_if_enough_go_and_stay():
    numbers = {
        ("t", "x"): 30,
        ("t", "y"): 50,
        ("few stay", "x"): 50,
        ("few stay", "y"): 19,
        ("", "x"): 50,
        ("", "y"): 50,
    }
    label, batch = (np.concatenate([np.repeat(key[i], n) for key, n in numbers.items()]) for i in (0, 1))
    assert probes.removals(label, batch, label != "") == [probes.Removal("t", "y")]


def test_neighbours_kept_are_counted_cell_by_cell():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 3))
    assert probes.kept(values, 2 * values + 1) == 1
    shuffled = values.copy()
    shuffled[200:] = 100 + rng.permutation(values[200:])
    separate = values.copy()
    separate[200:] += 100
    assert 0.5 < probes.kept(separate, shuffled) < 0.6
    assert probes.kept_by_seeds([values]) == 1
    assert probes.kept_by_seeds([separate, separate, shuffled]) == pytest.approx(
        (1 + 2 * probes.kept(separate, shuffled)) / 3
    )


def test_a_type_that_merges_is_seen_and_named():
    rng = np.random.default_rng(0)
    label = np.repeat(["t", "u", "v"], [40, 100, 100])
    before = rng.normal(size=(240, 2)) + np.repeat([[0, 0], [20, 0], [0, 20]], [40, 100, 100], axis=0)
    after = before.copy()
    after[:40] += [0, 20]
    found = probes.purity(before, after, label, np.arange(40))
    assert found.before == 1
    assert found.after < 0.5
    assert found.loss == found.before - found.after
    assert found.into == "v"
    assert probes.purity(before, before, label, np.arange(40)).loss == 0
    purer = probes.purity(after, before, label, np.arange(40))
    assert purer.loss == -found.loss
    assert purer.into == "u"


def test_an_interval_covers_none_if_it_holds_zero():
    assert probes.coverage(np.array([-1.0, 0.1, -2.0, 0.0]), np.array([1.0, 0.2, -0.1, 0.0])) == 0.5


def scores(**totals):
    """One row per method and set, from lists of totals; biology is the total."""
    rows = [
        METRIC | {"set": f"s{i}", "method": method, "seed": 0, "note": "" if total else "not run"}
        | dict.fromkeys(("batch", "bio", "total"), total or math.nan)
        for method, values in totals.items()
        for i, total in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_goals_are_judged_against_the_best_peer_that_has_all_sets():
    peers = {"harmony": [0.6, 0.7], "combat": [0.65, 0.62], "scvi": [0.9, None]}
    ahead, harmony, biology = goals.of_scores(scores(pca=[0.5, 0.5], **peers, unbatch=[0.7, 0.69]), "unbatch")
    assert (ahead.measured, ahead.met) == ("+0.045 to harmony; -0.200 to scvi on the 1 that it has", True)
    assert (harmony.measured, harmony.met) == ("1 of 2", False)
    assert (biology.measured, biology.met) == ("worst: +0.190 (s1); below on 0 of 2", True)


def test_goals_are_met_within_their_limits():
    found = goals.of_scores(scores(pca=[0.709] * 11, harmony=[0.6] * 9 + [0.71] * 2, unbatch=[0.70] * 11), "unbatch")
    assert [goal.met for goal in found] == [True, True, True]
    below = goals.of_scores(scores(pca=[0.72, 0.5], unbatch=[0.70, 0.9]), "unbatch")
    assert [goal.met for goal in below] == [False]


def test_probes_are_judged_at_their_worst():
    splits = pd.DataFrame({"set": ["s", "t"], "method": "unbatch", "split": [0.78, 0.5], "seeds": [0.8, 0.55]})
    covered = pd.DataFrame({"set": ["s", "s", "t"], "coverage": [0.92, 0.97, 0.95]})
    kept, coverage = goals.of_splits(splits, covered, "unbatch")
    assert (kept.measured, kept.met) == ("worst: 0.909 (t); 1 of 2 sets", False)
    assert (coverage.measured, coverage.met) == ("worst: 0.945 (s)", True)
    removed = pd.DataFrame(
        {"set": "s", "method": "unbatch", "label": ["B", "T"], "into": ["T", "NK"], "loss": [0.2, 0.1]}
    )
    (merged,) = goals.of_removals(removed, "unbatch")
    assert (merged.measured, merged.met) == ("1 of 2 merge; worst: B into T, -0.20 (s)", False)
    assert goals.of_removals(removed, "harmony") == []


def test_a_mean_over_sets_is_of_methods_that_have_all_of_them():
    text = tables.scores(scores(harmony=[0.6, 0.7], scvi=[0.9, None]))
    total = text.split("\n\n")[0]
    assert "| s1 | 0.700 | not run |" in total
    assert "| mean over sets | 0.650 | not all run |" in total


def test_seeds_are_averaged_and_their_range_is_told():
    both = pd.concat([scores(harmony=[0.6]), scores(harmony=[0.7]).assign(seed=1)])
    assert "| s0 | 0.650 (0.100) |" in tables.scores(both)
    part = pd.concat([scores(scvi=[0.6]), scores(scvi=[None]).assign(seed=1)])
    assert "| s0 | 0.600 [1 of 2 seeds] |" in tables.scores(part)


def test_tables_go_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "docs" / "page.md"
    tables.put("first", page)
    page.write_text(f"# Title\n\n{page.read_text()}\nProse.\n")
    tables.put("second", page)
    text = page.read_text()
    assert "second" in text
    assert "first" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("Prose.\n")
