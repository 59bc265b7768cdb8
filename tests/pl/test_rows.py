"""Figures with one line per batch, gene or pair."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from unbatch import pl
from unbatch.pl import _style


def rows_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def dots(ax, label):
    (found,) = [part for part in ax.collections if part.get_label() == label]
    return np.asarray(found.get_offsets())


def segments(part):
    return [segment.tolist() for segment in part.get_segments()]


BALANCE = pd.DataFrame({"name": ["g1", "g2", "g3"], "before": [-0.4, 0.2, 0.9], "after": [0.05, -0.3, 0.1]})


def test_the_love_plot_shows_absolute_differences_the_largest_first(ax):
    assert pl.love_plot(BALANCE, ax=ax) is ax
    assert rows_of(ax) == ["g3", "g1", "g2"]
    np.testing.assert_allclose(dots(ax, "before"), [[0.9, 0], [0.4, 1], [0.2, 2]])
    np.testing.assert_allclose(dots(ax, "after"), [[0.1, 0], [0.05, 1], [0.3, 2]])
    assert "standard deviations" in ax.get_xlabel()
    assert [line.get_xdata()[0] for line in ax.lines] == [0.1]
    assert ax.yaxis_inverted()


def test_the_love_plot_shows_as_many_names_as_asked(ax):
    pl.love_plot(BALANCE, n_names=1, ax=ax)
    assert rows_of(ax) == ["g3"]


def test_pairs_stand_by_what_is_left_and_the_rest_is_counted(ax):
    table = pd.DataFrame(
        {
            "batch": ["a", "a", "b"],
            "other": ["b", "", "c"],
            "mean_before": [0.3, 0.4, 0.5],
            "mean_after": [0.1, 0.3, 0.2],
        }
    )
    pl.balance_summary(table, n_pairs=2, ax=ax)
    assert rows_of(ax) == ["a \N{EN DASH} all others", "b \N{EN DASH} c"]
    assert ax.get_ylabel() == "pair of batches (2 of 3, largest after first)"
    np.testing.assert_allclose(dots(ax, "after")[:, 0], [0.3, 0.2])


def test_batches_stand_by_their_distance_from_what_is_expected(ax):
    table = pd.DataFrame(
        {"batch": ["a", "b"], "before": [0.9, 0.8], "after": [0.5, 0.2], "expected": [0.45, 0.5], "n_cells": [5, 5]}
    )
    pl.neighbour_share(table, ax=ax)
    assert rows_of(ax) == ["b", "a"]
    np.testing.assert_allclose(dots(ax, "expected"), [[0.5, 0], [0.45, 1]])
    np.testing.assert_allclose(dots(ax, "before"), [[0.8, 0], [0.9, 1]])
    assert ax.get_ylabel() == "batch"


def test_quantiles_of_cells_by_batch_the_highest_median_first(ax):
    own = np.concatenate([np.linspace(0, 1, 21), np.full(5, 0.9), [np.nan]])
    batch = np.repeat([0, 1, 2], [21, 5, 1]).astype(np.int32)
    pl.cell_overlap(own, batch, batches=["wide", "alone", "unknown"], ax=ax)
    assert rows_of(ax) == ["alone", "wide"]
    np.testing.assert_allclose(dots(ax, "median"), [[0.9, 0], [0.5, 1]])
    ends = {part.get_label(): segments(part)[1] for part in ax.collections if part.get_label() != "median"}
    np.testing.assert_allclose(ends["90 % of the cells"], [[0.05, 1], [0.95, 1]])
    np.testing.assert_allclose(ends["50 %"], [[0.25, 1], [0.75, 1]])


def test_explained_variance_is_in_per_cent_beside_what_chance_gives(ax):
    table = pd.DataFrame({"space": ["genes"], "explained": [0.2], "null": [0.01], "null_upper": [0.03]})
    pl.explained_variance(table, ax=ax)
    np.testing.assert_allclose(dots(ax, "batches"), [[20, 0]])
    np.testing.assert_allclose(dots(ax, "mean of the permutations"), [[1, 0]])
    assert ax.patches[0].get_width() == pytest.approx(3)
    assert "%" in ax.get_xlabel()


def test_genes_are_coloured_by_what_chance_explains(ax):
    table = pd.DataFrame(
        {
            "explained_before": [0.2, 0.3, 0.005, 1e-9, np.nan],
            "explained_after": [0.001, 0.2, 0.02, 0.0, 0.1],
            "null_upper": [0.01] * 5,
        }
    )
    pl.explained_by_gene(table, ax=ax)
    shown = {part.get_label(): np.asarray(part.get_offsets()).tolist() for part in ax.collections}
    assert shown["within chance after: 2"] == pytest.approx(np.array([[20, 0.1], [0.01, 0.01]]))
    assert shown["beyond chance, before and after: 1"] == pytest.approx(np.array([[30, 20]]))
    assert shown["beyond chance after only: 1"] == pytest.approx(np.array([[0.5, 2]]))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel().startswith("before")


EFFECTS = pd.DataFrame(
    {
        "gene": ["weak", "strong", "MT-CO1"],
        "batch": ["a", "b", "a"],
        "log_delta": [0.1, -2.0, 1.0],
        "lower": [-0.1, -2.2, 0.8],
        "upper": [0.3, -1.8, 1.2],
        "family": ["", "", "mitochondrial"],
    }
)


def test_effects_stand_by_the_nearer_end_of_their_interval_in_log2(ax):
    pl.effect_intervals(EFFECTS, ax=ax)
    assert rows_of(ax) == ["strong · b", "MT-CO1 · a", "weak · a"]
    np.testing.assert_allclose(dots(ax, "mitochondrial"), [[1 / np.log(2), 1]])
    np.testing.assert_allclose(dots(ax, "none of these"), np.array([[-2 / np.log(2), 0], [0.1 / np.log(2), 2]]))
    spans = [segments(part) for part in ax.collections if hasattr(part, "get_segments")]
    np.testing.assert_allclose(spans[0][0], [[-2.2 / np.log(2), 0], [-1.8 / np.log(2), 0]])
    assert to_hex(ax.collections[-1].get_facecolor()[0]).upper() == _style.COLOURS[0]
    assert "log_2" in ax.get_xlabel()


def test_of_one_batch_the_genes_alone_are_named_and_without_families_there_is_no_legend(ax):
    pl.effect_intervals(EFFECTS.assign(batch="a", family=""), n_genes=2, ax=ax)
    assert rows_of(ax) == ["strong", "MT-CO1"]
    assert ax.get_legend() is None


def test_departures_stand_by_their_size_in_standard_errors(ax):
    table = pd.DataFrame(
        {
            "gene": ["g1", "g2"],
            "state": [3, 4],
            "batch": ["a", "b"],
            "log_ratio": [1.0, -1.0],
            "se": [0.5, 0.1],
            "z": [2.0, -10.0],
        }
    )
    pl.departures(table, ax=ax)
    assert rows_of(ax) == ["g2 · 4", "g1 · 3"]
    np.testing.assert_allclose(dots(ax, "b"), [[-1 / np.log(2), 0]])
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"a", "b"}


def test_departures_of_states_are_zero_for_noise_and_grey_where_nothing_is_compared(ax):
    table = pd.DataFrame({"state": [10, 2, 2], "batch": ["b", "a", "b"], "mean_square": [4.0, 1.0, 0.0]})
    pl.departures_heatmap(table, ax=ax)
    assert rows_of(ax) == ["2", "10"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "a"]
    np.testing.assert_allclose(ax.images[0].get_array().filled(np.nan), [[np.nan, 0], [2, np.nan]])


@pytest.mark.parametrize(
    ("draw", "table", "sentence"),
    [
        (pl.love_plot, BALANCE, "no cells of the two batches were matched"),
        (pl.balance_summary, BALANCE, "no cells of different batches were matched"),
        (pl.neighbour_share, BALANCE, "no batch has neighbours"),
        (pl.explained_variance, BALANCE, "no variance was measured"),
        (pl.effect_intervals, EFFECTS, "no batch effect is known"),
        (pl.departures, EFFECTS, "no state departs from the effects"),
        (pl.departures_heatmap, EFFECTS, "no state is known"),
    ],
)
def test_an_empty_table_is_a_sentence(ax, draw, table, sentence):
    draw(table.iloc[:0], ax=ax)
    assert [text.get_text() for text in ax.texts] == [sentence]
