"""One real fit for all tests of the report, and a browser that is started once."""

import pytest

import unbatch as ub

from . import browser as chrome


@pytest.fixture(scope="session")
def fitted():
    """Three batches of four kinds of cells, fitted."""
    adata = ub.simulate(n_cells=600, n_genes=150, n_batches=3, n_types=3, median_depth=1200, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    return adata


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A window of Chromium; without one the tests are skipped with the reason, or fail where one is required."""
    chrome.skip_or_fail()
    with chrome.chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window
