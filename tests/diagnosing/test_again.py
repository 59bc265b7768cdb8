"""A fit is judged once more from its counts, and probed."""

import warnings

import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch.diagnosing import diagnose_source
from unbatch.io.source import open_counts
from unbatch.stored_fit import read_slots


@pytest.fixture(scope="module")
def fitted():
    data = ub.simulate(
        n_cells=500, n_genes=100, n_batches=2, n_types=4, median_depth=1500, composition=3.0, log_delta_sd=0.5, seed=1
    )
    data.obs["site"] = np.where(np.arange(500) % 2, "x", "y")
    ub.tl.batch_effects(data, batch_key="batch")
    return data


@pytest.mark.parametrize("options", [{}, {"method": "concept"}, {"match_within": "site"}, {"effects_only": True}])
def test_it_finds_what_the_fit_found(fitted, options):
    data = fitted.copy()
    ub.tl.batch_effects(data, batch_key="batch", seed=3, **options)
    before = {name: table.copy() for name, table in read_slots(data).diagnostics.tables.items()}
    del data.uns["unbatch"]["diagnostics"]
    with pytest.raises(InputError, match=r"a fit without diagnostics: run unbatch.tl.diagnose\(adata\) or `unbatch"):
        ub.get.verdicts(data)
    again = ub.tl.diagnose(data, copy=True)
    assert "diagnostics" not in data.uns["unbatch"]
    after = read_slots(again).diagnostics.tables
    assert after.keys() == before.keys()
    for name, table in before.items():
        pd.testing.assert_frame_equal(after[name], table, check_exact=True)


def test_probes_pass_where_nothing_is_wrong(fitted):
    data = fitted.copy()
    with pytest.raises(InputError, match=r"no table 'probes' .* run unbatch.tl.diagnose\(adata, probes=True\)"):
        ub.get.diagnostics(data, "probes")
    ub.tl.diagnose(data, probes=True)
    probes = ub.get.diagnostics(data, "probes")
    assert list(probes.columns) == ["probe", "batch", "state_or_label", "value", "expected", "verdict"]
    assert set(probes["probe"]) == {"split", "removed"}
    assert (probes["verdict"] == "fine").all(), probes
    assert ub.get.verdicts(data).set_index("check").loc["probes", "verdict"] == "fine"


def test_a_method_that_takes_noise_for_effects_does_not_pass(fitted, monkeypatch):
    from unbatch.diagnosing import probes

    honest = probes.Refits.fit

    def boastful(self, cells, batch, n_batches):
        from dataclasses import replace

        found = honest(self, cells, batch, n_batches)
        return replace(found, se=found.se / 1e4)

    monkeypatch.setattr(probes.Refits, "fit", boastful)
    data = fitted.copy()
    ub.tl.diagnose(data, probes=True)
    table = ub.get.diagnostics(data, "probes")
    assert (table["verdict"][table["probe"] == "split"] == "do not trust").all()
    assert ub.get.verdicts(data).set_index("check").loc["probes", "verdict"] == "do not trust"


def test_an_embedding_that_draws_all_together_does_not_pass(fitted, monkeypatch):
    from unbatch.diagnosing import probes

    honest, rng = probes.Refits.fit, np.random.default_rng(0)

    def blurred(self, cells, batch, n_batches):
        from dataclasses import replace

        found = honest(self, cells, batch, n_batches)
        whole = len(cells) == len(self.batch)
        return found if whole else replace(found, embedding=rng.normal(size=found.embedding.shape).astype(np.float32))

    monkeypatch.setattr(probes.Refits, "fit", blurred)
    data = fitted.copy()
    ub.tl.diagnose(data, probes=True)
    table = ub.get.diagnostics(data, "probes")
    assert (table["verdict"][table["probe"] == "removed"] != "fine").all()
    assert (table["verdict"][table["probe"] == "split"] == "fine").all()


def test_too_few_cells_to_probe_are_told():
    data = ub.simulate(n_cells=60, n_genes=30, n_batches=2, seed=1)
    ub.tl.batch_effects(data, batch_key="batch")
    ub.tl.diagnose(data, probes=True)
    assert len(ub.get.diagnostics(data, "probes")) == 0
    assert "Too few cells" in ub.get.verdicts(data).set_index("check").loc["probes", "text"]


def test_other_cells_genes_or_values_are_refused(fitted):
    fit = read_slots(fitted)
    with pytest.raises(InputError, match="400 cells, not the 500 of the fit"):
        diagnose_source(open_counts(fitted[:400].copy()), fit)
    with pytest.raises(InputError, match="90 genes, not the 100 of the fit"):
        diagnose_source(open_counts(fitted[:, :90].copy()), fit)
    logged = fitted.copy()
    logged.X = np.log1p(fitted.X.toarray())
    with pytest.raises(InputError, match="are not counts"):
        diagnose_source(open_counts(logged), fit)


def test_genes_may_have_been_taken_away(fitted):
    part = fitted[:, 20:].copy()
    ub.tl.diagnose(part)
    assert len(ub.get.diagnostics(part, "need_genes")) == 80


def test_mapped_cells_have_no_diagnostics(fitted):
    new = ub.simulate(n_cells=80, n_genes=100, n_batches=1, n_types=4, median_depth=1500, seed=5)
    model = ub.BatchModel().fit(fitted.X, fitted.obs["batch"])
    new.var_names = model.result.var.index
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ub.tl.map_cells(new, model=model, batch_key="batch")
    with pytest.raises(InputError, match="mapped cells, for which there are none"):
        ub.get.diagnostics(new, "need")
    with pytest.raises(InputError, match="mapped onto a fit, and not fitted"):
        ub.tl.diagnose(new)
