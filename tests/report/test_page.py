"""The page as text: what stands in it, that it is whole, and that no name is ever read as markup."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from unbatch.report import maps
from unbatch.report.page import render
from unbatch.report.reading import read_fitted

from .made import HOSTILE, made

VOID = {"meta", "input", "img", "br", "link", "base"}


class Outline(HTMLParser):
    """Elements, headings and words of a page; complains of what is not closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.headings, self.words, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), data))
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(maps, "tsne", lambda values, *, seed: np.asarray(values, dtype=np.float64)[:, :2] + 0 * seed)


def page_of(adata, *, columns=()):
    return render(read_fitted(adata, most_cells=60, columns=columns), most_cells=60, columns=columns)


def plain(**options):
    return made(genes=[f"g{place}" for place in range(30)], batches=["a", "b", "c"], **options)


def test_every_section_is_there_in_order_and_headings_skip_no_level():
    outline = Outline(page_of(plain()))
    levels = [level for level, _ in outline.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    links = [attrs["href"] for tag, attrs in outline.elements if tag == "a" and "href" in attrs]
    assert {link[1:] for link in links} <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)
    order = [outline.ids.index(name) for name in ("verdicts", "need", "overlap", "balance", "effects", "maps", "run")]
    assert order == sorted(order)


def test_every_table_has_a_caption_and_scopes_and_every_picture_words():
    outline = Outline(page_of(plain(), columns=["kind"]))
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("caption") == tags.count("table") > 10
    assert all("scope" in attrs for tag, attrs in outline.elements if tag == "th")
    for tag, attrs in outline.elements:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])
        if tag == "img":
            assert attrs["alt"]


def test_verdicts_come_first_with_the_worst_as_headline():
    text = Outline(page_of(plain())).text
    assert text.index("Do not trust this correction as it is") < text.index("Was it needed?")
    assert "5 checks: 1 do not trust, 1 look here, 3 fine." in text
    assert "90% of neighbours are of the same batch." in text
    assert "Fit more rounds." in text


def test_numbers_of_the_record_are_on_the_page():
    adata = plain()
    record = adata.uns["unbatch"]["diagnostics"]
    record["mixing"].loc[0, ["before", "after"]] = [0.873, 0.412]
    record["balance_summary"].loc[0, "mean_after"] = 0.0777
    text = Outline(page_of(adata)).text
    for number in ("87%", "41%", "0.0777", "mitochondrial", "1.0e\u22129"):
        assert number in text, number


