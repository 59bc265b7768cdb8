"""What the pages tell users to type outside of notebooks runs, page by page, in the order of the page."""

import re
import shlex
from pathlib import Path

import anndata
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import unbatch as ub
from unbatch.cli import app

DOCS = Path(__file__).parents[2] / "docs"
RUN_ELSEWHERE = {"how-to/adjusted-counts.md"}  # tests/test_how_to.py, which looks at what comes out, too
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks(page):
    """Python and shell blocks of a page that no notebook runs: (language, text)."""
    return [(label.strip(), text) for label, text in _FENCE.findall((DOCS / page).read_text())]


def commands(text):
    """Lines that call this program; what else a shell is asked (make, pip, export) is not for a test to do."""
    return [line.split("#")[0].strip() for line in text.splitlines() if line.startswith("unbatch ")]


def pages():
    found = []
    for path in [*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")]:
        name = str(path.relative_to(DOCS))
        runs = any(label == "python" or (not label and commands(text)) for label, text in blocks(name))
        if runs and name not in RUN_ELSEWHERE:
            found.append(name)
    return sorted(found)


PAGES = pages()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that pages speak of: cells, new cells, and a fit of the former."""
    folder = tmp_path_factory.mktemp("files")
    adata = ub.simulate(n_cells=500, n_genes=60, n_batches=4, n_types=3, median_depth=500, seed=1)
    place = adata.obs["batch"].cat.codes.to_numpy()
    adata.obs["donor"] = np.array(["one", "two"])[place % 2]
    adata.obs["chemistry"] = np.array(["v2", "v3"])[place // 2]
    adata.obs["treatment"] = np.tile(["treated", "control"], 250)
    new = (adata.obs["batch"] == "batch_4").to_numpy()
    cells = adata[~new].copy()
    cells.write_h5ad(folder / "cells.h5ad")
    adata[new].copy().write_h5ad(folder / "new.h5ad")
    ub.tl.batch_effects(cells, batch_key="batch")
    cells.write_h5ad(folder / "fit.h5ad")
    return folder


def run_command(line):
    with pytest.raises(SystemExit) as end:
        app(shlex.split(line)[1:])
    assert end.value.code in (0, None), line


def test_the_pages_that_have_such_blocks_are_found():
    assert {"index.md", "how-to/programmes.md", "how-to/new-cells.md", "how-to/report.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_to_type_runs(page, files, tmp_path, monkeypatch):
    mpl.use("agg")
    for path in files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {"ub": ub, "adata": anndata.read_h5ad("new.h5ad" if page == "how-to/new-cells.md" else "cells.h5ad")}
    ran = 0
    for label, text in blocks(page):
        if label == "python":
            exec(text, names)  # noqa: S102 - our own page
            ran += 1
        elif not label:
            for line in commands(text):
                run_command(line)
                ran += 1
    plt.close("all")
    assert ran
