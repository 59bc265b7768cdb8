"""What a fit says at its end leads on: to the report if it is not to be trusted, else to adjusted counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unbatch as ub
from unbatch.cli._ending import Written, end_fit
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts


@pytest.fixture(scope="module")
def fit():
    adata = ub.simulate(n_cells=200, n_genes=40, n_batches=2, n_types=2, seed=0)
    return ub.BatchModel().fit(adata.X, adata.obs["batch"]).result


def ended(fit, capsys):
    end_fit(fit, inputs=[Path("in.h5ad")], written=[Written("model", Path("fit.h5ad"))], as_json=False)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdict", "command"),
    [
        ("look here", "unbatch adjust in.h5ad --model fit.h5ad --output adjusted.h5ad"),
        ("do not trust", "unbatch report fit.h5ad --output report.html"),
    ],
)
def test_after_a_fit_that_is_not_to_be_trusted_comes_its_report(fit, capsys, verdict, command):
    verdicts = fit.diagnostics.verdicts.assign(verdict=verdict)
    judged = Diagnostics(fit.diagnostics.tables | {"verdicts": verdicts}, fit.diagnostics.arrays)
    assert f"Next: {command}\n" in ended(replace(fit, diagnostics=judged), capsys)


def test_effects_of_states_are_in_the_command_that_takes_them_out(capsys):
    source = open_counts(ub.simulate(n_cells=200, n_genes=40, n_batches=2, n_types=2, seed=0))
    fit = ub.BatchModel().fit_source(source, read_batches(source, "batch"), state_specific=True).result
    fit = replace(fit, diagnostics=None)
    assert "--model fit.h5ad --state-specific --output adjusted.h5ad" in ended(fit, capsys)


def test_unknown_effects_of_genes_that_were_not_measured_are_told(fit, capsys):
    measured, se = fit.measured.copy(), fit.se.copy()
    measured[:3, 0], se[:3, 0] = False, np.inf
    some = replace(fit, measured=measured, se=se)
    said, n_unknown = ended(some, capsys), int((~some.estimated).sum())
    assert f"  {n_unknown} of 80 effects are unknown (log effect 0, error inf), 3 of them of genes that the" in said
