"""Every figure is legible: no text is cut off, names do not run into one another, none is read as a formula."""

import itertools

import matplotlib as mpl
import pytest
from example import HOSTILE, fitted

from unbatch import pl
from unbatch._check import InputError

_FORMULA = "x^2"
CALLS = {
    "batch_effects": pl.batch_effects,
    "volcano": lambda adata: pl.batch_effects(adata, kind="volcano"),
    "strongest": pl.strongest,
    "need": pl.need,
    "need-genes": lambda adata: pl.need(adata, kind="genes"),
    "overlap-pairs": pl.overlap,
    "overlap-distances": lambda adata: pl.overlap(adata, kind="distances"),
    "overlap-states": lambda adata: pl.overlap(adata, kind="states"),
    "overlap-cells": lambda adata: pl.overlap(adata, kind="cells"),
    "balance-genes": pl.balance,
    "balance-dimensions": lambda adata: pl.balance(adata, kind="dimensions"),
    "balance-pairs": lambda adata: pl.balance(adata, kind="pairs"),
    "pseudobulk_balance": pl.pseudobulk_balance,
    "embedding": lambda adata: pl.embedding(adata, basis=["before", "after"])[0],
    "mixing": pl.mixing,
    "remainder-states": pl.remainder,
    "remainder-genes": lambda adata: pl.remainder(adata, kind="genes"),
    "trace": pl.trace,
    "recovery": pl.recovery,
}
DIAGNOSED = CALLS.keys() - {"batch_effects", "volcano", "overlap-pairs", "pseudobulk_balance", "trace", "recovery"}
PLACED = {"overlap-distances", "overlap-cells", "pseudobulk_balance", "embedding", "mixing"}

CASES = {
    "one batch, one state, eight cells": lambda: fitted(1, n_genes=4, n_states=1, n_cells=8),
    "forty batches with hostile names": lambda: fitted(40, hostile=True, n_cells=400),
    "two hundred batches": lambda: fitted(200, n_genes=30, n_cells=800),
}


@pytest.fixture(scope="module", params=CASES)
def adata(request):
    return CASES[request.param]()


def texts_of(figure):
    """What is written in a figure, ticks outside the axes left out."""
    figure.draw_without_rendering()
    for text in figure.findobj(mpl.text.Text):
        if text.get_visible() and text.get_text().strip():
            yield text


def ticks_of(axis):
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        label = tick.label1 if tick.label1.get_visible() else tick.label2
        if low <= tick.get_loc() <= high and label.get_text():
            yield label


def check_legible(figure):
    width, height = figure.bbox.width, figure.bbox.height
    drawn = list(texts_of(figure))
    ticks = [[*ticks_of(ax.xaxis)] for ax in figure.axes], [[*ticks_of(ax.yaxis)] for ax in figure.axes]
    every_tick = set(itertools.chain(*(ax.get_xticklabels() + ax.get_yticklabels() for ax in figure.axes)))
    shown_ticks = set(itertools.chain(*ticks[0], *ticks[1]))
    for text in drawn:
        if text in every_tick and text not in shown_ticks:
            continue
        box = text.get_window_extent()
        for low, high, end in ((box.x0, box.x1, width), (box.y0, box.y1, height)):
            assert low >= -1, (text.get_text(), low)
            assert high <= end + 1, (text.get_text(), high, end)
        assert len(text.get_text()) < 120
        assert not (_FORMULA in text.get_text() and text.get_parse_math())
        assert text.get_fontsize() >= 6
    for labels in itertools.chain(*ticks):
        for one, other in itertools.pairwise(labels):
            if one.get_rotation() in (0, 90):
                assert not one.get_window_extent().overlaps(other.get_window_extent()), (one, other)
    for ax in figure.axes:
        if ax.axison:
            assert ax.get_window_extent().width > 5
            assert ax.get_window_extent().height > 5


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_cut_off_and_no_names_run_into_one_another(adata, name):
    check_legible(CALLS[name](adata).figure)


@pytest.mark.parametrize("name", CALLS)
def test_a_fit_of_effects_only_or_without_diagnostics_is_drawn_or_says_what_to_do(name):
    only = fitted(2, effects_only=True, n_cells=60)
    if name in PLACED:
        with pytest.raises(InputError, match="effects only"):
            CALLS[name](only)
    elif name != "balance-dimensions":
        check_legible(CALLS[name](only).figure)
    bare = fitted(2, diagnosed=False, n_cells=60)
    if name in DIAGNOSED:
        with pytest.raises(InputError, match=r"unbatch\.tl\.diagnose\(adata\), or `unbatch diagnose`"):
            CALLS[name](bare)
    else:
        CALLS[name](bare)


def test_without_any_effect_that_is_said():
    adata = fitted(3, n_cells=60)
    adata.varm["batch_effects"][:], adata.varm["batch_effects_se"][:] = 0, float("inf")
    for name in ("batch_effects", "volcano", "recovery"):
        ax = CALLS[name](adata)
        assert [text.get_text() for text in ax.texts] == ["no batch effect is known"]


def test_the_hostile_names_are_hostile():
    assert max(map(len, HOSTILE)) == 10_000
    assert any(mpl.cbook.is_math_text(name) and _FORMULA in name for name in HOSTILE)
    assert any("\n" in name for name in HOSTILE)
