import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

from unbatch import pl, slots
from unbatch._check import InputError
from unbatch.fitted import BatchFit
from unbatch.pl import _style
from unbatch.stored_fit import as_anndata


@pytest.fixture
def adata():
    """A fit as its slots leave it: 6 cells, 3 genes, batches "a | x" and "b | x"."""
    obs = pd.DataFrame({"donor": list("aaabbb"), "site": "x"}, index=[f"c{i}" for i in range(6)])
    return as_anndata(
        BatchFit(
            log_delta=np.array([[0.5, -0.5], [-1.0, 1.0], [0.0, 0.0]]),
            se=np.array([[0.1, 0.1], [0.1, 0.1], [np.inf, np.inf]]),
            measured=np.ones((3, 2), dtype=bool),
            sample=np.array([0, 0, 1, 0, 1, -1]),
            overlap=np.linspace(0, 1, 6),
            embedding=np.arange(18.0, dtype=np.float32).reshape(6, 3),
            batches=("a | x", "b | x"),
            too_small=(),
            batch_sizes=np.array([3, 3]),
            support=np.array([[1.0, 0.5], [0.25, 1.0]]),
            mu=np.ones((3, 2)),
            basis=np.ones((3, 3)),
            trace={"max_change": np.zeros(1)},
            stop_reason="converged",
            method="concept",
            parameters={"seed": 0},
            batch_key=("donor", "site"),
            layer=None,
            versions={},
            timings={},
            obs=obs,
            var=pd.DataFrame(index=["g0", "g1", "g2"]),
        )
    )


def test_batch_effects_shows_the_fitted_effects_with_the_names_of_genes_and_batches(adata, ax):
    assert pl.batch_effects(adata, ax=ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == ["g0", "g1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a | x", "b | x"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.5, -0.5], [-1.0, 1.0]] / np.log(2))


def test_overlap_shows_the_support_of_the_fit(adata, ax):
    pl.overlap(adata, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["", "0.50", "0.25", ""]


def test_balance_counts_the_cells_that_took_part_by_batch_and_sample(adata, ax):
    pl.pseudobulk_balance(adata, ax=ax)
    counts = np.array([[2, 1], [1, 1]])
    expected = np.log2((counts / counts.sum(axis=0)) / (counts.sum(axis=1, keepdims=True) / 5))
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a | x", "b | x"]


def test_balance_says_which_column_is_gone(adata):
    del adata.obs["site"]
    with pytest.raises(InputError, match="no column 'site'"):
        pl.pseudobulk_balance(adata)


def test_balance_says_which_batch_is_new(adata):
    adata.obs["site"] = ["x"] * 5 + ["y"]
    with pytest.raises(InputError, match=r"1 batches that the fit did not see \(first: 'b \| y'\)"):
        pl.pseudobulk_balance(adata)


def test_balance_needs_batches_from_obs(adata):
    adata.uns[slots.RECORD]["batch_key"] = np.array([], dtype=object)
    with pytest.raises(InputError, match="not from obs"):
        pl.pseudobulk_balance(adata)


def test_embedding_gives_one_axes_per_column_numbers_with_a_colour_bar(adata):
    by_donor, by_overlap = pl.embedding(adata, ["donor", slots.OVERLAP])
    np.testing.assert_array_equal(
        np.sort(np.asarray(by_donor.collections[0].get_offsets()), axis=0), adata.obsm[slots.EMBEDDING][:, :2]
    )
    assert by_donor.get_xlabel() == "X_unbatch 1"
    assert by_donor.get_legend().get_title().get_text() == "donor"
    assert by_overlap.get_legend() is None
    assert by_overlap.figure.axes[-1].get_ylabel() == slots.OVERLAP


def legend_of(ax):
    """Colour of each name in the legend."""
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    return dict(zip(names, [to_hex(handle.get_color()).upper() for handle in legend.legend_handles], strict=True))


def test_a_batch_has_the_colour_of_its_place_in_the_fit_in_every_figure(adata):
    ours = dict(zip(["a | x", "b | x"], _style.COLOURS, strict=False))
    assert legend_of(pl.batch_effects(adata, kind="volcano")) == ours
    for batch, colour in ours.items():
        volcano = pl.batch_effects(adata, kind="volcano", batch=batch)
        assert legend_of(volcano) == {batch: colour}
        assert to_hex(volcano.collections[-1].get_facecolor()[0]).upper() == colour
    assert legend_of(pl.embedding(adata)[0]) == ours
    assert legend_of(pl.embedding(adata[3:].copy())[0]) == {"b | x": ours["b | x"]}


def test_the_column_that_names_the_batches_stands_in_the_order_of_the_fit(adata):
    adata.obs["run"] = np.where(adata.obs["donor"] == "a", "10", "9")
    record = adata.uns[slots.RECORD]
    record["batches"], record["batch_key"] = np.array(["10", "9"], dtype=object), np.array(["run"], dtype=object)
    assert list(legend_of(pl.embedding(adata, "run")[0])) == ["10", "9"]
    del adata.uns[slots.RECORD]
    assert list(legend_of(pl.embedding(adata, "run")[0])) == ["9", "10"]


def test_categories_stand_in_their_order_and_cells_without_a_label_last(adata):
    adata.obs["day"] = pd.Categorical(
        ["late", None, "early", "mid", "mid", "late"], ["early", "mid", "late"], ordered=True
    )
    assert list(legend_of(pl.embedding(adata, "day")[0])) == ["early", "mid", "late", "(missing)"]


def test_colours_that_scanpy_keeps_of_a_column_are_those_of_its_categories(adata):
    adata.obs["day"] = pd.Categorical(["late", None, "early", "mid", "mid", "late"], ["early", "mid", "late"])
    adata.uns["day_colors"] = np.array(["#111111", "#222222", "red"], dtype=object)
    kept = {"early": "#111111", "mid": "#222222", "late": "#FF0000", "(missing)": _style.MISSING}
    assert legend_of(pl.embedding(adata, "day")[0]) == kept
    ours = dict(zip(kept, _style.COLOURS, strict=False))
    for useless in (["#111111"], ["no", "such", "colours"], {"early": "red"}):
        adata.uns["day_colors"] = useless
        assert legend_of(pl.embedding(adata, "day")[0]) == ours


def test_embedding_takes_one_axes_for_one_column(adata, ax):
    assert pl.embedding(adata, "donor", ax=ax) == [ax]
    with pytest.raises(InputError, match="one axes was given for 2 panels"):
        pl.embedding(adata, ["donor", "site"], ax=ax)


@pytest.mark.parametrize(
    ("color", "basis", "message"),
    [("nobody", slots.EMBEDDING, "no column 'nobody'"), ("donor", "X_umap", "no embedding 'X_umap'; it has")],
)
def test_embedding_names_what_is_missing(adata, color, basis, message):
    with pytest.raises(InputError, match=message):
        pl.embedding(adata, color, basis=basis)


def test_an_embedding_of_one_dimension_is_no_figure(adata):
    adata.obsm["X_time"] = np.arange(float(adata.n_obs))[:, None]
    with pytest.raises(InputError, match="the embedding 'X_time' has 1 dimensions: a figure needs 2"):
        pl.embedding(adata, "donor", basis="X_time")


def test_without_a_fit_every_figure_says_how_to_get_one():
    for draw in (pl.batch_effects, pl.overlap, pl.balance, pl.need, pl.trace, pl.recovery, pl.pseudobulk_balance):
        with pytest.raises(InputError, match="batch_effects"):
            draw(AnnData(np.ones((2, 2))))