def test_of_a_part_of_the_cells_it_says_how_many_there_were():
    whole = plain()
    text = Outline(page_of(whole)).text
    n_cells = int(whole.uns["unbatch"]["batch_sizes"].sum())
    assert f"{n_cells} cells, 30 genes" in text
    assert "still there" not in text
    part = Outline(page_of(whole[: n_cells // 2, :20].copy())).text
    assert f"{n_cells} cells, 30 genes" in part
    assert f"{n_cells // 2} of the cells and 20 of the genes are still there." in part


def test_departures_of_a_handful_of_cells_are_left_out():
    adata = plain()
    states = adata.uns["unbatch"]["diagnostics"]["remainder_states"]
    states["n_cells"], states["mean_square"] = [9, 10], [77.7, 1.23]
    text = Outline(page_of(adata)).text
    assert "1.23" in text
    assert "77.7" not in text


def test_it_loads_nothing_and_runs_nothing_but_its_own():
    page = page_of(plain())
    outline = Outline(page)
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)[^"']""", page)
    assert not [attrs for _, attrs in outline.elements if any(name.startswith("on") for name in attrs)]
    assert not [attrs for _, attrs in outline.elements if "style" in attrs]
    (policy,) = [attrs["content"] for tag, attrs in outline.elements if attrs.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def test_the_same_fit_gives_the_same_page():
    assert page_of(plain()) == page_of(plain())


def test_without_diagnostics_it_says_how_to_have_them():
    outline = Outline(page_of(plain(diagnostics=False)))
    assert "ub.tl.diagnose(adata)" in outline.text
    assert "Effects by batch" in outline.text
    assert "fine" not in outline.text
    mapped = {
        "n_cells": 9,
        "known": ["a"],
        "batches": ["a", "b"],
        "missing_genes": 1,
        "unknown_genes": 0,
        "expressed_in": "mean over batches",
    }
    text = Outline(page_of(plain(diagnostics=False, mapped_onto=mapped))).text
    assert "Cells that were mapped have no checks of their own" in text
    assert "They lack 1 gene of the fit, and have 0 genes that it does not know." in text


@pytest.mark.parametrize("left", ["verdicts", "need", "mixing", "balance", "cells", "families", "overlap_states"])
def test_a_record_with_a_table_missing_gives_a_page(left):
    adata = plain()
    del adata.uns["unbatch"]["diagnostics"][left]
    Outline(page_of(adata))


@pytest.mark.parametrize(
    "empty", ["verdicts", "need_genes", "balance", "balance_summary", "remainder", "remainder_states", "overlap_pairs"]
)
def test_a_record_with_an_empty_table_gives_a_page(empty):
    adata = plain()
    tables = adata.uns["unbatch"]["diagnostics"]
    tables[empty] = tables[empty].iloc[:0]
    Outline(page_of(adata))


def test_numbers_that_are_none_are_dashes():
    adata = plain()
    tables = adata.uns["unbatch"]["diagnostics"]
    tables["mixing"]["after"] = np.nan
    tables["overlap_pairs"]["distance_ratio"] = np.inf
    adata.uns["unbatch"]["peak_bytes"] = np.nan
    page = page_of(adata)
    assert "nan" not in Outline(page).text
    assert "\u221e" in page


@pytest.mark.parametrize("kind", ["real", "effects only", "concept", "mapped", "reference"])
def test_fits_of_every_kind_give_a_page(kind, fitted):
    import unbatch as ub

    adata = fitted[fitted.obs["batch"] != "batch_3"].copy()
    if kind == "real":
        adata = fitted.copy()
    elif kind == "effects only":
        ub.tl.batch_effects(adata, batch_key="batch", effects_only=True)
    elif kind == "concept":
        ub.tl.batch_effects(adata, batch_key="batch", method="concept")
    elif kind == "reference":
        ub.tl.batch_effects(adata, batch_key="batch", reference="batch_1")
    else:
        ub.tl.map_cells(adata, model=model_of(fitted))
    outline = Outline(page_of(adata))
    assert f"{adata.n_obs} cells, 150 genes" in outline.text
    assert ("These cells were mapped" in outline.text) == (kind == "mapped")
    assert ("effects only" in outline.text) == (kind == "effects only")
    assert ("relative to: batch_1" in outline.text) == (kind == "reference")


def model_of(fitted):
    import unbatch as ub
    from unbatch.stored_fit import read_slots

    return ub.BatchModel._holding(read_slots(fitted), ub.MatchedOptions())


def test_hostile_names_stand_on_the_page_as_text():
    adata = made(genes=HOSTILE, batches=HOSTILE[:6], too_small=np.array([HOSTILE[0]], dtype=object))
    adata.obs["<i>kind"] = [HOSTILE[place % 5] for place in range(adata.n_obs)]
    adata.uns["unbatch"]["command"] = f"unbatch fit '{HOSTILE[1]}' -o fit.h5ad"
    adata.uns["unbatch"]["parameters"] = {HOSTILE[1]: HOSTILE[0]}
    adata.uns["unbatch"]["stop_reason"] = HOSTILE[2]
    harmless = Outline(page_of(made(genes=[f"g{n}" for n in range(15)], batches=list("abcdef"))))
    outline = Outline(page_of(adata, columns=["<i>kind"]))
    kinds = [{tag for tag, _ in one.elements} for one in (outline, harmless)]
    assert kinds[0] == kinds[1]
    for name in HOSTILE[:3]:
        assert name in outline.text
    assert "(10,000 characters)" in outline.text
    assert "{{ 7 * 7 }}{% raw %}" in outline.text
    assert HOSTILE[1] in outline.text.split("The command that made the file:")[1]


def test_200_batches_stay_under_5_megabytes():
    genes, batches = [f"ENSG{place:011d}" for place in range(2000)], [f"donor {place}" for place in range(200)]
    page = page_of(made(genes=genes, batches=batches, n_cells=900))
    assert len(page.encode()) < 5e6
    assert "The 20,000 surest of 400,000 known effects" in Outline(page).text
    assert "25 of 200 rows: those with" in page
