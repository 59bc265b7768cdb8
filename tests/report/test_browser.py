"""The page in a real Chromium: nothing in its console, nothing asked of a network, and all of it of use."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

import unbatch as ub

from .made import HOSTILE, made

AXE = Path(__file__).with_name("axe") / "axe.min.js"
SIZES = {"phone": {"width": 390, "height": 800}, "desktop": {"width": 1280, "height": 900}}
SHORTER = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def adata():
    genes = [*HOSTILE, "MT-CO1", "XIST", *(f"gene {place}" for place in range(80))]
    adata = made(genes=genes, batches=["a", HOSTILE[0], "c"], n_cells=90)
    adata.obs["kind"] = [HOSTILE[place % 5] for place in range(90)]
    return adata


@pytest.fixture(scope="module")
def page(adata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "<b>&'fit' 100%#.h5ad"
    adata.write_h5ad(path)
    ub.write_report(path, folder / "r.html", color="kind", n_map_cells=60)
    return folder / "r.html"


@pytest.fixture
def opened(browser, page):
    """The page on a desktop; at the end nothing was said in the console, and nothing asked for but the page."""
    browser.open(page)
    yield browser
    assert browser.messages() == []
    assert [address for address in browser.requests() if not address.startswith("blob:")] == [page.as_uri()]
    assert browser.run("return window.hit") is None


def column(browser, place):
    return browser.run(
        "return [...document.querySelectorAll('#effects-table tbody tr')].map((row) => row.children[arguments[0]]"
        ".textContent)",
        place,
    )


def numbers(browser, place):
    return [
        float(text.replace(SHORTER, "-").replace(",", "").replace("<\u00a0", "")) for text in column(browser, place)
    ]


def sort_by(browser, key):
    browser.one(f"th[data-key={key}] button").click()
    return browser.one(f"th[data-key={key}]").get_attribute("aria-sort")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_sound_at_every_width_and_in_the_dark(browser, page, size, dark, tmp_path):
    browser.open(page, dark=dark, **SIZES[size])
    assert browser.violations(AXE.read_text(encoding="utf-8")) == []
    assert browser.messages() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") != dark
    browser.picture(tmp_path / "page.png")


def test_it_folds_into_320_pixels(browser, page):
    browser.open(page, width=320, height=600)
    assert browser.run("return document.documentElement.scrollWidth <= 320")


def test_in_print_there_are_no_controls_and_all_is_on_white(browser, page):
    browser.open(page, width=760, dark=True, media="print")
    assert browser.run("return document.documentElement.scrollWidth <= 760")
    assert not any(one.is_displayed() for one in browser.all("nav, .controls, .pager"))
    assert all(one.is_displayed() for one in browser.all("table, figure"))
    assert browser.run("return getComputedStyle(document.documentElement).getPropertyValue('--ground')") == "#ffffff"
    printed = browser.tell("Page.printToPDF")["data"]
    assert len(printed) > 50_000


def test_names_are_text(opened):
    assert "<b>&'fit' 100%#.h5ad" in opened.one("h1").text
    opened.one("#f-gene").send_keys("<script>")
    assert set(column(opened, 0)) == {HOSTILE[0]}
    assert HOSTILE[0] in column(opened, 1)
    assert opened.all("img, #effects-table script, main svg[onload]") == []
    assert HOSTILE[1] in [option.text for option in Select(opened.all(".alone select")[1]).options]


def test_sorting(opened, adata):
    assert numbers(opened, 4) == sorted(numbers(opened, 4), key=abs, reverse=True)
    effects = np.exp(adata.varm["batch_effects"].ravel())
    assert sort_by(opened, "effect") == "descending"
    np.testing.assert_allclose(numbers(opened, 2), np.sort(effects)[::-1][:25], rtol=6e-3)
    assert sort_by(opened, "effect") == "ascending"
    np.testing.assert_allclose(numbers(opened, 2), np.sort(effects)[:25], rtol=6e-3)
    assert sort_by(opened, "effect") == "none"
    assert numbers(opened, 4) == sorted(numbers(opened, 4), key=abs, reverse=True)
    assert sort_by(opened, "q") == "ascending"
    assert sort_by(opened, "gene") == "ascending"
    assert [one.get_attribute("aria-sort") for one in opened.all("#effects-table thead th")].count("none") == 6
    assert sort_by(opened, "gene") == "descending"
    names = [name for name in column(opened, 0) if name.startswith("gene ")]
    assert names[:4] == ["gene 79"] * 3 + ["gene 78"]


def test_filters_and_pages(opened, adata):
    status = opened.one("#status")
    n_effects = adata.n_vars * 3
    assert status.text == f"{n_effects} of {n_effects} effects, the surest first"
    opened.one("#next").click()
    assert opened.one("#page").text == f"Page 2 of {-(-n_effects // 25)}"
    opened.one("#f-gene").send_keys("GENE 7")
    assert status.text.startswith(f"33 of {n_effects} effects")
    assert opened.one("#page").text == "Page 1 of 2"
    assert not opened.one("#previous").is_enabled()
    Select(opened.one("#f-batch")).select_by_visible_text("c")
    assert set(column(opened, 1)) == {"c"}
    assert len(column(opened, 0)) == 11
    assert not opened.one("#next").is_enabled()
    opened.one("#f-gene").clear()
    opened.one("#f-gene").send_keys(" ")
    Select(opened.one("#f-batch")).select_by_index(0)
    Select(opened.one("#f-q")).select_by_visible_text("0.001")
    Select(opened.one("#f-fold")).select_by_visible_text("2")
    folds = np.array(numbers(opened, 2))
    assert (np.abs(np.log2(folds)) >= 0.99).all()
    assert max(numbers(opened, 5)) <= 0.001
    Select(opened.one("#f-q")).select_by_index(0)
    Select(opened.one("#f-fold")).select_by_index(0)
    Select(opened.one("#f-family")).select_by_visible_text("any family")
    assert set(column(opened, 0)) == {"MT-CO1", "XIST"}
    opened.one("#f-gene").send_keys("nothing like this")
    assert status.text.startswith(f"0 of {n_effects}")
    assert column(opened, 0) == []


def test_the_table_as_a_file_is_safe_in_a_spreadsheet_and_complete(opened, adata):
    opened.one("#csv").click()
    path = opened.downloads / "batch-effects.csv"
    for _ in range(100):
        if path.exists():
            break
        time.sleep(0.1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == adata.n_vars * 3
    assert not [row for row in rows for text in (row["gene"], row["batch"], row["family"]) if text[:1] in set("=+-@")]
    genes = {row["gene"] for row in rows}
    assert {f"'{name}" for name in HOSTILE if name[0] in "=+-@"} <= genes
    assert HOSTILE[3] in genes
    (one,) = [row for row in rows if row["gene"] == "gene 5" and row["batch"] == "c"]
    log_delta, se = (
        adata.varm[slot][adata.var_names.get_loc("gene 5"), 2] for slot in ("batch_effects", "batch_effects_se")
    )
    expected = [
        log_delta / np.log(2),
        se / np.log(2),
        np.exp(log_delta),
        *np.exp(log_delta + 1.96 * se * np.array([-1, 1])),
    ]
    found = [float(one[name]) for name in ("log2_effect", "log2_se", "effect", "lower", "upper")]
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    path.unlink()


def test_everything_is_reached_by_keys_and_seen_when_it_is(opened):
    keys = ActionChains(opened.driver)
    reached = []
    for _ in range(140):
        keys.send_keys(Keys.TAB).perform()
        here = opened.run(
            "const e = document.activeElement; const s = getComputedStyle(e);"
            "const name = e.id || e.className || e.textContent.trim().slice(0, 20);"
            "return [e.tagName, name, s.outlineStyle, s.outlineWidth]"
        )
        if here[0] == "BODY":
            break
        assert here[2:] == ["solid", "3px"], here
        reached.append(here[1])
    assert reached[0] == "skip"
    for name in ("f-gene", "f-batch", "f-family", "f-q", "f-fold", "csv", "next"):
        assert name in reached
    assert sum(name in reached for name in ("Gene", "Batch", "Effect, times", "95% interval", "q", "Family")) == 6
    assert here[0] == "BODY", "the keys never came out at the end"


def test_keys_sort_and_the_skip_link_skips(opened):
    opened.run("document.querySelector('th[data-key=effect] button').focus()")
    ActionChains(opened.driver).send_keys(Keys.ENTER).perform()
    assert opened.one("th[data-key=effect]").get_attribute("aria-sort") == "descending"
    assert opened.run("return document.activeElement.textContent") == "Effect, times"
    opened.one(".skip").send_keys(Keys.ENTER)
    assert opened.run("return document.activeElement.id") == "main"


def test_one_batch_can_be_shown_alone(opened):
    choice = Select(opened.one(".alone select"))
    choice.select_by_index(2)
    shown = opened.run(
        "return [...document.querySelectorAll('#maps-1 .pair svg')].map((map) => [map.classList.contains('one'),"
        " [...new Set([...map.querySelectorAll('.on')].map((dots) => dots.dataset.level))].join(),"
        " map.lastElementChild.dataset.level])"
    )
    assert shown == [[True, "1", "1"]] * 2
    choice.select_by_index(0)
    assert opened.all("#maps-1 .one, #maps-1 .on") == []


def test_without_scripts_the_first_rows_are_there(browser, page):
    browser.tell("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        root = browser.tell("DOM.getDocument")["root"]["nodeId"]
        rows = browser.tell("DOM.querySelectorAll", nodeId=root, selector="#effects-table tbody tr")
        assert len(rows["nodeIds"]) == 25
        html = browser.tell("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        assert "Scripts do not run here" in html
        assert 'id="controls" hidden' in html
    finally:
        browser.tell("Emulation.setScriptExecutionDisabled", value=False)


def test_rows_without_scripts_are_those_with_them(browser, page):
    text = page.read_text(encoding="utf-8")
    browser.open(page)
    shown = browser.run(
        "const stored = new DOMParser().parseFromString(arguments[0], 'text/html');"
        "return [stored, document].map((one) => [...one.querySelectorAll('#effects-table tbody tr')].map((row) =>"
        " [...row.children].map((cell) => cell.textContent)))",
        text,
    )
    assert shown[0] == shown[1]
    assert len(shown[0]) == 25


def test_what_is_slipped_into_the_page_does_not_run_or_load(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    slipped = (
        "<script>window.hit = 1</script><img src='http://127.0.0.1:9/x.png'><b style='color:red' onclick='hit=1'>b</b>"
    )
    other = tmp_path / "slipped.html"
    other.write_text(text.replace("<main", slipped + "<main"), encoding="utf-8")
    browser.open(other)
    assert browser.run("return window.hit") is None
    blocked = [message for message in browser.messages() if "Content Security Policy" in message]
    assert len(blocked) >= 3
    assert (
        not [address for address in browser.requests() if "127.0.0.1" in address and "blocked" not in address]
        or blocked
    )


def test_a_large_table_answers_at_once(browser, tmp_path):
    random = np.random.default_rng(0)
    genes = [f"ENSG{place:011d}" for place in range(1000)]
    adata = made(genes=genes, batches=[f"b{place}" for place in range(20)])
    adata.varm["batch_effects"] = random.normal(size=(1000, 20))
    ub.write_report(adata, tmp_path / "r.html", n_map_cells=0)
    browser.open(tmp_path / "r.html")
    assert browser.one("#status").text == "20,000 of 20,000 effects, the surest first"
    assert len(browser.all("#effects-table tbody tr")) == 25
    for key in ("gene", "low", "z"):
        sort_by(browser, key)
    browser.one("#f-gene").send_keys("00077")
    assert browser.one("#status").text.startswith("220 of 20,000")
    assert json.loads(browser.run("return document.getElementById('effects-data').textContent"))["perPage"] == 25


def test_a_fit_without_diagnostics_is_sound_too(browser, tmp_path):
    adata = made(genes=["g0", "g1", "g2"], batches=["a", "b"], diagnostics=False)
    adata.varm["batch_effects_se"][:] = np.inf
    ub.write_report(adata, tmp_path / "r.html", n_map_cells=0)
    browser.open(tmp_path / "r.html")
    assert browser.violations(AXE.read_text(encoding="utf-8")) == []
    assert browser.messages() == []
    assert "No effect is known" in browser.one("#effects").text
