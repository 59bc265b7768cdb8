import numpy as np
import pandas as pd
import pytest

from unbatch._check import InputError
from unbatch.report import maps
from unbatch.report.maps import draw_maps
from unbatch.report.reading import read_fitted

from .made import made

GENES, BATCHES = ["g0", "g1", "g2"], ["a", "b"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The first two coordinates instead of t-SNE, which has tests of its own."""
    monkeypatch.setattr(maps, "tsne", lambda values, *, seed: np.asarray(values, dtype=np.float64)[:, :2] + 0 * seed)


def drawn(adata, *, most_cells=100, columns=()):
    return draw_maps(read_fitted(adata, most_cells=most_cells, columns=columns), most_cells=most_cells, columns=columns)


def dots_of(one):
    """Place of every dot, with its level."""
    found = []
    for dots in one.dots:
        for step in dots.path.split("M")[1:]:
            x, y = step.removesuffix("h0").split()
            found.append((float(x), float(y), dots.level))
    return found


def test_before_and_after_hold_the_same_cells_in_the_colours_of_their_batches():
    adata = made(genes=GENES, batches=BATCHES, n_cells=80)
    found = drawn(adata)
    (group,) = found.maps
    assert (group.column, group.levels, group.legend) == ("batch", ("a", "b"), True)
    assert [one.title for one in group.maps] == ["Before", "After"]
    for one in group.maps:
        levels = [level for *_, level in dots_of(one)]
        assert [levels.count(0), levels.count(1)] == [40, 40]
    assert found.said.startswith("80 of 80 cells, laid out by t-SNE")


def test_dots_fill_the_square_and_up_is_up():
    adata = made(genes=GENES, batches=BATCHES, n_cells=80)
    after = adata.uns["unbatch"]["diagnostics"]["after"]
    highest = int(np.argmax(after[:, 1]))
    group = drawn(adata).maps[0]
    dots = np.array(dots_of(group.maps[1]))
    assert 0 <= dots[:, :2].min() <= 20
    assert 980 <= dots[:, :2].max() <= 1000
    top = dots[np.argmin(dots[:, 1])]
    assert top[2] == highest % 2


def test_other_columns_colour_the_same_dots():
    adata = made(genes=GENES, batches=BATCHES, n_cells=80)
    by_batch, by_kind = drawn(adata, columns=["kind"]).maps
    assert by_kind.levels == ("<b>T</b>", "B")
    places = [sorted((x, y) for x, y, _ in dots_of(group.maps[0])) for group in (by_batch, by_kind)]
    assert places[0] == places[1]


def test_a_column_with_gaps_and_very_many_levels():
    adata = made(genes=GENES, batches=BATCHES, n_cells=400, diagnostics=False)
    adata.obs["many"] = pd.Series([None, *range(399)], index=adata.obs_names, dtype=object)
    _, group = drawn(adata, most_cells=400, columns=["many"]).maps
    assert len(group.levels) == maps.MOST_LEVELS
    assert "(all others)" in group.levels
    assert not group.legend
    assert len(dots_of(group.maps[0])) == 400


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.arange(12), [str(number) for number in range(12)]),
        ([f"donor {number}" for number in range(12)], [f"donor {number}" for number in range(12)]),
        (
            pd.Categorical(["late", "early", "mid"] * 4, ["early", "mid", "late"], ordered=True),
            ["early", "mid", "late"],
        ),
        (pd.Categorical(["b", None, "a"] * 4, ["b", "none", "a"]), ["b", "a", "(missing)"]),
        ([0.5, -1.5, np.nan] * 4, ["-1.5", "0.5", "(missing)"]),
    ],
)
def test_levels_stand_in_their_order(values, levels):
    adata = made(genes=GENES, batches=BATCHES, n_cells=60)
    repeated = np.resize(np.arange(12), 60)
    adata.obs["what"] = pd.Series(values)[repeated].set_axis(adata.obs_names)
    _, group = drawn(adata, columns=["what"]).maps
    assert list(group.levels) == levels


def test_of_very_many_levels_the_order_stays_and_the_rest_and_missing_labels_stand_last():
    adata = made(genes=GENES, batches=BATCHES, n_cells=400, diagnostics=False)
    adata.obs["many"] = pd.Series([None, None, *range(58), *range(340)], index=adata.obs_names, dtype=object)
    _, group = drawn(adata, most_cells=400, columns=["many"]).maps
    numbers = [int(level) for level in group.levels[:-2]]
    assert numbers == sorted(numbers)
    assert group.levels[-2:] == ("(all others)", "(missing)")


def test_a_measure_is_refused_before_cells_are_laid_out(monkeypatch):
    monkeypatch.delattr(maps, "tsne")
    adata = made(genes=GENES, batches=BATCHES, n_cells=80)
    adata.obs["score"] = np.linspace(0, 1, 80)
    with pytest.raises(InputError, match=r"obs\['score'\] holds 80 different numbers .*pd.cut"):
        drawn(adata, columns=["score"])
    assert drawn(adata, columns=["score"], most_cells=0).maps == ()


def test_a_fit_without_diagnostics_shows_what_it_has():
    found = drawn(made(genes=GENES, batches=BATCHES, diagnostics=False))
    assert [one.title for one in found.maps[0].maps] == ["After"]
    assert "does not hold their places before" in found.said


def test_batches_that_no_column_names_leave_the_maps_to_other_columns():
    adata = made(genes=GENES, batches=BATCHES, diagnostics=False, batch_key=np.array([], dtype=object))
    assert drawn(adata).maps == ()
    assert [group.column for group in drawn(adata, columns=["kind"]).maps] == ["kind"]


def test_a_fit_of_effects_only_says_why_there_are_no_maps():
    adata = made(genes=GENES, batches=BATCHES, diagnostics=False, placed=False)
    del adata.obsm["X_unbatch"]
    adata.obs = adata.obs[["batch"]]
    assert "effects only" in drawn(adata).said


def test_no_maps_if_none_were_asked_for():
    assert drawn(made(genes=GENES, batches=BATCHES), most_cells=0).said == "No maps were asked for."
