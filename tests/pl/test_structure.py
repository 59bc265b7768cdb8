import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from unbatch import pl
from unbatch._check import InputError
from unbatch.pl import _style
from unbatch.pl._structure import cell_order
from unbatch.programmes.result import HELD_OUT, FactorFit
from unbatch.programmes.slots import write_factors

SHARES = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.0, 0.0]])


def drawn(ax):
    """The picture as it comes out, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def pixel(ax, picture, x, y):
    column, row = ax.transData.transform((x, y)).round().astype(int)
    return to_hex(picture[len(picture) - 1 - row, column] / 255).upper()


def test_cells_stand_by_dominant_factor_and_its_share():
    assert cell_order(SHARES[:4]).tolist() == [1, 3, 0, 2]


def test_the_picture_shows_each_share_in_its_colour_and_leaves_cells_without_counts_out(ax):
    assert pl.structure_bars(SHARES, title="all", ax=ax) is ax
    picture = drawn(ax)
    assert ax.get_xlim() == (0, 4)
    first, second = _style.COLOURS[:2]
    for place, share in enumerate([0.9, 0.7, 0.2, 0.4]):
        assert pixel(ax, picture, place + 0.5, share - 0.06) == first
        assert pixel(ax, picture, place + 0.5, share + 0.06) == second
    assert ax.get_xlabel() == "4 cells, by dominant factor"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "2"]


def test_groups_stand_side_by_side_in_the_given_order(ax):
    groups = ["b", "a", "b", "a", "a"]
    pl.structure_bars(SHARES, groups=groups, levels=["b", "none", "a"], ax=ax)
    picture = drawn(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "a"]
    first, second = _style.COLOURS[:2]
    assert pixel(ax, picture, 0.5, 0.15) == first
    assert pixel(ax, picture, 0.5, 0.3) == second
    assert pixel(ax, picture, 2.6, 0.8) == first
    assert pixel(ax, picture, 2.025, 0.5) == "#FFFFFF"


def test_a_million_cells_are_few_bars_that_show_means(ax):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1.0, 1.0, 1.0], 1_000_000)
    pl.structure_bars(shares, ax=ax)
    for t, bars in enumerate(ax.collections):
        (path,) = bars.get_paths()
        assert len(path.vertices) < 8000
        assert 0 <= path.vertices[:, 1].min() <= path.vertices[:, 1].max() <= 1 + 1e-9, t
    (path,) = ax.collections[0].get_paths()
    top = path.vertices[path.vertices[:, 1] > 0]
    assert top[np.argmin(np.abs(top[:, 0] - 100)), 1] > 0.9


def test_beyond_eight_factors_a_hatch_tells_them_apart(ax):
    pl.structure_bars(np.full((10, 20), 1 / 20), ax=ax)
    looks = {(to_hex(bars.get_facecolor()[0]), bars.get_hatch()) for bars in ax.collections}
    assert len(looks) == 20
    drawn(ax)


def test_beyond_forty_groups_their_number_is_told(ax):
    pl.structure_bars(np.full((50, 2), 0.5), groups=[f"g{i}" for i in range(50)], ax=ax)
    assert not ax.get_xticks().size
    assert "in 50 groups" in ax.get_xlabel()


def test_nothing_to_draw_is_said():
    with pytest.raises(InputError, match="none of 3 cells"):
        pl.structure_bars(np.zeros((3, 2)))


@pytest.fixture
def adata():
    adata = ad.AnnData(
        np.ones((5, 2)), obs=pd.DataFrame({"batch": pd.Categorical(list("xxyyy"), ["y", "x"])}, index=list("01234"))
    )
    found = FactorFit(
        proportions=SHARES.astype(np.float32),
        beta=np.full((2, 2), 0.5),
        counts=np.ones(2),
        deviance=np.ones(1),
        stop_reason="converged",
        unconverged=0,
        held_out=pd.DataFrame(columns=HELD_OUT),
        n_pseudobulks=2,
        parameters={},
        versions={},
    )
    write_factors(adata, found, key="mine")
    return adata


def test_structure_draws_the_slots_in_the_order_of_the_categories(adata, ax):
    assert pl.structure(adata, group_by="batch", key="mine", title="after", ax=ax) is ax
    assert [label.get_text() for label in ax.get_xticklabels()] == ["y", "x"]
    assert ax.get_title() == "after"
    assert pl.structure(adata, key="mine").get_xlabel().startswith("4 cells")


@pytest.mark.parametrize("dtype", ["category", object])
def test_cells_without_a_label_stand_last(adata, ax, dtype):
    adata.obs["donor"] = pd.Series(["z 10", None, "z 2", np.nan, "z 2"], index=adata.obs_names).astype(dtype)
    pl.structure(adata, group_by="donor", key="mine", ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["z 2", "z 10", "(missing)"]
    assert ax.get_xlim()[1] > 4


@pytest.mark.parametrize("dtype", ["category", object])
def test_cells_may_all_be_without_a_label(adata, ax, dtype):
    adata.obs["donor"] = pd.Series([None] * 5, index=adata.obs_names, dtype=object).astype(dtype)
    pl.structure(adata, group_by="donor", key="mine", ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["(missing)"]


def test_groups_that_the_levels_leave_out_are_named():
    with pytest.raises(InputError, match=r"leave out 1 groups with cells \(first: 'a'\)"):
        pl.structure_bars(SHARES, groups=list("babaa"), levels=["b"])


def test_structure_names_what_is_missing(adata):
    with pytest.raises(InputError, match="holds no programmes"):
        pl.structure(adata)
    with pytest.raises(InputError, match="no column 'type'"):
        pl.structure(adata, group_by="type", key="mine")
